//! The micro-kernel: a few rows times a few blocks, accumulated in registers.

use std::ops::Range;
use std::ptr::null;
use std::ptr::null_mut;

use super::Row;
use crate::vector::{Kernel, Vector, prefetch_row};

pub(crate) const MAX_ROWS: usize = 6;
pub(crate) const MAX_BLOCKS: usize = 4;

/// Memory that will be read after a tile and is asked for meanwhile: a product of few rows otherwise waits for its weights, since what it reads
/// in place is too scattered for the processor to foresee. Of every [`Soon::EVERY`] products of a row, `pieces` pieces of `lines` cache lines.
#[derive(Clone, Copy)]
pub(crate) struct Soon {
    pub(crate) from: *const f32,
    pub(crate) lines: usize,
    pub(crate) pieces: usize,
    /// From one piece to the next.
    pub(crate) stride: usize,
}

impl Soon {
    /// Floats of a cache line.
    pub(crate) const EVERY: usize = 16;
    pub(crate) const NOTHING: Soon = Soon { from: null(), lines: 0, pieces: 0, stride: 0 };

    /// What is asked for during the `index`-th stretch of [`Soon::EVERY`] products.
    #[inline(always)]
    fn ask(&self, index: usize) {
        for piece in 0..self.pieces {
            let from = self.from.wrapping_add((index * self.pieces + piece) * self.stride);
            prefetch_row(from, 0..self.lines * Soon::EVERY);
        }
    }
}

/// The rows of a tile.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    pub(super) len: usize,
    soon: Soon,
    /// Element `p` of row `r` of A is `a[r][p * step]`.
    pub(super) a: [*const f32; MAX_ROWS],
    pub(super) step: usize,
    /// Where sums start: row `r` of D, or null for zeros. May be the same as `out`.
    pub(super) init: [*const f32; MAX_ROWS],
    pub(super) out: [*mut f32; MAX_ROWS],
}

/// The columns of a tile: blocks of packed B side by side, and where they lie in a row of C and D.
#[derive(Clone, Copy)]
pub(crate) struct Panel {
    pub(super) len: usize,
    pub(super) b: [*const f32; MAX_BLOCKS],
    /// From one row of a block to the next.
    pub(super) stride: usize,
    /// Whether the factors are pairs of bfloat16.
    pub(super) pairs: bool,
    pub(super) offset: [usize; MAX_BLOCKS],
    /// Valid columns of the last block; the others are neither read from D nor written to C.
    pub(super) last: usize,
}

impl Default for Tile {
    fn default() -> Self {
        Tile { len: 0, soon: Soon::NOTHING, a: [null(); MAX_ROWS], step: 1, init: [null(); MAX_ROWS], out: [null_mut(); MAX_ROWS] }
    }
}

impl Tile {
    pub(crate) fn clear(&mut self, step: usize) {
        self.len = 0;
        self.step = step;
    }

    pub(crate) fn fetch(&mut self, soon: Soon) {
        self.soon = soon;
    }

    pub(crate) fn push(&mut self, row: Row) {
        self.a[self.len] = row.a;
        self.init[self.len] = row.init;
        self.out[self.len] = row.out;
        self.len += 1;
    }
}

/// One block of a product: its columns, its place in a row of C, and how many of its columns are real.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    pub(crate) b: *const f32,
    /// From one row to the next: `LANES` where it is packed, more where B is read in place. The same for all blocks of a panel.
    pub(crate) stride: usize,
    pub(crate) offset: usize,
    pub(crate) columns: usize,
}

impl Panel {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The columns of C that it fills, of vectors that lie side by side; the last one whole.
    pub(crate) fn columns(&self, lanes: usize) -> Range<usize> {
        self.offset[0]..self.offset[self.len - 1] + lanes
    }

    /// [`Panel::group`], of blocks that are pairs of bfloat16 or not.
    pub(crate) fn group_of(width: usize, blocks: impl ExactSizeIterator<Item = Block>, pairs: bool) -> Vec<Panel> {
        let mut panels = Panel::group(width, blocks);
        panels.iter_mut().for_each(|panel| panel.pairs = pairs);
        panels
    }

    /// Groups blocks by `width`, then by the powers of two below it. A block with fewer columns than lanes must be the last of its panel.
    pub(crate) fn group(width: usize, blocks: impl ExactSizeIterator<Item = Block>) -> Vec<Panel> {
        let mut left = blocks.len();
        let mut panels: Vec<Panel> = Vec::with_capacity(left / width + 3);
        let mut room = 0;
        for block in blocks {
            if room == 0 {
                room = if left >= width { width } else { 1 << left.ilog2() };
                panels.push(Panel {
                    len: 0,
                    b: [null(); MAX_BLOCKS],
                    stride: block.stride,
                    pairs: false,
                    offset: [0; MAX_BLOCKS],
                    last: 0,
                });
            }
            if let Some(panel) = panels.last_mut() {
                panel.b[panel.len] = block.b;
                panel.offset[panel.len] = block.offset;
                panel.last = block.columns;
                panel.len += 1;
            }
            room -= 1;
            left -= 1;
        }
        panels
    }
}

