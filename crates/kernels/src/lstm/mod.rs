//! The LSTM, one layer and direction, exactly PyTorch's.
//!
//! ```text
//! i = σ(W_ii x + b_ii + W_hi h + b_hi)      f = σ(W_if x + b_if + W_hf h + b_hf)
//! g = tanh(W_ig x + b_ig + W_hg h + b_hg)   o = σ(W_io x + b_io + W_ho h + b_ho)
//! c' = f ⊙ c + i ⊙ g                        h' = o ⊙ tanh(c')
//! ```
//! x [B, T, I], y [B, T, H], h and c [B, H]; gates in the order [`GATES`]. float32, sums in float32; float64 through [`reference`].
//! Source: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000.

mod backward;
mod forward;
pub mod reference;
pub mod stack;

pub use backward::backward;
pub use forward::forward;

use crate::recurrent::{self, Cell, Column, Now, Options, Shape, Then};
use crate::vector::Vector;

/// The order of the gates in `weight_ih`, `weight_hh` and the biases.
pub const GATES: [&str; 4] = ["i", "f", "g", "o"];

/// The LSTM as a recurrent cell.
pub(crate) struct Lstm;

impl Cell for Lstm {
    const NAME: &'static str = "lstm";
    const COLUMNS: &'static [Column] = &[
        Column { input: Some(0), hidden: Some(0) },
        Column { input: Some(1), hidden: Some(1) },
        Column { input: Some(2), hidden: Some(2) },
        Column { input: Some(3), hidden: Some(3) },
    ];
    const HAS_C: bool = true;
    const NEEDS_H: bool = false;

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

/// Floats that [`forward`] saves for [`backward`]: 20 bytes per step, row and unit (four gates and c), with H rounded up
/// to 16; with `recompute: k` 4 bytes (c) every k steps.
#[must_use]
pub fn reserve_len(shape: &Shape, options: Options) -> usize {
    recurrent::reserve_len::<Lstm>(shape, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lstm_obeys_the_laws_of_recurrences() {
        recurrent::laws::all::<Lstm>();
    }

    #[test]
    fn stacks_of_lstm_obey_the_laws_of_stacks() {
        recurrent::stack::laws::all::<Lstm>();
    }
}
