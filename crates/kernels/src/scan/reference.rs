//! Recurrences without hidden products as they are defined, in float64: specification, oracle and the float64 path.

use ndarray::{Array2, Array3, Axis};

use super::{LinearCell, MAX_INPUTS, Scan, Shape, input_columns};
use crate::Error;
use crate::recurrent::Options;

/// What a pass reads, as in [`super::Forward`].
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, const N: usize> {
    pub inputs: [&'a [f64]; N],
    pub y_0: Option<&'a [f64]>,
}

/// y [B, T, H] and y_n [B, H].
#[derive(Clone, Debug)]
pub struct Outputs {
    pub y: Array3<f64>,
    pub y_n: Array2<f64>,
}

/// Gradients of [`Outputs`]; absent means zeros.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputGradients<'a> {
    pub y: Option<&'a [f64]>,
    pub y_n: Option<&'a [f64]>,
}

/// Gradients of [`Inputs`], in their layouts.
#[derive(Clone, Debug)]
pub struct InputGradients<const N: usize> {
    pub inputs: [Vec<f64>; N],
    pub y_0: Array2<f64>,
}

/// Outputs of the scan; `inputs` are a and b.
pub fn forward(shape: &Shape, options: Options, inputs: &Inputs<2>) -> Result<Outputs, Error> {
    forward_of::<Scan, 2>(shape, options, inputs)
}

/// Gradients of everything that [`forward`] read.
pub fn backward(shape: &Shape, options: Options, inputs: &Inputs<2>, outputs: &OutputGradients) -> Result<InputGradients<2>, Error> {
    backward_of::<Scan, 2>(shape, options, inputs, outputs)
}

pub(crate) fn forward_of<C: LinearCell, const N: usize>(shape: &Shape, options: Options, inputs: &Inputs<N>) -> Result<Outputs, Error> {
    let at = At::new::<C, N>(shape, options, inputs)?;
    let mut y = Array3::zeros((shape.batch, shape.time, shape.hidden));
    let mut y_n = states(shape, C::NAME, "y_0", inputs.y_0)?;
    for b in 0..shape.batch {
        for t in at.places(b) {
            for unit in 0..shape.hidden {
                y_n[[b, unit]] = C::step(at.inputs::<C, N>(inputs, b, t, unit), y_n[[b, unit]]);
                y[[b, t, unit]] = y_n[[b, unit]];
            }
        }
    }
    Ok(Outputs { y, y_n })
}

pub(crate) fn backward_of<C: LinearCell, const N: usize>(
    shape: &Shape,
    options: Options,
    inputs: &Inputs<N>,
    outputs: &OutputGradients,
) -> Result<InputGradients<N>, Error> {
    let at = At::new::<C, N>(shape, options, inputs)?;
    let y = forward_of::<C, N>(shape, options, inputs)?.y;
    let y_0 = states(shape, C::NAME, "y_0", inputs.y_0)?;
    let mut d =
        InputGradients { inputs: inputs.inputs.map(|input| vec![0.0; input.len()]), y_0: states(shape, C::NAME, "dy_n", outputs.y_n)? };
    for b in 0..shape.batch {
        let places = at.places(b);
        for (s, &t) in places.iter().enumerate().rev() {
            let before = if s == 0 { y_0.row(b) } else { y.index_axis(Axis(0), b).index_axis_move(Axis(0), places[s - 1]) };
            for unit in 0..shape.hidden {
                let dy = d.y_0[[b, unit]] + outputs.y.map_or(0.0, |dy| dy[(b * shape.time + t) * shape.hidden + unit]);
                let (dinput, dbefore) = C::step_back(at.inputs::<C, N>(inputs, b, t, unit), before[unit], dy);
                d.y_0[[b, unit]] = dbefore;
                for i in 0..C::INPUTS {
                    let (tensor, place) = at.place(i, b, t, unit);
                    d.inputs[tensor][place] = dinput[i];
                }
            }
        }
    }
    Ok(d)
}

/// Where things are.
struct At<'a> {
    shape: Shape,
    options: Options<'a>,
    columns: usize,
}

impl<'a> At<'a> {
    fn new<C: LinearCell, const N: usize>(shape: &Shape, options: Options<'a>, inputs: &Inputs<N>) -> Result<At<'a>, Error> {
        shape.check(C::NAME, options)?;
        let columns = input_columns::<C>(C::NAME, shape, &inputs.inputs.map(<[f64]>::len))?;
        Ok(At { shape: *shape, options, columns })
    }

    /// The places of row `b`'s steps in x and y, in the order of computation.
    fn places(&self, b: usize) -> Vec<usize> {
        let len = self.options.lengths.map_or(self.shape.time, |lengths| usize::try_from(lengths[b]).unwrap_or(0));
        if self.options.reverse { (0..len).rev().collect() } else { (0..len).collect() }
    }

    /// Which tensor holds input `i`, and where in it.
    fn place(&self, i: usize, b: usize, t: usize, unit: usize) -> (usize, usize) {
        let row = b * self.shape.time + t;
        if self.columns == 1 { (i, row * self.shape.hidden + unit) } else { (0, (row * self.columns + i) * self.shape.hidden + unit) }
    }

    fn inputs<C: LinearCell, const N: usize>(&self, inputs: &Inputs<N>, b: usize, t: usize, unit: usize) -> [f64; MAX_INPUTS] {
        let mut values = [0.0; MAX_INPUTS];
        for (i, value) in values.iter_mut().enumerate().take(C::INPUTS) {
            let (tensor, place) = self.place(i, b, t, unit);
            *value = inputs.inputs[tensor][place];
        }
        values
    }
}

fn states(shape: &Shape, op: &'static str, name: &str, slice: Option<&[f64]>) -> Result<Array2<f64>, Error> {
    let dim = (shape.batch, shape.hidden);
    let Some(slice) = slice else { return Ok(Array2::zeros(dim)) };
    Array2::from_shape_vec(dim, slice.to_vec())
        .map_err(|_| Error::new(op, format!("{name} must hold B*H = {} numbers, got {}", dim.0 * dim.1, slice.len())))
}
