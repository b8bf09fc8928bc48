//! Several layers and directions of the GRU as one operation; see [`crate::recurrent::stack`].

pub use crate::recurrent::stack::{Backward, Forward, Schedule, Stack};

use super::Gru;
use crate::recurrent::{Packed, stack};
use crate::{Context, Error};

/// Floats that [`forward`] saves for [`backward`]: those of each layer and direction, and the outputs of all layers but the last (twice with masks).
#[must_use]
pub fn reserve_len(layers: &Stack, masks: bool) -> usize {
    stack::reserve_len::<Gru>(layers, masks)
}

/// Runs all layers over all steps; with a reserve, saves for [`backward`].
pub fn forward(context: &Context, layers: &Stack, packed: &mut Vec<Packed>, buffers: Forward) -> Result<(), Error> {
    stack::forward::<Gru>(context, layers, packed, buffers)
}

/// The gradients of everything that [`forward`] read.
pub fn backward(context: &Context, layers: &Stack, packed: &mut Vec<Packed>, buffers: Backward) -> Result<(), Error> {
    stack::backward::<Gru>(context, layers, packed, buffers)
}

/// The definition in float64.
pub mod reference {
    use super::{Error, Gru, Stack, stack};
    use stack::reference::{InputGradients, Inputs, OutputGradients, Outputs};

    /// Outputs of the stack.
    pub fn forward(layers: &Stack<f64>, inputs: &Inputs) -> Result<Outputs, Error> {
        stack::reference::forward::<Gru>(layers, inputs)
    }

    /// Gradients of everything that [`forward`] read.
    pub fn backward(layers: &Stack<f64>, inputs: &Inputs, outputs: &OutputGradients) -> Result<InputGradients, Error> {
        stack::reference::backward::<Gru>(layers, inputs, outputs)
    }
}
