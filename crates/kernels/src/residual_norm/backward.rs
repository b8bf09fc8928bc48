//! Residual addition and norm, backward.

use std::ptr::{null, null_mut};

use super::{Affine, Kind, NAME, Norm, Shape};
use crate::parallel::{row_tasks, share};
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// The buffers of a backward pass, all the caller's.
#[derive(Debug, Default)]
pub struct Backward<'a> {
    /// [N, D], read: s as forward wrote it (x itself where there was no residual).
    pub sum: &'a [f32],
    /// As given to forward, read.
    pub weight: Option<&'a [f32]>,
    /// [N, 2] as forward wrote them, read.
    pub statistics: &'a [f32],
    /// [N, D], read.
    pub dy: &'a [f32],
    /// [N, D], read: what comes to s from the stream; absent means zeros.
    pub dsum: Option<&'a [f32]>,
    /// [N, D], written: the gradient of x, and of the residual.
    pub dx: &'a mut [f32],
    /// [D], written where wanted.
    pub dweight: Option<&'a mut [f32]>,
    /// [D], written where wanted.
    pub dbias: Option<&'a mut [f32]>,
}

/// The gradients of everything that [`super::forward`] read.
pub fn backward(context: &Context, shape: &Shape, norm: Norm, buffers: Backward) -> Result<(), Error> {
    let Shape { rows, width } = *shape;
    for (name, letters, expected, slice) in [
        ("sum", "N*D", rows * width, Some(buffers.sum)),
        ("weight", "D", width, buffers.weight),
        ("statistics", "N*2", 2 * rows, Some(buffers.statistics)),
        ("dy", "N*D", rows * width, Some(buffers.dy)),
        ("dsum", "N*D", rows * width, buffers.dsum),
        ("dx", "N*D", rows * width, Some(&*buffers.dx)),
        ("dweight", "D", width, buffers.dweight.as_deref()),
        ("dbias", "D", width, buffers.dbias.as_deref()),
    ] {
        if let Some(slice) = slice {
            Error::check(NAME, name, letters, expected, slice.len())?;
        }
    }
    let tasks = row_tasks(context.parallel(), rows, width);
    let mut sums = context.pool().take(2 * tasks * width);
    sums.fill(0.0);
    let pass = Pass {
        shape: *shape,
        norm,
        affine: Affine::new(buffers.weight, None),
        sum: buffers.sum.as_ptr(),
        statistics: buffers.statistics.as_ptr(),
        dy: buffers.dy.as_ptr(),
        dsum: buffers.dsum.map_or(null(), <[f32]>::as_ptr),
        dx: buffers.dx.as_mut_ptr(),
        sums: sums.as_mut_ptr(),
        tasks,
    };
    // SAFETY: the context vouches for the instruction set, the checks for the buffers; tasks write disjoint rows and sums.
    context.parallel().run(tasks, &|task| unsafe { context.isa().run(Task { pass: &pass, task }) });
    let [dweight, dbias] = [buffers.dweight, buffers.dbias];
    for (which, to) in [dweight, dbias].into_iter().enumerate() {
        let Some(to) = to else { continue };
        to.fill(0.0);
        for task in 0..tasks {
            let part = &sums[(2 * task + which) * width..][..width];
            to.iter_mut().zip(part).for_each(|(to, part)| *to += part);
        }
    }
    Ok(())
}

struct Pass {
    shape: Shape,
    norm: Norm,
    affine: Affine,
    sum: *const f32,
    statistics: *const f32,
    dy: *const f32,
    dsum: *const f32,
    dx: *mut f32,
    /// For each task the sums of dweight and of dbias, [D] each.
    sums: *mut f32,
    tasks: usize,
}

// SAFETY: the pointers come from slices that outlive the pass; every task writes its own rows and sums only.
unsafe impl Sync for Pass {}

struct Task<'a> {
    pass: &'a Pass,
    task: usize,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Pass { shape, norm, affine, sum, statistics, dy, dsum, dx, sums, tasks } = *self.pass;
        let dweight = sums.wrapping_add(2 * self.task * shape.width);
        for row in share(shape.rows, tasks, self.task) {
            let at = row * shape.width;
            // SAFETY: every buffer holds the row.
            unsafe {
                let gradient = RowGradient {
                    affine,
                    from: sum.add(at),
                    statistics: [*statistics.add(2 * row), *statistics.add(2 * row + 1)],
                    dy: dy.add(at),
                    along: if dsum.is_null() { null() } else { dsum.add(at) },
                    dx: dx.add(at),
                    dweight,
                    dbias: dweight.wrapping_add(shape.width),
                    again: null_mut(),
                };
                row_backward::<V>(norm, &gradient, shape.width);
            }
        }
    }
}

/// One row of a norm, backward.
pub(crate) struct RowGradient {
    pub(crate) affine: Affine,
    /// What was normalised.
    pub(crate) from: *const f32,
    /// Its mean and ρ.
    pub(crate) statistics: [f32; 2],
    /// May be the same as `dx`.
    pub(crate) dy: *const f32,
    /// Added to dx; null for zeros.
    pub(crate) along: *const f32,
    pub(crate) dx: *mut f32,
    /// Added to.
    pub(crate) dweight: *mut f32,
    pub(crate) dbias: *mut f32,
    /// Written where not null: the row as forward gave it.
    pub(crate) again: *mut f32,
}

/// With n = (x - mean) ρ and g = dy ⊙ weight: `dx = ρ (g - mean(g) - n mean(g ⊙ n)) + along`; the rms norm has no mean(g).
#[inline(always)]
pub(crate) unsafe fn row_backward<V: Vector>(norm: Norm, row: &RowGradient, width: usize) {
    // SAFETY: passed on from the caller.
    unsafe {
        let (mean, scale) = (V::splat(row.statistics[0]), V::splat(row.statistics[1]));
        let normal = |column: usize, len: usize| V::load_first(row.from.add(column), len).sub(mean).mul(scale).first(len);
        let gradient = |column: usize, len: usize| {
            let dy = V::load_first(row.dy.add(column), len);
            row.affine.scale(dy, column, len)
        };
        let (mut sum, mut product) = (V::zero(), V::zero());
        for column in (0..width).step_by(V::LANES) {
            let len = V::LANES.min(width - column);
            let (n, g) = (normal(column, len), gradient(column, len));
            sum = sum.add(g);
            product = g.mul_add(n, product);
            let dy = V::load_first(row.dy.add(column), len);
            dy.mul_add(n, V::load_first(row.dweight.add(column), len)).store_first(row.dweight.add(column), len);
            dy.add(V::load_first(row.dbias.add(column), len)).store_first(row.dbias.add(column), len);
        }
        let mean_g = V::splat(if norm.kind == Kind::Layer { sum.sum() / width as f32 } else { 0.0 });
        let mean_gn = V::splat(product.sum() / width as f32);
        for column in (0..width).step_by(V::LANES) {
            let len = V::LANES.min(width - column);
            let (n, g) = (normal(column, len), gradient(column, len));
            let dx = n.neg_mul_add(mean_gn, g.sub(mean_g)).mul(scale);
            let dx = if row.along.is_null() { dx } else { dx.add(V::load_first(row.along.add(column), len)) };
            dx.store_first(row.dx.add(column), len);
            if !row.again.is_null() {
                row.affine.apply(n, column, len).store_first(row.again.add(column), len);
            }
        }
    }
}
