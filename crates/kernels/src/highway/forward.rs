//! The highway stack forward, for inference and training.

use std::marker::PhantomData;
use std::ptr::{copy_nonoverlapping, null_mut};

use super::{Layout, NAME, Packed, ROWS, Shape, Stack};
use crate::activation::{Activation, Nonlinearity, Relu, Tanh};
use crate::gemm::pack::Blocks;
use crate::gemm::{Block, Panel, Row, panel_width, product};
use crate::math::sigmoid;
use crate::parallel::share;
use crate::pool::Buffer;
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// The buffers of a forward pass, all the caller's.
#[derive(Debug, Default)]
pub struct Forward<'a> {
    /// x_0 [N, D], read.
    pub x: &'a [f32],
    /// x_K [N, D], written.
    pub y: &'a mut [f32],
    /// [`super::reserve_len`] floats, written and kept for [`super::backward`]; absent for inference. Its layout is private.
    pub reserve: Option<&'a mut [f32]>,
}

/// Runs every row through all layers.
pub fn forward(context: &Context, stack: &Stack, packed: &mut Packed, buffers: Forward) -> Result<(), Error> {
    match stack.nonlinearity {
        Nonlinearity::Tanh => run::<Tanh>(context, stack, packed, buffers),
        Nonlinearity::Relu => run::<Relu>(context, stack, packed, buffers),
    }
}

fn run<A: Activation>(context: &Context, stack: &Stack, packed: &mut Packed, buffers: Forward) -> Result<(), Error> {
    stack.check()?;
    let Shape { rows, width, layers } = stack.shape;
    let layout = Layout::new(&stack.shape);
    Error::check(NAME, "x", "N*D", rows * width, buffers.x.len())?;
    Error::check(NAME, "y", "N*D", rows * width, buffers.y.len())?;
    if let Some(reserve) = &buffers.reserve {
        Error::check(NAME, "reserve", "reserve_len", layout.len(), reserve.len())?;
    }
    let blocks = packed.forward(context, stack);
    let mut bias = context.pool().take(layers * 2 * layout.column);
    bias.fill(0.0);
    for (gate, of_gate) in stack.bias.unwrap_or_default().chunks_exact(width.max(1)).enumerate() {
        bias[gate * layout.column..][..width].copy_from_slice(of_gate);
    }
    let parts = context.parallel().threads().min(rows.div_ceil(ROWS));
    let of_part = ROWS * 4 * layout.column;
    let pass = Pass::<A> {
        shape: stack.shape,
        layout,
        blocks,
        bias,
        parts,
        scratch: context.pool().take(parts * of_part),
        of_part,
        x: buffers.x.as_ptr(),
        y: buffers.y.as_mut_ptr(),
        reserve: buffers.reserve.map_or(null_mut(), <[f32]>::as_mut_ptr),
        activation: PhantomData,
    };
    // SAFETY: the context vouches for the instruction set, the checks for the buffers; parts write disjoint rows.
    context.parallel().run(parts, &|part| unsafe { context.isa().run(Part { pass: &pass, part }) });
    Ok(())
}

struct Pass<'a, A> {
    shape: Shape,
    layout: Layout,
    blocks: &'a Blocks,
    /// [K, 2·`column`]
    bias: Buffer,
    parts: usize,
    /// For each part the gates of one layer [ROWS, 2·`column`], then what goes in and what comes out [ROWS, `column`].
    scratch: Buffer,
    of_part: usize,
    x: *const f32,
    y: *mut f32,
    /// Null for inference.
    reserve: *mut f32,
    activation: PhantomData<A>,
}

// SAFETY: the pointers come from slices that outlive the pass; every part writes its own rows only.
unsafe impl<A: Activation> Sync for Pass<'_, A> {}

struct Part<'a, A> {
    pass: &'a Pass<'a, A>,
    part: usize,
}

impl<A: Activation> Kernel for Part<'_, A> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let rows = share(self.pass.shape.rows, self.pass.parts, self.part);
        for first in rows.clone().step_by(ROWS) {
            // SAFETY: passed on from the caller.
            unsafe { self.rows::<V>(first, ROWS.min(rows.end - first)) };
        }
    }
}

impl<A: Activation> Part<'_, A> {
    /// Rows `first..first + count`, `ROWS` at most.
    #[inline(always)]
    unsafe fn rows<V: Vector>(&self, first: usize, count: usize) {
        let Pass { shape, layout, reserve, .. } = self.pass;
        let Shape { width, layers, .. } = *shape;
        let column = layout.column;
        let scratch = self.pass.scratch.start().wrapping_add(self.part * self.pass.of_part);
        let state = |layer: usize, row: usize| scratch.wrapping_add((2 * ROWS + layer % 2 * ROWS + row) * column);
        // Where the input of a layer is, and the output of the last.
        let x = |layer: usize, row: usize| match layer {
            _ if layer == layers => self.pass.y.wrapping_add((first + row) * width),
            0 => self.pass.x.cast_mut().wrapping_add((first + row) * width),
            _ if reserve.is_null() => state(layer, row),
            _ => reserve.wrapping_add(layout.x(layer, first + row)),
        };
        let gates = |layer: usize, row: usize| {
            if reserve.is_null() { scratch.wrapping_add(row * 2 * column) } else { reserve.wrapping_add(layout.gates(layer, first + row)) }
        };
        // SAFETY: every buffer holds the rows; padded columns lie within their stride.
        unsafe {
            for layer in 0..layers {
                let bias = self.pass.bias.as_ptr().add(layer * 2 * column);
                let row = |row: usize| Row { a: x(layer, row), init: bias, out: gates(layer, row) };
                let panels = Panel::group(panel_width::<V>(count), self.pass.gate_blocks::<V>(layer).into_iter());
                product::<V>(width, 1, count, row, &panels);
                for row in 0..count {
                    for unit in (0..width).step_by(V::LANES) {
                        let len = V::LANES.min(width - unit);
                        let (at_h, at_t) = (gates(layer, row).add(unit), gates(layer, row).add(column + unit));
                        let (h, t) = (A::forward(V::load(at_h)), sigmoid(V::load(at_t)));
                        let x_before = V::load_first(x(layer, row).add(unit), len);
                        t.mul_add(h, V::splat(1.0).sub(t).mul(x_before)).store_first(x(layer + 1, row).add(unit), len);
                        h.store(at_h);
                        t.store(at_t);
                    }
                }
            }
            if layers == 0 {
                copy_nonoverlapping(self.pass.x.add(first * width), self.pass.y.add(first * width), count * width);
            }
        }
    }
}

impl<A> Pass<'_, A> {
    /// The blocks of both gates of a layer, at their places in a row of gates.
    fn gate_blocks<V: Vector>(&self, layer: usize) -> Vec<Block> {
        let per_gate = self.shape.width.div_ceil(V::LANES);
        let block = |index: usize| Block {
            b: self.blocks.block(layer * 2 * per_gate + index),
            offset: index / per_gate * self.layout.column + index % per_gate * V::LANES,
            columns: V::LANES,
        };
        (0..2 * per_gate).map(block).collect()
    }
}
