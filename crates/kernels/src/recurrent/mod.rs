//! What all dense recurrences share: x [B, T, I] → y [B, T, H] through a hidden state, one linear map of the input and one of the state per step.
//!
//! A [`Cell`] says which gates it has and what happens between the linear maps, for one vector of units; the passes over time, the
//! products, the gradients of weights, lengths, direction and threads are written once, here. How a pass goes:
//!
//! - Rows of the batch are independent, so each task takes some rows through all of time, with no barrier ([`plan`]). Where rows are too
//!   few, tasks share the units of the same rows and meet once per step ([`crate::team`]).
//! - Time goes in chunks: the input's share of all gates of a chunk is one large product, used while it is in L2.
//! - One row of gates per step and batch row holds first the input's share, then the sums, then the activated gates, then their gradients.
//! - dx follows each chunk; dW too where it is small, otherwise it is one pass over all of time at the end.

mod backward;
mod buffers;
mod forward;
mod gradient;
#[cfg(test)]
pub(crate) mod laws;
mod layout;
mod packed;
mod plan;
pub mod reference;
pub mod stack;
mod wavefront;

pub use buffers::{Backward, Forward, WeightGradients};
pub use layout::{Layer, Options, Shape};
pub use packed::{Packed, Weights};

pub(crate) use backward::backward;
pub(crate) use forward::forward;
pub(crate) use layout::reserve_len;

use crate::vector::Vector;

/// One column of `H` values in a row of gates: which gate of `weight_ih` and which of `weight_hh` is summed in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) input: Option<usize>,
    pub(crate) hidden: Option<usize>,
}

/// What makes a recurrence: its gates and its arithmetic, for `V::LANES` units of one row at one step.
///
/// # Safety
/// Pointers hold `LANES` floats each; those of [`Now`] and [`Then`] say the rest.
pub(crate) trait Cell: Send + Sync + 'static {
    const NAME: &'static str;
    /// The columns of a row of gates. Those with an input gate are neighbours, and so are those with a hidden gate.
    const COLUMNS: &'static [Column];
    /// Whether a second state, c, goes along.
    const HAS_C: bool;
    /// Whether `backward` reads the state before the step.
    const NEEDS_H: bool;

    /// One step: activates the sums in `now.gates` and writes the new state.
    unsafe fn forward<V: Vector>(now: Now);

    /// One step back: from the gradients of the state after the step to those before it and to those of the sums.
    unsafe fn backward<V: Vector>(then: Then);

    /// Gates of `weight_ih` and `weight_hh`: 4 for the LSTM.
    fn gates() -> usize {
        Self::COLUMNS.iter().filter(|column| column.input.is_some()).count()
    }
}

/// A step of a few units, forward.
#[derive(Clone, Copy)]
pub(crate) struct Now {
    /// In: the sums, one column every `stride` floats. Out, if `keep`: the activated gates.
    pub(crate) gates: *mut f32,
    pub(crate) stride: usize,
    /// Whether backward will want the activated gates.
    pub(crate) keep: bool,
    pub(crate) h_before: *const f32,
    pub(crate) h: *mut f32,
    /// May be the same as `c`; both null for a cell without c.
    pub(crate) c_before: *const f32,
    pub(crate) c: *mut f32,
}

/// A step of a few units, backward.
#[derive(Clone, Copy)]
pub(crate) struct Then {
    /// In: the activated gates. Out: the gradients of the sums.
    pub(crate) gates: *mut f32,
    pub(crate) stride: usize,
    /// Null unless the cell asks for it.
    pub(crate) h_before: *const f32,
    pub(crate) c_before: *const f32,
    pub(crate) c: *const f32,
    /// In: the gradient of h after the step. Out: the part of the gradient before it that does not go through the gates.
    pub(crate) dh: *mut f32,
    /// In and out: the gradient of c.
    pub(crate) dc: *mut f32,
}
