//! Dense recurrences as they are defined, in float64 over `ndarray`: specification and oracle of the fast passes, and the float64 path.
//!
//! A [`Definition`] says what one step does between its two linear maps. Row by row and step by step:
//!
//! ```text
//! input = W_ih x_t + b_ih      hidden = W_hh h + b_hh      (h, c) ← step(input, hidden, h, c)      y_t = h
//! ```

use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2, Axis, s};

use super::layout::Steps;
use super::{Cell, Layer, Weights};
use crate::Error;

/// What a pass reads. Slices as in [`super::Forward`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Inputs<'a> {
    pub x: &'a [f64],
    pub h_0: Option<&'a [f64]>,
    /// LSTM only.
    pub c_0: Option<&'a [f64]>,
}

/// What a pass gives: y [B, T, H], h_n and c_n [B, H].
#[derive(Clone, Debug)]
pub struct Outputs {
    pub y: Array3<f64>,
    pub h_n: Array2<f64>,
    /// Zeros for a cell without c.
    pub c_n: Array2<f64>,
}

/// Gradients of [`Outputs`]; absent means zeros.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputGradients<'a> {
    pub y: Option<&'a [f64]>,
    pub h_n: Option<&'a [f64]>,
    pub c_n: Option<&'a [f64]>,
}

/// Gradients of [`Inputs`] and of the weights, in their layouts.
#[derive(Clone, Debug)]
pub struct InputGradients {
    pub x: Array3<f64>,
    pub h_0: Array2<f64>,
    pub c_0: Array2<f64>,
    pub weight_ih: Array2<f64>,
    pub weight_hh: Array2<f64>,
    pub bias_ih: Array1<f64>,
    pub bias_hh: Array1<f64>,
}

/// One step of a recurrence for one row.
pub(crate) trait Definition: Cell {
    /// What backward wants to know of the step.
    type Saved;

    /// New h and c, from `input` and `hidden` [G·H] and from h and c before [H].
    fn step(input: ArrayView1<f64>, hidden: ArrayView1<f64>, h: ArrayView1<f64>, c: ArrayView1<f64>) -> Stepped<Self::Saved>;

    /// Gradients of what `step` read, from those of what it gave.
    fn step_back(saved: &Self::Saved, h: ArrayView1<f64>, c: ArrayView1<f64>, dh: ArrayView1<f64>, dc: ArrayView1<f64>) -> SteppedBack;
}

pub(crate) struct Stepped<S> {
    pub(crate) h: Array1<f64>,
    pub(crate) c: Array1<f64>,
    pub(crate) saved: S,
}

pub(crate) struct SteppedBack {
    pub(crate) input: Array1<f64>,
    pub(crate) hidden: Array1<f64>,
    /// Of h before, without what goes through `hidden`.
    pub(crate) h: Array1<f64>,
    pub(crate) c: Array1<f64>,
}

pub(crate) fn forward<D: Definition>(layer: &Layer<f64>, inputs: &Inputs) -> Result<Outputs, Error> {
    let problem = Problem::new::<D>(layer, inputs)?;
    let shape = layer.shape;
    let (mut h_n, mut c_n) = (problem.h_0.clone(), problem.c_0.clone());
    let mut y = Array3::zeros((shape.batch, shape.time, shape.hidden));
    for b in 0..shape.batch {
        for s in problem.steps.of_row(b) {
            let t = problem.steps.t(s);
            let stepped = problem.step::<D>(b, t, h_n.row(b), c_n.row(b));
            y.slice_mut(s![b, t, ..]).assign(&stepped.h);
            h_n.row_mut(b).assign(&stepped.h);
            c_n.row_mut(b).assign(&stepped.c);
        }
    }
    Ok(Outputs { y, h_n, c_n })
}

