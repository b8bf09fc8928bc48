//! The nonlinearities that a caller may choose, each known to the compiler where it is used.

use crate::math::tanh;
use crate::vector::Vector;

/// The nonlinearity φ of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nonlinearity {
    #[default]
    Tanh,
    Relu,
}

/// φ over vectors and over float64; its slope is a function of its value.
pub(crate) trait Activation: Send + Sync + 'static {
    unsafe fn forward<V: Vector>(x: V) -> V;
    /// `dy` times the slope where the value is `y`.
    unsafe fn backward<V: Vector>(y: V, dy: V) -> V;
    fn value(x: f64) -> f64;
    fn slope(y: f64) -> f64;
}

pub(crate) struct Tanh;
pub(crate) struct Relu;

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
