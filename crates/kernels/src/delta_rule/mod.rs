//! The delta rule: a matrix that is written to by correcting what it says of a key, with an optional decay.
//!
//! ```text
//! e_t = v_t - α_t S_(t-1)ᵀ k_t      S_t = α_t S_(t-1) + β_t k_t e_tᵀ      y_t = S_tᵀ q_t
//! ```
//! which is `S_t = α_t (I - β_t k_t k_tᵀ) S_(t-1) + β_t k_t v_tᵀ`. For each row and head: q and k [B, T, N, E], v and y [B, T, N, E'], β and α
//! [B, T, N], S [B, N, E, E']. Keys are taken as they are: of length 1, with β within 0 … 2, no step makes S longer.
//! float32, float64 through [`reference`]. Sources: Schlag et al. 2021; Yang et al. 2024 (Parallelizing Linear Transformers with the Delta
//! Rule); the decay: Yang et al. 2025 (Gated Delta Networks).
//!
//! Time goes in chunks of [`CHUNK`] steps. Within one, with D_ij the product of the decays after step j up to i, and γ_i that from the start,
//! ```text
//! (I + M) E = V - γ ⊙ K S      M_ij = D_ij (k_i·k_j) β_j, j < i          U = β ⊙ E
//! Y = γ ⊙ Q S + P U            P_ij = D_ij (q_i·k_j), j <= i             S' = γ_C S + Kᵀ (D_C ⊙ U)
//! ```
//! This is the WY form of the product of the (I - β k kᵀ); its triangle is solved by substitution, not inverted. So the state is read and
//! written once a chunk, by products. A step alone is a chunk of one. Training keeps E and the state at the start of each chunk.

mod backward;
mod chunk;
mod forward;
pub mod reference;
#[cfg(test)]
mod tests;

pub use backward::{Backward, backward};
pub use forward::{Forward, forward};

use crate::Error;
use crate::recurrent::Options;

const NAME: &str = "delta_rule";

/// Steps that are computed together. Twice as many would halve what training keeps of the state and double the products among steps.
pub(crate) const CHUNK: usize = 32;

/// The sizes. Any of them may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// B
    pub batch: usize,
    /// T
    pub time: usize,
    /// N
    pub heads: usize,
    /// E, of queries and keys.
    pub key: usize,
    /// E', of values.
    pub value: usize,
}

impl Shape {
    fn gates_len(&self) -> usize {
        self.batch * self.time * self.heads
    }

    fn state_len(&self) -> usize {
        self.batch * self.heads * self.key * self.value
    }

    fn check(&self, options: Options, buffers: &[(&str, &str, usize, Option<usize>)]) -> Result<(), Error> {
        options.check(NAME, &crate::recurrent::Shape { batch: self.batch, time: self.time, input: 0, hidden: 0 })?;
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
    shape.batch * shape.heads * chunk::Sizes::new(shape).kept()
}
