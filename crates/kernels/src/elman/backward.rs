//! The Elman network backward: the cell, and the pass back through time.

use super::Elman;
use crate::activation::{Activation, Nonlinearity, Relu, Tanh};
use crate::recurrent::{self, Backward, Layer, Packed, Then};
use crate::vector::Vector;
use crate::{Context, Error};

/// The gradients of everything that [`super::forward`] read.
pub fn backward(context: &Context, layer: &Layer, nonlinearity: Nonlinearity, packed: &mut Packed, buffers: Backward) -> Result<(), Error> {
    match nonlinearity {
        Nonlinearity::Tanh => recurrent::backward::<Elman<Tanh>>(context, layer, packed, buffers),
        Nonlinearity::Relu => recurrent::backward::<Elman<Relu>>(context, layer, packed, buffers),
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
