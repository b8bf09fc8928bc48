//! The gated linear scan, and the passes of every recurrence whose gates do not read the state.
//!
//! ```text
//! y_t = a_t ⊙ y_(t-1) + b_t
//! ```
//! a, b and y [B, T, H]; float32 and bfloat16, the state in float32; float64 through [`reference`]. Source: Martin and Cundy 2018, section 2.2.
//!
//! Such a recurrence is bound by memory, not by arithmetic: each task walks its rows once, in order, with the state in L1, and writes
//! past the caches where the output is larger than they are. Cells with gates ([`crate::mingru`], [`crate::minlstm`]) activate them on
//! the way, forward and again backward, so that nothing but their input and y is ever stored.

mod backward;
mod forward;
pub mod reference;

pub use backward::{Backward, backward};
pub use forward::{Forward, forward};

pub(crate) use backward::backward_pass;
pub(crate) use forward::{Split, forward_pass, places};

use crate::Error;
use crate::recurrent::Options;
use crate::vector::Vector;

/// The sizes of a scan. Any of them may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// B
    pub batch: usize,
    /// T
    pub time: usize,
    /// H
    pub hidden: usize,
}

/// The most values that a cell reads per unit and step.
pub(crate) const MAX_INPUTS: usize = 3;

/// A recurrence per unit: no unit reads another.
pub(crate) trait LinearCell: Send + Sync + 'static {
    const NAME: &'static str;
    /// Values per unit and step, `MAX_INPUTS` at most.
    const INPUTS: usize;

    /// y from the inputs and from y of the step before.
    unsafe fn forward<V: Vector>(input: [V; MAX_INPUTS], before: V) -> V;

    /// The gradients of the inputs, and of y of the step before, from that of y.
    unsafe fn backward<V: Vector>(input: [V; MAX_INPUTS], before: V, dy: V) -> ([V; MAX_INPUTS], V);

    /// [`Self::forward`] in float64.
    fn step(input: [f64; MAX_INPUTS], before: f64) -> f64;

    /// [`Self::backward`] in float64.
    fn step_back(input: [f64; MAX_INPUTS], before: f64, dy: f64) -> ([f64; MAX_INPUTS], f64);
}

/// a and b given.
struct Scan;

impl LinearCell for Scan {
    const NAME: &'static str = "scan";
    const INPUTS: usize = 2;

    #[inline(always)]
    unsafe fn forward<V: Vector>([a, b, _]: [V; MAX_INPUTS], before: V) -> V {
        // SAFETY: passed on from the caller.
        unsafe { a.mul_add(before, b) }
    }

    #[inline(always)]
    unsafe fn backward<V: Vector>([a, _, unused]: [V; MAX_INPUTS], before: V, dy: V) -> ([V; MAX_INPUTS], V) {
        // SAFETY: passed on from the caller.
        unsafe { ([dy.mul(before), dy, unused], dy.mul(a)) }
    }

    fn step([a, b, _]: [f64; MAX_INPUTS], before: f64) -> f64 {
        a * before + b
    }

    fn step_back([a, ..]: [f64; MAX_INPUTS], before: f64, dy: f64) -> ([f64; MAX_INPUTS], f64) {
        ([dy * before, dy, 0.0], dy * a)
    }
}

impl Shape {
    fn len(&self) -> usize {
        self.batch * self.time * self.hidden
    }

    fn check(&self, op: &'static str, options: Options) -> Result<(), Error> {
        options.check(op, &crate::recurrent::Shape { batch: self.batch, time: self.time, input: 0, hidden: self.hidden })
    }
}

/// How inputs lie in memory: apart, [B, T, H] each, or side by side in one [B, T, N·H].
fn input_columns<C: LinearCell>(op: &'static str, shape: &Shape, lens: &[usize]) -> Result<usize, Error> {
    let columns = C::INPUTS / lens.len();
    let letters = if columns == 1 { "B*T*H".to_owned() } else { format!("B*T*{columns}*H") };
    for len in lens {
        Error::check(op, "each input", &letters, shape.len() * columns, *len)?;
    }
    Ok(columns)
}

#[cfg(test)]
pub(crate) mod laws;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scan_obeys_the_laws_of_linear_recurrences() {
        laws::all::<Scan, 2>();
    }
}
