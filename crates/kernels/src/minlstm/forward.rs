//! The minLSTM forward.

use super::{Candidate, MinLstm};
use crate::math::exp;
use crate::mingru::{Linear, Make, Positive};
use crate::recurrent::Options;
use crate::scan::{Forward, MAX_INPUTS, Shape, forward_pass};
use crate::vector::Vector;
use crate::{Context, Error, Number};

/// Runs over all steps; `inputs` is p, `y` is h.
pub fn forward<F: Number>(
    context: &Context,
    shape: &Shape,
    options: Options,
    candidate: Candidate,
    buffers: Forward<1, F>,
) -> Result<(), Error> {
    match candidate {
        Candidate::Linear => forward_pass::<MinLstm<Linear>, 1, F>(context, shape, options, buffers),
        Candidate::Positive => forward_pass::<MinLstm<Positive>, 1, F>(context, shape, options, buffers),
    }
}

#[inline(always)]
pub(super) unsafe fn cell<G: Make, V: Vector>([p_f, p_i, p_c]: [V; MAX_INPUTS], before: V) -> V {
    // SAFETY: passed on from the caller.
    unsafe {
        let (c, _) = G::make(p_c);
        let [keep, write] = shares(exp_neg(p_f), exp_neg(p_i));
        write.mul_add(c, keep.mul(before))
    }
}

/// `e^-p`, held where it or a sum of two would not be finite.
#[inline(always)]
pub(super) unsafe fn exp_neg<V: Vector>(p: V) -> V {
    // SAFETY: passed on from the caller.
    unsafe { exp(V::zero().sub(p).clamp(V::splat(-86.0), V::splat(86.0))) }
}

/// f/(f+i) and i/(f+i) from u = e^-p_f and v = e^-p_i: (1+v)/(2+u+v) and (1+u)/(2+u+v).
#[inline(always)]
pub(super) unsafe fn shares<V: Vector>(u: V, v: V) -> [V; 2] {
    // SAFETY: passed on from the caller.
    unsafe {
        let (a, b) = (V::splat(1.0).add(u), V::splat(1.0).add(v));
        let inverse = a.add(b).recip();
        [b.mul(inverse), a.mul(inverse)]
    }
}
