//! The ParaGRU: a GRU each of whose units reads itself only, so that all steps can be solved at once.
//!
//! ```text
//! z = σ(p_z + a_z ⊙ h)      r = σ(p_r + a_r ⊙ h)      c = tanh(p_c + a_c ⊙ r ⊙ h)      h' = (1 - z) ⊙ h + z ⊙ c
//! ```
//! The pre-activations p [B, T, 3·H], in the order `z, r, c`, are a linear map of the input that the caller makes; a [3, H]; h [B, T, H].
//! Gates are computed again on the way back: nothing is kept. float32, float64 through [`reference`].
//! Source: Danieli et al. 2025 (ParaRNN), section 3; how it is solved: [`crate::diagonal`].

mod backward;
mod forward;
pub mod reference;

pub use backward::backward;
pub use forward::forward;

use crate::diagonal::{DiagonalCell, GATES, Gradients, MAX_STATES, MAX_WEIGHTS};
use crate::math::{sigmoid, tanh};
use crate::recurrent::reference::sigmoid as sigmoid_f64;
use crate::vector::Vector;

pub(crate) struct ParaGru;

impl DiagonalCell for ParaGru {
    const NAME: &'static str = "paragru";
    const STATES: usize = 1;
    const WEIGHTS: usize = 3;

    #[inline(always)]
    unsafe fn forward<V: Vector>([p_z, p_r, p_c]: [V; GATES], w: [V; MAX_WEIGHTS], [h, unused]: [V; MAX_STATES]) -> [V; MAX_STATES] {
        // SAFETY: passed on from the caller.
        unsafe {
            let z = sigmoid(w[0].mul_add(h, p_z));
            let r = sigmoid(w[1].mul_add(h, p_r));
            let c = tanh(w[2].mul_add(r.mul(h), p_c));
            [z.mul_add(c, V::splat(1.0).sub(z).mul(h)), unused]
        }
    }

    #[inline(always)]
    unsafe fn backward<V: Vector>(
        [p_z, p_r, p_c]: [V; GATES],
        w: [V; MAX_WEIGHTS],
        [h, unused]: [V; MAX_STATES],
        [d, _]: [V; MAX_STATES],
    ) -> Gradients<V> {
        // SAFETY: passed on from the caller.
        unsafe {
            let one = V::splat(1.0);
            let z = sigmoid(w[0].mul_add(h, p_z));
            let r = sigmoid(w[1].mul_add(h, p_r));
            let read = r.mul(h);
            let c = tanh(w[2].mul_add(read, p_c));
            let keep = one.sub(z);
            let dp_z = d.mul(c.sub(h)).mul(z).mul(keep);
            let dp_c = d.mul(z).mul(c.neg_mul_add(c, one));
            let dread = dp_c.mul(w[2]);
            let dp_r = dread.mul(read).mul(one.sub(r));
            let dh = dread.mul_add(r, d.mul(keep));
            let dh = dp_r.mul_add(w[1], dp_z.mul_add(w[0], dh));
            Gradients { p: [dp_z, dp_r, dp_c], w: [dp_z.mul(h), dp_r.mul(h), dp_c.mul(read), unused, unused], s: [dh, unused] }
        }
    }

    fn step([p_z, p_r, p_c]: [f64; GATES], [a_z, a_r, a_c, ..]: [f64; MAX_WEIGHTS], [h, _]: [f64; MAX_STATES]) -> [f64; MAX_STATES] {
        let (z, r) = (sigmoid_f64(p_z + a_z * h), sigmoid_f64(p_r + a_r * h));
        let c = (p_c + a_c * r * h).tanh();
        [(1.0 - z) * h + z * c, 0.0]
    }

    fn step_back(
        [p_z, p_r, p_c]: [f64; GATES],
        [a_z, a_r, a_c, ..]: [f64; MAX_WEIGHTS],
        [h, _]: [f64; MAX_STATES],
        [d, _]: [f64; MAX_STATES],
    ) -> Gradients<f64> {
        let (z, r) = (sigmoid_f64(p_z + a_z * h), sigmoid_f64(p_r + a_r * h));
        let c = (p_c + a_c * r * h).tanh();
        let dp_z = d * (c - h) * z * (1.0 - z);
        let dp_c = d * z * (1.0 - c * c);
        let dp_r = dp_c * a_c * h * r * (1.0 - r);
        let dh = d * (1.0 - z) + dp_z * a_z + dp_r * a_r + dp_c * a_c * r;
        Gradients { p: [dp_z, dp_r, dp_c], w: [dp_z * h, dp_r * h, dp_c * r * h, 0.0, 0.0], s: [dh, 0.0] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragru_obeys_the_laws_of_diagonal_recurrences() {
        crate::diagonal::laws::all::<ParaGru>();
    }
}
