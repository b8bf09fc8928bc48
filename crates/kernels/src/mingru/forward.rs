//! The minGRU forward.

use super::{Candidate, Linear, Make, MinGru, Positive};
use crate::math::sigmoid;
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
        Candidate::Linear => forward_pass::<MinGru<Linear>, 1, F>(context, shape, options, buffers),
        Candidate::Positive => forward_pass::<MinGru<Positive>, 1, F>(context, shape, options, buffers),
    }
}

#[inline(always)]
pub(super) unsafe fn cell<G: Make, V: Vector>([p_z, p_c, _]: [V; MAX_INPUTS], before: V) -> V {
    // SAFETY: passed on from the caller.
    unsafe {
        let (z, (c, _)) = (sigmoid(p_z), G::make(p_c));
        z.mul_add(c, V::splat(1.0).sub(z).mul(before))
    }
}
