//! Small matrices in scratch, their rows padded to whole vectors, so that every one can be the right side of a product as it is.

use std::ptr::null;

use crate::gemm::transpose::Square;
use crate::gemm::{Block, Panel, Row, panel_width, product};
use crate::vector::{Kernel, Vector};

/// Floats of a row are a multiple of it: whole vectors of every instruction set.
pub(crate) const UNIT: usize = 16;

/// Hands out scratch, piece by piece.
pub(crate) struct Room {
    pub(crate) next: *mut f32,
    pub(crate) taken: usize,
}

impl Room {
    pub(crate) fn new(start: *mut f32) -> Room {
        Room { next: start, taken: 0 }
    }

    pub(crate) fn take(&mut self, len: usize) -> *mut f32 {
        let start = self.next;
        self.taken += len;
        self.next = start.wrapping_add(len);
        start
    }
}

/// A matrix in memory: its first element, and how far its rows are apart.
#[derive(Clone, Copy)]
pub(crate) struct Matrix {
    pub(crate) start: *mut f32,
    pub(crate) stride: usize,
}

impl Matrix {
    pub(crate) fn row(&self, i: usize) -> *mut f32 {
        self.start.wrapping_add(i * self.stride)
    }

    /// As the right side of products of `rows` rows.
    pub(crate) fn panels<V: Vector>(&self, rows: usize, columns: usize) -> Vec<Panel> {
        let blocks = (0..columns.div_ceil(V::LANES)).map(|i| i * V::LANES);
        let blocks = blocks.map(|offset| Block { b: self.start.wrapping_add(offset), stride: self.stride, offset, columns: V::LANES });
        Panel::group(panel_width::<V>(rows), blocks)
    }
}

/// The left side of a product: rows as they lie, or the columns of a matrix.
#[derive(Clone, Copy)]
pub(crate) enum Left {
    Rows(Matrix),
    Columns(Matrix),
}

/// `out = A·B` or `out += A·B`: A `rows` by `terms`, B `terms` by `columns`, padded.
///
/// There is no vector code in it, so one copy serves all calls.
///
/// # Safety
/// All rows hold whole vectors; `out` is none of the others.
#[inline(never)]
pub(crate) unsafe fn multiply<V: Vector>(a: Left, b: Matrix, (rows, terms, columns): (usize, usize, usize), out: Matrix, add: bool) {
    // SAFETY: by the contract.
    unsafe { multiply_by::<V>(a, &b.panels::<V>(rows, columns), (rows, terms), out, add) }
}

/// The same by a right side that is used many times.
///
/// # Safety
/// As for [`multiply`].
#[inline(never)]
pub(crate) unsafe fn multiply_by<V: Vector>(a: Left, b: &[Panel], (rows, terms): (usize, usize), out: Matrix, add: bool) {
    let step = match a {
        Left::Rows(_) => 1,
        Left::Columns(a) => a.stride,
    };
    let row = |i: usize| {
        let a = match a {
            Left::Rows(a) => a.row(i),
            Left::Columns(a) => a.start.wrapping_add(i),
        };
        Row { a, init: if add { out.row(i) } else { null() }, out: out.row(i) }
    };
    // SAFETY: by the contract.
    unsafe { product::<V>(terms, step, rows, row, b) }
}

/// Writes `from` [rows, columns] to `to` [columns, rows]; both hold them.
pub(crate) struct Transpose<'a> {
    pub(crate) square: &'a mut Square,
    pub(crate) from: Matrix,
    pub(crate) size: (usize, usize),
    pub(crate) to: Matrix,
}

impl Kernel for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Transpose { square, from, size: (rows, columns), to } = self;
        for row in (0..rows).step_by(V::LANES) {
            for column in (0..columns).step_by(V::LANES) {
                let size = (V::LANES.min(rows - row), V::LANES.min(columns - column));
                let (from_at, to_at) = (from.row(row).wrapping_add(column), to.row(column).wrapping_add(row));
                // SAFETY: both matrices hold the patch.
                unsafe { square.patch::<V>(from_at, from.stride, to_at, to.stride, size) };
            }
        }
    }
}
