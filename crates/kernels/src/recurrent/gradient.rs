//! The gradients of the weights: sums over all steps and rows of dgates ⊗ x and dgates ⊗ h.

use std::ops::Range;
use std::ptr::{copy_nonoverlapping, null};

use super::layout::Layout;
use super::{Cell, Shape};
use crate::gemm::{Block, MAX_ROWS, Panel, Row, Tile, panel_width, tile, tile_count};
use crate::parallel::share;
use crate::vector::Vector;

/// The most terms that are packed at a time: their x and h stay in L2 while all gates pass by.
pub(super) const MAX_TERMS: usize = 1024;
/// Tiles of dgates that are packed in one walk over the terms.
const TILES_AT_ONCE: usize = 8;

/// One step of one row. Pointers to the gradients of its gates, to I floats of x and to H floats of the state before.
#[derive(Clone, Copy)]
pub(super) struct Term {
    pub(super) gates: *const f32,
    pub(super) x: *const f32,
    pub(super) h: *const f32,
}

/// Where sums go.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    /// [G·H, I] and [G·H, H]
    pub(super) weight_ih: *mut f32,
    pub(super) weight_hh: *mut f32,
    /// One row in the layout of gates.
    pub(super) bias: *mut f32,
    /// Whether these terms are the first, so that there is nothing to add to.
    pub(super) fresh: bool,
}

/// Scratch floats for up to `terms` terms.
pub(super) fn scratch_len(shape: &Shape, lanes: usize, terms: usize) -> usize {
    (shape.input.div_ceil(lanes) + shape.hidden.div_ceil(lanes)) * terms * lanes + TILES_AT_ONCE * a_len(terms)
}

/// Floats of one packed tile of dgates; what is written past its last row is overwritten by the next or lies in the slack.
fn a_len(terms: usize) -> usize {
    terms * MAX_ROWS + MAX_ROWS
}

/// Adds `terms` to the sums of `units` of every gate.
///
/// # Safety
/// Each term holds what [`Term`] says, plus [`MAX_ROWS`] readable floats after the last gate; `scratch` holds [`scratch_len`].
#[inline(always)]
pub(super) unsafe fn add_terms<C: Cell, V: Vector>(
    shape: &Shape,
    layout: &Layout,
    units: Range<usize>,
    terms: &[Term],
    scratch: *mut f32,
    sums: &Sums,
) {
    let k = terms.len();
    let (input_blocks, hidden_blocks) = (shape.input.div_ceil(V::LANES), shape.hidden.div_ceil(V::LANES));
    let h_start = scratch.wrapping_add(input_blocks * k * V::LANES);
    let a_start = h_start.wrapping_add(hidden_blocks * k * V::LANES);
    // SAFETY: passed on from the caller.
    unsafe {
        pack_rows::<V>(terms, |term| term.x, shape.input, scratch);
        pack_rows::<V>(terms, |term| term.h, shape.hidden, h_start);
    }
    let width = panel_width::<V>(units.len());
    let blocks = |start: *mut f32, columns: usize| {
        (0..columns.div_ceil(V::LANES)).map(move |block| Block {
            b: start.wrapping_add(block * k * V::LANES),
            offset: block * V::LANES,
            columns: V::LANES.min(columns - block * V::LANES),
        })
    };
    let x_panels = Panel::group(width, blocks(scratch, shape.input));
    let h_panels = Panel::group(width, blocks(h_start, shape.hidden));
    let count = tile_count(units.len());
    for (place, column) in C::COLUMNS.iter().enumerate() {
        // SAFETY: units lie within the column; rows of the sums are disjoint for disjoint units.
        unsafe { add_bias::<V>(terms, place * layout.column, &units, sums) };
        for first in (0..count).step_by(TILES_AT_ONCE) {
            let tiles = first..(first + TILES_AT_ONCE).min(count);
            let unit = |i: usize| units.start + share(units.len(), count, i).start;
            // SAFETY: as above.
            unsafe { pack_gates(terms, tiles.clone().map(|i| place * layout.column + unit(i)), a_start) };
            let targets = [(column.input, sums.weight_ih, shape.input, &x_panels), (column.hidden, sums.weight_hh, shape.hidden, &h_panels)];
            for (gate, weight, columns, panels) in targets {
                let Some(gate) = gate else { continue };
                let mut rows = [Tile::default(); TILES_AT_ONCE];
                for (i, tile) in tiles.clone().zip(&mut rows) {
                    let len = share(units.len(), count, i).len();
                    tile.clear(MAX_ROWS);
                    for r in 0..len {
                        let out = weight.wrapping_add((gate * shape.hidden + unit(i) + r) * columns);
                        let a = a_start.wrapping_add((i - first) * a_len(k) + r);
                        tile.push(Row { a, init: if sums.fresh { null() } else { out }, out });
                    }
                }
                for panel in panels {
                    for rows in &rows[..tiles.len()] {
                        // SAFETY: packed rows hold k floats each, the sums every column.
                        unsafe { tile::<V>(k, rows, panel) };
                    }
                }
            }
        }
    }
}

/// Packs rows of `columns` floats, one per term, into blocks.
#[inline(always)]
unsafe fn pack_rows<V: Vector>(terms: &[Term], row: impl Fn(&Term) -> *const f32, columns: usize, to: *mut f32) {
    let k = terms.len();
    // Four blocks at a time: more streams of stores a power of two apart would evict one another.
    const BLOCKS: usize = 4;
    for first in (0..columns).step_by(BLOCKS * V::LANES) {
        let last = (first + BLOCKS * V::LANES).min(columns);
        for (p, term) in terms.iter().enumerate() {
            for column in (first..last).step_by(V::LANES) {
                let len = V::LANES.min(columns - column);
                // SAFETY: within the row, and within the block of that column.
                unsafe { V::load_first(row(term).add(column), len).store(to.add(column * k + p * V::LANES)) };
            }
        }
    }
}

/// Packs tiles of up to `MAX_ROWS` gates, whose first ones are at `starts`: for each tile, for each term, `MAX_ROWS` floats.
#[inline(always)]
unsafe fn pack_gates(terms: &[Term], starts: impl Iterator<Item = usize>, to: *mut f32) {
    let mut offsets = [0; TILES_AT_ONCE];
    let mut len = 0;
    for start in starts {
        offsets[len] = start;
        len += 1;
    }
    for (p, term) in terms.iter().enumerate() {
        for (i, &offset) in offsets[..len].iter().enumerate() {
            // SAFETY: the caller has slack after the last gate.
            unsafe { copy_nonoverlapping(term.gates.add(offset), to.add(i * a_len(terms.len()) + p * MAX_ROWS), MAX_ROWS) };
        }
    }
}

/// Adds the gates themselves: the gradients of the biases.
#[inline(always)]
unsafe fn add_bias<V: Vector>(terms: &[Term], column: usize, units: &Range<usize>, sums: &Sums) {
    for unit in units.clone().step_by(V::LANES) {
        let len = V::LANES.min(units.end - unit);
        let at = column + unit;
        // SAFETY: units lie within the column.
        unsafe {
            let mut parts = [V::zero(); 4];
            for four in terms.chunks(4) {
                for (part, term) in parts.iter_mut().zip(four) {
                    *part = part.add(V::load_first(term.gates.add(at), len));
                }
            }
            let sum = parts[0].add(parts[1]).add(parts[2].add(parts[3]));
            let to = sums.bias.add(at);
            if sums.fresh { sum } else { sum.add(V::load_first(to, len)) }.store_first(to, len);
        }
    }
}
