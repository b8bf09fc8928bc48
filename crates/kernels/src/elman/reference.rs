//! The Elman network as it is defined, in float64: specification, oracle and the float64 path.

use ndarray::{Array1, ArrayView1};

use super::Elman;
use crate::Error;
use crate::activation::{Activation, Nonlinearity, Relu, Tanh};
use crate::recurrent::Layer;
use crate::recurrent::reference::{self, Definition, InputGradients, Inputs, OutputGradients, Outputs, Stepped, SteppedBack};

/// Outputs of the layer.
pub fn forward(layer: &Layer<f64>, nonlinearity: Nonlinearity, inputs: &Inputs) -> Result<Outputs, Error> {
    match nonlinearity {
        Nonlinearity::Tanh => reference::forward::<Elman<Tanh>>(layer, inputs),
        Nonlinearity::Relu => reference::forward::<Elman<Relu>>(layer, inputs),
    }
}

/// Gradients of everything that [`forward`] read.
pub fn backward(
    layer: &Layer<f64>,
    nonlinearity: Nonlinearity,
    inputs: &Inputs,
    outputs: &OutputGradients,
) -> Result<InputGradients, Error> {
    match nonlinearity {
        Nonlinearity::Tanh => reference::backward::<Elman<Tanh>>(layer, inputs, outputs),
        Nonlinearity::Relu => reference::backward::<Elman<Relu>>(layer, inputs, outputs),
    }
}

impl<A: Activation> Definition for Elman<A> {
    /// h after the step.
    type Saved = Array1<f64>;

    fn step(input: ArrayView1<f64>, hidden: ArrayView1<f64>, _h: ArrayView1<f64>, c: ArrayView1<f64>) -> Stepped<Array1<f64>> {
        let h = (&input + &hidden).mapv(A::value);
        Stepped { h: h.clone(), c: c.to_owned(), saved: h }
    }

    fn step_back(saved: &Array1<f64>, _h: ArrayView1<f64>, _c: ArrayView1<f64>, dh: ArrayView1<f64>, dc: ArrayView1<f64>) -> SteppedBack {
        let da = &dh * &saved.mapv(A::slope);
        SteppedBack { input: da.clone(), hidden: da, h: Array1::zeros(dh.len()), c: dc.to_owned() }
    }
}
