//! The sLSTM: an LSTM with exponential gates, held in range by a stabiliser, whose units read those of their own head only.
//!
//! ```text
//! m' = max(log σ(p_f) + m, p_i)      i = exp(p_i - m')      f = exp(log σ(p_f) + m - m')      z = tanh(p_z)      o = σ(p_o)
//! c' = f ⊙ c + i ⊙ z                 n' = f ⊙ n + i         h' = o ⊙ c' / n'
//! ```
//! with pre-activations p = x_t + R h, x [B, T, 4·H] a linear map of the input that the caller makes, in the order `i, f, z, o`, and R [4·H, E]:
//! row g·H + u holds what gate g of unit u reads of the E units of its head. A state is [4, B, H]: h, c, n, m. Only c/n counts for h, whatever m;
//! the gradient goes through m too, so that those of the last state are exact. float32, float64 through [`reference`].
//! Source: Beck et al. 2024 (xLSTM), section 2.2, with f = σ.
//!
//! Heads and groups of [`ROWS`] rows of the batch are independent: each goes through all of time on one thread, with its R in cache.

mod backward;
mod cell;
mod forward;
pub mod reference;
#[cfg(test)]
mod tests;

pub use backward::{Backward, backward};
pub use forward::{Forward, forward};

use crate::Error;
use crate::matrix::UNIT;
use crate::recurrent::Options;

const NAME: &str = "slstm";

/// Columns of pre-activations.
pub(crate) const GATES: usize = 4;
/// Parts of a state: h, c, n, m.
pub(crate) const STATES: usize = 4;
/// What training keeps of each unit and step: i, f, z, o, 1 - σ(p_f), c, n.
const KEPT: usize = 7;
/// Rows of the batch that go together; fixed, so that results do not depend on threads.
const ROWS: usize = 12;

/// The sizes. Any of them may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// B
    pub batch: usize,
    /// T
    pub time: usize,
    /// N
    pub heads: usize,
    /// E: units of a head; H = N E.
    pub size: usize,
}

impl Shape {
    fn hidden(&self) -> usize {
        self.heads * self.size
    }

    fn y_len(&self) -> usize {
        self.batch * self.time * self.hidden()
    }

    fn state_len(&self) -> usize {
        STATES * self.batch * self.hidden()
    }

    fn weight_len(&self) -> usize {
        GATES * self.hidden() * self.size
    }

    /// E, padded.
    fn wide(&self) -> usize {
        self.size.next_multiple_of(UNIT)
    }

    fn check(&self, options: Options, buffers: &[(&str, &str, usize, Option<usize>)]) -> Result<(), Error> {
        options.check(NAME, &crate::recurrent::Shape { batch: self.batch, time: self.time, input: 0, hidden: self.hidden() })?;
        for &(name, letters, expected, got) in buffers {
            if let Some(got) = got {
                Error::check(NAME, name, letters, expected, got)?;
            }
        }
        Ok(())
    }
}

/// Floats that a training pass keeps for its backward.
#[must_use]
pub fn reserve_len(shape: &Shape) -> usize {
    shape.batch * shape.time * shape.heads * KEPT * shape.wide()
}

/// The rows of one task, of one head.
#[derive(Clone, Copy)]
struct Group<'a> {
    shape: Shape,
    options: Options<'a>,
    head: usize,
    /// The first row, and how many.
    first: usize,
    rows: usize,
}

impl<'a> Group<'a> {
    /// How many groups there are.
    fn count(shape: &Shape) -> usize {
        shape.batch.div_ceil(ROWS) * shape.heads
    }

    fn new(shape: &Shape, options: Options<'a>, index: usize) -> Group<'a> {
        let first = index / shape.heads * ROWS;
        Group { shape: *shape, options, head: index % shape.heads, first, rows: ROWS.min(shape.batch - first) }
    }

    /// The steps of row `r` of the group.
    fn len(&self, r: usize) -> usize {
        self.options.lengths.map_or(self.shape.time, |lengths| usize::try_from(lengths[self.first + r]).unwrap_or(0))
    }

    /// Where in [B, T, H] the units of step `s` of row `r` are; beyond the row's length, where there is no step.
    fn at(&self, r: usize, s: usize) -> usize {
        let len = self.len(r);
        let t = if self.options.reverse && s < len { len - 1 - s } else { s };
        ((self.first + r) * self.shape.time + t) * self.shape.hidden() + self.head * self.shape.size
    }

    /// The same in [B, T, 4·H], of the first gate.
    fn gates_at(&self, r: usize, s: usize) -> usize {
        let start = self.head * self.shape.size;
        (self.at(r, s) - start) * GATES + start
    }

    /// Where in [4, B, H] part `i` of the state of row `r` is.
    fn state_at(&self, r: usize, i: usize) -> usize {
        (i * self.shape.batch + self.first + r) * self.shape.hidden() + self.head * self.shape.size
    }

    /// Where training keeps what it keeps of step `s` of row `r`, every part `wide` floats after the one before.
    fn kept_at(&self, r: usize, s: usize) -> usize {
        (((self.first + r) * self.shape.heads + self.head) * self.shape.time + s) * KEPT * self.shape.wide()
    }
}
