//! The Elman network forward: the cell, and the pass over time for inference and training.

use super::Elman;
use crate::activation::{Activation, Nonlinearity, Relu, Tanh};
use crate::recurrent::{self, Forward, Layer, Now, Packed};
use crate::vector::Vector;
use crate::{Context, Error, Number};

/// Runs the layer over all steps; with a reserve, saves for [`super::backward`].
pub fn forward<F: Number>(
    context: &Context,
    layer: &Layer<F>,
    nonlinearity: Nonlinearity,
    packed: &mut Packed,
    buffers: Forward<F>,
) -> Result<(), Error> {
    match nonlinearity {
        Nonlinearity::Tanh => recurrent::forward::<Elman<Tanh>, F>(context, layer, packed, buffers),
        Nonlinearity::Relu => recurrent::forward::<Elman<Relu>, F>(context, layer, packed, buffers),
    }
}

#[inline(always)]
pub(super) unsafe fn cell<A: Activation, V: Vector>(now: Now) {
    // SAFETY: `Now` holds LANES floats at each place.
    unsafe {
        let h = A::forward(V::load(now.gates));
        h.store(now.h);
        if now.keep {
            h.store(now.gates);
        }
    }
}
