//! Batch normalisation with an addition and a ReLU as it is defined, in float64: specification, oracle and the float64 path.

use ndarray::{Array1, Array2, Axis, Zip};

use super::{NAME, Norm, Shape};
use crate::Error;

/// What a pass reads, as in [`super::Forward`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Inputs<'a> {
    pub x: &'a [f64],
    pub residual: Option<&'a [f64]>,
    pub weight: Option<&'a [f64]>,
    pub bias: Option<&'a [f64]>,
}

/// y [R, C]; mean and variance [C].
#[derive(Clone, Debug)]
pub struct Outputs {
    pub y: Array2<f64>,
    pub mean: Array1<f64>,
    pub variance: Array1<f64>,
}

/// Gradients of x, the residual, weight and bias.
#[derive(Clone, Debug)]
pub struct InputGradients {
    pub x: Array2<f64>,
    pub residual: Array2<f64>,
    pub weight: Array1<f64>,
    pub bias: Array1<f64>,
}

/// y and the statistics.
pub fn forward(shape: &Shape, norm: Norm, inputs: &Inputs) -> Result<Outputs, Error> {
    let Arguments { x, weight, bias } = Arguments::new(shape, inputs)?;
    let (mean, variance) = moments(&x);
    let y = normal(&x, &mean, &variance, norm.eps) * &weight + &bias + matrix(shape, "residual", inputs.residual)?;
    let y = if norm.relu { y.mapv(|y| if y <= 0.0 { 0.0 } else { y }) } else { y };
    Ok(Outputs { y, mean, variance })
}

/// Gradients from that of y.
pub fn backward(shape: &Shape, norm: Norm, inputs: &Inputs, dy: &[f64]) -> Result<InputGradients, Error> {
    let Outputs { y, mean, variance } = forward(shape, norm, inputs)?;
    let Arguments { x, weight, .. } = Arguments::new(shape, inputs)?;
    let mut g = matrix(shape, "dy", Some(dy))?;
    if norm.relu {
        Zip::from(&mut g).and(&y).for_each(|g, &y| *g = if y <= 0.0 { 0.0 } else { *g });
    }
    let normal = normal(&x, &mean, &variance, norm.eps);
    let (dbias, dweight) = (g.sum_axis(Axis(0)), (&g * &normal).sum_axis(Axis(0)));
    let rows = shape.rows as f64;
    let scale = weight / variance.mapv(|variance| (variance + norm.eps).sqrt());
    let x = (&g - &dbias / rows - &normal * &(&dweight / rows)) * &scale;
    Ok(InputGradients { x, residual: g, weight: dweight, bias: dbias })
}

fn moments(x: &Array2<f64>) -> (Array1<f64>, Array1<f64>) {
    let rows = x.nrows().max(1) as f64;
    let mean = x.sum_axis(Axis(0)) / rows;
    let variance = (x - &mean).mapv(|x| x * x).sum_axis(Axis(0)) / rows;
    (mean, variance)
}

fn normal(x: &Array2<f64>, mean: &Array1<f64>, variance: &Array1<f64>, eps: f64) -> Array2<f64> {
    (x - mean) / &variance.mapv(|variance| (variance + eps).sqrt())
}

struct Arguments {
    x: Array2<f64>,
    weight: Array1<f64>,
    bias: Array1<f64>,
}

impl Arguments {
    fn new(shape: &Shape, inputs: &Inputs) -> Result<Arguments, Error> {
        let vector = |name: &str, slice: Option<&[f64]>, absent: f64| {
            let Some(slice) = slice else { return Ok(Array1::from_elem(shape.channels, absent)) };
            Error::check(NAME, name, "C", shape.channels, slice.len())?;
            Ok(Array1::from(slice.to_vec()))
        };
        Ok(Arguments {
            x: matrix(shape, "x", Some(inputs.x))?,
            weight: vector("weight", inputs.weight, 1.0)?,
            bias: vector("bias", inputs.bias, 0.0)?,
        })
    }
}

fn matrix(shape: &Shape, name: &str, slice: Option<&[f64]>) -> Result<Array2<f64>, Error> {
    let dim = (shape.rows, shape.channels);
    let Some(slice) = slice else { return Ok(Array2::zeros(dim)) };
    Error::check(NAME, name, "R*C", dim.0 * dim.1, slice.len())?;
    Ok(Array2::from_shape_vec(dim, slice.to_vec()).unwrap_or_else(|_| Array2::zeros(dim)))
}
