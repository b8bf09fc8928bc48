//! The minGRU as it is defined, in float64: specification, oracle and the float64 path.

use super::{Candidate, Linear, Make, MinGru, Positive};
use crate::Error;
use crate::recurrent::Options;
use crate::recurrent::reference::sigmoid;
use crate::scan::reference::{InputGradients, Inputs, OutputGradients, Outputs, backward_of, forward_of};
use crate::scan::{MAX_INPUTS, Shape};

/// Outputs; `inputs` is p.
pub fn forward(shape: &Shape, options: Options, candidate: Candidate, inputs: &Inputs<1>) -> Result<Outputs, Error> {
    match candidate {
        Candidate::Linear => forward_of::<MinGru<Linear>, 1>(shape, options, inputs),
        Candidate::Positive => forward_of::<MinGru<Positive>, 1>(shape, options, inputs),
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
        Candidate::Linear => backward_of::<MinGru<Linear>, 1>(shape, options, inputs, outputs),
        Candidate::Positive => backward_of::<MinGru<Positive>, 1>(shape, options, inputs, outputs),
    }
}

pub(super) fn step<G: Make>([p_z, p_c, _]: [f64; MAX_INPUTS], h: f64) -> f64 {
    let (z, (c, _)) = (sigmoid(p_z), G::make_f64(p_c));
    (1.0 - z) * h + z * c
}

pub(super) fn step_back<G: Make>([p_z, p_c, _]: [f64; MAX_INPUTS], h: f64, dh: f64) -> ([f64; MAX_INPUTS], f64) {
    let (z, (c, slope)) = (sigmoid(p_z), G::make_f64(p_c));
    ([dh * (c - h) * z * (1.0 - z), dh * z * slope, 0.0], dh * (1.0 - z))
}
