//! The ParaLstm backward.

use super::ParaLstm;
use crate::diagonal::{Backward, backward_pass};
use crate::recurrent::Options;
use crate::scan::Shape;
use crate::{Context, Error};

/// The gradients of p, the weights and the initial state.
pub fn backward(context: &Context, shape: &Shape, options: Options, buffers: Backward) -> Result<(), Error> {
    backward_pass::<ParaLstm>(context, shape, options, buffers)
}
