//! A stack as it is defined, in float64: its layers one after the other.

use ndarray::{Array1, Array2, Array3, Axis, concatenate, s, stack as joined};

use super::Stack;
use crate::Error;
use crate::recurrent::reference::{self as layer, Definition};

/// What a pass reads. Slices as in [`super::Forward`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Inputs<'a> {
    pub x: &'a [f64],
    pub h_0: Option<&'a [f64]>,
    /// LSTM only.
    pub c_0: Option<&'a [f64]>,
    pub masks: Option<&'a [f64]>,
}

/// What a pass gives: y [B, T, D·H], h_n and c_n [K·D, B, H].
#[derive(Clone, Debug)]
pub struct Outputs {
    pub y: Array3<f64>,
    pub h_n: Array3<f64>,
    /// Zeros for a cell without c.
    pub c_n: Array3<f64>,
}

/// Gradients of [`Outputs`]; absent means zeros.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputGradients<'a> {
    pub y: Option<&'a [f64]>,
    pub h_n: Option<&'a [f64]>,
    pub c_n: Option<&'a [f64]>,
}

/// Gradients of [`Inputs`] but the masks, and of the weights: one set for each of K·D.
#[derive(Clone, Debug)]
pub struct InputGradients {
    pub x: Array3<f64>,
    pub h_0: Array3<f64>,
    pub c_0: Array3<f64>,
    pub weights: Vec<WeightGradients>,
}

/// Gradients of one layer's weights in one direction.
#[derive(Clone, Debug)]
pub struct WeightGradients {
    pub weight_ih: Array2<f64>,
    pub weight_hh: Array2<f64>,
    pub bias_ih: Array1<f64>,
    pub bias_hh: Array1<f64>,
}

pub(crate) fn forward<D: Definition>(stack: &Stack<f64>, inputs: &Inputs) -> Result<Outputs, Error> {
    Ok(layers::<D>(stack, inputs)?.0)
}

/// The outputs, and what each layer read.
fn layers<D: Definition>(stack: &Stack<f64>, inputs: &Inputs) -> Result<(Outputs, Vec<Vec<f64>>), Error> {
    check::<D>(stack, inputs)?;
    let (mut h_n, mut c_n, mut read) = (Vec::new(), Vec::new(), vec![inputs.x.to_vec()]);
    let mut y = Array3::zeros((0, 0, 0));
    for k in 0..stack.layers() {
        let mut outputs = Vec::new();
        for pass in k * stack.directions()..(k + 1) * stack.directions() {
            let (h_0, c_0) = (state(stack, inputs.h_0, pass), state(stack, inputs.c_0, pass));
            let done = layer::forward::<D>(&stack.layer(pass), &layer::Inputs { x: &read[k], h_0, c_0 })?;
            outputs.push(done.y);
            h_n.push(done.h_n);
            c_n.push(done.c_n);
        }
        y = joined_by(Axis(2), &outputs);
        let mut next: Vec<f64> = y.iter().copied().collect();
        if let Some(mask) = mask(stack, inputs.masks, k) {
            next.iter_mut().zip(mask).for_each(|(y, mask)| *y *= mask);
        }
        read.push(next);
    }
    Ok((Outputs { y, h_n: stacked(&h_n), c_n: stacked(&c_n) }, read))
}

pub(crate) fn backward<D: Definition>(stack: &Stack<f64>, inputs: &Inputs, outputs: &OutputGradients) -> Result<InputGradients, Error> {
    let (_, read) = layers::<D>(stack, inputs)?;
    let (mut h_0, mut c_0, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    let sizes = (stack.shape.batch, stack.shape.time, stack.output());
    let mut dy = match outputs.y {
        None => Array3::zeros(sizes),
        Some(dy) => Array3::from_shape_vec(sizes, dy.to_vec()).map_err(|_| Error::new(D::NAME, "dy must be [B, T, D*H]"))?,
    };
    for k in (0..stack.layers()).rev() {
        let mut dx: Option<Array3<f64>> = None;
        for pass in (k * stack.directions()..(k + 1) * stack.directions()).rev() {
            let first = pass % stack.directions() * stack.shape.hidden;
            let y: Vec<f64> = dy.slice(s![.., .., first..first + stack.shape.hidden]).iter().copied().collect();
            let given = layer::OutputGradients { y: Some(&y), h_n: state(stack, outputs.h_n, pass), c_n: state(stack, outputs.c_n, pass) };
            let inputs = layer::Inputs { x: &read[k], h_0: state(stack, inputs.h_0, pass), c_0: state(stack, inputs.c_0, pass) };
            let d = layer::backward::<D>(&stack.layer(pass), &inputs, &given)?;
            dx = Some(match dx {
                None => d.x,
                Some(other) => other + d.x,
            });
            h_0.push(d.h_0);
            c_0.push(d.c_0);
            weights.push(WeightGradients { weight_ih: d.weight_ih, weight_hh: d.weight_hh, bias_ih: d.bias_ih, bias_hh: d.bias_hh });
        }
        dy = dx.unwrap_or(dy);
        if let Some(mask) = k.checked_sub(1).and_then(|below| mask(stack, inputs.masks, below)) {
            dy.iter_mut().zip(mask).for_each(|(dy, mask)| *dy *= mask);
        }
    }
    h_0.reverse();
    c_0.reverse();
    weights.reverse();
    Ok(InputGradients { x: dy, h_0: stacked(&h_0), c_0: stacked(&c_0), weights })
}

fn check<D: Definition>(stack: &Stack<f64>, inputs: &Inputs) -> Result<(), Error> {
    stack.check(D::NAME, D::gates())?;
    let states = stack.weights.len() * stack.shape.state_len();
    let masks = (stack.layers() - 1) * stack.output_len();
    for (name, letters, expected, given) in
        [("h_0", "K*D*B*H", states, inputs.h_0), ("c_0", "K*D*B*H", states, inputs.c_0), ("masks", "(K-1)*B*T*D*H", masks, inputs.masks)]
    {
        given.map_or(Ok(()), |given| Error::check(D::NAME, name, letters, expected, given.len()))?;
    }
    Ok(())
}

/// The part of a state that belongs to a pass.
fn state<'a>(stack: &Stack<f64>, all: Option<&'a [f64]>, pass: usize) -> Option<&'a [f64]> {
    let len = stack.shape.state_len();
    all.map(|all| &all[pass * len..(pass + 1) * len])
}

/// What the output of layer `k` is multiplied by, which is not the last.
fn mask<'a>(stack: &Stack<f64>, masks: Option<&'a [f64]>, k: usize) -> Option<&'a [f64]> {
    let len = stack.output_len();
    masks.filter(|_| k + 1 < stack.layers()).map(|masks| &masks[k * len..(k + 1) * len])
}

/// All have the same sizes, so it cannot fail.
fn stacked(states: &[Array2<f64>]) -> Array3<f64> {
    let views: Vec<_> = states.iter().map(Array2::view).collect();
    joined(Axis(0), &views).unwrap_or_default()
}

fn joined_by(axis: Axis, outputs: &[Array3<f64>]) -> Array3<f64> {
    let views: Vec<_> = outputs.iter().map(Array3::view).collect();
    concatenate(axis, &views).unwrap_or_default()
}
