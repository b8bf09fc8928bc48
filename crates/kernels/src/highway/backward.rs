//! The highway stack backward: by rows for the gradients of the gates and of x, then by layers and units for those of the weights.

use std::marker::PhantomData;
use std::ptr::{copy_nonoverlapping, write_bytes};

use super::{Layout, NAME, Packed, ROWS, Shape, Stack};
use crate::activation::{Activation, Nonlinearity, Relu, Tanh};
use crate::gemm::outer::{self, MAX_TERMS, Target, add_outer, add_rows, pack_rows, packed_len};
use crate::gemm::pack::Blocks;
use crate::gemm::{Panel, Row, panel_width, product};
use crate::parallel::share;
use crate::pool::Buffer;
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// The buffers of a backward pass, all the caller's.
#[derive(Debug, Default)]
pub struct Backward<'a> {
    /// As given to forward, read.
    pub x: &'a [f32],
    /// As forward wrote it; used as scratch, so that a second backward pass needs a copy made before.
    pub reserve: &'a mut [f32],
    /// [N, D], read.
    pub dy: &'a [f32],
    /// [N, D], written.
    pub dx: &'a mut [f32],
    /// [K, 2·D, D], written.
    pub dweight: &'a mut [f32],
    /// [K, 2·D], written where wanted.
    pub dbias: Option<&'a mut [f32]>,
}

/// The gradients of everything that [`super::forward`] read.
pub fn backward(context: &Context, stack: &Stack, packed: &mut Packed, buffers: Backward) -> Result<(), Error> {
    match stack.nonlinearity {
        Nonlinearity::Tanh => run::<Tanh>(context, stack, packed, buffers),
        Nonlinearity::Relu => run::<Relu>(context, stack, packed, buffers),
    }
}

fn run<A: Activation>(context: &Context, stack: &Stack, packed: &mut Packed, mut buffers: Backward) -> Result<(), Error> {
    stack.check()?;
    let Shape { rows, width, layers } = stack.shape;
    let layout = Layout::new(&stack.shape);
    for (name, letters, expected, len) in [
        ("x", "N*D", rows * width, Some(buffers.x.len())),
        ("reserve", "reserve_len", layout.len(), Some(buffers.reserve.len())),
        ("dy", "N*D", rows * width, Some(buffers.dy.len())),
        ("dx", "N*D", rows * width, Some(buffers.dx.len())),
        ("dweight", "K*2*D*D", layers * 2 * width * width, Some(buffers.dweight.len())),
        ("dbias", "K*2*D", layers * 2 * width, buffers.dbias.as_ref().map(|dbias| dbias.len())),
    ] {
        if let Some(len) = len {
            Error::check(NAME, name, letters, expected, len)?;
        }
    }
    let threads = context.parallel().threads();
    let row_parts = threads.min(rows.div_ceil(ROWS));
    let pieces = threads.div_ceil(layers.max(1)).min(width.div_ceil(8)).max(1);
    let unit_parts = threads.min(layers * pieces);
    let terms = rows.min(MAX_TERMS);
    let of_part = packed_len(terms, width, context.isa().lanes()) + outer::scratch_len(terms);
    let mut pass = Pass::<A> {
        shape: stack.shape,
        layout,
        blocks: packed.backward(context, stack),
        row_parts,
        carried: context.pool().take(row_parts * ROWS * layout.column),
        pieces,
        unit_parts,
        scratch: context.pool().take(unit_parts * of_part),
        of_part,
        dbias: context.pool().take(layers * 2 * width),
        x: buffers.x.as_ptr(),
        reserve: buffers.reserve.as_mut_ptr(),
        dy: buffers.dy.as_ptr(),
        dx: buffers.dx.as_mut_ptr(),
        dweight: buffers.dweight.as_mut_ptr(),
        activation: PhantomData,
    };
    pass.dbias.fill(0.0);
    let pass = &pass;
    // SAFETY: the context vouches for the instruction set, the checks for the buffers; parts write disjoint rows.
    context.parallel().run(row_parts, &|part| unsafe { context.isa().run(RowsPart { pass, part }) });
    // SAFETY: as above; parts write the sums of disjoint layers and units.
    context.parallel().run(unit_parts, &|part| unsafe { context.isa().run(UnitsPart { pass, part }) });
    if let Some(dbias) = &mut buffers.dbias {
        dbias.copy_from_slice(&pass.dbias);
    }
    Ok(())
}

struct Pass<'a, A> {
    shape: Shape,
    layout: Layout,
    blocks: &'a Blocks,
    row_parts: usize,
    /// For each part by rows the gradient of x_k, [ROWS, `column`].
    carried: Buffer,
    /// Pieces of the units of each layer.
    pieces: usize,
    unit_parts: usize,
    /// For each part by units: packed x_k, and the scratch of the products.
    scratch: Buffer,
    of_part: usize,
    /// [K, 2·D]
    dbias: Buffer,
    x: *const f32,
    /// As forward wrote it; h and t become their gradients.
    reserve: *mut f32,
    dy: *const f32,
    dx: *mut f32,
    dweight: *mut f32,
    activation: PhantomData<A>,
}

