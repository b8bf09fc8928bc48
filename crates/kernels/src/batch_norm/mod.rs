//! Batch normalisation in training, with the addition and the ReLU that follow it in a residual block, in two passes over memory each way.
//!
//! ```text
//! mean = Σ x / R      var = Σ (x - mean)² / R      ρ = 1 / sqrt(var + eps)      of each channel, over the R rows
//! y = relu((x - mean) ρ ⊙ weight + bias + r)
//! ```
//! x, r and y [R, C]: images as they lie in memory with their channels last, R = N·H·W. weight, bias, mean and var [C]. float32, sums in blocks and
//! these in float64; float64 through [`reference`]. As PyTorch's `relu(batch_norm(x) + r)` in training; running statistics are the caller's.
//! Sources: Ioffe and Szegedy 2015; He et al. 2016.

mod backward;
mod forward;
pub mod reference;

pub use backward::{Backward, backward};
pub use forward::{Forward, forward};

/// The sizes. Either may be 0; without rows there is nothing to normalise by, and y is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// R
    pub rows: usize,
    /// C
    pub channels: usize,
}

/// Whether negative results become 0, and what keeps ρ finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    pub relu: bool,
    pub eps: f64,
}

const NAME: &str = "batch_norm";

/// Rows that are gone over channel by channel before the next ones come: few enough to stay in the first two caches.
fn block_rows(channels: usize) -> usize {
    const BYTES: usize = 128 << 10;
    (BYTES / (size_of::<f32>() * channels.max(1))).clamp(4, 512)
}

#[cfg(test)]
mod tests;
