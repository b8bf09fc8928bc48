//! How a pass is split over threads: groups of rows, and within a group teams that share the units.

use std::ops::Range;

use super::{Cell, Shape};
use crate::parallel::share;

/// Cycles that one vector of packed weights takes to come from L2.
const LOAD: f64 = 2.0;
/// Cycles of a meeting of threads, with what they wait for each other.
const MEETING: f64 = 250.0;

/// Tasks of a pass: `groups` × `members`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Groups, each with its own rows of the batch.
    pub(crate) groups: usize,
    /// Tasks that share the units of one group.
    pub(crate) members: usize,
}

impl Plan {
    /// The cheapest split of a step: a product reads each vector of weights once per group and multiplies it with each row.
    pub(crate) fn new<C: Cell>(shape: &Shape, lanes: usize, threads: usize) -> Plan {
        let blocks = shape.hidden.div_ceil(lanes);
        let cost = |plan: &Plan| plan.step::<C>(shape, lanes);
        let mut best = Plan { groups: 1, members: 1 };
        for groups in 1..=threads.min(shape.batch).max(1) {
            let plan = Plan { groups, members: (threads / groups).min(blocks).max(1) };
            for plan in [plan, Plan { groups, members: 1 }] {
                if cost(&plan) < cost(&best) {
                    best = plan;
                }
            }
        }
        best
    }

    /// Cycles of a step.
    pub(crate) fn step<C: Cell>(&self, shape: &Shape, lanes: usize) -> f64 {
        let blocks = shape.hidden.div_ceil(lanes);
        let vectors = (C::gates() * shape.hidden) as f64;
        let rows = shape.batch.div_ceil(self.groups) as f64;
        let meeting = if self.members > 1 { MEETING * f64::from(self.members.ilog2() + 1) } else { 0.0 };
        blocks.div_ceil(self.members) as f64 * vectors * rows.max(LOAD) + meeting
    }

    pub(crate) fn tasks(&self) -> usize {
        self.groups * self.members
    }

    /// The rows of `group`.
    pub(crate) fn rows(&self, batch: usize, group: usize) -> Range<usize> {
        share(batch, self.groups, group)
    }

    /// The most rows of any group.
    pub(crate) fn most_rows(&self, batch: usize) -> usize {
        batch.div_ceil(self.groups)
    }
}
