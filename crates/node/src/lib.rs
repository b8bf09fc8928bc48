//! Quarterturn node.
