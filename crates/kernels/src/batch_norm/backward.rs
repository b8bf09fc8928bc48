//! Batch normalisation, addition and ReLU, backward: one pass for the sums over the rows, one that writes dx.

use std::ptr::{null, null_mut};

use super::forward::{Affine, add_to, affine, inverse_deviation, two_sums};
use super::{NAME, Norm, Shape, block_rows};
use crate::parallel::{row_tasks, share};
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// The buffers of a backward pass, all the caller's.
#[derive(Debug, Default)]
pub struct Backward<'a> {
    /// As given to forward, read.
    pub x: &'a [f32],
    /// As given to forward, read.
    pub weight: Option<&'a [f32]>,
    /// As given to forward, read.
    pub bias: Option<&'a [f32]>,
    /// [R, C], read where there are a ReLU and a residual: as forward wrote it. Without a residual x says which results were negative.
    pub y: Option<&'a [f32]>,
    /// [2, C] as forward wrote them, read.
    pub statistics: &'a [f32],
    /// [R, C], read.
    pub dy: &'a [f32],
    /// [R, C], written.
    pub dx: &'a mut [f32],
    /// [R, C], written where wanted.
    pub dresidual: Option<&'a mut [f32]>,
    /// [C], written where wanted.
    pub dweight: Option<&'a mut [f32]>,
    /// [C], written where wanted.
    pub dbias: Option<&'a mut [f32]>,
}

/// The gradients of everything that [`super::forward`] read. With g the gradient behind the ReLU and n the normalised x:
///
/// ```text
/// dr = g      dbias = Σ g      dweight = Σ g n      dx = weight ρ (g - dbias / R - n dweight / R)
/// ```
pub fn backward(context: &Context, shape: &Shape, norm: Norm, buffers: Backward) -> Result<(), Error> {
    let Shape { rows, channels } = *shape;
    for (name, letters, expected, slice) in [
        ("x", "R*C", rows * channels, Some(buffers.x)),
        ("weight", "C", channels, buffers.weight),
        ("bias", "C", channels, buffers.bias),
        ("y", "R*C", rows * channels, buffers.y),
        ("statistics", "2*C", 2 * channels, Some(buffers.statistics)),
        ("dy", "R*C", rows * channels, Some(buffers.dy)),
        ("dx", "R*C", rows * channels, Some(&*buffers.dx)),
        ("dresidual", "R*C", rows * channels, buffers.dresidual.as_deref()),
        ("dweight", "C", channels, buffers.dweight.as_deref()),
        ("dbias", "C", channels, buffers.dbias.as_deref()),
    ] {
        if let Some(slice) = slice {
            Error::check(NAME, name, letters, expected, slice.len())?;
        }
    }
    let tasks = row_tasks(context.parallel(), rows, channels).max(1);
    let (mean, variance) = buffers.statistics.split_at(channels);
    let mut numbers = context.pool().take(3 * channels);
    let (scale, means) = numbers.split_at_mut(channels);
    for channel in 0..channels {
        let weight = buffers.weight.map_or(1.0, |weight| weight[channel]);
        scale[channel] = weight * inverse_deviation(variance[channel], norm.eps);
    }
    let mut sums = vec![0.0_f64; 2 * tasks * channels];
    let mut pass = Pass {
        shape: *shape,
        affine: Affine::new(mean, scale, buffers.bias),
        x: buffers.x.as_ptr(),
        y: buffers.y.map_or(null(), <[f32]>::as_ptr),
        dy: buffers.dy.as_ptr(),
        dx: buffers.dx.as_mut_ptr(),
        dresidual: buffers.dresidual.map_or(null_mut(), <[f32]>::as_mut_ptr),
        sums: sums.as_mut_ptr(),
        means: null(),
        tasks,
    };
    let mask = match (norm.relu, buffers.y) {
        (false, _) => Mask::None,
        (true, None) => Mask::X,
        (true, Some(_)) => Mask::Y,
    };
    run(context, &pass, mask, false);
    let (mut dweight, mut dbias) = (buffers.dweight, buffers.dbias);
    for channel in 0..channels {
        let total = |which: usize| (0..tasks).map(|task| sums[(2 * task + which) * channels + channel]).sum::<f64>();
        // Σ g, and Σ g (x - mean) ρ.
        let density = f64::from(inverse_deviation(variance[channel], norm.eps));
        let (sum, product) = (total(0), total(1) * density);
        let per_row = 1.0 / rows.max(1) as f64;
        means[channel] = (sum * per_row) as f32;
        means[channels + channel] = (product * per_row * density) as f32;
        if let Some(dweight) = dweight.as_deref_mut() {
            dweight[channel] = product as f32;
        }
        if let Some(dbias) = dbias.as_deref_mut() {
            dbias[channel] = sum as f32;
        }
    }
    pass.means = means.as_ptr();
    // The first pass left g where the gradient of the residual is wanted.
    if pass.dresidual.is_null() {
        run(context, &pass, mask, true);
    } else {
        pass.dy = pass.dresidual;
        pass.dresidual = null_mut();
        run(context, &pass, Mask::None, true);
    }
    Ok(())
}

