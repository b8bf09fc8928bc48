//! Packing: matrices in torch's layout into blocks of `LANES` columns.
//!
//! A block of B [K, N] holds, for each k, the `LANES` columns of the block one after the other; columns past N are zeros.

use crate::vector::{Kernel, Vector};

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
