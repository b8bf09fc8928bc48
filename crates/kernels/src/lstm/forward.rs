//! The LSTM forward: the cell, and the pass over time for inference and training.

use super::Lstm;
use crate::math::{sigmoid, tanh};
use crate::recurrent::{self, Forward, Layer, Now, Packed};
use crate::vector::Vector;
use crate::{Context, Error, Number};

/// Runs the layer over all steps; with a reserve, saves for [`super::backward`].
pub fn forward<F: Number>(context: &Context, layer: &Layer<F>, packed: &mut Packed, buffers: Forward<F>) -> Result<(), Error> {
    recurrent::forward::<Lstm, F>(context, layer, packed, buffers)
}

#[inline(always)]
pub(super) unsafe fn cell<V: Vector>(now: Now) {
    let gate = |place: usize| now.gates.wrapping_add(place * now.stride);
    // SAFETY: `Now` holds LANES floats at each place.
    unsafe {
        let i = sigmoid(V::load(gate(0)));
        let f = sigmoid(V::load(gate(1)));
        let g = tanh(V::load(gate(2)));
        let o = sigmoid(V::load(gate(3)));
        let c = f.mul_add(V::load(now.c_before), i.mul(g));
        c.store(now.c);
        o.mul(tanh(c)).store(now.h);
        if now.keep {
            i.store(gate(0));
            f.store(gate(1));
            g.store(gate(2));
            o.store(gate(3));
        }
    }
}
