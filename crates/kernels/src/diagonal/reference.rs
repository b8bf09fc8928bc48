//! Recurrences with diagonal weights as they are defined, in float64: specification, oracle and the float64 path.

use super::{DiagonalCell, GATES, MAX_STATES, MAX_WEIGHTS, check};
use crate::Error;
use crate::recurrent::Options;
use crate::scan::Shape;

/// What a pass reads, as in [`super::Forward`].
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    pub p: &'a [f64],
    pub weight: &'a [f64],
    pub state_0: [Option<&'a [f64]>; MAX_STATES],
}

/// y [B, T, H] and the last states, [B, H] each.
#[derive(Clone, Debug)]
pub struct Outputs {
    pub y: Vec<f64>,
    pub state_n: [Vec<f64>; MAX_STATES],
}

/// Gradients of [`Outputs`]; absent means zeros.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputGradients<'a> {
    pub y: Option<&'a [f64]>,
    pub state_n: [Option<&'a [f64]>; MAX_STATES],
}

/// Gradients of [`Inputs`], in their layouts.
#[derive(Clone, Debug)]
pub struct InputGradients {
    pub p: Vec<f64>,
    pub weight: Vec<f64>,
    pub state_0: [Vec<f64>; MAX_STATES],
}

pub(crate) fn forward_of<C: DiagonalCell>(shape: &Shape, options: Options, inputs: &Inputs) -> Result<Outputs, Error> {
    check_inputs::<C>(shape, options, inputs)?;
    let mut y = vec![0.0; shape.batch * shape.time * shape.hidden];
    let mut state_n = inputs.state_0.map(|state| or_zeros(shape, state));
    for (b, unit) in units(shape) {
        let at = b * shape.hidden + unit;
        let w = weights::<C>(shape, inputs, unit);
        let mut s = [state_n[0][at], state_n[1][at]];
        for t in places(shape, options, b) {
            s = C::step(gates(shape, inputs, b, t, unit), w, s);
            y[(b * shape.time + t) * shape.hidden + unit] = s[0];
        }
        (state_n[0][at], state_n[1][at]) = (s[0], s[1]);
    }
    Ok(Outputs { y, state_n })
}

pub(crate) fn backward_of<C: DiagonalCell>(
    shape: &Shape,
    options: Options,
    inputs: &Inputs,
    outputs: &OutputGradients,
) -> Result<InputGradients, Error> {
    check_inputs::<C>(shape, options, inputs)?;
    let mut d = InputGradients {
        p: vec![0.0; inputs.p.len()],
        weight: vec![0.0; inputs.weight.len()],
        state_0: outputs.state_n.map(|state| or_zeros(shape, state)),
    };
    for (b, unit) in units(shape) {
        let at = b * shape.hidden + unit;
        let w = weights::<C>(shape, inputs, unit);
        let places = places(shape, options, b);
        let mut states = vec![inputs.state_0.map(|state| state.map_or(0.0, |state| state[at]))];
        for &t in &places {
            let s = states[states.len() - 1];
            states.push(C::step(gates(shape, inputs, b, t, unit), w, s));
        }
        let mut ds = [d.state_0[0][at], d.state_0[1][at]];
        for (&t, &s) in places.iter().zip(&states).rev() {
            ds[0] += outputs.y.map_or(0.0, |dy| dy[(b * shape.time + t) * shape.hidden + unit]);
            let step = C::step_back(gates(shape, inputs, b, t, unit), w, s, ds);
            for i in 0..GATES {
                d.p[place(shape, b, t, i, unit)] = step.p[i];
            }
            for i in 0..C::WEIGHTS {
                d.weight[i * shape.hidden + unit] += step.w[i];
            }
            ds = step.s;
        }
        (d.state_0[0][at], d.state_0[1][at]) = (ds[0], ds[1]);
    }
    Ok(d)
}

fn check_inputs<C: DiagonalCell>(shape: &Shape, options: Options, inputs: &Inputs) -> Result<(), Error> {
    let state = shape.batch * shape.hidden;
    check::<C>(
        shape,
        options,
        &[
            ("p", "B*T*3*H", state * shape.time * GATES, Some(inputs.p.len())),
            ("weight", "W*H", C::WEIGHTS * shape.hidden, Some(inputs.weight.len())),
            ("h_0", "B*H", state, inputs.state_0[0].map(<[f64]>::len)),
            ("c_0", "B*H", state, inputs.state_0[1].map(<[f64]>::len)),
        ],
    )
}

fn units(shape: &Shape) -> impl Iterator<Item = (usize, usize)> + use<> {
    let Shape { batch, hidden, .. } = *shape;
    (0..batch).flat_map(move |b| (0..hidden).map(move |unit| (b, unit)))
}

fn or_zeros(shape: &Shape, state: Option<&[f64]>) -> Vec<f64> {
    state.map_or_else(|| vec![0.0; shape.batch * shape.hidden], <[f64]>::to_vec)
}

/// The places of row `b`'s steps, in the order of computation.
fn places(shape: &Shape, options: Options, b: usize) -> Vec<usize> {
    let (places, _) = crate::scan::places(shape, options, b);
    places.collect()
}

fn place(shape: &Shape, b: usize, t: usize, gate: usize, unit: usize) -> usize {
    ((b * shape.time + t) * GATES + gate) * shape.hidden + unit
}

fn gates(shape: &Shape, inputs: &Inputs, b: usize, t: usize, unit: usize) -> [f64; GATES] {
    std::array::from_fn(|gate| inputs.p[place(shape, b, t, gate, unit)])
}

fn weights<C: DiagonalCell>(shape: &Shape, inputs: &Inputs, unit: usize) -> [f64; MAX_WEIGHTS] {
    std::array::from_fn(|i| if i < C::WEIGHTS { inputs.weight[i * shape.hidden + unit] } else { 0.0 })
}
