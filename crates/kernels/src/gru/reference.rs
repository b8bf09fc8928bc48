//! The GRU as it is defined, in float64: specification, oracle and the float64 path.

use ndarray::{Array1, ArrayView1, s};

use super::Gru;
use crate::Error;
use crate::recurrent::Layer;
use crate::recurrent::reference::{self, Definition, InputGradients, Inputs, OutputGradients, Outputs, Stepped, SteppedBack, sigmoid};

/// Outputs of the layer.
pub fn forward(layer: &Layer<f64>, inputs: &Inputs) -> Result<Outputs, Error> {
    reference::forward::<Gru>(layer, inputs)
}

/// Gradients of everything that [`forward`] read.
pub fn backward(layer: &Layer<f64>, inputs: &Inputs, outputs: &OutputGradients) -> Result<InputGradients, Error> {
    reference::backward::<Gru>(layer, inputs, outputs)
}

/// The activated gates, and the hidden share of n.
pub(crate) struct Saved {
    r: Array1<f64>,
    z: Array1<f64>,
    n: Array1<f64>,
    m: Array1<f64>,
}

impl Definition for Gru {
    type Saved = Saved;

    fn step(input: ArrayView1<f64>, hidden: ArrayView1<f64>, h: ArrayView1<f64>, c: ArrayView1<f64>) -> Stepped<Saved> {
        let gate = |k: usize| s![k * h.len()..(k + 1) * h.len()];
        let r = (&input.slice(gate(0)) + &hidden.slice(gate(0))).mapv(sigmoid);
        let z = (&input.slice(gate(1)) + &hidden.slice(gate(1))).mapv(sigmoid);
        let m = hidden.slice(gate(2)).to_owned();
        let n = (&input.slice(gate(2)) + &r * &m).mapv(f64::tanh);
        Stepped { h: (1.0 - &z) * &n + &z * &h, c: c.to_owned(), saved: Saved { r, z, n, m } }
    }

    fn step_back(saved: &Saved, h: ArrayView1<f64>, _c: ArrayView1<f64>, dh: ArrayView1<f64>, dc: ArrayView1<f64>) -> SteppedBack {
        let Saved { r, z, n, m } = saved;
        let dn = &dh * (1.0 - z) * (1.0 - n * n);
        let dr = &dn * m * r * (1.0 - r);
        let dz = &dh * (&h - n) * z * (1.0 - z);
        let dm = &dn * r;
        SteppedBack {
            input: [&dr, &dz, &dn].into_iter().flatten().copied().collect(),
            hidden: [&dr, &dz, &dm].into_iter().flatten().copied().collect(),
            h: &dh * z,
            c: dc.to_owned(),
        }
    }
}
