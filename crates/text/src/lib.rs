//! Texts as numbers of pieces. No tensor, no JavaScript.
mod byte_pairs;
mod error;

pub use byte_pairs::{BytePairs, Training};
pub use error::{Code, Fault};
