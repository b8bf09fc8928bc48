//! The losses.

use super::{Options, Shape};
use crate::log_sum::{maximum, sum_of_exponentials};
use crate::parallel::share;
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// The buffers, all the caller's.
#[derive(Debug)]
pub struct Forward<'a> {
    /// [N, V], read.
    pub x: &'a [f32],
    /// [N], read.
    pub target: &'a [i64],
    /// [N], written.
    pub losses: &'a mut [f32],
    /// [N], written: L, which [`super::backward`] reads.
    pub log_sums: Option<&'a mut [f32]>,
}

/// The loss of each row.
pub fn forward(context: &Context, shape: &Shape, options: Options, buffers: Forward) -> Result<(), Error> {
    let Forward { x, target, losses, log_sums } = buffers;
    shape.check(options, x.len(), target)?;
    Error::check(super::NAME, "losses", "N", shape.rows, losses.len())?;
    Error::check(super::NAME, "log_sums", "N", shape.rows, log_sums.as_ref().map_or(shape.rows, |sums| sums.len()))?;
    let log_sums = log_sums.map_or(std::ptr::null_mut(), <[f32]>::as_mut_ptr);
    let tasks = shape.tasks(context.parallel());
    let pass = Pass { shape: *shape, options, x, target, losses: losses.as_mut_ptr(), log_sums, tasks };
    // SAFETY: the context vouches for the instruction set, the checks for the buffers; tasks write disjoint rows.
    context.parallel().run(tasks, &|task| unsafe { context.isa().run(Task { pass: &pass, task }) });
    Ok(())
}

struct Pass<'a> {
    shape: Shape,
    options: Options,
    x: &'a [f32],
    target: &'a [i64],
    losses: *mut f32,
    log_sums: *mut f32,
    tasks: usize,
}

// SAFETY: the pointers come from slices that outlive the pass; every task writes its own rows only.
unsafe impl Sync for Pass<'_> {}

struct Task<'a> {
    pass: &'a Pass<'a>,
    task: usize,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Pass { shape: Shape { rows, classes }, options, x, target, losses, log_sums, tasks } = *self.pass;
        for row in share(rows, tasks, self.task) {
            let x = &x[row * classes..][..classes];
            let (mut loss, mut log_sum) = (0.0, 0.0);
            if let Some(class) = options.class(target[row]) {
                let largest = maximum(x);
                // SAFETY: passed on from the caller.
                log_sum = f64::from(largest) + f64::from(unsafe { sum_of_exponentials::<V>(x, largest) }).ln();
                loss = log_sum - (1.0 - options.smoothing) * f64::from(x[class]);
                if options.smoothing > 0.0 {
                    // SAFETY: as above.
                    loss -= options.smoothing / classes as f64 * unsafe { sum::<V>(x) };
                }
            }
            // SAFETY: both hold a number for each row, and no other task writes these.
            unsafe {
                *losses.add(row) = loss as f32;
                if !log_sums.is_null() {
                    *log_sums.add(row) = log_sum as f32;
                }
            }
        }
    }
}

/// Σ x, in two chains.
#[inline(always)]
unsafe fn sum<V: Vector>(x: &[f32]) -> f64 {
    // SAFETY: passed on from the caller; reads stay within the row.
    unsafe {
        let mut sums = [V::zero(); 2];
        let whole = x.len() - x.len() % (2 * V::LANES);
        for at in (0..whole).step_by(2 * V::LANES) {
            sums[0] = sums[0].add(V::load(x.as_ptr().add(at)));
            sums[1] = sums[1].add(V::load(x.as_ptr().add(at + V::LANES)));
        }
        let rest: f32 = x[whole..].iter().sum();
        f64::from(sums[0].add(sums[1]).sum()) + f64::from(rest)
    }
}
