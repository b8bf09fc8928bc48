//! The GRU, one layer and direction, exactly PyTorch's: the reset gate acts after the hidden map of n.
//!
//! ```text
//! r = σ(W_ir x + b_ir + W_hr h + b_hr)      z = σ(W_iz x + b_iz + W_hz h + b_hz)
//! m = W_hn h + b_hn                         n = tanh(W_in x + b_in + r ⊙ m)
//! h' = (1 - z) ⊙ n + z ⊙ h
//! ```
//! x [B, T, I], y [B, T, H], h [B, H]; gates in the order [`GATES`]. float32, sums in float32; float64 through [`reference`].
//! Source: Cho et al. 2014, section 2.3, in the variant of cuDNN.

mod backward;
mod forward;
pub mod reference;
pub mod stack;

pub use backward::backward;
pub use forward::forward;

use crate::recurrent::{self, Cell, Column, Now, Options, Shape, Then};
use crate::vector::Vector;

/// The order of the gates in `weight_ih`, `weight_hh` and the biases.
pub const GATES: [&str; 3] = ["r", "z", "n"];

/// The GRU as a recurrent cell. Columns are n, r, z, m: those of the input and those of the state are neighbours.
pub(crate) struct Gru;

/// Places of the columns.
const N: usize = 0;
const R: usize = 1;
const Z: usize = 2;
const M: usize = 3;

impl Cell for Gru {
    const NAME: &'static str = "gru";
    const COLUMNS: &'static [Column] = &[
        Column { input: Some(2), hidden: None },
        Column { input: Some(0), hidden: Some(0) },
        Column { input: Some(1), hidden: Some(1) },
        Column { input: None, hidden: Some(2) },
    ];
    const HAS_C: bool = false;
    const NEEDS_H: bool = true;

    #[inline(always)]
    unsafe fn forward<V: Vector>(now: Now) {
        // SAFETY: passed on from the caller.
        unsafe { forward::cell::<V>(now) }
    }

    #[inline(always)]
    unsafe fn backward<V: Vector>(then: Then) {
        // SAFETY: passed on from the caller.
        unsafe { backward::cell::<V>(then) }
    }
}

/// Floats that [`forward`] saves for [`backward`]: 16 bytes per step, row and unit (r, z, n and m), with H rounded up
/// to 16; with `recompute` nothing.
#[must_use]
pub fn reserve_len(shape: &Shape, options: Options) -> usize {
    recurrent::reserve_len::<Gru>(shape, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gru_obeys_the_laws_of_recurrences() {
        recurrent::laws::all::<Gru>();
    }

    #[test]
    fn stacks_of_gru_obey_the_laws_of_stacks() {
        recurrent::stack::laws::all::<Gru>();
    }
}
