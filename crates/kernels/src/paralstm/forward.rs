//! The ParaLstm forward.

use super::ParaLstm;
use crate::diagonal::{Forward, Solver, forward_pass};
use crate::recurrent::Options;
use crate::scan::Shape;
use crate::{Context, Error};

/// Runs over all steps; `y` is h. Returns how many rows Newton's method did not solve.
pub fn forward(context: &Context, shape: &Shape, options: Options, solver: Solver, buffers: Forward) -> Result<usize, Error> {
    forward_pass::<ParaLstm>(context, shape, options, solver, buffers)
}
