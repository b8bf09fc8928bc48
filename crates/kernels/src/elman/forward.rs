//! The Elman network forward: the cell, and the pass over time for inference and training.

use super::{Activation, Elman, Nonlinearity, Relu, Tanh};
use crate::math::tanh;
use crate::recurrent::{self, Forward, Layer, Now, Packed};
use crate::vector::Vector;
use crate::{Context, Error};

/// Runs the layer over all steps; with a reserve, saves for [`super::backward`].
pub fn forward(context: &Context, layer: &Layer, nonlinearity: Nonlinearity, packed: &mut Packed, buffers: Forward) -> Result<(), Error> {
    match nonlinearity {
        Nonlinearity::Tanh => recurrent::forward::<Elman<Tanh>>(context, layer, packed, buffers),
        Nonlinearity::Relu => recurrent::forward::<Elman<Relu>>(context, layer, packed, buffers),
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

impl Activation for Tanh {
    #[inline(always)]
    unsafe fn forward<V: Vector>(x: V) -> V {
        // SAFETY: passed on from the caller.
        unsafe { tanh(x) }
    }

    #[inline(always)]
    unsafe fn backward<V: Vector>(y: V, dy: V) -> V {
        // SAFETY: passed on from the caller.
        unsafe { dy.mul(y.neg_mul_add(y, V::splat(1.0))) }
    }

    fn value(x: f64) -> f64 {
        x.tanh()
    }

    fn slope(y: f64) -> f64 {
        1.0 - y * y
    }
}

impl Activation for Relu {
    #[inline(always)]
    unsafe fn forward<V: Vector>(x: V) -> V {
        // SAFETY: passed on from the caller.
        unsafe { x.zero_where_at_most(x, V::zero()) }
    }

    #[inline(always)]
    unsafe fn backward<V: Vector>(y: V, dy: V) -> V {
        // SAFETY: passed on from the caller.
        unsafe { dy.zero_where_at_most(y, V::zero()) }
    }

    fn value(x: f64) -> f64 {
        // NaN stays NaN, unlike with f64::max.
        if x <= 0.0 { 0.0 } else { x }
    }

    fn slope(y: f64) -> f64 {
        if y <= 0.0 { 0.0 } else { 1.0 }
    }
}
