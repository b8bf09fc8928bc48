//! The likeliest entries over vectors, rows side by side.

use super::{NAME, NONE, keep};
use crate::log_sum::{maximum, sum_of_exponentials};
use crate::parallel::{row_tasks, share};
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// Floats whose maximum is compared at once with the smallest entry that is kept.
const CHUNK: usize = 64;

/// The buffers of a pass, all the caller's.
#[derive(Debug, Default)]
pub struct Forward<'a> {
    /// [.., V], read.
    pub x: &'a [f32],
    /// [N]: the rows of x that are looked at.
    pub rows: &'a [usize],
    /// [N, k], written: the largest entries of each row, the largest first; -∞ where there are no more.
    pub values: &'a mut [f32],
    /// [N, k], written: where they are; [`NONE`] where there are no more.
    pub indices: &'a mut [u32],
    /// [N], written.
    pub log_sums: &'a mut [f64],
}

/// The k likeliest entries of each row of `width` entries.
pub fn forward(context: &Context, width: usize, k: usize, buffers: Forward) -> Result<(), Error> {
    let Forward { x, rows: which, values, indices, log_sums } = buffers;
    let rows = which.len();
    for (name, letters, expected, got) in
        [("values", "N*k", rows * k, values.len()), ("indices", "N*k", rows * k, indices.len()), ("log_sums", "N", rows, log_sums.len())]
    {
        Error::check(NAME, name, letters, expected, got)?;
    }
    if k == 0 || width == 0 || width >= NONE as usize {
        return Err(Error::new(NAME, format!("needs k and V of at least 1 and V below 2^32 - 1, got k = {k}, V = {width}")));
    }
    if let Some(row) = which.iter().find(|row| row.checked_add(1).and_then(|row| row.checked_mul(width)).is_none_or(|end| end > x.len())) {
        return Err(Error::new(NAME, format!("x of {} numbers has no row {row} of V = {width}", x.len())));
    }
    let pass = Pass {
        x,
        rows: which,
        width,
        k,
        values: values.as_mut_ptr(),
        indices: indices.as_mut_ptr(),
        log_sums: log_sums.as_mut_ptr(),
        tasks: row_tasks(context.parallel(), rows, width),
    };
    // SAFETY: the context vouches for the instruction set, the checks for the buffers; tasks write disjoint rows.
    context.parallel().run(pass.tasks, &|task| unsafe { context.isa().run(Task { pass: &pass, task }) });
    Ok(())
}

struct Pass<'a> {
    x: &'a [f32],
    rows: &'a [usize],
    width: usize,
    k: usize,
    values: *mut f32,
    indices: *mut u32,
    log_sums: *mut f64,
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
        let Pass { x, rows, width, k, values, indices, log_sums, tasks } = *self.pass;
        for at in share(rows.len(), tasks, self.task) {
            let x = &x[rows[at] * width..][..width];
            // SAFETY: every buffer holds the row, and no other task writes it.
            unsafe {
                let values = std::slice::from_raw_parts_mut(values.add(at * k), k);
                let indices = std::slice::from_raw_parts_mut(indices.add(at * k), k);
                let largest = select(x, values, indices);
                *log_sums.add(at) = f64::from(largest) + f64::from(sum_of_exponentials::<V>(x, largest)).ln();
            }
        }
    }
}

/// The largest entries, and the largest of all. Most chunks hold nothing that is kept, which their maximum tells.
#[inline(always)]
fn select(x: &[f32], values: &mut [f32], indices: &mut [u32]) -> f32 {
    values.fill(f32::NEG_INFINITY);
    indices.fill(NONE);
    let last = values.len() - 1;
    for (start, chunk) in (0..).step_by(CHUNK).zip(x.chunks(CHUNK)) {
        if maximum(chunk) > values[last] {
            for (&value, index) in chunk.iter().zip(start..) {
                if value > values[last] {
                    keep(values, indices, value, index);
                }
            }
        }
    }
    values[0]
}
