//! The likeliest entries of rows of logits, and the logarithm of the sum that normalises each row, in one pass over what a decoder's step gives.
//!
//! ```text
//! top_k(x)   the k largest x_v, the largest first; of equal ones the lower v first
//! log_sum    log Σ_v exp(x_v)                     so that log p_v = x_v - log_sum
//! ```
//! x [N, V], read row by row. float32, sums in float32; float64 through [`reference`]. A softmax, a logarithm and a selection over all of [N, V]
//! would each read and write the whole once more. An entry of -∞ is never among the likeliest; NaN and +∞ make a `log_sum` that is not finite.

mod forward;
pub mod reference;
#[cfg(test)]
mod tests;

pub use forward::{Forward, forward};

/// Where fewer than k entries are above -∞.
pub const NONE: u32 = u32::MAX;

const NAME: &str = "likeliest";

/// Puts an entry where it belongs among those kept, the largest first; the smallest falls out. Entries come in the order of their indices.
#[inline(always)]
fn keep<F: Copy + PartialOrd>(values: &mut [F], indices: &mut [u32], value: F, index: u32) {
    let mut place = values.len() - 1;
    while place > 0 && values[place - 1] < value {
        values[place] = values[place - 1];
        indices[place] = indices[place - 1];
        place -= 1;
    }
    values[place] = value;
    indices[place] = index;
}
