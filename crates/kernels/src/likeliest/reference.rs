//! The likeliest entries as they are defined, in float64: specification, oracle and the float64 path.

use super::{NONE, keep};

/// The `values.len()` largest entries of a row, the largest first, and the logarithm of the sum of all exponentials.
pub fn row(x: &[f64], values: &mut [f64], indices: &mut [u32]) -> f64 {
    values.fill(f64::NEG_INFINITY);
    indices.fill(NONE);
    for (&value, index) in x.iter().zip(0..) {
        if values.last().is_some_and(|smallest| value > *smallest) {
            keep(values, indices, value, index);
        }
    }
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}
