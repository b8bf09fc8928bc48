//! Sums of outer products, C += Aᵀ·B: the gradients of weights, where k counts terms (steps and rows of a batch).
//!
//! B is packed into blocks and A into tiles on the way; both are read row by row, wherever the rows lie. Where they are to be pairs of
//! bfloat16, each two terms are paired on the way, and an odd last one with zeros.

use std::ptr::{copy_nonoverlapping, null};

use super::pack::PairRows;
use super::{Block, MAX_ROWS, Panel, Row, TILES_AT_ONCE, Tile, panel_width, tile, tile_count};
use crate::bfloat16::Numbers;
use crate::parallel::share;
use crate::vector::{Kernel, Vector};

/// The most terms to take at a time: their rows of B stay in L2 while all of A passes by.
pub(crate) const MAX_TERMS: usize = 1024;

/// Floats that may be read after the last of a row of A: tiles are copied whole.
pub(crate) const SLACK: usize = MAX_ROWS;

/// Rows of B packed into blocks, in the caller's scratch of [`packed_len`] floats.
#[derive(Clone, Copy)]
pub(crate) struct PackedRows {
    start: *mut f32,
    terms: usize,
    columns: usize,
    pairs: bool,
}

/// A sum to add to: `out[r][c] += Σ_p a_p[r] b_p[c]`, rows of C `columns` floats apart.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) b: PackedRows,
    pub(crate) out: *mut f32,
    /// Whether there is nothing to add to yet.
    pub(crate) fresh: bool,
}

/// Scratch floats of [`PackedRows`].
pub(crate) fn packed_len(terms: usize, columns: usize, lanes: usize) -> usize {
    terms * columns.next_multiple_of(lanes)
}

/// Scratch floats of [`add_outer`].
pub(crate) fn scratch_len(terms: usize) -> usize {
    TILES_AT_ONCE * a_len(terms)
}

/// Floats of one packed tile of A.
fn a_len(terms: usize) -> usize {
    terms * MAX_ROWS
}

/// Packs `terms` rows of `columns` floats.
///
/// # Safety
/// Each row holds `columns` floats, `to` [`packed_len`].
#[inline(always)]
pub(crate) unsafe fn pack_rows<V: Vector>(terms: usize, row: impl Fn(usize) -> *const f32, columns: usize, to: *mut f32) -> PackedRows {
    // SAFETY: passed on from the caller.
    unsafe { pack_numbers::<V>(terms, |p| row(p).into(), columns, to, false) }
}

/// Packs `terms` rows of `columns` numbers, as pairs of bfloat16 or not.
///
/// # Safety
/// Each row holds `columns` numbers, `to` [`packed_len`].
#[inline(always)]
pub(crate) unsafe fn pack_numbers<V: Vector>(
    terms: usize,
    row: impl Fn(usize) -> Numbers,
    columns: usize,
    to: *mut f32,
    pairs: bool,
) -> PackedRows {
    // Four blocks at a time: more streams of stores a power of two apart would evict one another.
    const BLOCKS: usize = 4;
    for first in (0..columns).step_by(BLOCKS * V::LANES) {
        let last = (first + BLOCKS * V::LANES).min(columns);
        for p in 0..terms {
            let from = row(p);
            for column in (first..last).step_by(V::LANES) {
                let len = V::LANES.min(columns - column);
                // SAFETY: within the row, and within the block of that column.
                unsafe { from.at(column).load::<V>(len).store(to.add(column * terms + p * V::LANES)) };
            }
        }
    }
    if pairs {
        for column in (0..columns).step_by(V::LANES) {
            // SAFETY: the block of that column, just written.
            unsafe { PairRows { rows: terms, width: V::LANES, at: to.add(column * terms) }.run::<V>() };
        }
    }
    PackedRows { start: to, terms, columns, pairs }
}

impl PackedRows {
    fn panels<V: Vector>(&self, width: usize) -> Vec<Panel> {
        let blocks = (0..self.columns).step_by(V::LANES).map(|column| Block {
            b: self.start.wrapping_add(column * self.terms),
            stride: V::LANES,
            offset: column,
            columns: V::LANES.min(self.columns - column),
        });
        Panel::group_of(width, blocks, self.pairs)
    }
}

