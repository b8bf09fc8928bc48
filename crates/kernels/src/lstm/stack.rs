//! Several layers and directions of the LSTM as one operation; see [`crate::recurrent::stack`].

pub use crate::recurrent::stack::{Backward, Forward, Schedule, Stack};

use super::Lstm;
use crate::recurrent::{Packed, stack};
use crate::{Context, Error};

/// Floats that [`forward`] saves for [`backward`]: those of each layer and direction, and the outputs of all layers but the last (twice with masks).
#[must_use]
pub fn reserve_len(layers: &Stack, masks: bool) -> usize {
    stack::reserve_len::<Lstm>(layers, masks)
}

/// Runs all layers over all steps; with a reserve, saves for [`backward`].
pub fn forward(context: &Context, layers: &Stack, packed: &mut Vec<Packed>, buffers: Forward) -> Result<(), Error> {
    stack::forward::<Lstm>(context, layers, packed, buffers)
}

/// The gradients of everything that [`forward`] read.
pub fn backward(context: &Context, layers: &Stack, packed: &mut Vec<Packed>, buffers: Backward) -> Result<(), Error> {
    stack::backward::<Lstm>(context, layers, packed, buffers)
}

/// The definition in float64.
pub mod reference {
    use super::{Error, Lstm, Stack, stack};
    use stack::reference::{InputGradients, Inputs, OutputGradients, Outputs};

    /// Outputs of the stack.
    pub fn forward(layers: &Stack<f64>, inputs: &Inputs) -> Result<Outputs, Error> {
        stack::reference::forward::<Lstm>(layers, inputs)
    }

    /// Gradients of everything that [`forward`] read.
    pub fn backward(layers: &Stack<f64>, inputs: &Inputs, outputs: &OutputGradients) -> Result<InputGradients, Error> {
        stack::reference::backward::<Lstm>(layers, inputs, outputs)
    }
}
