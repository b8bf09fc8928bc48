//! The minLSTM: an LSTM whose gates do not read the state and sum to one, as a linear scan.
//!
//! ```text
//! f = σ(p_f)   i = σ(p_i)   c = g(p_c)   h' = f/(f+i) ⊙ h + i/(f+i) ⊙ c
//! ```
//! The pre-activations p [B, T, 3·H], in the order `f, i, c`, are a linear map of the input that the caller makes; h [B, T, H];
//! g is a [`Candidate`]. Gates are activated on the way, forward and backward. float32 and bfloat16, the state in float32; float64 through
//! [`reference`].
//! Source: Feng et al. 2024, section 3.2.

mod backward;
mod forward;
pub mod reference;

use std::marker::PhantomData;

pub use backward::backward;
pub use forward::forward;

pub use crate::mingru::Candidate;
use crate::mingru::Make;
use crate::scan::{LinearCell, MAX_INPUTS};
use crate::vector::Vector;

pub(crate) struct MinLstm<G>(PhantomData<G>);

impl<G: Make> LinearCell for MinLstm<G> {
    const NAME: &'static str = "minlstm";
    const INPUTS: usize = 3;

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
    use crate::mingru::{Linear, Positive};

    #[test]
    fn minlstm_obeys_the_laws_of_linear_recurrences() {
        crate::scan::laws::all::<MinLstm<Linear>, 1>();
        crate::scan::laws::all::<MinLstm<Positive>, 1>();
    }
}
