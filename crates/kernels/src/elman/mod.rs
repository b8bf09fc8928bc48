//! The Elman network (PyTorch's `RNN`), one layer and direction.
//!
//! ```text
//! h' = φ(W_ih x + b_ih + W_hh h + b_hh)      φ = tanh or max(0, ·)
//! ```
//! x [B, T, I], y [B, T, H], h [B, H]. float32, sums in float32; float64 through [`reference`]. Source: Elman 1990.

mod backward;
mod forward;
pub mod reference;

use std::marker::PhantomData;

pub use backward::backward;
pub use forward::forward;

pub use crate::activation::Nonlinearity;

use crate::activation::{Activation, Tanh};
use crate::recurrent::{self, Cell, Column, Now, Options, Shape, Then};
use crate::vector::Vector;

/// The Elman network as a recurrent cell, with φ known to the compiler.
pub(crate) struct Elman<A>(PhantomData<A>);

impl<A: Activation> Cell for Elman<A> {
    const NAME: &'static str = "elman";
    const COLUMNS: &'static [Column] = &[Column { input: Some(0), hidden: Some(0) }];
    const HAS_C: bool = false;
    const NEEDS_H: bool = false;

    #[inline(always)]
    unsafe fn forward<V: Vector>(now: Now) {
        // SAFETY: passed on from the caller.
        unsafe { forward::cell::<A, V>(now) }
    }

    #[inline(always)]
    unsafe fn backward<V: Vector>(then: Then) {
        // SAFETY: passed on from the caller.
        unsafe { backward::cell::<A, V>(then) }
    }
}

/// Floats that [`forward`] saves for [`backward`]: 4 bytes per step, row and unit (the new h), with H rounded up to 16; with
/// `recompute` nothing.
#[must_use]
pub fn reserve_len(shape: &Shape, options: Options) -> usize {
    recurrent::reserve_len::<Elman<Tanh>>(shape, options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Relu;

    #[test]
    fn elman_with_tanh_obeys_the_laws_of_recurrences() {
        recurrent::laws::all::<Elman<Tanh>>();
    }

    #[test]
    fn elman_with_relu_obeys_the_laws_of_recurrences() {
        recurrent::laws::all::<Elman<Relu>>();
    }
}
