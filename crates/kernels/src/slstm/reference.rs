//! The sLSTM as it is defined, in float64: specification, oracle and the float64 path.

use super::{GATES, Group, STATES, Shape};
use crate::Error;
use crate::recurrent::Options;
use crate::recurrent::reference::sigmoid;

/// What a pass reads, as in [`super::Forward`].
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    pub x: &'a [f64],
    pub weight: &'a [f64],
    pub state_0: Option<&'a [f64]>,
}

/// y [B, T, H] and the last state [4, B, H].
#[derive(Clone, Debug)]
pub struct Outputs {
    pub y: Vec<f64>,
    pub state_n: Vec<f64>,
}

/// Gradients of [`Outputs`]; absent means zeros.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputGradients<'a> {
    pub y: Option<&'a [f64]>,
    pub state_n: Option<&'a [f64]>,
}

/// Gradients of [`Inputs`], in their layouts.
#[derive(Clone, Debug)]
pub struct InputGradients {
    pub x: Vec<f64>,
    pub weight: Vec<f64>,
    pub state_0: Vec<f64>,
}

/// h, c, n, m of the units of a head.
type State = Vec<[f64; STATES]>;

fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

/// The next state of a unit.
fn step([p_i, p_f, p_z, p_o]: [f64; GATES], [_, c, n, m]: [f64; STATES]) -> [f64; STATES] {
    let carried = log_sigmoid(p_f) + m;
    let most = carried.max(p_i);
    let (i, f) = ((p_i - most).exp(), (carried - most).exp());
    let (c, n) = (f * c + i * p_z.tanh(), f * n + i);
    [sigmoid(p_o) * c / n, c, n, most]
}

/// The gradients of p and of the unit's own c, n, m before (in the place of h nothing), from those of the next state.
fn step_back(p: [f64; GATES], before: [f64; STATES], [dh, dc, dn, dm]: [f64; STATES]) -> ([f64; GATES], [f64; STATES]) {
    let [p_i, p_f, p_z, p_o] = p;
    let [_, c_0, n_0, m] = before;
    let [_, c, n, most] = step(p, before);
    let carried = log_sigmoid(p_f) + m;
    let (i, f, z, o) = ((p_i - most).exp(), (carried - most).exp(), p_z.tanh(), sigmoid(p_o));
    let (dc, dn) = (dc + dh * o / n, dn - dh * o * c / (n * n));
    let (of_i, of_f) = (i * (z * dc + dn), f * (c_0 * dc + n_0 * dn));
    let dmost = dm - of_i - of_f;
    let (dp_i, dcarried) = if carried >= p_i { (of_i, of_f + dmost) } else { (of_i + dmost, of_f) };
    let dp = [dp_i, dcarried * (1.0 - sigmoid(p_f)), i * dc * (1.0 - z * z), dh * c / n * o * (1.0 - o)];
    (dp, [0.0, f * dc, f * dn, dcarried])
}

/// Outputs.
pub fn forward(shape: &Shape, options: Options, inputs: &Inputs) -> Result<Outputs, Error> {
    check(shape, options, inputs)?;
    let mut outputs = Outputs { y: vec![0.0; shape.y_len()], state_n: vec![0.0; shape.state_len()] };
    for (group, r) in rows(shape, options) {
        let mut state = read_state(&group, r, inputs.state_0);
        for s in 0..group.len(r) {
            state = next(&group, (r, s), inputs, &state).1;
            let at = group.at(r, s);
            outputs.y[at..at + shape.size].iter_mut().zip(&state).for_each(|(y, unit)| *y = unit[0]);
        }
        write_state(&group, r, &state, &mut outputs.state_n);
    }
    Ok(outputs)
}

