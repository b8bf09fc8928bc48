//! Residual addition and norm, forward.

use std::ptr::{null, null_mut};

use super::{Kind, NAME, Norm, Shape};
use crate::parallel::{row_tasks, share};
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// The buffers of a forward pass, all the caller's.
#[derive(Debug, Default)]
pub struct Forward<'a> {
    /// [N, D], read.
    pub x: &'a [f32],
    /// [N, D], read; absent means zeros.
    pub residual: Option<&'a [f32]>,
    /// [D], read; absent means ones.
    pub weight: Option<&'a [f32]>,
    /// [D], read; absent means zeros.
    pub bias: Option<&'a [f32]>,
    /// [N, D], written where wanted: s, which goes on as the stream and which backward reads.
    pub sum: Option<&'a mut [f32]>,
    /// [N, D], written.
    pub y: &'a mut [f32],
    /// [N, 2], written where wanted: mean (0 for rms) and ρ of each row, for backward.
    pub statistics: Option<&'a mut [f32]>,
}

/// Adds and normalises every row.
pub fn forward(context: &Context, shape: &Shape, norm: Norm, buffers: Forward) -> Result<(), Error> {
    let Shape { rows, width } = *shape;
    for (name, letters, expected, slice) in [
        ("x", "N*D", rows * width, Some(buffers.x)),
        ("residual", "N*D", rows * width, buffers.residual),
        ("weight", "D", width, buffers.weight),
        ("bias", "D", width, buffers.bias),
        ("sum", "N*D", rows * width, buffers.sum.as_deref()),
        ("y", "N*D", rows * width, Some(&*buffers.y)),
        ("statistics", "N*2", 2 * rows, buffers.statistics.as_deref()),
    ] {
        if let Some(slice) = slice {
            Error::check(NAME, name, letters, expected, slice.len())?;
        }
    }
    let pass = Pass {
        shape: *shape,
        norm,
        affine: Affine::new(buffers.weight, buffers.bias),
        x: buffers.x.as_ptr(),
        residual: buffers.residual.map_or(null(), <[f32]>::as_ptr),
        sum: buffers.sum.map_or(null_mut(), <[f32]>::as_mut_ptr),
        y: buffers.y.as_mut_ptr(),
        statistics: buffers.statistics.map_or(null_mut(), <[f32]>::as_mut_ptr),
        tasks: row_tasks(context.parallel(), rows, width),
    };
    // SAFETY: the context vouches for the instruction set, the checks for the buffers; tasks write disjoint rows.
    context.parallel().run(pass.tasks, &|task| unsafe { context.isa().run(Task { pass: &pass, task }) });
    Ok(())
}

/// weight and bias, null where absent.
#[derive(Clone, Copy)]
pub(crate) struct Affine {
    weight: *const f32,
    bias: *const f32,
}

impl Affine {
    pub(crate) fn new(weight: Option<&[f32]>, bias: Option<&[f32]>) -> Affine {
        Affine { weight: weight.map_or(null(), <[f32]>::as_ptr), bias: bias.map_or(null(), <[f32]>::as_ptr) }
    }

    /// `x ⊙ weight + bias` at `at`.
    #[inline(always)]
    pub(crate) unsafe fn apply<V: Vector>(&self, x: V, at: usize, len: usize) -> V {
        // SAFETY: `bias` holds D floats.
        unsafe {
            let x = self.scale(x, at, len);
            if self.bias.is_null() { x } else { x.add(V::load_first(self.bias.add(at), len)) }
        }
    }

    /// `x ⊙ weight` at `at`.
    #[inline(always)]
    pub(crate) unsafe fn scale<V: Vector>(&self, x: V, at: usize, len: usize) -> V {
        // SAFETY: `weight` holds D floats.
        unsafe { if self.weight.is_null() { x } else { x.mul(V::load_first(self.weight.add(at), len)) } }
    }
}

struct Pass {
    shape: Shape,
    norm: Norm,
    affine: Affine,
    x: *const f32,
    residual: *const f32,
    sum: *mut f32,
    y: *mut f32,
    statistics: *mut f32,
    tasks: usize,
}

// SAFETY: the pointers come from slices that outlive the pass; every task writes its own rows only.
unsafe impl Sync for Pass {}

struct Task<'a> {
    pass: &'a Pass,
    task: usize,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Pass { shape, norm, affine, x, residual, sum, y, statistics, tasks } = *self.pass;
        for row in share(shape.rows, tasks, self.task) {
            let at = row * shape.width;
            // SAFETY: every buffer holds the row.
            unsafe {
                let y = y.add(at);
                let mut from = x.add(at);
                if !residual.is_null() || !sum.is_null() {
                    // Without a buffer of its own the sum lies where y will be.
                    let to = if sum.is_null() { y } else { sum.add(at) };
                    for column in (0..shape.width).step_by(V::LANES) {
                        let len = V::LANES.min(shape.width - column);
                        let x = V::load_first(from.add(column), len);
                        let s = if residual.is_null() { x } else { x.add(V::load_first(residual.add(at + column), len)) };
                        s.store_first(to.add(column), len);
                    }
                    from = to;
                }
                let [mean, scale] = row_forward::<V>(norm, affine, from, y, shape.width);
                if !statistics.is_null() {
                    *statistics.add(2 * row) = mean;
                    *statistics.add(2 * row + 1) = scale;
                }
            }
        }
    }
}

/// Normalises one row of `width` floats; `to` may be `from`. Returns mean and ρ.
#[inline(always)]
pub(crate) unsafe fn row_forward<V: Vector>(norm: Norm, affine: Affine, from: *const f32, to: *mut f32, width: usize) -> [f32; 2] {
    // SAFETY: passed on from the caller.
    unsafe {
        let mean = if norm.kind == Kind::Layer { row_sum(from, width, |x: V| x) / width as f32 } else { 0.0 };
        let center = V::splat(mean);
        let square = |x: V| {
            let x = x.sub(center);
            x.mul(x)
        };
        let scale = 1.0 / (row_sum(from, width, square) / width as f32 + norm.eps as f32).sqrt();
        for column in (0..width).step_by(V::LANES) {
            let len = V::LANES.min(width - column);
            let x = V::load_first(from.add(column), len).sub(center).mul(V::splat(scale));
            affine.apply(x, column, len).store_first(to.add(column), len);
        }
        [mean, scale]
    }
}

/// Sum of `term` over a row, in four chains.
#[inline(always)]
unsafe fn row_sum<V: Vector>(from: *const f32, width: usize, term: impl Fn(V) -> V) -> f32 {
    // SAFETY: passed on from the caller.
    unsafe {
        let mut sums = [V::zero(); 4];
        let whole = width - width % (4 * V::LANES);
        for column in (0..whole).step_by(4 * V::LANES) {
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = sum.add(term(V::load(from.add(column + i * V::LANES))));
            }
        }
        let mut sum = sums[0].add(sums[1]).add(sums[2].add(sums[3]));
        for column in (whole..width).step_by(V::LANES) {
            let len = V::LANES.min(width - column);
            sum = sum.add(term(V::load_first(from.add(column), len)).first(len));
        }
        sum.sum()
    }
}
