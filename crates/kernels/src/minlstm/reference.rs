//! The minLSTM as it is defined, in float64: specification, oracle and the float64 path.

use super::{Candidate, MinLstm};
use crate::Error;
use crate::mingru::{Linear, Make, Positive};
use crate::recurrent::Options;
use crate::recurrent::reference::sigmoid;
use crate::scan::reference::{InputGradients, Inputs, OutputGradients, Outputs, backward_of, forward_of};
use crate::scan::{MAX_INPUTS, Shape};

/// Outputs; `inputs` is p.
pub fn forward(shape: &Shape, options: Options, candidate: Candidate, inputs: &Inputs<1>) -> Result<Outputs, Error> {
    match candidate {
        Candidate::Linear => forward_of::<MinLstm<Linear>, 1>(shape, options, inputs),
        Candidate::Positive => forward_of::<MinLstm<Positive>, 1>(shape, options, inputs),
    }
}

/// Gradients of everything that [`forward`] read.
pub fn backward(
    shape: &Shape,
    options: Options,
    candidate: Candidate,
    inputs: &Inputs<1>,
    outputs: &OutputGradients,
) -> Result<InputGradients<1>, Error> {
    match candidate {
        Candidate::Linear => backward_of::<MinLstm<Linear>, 1>(shape, options, inputs, outputs),
        Candidate::Positive => backward_of::<MinLstm<Positive>, 1>(shape, options, inputs, outputs),
    }
}

pub(super) fn step<G: Make>([p_f, p_i, p_c]: [f64; MAX_INPUTS], h: f64) -> f64 {
    let (f, i, (c, _)) = (sigmoid(p_f), sigmoid(p_i), G::make_f64(p_c));
    f / (f + i) * h + i / (f + i) * c
}

pub(super) fn step_back<G: Make>([p_f, p_i, p_c]: [f64; MAX_INPUTS], h: f64, dh: f64) -> ([f64; MAX_INPUTS], f64) {
    let (f, i, (c, slope)) = (sigmoid(p_f), sigmoid(p_i), G::make_f64(p_c));
    let square = (f + i).powi(2);
    let df = dh * i * (h - c) / square;
    let di = dh * f * (c - h) / square;
    ([df * f * (1.0 - f), di * i * (1.0 - i), dh * i / (f + i) * slope], dh * f / (f + i))
}
