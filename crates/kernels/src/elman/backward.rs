//! The Elman network backward: the cell, and the pass back through time.

use super::Elman;
use crate::activation::{Activation, Nonlinearity, Relu, Tanh};
use crate::recurrent::{self, Backward, Layer, Packed, Then};
use crate::vector::Vector;
use crate::{Context, Error, Number};

/// The gradients of everything that [`super::forward`] read.
pub fn backward<F: Number>(
    context: &Context,
    layer: &Layer<F>,
    nonlinearity: Nonlinearity,
    packed: &mut Packed,
    buffers: Backward<F>,
) -> Result<(), Error> {
    match nonlinearity {
        Nonlinearity::Tanh => recurrent::backward::<Elman<Tanh>, F>(context, layer, packed, buffers),
        Nonlinearity::Relu => recurrent::backward::<Elman<Relu>, F>(context, layer, packed, buffers),
    }
}

#[inline(always)]
pub(super) unsafe fn cell<A: Activation, V: Vector>(then: Then) {
    // SAFETY: `Then` holds LANES floats at each place.
    unsafe {
        A::backward(V::load(then.gates), V::load(then.dh)).store(then.gates);
        V::zero().store(then.dh);
    }
}
