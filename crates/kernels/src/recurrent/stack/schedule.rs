//! How the passes over a stack share the threads: a rule with its measurements.

use super::Stack;
use crate::recurrent::Cell;
use crate::recurrent::plan::Plan;

/// Rows of the batch times steps that are done before the layer above may read them: enough for the input's product to be a good one, but
/// no more than so many steps, which the layer above waits for at first.
const PIECE: usize = 48;
const MOST_STEPS: usize = 12;
/// What loading a vector of weights costs beside its products, in products: few rows use it less well than many. Of 128x4x128, two layers
/// forward, processor time is 2.65 ms by rows and 2.10 ms as a wavefront, whose tiles have four rows rather than two.
const LOAD: f64 = 0.5;

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
        let step = |plan: Plan| {
            let vectors = C::gates() * shape.hidden * shape.hidden.div_ceil(lanes).div_ceil(plan.members);
            plan.step::<C>(&shape, lanes) + LOAD * vectors as f64
        };
        let mut least = passes as f64 * shape.time as f64 * step(Plan::new::<C>(&shape, lanes, threads));
        for groups in 1..=threads.min(shape.batch).max(1) {
            let members = (threads / groups).min(passes);
            let schedule = Schedule::Wavefront { groups, members };
            let steps = schedule.serial_steps(shape.time, stack.layers(), directions, shape.batch);
            let cost = steps as f64 * step(Plan { groups, members: 1 });
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
            Schedule::Wavefront { members, .. } if *members > 1 => PIECE.div_ceil(rows.max(1)).min(MOST_STEPS),
            _ => usize::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lstm::Lstm;
    use crate::recurrent::{Shape, Weights};

    const NONE: Weights = Weights { weight_ih: &[], weight_hh: &[], bias_ih: None, bias_hh: None };

    fn chosen(time: usize, batch: usize, hidden: usize, passes: usize, bidirectional: bool, threads: usize) -> Schedule {
        let weights = vec![NONE; passes];
        let shape = Shape { batch, time, input: hidden, hidden };
        let stack = Stack { shape, bidirectional, lengths: None, weights: &weights, version: 0, schedule: None };
        Schedule::new::<Lstm>(&stack, 16, threads)
    }

    #[test]
    fn directions_run_side_by_side_and_short_stacks_share_rows() {
        let two = Schedule::Wavefront { groups: 1, members: 2 };
        for (time, batch, hidden) in [(128, 1, 128), (128, 16, 128), (150, 32, 256)] {
            assert_eq!(chosen(time, batch, hidden, 2, true, 2), two);
        }
        assert_eq!(chosen(128, 4, 128, 2, false, 2), two, "few rows, two layers");
        assert_eq!(chosen(4, 64, 128, 2, false, 2), Schedule::LayerByLayer, "too short to fill the second thread");
        assert_eq!(chosen(128, 16, 128, 3, false, 2), Schedule::LayerByLayer, "three layers would leave a thread idle for one");
        assert_eq!(chosen(128, 16, 128, 2, true, 1), Schedule::LayerByLayer, "one thread");
    }

    #[test]
    fn a_wavefront_of_single_steps_takes_t_plus_k_minus_1() {
        let schedule = Schedule::Wavefront { groups: 1, members: 4 };
        assert_eq!(schedule.serial_steps(25, 4, 1, PIECE), 25 + 4 - 1);
        assert_eq!(Schedule::LayerByLayer.serial_steps(25, 4, 1, PIECE), 100);
    }
}