/// Gradients of everything that [`forward`] read.
pub fn backward(shape: &Shape, options: Options, inputs: &Inputs, outputs: &OutputGradients) -> Result<InputGradients, Error> {
    check(shape, options, inputs)?;
    let mut d =
        InputGradients { x: vec![0.0; inputs.x.len()], weight: vec![0.0; inputs.weight.len()], state_0: vec![0.0; shape.state_len()] };
    for (group, r) in rows(shape, options) {
        let mut states = vec![read_state(&group, r, inputs.state_0)];
        let mut sums = Vec::new();
        for s in 0..group.len(r) {
            let (p, state) = next(&group, (r, s), inputs, &states[s]);
            sums.push(p);
            states.push(state);
        }
        let mut dstate = read_state(&group, r, outputs.state_n);
        for s in (0..group.len(r)).rev() {
            let at = group.at(r, s);
            let mut before = vec![[0.0; STATES]; shape.size];
            for unit in 0..shape.size {
                dstate[unit][0] += outputs.y.map_or(0.0, |dy| dy[at + unit]);
                let (dp, d_unit) = step_back(sums[s][unit], states[s][unit], dstate[unit]);
                // Of h there may be something already, from the units before.
                before[unit][1..].copy_from_slice(&d_unit[1..]);
                for (gate, dp) in dp.into_iter().enumerate() {
                    d.x[group.gates_at(r, s) + gate * shape.hidden() + unit] = dp;
                    let row = weight_at(&group, gate, unit);
                    for k in 0..shape.size {
                        d.weight[row + k] += dp * states[s][k][0];
                        before[k][0] += dp * inputs.weight[row + k];
                    }
                }
            }
            dstate = before;
        }
        write_state(&group, r, &dstate, &mut d.state_0);
    }
    Ok(d)
}

/// The pre-activations of a step, and the state after it.
fn next(group: &Group, (r, s): (usize, usize), inputs: &Inputs, state: &State) -> (Vec<[f64; GATES]>, State) {
    let sum = |gate: usize, unit: usize| {
        let row = &inputs.weight[weight_at(group, gate, unit)..][..group.shape.size];
        let read: f64 = row.iter().zip(state).map(|(weight, unit)| weight * unit[0]).sum();
        inputs.x[group.gates_at(r, s) + gate * group.shape.hidden() + unit] + read
    };
    let sums: Vec<[f64; GATES]> = (0..group.shape.size).map(|unit| std::array::from_fn(|gate| sum(gate, unit))).collect();
    let state = sums.iter().zip(state).map(|(&p, &unit)| step(p, unit)).collect();
    (sums, state)
}

fn check(shape: &Shape, options: Options, inputs: &Inputs) -> Result<(), Error> {
    shape.check(
        options,
        &[
            ("x", "B*T*4*H", shape.y_len() * GATES, Some(inputs.x.len())),
            ("weight", "4*H*E", shape.weight_len(), Some(inputs.weight.len())),
            ("state_0", "4*B*H", shape.state_len(), inputs.state_0.map(<[f64]>::len)),
        ],
    )
}

/// Every row of every head.
fn rows<'a>(shape: &Shape, options: Options<'a>) -> impl Iterator<Item = (Group<'a>, usize)> + use<'a> {
    let shape = *shape;
    (0..Group::count(&shape)).flat_map(move |index| {
        let group = Group::new(&shape, options, index);
        (0..group.rows).map(move |r| (group, r))
    })
}

/// Where the row of R of a unit's gate is.
fn weight_at(group: &Group, gate: usize, unit: usize) -> usize {
    (gate * group.shape.hidden() + group.head * group.shape.size + unit) * group.shape.size
}

fn read_state(group: &Group, r: usize, states: Option<&[f64]>) -> State {
    let of = |unit: usize| std::array::from_fn(|i| states.map_or(0.0, |states| states[group.state_at(r, i) + unit]));
    (0..group.shape.size).map(of).collect()
}

fn write_state(group: &Group, r: usize, state: &State, to: &mut [f64]) {
    for (unit, parts) in state.iter().enumerate() {
        for (i, part) in parts.iter().enumerate() {
            to[group.state_at(r, i) + unit] = *part;
        }
    }
}