// SAFETY: the pointers come from slices that outlive the pass; parts write their own rows, or units, only.
unsafe impl<A: Activation> Sync for Pass<'_, A> {}

impl<A> Pass<'_, A> {
    /// x_k of one row.
    fn x(&self, layer: usize, row: usize) -> *const f32 {
        if layer == 0 { self.x.wrapping_add(row * self.shape.width) } else { self.reserve.wrapping_add(self.layout.x(layer, row)) }
    }

    fn gates(&self, layer: usize, row: usize) -> *mut f32 {
        self.reserve.wrapping_add(self.layout.gates(layer, row))
    }
}

/// Some rows, back through all layers.
struct RowsPart<'a, A> {
    pass: &'a Pass<'a, A>,
    part: usize,
}

impl<A: Activation> Kernel for RowsPart<'_, A> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let rows = share(self.pass.shape.rows, self.pass.row_parts, self.part);
        for first in rows.clone().step_by(ROWS) {
            // SAFETY: passed on from the caller.
            unsafe { self.rows::<V>(first, ROWS.min(rows.end - first)) };
        }
    }
}

impl<A: Activation> RowsPart<'_, A> {
    /// Rows `first..first + count`, `ROWS` at most.
    #[inline(always)]
    unsafe fn rows<V: Vector>(&self, first: usize, count: usize) {
        let pass = self.pass;
        let Shape { width, layers, .. } = pass.shape;
        let column = pass.layout.column;
        let per_layer = width.div_ceil(V::LANES);
        let dx = |row: usize| pass.carried.start().wrapping_add((self.part * ROWS + row) * column);
        // SAFETY: every buffer holds the rows; padded columns lie within their stride.
        unsafe {
            for row in 0..count {
                write_bytes(dx(row), 0, column);
                copy_nonoverlapping(pass.dy.add((first + row) * width), dx(row), width);
            }
            for layer in (0..layers).rev() {
                for row in 0..count {
                    let (gates, x) = (pass.gates(layer, first + row), pass.x(layer, first + row));
                    for unit in (0..width).step_by(V::LANES) {
                        let x = V::load_first(x.add(unit), V::LANES.min(width - unit));
                        let (at_h, at_t) = (gates.add(unit), gates.add(column + unit));
                        let (h, t, dy) = (V::load(at_h), V::load(at_t), V::load(dx(row).add(unit)));
                        let rest = V::splat(1.0).sub(t);
                        A::backward(h, dy.mul(t)).store(at_h);
                        dy.mul(h.sub(x)).mul(t).mul(rest).store(at_t);
                        dy.mul(rest).store(dx(row).add(unit));
                    }
                    // The product runs over the padding too.
                    write_bytes(gates.add(width), 0, column - width);
                    write_bytes(gates.add(column + width), 0, column - width);
                }
                let blocks = (0..per_layer).map(|index| crate::gemm::Block {
                    b: pass.blocks.block(layer * per_layer + index),
                    ..pass.blocks.plain(index, column)
                });
                let row = |row: usize| Row { a: pass.gates(layer, first + row), init: dx(row), out: dx(row) };
                product::<V>(2 * column, 1, count, row, &Panel::group(panel_width::<V>(count), blocks));
            }
            for row in 0..count {
                copy_nonoverlapping(dx(row), pass.dx.add((first + row) * width), width);
            }
        }
    }
}

/// The gradients of the weights of some units of some layers.
struct UnitsPart<'a, A> {
    pass: &'a Pass<'a, A>,
    part: usize,
}

impl<A: Activation> Kernel for UnitsPart<'_, A> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let pass = self.pass;
        let Shape { rows, width, layers } = pass.shape;
        let packed = pass.scratch.start().wrapping_add(self.part * pass.of_part);
        let scratch = packed.wrapping_add(packed_len(rows.min(MAX_TERMS), width, V::LANES));
        let chunks = rows.div_ceil(MAX_TERMS).max(1);
        for item in share(layers * pass.pieces, pass.unit_parts, self.part) {
            let (layer, units) = (item / pass.pieces, share(width, pass.pieces, item % pass.pieces));
            for chunk in 0..chunks {
                let terms = share(rows, chunks, chunk);
                // SAFETY: the reserve holds every row; the sums of these units are this part's own.
                unsafe {
                    let b = pack_rows::<V>(terms.len(), |p| pass.x(layer, terms.start + p), width, packed);
                    for gate in 0..2 {
                        let gates = |p: usize| {
                            pass.gates(layer, terms.start + p).wrapping_add(gate * pass.layout.column + units.start).cast_const()
                        };
                        let unit = (2 * layer + gate) * width + units.start;
                        let target = Target { b, out: pass.dweight.wrapping_add(unit * width), fresh: chunk == 0 };
                        add_outer::<V>(units.len(), gates, &[target], scratch);
                        add_rows::<V>(terms.len(), gates, units.len(), pass.dbias.start().add(unit), chunk == 0);
                    }
                }
            }
        }
    }
}