/// Adds the outer products of `rows` floats of each row of A with the packed rows of each target. All targets have as many terms.
///
/// # Safety
/// Each row of A holds `rows` floats and [`SLACK`] readable ones after them, `scratch` [`scratch_len`], and each target its sums.
#[inline(always)]
pub(crate) unsafe fn add_outer<V: Vector>(rows: usize, a: impl Fn(usize) -> *const f32, targets: &[Target], scratch: *mut f32) {
    let (terms, pairs) = targets.first().map_or((0, false), |target| (target.b.terms, target.b.pairs));
    let k = if pairs { terms.div_ceil(2) } else { terms };
    let count = tile_count(rows);
    let panels: Vec<Vec<Panel>> = targets.iter().map(|target| target.b.panels::<V>(panel_width::<V>(rows))).collect();
    for first in (0..count).step_by(TILES_AT_ONCE) {
        let some = first..(first + TILES_AT_ONCE).min(count);
        for p in (0..terms).step_by(if pairs { 2 } else { 1 }) {
            for (i, tile) in some.clone().enumerate() {
                let row = share(rows, count, tile).start;
                let to = scratch.wrapping_add(i * a_len(terms) + if pairs { p / 2 } else { p } * MAX_ROWS);
                // SAFETY: the slack is readable; a tile's rows end where the next term's begin.
                unsafe {
                    if pairs {
                        let upper = if p + 1 < terms { a(p + 1).add(row) } else { null() };
                        pair_tile::<V>(a(p).add(row), upper, to);
                    } else {
                        copy_nonoverlapping(a(p).add(row), to, MAX_ROWS);
                    }
                }
            }
        }
        for (target, panels) in targets.iter().zip(&panels) {
            let mut tiles = [Tile::default(); TILES_AT_ONCE];
            for (i, tile) in tiles[..some.len()].iter_mut().enumerate() {
                tile.clear(MAX_ROWS);
                for (r, row) in share(rows, count, first + i).enumerate() {
                    let out = target.out.wrapping_add(row * target.b.columns);
                    let a = scratch.wrapping_add(i * a_len(terms) + r);
                    tile.push(Row { a, init: if target.fresh { null() } else { out }, out });
                }
            }
            for panel in panels {
                for rows in &tiles[..some.len()] {
                    // SAFETY: packed rows hold a float per term, the sums every column.
                    unsafe { tile::<V>(k, rows, panel) };
                }
            }
        }
    }
}

/// The rows of a tile in two terms as pairs; the second may be null, for zeros.
///
/// # Safety
/// Each holds [`MAX_ROWS`] floats.
#[inline(always)]
unsafe fn pair_tile<V: Vector>(lower: *const f32, upper: *const f32, to: *mut f32) {
    for row in (0..MAX_ROWS).step_by(V::LANES) {
        let len = V::LANES.min(MAX_ROWS - row);
        // SAFETY: by the contract.
        unsafe {
            let second = if upper.is_null() { V::zero() } else { V::load_first(upper.add(row), len) };
            V::load_first(lower.add(row), len).pair(second).store_first(to.add(row), len);
        }
    }
}

/// `to[c] += Σ_p row_p[c]`: the gradients of biases.
///
/// # Safety
/// Each row and `to` hold `columns` floats.
#[inline(always)]
pub(crate) unsafe fn add_rows<V: Vector>(terms: usize, row: impl Fn(usize) -> *const f32, columns: usize, to: *mut f32, fresh: bool) {
    for column in (0..columns).step_by(V::LANES) {
        let len = V::LANES.min(columns - column);
        // SAFETY: within every row.
        unsafe {
            // Four chains hide the latency of an addition, and round better than one.
            let mut sums = [V::zero(); 4];
            for p in (0..terms).step_by(4) {
                for (i, sum) in sums.iter_mut().enumerate() {
                    if p + i < terms {
                        *sum = sum.add(V::load_first(row(p + i).add(column), len));
                    }
                }
            }
            let sum = sums[0].add(sums[1]).add(sums[2].add(sums[3]));
            let to = to.add(column);
            if fresh { sum } else { sum.add(V::load_first(to, len)) }.store_first(to, len);
        }
    }
}
