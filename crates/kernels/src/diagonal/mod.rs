//! Recurrences whose gates read the state, each unit its own only: state-to-state weights are diagonal.
//!
//! ```text
//! s_t = F(p_t, s_(t-1))
//! ```
//! Units do not mix within a step, so a pass is a walk like that of [`crate::scan`], with F in place of a multiply-add. Or all steps are one
//! system of equations, solved by Newton's method ([`Solver::Newton`]): each iteration is a linear recurrence, whose coefficients, the
//! Jacobians, are those of all steps at once. Backward is one linear recurrence from the last step to the first: the Jacobians transposed.
//! Sources: Danieli et al. 2025 (ParaRNN); Lim et al. 2024 (DEER).

mod backward;
mod forward;
mod newton;
pub mod reference;

#[cfg(test)]
pub(crate) mod laws;

pub use backward::Backward;
pub use forward::Forward;

pub(crate) use backward::backward_pass;
pub(crate) use forward::forward_pass;

use crate::Error;
use crate::recurrent::Options;
use crate::scan::Shape;
use crate::vector::Vector;

/// Columns of pre-activations.
pub(crate) const GATES: usize = 3;
/// The most states: h, then c.
pub(crate) const MAX_STATES: usize = 2;
/// The most rows of weights.
pub(crate) const MAX_WEIGHTS: usize = 5;

/// How the steps are computed. The results are the same but for rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Solver {
    /// One after the other.
    #[default]
    Sequential,
    /// In three Newton iterations over all steps, from F(p_t, 0); a row in which an equation is then off by more than rounding is computed
    /// one step after the other. Pays where there are far more threads than rows, since it computes every gate four times.
    Newton,
}

/// F, for one vector of units, and as it is defined.
pub(crate) trait DiagonalCell: Send + Sync + 'static {
    const NAME: &'static str;
    /// 1: h; 2: h and c.
    const STATES: usize;
    const WEIGHTS: usize;

    /// The next state.
    unsafe fn forward<V: Vector>(p: [V; GATES], w: [V; MAX_WEIGHTS], s: [V; MAX_STATES]) -> [V; MAX_STATES];

    /// The gradients of p, w and s from that of the next state.
    unsafe fn backward<V: Vector>(p: [V; GATES], w: [V; MAX_WEIGHTS], s: [V; MAX_STATES], d: [V; MAX_STATES]) -> Gradients<V>;

    /// [`Self::forward`] in float64.
    fn step(p: [f64; GATES], w: [f64; MAX_WEIGHTS], s: [f64; MAX_STATES]) -> [f64; MAX_STATES];

    /// [`Self::backward`] in float64.
    fn step_back(p: [f64; GATES], w: [f64; MAX_WEIGHTS], s: [f64; MAX_STATES], d: [f64; MAX_STATES]) -> Gradients<f64>;
}

/// Gradients of what a step reads.
#[derive(Clone, Copy)]
pub(crate) struct Gradients<V> {
    pub(crate) p: [V; GATES],
    pub(crate) w: [V; MAX_WEIGHTS],
    pub(crate) s: [V; MAX_STATES],
}

/// Floats that a training pass keeps for its backward: c of every step, where there is one.
pub(crate) fn reserve_len<C: DiagonalCell>(shape: &Shape) -> usize {
    if C::STATES == 2 { shape.batch * shape.time * shape.hidden } else { 0 }
}

/// Refuses buffers, by name and letters, that do not hold what they must.
fn check<C: DiagonalCell>(shape: &Shape, options: Options, buffers: &[(&str, &str, usize, Option<usize>)]) -> Result<(), Error> {
    let Shape { batch, time, hidden } = *shape;
    options.check(C::NAME, &crate::recurrent::Shape { batch, time, input: 0, hidden })?;
    for &(name, letters, expected, got) in buffers {
        if let Some(got) = got {
            Error::check(C::NAME, name, letters, expected, got)?;
        }
    }
    Ok(())
}

/// The weights of `len` units from `unit` on.
///
/// # Safety
/// `weight` is [WEIGHTS, H].
#[inline(always)]
unsafe fn load_weights<C: DiagonalCell, V: Vector>(weight: *const f32, hidden: usize, unit: usize, len: usize) -> [V; MAX_WEIGHTS] {
    // SAFETY: by the contract.
    unsafe {
        let mut w = [V::zero(); MAX_WEIGHTS];
        for i in 0..C::WEIGHTS {
            w[i] = V::load_first(weight.add(i * hidden + unit), len);
        }
        w
    }
}

/// The pre-activations of `len` units; `p` is that of the first gate.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn load_gates<V: Vector>(p: *const f32, hidden: usize, len: usize) -> [V; GATES] {
    // SAFETY: by the contract.
    unsafe { [V::load_first(p, len), V::load_first(p.add(hidden), len), V::load_first(p.add(2 * hidden), len)] }
}
