//! The ParaLstm as it is defined, in float64: specification, oracle and the float64 path.

use super::ParaLstm;
use crate::Error;
use crate::diagonal::reference::{InputGradients, Inputs, OutputGradients, Outputs, backward_of, forward_of};
use crate::recurrent::Options;
use crate::scan::Shape;

/// Outputs.
pub fn forward(shape: &Shape, options: Options, inputs: &Inputs) -> Result<Outputs, Error> {
    forward_of::<ParaLstm>(shape, options, inputs)
}

/// Gradients of everything that [`forward`] read.
pub fn backward(shape: &Shape, options: Options, inputs: &Inputs, outputs: &OutputGradients) -> Result<InputGradients, Error> {
    backward_of::<ParaLstm>(shape, options, inputs, outputs)
}
