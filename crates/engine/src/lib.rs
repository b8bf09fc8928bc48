//! Quarterturn engine.
