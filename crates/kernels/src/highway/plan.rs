//! How a pass is split over threads: groups of rows, and within a group a team that shares the units of a layer.

use std::ops::Range;

use super::{ROWS, Shape};
use crate::parallel::share;
use crate::team::Member;

/// Cycles of a meeting of threads, with what they wait for each other.
const MEETING: usize = 250;
/// Cycles until a thread that sleeps has come.
const WAKING: usize = 50_000;
/// Weights that arrive per cycle.
const READ: usize = 4;

/// Tasks of a pass: `groups` × `members`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Groups, each with its own rows.
    pub(super) groups: usize,
    /// Tasks that share the units of one group.
    pub(super) members: usize,
}

impl Plan {
    /// The cheapest split: each group reads all weights for every [`ROWS`] of its rows; members meet once a layer.
    pub(super) fn new(shape: &Shape, lanes: usize, threads: usize) -> Plan {
        let Shape { rows, width, layers } = *shape;
        let blocks = width.div_ceil(lanes);
        let cost = |plan: &Plan| {
            let of_group = rows.div_ceil(plan.groups);
            let weights = 2 * width * blocks.div_ceil(plan.members) * lanes;
            let products = weights * of_group.div_ceil(lanes) / 2;
            let meetings = if plan.members > 1 { MEETING * (plan.members.ilog2() as usize + 1) } else { 0 };
            let waking = if plan.tasks() > 1 { WAKING } else { 0 };
            layers * (products + (weights / READ + meetings) * of_group.div_ceil(ROWS)) + waking
        };
        let mut best = Plan { groups: rows.min(1), members: 1 };
        for groups in 1..=threads.min(rows) {
            for members in [1, (threads / groups).min(blocks).max(1)] {
                let plan = Plan { groups, members };
                if cost(&plan) < cost(&best) {
                    best = plan;
                }
            }
        }
        best
    }

    pub(super) fn tasks(&self) -> usize {
        self.groups * self.members
    }

    /// The rows of `group`, at most [`ROWS`] at a time and nearly equally many.
    pub(super) fn chunks(&self, rows: usize, group: usize) -> impl Iterator<Item = Range<usize>> {
        let rows = share(rows, self.groups, group);
        let count = rows.len().div_ceil(ROWS);
        (0..count).map(move |chunk| {
            let some = share(rows.len(), count, chunk);
            rows.start + some.start..rows.start + some.end
        })
    }
}

/// The units of a member: whole vectors, but for the last ones.
pub(super) fn units(width: usize, lanes: usize, member: &Member) -> Range<usize> {
    let blocks = share(width.div_ceil(lanes), member.size, member.rank);
    (blocks.start * lanes).min(width)..(blocks.end * lanes).min(width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rows_are_shared_by_units_many_by_rows() {
        let plan = |rows, width, layers, threads| {
            let Plan { groups, members } = Plan::new(&Shape { rows, width, layers }, 16, threads);
            (groups, members)
        };
        assert_eq!(plan(64, 256, 50, 2), (1, 2));
        assert_eq!(plan(1, 256, 50, 2), (1, 2));
        assert_eq!(plan(4096, 256, 4, 2), (2, 1));
        assert_eq!(plan(128, 256, 50, 8), (2, 4));
        assert_eq!(plan(4, 8, 2, 8), (1, 1));
        assert_eq!(plan(0, 8, 2, 8), (0, 1));
    }

    #[test]
    fn chunks_cover_the_rows() {
        let plan = Plan { groups: 2, members: 1 };
        let chunks: Vec<_> = (0..2).flat_map(|group| plan.chunks(201, group)).collect();
        assert_eq!(chunks, [0..50, 50..100, 100..150, 150..201]);
    }
}
