//! The minGRU: a GRU whose gate does not read the state, as a linear scan.
//!
//! ```text
//! z = σ(p_z)      c = g(p_c)      h' = (1 - z) ⊙ h + z ⊙ c
//! ```
//! The pre-activations p [B, T, 2·H], in the order `z, c`, are a linear map of the input that the caller makes; h [B, T, H].
//! Gates are activated on the way, forward and backward. float32 and bfloat16, the state in float32; float64 through
//! [`reference`]. Source: Feng et al. 2024, section 3.1.

mod backward;
mod forward;
pub mod reference;

use std::marker::PhantomData;

pub use backward::backward;
pub use forward::forward;

use crate::math::sigmoid;
use crate::recurrent::reference::sigmoid as sigmoid_f64;
use crate::scan::{LinearCell, MAX_INPUTS};
use crate::vector::Vector;

/// g, what makes the candidate of its pre-activation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Candidate {
    /// `g(x) = x`
    #[default]
    Linear,
    /// `g(x) = x + 1/2` from 0 on, `σ(x)` below: always positive, as the log-space form of the paper needs (appendix B).
    Positive,
}

pub(crate) trait Make: Send + Sync + 'static {
    /// g and its slope.
    unsafe fn make<V: Vector>(x: V) -> (V, V);
    fn make_f64(x: f64) -> (f64, f64);
}

pub(crate) struct Linear;
pub(crate) struct Positive;

impl Make for Linear {
    #[inline(always)]
    unsafe fn make<V: Vector>(x: V) -> (V, V) {
        // SAFETY: passed on from the caller.
        unsafe { (x, V::splat(1.0)) }
    }

    fn make_f64(x: f64) -> (f64, f64) {
        (x, 1.0)
    }
}

impl Make for Positive {
    #[inline(always)]
    unsafe fn make<V: Vector>(x: V) -> (V, V) {
        // SAFETY: passed on from the caller.
        unsafe {
            // max(x, 0) + σ(min(x, 0)); the largest negative number stands for "below 0".
            let below = V::splat(-f32::MIN_POSITIVE);
            let s = sigmoid(x.clamp(V::splat(-87.0), V::zero()));
            let slope = s.neg_mul_add(s, s).add(V::splat(0.75).zero_where_at_most(x, below));
            (x.zero_where_at_most(x, V::zero()).add(s), slope)
        }
    }

    fn make_f64(x: f64) -> (f64, f64) {
        if x >= 0.0 {
            (x + 0.5, 1.0)
        } else {
            let s = sigmoid_f64(x);
            (s, s * (1.0 - s))
        }
    }
}

pub(crate) struct MinGru<G>(PhantomData<G>);

impl<G: Make> LinearCell for MinGru<G> {
    const NAME: &'static str = "mingru";
    const INPUTS: usize = 2;

    #[inline(always)]
    unsafe fn forward<V: Vector>(input: [V; MAX_INPUTS], before: V) -> V {
        // SAFETY: passed on from the caller.
        unsafe { forward::cell::<G, V>(input, before) }
    }

    #[inline(always)]
    unsafe fn backward<V: Vector>(input: [V; MAX_INPUTS], before: V, dy: V) -> ([V; MAX_INPUTS], V) {
        // SAFETY: passed on from the caller.
        unsafe { backward::cell::<G, V>(input, before, dy) }
    }

    fn step(input: [f64; MAX_INPUTS], before: f64) -> f64 {
        reference::step::<G>(input, before)
    }

    fn step_back(input: [f64; MAX_INPUTS], before: f64, dy: f64) -> ([f64; MAX_INPUTS], f64) {
        reference::step_back::<G>(input, before, dy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mingru_obeys_the_laws_of_linear_recurrences() {
        crate::scan::laws::all::<MinGru<Linear>, 1>();
        crate::scan::laws::all::<MinGru<Positive>, 1>();
    }
}
