//! Batch normalisation, addition and ReLU, forward: one pass for the moments, one that writes y.

use std::ptr::null;

use super::{NAME, Norm, Shape, block_rows};
use crate::parallel::{row_tasks, share};
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// The buffers of a forward pass, all the caller's.
#[derive(Debug, Default)]
pub struct Forward<'a> {
    /// [R, C], read.
    pub x: &'a [f32],
    /// [R, C], read; absent means zeros.
    pub residual: Option<&'a [f32]>,
    /// [C], read; absent means ones.
    pub weight: Option<&'a [f32]>,
    /// [C], read; absent means zeros.
    pub bias: Option<&'a [f32]>,
    /// [R, C], written.
    pub y: &'a mut [f32],
    /// [2, C], written: mean and variance of each channel, which backward reads too.
    pub statistics: &'a mut [f32],
}

/// Normalises every channel by the moments of its rows.
pub fn forward(context: &Context, shape: &Shape, norm: Norm, buffers: Forward) -> Result<(), Error> {
    let Shape { rows, channels } = *shape;
    let Forward { x, residual, weight, bias, y, statistics } = buffers;
    for (name, letters, expected, slice) in [
        ("x", "R*C", rows * channels, Some(x)),
        ("residual", "R*C", rows * channels, residual),
        ("weight", "C", channels, weight),
        ("bias", "C", channels, bias),
        ("y", "R*C", rows * channels, Some(&*y)),
        ("statistics", "2*C", 2 * channels, Some(&*statistics)),
    ] {
        if let Some(slice) = slice {
            Error::check(NAME, name, letters, expected, slice.len())?;
        }
    }
    let tasks = row_tasks(context.parallel(), rows, channels).max(1);
    moments(context, shape, tasks, x, statistics);
    let (mean, variance) = statistics.split_at(channels);
    let mut scale = context.pool().take(channels);
    for channel in 0..channels {
        let weight = weight.map_or(1.0, |weight| weight[channel]);
        scale[channel] = weight * inverse_deviation(variance[channel], norm.eps);
    }
    let pass = Pass {
        shape: *shape,
        affine: Affine::new(mean, &scale, bias),
        x: x.as_ptr(),
        residual: residual.map_or(null(), <[f32]>::as_ptr),
        y: y.as_mut_ptr(),
        tasks,
    };
    let pass = &pass;
    // SAFETY: the context vouches for the instruction set, the checks for the buffers; tasks write disjoint rows.
    context.parallel().run(tasks, &|task| unsafe {
        if norm.relu { context.isa().run(Apply::<true> { pass, task }) } else { context.isa().run(Apply::<false> { pass, task }) }
    });
    Ok(())
}

/// ρ
pub(super) fn inverse_deviation(variance: f32, eps: f64) -> f32 {
    (1.0 / (f64::from(variance) + eps).sqrt()) as f32
}

/// Mean and variance of each channel. Squares are of the distances from the first row, so that a large mean costs no digits.
fn moments(context: &Context, shape: &Shape, tasks: usize, x: &[f32], statistics: &mut [f32]) {
    let Shape { rows, channels } = *shape;
    let mut sums = vec![0.0_f64; 2 * tasks * channels];
    let pass = Sums { shape: *shape, x: x.as_ptr(), found: sums.as_mut_ptr(), tasks };
    // SAFETY: as in `forward`; tasks write disjoint sums.
    context.parallel().run(tasks, &|task| unsafe { context.isa().run(SumTask { pass: &pass, task }) });
    for channel in 0..channels {
        let total = |which: usize| (0..tasks).map(|task| sums[(2 * task + which) * channels + channel]).sum::<f64>() / rows.max(1) as f64;
        let (distance, square) = (total(0), total(1));
        let origin = if rows == 0 { 0.0 } else { f64::from(x[channel]) };
        statistics[channel] = (origin + distance) as f32;
        // NaN stays NaN: max would give 0.
        let variance = square - distance * distance;
        statistics[channels + channel] = if variance < 0.0 { 0.0 } else { variance as f32 };
    }
}

struct Sums {
    shape: Shape,
    x: *const f32,
    /// For each task the sums of x - x[0] and of their squares, [C] each.
    found: *mut f64,
    tasks: usize,
}

// SAFETY: the pointers come from slices that outlive the pass; every task writes its own sums only.
unsafe impl Sync for Sums {}

struct SumTask<'a> {
    pass: &'a Sums,
    task: usize,
}

