//! Layers and directions of one recurrence as one operation: K layers, each over the output of the one before, in D directions.
//!
//! The equations are those of the layers one after the other ([`reference`]), and so are the results: bit by bit in everything but the
//! gradients of small weights, whose sums over rows may be taken in another order. What is gained is time: passes over different layers
//! and directions run side by side ([`Schedule`]), with K + T - 1 serial steps for K layers in place of K·T ([`super::wavefront`]).

mod backward;
mod buffers;
mod forward;
#[cfg(test)]
pub(crate) mod laws;
pub mod reference;
mod schedule;

pub use buffers::{Backward, Forward};
pub use schedule::Schedule;

pub(crate) use backward::backward;
pub(crate) use forward::forward;

use super::layout::reserve_len as reserve_len_of_layer;
use super::wavefront::Needed;
use super::{Cell, Layer, Options, Shape, Weights};
use crate::Error;

/// Everything about a call but its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Stack<'a, F = f32> {
    /// Sizes of the first layer: later ones read D·H in place of I.
    pub shape: Shape,
    /// D = 2: a second pass over each layer goes from the last step to the first; outputs lie side by side, [B, T, D·H].
    pub bidirectional: bool,
    /// As in [`Options`], for all layers.
    pub lengths: Option<&'a [i64]>,
    /// K·D: by layer and, within a layer, direction.
    pub weights: &'a [Weights<'a, F>],
    /// As in [`Layer`], for all weights.
    pub version: u64,
    /// Absent: [`Schedule::new`] decides.
    pub schedule: Option<Schedule>,
}

impl<'a, F> Stack<'a, F> {
    pub(crate) fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }

    /// K
    pub(crate) fn layers(&self) -> usize {
        self.weights.len() / self.directions()
    }

    /// The layer of a pass.
    pub(crate) fn layer(&self, pass: usize) -> Layer<'a, F>
    where
        F: Copy,
    {
        let first = pass < self.directions();
        let input = if first { self.shape.input } else { self.output() };
        Layer {
            shape: Shape { input, ..self.shape },
            options: Options { reverse: pass % self.directions() == 1, lengths: self.lengths, recompute: None },
            weights: self.weights[pass],
            version: self.version,
        }
    }

    /// The width of a layer's output: D·H.
    pub(crate) fn output(&self) -> usize {
        self.directions() * self.shape.hidden
    }

    /// Numbers in a layer's output.
    pub(crate) fn output_len(&self) -> usize {
        self.shape.batch * self.shape.time * self.output()
    }

    pub(crate) fn check(&self, op: &'static str, gates: usize) -> Result<(), Error>
    where
        F: Copy,
    {
        if self.weights.is_empty() || !self.weights.len().is_multiple_of(self.directions()) {
            let message = format!("weights must be those of K layers in {} directions, got {} sets", self.directions(), self.weights.len());
            return Err(Error::new(op, message));
        }
        (0..self.weights.len()).try_for_each(|pass| self.layer(pass).check(op, gates))
    }

    /// The passes over the layer below (`up` false) or above, and how they go through time: forward ones rise where this pass follows the
    /// order of computing, and fall on the way back.
    fn neighbours(&self, pass: usize, up: bool) -> Vec<Needed> {
        let directions = self.directions();
        let layer = pass / directions;
        let neighbour = if up { Some(layer + 1).filter(|&layer| layer < self.layers()) } else { layer.checked_sub(1) };
        let passes = neighbour.map_or(0..0, |layer| layer * directions..(layer + 1) * directions);
        passes.map(|index| Needed { index, rises: (index % directions == 1) == up }).collect()
    }
}

/// Places in the memory that a forward pass fills and, in training, keeps: for each pass what a single layer would keep; for each layer
/// but the last its output, and where there are masks the output times its mask.
struct Kept {
    passes: Vec<usize>,
    outputs: Vec<usize>,
    dropped: Vec<usize>,
    len: usize,
}

impl Kept {
    fn new<C: Cell>(stack: &Stack, training: bool, masks: bool) -> Kept {
        const LINE: usize = 16;
        let mut len = 0;
        let mut place = |floats: usize| {
            let start = len;
            len += floats.next_multiple_of(LINE);
            start
        };
        let of_pass = |pass: usize| if training { reserve_len_of_layer::<C>(&stack.layer(pass).shape, Options::default()) } else { 0 };
        let passes = (0..stack.weights.len()).map(|pass| place(of_pass(pass))).collect();
        let between = stack.layers() - 1;
        let outputs = (0..between).map(|_| place(stack.output_len())).collect();
        let dropped = (0..between).map(|_| if masks { place(stack.output_len()) } else { 0 }).collect();
        Kept { passes, outputs, dropped, len }
    }

    /// The input of `layer`, which is not the first.
    fn input(&self, layer: usize, masks: bool) -> usize {
        if masks { self.dropped[layer - 1] } else { self.outputs[layer - 1] }
    }
}

/// Floats that a forward pass saves for its backward pass; 0 for a stack that is refused.
pub(crate) fn reserve_len<C: Cell>(stack: &Stack, masks: bool) -> usize {
    if stack.check(C::NAME, C::gates()).is_err() {
        return 0;
    }
    Kept::new::<C>(stack, true, masks).len
}
