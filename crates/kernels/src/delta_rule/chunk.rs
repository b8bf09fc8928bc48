//! What both passes do with a chunk of one head: where its rows are, and how they are gathered, scaled and masked.

use std::ops::Range;
use std::ptr::write_bytes;

use super::{CHUNK, Shape};
use crate::matrix::{Matrix, Room, UNIT};
use crate::recurrent::Options;
use crate::vector::Vector;

/// The sizes of one head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) time: usize,
    pub(super) heads: usize,
    /// E and E'
    pub(super) key: usize,
    pub(super) value: usize,
    /// The same padded.
    pub(super) wide_key: usize,
    pub(super) wide_value: usize,
}

impl Sizes {
    pub(super) fn new(shape: &Shape) -> Sizes {
        let Shape { time, heads, key, value, .. } = *shape;
        let (wide_key, wide_value) = (key.next_multiple_of(UNIT), value.next_multiple_of(UNIT));
        Sizes { time, heads, key, value, wide_key, wide_value }
    }

    /// Floats of a padded state.
    pub(super) fn state(&self) -> usize {
        self.key * self.wide_value
    }

    /// Floats that training keeps of one head of one row: E of every step, and the state before each chunk.
    pub(super) fn kept(&self) -> usize {
        self.time * self.wide_value + self.time.div_ceil(CHUNK) * self.state()
    }
}

/// The steps of one chunk of one head, as places among all steps of all heads: `(b T + t) N + n`.
#[derive(Clone, Copy)]
pub(super) struct Steps {
    first: usize,
    stride: isize,
    pub(super) len: usize,
}

impl Steps {
    pub(super) fn at(&self, i: usize) -> usize {
        self.first.wrapping_add_signed(self.stride.wrapping_mul(i as isize))
    }
}

/// The chunks of head `n` of row `b` in the order of computation, and the times that are no steps.
pub(super) fn chunks(
    sizes: &Sizes,
    options: Options,
    b: usize,
    n: usize,
) -> (impl DoubleEndedIterator<Item = Steps> + ExactSizeIterator + use<>, Range<usize>) {
    let Sizes { time, heads, .. } = *sizes;
    let len = options.lengths.map_or(time, |lengths| usize::try_from(lengths[b]).unwrap_or(0));
    let reverse = options.reverse;
    let chunks = (0..len.div_ceil(CHUNK)).map(move |chunk| {
        let from = chunk * CHUNK;
        let t = if reverse { len - 1 - from } else { from };
        let stride = if reverse { -(heads as isize) } else { heads as isize };
        Steps { first: (b * time + t) * heads + n, stride, len: CHUNK.min(len - from) }
    });
    (chunks, len..time)
}

/// Copies `len` floats for each step of a chunk, zeros where there are none, from a tensor [B, T, N, len].
///
/// # Safety
/// The tensor, if it is there, and `to` hold them; rows of `to` are padded.
#[inline(always)]
pub(super) unsafe fn gather<V: Vector>(from: *const f32, steps: Steps, len: usize, to: Matrix) {
    for i in 0..steps.len {
        // SAFETY: by the contract.
        unsafe {
            if from.is_null() {
                write_bytes(to.row(i), 0, to.stride);
                continue;
            }
            let from = from.add(steps.at(i) * len);
            for column in (0..len).step_by(V::LANES) {
                V::load_first(from.add(column), V::LANES.min(len - column)).store(to.row(i).add(column));
            }
        }
    }
}

/// Row by row, `to = factor_i · from`.
///
/// # Safety
/// All hold `rows` rows of `columns`, padded; `to` may be `from`.
#[inline(always)]
pub(super) unsafe fn scale<V: Vector>(from: Matrix, factor: *const f32, (rows, columns): (usize, usize), to: Matrix) {
    for i in 0..rows {
        // SAFETY: by the contract.
        unsafe { scale_row::<V>(from.row(i), *factor.add(i), columns, to.row(i)) };
    }
}

/// # Safety
/// Both hold `columns`, padded.
#[inline(always)]
pub(super) unsafe fn scale_row<V: Vector>(from: *const f32, factor: f32, columns: usize, to: *mut f32) {
    for column in (0..columns).step_by(V::LANES) {
        // SAFETY: by the contract.
        unsafe { V::load(from.add(column)).mul(V::splat(factor)).store(to.add(column)) };
    }
}

/// The dot product of two rows.
///
/// # Safety
/// Both hold `len`.
#[inline(always)]
pub(super) unsafe fn dot<V: Vector>(a: *const f32, b: *const f32, len: usize) -> f32 {
    // SAFETY: by the contract.
    unsafe {
        let mut sum = V::zero();
        for at in (0..len).step_by(V::LANES) {
            let rest = V::LANES.min(len - at);
            sum = V::load_first(a.add(at), rest).mul_add(V::load_first(b.add(at), rest), sum);
        }
        sum.sum()
    }
}

/// The decays of a chunk: D [C, C], ones on its diagonal and zeros above it, and γ [C].
pub(super) struct Decays {
    pub(super) among: Matrix,
    pub(super) start: *mut f32,
}

impl Decays {
    pub(super) fn take(room: &mut Room) -> Decays {
        Decays { among: Matrix { start: room.take(CHUNK * CHUNK), stride: CHUNK }, start: room.take(CHUNK) }
    }

    /// Fills both from α [B, T, N]; without it, with ones.
    ///
    /// # Safety
    /// The tensor holds the steps.
    #[inline(always)]
    pub(super) unsafe fn fill(&self, decay: *const f32, steps: Steps) {
        // SAFETY: by the contract; both hold a chunk.
        unsafe {
            let mut since = 1.0;
            for i in 0..steps.len {
                let alpha = if decay.is_null() { 1.0 } else { *decay.add(steps.at(i)) };
                since *= alpha;
                *self.start.add(i) = since;
                let row = self.among.row(i);
                for j in 0..i {
                    *row.add(j) = alpha * *self.among.row(i - 1).add(j);
                }
                *row.add(i) = 1.0;
                write_bytes(row.add(i + 1), 0, CHUNK - i - 1);
            }
        }
    }
}

/// Multiplies the lower triangle of `products` by that of `factors` and makes the rest zeros; `diagonal` says whether it belongs to it.
///
/// # Safety
/// Both are [C, C].
#[inline(always)]
pub(super) unsafe fn lower(products: Matrix, factors: Matrix, steps: usize, diagonal: bool, to: Matrix) {
    for i in 0..steps {
        let end = i + usize::from(diagonal);
        // SAFETY: by the contract.
        unsafe {
            for j in 0..end {
                *to.row(i).add(j) = *products.row(i).add(j) * *factors.row(i).add(j);
            }
            write_bytes(to.row(i).add(end), 0, CHUNK - end);
        }
    }
}
