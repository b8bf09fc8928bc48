//! The GRU backward: the cell, and the pass back through time.

use super::{Gru, M, N, R, Z};
use crate::recurrent::{self, Backward, Layer, Packed, Then};
use crate::vector::Vector;
use crate::{Context, Error, Number};

/// The gradients of everything that [`super::forward`] read.
pub fn backward<F: Number>(context: &Context, layer: &Layer<F>, packed: &mut Packed, buffers: Backward<F>) -> Result<(), Error> {
    recurrent::backward::<Gru, F>(context, layer, packed, buffers)
}

#[inline(always)]
pub(super) unsafe fn cell<V: Vector>(then: Then) {
    let gate = |place: usize| then.gates.wrapping_add(place * then.stride);
    // SAFETY: `Then` holds LANES floats at each place.
    unsafe {
        let one = V::splat(1.0);
        let (n, r, z, m) = (V::load(gate(N)), V::load(gate(R)), V::load(gate(Z)), V::load(gate(M)));
        let dh = V::load(then.dh);
        // σ' = σ (1 - σ), tanh' = 1 - tanh²
        let da_n = dh.mul(one.sub(z)).mul(n.neg_mul_add(n, one));
        let da_r = da_n.mul(m).mul(r).mul(one.sub(r));
        let da_z = dh.mul(V::load(then.h_before).sub(n)).mul(z).mul(one.sub(z));
        da_n.store(gate(N));
        da_r.store(gate(R));
        da_z.store(gate(Z));
        da_n.mul(r).store(gate(M));
        dh.mul(z).store(then.dh);
    }
}
