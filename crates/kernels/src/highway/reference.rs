//! The highway stack as it is defined, in float64: specification, oracle and the float64 path.

use ndarray::{Array2, Array3, ArrayView1, ArrayView2, Axis, s};

use super::{NAME, Shape, Stack};
use crate::Error;
use crate::activation::{Activation, Nonlinearity, Relu, Tanh};
use crate::recurrent::reference::sigmoid;

/// Gradients of x and of the weights, in their layouts.
#[derive(Clone, Debug)]
pub struct InputGradients {
    pub x: Array2<f64>,
    pub weight: Array3<f64>,
    pub bias: Array2<f64>,
}

/// x_K [N, D].
pub fn forward(stack: &Stack<f64>, x: &[f64]) -> Result<Array2<f64>, Error> {
    Ok(match stack.nonlinearity {
        Nonlinearity::Tanh => Problem::new(stack, x)?.forward::<Tanh>(),
        Nonlinearity::Relu => Problem::new(stack, x)?.forward::<Relu>(),
    })
}

/// Gradients of everything that [`forward`] read.
pub fn backward(stack: &Stack<f64>, x: &[f64], dy: &[f64]) -> Result<InputGradients, Error> {
    let dy = matrix(&stack.shape, "dy", dy)?;
    Ok(match stack.nonlinearity {
        Nonlinearity::Tanh => Problem::new(stack, x)?.backward::<Tanh>(dy),
        Nonlinearity::Relu => Problem::new(stack, x)?.backward::<Relu>(dy),
    })
}

/// The arguments as arrays.
struct Problem {
    x: Array2<f64>,
    weight: Array3<f64>,
    bias: Array2<f64>,
}

/// One layer: what went in, h and t.
struct Layer {
    x: Array2<f64>,
    h: Array2<f64>,
    t: Array2<f64>,
}

impl Layer {
    fn new<A: Activation>(x: Array2<f64>, weight: ArrayView2<f64>, bias: ArrayView1<f64>) -> Layer {
        let a = x.dot(&weight.t()) + bias;
        let width = x.ncols();
        Layer { h: a.slice(s![.., ..width]).mapv(A::value), t: a.slice(s![.., width..]).mapv(sigmoid), x }
    }

    fn output(&self) -> Array2<f64> {
        &self.t * &self.h + (1.0 - &self.t) * &self.x
    }
}

impl Problem {
    fn new(stack: &Stack<f64>, x: &[f64]) -> Result<Problem, Error> {
        stack.check()?;
        let Shape { width, layers, .. } = stack.shape;
        let wrong = |_| Error::new(NAME, "weight and bias do not fit the sizes");
        let bias = stack.bias.map_or_else(|| vec![0.0; layers * 2 * width], <[f64]>::to_vec);
        Ok(Problem {
            x: matrix(&stack.shape, "x", x)?,
            weight: Array3::from_shape_vec((layers, 2 * width, width), stack.weight.to_vec()).map_err(wrong)?,
            bias: Array2::from_shape_vec((layers, 2 * width), bias).map_err(wrong)?,
        })
    }

    fn layers<A: Activation>(&self) -> (Vec<Layer>, Array2<f64>) {
        let mut x = self.x.clone();
        let mut layers = Vec::new();
        for (weight, bias) in self.weight.axis_iter(Axis(0)).zip(self.bias.rows()) {
            let layer = Layer::new::<A>(x, weight, bias);
            x = layer.output();
            layers.push(layer);
        }
        (layers, x)
    }

    fn forward<A: Activation>(&self) -> Array2<f64> {
        self.layers::<A>().1
    }

    fn backward<A: Activation>(&self, dy: Array2<f64>) -> InputGradients {
        let mut d = InputGradients { x: dy, weight: Array3::zeros(self.weight.dim()), bias: Array2::zeros(self.bias.dim()) };
        for (k, Layer { x, h, t }) in self.layers::<A>().0.iter().enumerate().rev() {
            let da_h = &d.x * t * h.mapv(A::slope);
            let da_t = &d.x * (h - x) * t * (1.0 - t);
            let da = ndarray::concatenate(Axis(1), &[da_h.view(), da_t.view()]).unwrap_or_default();
            d.weight.index_axis_mut(Axis(0), k).assign(&da.t().dot(x));
            d.bias.row_mut(k).assign(&da.sum_axis(Axis(0)));
            d.x = &d.x * (1.0 - t) + da.dot(&self.weight.index_axis(Axis(0), k));
        }
        d
    }
}

fn matrix(shape: &Shape, name: &str, slice: &[f64]) -> Result<Array2<f64>, Error> {
    let (rows, width) = (shape.rows, shape.width);
    Array2::from_shape_vec((rows, width), slice.to_vec())
        .map_err(|_| Error::new(NAME, format!("{name} must hold N*D = {} numbers, got {}", rows * width, slice.len())))
}
