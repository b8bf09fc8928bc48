//! Matrix products.
use crate::call::{Call, Outputs};

/// `matmul`: batched, with broadcasting of the leading dimensions.
pub fn matmul(call: &Call) -> Outputs {
    Ok(vec![call.input(0)?.f_matmul(call.input(1)?)?])
}

/// `linear`: x · weightᵀ + bias.
pub fn linear(call: &Call) -> Outputs {
    Ok(vec![call.input(0)?.f_linear(call.input(1)?, call.optional(2))?])
}
