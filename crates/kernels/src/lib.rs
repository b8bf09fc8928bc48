//! Quarterturn's CPU kernels: dense recurrences, linear scans and residual blocks, forward and backward, in plain Rust.
//!
//! Each kernel has a readable float64 `reference` (its specification and oracle) and a fast float32 path that is written once over
//! vectors and compiled for AVX-512, AVX2 and plain arithmetic; [`Isa`] picks one at run time. Buffers are slices in torch's layout,
//! batch first and contiguous; threads come from the caller ([`Parallel`]), memory from a [`Pool`] that keeps it.
//! No I/O, no libtorch, no global state but the default pool.

// Vector code is compiled for an instruction set by being inlined into a function that has it enabled (see `vector`).
#![allow(clippy::inline_always)]
// Names of tensors and equations are written as in the papers, not as code: h_0, dW_ih, PyTorch.
#![allow(clippy::doc_markdown)]
// Loops over lanes and tiles go over several arrays of one length; the index says so.
#![allow(clippy::needless_range_loop)]

mod activation;
pub mod attention;
pub mod batch_norm;
mod bfloat16;
mod context;
mod crew;
pub mod cross_entropy;
pub mod delta_rule;
mod denormal;
pub mod diagonal;
pub mod elman;
mod error;
pub mod few_rows;
mod gemm;
pub mod gru;
pub mod highway;
mod isa;
pub mod likeliest;
mod log_sum;
pub mod lstm;
mod math;
mod matrix;
pub mod mingru;
pub mod minlstm;
pub mod paragru;
mod parallel;
pub mod paralstm;
mod pool;
pub mod recurrent;
pub mod residual_mlp;
pub mod residual_norm;
pub mod scan;
pub mod slstm;
mod team;
#[cfg(test)]
mod testing;
mod vector;

pub use bfloat16::{Bf16, Number};
pub use context::Context;
pub use crew::Crew;
pub use error::Error;
pub use isa::{ISA_VARIABLE, Isa};
pub use parallel::{Parallel, Rayon, Serial};
pub use pool::{Buffer, Pool};