impl Kernel for SumTask<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Sums { shape: Shape { rows, channels }, x, found: sums, tasks } = *self.pass;
        let own = share(rows, tasks, self.task);
        let sums = sums.wrapping_add(2 * self.task * channels);
        for start in own.clone().step_by(block_rows(channels)) {
            let end = own.end.min(start + block_rows(channels));
            for column in (0..channels).step_by(V::LANES) {
                let len = V::LANES.min(channels - column);
                // SAFETY: x holds R rows of C floats, the sums of the task 2 C.
                unsafe {
                    let origin = V::load_first(x.add(column), len);
                    let found = two_sums(start..end, |row| {
                        let distance: V = V::load_first(x.add(row * channels + column), len).sub(origin);
                        (distance, distance.mul(distance))
                    });
                    add_to(sums.add(column), found[0], len);
                    add_to(sums.add(channels + column), found[1], len);
                }
            }
        }
    }
}

/// Sums over rows of two terms, in four chains.
#[inline(always)]
pub(super) unsafe fn two_sums<V: Vector>(rows: std::ops::Range<usize>, mut terms: impl FnMut(usize) -> (V, V)) -> [V; 2] {
    // SAFETY: passed on from the caller.
    unsafe {
        let mut sums = [[V::zero(); 2]; 4];
        let whole = rows.start + rows.len() / 4 * 4;
        for row in (rows.start..whole).step_by(4) {
            for (i, sum) in sums.iter_mut().enumerate() {
                let (a, b) = terms(row + i);
                *sum = [sum[0].add(a), sum[1].add(b)];
            }
        }
        for row in whole..rows.end {
            let (a, b) = terms(row);
            sums[0] = [sums[0][0].add(a), sums[0][1].add(b)];
        }
        [0, 1].map(|which| sums[0][which].add(sums[1][which]).add(sums[2][which].add(sums[3][which])))
    }
}

/// Adds the first `len` lanes to as many float64.
#[inline(always)]
pub(super) unsafe fn add_to<V: Vector>(to: *mut f64, lanes: V, len: usize) {
    let mut single = [0.0_f32; 16];
    // SAFETY: no vector has more lanes, and `to` holds `len` numbers.
    unsafe {
        lanes.store_first(single.as_mut_ptr(), len);
        for lane in 0..len {
            *to.add(lane) += f64::from(single[lane]);
        }
    }
}

/// `(x - mean) scale + bias`, scale being ρ ⊙ weight.
#[derive(Clone, Copy)]
pub(super) struct Affine {
    mean: *const f32,
    scale: *const f32,
    bias: *const f32,
}

impl Affine {
    pub(super) fn new(mean: &[f32], scale: &[f32], bias: Option<&[f32]>) -> Affine {
        Affine { mean: mean.as_ptr(), scale: scale.as_ptr(), bias: bias.map_or(null(), <[f32]>::as_ptr) }
    }

    /// The three numbers of some channels.
    #[inline(always)]
    pub(super) unsafe fn of<V: Vector>(&self, column: usize, len: usize) -> [V; 3] {
        // SAFETY: each holds C floats.
        unsafe {
            let bias = if self.bias.is_null() { V::zero() } else { V::load_first(self.bias.add(column), len) };
            [V::load_first(self.mean.add(column), len), V::load_first(self.scale.add(column), len), bias]
        }
    }
}

/// y before addition and ReLU.
#[inline(always)]
pub(super) unsafe fn affine<V: Vector>(x: V, [mean, scale, bias]: [V; 3]) -> V {
    // SAFETY: passed on from the caller.
    unsafe { x.sub(mean).mul_add(scale, bias) }
}

struct Pass {
    shape: Shape,
    affine: Affine,
    x: *const f32,
    residual: *const f32,
    y: *mut f32,
    tasks: usize,
}

// SAFETY: the pointers come from slices that outlive the pass; every task writes its own rows only.
unsafe impl Sync for Pass {}

struct Apply<'a, const RELU: bool> {
    pass: &'a Pass,
    task: usize,
}

impl<const RELU: bool> Kernel for Apply<'_, RELU> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Pass { shape: Shape { rows, channels }, affine: numbers, x, residual, y, tasks } = *self.pass;
        let own = share(rows, tasks, self.task);
        for start in own.clone().step_by(block_rows(channels)) {
            let end = own.end.min(start + block_rows(channels));
            for column in (0..channels).step_by(V::LANES) {
                let len = V::LANES.min(channels - column);
                // SAFETY: every buffer holds the rows.
                unsafe {
                    let numbers = numbers.of::<V>(column, len);
                    for row in start..end {
                        let at = row * channels + column;
                        let value = affine(V::load_first(x.add(at), len), numbers);
                        let value = if residual.is_null() { value } else { value.add(V::load_first(residual.add(at), len)) };
                        let value = if RELU { value.zero_where_at_most(value, V::zero()) } else { value };
                        value.store_first(y.add(at), len);
                    }
                }
            }
        }
    }
}
