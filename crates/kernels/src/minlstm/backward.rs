//! The minLSTM backward.

use super::forward::{exp_neg, shares};
use super::{Candidate, MinLstm};
use crate::mingru::{Linear, Make, Positive};
use crate::recurrent::Options;
use crate::scan::{Backward, MAX_INPUTS, Shape, backward_pass};
use crate::vector::Vector;
use crate::{Context, Error, Number};

/// The gradients of p and of the initial state.
pub fn backward<F: Number>(
    context: &Context,
    shape: &Shape,
    options: Options,
    candidate: Candidate,
    buffers: Backward<1, F>,
) -> Result<(), Error> {
    match candidate {
        Candidate::Linear => backward_pass::<MinLstm<Linear>, 1, F>(context, shape, options, buffers),
        Candidate::Positive => backward_pass::<MinLstm<Positive>, 1, F>(context, shape, options, buffers),
    }
}

#[inline(always)]
pub(super) unsafe fn cell<G: Make, V: Vector>([p_f, p_i, p_c]: [V; MAX_INPUTS], before: V, dy: V) -> ([V; MAX_INPUTS], V) {
    // SAFETY: passed on from the caller.
    unsafe {
        let one = V::splat(1.0);
        let (c, slope) = G::make(p_c);
        let (u, v) = (exp_neg(p_f), exp_neg(p_i));
        let [keep, write] = shares(u, v);
        // d keep/d p_f = keep write (1 - f), d keep/d p_i = -keep write (1 - i), and 1 - f = u / (1 + u).
        let common = dy.mul(before.sub(c)).mul(keep).mul(write);
        let dp_f = common.mul(u.mul(one.add(u).recip()));
        let dp_i = V::zero().sub(common.mul(v.mul(one.add(v).recip())));
        ([dp_f, dp_i, dy.mul(write).mul(slope)], dy.mul(keep))
    }
}
