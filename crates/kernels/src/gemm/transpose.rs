//! The transposed copy of a matrix.

use crate::Context;
use crate::parallel::share;
use crate::vector::{Kernel, Vector};

/// The most lanes of any vector.
const WIDEST: usize = 16;

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
        let mut square = [0.0; WIDEST * WIDEST];
        let mine = share(rows.div_ceil(V::LANES), parts, self.part);
        for row in (mine.start * V::LANES..(mine.end * V::LANES).min(rows)).step_by(V::LANES) {
            let height = V::LANES.min(rows - row);
            for column in (0..columns).step_by(V::LANES) {
                let width = V::LANES.min(columns - column);
                // SAFETY: only what lies within both matrices is read and written.
                unsafe {
                    if height == V::LANES && width == V::LANES {
                        V::transpose(from.add(row * columns + column), columns, square.as_mut_ptr());
                    } else {
                        for i in 0..height * width {
                            square[i % width * V::LANES + i / width] = *from.add((row + i / width) * columns + column + i % width);
                        }
                    }
                    for i in 0..width {
                        V::load(square.as_ptr().add(i * V::LANES)).store_first(to.add((column + i) * rows + row), height);
                    }
                }
            }
        }
    }
}
