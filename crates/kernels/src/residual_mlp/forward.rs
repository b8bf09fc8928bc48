//! The residual block forward, for inference and training.

use std::ptr::null_mut;

use super::{Block, Layout, NAME, Packed, ROWS, Shape};
use crate::gemm::{Row, panel_width, product};
use crate::math::gelu_tanh;
use crate::parallel::share;
use crate::pool::Buffer;
use crate::residual_norm::{Affine, Kind, Norm, row_forward};
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// The buffers of a forward pass, all the caller's.
#[derive(Debug, Default)]
pub struct Forward<'a> {
    /// [N, D], read.
    pub x: &'a [f32],
    /// [N, D], written.
    pub y: &'a mut [f32],
    /// [`super::reserve_len`] floats, written and kept for [`super::backward`]; absent for inference. Its layout is private.
    pub reserve: Option<&'a mut [f32]>,
}

/// Runs the block on every row.
pub fn forward(context: &Context, block: &Block, packed: &mut Packed, buffers: Forward) -> Result<(), Error> {
    block.check()?;
    let Shape { rows, width, hidden } = block.shape;
    let layout = Layout::new(&block.shape);
    Error::check(NAME, "x", "N*D", rows * width, buffers.x.len())?;
    Error::check(NAME, "y", "N*D", rows * width, buffers.y.len())?;
    if let Some(reserve) = &buffers.reserve {
        Error::check(NAME, "reserve", "reserve_len", layout.len(), reserve.len())?;
    }
    packed.prepare_forward(context, block);
    let parts = context.parallel().threads().min(rows.div_ceil(ROWS));
    let mut bias = context.pool().take(layout.stride);
    bias.fill(0.0);
    if let Some(bias_1) = block.weights.bias_1 {
        bias[..hidden].copy_from_slice(bias_1);
    }
    let of_part = ROWS * (width + layout.stride);
    let pass = Pass {
        block,
        packed,
        layout,
        parts,
        scratch: context.pool().take(parts * of_part),
        of_part,
        bias,
        x: buffers.x.as_ptr(),
        y: buffers.y.as_mut_ptr(),
        reserve: buffers.reserve.map_or(null_mut(), <[f32]>::as_mut_ptr),
    };
    // SAFETY: the context vouches for the instruction set, the checks for the buffers; parts write disjoint rows.
    context.parallel().run(parts, &|part| unsafe { context.isa().run(Part { pass: &pass, part }) });
    Ok(())
}

struct Pass<'a> {
    block: &'a Block<'a>,
    packed: &'a Packed,
    layout: Layout,
    parts: usize,
    /// For each part: n [ROWS, D], then gelu(u) [ROWS, `stride`].
    scratch: Buffer,
    of_part: usize,
    /// b_1 or zeros, padded.
    bias: Buffer,
    x: *const f32,
    y: *mut f32,
    /// Null for inference.
    reserve: *mut f32,
}

// SAFETY: the pointers come from slices that outlive the pass; every part writes its own rows only.
unsafe impl Sync for Pass<'_> {}

struct Part<'a> {
    pass: &'a Pass<'a>,
    part: usize,
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let rows = share(self.pass.block.shape.rows, self.pass.parts, self.part);
        for first in rows.clone().step_by(ROWS) {
            // SAFETY: passed on from the caller.
            unsafe { self.rows::<V>(first, ROWS.min(rows.end - first)) };
        }
    }
}

impl Part<'_> {
    /// Rows `first..first + count`, `ROWS` at most.
    #[inline(always)]
    unsafe fn rows<V: Vector>(&self, first: usize, count: usize) {
        let Pass { block, packed, layout, x, y, reserve, .. } = self.pass;
        let Shape { width, hidden, .. } = block.shape;
        let weights = &block.weights;
        let normal = self.pass.scratch.start().wrapping_add(self.part * self.pass.of_part);
        let activated = normal.wrapping_add(ROWS * width);
        let u = |row: usize| {
            if reserve.is_null() {
                activated.wrapping_add(row * layout.stride)
            } else {
                reserve.wrapping_add((first + row) * layout.stride)
            }
        };
        let norm = Norm { kind: Kind::Layer, eps: block.eps };
        let affine = Affine::new(weights.norm_weight, weights.norm_bias);
        let panel_blocks = panel_width::<V>(count);
        // SAFETY: every buffer holds the rows; padded columns lie within their stride.
        unsafe {
            for row in 0..count {
                let statistics = row_forward::<V>(norm, affine, x.add((first + row) * width), normal.add(row * width), width);
                if !reserve.is_null() {
                    reserve.add(layout.statistics() + 2 * (first + row)).cast::<[f32; 2]>().write_unaligned(statistics);
                }
            }
            let bias = self.pass.bias.as_ptr();
            for panel in packed.forward.weight_1.panels(panel_blocks, hidden.next_multiple_of(V::LANES)) {
                let row = |row: usize| Row { a: normal.wrapping_add(row * width), init: bias, out: u(row) };
                product::<V>(width, 1, count, row, std::slice::from_ref(&panel));
                for row in 0..count {
                    for column in panel.columns(V::LANES).step_by(V::LANES) {
                        gelu_tanh(V::load(u(row).add(column))).store(activated.add(row * layout.stride + column));
                    }
                }
            }
            for row in 0..count {
                let at = (first + row) * width;
                for column in (0..width).step_by(V::LANES) {
                    let len = V::LANES.min(width - column);
                    let x = V::load_first(x.add(at + column), len);
                    let x = match weights.bias_2 {
                        Some(bias) => x.add(V::load_first(bias.as_ptr().add(column), len)),
                        None => x,
                    };
                    x.store_first(y.add(at + column), len);
                }
            }
            let row = |row: usize| {
                let y = y.wrapping_add((first + row) * width);
                Row { a: activated.wrapping_add(row * layout.stride), init: y, out: y }
            };
            product::<V>(hidden, 1, count, row, &packed.forward.weight_2.panels(panel_blocks, width));
        }
    }
}
