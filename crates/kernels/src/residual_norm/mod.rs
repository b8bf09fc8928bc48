//! A residual addition and the norm that follows it, in one pass.
//!
//! ```text
//! s = x + r
//! layer:  y = (s - mean(s)) ρ ⊙ weight + bias     ρ = 1 / sqrt(var(s) + eps), the variance divided by D
//! rms:    y = s ρ ⊙ weight + bias                 ρ = 1 / sqrt(mean(s²) + eps)
//! ```
//! x, r, s and y [N, D], weight and bias [D]. float32, sums in float32; float64 through [`reference`]. As PyTorch's `layer_norm(x + r)` and
//! `rms_norm(x + r)`. Sources: Ba et al. 2016, Zhang and Sennrich 2019.

mod backward;
mod forward;
pub mod reference;

pub use backward::{Backward, backward};
pub use forward::{Forward, forward};

pub(crate) use backward::{RowGradient, row_backward};
pub(crate) use forward::{Affine, row_forward};

/// Which norm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    Layer,
    Rms,
}

/// Which norm, and what keeps it finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    pub kind: Kind,
    pub eps: f64,
}

/// The sizes. Either may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// N
    pub rows: usize,
    /// D
    pub width: usize,
}

const NAME: &str = "residual_norm";

#[cfg(test)]
mod tests;
