//! The LSTM as it is defined, in float64: specification, oracle and the float64 path.

use ndarray::{Array1, ArrayView1, s};

use super::Lstm;
use crate::Error;
use crate::recurrent::Layer;
use crate::recurrent::reference::{self, Definition, InputGradients, Inputs, OutputGradients, Outputs, Stepped, SteppedBack, sigmoid};

/// Outputs of the layer.
pub fn forward(layer: &Layer<f64>, inputs: &Inputs) -> Result<Outputs, Error> {
    reference::forward::<Lstm>(layer, inputs)
}

/// Gradients of everything that [`forward`] read.
pub fn backward(layer: &Layer<f64>, inputs: &Inputs, outputs: &OutputGradients) -> Result<InputGradients, Error> {
    reference::backward::<Lstm>(layer, inputs, outputs)
}

/// The activated gates, and tanh of the new c.
pub(crate) struct Saved {
    i: Array1<f64>,
    f: Array1<f64>,
    g: Array1<f64>,
    o: Array1<f64>,
    tanh_c: Array1<f64>,
}

impl Definition for Lstm {
    type Saved = Saved;

    fn step(input: ArrayView1<f64>, hidden: ArrayView1<f64>, h: ArrayView1<f64>, c: ArrayView1<f64>) -> Stepped<Saved> {
        let a = &input + &hidden;
        let gate = |k: usize| a.slice(s![k * h.len()..(k + 1) * h.len()]);
        let i = gate(0).mapv(sigmoid);
        let f = gate(1).mapv(sigmoid);
        let g = gate(2).mapv(f64::tanh);
        let o = gate(3).mapv(sigmoid);
        let c = &f * &c + &i * &g;
        let tanh_c = c.mapv(f64::tanh);
        Stepped { h: &o * &tanh_c, c, saved: Saved { i, f, g, o, tanh_c } }
    }

    fn step_back(saved: &Saved, _h: ArrayView1<f64>, c: ArrayView1<f64>, dh: ArrayView1<f64>, dc: ArrayView1<f64>) -> SteppedBack {
        let Saved { i, f, g, o, tanh_c } = saved;
        let dc = &dc + &dh * o * (1.0 - tanh_c * tanh_c);
        let di = &dc * g * i * (1.0 - i);
        let df = &dc * &c * f * (1.0 - f);
        let dg = &dc * i * (1.0 - g * g);
        let d_o = &dh * tanh_c * o * (1.0 - o);
        let da: Array1<f64> = [di, df, dg, d_o].into_iter().flatten().collect();
        SteppedBack { input: da.clone(), hidden: da, h: Array1::zeros(dh.len()), c: dc * f }
    }
}
