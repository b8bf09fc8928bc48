//! How the passes over a stack share the threads: a rule with its measurements.

use super::Stack;
use crate::recurrent::Cell;
use crate::recurrent::plan::Plan;

/// Rows of the batch times steps that are done before the layer above may read them: enough for the input's product to be a good one.
const PIECE: usize = 48;

/// Who does what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// One pass after the other, each with all threads: its rows, or the units of a row, are shared.
    LayerByLayer,
    /// The rows are cut into `groups`; over each of them up to `members` passes run at a time, in different layers or directions.
    Wavefront { groups: usize, members: usize },
}

impl Schedule {
    /// The cheapest, by the same count of cycles as for a single layer.
    pub(crate) fn new<C: Cell>(stack: &Stack, lanes: usize, threads: usize) -> Schedule {
        let passes = stack.weights.len();
        let (shape, directions) = (stack.shape, stack.directions());
        let mut best = Schedule::LayerByLayer;
        let mut least = passes as f64 * shape.time as f64 * Plan::new::<C>(&shape, lanes, threads).step::<C>(&shape, lanes);
        for groups in 1..=threads.min(shape.batch).max(1) {
            let members = (threads / groups).min(passes);
            let schedule = Schedule::Wavefront { groups, members };
            let steps = schedule.serial_steps(shape.time, stack.layers(), directions, shape.batch);
            let cost = steps as f64 * Plan { groups, members: 1 }.step::<C>(&shape, lanes);
            if cost < least {
                (best, least) = (schedule, cost);
            }
        }
        best
    }

    /// Steps that follow one another: K·D·T layer by layer, and no more than T + K - 1 where each of K layers has a thread of its own and
    /// hands on every single step. Here they are handed on in pieces.
    #[must_use]
    pub fn serial_steps(&self, time: usize, layers: usize, directions: usize, batch: usize) -> usize {
        match *self {
            Schedule::LayerByLayer => layers * directions * time,
            Schedule::Wavefront { members, .. } if directions == 2 => layers * if members >= 2 { time } else { 2 * time },
            Schedule::Wavefront { groups, members } => {
                layers.div_ceil(members.max(1)) * time + (members.max(1) - 1) * self.piece(batch.div_ceil(groups.max(1))).min(time)
            }
        }
    }

    /// Steps after which a pass over `rows` rows lets others read.
    pub(crate) fn piece(&self, rows: usize) -> usize {
        match self {
            Schedule::Wavefront { members, .. } if *members > 1 => PIECE.div_ceil(rows.max(1)),
            _ => usize::MAX,
        }
    }
}
