//! One step of the sLSTM for a vector of units, forward and backward.

use crate::math::{exp, sigmoid, tanh};
use crate::vector::Vector;

/// Below this e^x is nothing beside e^0 in float32.
const LOWEST: f32 = -87.0;
/// The largest float below 1.
const BELOW_ONE: f32 = 1.0 - f32::EPSILON / 2.0;

/// What backward reads of a step: the gates, 1 - σ(p_f), and the state after.
#[derive(Clone, Copy)]
pub(super) struct Step<V> {
    pub(super) gates: [V; 4],
    pub(super) open: V,
    pub(super) c: V,
    pub(super) n: V,
}

/// `log(1 + u)` for u within 0 … 1, by the series of 2 artanh(u / (2 + u)).
#[inline(always)]
unsafe fn log_1p<V: Vector>(u: V) -> V {
    // SAFETY: passed on from the caller.
    unsafe {
        let s = u.mul(V::splat(2.0).add(u).recip());
        let square = s.mul(s);
        let mut sum = V::splat(2.0 / 15.0);
        for k in [13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
            sum = sum.mul_add(square, V::splat(2.0 / k));
        }
        s.mul(sum)
    }
}

/// log σ(x) = min(x, 0) - log(1 + e^-|x|)
#[inline(always)]
unsafe fn log_sigmoid<V: Vector>(x: V) -> V {
    // SAFETY: passed on from the caller.
    unsafe {
        let below = x.clamp(V::splat(f32::NEG_INFINITY), V::zero());
        let above = x.clamp(V::zero(), V::splat(f32::INFINITY));
        let small = below.sub(above).clamp(V::splat(LOWEST), V::zero());
        below.sub(log_1p(exp(small)))
    }
}

/// e^x for x <= 0.
#[inline(always)]
unsafe fn exp_below<V: Vector>(x: V) -> V {
    // SAFETY: passed on from the caller.
    unsafe { exp(x.clamp(V::splat(LOWEST), V::zero())) }
}

/// The step and the next h and m, from p and c, n, m before.
#[inline(always)]
pub(super) unsafe fn forward<V: Vector>([p_i, p_f, p_z, p_o]: [V; 4], [c, n, m]: [V; 3]) -> (Step<V>, V, V) {
    // SAFETY: passed on from the caller.
    unsafe {
        let carried = log_sigmoid(p_f).add(m);
        let most = carried.clamp(p_i, V::splat(f32::INFINITY));
        let (i, f) = (exp_below(p_i.sub(most)), exp_below(carried.sub(most)));
        let (z, o) = (tanh(p_z), sigmoid(p_o));
        let c = f.mul_add(c, i.mul(z));
        let n = f.mul_add(n, i);
        let open = V::splat(1.0).sub(sigmoid(p_f));
        (Step { gates: [i, f, z, o], open, c, n }, o.mul(c).mul(n.recip()), most)
    }
}

/// The gradients of p and of c, n, m before, from those of h and of c, n, m after.
#[inline(always)]
pub(super) unsafe fn backward<V: Vector>(step: &Step<V>, [c, n]: [V; 2], dh: V, [dc, dn, dm]: [V; 3]) -> ([V; 4], [V; 3]) {
    // SAFETY: passed on from the caller.
    unsafe {
        let one = V::splat(1.0);
        let Step { gates: [i, f, z, o], open, .. } = *step;
        let inverse = step.n.recip();
        let read = step.c.mul(inverse);
        let dp_o = dh.mul(read).mul(o).mul(one.sub(o));
        let through = dh.mul(o).mul(inverse);
        let (dc, dn) = (dc.add(through), through.neg_mul_add(read, dn));
        let of_i = i.mul(z.mul_add(dc, dn));
        let of_f = f.mul(c.mul_add(dc, n.mul(dn)));
        // m' is whichever was larger: the gate that is 1.
        let most = dm.sub(of_i.add(of_f));
        let by_f = most.zero_where_at_most(f, V::splat(BELOW_ONE));
        let dcarried = of_f.add(by_f);
        let dp_i = of_i.add(most.sub(by_f));
        let dp_z = i.mul(dc).mul(z.neg_mul_add(z, one));
        ([dp_i, dcarried.mul(open), dp_z, dp_o], [f.mul(dc), f.mul(dn), dcarried])
    }
}
