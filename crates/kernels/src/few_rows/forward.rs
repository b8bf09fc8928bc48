//! The product of a few rows.

use std::ops::Range;
use std::ptr::null;

use super::{MOST, NAME, Shape};
use crate::parallel::share;
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// Units that one thread computes before another may take the next ones: a multiple of every tile's.
const BLOCK: usize = 8;
/// Numbers of the weight from which on a second thread is worth its meeting.
const PARALLEL_FROM: usize = 32 << 10;

/// The buffers, all the caller's.
#[derive(Debug)]
pub struct Forward<'a> {
    /// [M, I], read.
    pub x: &'a [f32],
    /// [O, I], read.
    pub weight: &'a [f32],
    /// [O], read; absent means zeros.
    pub bias: Option<&'a [f32]>,
    /// [M, O], written.
    pub y: &'a mut [f32],
}

/// Multiplies.
pub fn forward(context: &Context, shape: &Shape, buffers: Forward) -> Result<(), Error> {
    let Shape { rows, input, output } = *shape;
    let Forward { x, weight, bias, y } = buffers;
    if rows > MOST {
        return Err(Error::new(NAME, format!("x must have at most {MOST} rows, got {rows}")));
    }
    for (name, letters, expected, got) in [
        ("x", "M*I", rows * input, x.len()),
        ("weight", "O*I", output * input, weight.len()),
        ("bias", "O", output, bias.map_or(output, <[f32]>::len)),
        ("y", "M*O", rows * output, y.len()),
    ] {
        Error::check(NAME, name, letters, expected, got)?;
    }
    let blocks = output.div_ceil(BLOCK);
    let threads = if weight.len() < PARALLEL_FROM { 1 } else { context.parallel().threads() };
    let pass =
        Pass { shape: *shape, x: x.as_ptr(), weight: weight.as_ptr(), bias: bias.map_or(null(), <[f32]>::as_ptr), y: y.as_mut_ptr() };
    let tasks = threads.min(blocks);
    context.parallel().run(tasks, &|task| {
        let units = share(blocks, tasks, task);
        let units = units.start * BLOCK..(units.end * BLOCK).min(output);
        // SAFETY: the context vouches for the instruction set, the checks for the buffers; tasks write disjoint units.
        unsafe { context.isa().run(Task { pass: &pass, units }) }
    });
    Ok(())
}

struct Pass {
    shape: Shape,
    x: *const f32,
    weight: *const f32,
    bias: *const f32,
    y: *mut f32,
}

// SAFETY: the pointers come from slices that outlive the pass; every task writes its own units only.
unsafe impl Sync for Pass {}

struct Task<'a> {
    pass: &'a Pass,
    units: Range<usize>,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // As many sums at once as hide the latency of a multiply-add, in registers that every instruction set has.
        // SAFETY: passed on from the caller.
        unsafe {
            match self.pass.shape.rows {
                1 => self.units::<V, 1, 8>(),
                2 => self.units::<V, 2, 4>(),
                3 => self.units::<V, 3, 2>(),
                4 => self.units::<V, 4, 2>(),
                _ => {}
            }
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    unsafe fn units<V: Vector, const M: usize, const N: usize>(&self) {
        let Range { start, end } = self.units.clone();
        let whole = end - (end - start) % N;
        // SAFETY: passed on from the caller.
        unsafe {
            for unit in (start..whole).step_by(N) {
                self.tile::<V, M, N>(unit);
            }
            for unit in whole..end {
                self.tile::<V, M, 1>(unit);
            }
        }
    }

    /// All M rows times N rows of the weight.
    #[inline(always)]
    unsafe fn tile<V: Vector, const M: usize, const N: usize>(&self, unit: usize) {
        let Pass { shape: Shape { input, output, .. }, x, weight, bias, y } = *self.pass;
        let whole = input - input % V::LANES;
        // SAFETY: the buffers hold these rows.
        unsafe {
            let weight = weight.add(unit * input);
            let mut sums = [[V::zero(); N]; M];
            for at in (0..whole).step_by(V::LANES) {
                for n in 0..N {
                    let w = V::load(weight.add(n * input + at));
                    for m in 0..M {
                        sums[m][n] = w.mul_add(V::load(x.add(m * input + at)), sums[m][n]);
                    }
                }
            }
            if whole < input {
                for n in 0..N {
                    let w = V::load_first(weight.add(n * input + whole), input - whole);
                    for m in 0..M {
                        sums[m][n] = w.mul_add(V::load_first(x.add(m * input + whole), input - whole), sums[m][n]);
                    }
                }
            }
            for m in 0..M {
                for n in 0..N {
                    let b = if bias.is_null() { 0.0 } else { *bias.add(unit + n) };
                    *y.add(m * output + unit + n) = sums[m][n].sum() + b;
                }
            }
        }
    }
}
