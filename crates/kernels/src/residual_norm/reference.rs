//! Residual addition and norm as they are defined, in float64: specification, oracle and the float64 path.

use ndarray::{Array1, Array2, ArrayView1, Axis};

use super::{Kind, NAME, Norm, Shape};
use crate::Error;

/// What a pass reads, as in [`super::Forward`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Inputs<'a> {
    pub x: &'a [f64],
    pub residual: Option<&'a [f64]>,
    pub weight: Option<&'a [f64]>,
    pub bias: Option<&'a [f64]>,
}

/// s and y, [N, D] each.
#[derive(Clone, Debug)]
pub struct Outputs {
    pub sum: Array2<f64>,
    pub y: Array2<f64>,
}

/// Gradients of x (and of the residual), weight and bias.
#[derive(Clone, Debug)]
pub struct InputGradients {
    pub x: Array2<f64>,
    pub weight: Array1<f64>,
    pub bias: Array1<f64>,
}

/// s and y.
pub fn forward(shape: &Shape, norm: Norm, inputs: &Inputs) -> Result<Outputs, Error> {
    let Arguments { sum, weight, bias } = Arguments::new(shape, inputs)?;
    let mut y = sum.clone();
    for mut row in y.rows_mut() {
        let (normal, _) = normalise(norm, row.view());
        row.assign(&(normal * &weight + &bias));
    }
    Ok(Outputs { sum, y })
}

/// Gradients from those of y and, where the stream goes on, of s.
pub fn backward(shape: &Shape, norm: Norm, inputs: &Inputs, dy: &[f64], dsum: Option<&[f64]>) -> Result<InputGradients, Error> {
    let Arguments { sum, weight, .. } = Arguments::new(shape, inputs)?;
    let dy = matrix(shape, "dy", Some(dy))?;
    let mut d = InputGradients { x: matrix(shape, "dsum", dsum)?, weight: Array1::zeros(shape.width), bias: Array1::zeros(shape.width) };
    for (row, (sum, dy)) in sum.axis_iter(Axis(0)).zip(dy.axis_iter(Axis(0))).enumerate() {
        let mut dx = d.x.row_mut(row);
        dx += &normalise_back(norm, sum, (&dy * &weight).view());
        d.weight += &(&dy * &normalise(norm, sum).0);
        d.bias += &dy;
    }
    Ok(d)
}

/// A normalised row, and ρ.
pub(crate) fn normalise(norm: Norm, row: ArrayView1<f64>) -> (Array1<f64>, f64) {
    let mean = if norm.kind == Kind::Layer { row.sum() / row.len() as f64 } else { 0.0 };
    let centered = row.mapv(|x| x - mean);
    let scale = 1.0 / (centered.dot(&centered) / row.len() as f64 + norm.eps).sqrt();
    (centered * scale, scale)
}

/// The gradient of a row from that of its normalised form.
pub(crate) fn normalise_back(norm: Norm, row: ArrayView1<f64>, dnormal: ArrayView1<f64>) -> Array1<f64> {
    let (normal, scale) = normalise(norm, row);
    let width = row.len() as f64;
    let mean = if norm.kind == Kind::Layer { dnormal.sum() / width } else { 0.0 };
    (&dnormal - mean - &normal * (dnormal.dot(&normal) / width)) * scale
}

struct Arguments {
    sum: Array2<f64>,
    weight: Array1<f64>,
    bias: Array1<f64>,
}

impl Arguments {
    fn new(shape: &Shape, inputs: &Inputs) -> Result<Arguments, Error> {
        let vector = |name: &str, slice: Option<&[f64]>, absent: f64| {
            let Some(slice) = slice else { return Ok(Array1::from_elem(shape.width, absent)) };
            Error::check(NAME, name, "D", shape.width, slice.len())?;
            Ok(Array1::from(slice.to_vec()))
        };
        Ok(Arguments {
            sum: matrix(shape, "x", Some(inputs.x))? + matrix(shape, "residual", inputs.residual)?,
            weight: vector("weight", inputs.weight, 1.0)?,
            bias: vector("bias", inputs.bias, 0.0)?,
        })
    }
}

fn matrix(shape: &Shape, name: &str, slice: Option<&[f64]>) -> Result<Array2<f64>, Error> {
    let dim = (shape.rows, shape.width);
    let Some(slice) = slice else { return Ok(Array2::zeros(dim)) };
    Array2::from_shape_vec(dim, slice.to_vec())
        .map_err(|_| Error::new(NAME, format!("{name} must hold N*D = {} numbers, got {}", dim.0 * dim.1, slice.len())))
}
