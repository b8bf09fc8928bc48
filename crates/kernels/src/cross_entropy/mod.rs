//! Cross entropy of rows of logits with one class each, and its gradient: one pass over the logits forward, one back, nothing of their size kept.
//!
//! ```text
//! L = log Σ_v exp(x_v)        loss = (1 - ε)(L - x_t) + ε/V Σ_v (L - x_v)        d loss/dx_v = exp(x_v - L) - (1 - ε)[v = t] - ε/V
//! ```
//! x [N, V], t [N] of int64, loss [N]. A row whose class is the ignored one has the loss 0 and no gradient, whatever it holds. ε smooths labels
//! (Szegedy et al. 2016, section 7). float32, sums in float32, loss from float64; float64 through [`reference`].

mod backward;
mod forward;
pub mod reference;
#[cfg(test)]
mod tests;

pub use backward::{Backward, backward};
pub use forward::{Forward, forward};

use crate::{Error, Parallel};

/// The sizes. Any of them may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// N
    pub rows: usize,
    /// V
    pub classes: usize,
}

/// What is the same for all rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The class that stands for none, inside or outside 0..V.
    pub ignore: i64,
    /// ε, within 0..=1.
    pub smoothing: f64,
}

impl Options {
    /// The class of a row that counts.
    fn class(self, target: i64) -> Option<usize> {
        (target != self.ignore).then(|| usize::try_from(target).ok()).flatten()
    }
}

impl Shape {
    fn check(&self, options: Options, x: usize, target: &[i64]) -> Result<(), Error> {
        Error::check(NAME, "x", "N*V", self.rows * self.classes, x)?;
        Error::check(NAME, "target", "N", self.rows, target.len())?;
        let fits = |class: i64| class == options.ignore || usize::try_from(class).is_ok_and(|class| class < self.classes);
        match target.iter().find(|class| !fits(**class)) {
            None => Ok(()),
            Some(class) => Err(Error::new(NAME, format!("target {class} is out of bounds for {} classes", self.classes))),
        }
    }

    /// A row is some kilobytes, so below a few of them a second thread costs more than it saves.
    fn tasks(&self, parallel: &dyn Parallel) -> usize {
        crate::parallel::row_tasks(parallel, self.rows, self.classes)
    }
}

const NAME: &str = "cross_entropy";
