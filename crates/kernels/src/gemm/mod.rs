//! Matrix products C = A·B + D, the arithmetic under every kernel here.
//!
//! B is packed once ([`pack`]) into *blocks*: `LANES` columns over all of K, so that one vector load gives one row of a block. A is read in
//! place through row pointers and C is written through row pointers and column offsets, so a tile reads and writes whatever layout the
//! caller has. A *tile* is up to 6 rows by up to 4 blocks, held in registers over all of K (there is no blocking of K: it gained nothing up to 2048).
//! Where B holds pairs of bfloat16 ([`Panel::group_of`]), so does A: 32 bits of either are two neighbours along K, which counts pairs then.
//! Every element of C is one chain of multiply-adds in the order of K, whatever the tile: results do not depend on the split of rows or columns.

pub(crate) mod outer;
pub(crate) mod pack;
#[cfg(target_arch = "x86_64")]
mod pairs;
mod tile;
pub(crate) mod transpose;

pub(crate) use tile::{Block, MAX_ROWS, Panel, Soon, Tile, tile};

use std::ops::Range;

use crate::parallel::share;
use crate::vector::Vector;

/// Rows that stay in L2 while all panels of B pass by.
const TILES_AT_ONCE: usize = 8;

/// One row of a product. Pointers as in [`Tile`].
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) a: *const f32,
    pub(crate) init: *const f32,
    pub(crate) out: *mut f32,
}

/// How many tiles `rows` rows are cut into; they differ by one row at most (16 = 6 + 5 + 5).
pub(crate) fn tile_count(rows: usize) -> usize {
    rows.div_ceil(MAX_ROWS)
}

/// Blocks per panel that suit products of `rows` rows.
pub(crate) fn panel_width<V: Vector>(rows: usize) -> usize {
    let tallest = rows.div_ceil(tile_count(rows).max(1)).max(1);
    V::WIDTHS[tallest - 1]
}

/// `rows` rows times all `panels`, which were made for the width that [`panel_width`] says.
///
/// # Safety
/// Every pointer of every row and panel must hold what [`tile`] asks for.
#[inline(always)]
pub(crate) unsafe fn product<V: Vector>(k: usize, step: usize, rows: usize, row: impl Fn(usize) -> Row, panels: &[Panel]) {
    // SAFETY: passed on from the caller.
    unsafe { product_ahead::<V>(k, step, rows, row, panels, |_| Soon::NOTHING) }
}

/// The same, while what `soon` says for the rows of a tile is fetched.
///
/// # Safety
/// As for [`product`].
#[inline(always)]
pub(crate) unsafe fn product_ahead<V: Vector>(
    k: usize,
    step: usize,
    rows: usize,
    row: impl Fn(usize) -> Row,
    panels: &[Panel],
    soon: impl Fn(Range<usize>) -> Soon,
) {
    let count = tile_count(rows);
    let mut tiles = [Tile::default(); TILES_AT_ONCE];
    for first in (0..count).step_by(TILES_AT_ONCE) {
        let some = TILES_AT_ONCE.min(count - first);
        for (i, tile) in tiles[..some].iter_mut().enumerate() {
            let of_tile = share(rows, count, first + i);
            tile.clear(step);
            tile.fetch(soon(of_tile.clone()));
            for r in of_tile {
                tile.push(row(r));
            }
        }
        for panel in panels {
            for rows in &tiles[..some] {
                // SAFETY: passed on from the caller.
                unsafe { tile::<V>(k, rows, panel) };
            }
        }
    }
}
