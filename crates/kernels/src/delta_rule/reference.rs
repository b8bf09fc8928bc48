//! The delta rule as it is defined, step by step, in float64: specification, oracle and the float64 path.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use super::Shape;
use crate::Error;
use crate::recurrent::Options;

/// What a pass reads, as in [`super::Forward`].
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    pub query: &'a [f64],
    pub key: &'a [f64],
    pub value: &'a [f64],
    pub beta: &'a [f64],
    pub decay: Option<&'a [f64]>,
    pub state_0: Option<&'a [f64]>,
}

/// y [B, T, N, E'] and S after the last step of each row, [B, N, E, E'].
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
    pub query: Vec<f64>,
    pub key: Vec<f64>,
    pub value: Vec<f64>,
    pub beta: Vec<f64>,
    pub decay: Vec<f64>,
    pub state_0: Vec<f64>,
}

/// One step of one head.
struct Step<'a> {
    query: ArrayView1<'a, f64>,
    key: ArrayView1<'a, f64>,
    value: ArrayView1<'a, f64>,
    beta: f64,
    decay: f64,
}

impl<'a> Step<'a> {
    /// `at` counts steps of heads: (b T + t) N + n.
    fn new(shape: &Shape, inputs: &Inputs<'a>, at: usize) -> Step<'a> {
        let Shape { key, value, .. } = *shape;
        Step {
            query: ArrayView1::from(&inputs.query[at * key..][..key]),
            key: ArrayView1::from(&inputs.key[at * key..][..key]),
            value: ArrayView1::from(&inputs.value[at * value..][..value]),
            beta: inputs.beta[at],
            decay: inputs.decay.map_or(1.0, |decay| decay[at]),
        }
    }

    /// What the state before lacks of the value.
    fn error(&self, state: &Array2<f64>) -> Array1<f64> {
        &self.value - &(state.t().dot(&self.key) * self.decay)
    }

    /// The next state.
    fn next(&self, state: &Array2<f64>) -> Array2<f64> {
        state * self.decay + outer(&self.key, &self.error(state).view()) * self.beta
    }
}

fn outer(a: &ArrayView1<f64>, b: &ArrayView1<f64>) -> Array2<f64> {
    a.insert_axis(Axis(1)).dot(&b.insert_axis(Axis(0)))
}

/// Outputs.
pub fn forward(shape: &Shape, options: Options, inputs: &Inputs) -> Result<Outputs, Error> {
    check(shape, options, inputs)?;
    let mut y = vec![0.0; shape.gates_len() * shape.value];
    let mut state_n = vec![0.0; shape.state_len()];
    for (b, n) in pairs(shape) {
        let mut state = first(shape, inputs.state_0, b, n);
        for at in places(shape, options, b, n) {
            let step = Step::new(shape, inputs, at);
            state = step.next(&state);
            write(&mut y, at, state.t().dot(&step.query).iter());
        }
        write(&mut state_n, b * shape.heads + n, state.iter());
    }
    Ok(Outputs { y, state_n })
}

/// Gradients of everything that [`forward`] read.
pub fn backward(shape: &Shape, options: Options, inputs: &Inputs, outputs: &OutputGradients) -> Result<InputGradients, Error> {
    check(shape, options, inputs)?;
    let (gates, states) = (shape.gates_len(), shape.state_len());
    let zeros = |len: usize| vec![0.0; len];
    let mut d = InputGradients {
        query: zeros(gates * shape.key),
        key: zeros(gates * shape.key),
        value: zeros(gates * shape.value),
        beta: zeros(gates),
        decay: zeros(gates),
        state_0: zeros(states),
    };
    for (b, n) in pairs(shape) {
        let mut before = vec![first(shape, inputs.state_0, b, n)];
        let places = places(shape, options, b, n);
        for &at in &places {
            let next = before.last().map(|state| Step::new(shape, inputs, at).next(state));
            before.extend(next);
        }
        let mut dstate = first(shape, outputs.state_n, b, n);
        for (&at, states) in places.iter().zip(before.windows(2)).rev() {
            let (step, state) = (Step::new(shape, inputs, at), &states[0]);
            if let Some(dy) = outputs.y {
                let dy = ArrayView1::from(&dy[at * shape.value..][..shape.value]);
                write(&mut d.query, at, states[1].dot(&dy).iter());
                dstate += &outer(&step.query, &dy);
            }
            let error = step.error(state);
            let derror = dstate.t().dot(&step.key) * step.beta;
            write(&mut d.value, at, derror.iter());
            write(&mut d.key, at, (dstate.dot(&error) * step.beta - state.dot(&derror) * step.decay).iter());
            d.beta[at] = step.key.dot(&dstate.dot(&error));
            d.decay[at] = (state * &dstate).sum() - derror.dot(&state.t().dot(&step.key));
            dstate = (dstate - outer(&step.key, &derror.view())) * step.decay;
        }
        write(&mut d.state_0, b * shape.heads + n, dstate.iter());
    }
    Ok(d)
}

fn check(shape: &Shape, options: Options, inputs: &Inputs) -> Result<(), Error> {
    let gates = shape.gates_len();
    shape.check(
        options,
        &[
            ("query", "B*T*N*E", gates * shape.key, Some(inputs.query.len())),
            ("key", "B*T*N*E", gates * shape.key, Some(inputs.key.len())),
            ("value", "B*T*N*E'", gates * shape.value, Some(inputs.value.len())),
            ("beta", "B*T*N", gates, Some(inputs.beta.len())),
            ("decay", "B*T*N", gates, inputs.decay.map(<[f64]>::len)),
            ("state_0", "B*N*E*E'", shape.state_len(), inputs.state_0.map(<[f64]>::len)),
        ],
    )
}

fn pairs(shape: &Shape) -> impl Iterator<Item = (usize, usize)> + use<> {
    let Shape { batch, heads, .. } = *shape;
    (0..batch).flat_map(move |b| (0..heads).map(move |n| (b, n)))
}

/// The places of a head's steps, in the order of computation.
fn places(shape: &Shape, options: Options, b: usize, n: usize) -> Vec<usize> {
    let len = options.lengths.map_or(shape.time, |lengths| usize::try_from(lengths[b]).unwrap_or(0));
    let at = |t: usize| (b * shape.time + t) * shape.heads + n;
    if options.reverse { (0..len).rev().map(at).collect() } else { (0..len).map(at).collect() }
}

/// The state of a head in a tensor of states; absent means zeros.
fn first(shape: &Shape, states: Option<&[f64]>, b: usize, n: usize) -> Array2<f64> {
    let dim = (shape.key, shape.value);
    let len = dim.0 * dim.1;
    let state = states.and_then(|states| ArrayView2::from_shape(dim, &states[(b * shape.heads + n) * len..][..len]).ok());
    state.map_or_else(|| Array2::zeros(dim), |state| state.to_owned())
}

/// Writes the `index`-th of pieces of equal length.
fn write<'a>(to: &mut [f64], index: usize, from: impl ExactSizeIterator<Item = &'a f64>) {
    let len = from.len();
    to[index * len..][..len].iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}
