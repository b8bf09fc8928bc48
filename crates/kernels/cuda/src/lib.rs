//! Quarterturn's CUDA kernels: one `.cu` file for each recurrence beside this folder, and here how each is launched.
//!
//! A kernel takes one plain struct. Its plan (which grid, how much shared memory, which sizes at all) is made here, once, and carried out by a
//! [`Launcher`]: a device, or the emulation, which is the same source compiled for the CPU, every thread of a block a fibre (feature
//! `emulation`, for tests). Where a plan says no, the caller uses libtorch's operations.
//! The kernels are compiled and emulated; they have not yet run on a device.
//!
//! All sums have a fixed order that depends on the sizes and the card alone, and no float is added atomically: results are the same bits
//! each time, without an option.

#![allow(clippy::doc_markdown)]

pub mod device;
#[cfg(feature = "emulation")]
pub mod emulation;
mod error;
pub mod highway;
mod launch;
pub mod linear;
pub mod recurrent;
pub mod residual_norm;

pub use error::Error;
pub use launch::{Arguments, Card, Dtype, Launch, Launcher, Shared, View};
