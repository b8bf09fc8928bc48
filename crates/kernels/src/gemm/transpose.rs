//! The transposed copy of a matrix.

use crate::Context;
use crate::parallel::share;
use crate::vector::{Kernel, Vector};

/// The most lanes of any vector.
const WIDEST: usize = 16;

/// Room for a patch of `LANES` rows by `LANES` columns.
pub(crate) struct Square([f32; WIDEST * WIDEST]);

impl Square {
    pub(crate) fn new() -> Square {
        Square([0.0; WIDEST * WIDEST])
    }

    /// Writes `rows` × `columns` floats transposed, at most `LANES` each.
    ///
    /// # Safety
    /// Both matrices hold them, at the strides given.
    #[inline(always)]
    pub(crate) unsafe fn patch<V: Vector>(
        &mut self,
        from: *const f32,
        from_stride: usize,
        to: *mut f32,
        to_stride: usize,
        (rows, columns): (usize, usize),
    ) {
        // SAFETY: only what lies within both matrices is read and written.
        unsafe {
            if rows == V::LANES && columns == V::LANES {
                return self.whole::<V>(from, from_stride, to, to_stride, (rows, columns));
            }
            for row in 0..rows {
                for column in 0..columns {
                    *to.add(column * to_stride + row) = *from.add(row * from_stride + column);
                }
            }
        }
    }

    /// The same where `from` holds `LANES` × `LANES` floats, of which only these are meant.
    ///
    /// # Safety
    /// As for [`Square::patch`].
    #[inline(always)]
    pub(crate) unsafe fn whole<V: Vector>(
        &mut self,
        from: *const f32,
        from_stride: usize,
        to: *mut f32,
        to_stride: usize,
        (rows, columns): (usize, usize),
    ) {
        // SAFETY: by the contract.
        unsafe {
            V::transpose(from, from_stride, self.0.as_mut_ptr());
            for column in 0..columns {
                V::load(self.0.as_ptr().add(column * V::LANES)).store_first(to.add(column * to_stride), rows);
            }
        }
    }
}

/// Writes `from` [rows, columns] to `to` [columns, rows].
pub(crate) fn transpose(context: &Context, from: &[f32], rows: usize, columns: usize, to: &mut [f32]) {
    assert!(from.len() == rows * columns && to.len() == rows * columns);
    let parts = context.parallel().threads().min(rows.div_ceil(WIDEST));
    let transpose = Transpose { from: from.as_ptr(), to: to.as_mut_ptr(), rows, columns, parts };
    // SAFETY: the context vouches for the instruction set, both slices have the size; parts write disjoint columns.
    context.parallel().run(parts, &|part| unsafe { context.isa().run(TransposePart { transpose: &transpose, part }) });
}

struct Transpose {
    from: *const f32,
    to: *mut f32,
    rows: usize,
    columns: usize,
    parts: usize,
}

// SAFETY: parts write disjoint columns of `to`.
unsafe impl Sync for Transpose {}

struct TransposePart<'a> {
    transpose: &'a Transpose,
    part: usize,
}

impl Kernel for TransposePart<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Transpose { from, to, rows, columns, parts } = *self.transpose;
        let mut square = Square::new();
        let mine = share(rows.div_ceil(V::LANES), parts, self.part);
        for row in (mine.start * V::LANES..(mine.end * V::LANES).min(rows)).step_by(V::LANES) {
            let height = V::LANES.min(rows - row);
            for column in (0..columns).step_by(V::LANES) {
                let width = V::LANES.min(columns - column);
                // SAFETY: only what lies within both matrices is read and written.
                unsafe { square.patch::<V>(from.add(row * columns + column), columns, to.add(column * rows + row), rows, (height, width)) };
            }
        }
    }
}
