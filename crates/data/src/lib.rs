//! Readers of data files. No tensor, no JavaScript: bytes come in, columns of numbers and text go out.
pub mod csv;
mod error;
mod rows;

pub use error::{Code, Fault, Place};
pub use rows::read_rows;
