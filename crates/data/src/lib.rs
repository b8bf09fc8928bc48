//! Readers of data files, and augmentation of images. No tensor, no JavaScript: bytes come in, columns of numbers and text go out, or matrices of them.
pub mod augment;
pub mod csv;
mod error;
mod interleave;
mod memory;
mod rows;

pub use error::{Code, Fault, Place};
pub use interleave::{Element, Numbers, interleave};
pub use rows::read_rows;
