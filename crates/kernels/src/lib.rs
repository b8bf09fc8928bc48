//! Quarterturn kernels.
