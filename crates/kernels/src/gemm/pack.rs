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
}

/// Tasks for `blocks` blocks: packing a few is not worth a second thread.
pub(crate) fn parts(context: &Context, blocks: usize) -> usize {
    context.parallel().threads().min(blocks / 8).max(1)
}

impl Blocks {
    /// Room for `count` blocks, to be filled through [`Self::block`].
    pub(crate) fn new(context: &Context, count: usize, k: usize) -> Blocks {
        let lanes = context.isa().lanes();
        Blocks { data: context.pool().take(count * k * lanes), k, lanes }
    }

    /// B = Wᵀ from W [n, k].
    pub(crate) fn from_rows(context: &Context, w: &[f32], n: usize, k: usize) -> Blocks {
        Blocks::fill(context, n, k, |from, to| {
            // SAFETY: W holds n rows from row `from` on; each call fills its own block.
            unsafe { context.isa().run(FromRows { from: w[from * k..].as_ptr(), rows: n - from, k, to }) };
        })
    }

    /// B = W from W [k, n].
    pub(crate) fn from_columns(context: &Context, w: &[f32], k: usize, n: usize) -> Blocks {
        Blocks::fill(context, n, k, |from, to| {
            // SAFETY: W holds n columns from column `from` on; each call fills its own block.
            unsafe { context.isa().run(FromColumns { from: w.as_ptr().add(from), stride: n, columns: n - from, k, zeros: 0, to }) };
        })
    }

    /// Calls `pack` with the first column and the place of each block of n columns.
    fn fill(context: &Context, n: usize, k: usize, pack: impl Fn(usize, *mut f32) + Sync) -> Blocks {
        let lanes = context.isa().lanes();
        let blocks = Blocks::new(context, n.div_ceil(lanes), k);
        let (count, parts) = (n.div_ceil(lanes), parts(context, n.div_ceil(lanes)));
        context.parallel().run(parts, &|part| {
            for index in share(count, parts, part) {
                pack(index * lanes, blocks.block(index));
            }
        });
        blocks
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
        Block { b: self.block(index), offset, columns: self.lanes.min(columns.saturating_sub(offset)) }
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