/// What says where the ReLU let nothing through.
#[derive(Clone, Copy)]
enum Mask {
    None,
    X,
    Y,
}

struct Pass {
    shape: Shape,
    affine: Affine,
    x: *const f32,
    y: *const f32,
    dy: *const f32,
    dx: *mut f32,
    dresidual: *mut f32,
    /// For each task Σ g and Σ g (x - mean), [C] each.
    sums: *mut f64,
    /// [2, C]: Σ g / R, and ρ Σ g n / R.
    means: *const f32,
    tasks: usize,
}

// SAFETY: the pointers come from slices that outlive the pass; every task writes its own rows and sums only.
unsafe impl Sync for Pass {}

fn run(context: &Context, pass: &Pass, mask: Mask, last: bool) {
    let isa = context.isa();
    // SAFETY: the context vouches for the instruction set, the checks in `backward` for the buffers; tasks write disjoint rows and sums.
    context.parallel().run(pass.tasks, &|task| unsafe {
        match (mask, last) {
            (Mask::None, false) => isa.run(Sums::<0> { pass, task }),
            (Mask::X, false) => isa.run(Sums::<1> { pass, task }),
            (Mask::Y, false) => isa.run(Sums::<2> { pass, task }),
            (Mask::None, true) => isa.run(Spread::<0> { pass, task }),
            (Mask::X, true) => isa.run(Spread::<1> { pass, task }),
            (Mask::Y, true) => isa.run(Spread::<2> { pass, task }),
        }
    });
}

impl Pass {
    /// g at `at`.
    #[inline(always)]
    unsafe fn gradient<V: Vector, const MASK: u8>(&self, at: usize, len: usize, x: V, numbers: [V; 3]) -> V {
        // SAFETY: passed on from the caller; y is there where it is the mask.
        unsafe {
            let dy = V::load_first(self.dy.add(at), len);
            match MASK {
                0 => dy,
                1 => dy.zero_where_at_most(affine(x, numbers), V::zero()),
                _ => dy.zero_where_at_most(V::load_first(self.y.add(at), len), V::zero()),
            }
        }
    }
}

struct Sums<'a, const MASK: u8> {
    pass: &'a Pass,
    task: usize,
}

impl<const MASK: u8> Kernel for Sums<'_, MASK> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let pass = self.pass;
        let Shape { rows, channels } = pass.shape;
        let own = share(rows, pass.tasks, self.task);
        let sums = pass.sums.wrapping_add(2 * self.task * channels);
        for start in own.clone().step_by(block_rows(channels)) {
            let end = own.end.min(start + block_rows(channels));
            for column in (0..channels).step_by(V::LANES) {
                let len = V::LANES.min(channels - column);
                // SAFETY: every buffer holds the rows, the sums of the task 2 C.
                unsafe {
                    let numbers = pass.affine.of::<V>(column, len);
                    let found = two_sums(start..end, |row| {
                        let at = row * channels + column;
                        let x = V::load_first(pass.x.add(at), len);
                        let g = pass.gradient::<V, MASK>(at, len, x, numbers);
                        if !pass.dresidual.is_null() {
                            g.store_first(pass.dresidual.add(at), len);
                        }
                        (g, g.mul(x.sub(numbers[0])))
                    });
                    add_to(sums.add(column), found[0], len);
                    add_to(sums.add(channels + column), found[1], len);
                }
            }
        }
    }
}

struct Spread<'a, const MASK: u8> {
    pass: &'a Pass,
    task: usize,
}

impl<const MASK: u8> Kernel for Spread<'_, MASK> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let pass = self.pass;
        let Shape { rows, channels } = pass.shape;
        let own = share(rows, pass.tasks, self.task);
        for start in own.clone().step_by(block_rows(channels)) {
            let end = own.end.min(start + block_rows(channels));
            for column in (0..channels).step_by(V::LANES) {
                let len = V::LANES.min(channels - column);
                // SAFETY: every buffer holds the rows.
                unsafe {
                    let numbers = pass.affine.of::<V>(column, len);
                    let (mean, slope) = (V::load_first(pass.means.add(column), len), V::load_first(pass.means.add(channels + column), len));
                    for row in start..end {
                        let at = row * channels + column;
                        let x = V::load_first(pass.x.add(at), len);
                        let g = pass.gradient::<V, MASK>(at, len, x, numbers);
                        let dx = x.sub(numbers[0]).neg_mul_add(slope, g.sub(mean)).mul(numbers[1]);
                        dx.store_first(pass.dx.add(at), len);
                    }
                }
            }
        }
    }
}
