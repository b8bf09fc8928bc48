//! The logarithm of a sum of exponentials over a row of logits, in two passes while the row is in cache: the largest entry, and the sum.

use crate::math::exp;
use crate::vector::Vector;

/// Below this e^x is nothing beside e^0 in float32.
const LOWEST: f32 = -87.0;

/// The largest entry; of nothing -∞. NaN is passed over, and shows in the sum.
#[inline(always)]
pub(crate) fn maximum(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let vectors = x.chunks_exact(16);
    let rest = vectors.remainder();
    for vector in vectors {
        for (lane, value) in lanes.iter_mut().zip(vector) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |most, value| if *value > most { *value } else { most })
}

/// Σ exp(x - largest), in two chains.
#[inline(always)]
pub(crate) unsafe fn sum_of_exponentials<V: Vector>(x: &[f32], largest: f32) -> f32 {
    // SAFETY: the caller has the instruction set; reads stay within the row.
    unsafe {
        let center = V::splat(largest);
        let mut sums = [V::zero(); 2];
        let whole = x.len() - x.len() % (2 * V::LANES);
        for at in (0..whole).step_by(2 * V::LANES) {
            sums[0] = sums[0].add(term(V::load(x.as_ptr().add(at)), center));
            sums[1] = sums[1].add(term(V::load(x.as_ptr().add(at + V::LANES)), center));
        }
        for at in (whole..x.len()).step_by(V::LANES) {
            let len = V::LANES.min(x.len() - at);
            sums[0] = sums[0].add(term(V::load_first(x.as_ptr().add(at), len), center).first(len));
        }
        sums[0].add(sums[1]).sum()
    }
}

/// exp(x - center) for x no larger; above it is only +∞, whose sum is not finite anyway. No closure: those are not compiled for the instruction set.
#[inline(always)]
pub(crate) unsafe fn term<V: Vector>(x: V, center: V) -> V {
    // SAFETY: passed on from the caller.
    unsafe {
        let lowest = V::splat(LOWEST);
        let x = x.sub(center);
        exp(x.clamp(lowest, V::zero())).zero_where_at_most(x, lowest)
    }
}
