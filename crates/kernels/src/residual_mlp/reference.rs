//! The residual block as it is defined, in float64: specification, oracle and the float64 path.

use ndarray::{Array1, Array2, Axis};

use super::{Block, NAME, Shape};
use crate::Error;
use crate::residual_norm::reference::{normalise, normalise_back};
use crate::residual_norm::{Kind, Norm};

/// Gradients of x and of the weights, in their layouts.
#[derive(Clone, Debug)]
pub struct InputGradients {
    pub x: Array2<f64>,
    pub norm_weight: Array1<f64>,
    pub norm_bias: Array1<f64>,
    pub weight_1: Array2<f64>,
    pub bias_1: Array1<f64>,
    pub weight_2: Array2<f64>,
    pub bias_2: Array1<f64>,
}

/// y [N, D].
pub fn forward(block: &Block<f64>, x: &[f64]) -> Result<Array2<f64>, Error> {
    let problem = Problem::new(block, x)?;
    let u = problem.normal.dot(&problem.weight_1.t()) + &problem.bias_1;
    Ok(&problem.x + u.mapv(gelu).dot(&problem.weight_2.t()) + &problem.bias_2)
}

/// Gradients of everything that [`forward`] read.
pub fn backward(block: &Block<f64>, x: &[f64], dy: &[f64]) -> Result<InputGradients, Error> {
    let problem = Problem::new(block, x)?;
    let dy = matrix("dy", block.shape.rows, block.shape.width, dy)?;
    let u = problem.normal.dot(&problem.weight_1.t()) + &problem.bias_1;
    let du = dy.dot(&problem.weight_2) * u.mapv(gelu_slope);
    let dn = du.dot(&problem.weight_1);
    let mut d = InputGradients {
        weight_2: dy.t().dot(&u.mapv(gelu)),
        bias_2: dy.sum_axis(Axis(0)),
        weight_1: du.t().dot(&problem.normal),
        bias_1: du.sum_axis(Axis(0)),
        norm_weight: Array1::zeros(block.shape.width),
        norm_bias: dn.sum_axis(Axis(0)),
        x: dy,
    };
    for (row, dn) in dn.axis_iter(Axis(0)).enumerate() {
        let x = problem.x.row(row);
        d.norm_weight += &(&dn * &normalise(problem.norm, x).0);
        let mut dx = d.x.row_mut(row);
        dx += &normalise_back(problem.norm, x, (&dn * &problem.norm_weight).view());
    }
    Ok(d)
}

fn gelu(u: f64) -> f64 {
    0.5 * u * (1.0 + inner(u).tanh())
}

fn gelu_slope(u: f64) -> f64 {
    let tanh = inner(u).tanh();
    0.5 * (1.0 + tanh) + 0.5 * u * (1.0 - tanh * tanh) * (2.0 / std::f64::consts::PI).sqrt() * (1.0 + 3.0 * 0.044_715 * u * u)
}

fn inner(u: f64) -> f64 {
    (2.0 / std::f64::consts::PI).sqrt() * (u + 0.044_715 * u.powi(3))
}

/// The arguments as arrays, and LN(x).
struct Problem {
    norm: Norm,
    x: Array2<f64>,
    normal: Array2<f64>,
    norm_weight: Array1<f64>,
    weight_1: Array2<f64>,
    bias_1: Array1<f64>,
    weight_2: Array2<f64>,
    bias_2: Array1<f64>,
}

impl Problem {
    fn new(block: &Block<f64>, x: &[f64]) -> Result<Problem, Error> {
        block.check()?;
        let Shape { rows, width, hidden } = block.shape;
        let weights = &block.weights;
        let vector = |slice: Option<&[f64]>, len: usize, absent: f64| {
            slice.map_or_else(|| Array1::from_elem(len, absent), |slice| Array1::from(slice.to_vec()))
        };
        let norm = Norm { kind: Kind::Layer, eps: block.eps };
        let norm_weight = vector(weights.norm_weight, width, 1.0);
        let norm_bias = vector(weights.norm_bias, width, 0.0);
        let x = matrix("x", rows, width, x)?;
        let mut normal = x.clone();
        for mut row in normal.rows_mut() {
            let (value, _) = normalise(norm, row.view());
            row.assign(&(value * &norm_weight + &norm_bias));
        }
        Ok(Problem {
            norm,
            x,
            normal,
            norm_weight,
            weight_1: matrix("weight_1", hidden, width, weights.weight_1)?,
            bias_1: vector(weights.bias_1, hidden, 0.0),
            weight_2: matrix("weight_2", width, hidden, weights.weight_2)?,
            bias_2: vector(weights.bias_2, width, 0.0),
        })
    }
}

fn matrix(name: &str, rows: usize, columns: usize, slice: &[f64]) -> Result<Array2<f64>, Error> {
    Array2::from_shape_vec((rows, columns), slice.to_vec())
        .map_err(|_| Error::new(NAME, format!("{name} must hold {rows}*{columns} numbers, got {}", slice.len())))
}
