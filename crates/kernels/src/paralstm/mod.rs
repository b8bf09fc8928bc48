//! The ParaLSTM: an LSTM with coupled gates and peepholes each of whose units reads itself only, so that all steps can be solved at once.
//!
//! ```text
//! f = σ(p_f + a_f ⊙ h + q_f ⊙ c)      g = tanh(p_g + a_g ⊙ h)      c' = f ⊙ c + (1 - f) ⊙ g
//! o = σ(p_o + a_o ⊙ h + q_o ⊙ c')     h' = o ⊙ tanh(c')
//! ```
//! The pre-activations p [B, T, 3·H], in the order `f, g, o`, are a linear map of the input that the caller makes; the weights [5, H] are
//! `a_f, a_g, a_o, q_f, q_o`; h [B, T, H]. Gates are computed again on the way back: c alone is kept. float32, float64 through [`reference`].
//! Source: Danieli et al. 2025 (ParaRNN), section 3; how it is solved: [`crate::diagonal`].

mod backward;
mod forward;
pub mod reference;

pub use backward::backward;
pub use forward::forward;

use crate::diagonal::{DiagonalCell, GATES, Gradients, MAX_STATES, MAX_WEIGHTS};
use crate::math::{sigmoid, tanh};
use crate::recurrent::reference::sigmoid as sigmoid_f64;
use crate::scan::Shape;
use crate::vector::Vector;

/// Floats that a training pass keeps for its backward: c of every step.
#[must_use]
pub fn reserve_len(shape: &Shape) -> usize {
    crate::diagonal::reserve_len::<ParaLstm>(shape)
}

pub(crate) struct ParaLstm;

impl DiagonalCell for ParaLstm {
    const NAME: &'static str = "paralstm";
    const STATES: usize = 2;
    const WEIGHTS: usize = 5;

    #[inline(always)]
    unsafe fn forward<V: Vector>(
        [p_f, p_g, p_o]: [V; GATES],
        [a_f, a_g, a_o, q_f, q_o]: [V; MAX_WEIGHTS],
        [h, c]: [V; MAX_STATES],
    ) -> [V; MAX_STATES] {
        // SAFETY: passed on from the caller.
        unsafe {
            let f = sigmoid(q_f.mul_add(c, a_f.mul_add(h, p_f)));
            let g = tanh(a_g.mul_add(h, p_g));
            let next = f.mul_add(c, V::splat(1.0).sub(f).mul(g));
            let o = sigmoid(q_o.mul_add(next, a_o.mul_add(h, p_o)));
            [o.mul(tanh(next)), next]
        }
    }

    #[inline(always)]
    unsafe fn backward<V: Vector>(
        [p_f, p_g, p_o]: [V; GATES],
        [a_f, a_g, a_o, q_f, q_o]: [V; MAX_WEIGHTS],
        [h, c]: [V; MAX_STATES],
        [dh, dc]: [V; MAX_STATES],
    ) -> Gradients<V> {
        // SAFETY: passed on from the caller.
        unsafe {
            let one = V::splat(1.0);
            let f = sigmoid(q_f.mul_add(c, a_f.mul_add(h, p_f)));
            let g = tanh(a_g.mul_add(h, p_g));
            let write = one.sub(f);
            let next = f.mul_add(c, write.mul(g));
            let o = sigmoid(q_o.mul_add(next, a_o.mul_add(h, p_o)));
            let read = tanh(next);
            let dp_o = dh.mul(read).mul(o).mul(one.sub(o));
            let dnext = dh.mul(o).mul_add(read.neg_mul_add(read, one), dp_o.mul_add(q_o, dc));
            let dp_f = dnext.mul(c.sub(g)).mul(f).mul(write);
            let dp_g = dnext.mul(write).mul(g.neg_mul_add(g, one));
            let dh = dp_f.mul_add(a_f, dp_g.mul_add(a_g, dp_o.mul(a_o)));
            let dc = dnext.mul_add(f, dp_f.mul(q_f));
            let w = [dp_f.mul(h), dp_g.mul(h), dp_o.mul(h), dp_f.mul(c), dp_o.mul(next)];
            Gradients { p: [dp_f, dp_g, dp_o], w, s: [dh, dc] }
        }
    }

    fn step([p_f, p_g, p_o]: [f64; GATES], [a_f, a_g, a_o, q_f, q_o]: [f64; MAX_WEIGHTS], [h, c]: [f64; MAX_STATES]) -> [f64; MAX_STATES] {
        let f = sigmoid_f64(p_f + a_f * h + q_f * c);
        let next = f * c + (1.0 - f) * (p_g + a_g * h).tanh();
        let o = sigmoid_f64(p_o + a_o * h + q_o * next);
        [o * next.tanh(), next]
    }

    fn step_back(
        [p_f, p_g, p_o]: [f64; GATES],
        [a_f, a_g, a_o, q_f, q_o]: [f64; MAX_WEIGHTS],
        [h, c]: [f64; MAX_STATES],
        [dh, dc]: [f64; MAX_STATES],
    ) -> Gradients<f64> {
        let (f, g) = (sigmoid_f64(p_f + a_f * h + q_f * c), (p_g + a_g * h).tanh());
        let next = f * c + (1.0 - f) * g;
        let (o, read) = (sigmoid_f64(p_o + a_o * h + q_o * next), next.tanh());
        let dp_o = dh * read * o * (1.0 - o);
        let dnext = dc + dh * o * (1.0 - read * read) + dp_o * q_o;
        let dp_f = dnext * (c - g) * f * (1.0 - f);
        let dp_g = dnext * (1.0 - f) * (1.0 - g * g);
        let s = [dp_f * a_f + dp_g * a_g + dp_o * a_o, dnext * f + dp_f * q_f];
        Gradients { p: [dp_f, dp_g, dp_o], w: [dp_f * h, dp_g * h, dp_o * h, dp_f * c, dp_o * next], s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paralstm_obeys_the_laws_of_diagonal_recurrences() {
        crate::diagonal::laws::all::<ParaLstm>();
    }
}
