//! The GRU forward: the cell, and the pass over time for inference and training.

use super::{Gru, M, N, R, Z};
use crate::math::{sigmoid, tanh};
use crate::recurrent::{self, Forward, Layer, Now, Packed};
use crate::vector::Vector;
use crate::{Context, Error, Number};

/// Runs the layer over all steps; with a reserve, saves for [`super::backward`].
pub fn forward<F: Number>(context: &Context, layer: &Layer<F>, packed: &mut Packed, buffers: Forward<F>) -> Result<(), Error> {
    recurrent::forward::<Gru, F>(context, layer, packed, buffers)
}

#[inline(always)]
pub(super) unsafe fn cell<V: Vector>(now: Now) {
    let gate = |place: usize| now.gates.wrapping_add(place * now.stride);
    // SAFETY: `Now` holds LANES floats at each place.
    unsafe {
        let r = sigmoid(V::load(gate(R)));
        let z = sigmoid(V::load(gate(Z)));
        let n = tanh(r.mul_add(V::load(gate(M)), V::load(gate(N))));
        // (1 - z) n + z h = n + z (h - n)
        z.mul_add(V::load(now.h_before).sub(n), n).store(now.h);
        if now.keep {
            n.store(gate(N));
            r.store(gate(R));
            z.store(gate(Z));
        }
    }
}
