//! Packing: matrices in torch's layout into blocks of `LANES` columns.
//!
//! A block of B [K, N] holds, for each k, the `LANES` columns of the block one after the other; columns past N are zeros.

use super::{Block, Panel};
use crate::Context;
use crate::parallel::share;
use crate::pool::Buffer;
use crate::vector::{Kernel, Vector};

/// A packed matrix: blocks of `k` rows of `lanes` columns, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    data: Buffer,
    k: usize,
    lanes: usize,
    pairs: bool,
}

/// Below this size packing is not worth a second thread.
const PARALLEL_FROM: usize = 64 << 10;

impl Blocks {
    /// `count` blocks of `k` rows, each made by `pack(index, to)`, side by side on all threads.
    pub(crate) fn new(context: &Context, count: usize, k: usize, pack: impl Fn(usize, *mut f32) + Sync) -> Blocks {
        let lanes = context.isa().lanes();
        let blocks = Blocks { data: context.pool().take(count * k * lanes), k, lanes, pairs: false };
        let large = blocks.data.len() * size_of::<f32>() >= PARALLEL_FROM;
        let parts = if large { context.parallel().threads().min(count) } else { 1 };
        context.parallel().run(parts, &|part| share(count, parts, part).for_each(|index| pack(index, blocks.block(index))));
        blocks
    }

    /// B = Wᵀ from W [n, k].
    pub(crate) fn from_rows(context: &Context, w: &[f32], n: usize, k: usize) -> Blocks {
        let lanes = context.isa().lanes();
        Blocks::new(context, n.div_ceil(lanes), k, |index, to| {
            let row = index * lanes;
            // SAFETY: W holds the rows from there on; each call fills its own block.
            unsafe { context.isa().run(FromRows { from: w[row * k..].as_ptr(), rows: n - row, k, to }) };
        })
    }

    /// B = W from W [k, n].
    pub(crate) fn from_columns(context: &Context, w: &[f32], k: usize, n: usize) -> Blocks {
        let lanes = context.isa().lanes();
        Blocks::new(context, n.div_ceil(lanes), k, |index, to| {
            let from = w.as_ptr().wrapping_add(index * lanes);
            // SAFETY: W holds the columns from there on; each call fills its own block.
            unsafe { context.isa().run(FromColumns { from, stride: n, columns: n - index * lanes, k, zeros: 0, to }) };
        })
    }

    /// The same as pairs of bfloat16 along K; an odd last row is paired with zeros. Blocks stay where they are, in the first half of their room.
    pub(crate) fn into_pairs(self, context: &Context) -> Blocks {
        let count = self.data.len() / (self.k * self.lanes).max(1);
        let parts = context.parallel().threads().min(count);
        context.parallel().run(parts, &|part| {
            for index in share(count, parts, part) {
                // SAFETY: each call has its own block, of k rows.
                unsafe { context.isa().run(PairRows { rows: self.k, width: self.lanes, at: self.block(index) }) };
            }
        });
        Blocks { pairs: true, ..self }
    }

    /// Rows of each block: numbers, or pairs of them.
    pub(crate) fn rows(&self) -> usize {
        if self.pairs { self.k.div_ceil(2) } else { self.k }
    }

    pub(crate) fn are_pairs(&self) -> bool {
        self.pairs
    }

    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }

    pub(crate) fn block(&self, index: usize) -> *mut f32 {
        self.data.start().wrapping_add(index * self.k * self.lanes)
    }

    /// Block `index` in its natural place of a row of `columns` columns.
    pub(crate) fn plain(&self, index: usize, columns: usize) -> Block {
        let offset = index * self.lanes;
        Block { b: self.block(index), stride: self.lanes, offset, columns: self.lanes.min(columns.saturating_sub(offset)) }
    }

    /// All columns of a row of `columns`, in panels of `width` blocks.
    pub(crate) fn panels(&self, width: usize, columns: usize) -> Vec<Panel> {
        Panel::group(width, (0..columns.div_ceil(self.lanes.max(1))).map(|index| self.plain(index, columns)))
    }
}

/// One block of B = Wᵀ from W [N, K] row by row: what a linear layer multiplies by.
pub(crate) struct FromRows {
    /// Row 0 of this block in W.
    pub(crate) from: *const f32,
    /// Rows of W left from there; those past `LANES` belong to other blocks.
    pub(crate) rows: usize,
    pub(crate) k: usize,
    /// `k * LANES` floats.
    pub(crate) to: *mut f32,
}

impl Kernel for FromRows {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let FromRows { from, rows, k, to } = self;
        let whole = if rows >= V::LANES { k - k % V::LANES } else { 0 };
        for p in (0..whole).step_by(V::LANES) {
            // SAFETY: LANES rows by LANES columns lie within W, LANES² floats within the block.
            unsafe { V::transpose(from.add(p), k, to.add(p * V::LANES)) };
        }
        for p in whole..k {
            for row in 0..V::LANES {
                // SAFETY: only rows that exist are read.
                unsafe { *to.add(p * V::LANES + row) = if row < rows { *from.add(row * k + p) } else { 0.0 } };
            }
        }
    }
}

/// One block of B = W from W [K, N] row by row, `stride` floats apart.
pub(crate) struct FromColumns {
    /// Column 0 of this block in row 0 of W.
    pub(crate) from: *const f32,
    pub(crate) stride: usize,
    /// Columns of W left from there.
    pub(crate) columns: usize,
    pub(crate) k: usize,
    /// Rows of zeros after the `k` real ones.
    pub(crate) zeros: usize,
    /// `(k + zeros) * LANES` floats.
    pub(crate) to: *mut f32,
}

impl Kernel for FromColumns {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let FromColumns { from, stride, columns, k, zeros, to } = self;
        let columns = columns.min(V::LANES);
        for p in 0..k {
            // SAFETY: `columns` floats exist in each of k rows.
            unsafe { V::load_first(from.add(p * stride), columns).store(to.add(p * V::LANES)) };
        }
        for p in k..k + zeros {
            // SAFETY: within the block.
            unsafe { V::zero().store(to.add(p * V::LANES)) };
        }
    }
}

/// Each two rows of `width` floats, which lie one after the other, become one row of pairs of bfloat16, in place.
pub(crate) struct PairRows {
    pub(crate) rows: usize,
    pub(crate) width: usize,
    /// `rows * width` floats.
    pub(crate) at: *mut f32,
}

impl Kernel for PairRows {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let PairRows { rows, width, at } = self;
        for p in 0..rows.div_ceil(2) {
            for column in (0..width).step_by(V::LANES) {
                let len = V::LANES.min(width - column);
                // SAFETY: within the rows; what is overwritten was read.
                unsafe {
                    let lower = V::load_first(at.add(2 * p * width + column), len);
                    let upper = if 2 * p + 1 < rows { V::load_first(at.add((2 * p + 1) * width + column), len) } else { V::zero() };
                    lower.pair(upper).store_first(at.add(p * width + column), len);
                }
            }
        }
    }
}