pub(crate) fn backward<D: Definition>(layer: &Layer<f64>, inputs: &Inputs, outputs: &OutputGradients) -> Result<InputGradients, Error> {
    let problem = Problem::new::<D>(layer, inputs)?;
    let shape = layer.shape;
    let (rows, states) = (D::gates() * shape.hidden, (shape.batch, shape.hidden));
    let dy = array3(D::NAME, "dy", (shape.batch, shape.time, shape.hidden), outputs.y)?;
    let mut d = InputGradients {
        x: Array3::zeros(problem.x.dim()),
        h_0: array2(D::NAME, "dh_n", states, outputs.h_n)?,
        c_0: array2(D::NAME, "dc_n", states, outputs.c_n)?,
        weight_ih: Array2::zeros((rows, shape.input)),
        weight_hh: Array2::zeros((rows, shape.hidden)),
        bias_ih: Array1::zeros(rows),
        bias_hh: Array1::zeros(rows),
    };
    for b in 0..shape.batch {
        // Forward once more, keeping each step.
        let mut steps = Vec::new();
        let (mut h, mut c) = (problem.h_0.row(b).to_owned(), problem.c_0.row(b).to_owned());
        for s in problem.steps.of_row(b) {
            let t = problem.steps.t(s);
            let stepped = problem.step::<D>(b, t, h.view(), c.view());
            steps.push((t, h, c, stepped.saved));
            (h, c) = (stepped.h, stepped.c);
        }
        for (t, h, c, saved) in steps.into_iter().rev() {
            let dh = &d.h_0.row(b) + &dy.slice(s![b, t, ..]);
            let back = D::step_back(&saved, h.view(), c.view(), dh.view(), d.c_0.row(b));
            d.x.slice_mut(s![b, t, ..]).assign(&problem.weight_ih.t().dot(&back.input));
            d.h_0.row_mut(b).assign(&(back.h + problem.weight_hh.t().dot(&back.hidden)));
            d.c_0.row_mut(b).assign(&back.c);
            d.weight_ih += &outer(&back.input, problem.x.slice(s![b, t, ..]));
            d.weight_hh += &outer(&back.hidden, h.view());
            d.bias_ih += &back.input;
            d.bias_hh += &back.hidden;
        }
    }
    Ok(d)
}

/// The arguments of a pass as arrays.
struct Problem<'a> {
    steps: Steps<'a>,
    x: Array3<f64>,
    h_0: Array2<f64>,
    c_0: Array2<f64>,
    weight_ih: Array2<f64>,
    weight_hh: Array2<f64>,
    bias_ih: Array1<f64>,
    bias_hh: Array1<f64>,
}

impl<'a> Problem<'a> {
    fn new<D: Definition>(layer: &Layer<'a, f64>, inputs: &Inputs) -> Result<Problem<'a>, Error> {
        layer.check(D::NAME, D::gates())?;
        let shape = layer.shape;
        let Weights { weight_ih, weight_hh, bias_ih, bias_hh } = layer.weights;
        let rows = D::gates() * shape.hidden;
        let states = (shape.batch, shape.hidden);
        Ok(Problem {
            steps: Steps::new(layer.shape.time, layer.options),
            x: array3(D::NAME, "x", (shape.batch, shape.time, shape.input), Some(inputs.x))?,
            h_0: array2(D::NAME, "h_0", states, inputs.h_0)?,
            c_0: array2(D::NAME, "c_0", states, inputs.c_0)?,
            weight_ih: array2(D::NAME, "weight_ih", (rows, shape.input), Some(weight_ih))?,
            weight_hh: array2(D::NAME, "weight_hh", (rows, shape.hidden), Some(weight_hh))?,
            bias_ih: bias_ih.map_or_else(|| Array1::zeros(rows), |bias| Array1::from(bias.to_vec())),
            bias_hh: bias_hh.map_or_else(|| Array1::zeros(rows), |bias| Array1::from(bias.to_vec())),
        })
    }

    fn step<D: Definition>(&self, b: usize, t: usize, h: ArrayView1<f64>, c: ArrayView1<f64>) -> Stepped<D::Saved> {
        let input = self.weight_ih.dot(&self.x.slice(s![b, t, ..])) + &self.bias_ih;
        let hidden = self.weight_hh.dot(&h) + &self.bias_hh;
        D::step(input.view(), hidden.view(), h, c)
    }
}

pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn outer(a: &Array1<f64>, b: ArrayView1<f64>) -> Array2<f64> {
    let (column, row): (ArrayView2<f64>, ArrayView2<f64>) = (a.view().insert_axis(Axis(1)), b.insert_axis(Axis(0)));
    &column * &row
}

fn array2(op: &'static str, name: &str, dim: (usize, usize), slice: Option<&[f64]>) -> Result<Array2<f64>, Error> {
    let Some(slice) = slice else { return Ok(Array2::zeros(dim)) };
    Array2::from_shape_vec(dim, slice.to_vec())
        .map_err(|_| Error::new(op, format!("{name} must have shape {dim:?}, got {} numbers", slice.len())))
}

fn array3(op: &'static str, name: &str, dim: (usize, usize, usize), slice: Option<&[f64]>) -> Result<Array3<f64>, Error> {
    let Some(slice) = slice else { return Ok(Array3::zeros(dim)) };
    Array3::from_shape_vec(dim, slice.to_vec())
        .map_err(|_| Error::new(op, format!("{name} must have shape {dim:?}, got {} numbers", slice.len())))
}