/// C = A·B + D for the rows of `rows` and the blocks of `panel`, over `k` products each.
///
/// There is no vector code in it, so it needs no inlining to be compiled for the instruction set: one copy serves all kernels.
///
/// # Safety
/// Row `r` of A holds elements `0, step, … (k-1)·step`; each block holds `LANES` floats at each of `k` rows; C and D hold `LANES` floats at each row and
/// offset (`last` at the last), and no two tiles that run at the same time share any of C.
#[inline(never)]
pub(crate) unsafe fn tile<V: Vector>(k: usize, rows: &Tile, panel: &Panel) {
    #[cfg(target_arch = "x86_64")]
    if panel.pairs {
        // SAFETY: passed on from the caller, and only `Isa::Avx512Bf16` makes pairs.
        return unsafe { super::pairs::tile(k, rows, panel) };
    }
    macro_rules! fixed {
        ($m:literal: $($n:literal)*) => {
            match panel.len {
                // SAFETY: passed on from the caller.
                $($n if rows.soon.pieces == 0 => unsafe { V::call(Fixed::<$m, $n, false> { k, rows, panel }) },)*
                // SAFETY: passed on from the caller.
                $($n => unsafe { V::call(Fixed::<$m, $n, true> { k, rows, panel }) },)*
                _ => debug_assert!(false, "a panel of {} blocks for {} rows", panel.len, $m),
            }
        };
    }
    match rows.len {
        1 => fixed!(1: 1 2 4),
        2 => fixed!(2: 1 2 4),
        3 => fixed!(3: 1 2 4),
        4 => fixed!(4: 1 2 4),
        5 => fixed!(5: 1 2 4),
        6 => fixed!(6: 1 2 4),
        _ => {}
    }
}

/// sums[i][j] += a[i][p]·b[p][j] for the products `range`; A and B with what lies between two of their elements p.
///
/// # Safety
///
/// The pointers are valid for every p of the range.
#[inline(always)]
unsafe fn products<V: Vector, const M: usize, const N: usize>(
    range: Range<usize>,
    sums: &mut [[V; N]; M],
    (a, step): (&[*const f32; M], usize),
    (b, stride): (&[*const f32; N], usize),
) {
    for p in range {
        // SAFETY: as the caller vouches.
        unsafe {
            let mut row = [V::zero(); N];
            for j in 0..N {
                row[j] = V::load(b[j].add(p * stride));
            }
            for i in 0..M {
                let x = V::splat(*a[i].add(p * step));
                for j in 0..N {
                    sums[i][j] = x.mul_add(row[j], sums[i][j]);
                }
            }
        }
    }
}

/// A tile of M rows and N blocks, both known to the compiler, and whether memory is fetched meanwhile: the loop of one that fetches nothing stays whole.
struct Fixed<'a, const M: usize, const N: usize, const AHEAD: bool> {
    k: usize,
    rows: &'a Tile,
    panel: &'a Panel,
}

impl<const M: usize, const N: usize, const AHEAD: bool> Kernel for Fixed<'_, M, N, AHEAD> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Fixed { k, rows, panel } = self;
        let (step, stride) = (rows.step, panel.stride);
        let (mut a, mut b) = ([null(); M], [null(); N]);
        a.copy_from_slice(&rows.a[..M]);
        b.copy_from_slice(&panel.b[..N]);
        // SAFETY: the caller of `tile` vouches for every pointer.
        unsafe {
            let mut sums = [[V::zero(); N]; M];
            if !rows.init[0].is_null() {
                for i in 0..M {
                    for j in 0..N - 1 {
                        sums[i][j] = V::load(rows.init[i].add(panel.offset[j]));
                    }
                    sums[i][N - 1] = V::load_first(rows.init[i].add(panel.offset[N - 1]), panel.last);
                }
            }
            if AHEAD {
                for (index, first) in (0..k).step_by(Soon::EVERY).enumerate() {
                    rows.soon.ask(index);
                    products::<V, M, N>(first..(first + Soon::EVERY).min(k), &mut sums, (&a, step), (&b, stride));
                }
            } else {
                products::<V, M, N>(0..k, &mut sums, (&a, step), (&b, stride));
            }
            for i in 0..M {
                for j in 0..N - 1 {
                    sums[i][j].store(rows.out[i].add(panel.offset[j]));
                }
                sums[i][N - 1].store_first(rows.out[i].add(panel.offset[N - 1]), panel.last);
            }
        }
    }
}
