//! The LSTM backward: the cell, and the pass back through time.

use super::Lstm;
use crate::math::tanh;
use crate::recurrent::{self, Backward, Layer, Packed, Then};
use crate::vector::Vector;
use crate::{Context, Error, Number};

/// The gradients of everything that [`super::forward`] read.
pub fn backward<F: Number>(context: &Context, layer: &Layer<F>, packed: &mut Packed, buffers: Backward<F>) -> Result<(), Error> {
    recurrent::backward::<Lstm, F>(context, layer, packed, buffers)
}

#[inline(always)]
pub(super) unsafe fn cell<V: Vector>(then: Then) {
    let gate = |place: usize| then.gates.wrapping_add(place * then.stride);
    // SAFETY: `Then` holds LANES floats at each place.
    unsafe {
        let one = V::splat(1.0);
        let (i, f, g, o) = (V::load(gate(0)), V::load(gate(1)), V::load(gate(2)), V::load(gate(3)));
        let tanh_c = tanh(V::load(then.c));
        let dh = V::load(then.dh);
        let d_o = dh.mul(tanh_c);
        let dc = dh.mul(o).mul_add(tanh_c.neg_mul_add(tanh_c, one), V::load(then.dc));
        let (di, df, dg) = (dc.mul(g), dc.mul(V::load(then.c_before)), dc.mul(i));
        // σ' = σ (1 - σ), tanh' = 1 - tanh²
        di.mul(i).mul(one.sub(i)).store(gate(0));
        df.mul(f).mul(one.sub(f)).store(gate(1));
        dg.mul(g.neg_mul_add(g, one)).store(gate(2));
        d_o.mul(o).mul(one.sub(o)).store(gate(3));
        dc.mul(f).store(then.dc);
        V::zero().store(then.dh);
    }
}
