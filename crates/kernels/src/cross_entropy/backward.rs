//! The gradient by the logits.

use super::{Options, Shape};
use crate::log_sum::term;
use crate::parallel::share;
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// The buffers, all the caller's.
#[derive(Debug)]
pub struct Backward<'a> {
    /// [N, V], read.
    pub x: &'a [f32],
    /// [N], read.
    pub target: &'a [i64],
    /// [N], read: L of [`super::forward`].
    pub log_sums: &'a [f32],
    /// [N], read: the gradients of the losses.
    pub dlosses: &'a [f32],
    /// [N, V], written.
    pub dx: &'a mut [f32],
}

/// The gradient of each row.
pub fn backward(context: &Context, shape: &Shape, options: Options, buffers: Backward) -> Result<(), Error> {
    let Backward { x, target, log_sums, dlosses, dx } = buffers;
    shape.check(options, x.len(), target)?;
    for (name, got) in [("log_sums", log_sums.len()), ("dlosses", dlosses.len())] {
        Error::check(super::NAME, name, "N", shape.rows, got)?;
    }
    Error::check(super::NAME, "dx", "N*V", x.len(), dx.len())?;
    let tasks = shape.tasks(context.parallel());
    let pass = Pass { shape: *shape, options, x, target, log_sums, dlosses, dx: dx.as_mut_ptr(), tasks };
    // SAFETY: the context vouches for the instruction set, the checks for the buffers; tasks write disjoint rows.
    context.parallel().run(tasks, &|task| unsafe { context.isa().run(Task { pass: &pass, task }) });
    Ok(())
}

struct Pass<'a> {
    shape: Shape,
    options: Options,
    x: &'a [f32],
    target: &'a [i64],
    log_sums: &'a [f32],
    dlosses: &'a [f32],
    dx: *mut f32,
    tasks: usize,
}

// SAFETY: the pointer comes from a slice that outlives the pass; every task writes its own rows only.
unsafe impl Sync for Pass<'_> {}

struct Task<'a> {
    pass: &'a Pass<'a>,
    task: usize,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Pass { shape: Shape { rows, classes }, options, x, target, log_sums, dlosses, dx, tasks } = *self.pass;
        for row in share(rows, tasks, self.task) {
            let x = &x[row * classes..][..classes];
            // SAFETY: dx holds a row of V for each, and no other task writes this one.
            let dx = unsafe { std::slice::from_raw_parts_mut(dx.add(row * classes), classes) };
            let Some(class) = options.class(target[row]) else {
                dx.fill(0.0);
                continue;
            };
            let smoothing = options.smoothing / classes as f64;
            // SAFETY: passed on from the caller.
            unsafe { softmax_less::<V>(x, log_sums[row], smoothing as f32, dlosses[row], dx) };
            dx[class] -= dlosses[row] * (1.0 - options.smoothing) as f32;
        }
    }
}

/// dx = factor (exp(x - `log_sum`) - less)
#[inline(always)]
unsafe fn softmax_less<V: Vector>(x: &[f32], log_sum: f32, less: f32, factor: f32, dx: &mut [f32]) {
    // SAFETY: passed on from the caller; both rows are equally long.
    unsafe {
        let (center, less, factor) = (V::splat(log_sum), V::splat(less), V::splat(factor));
        let whole = x.len() - x.len() % V::LANES;
        for at in (0..whole).step_by(V::LANES) {
            term(V::load(x.as_ptr().add(at)), center).sub(less).mul(factor).store(dx.as_mut_ptr().add(at));
        }
        if whole < x.len() {
            let len = x.len() - whole;
            let rest = term(V::load_first(x.as_ptr().add(whole), len), center).sub(less).mul(factor);
            rest.store_first(dx.as_mut_ptr().add(whole), len);
        }
    }
}
