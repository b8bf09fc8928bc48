//! The minGRU backward.

use super::{Candidate, Linear, Make, MinGru, Positive};
use crate::math::sigmoid;
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
        Candidate::Linear => backward_pass::<MinGru<Linear>, 1, F>(context, shape, options, buffers),
        Candidate::Positive => backward_pass::<MinGru<Positive>, 1, F>(context, shape, options, buffers),
    }
}

#[inline(always)]
pub(super) unsafe fn cell<G: Make, V: Vector>([p_z, p_c, unused]: [V; MAX_INPUTS], before: V, dy: V) -> ([V; MAX_INPUTS], V) {
    // SAFETY: passed on from the caller.
    unsafe {
        let (z, (c, slope)) = (sigmoid(p_z), G::make(p_c));
        let rest = V::splat(1.0).sub(z);
        let dp_z = dy.mul(c.sub(before)).mul(z).mul(rest);
        ([dp_z, dy.mul(z).mul(slope), unused], dy.mul(rest))
    }
}
