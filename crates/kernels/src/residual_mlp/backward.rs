//! The residual block backward.
//!
//! Chunks of rows pass twice: by rows for du and dx, then by hidden units for the gradients of the weights, which so need no sum over threads.

use std::ops::Range;
use std::ptr::null;

use super::{Block, Layout, NAME, Packed, ROWS, Shape, WIDEST};
use crate::gemm::outer::{self, MAX_TERMS, Target, add_outer, add_rows, pack_rows, packed_len};
use crate::gemm::transpose::transpose;
use crate::gemm::{Row, panel_width, product};
use crate::math::{gelu_tanh, gelu_tanh_slope};
use crate::parallel::share;
use crate::pool::Buffer;
use crate::residual_norm::{Affine, Kind, Norm, RowGradient, row_backward};
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
    /// The gradients of the weights, in their layouts, written; the optional ones where wanted.
    pub dnorm_weight: Option<&'a mut [f32]>,
    pub dnorm_bias: Option<&'a mut [f32]>,
    pub dweight_1: &'a mut [f32],
    pub dbias_1: Option<&'a mut [f32]>,
    pub dweight_2: &'a mut [f32],
    pub dbias_2: Option<&'a mut [f32]>,
}

/// The gradients of everything that [`super::forward`] read.
pub fn backward(context: &Context, block: &Block, packed: &mut Packed, mut buffers: Backward) -> Result<(), Error> {
    block.check()?;
    check(&block.shape, &buffers)?;
    let Shape { rows, width, hidden } = block.shape;
    let layout = Layout::new(&block.shape);
    packed.prepare_backward(context, block);
    let threads = context.parallel().threads();
    let terms = rows.min(MAX_TERMS);
    let (row_parts, unit_parts) = (threads.min(terms.div_ceil(ROWS)).max(1), threads.min(hidden.div_ceil(8)).max(1));
    let lanes = context.isa().lanes();
    let of_part = 2 * packed_len(terms, width, lanes) + outer::scratch_len(terms);
    let mut sums = context.pool().take((2 * row_parts + 1) * width);
    sums.fill(0.0);
    let mut bias_1 = context.pool().take(hidden);
    bias_1.fill(0.0);
    let mut pass = Pass {
        block,
        packed,
        layout,
        row_parts,
        unit_parts,
        rows: 0..0,
        activated: context.pool().take(terms * layout.stride + WIDEST),
        normal: context.pool().take(terms * width),
        scratch: context.pool().take(unit_parts * of_part),
        of_part,
        dweight_2: context.pool().take(hidden * width),
        sums,
        bias_1,
        x: buffers.x.as_ptr(),
        reserve: buffers.reserve.as_mut_ptr(),
        dy: buffers.dy.as_ptr(),
        dx: buffers.dx.as_mut_ptr(),
        dweight_1: buffers.dweight_1.as_mut_ptr(),
    };
    // Without a row there is one empty chunk, so that every sum is written.
    let chunks = rows.div_ceil(MAX_TERMS).max(1);
    for chunk in 0..chunks {
        pass.rows = share(rows, chunks, chunk);
        let pass = &pass;
        // SAFETY: the context vouches for the instruction set, the checks for the buffers; parts write disjoint rows, then disjoint units.
        context.parallel().run(row_parts, &|part| unsafe { context.isa().run(RowsPart { pass, part }) });
        // SAFETY: as above.
        context.parallel().run(unit_parts, &|part| unsafe { context.isa().run(UnitsPart { pass, part }) });
    }
    transpose(context, &pass.dweight_2, hidden, width, buffers.dweight_2);
    pass.write_vectors(&mut buffers);
    Ok(())
}

fn check(shape: &Shape, buffers: &Backward) -> Result<(), Error> {
    let Shape { rows, width, hidden } = *shape;
    for (name, letters, expected, len) in [
        ("x", "N*D", rows * width, Some(buffers.x.len())),
        ("reserve", "reserve_len", Layout::new(shape).len(), Some(buffers.reserve.len())),
        ("dy", "N*D", rows * width, Some(buffers.dy.len())),
        ("dx", "N*D", rows * width, Some(buffers.dx.len())),
        ("dnorm_weight", "D", width, buffers.dnorm_weight.as_ref().map(|d| d.len())),
        ("dnorm_bias", "D", width, buffers.dnorm_bias.as_ref().map(|d| d.len())),
        ("dweight_1", "F*D", hidden * width, Some(buffers.dweight_1.len())),
        ("dbias_1", "F", hidden, buffers.dbias_1.as_ref().map(|d| d.len())),
        ("dweight_2", "D*F", width * hidden, Some(buffers.dweight_2.len())),
        ("dbias_2", "D", width, buffers.dbias_2.as_ref().map(|d| d.len())),
    ] {
        if let Some(len) = len {
            Error::check(NAME, name, letters, expected, len)?;
        }
    }
    Ok(())
}

struct Pass<'a> {
    block: &'a Block<'a>,
    packed: &'a Packed,
    layout: Layout,
    row_parts: usize,
    unit_parts: usize,
    /// The rows of this chunk.
    rows: Range<usize>,
    /// First W_2ᵀ dy, then gelu(u), [chunk, `stride`].
    activated: Buffer,
    /// n, [chunk, D].
    normal: Buffer,
    /// For each part by units: packed n, packed dy, and the scratch of the products.
    scratch: Buffer,
    of_part: usize,
    /// The gradient of W_2, transposed: [F, D].
    dweight_2: Buffer,
    /// For each part by rows the sums of dnorm_weight and dnorm_bias, then those of dbias_2, [D] each.
    sums: Buffer,
    /// The sums of dbias_1, [F].
    bias_1: Buffer,
    x: *const f32,
    /// u, and from the first half of a chunk on du.
    reserve: *mut f32,
    dy: *const f32,
    dx: *mut f32,
    dweight_1: *mut f32,
}

// SAFETY: the pointers come from slices that outlive the pass; parts write their own rows, or units, only.
unsafe impl Sync for Pass<'_> {}

impl Pass<'_> {
    /// Row `row` of the whole batch in the buffers of the chunk.
    fn activated(&self, row: usize) -> *mut f32 {
        self.activated.start().wrapping_add((row - self.rows.start) * self.layout.stride)
    }

    fn normal(&self, row: usize) -> *mut f32 {
        self.normal.start().wrapping_add((row - self.rows.start) * self.block.shape.width)
    }

    /// u or du.
    fn u(&self, row: usize) -> *mut f32 {
        self.reserve.wrapping_add(row * self.layout.stride)
    }

    fn write_vectors(&self, buffers: &mut Backward) {
        let width = self.block.shape.width;
        for (which, to) in [&mut buffers.dnorm_weight, &mut buffers.dnorm_bias].into_iter().enumerate() {
            let Some(to) = to else { continue };
            to.fill(0.0);
            for part in 0..self.row_parts {
                let sum = &self.sums[(2 * part + which) * width..][..width];
                to.iter_mut().zip(sum).for_each(|(to, sum)| *to += sum);
            }
        }
        if let Some(to) = &mut buffers.dbias_1 {
            to.copy_from_slice(&self.bias_1);
        }
        if let Some(to) = &mut buffers.dbias_2 {
            to.copy_from_slice(&self.sums[2 * self.row_parts * width..]);
        }
    }
}

/// du, dx and what the other half needs, for some rows of the chunk.
struct RowsPart<'a> {
    pass: &'a Pass<'a>,
    part: usize,
}

impl Kernel for RowsPart<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let rows = share(self.pass.rows.len(), self.pass.row_parts, self.part);
        let end = self.pass.rows.start + rows.end;
        for first in (self.pass.rows.start + rows.start..end).step_by(ROWS) {
            // SAFETY: passed on from the caller.
            unsafe { self.rows::<V>(first, ROWS.min(end - first)) };
        }
    }
}

impl RowsPart<'_> {
    /// Rows `first..first + count`, `ROWS` at most.
    #[inline(always)]
    unsafe fn rows<V: Vector>(&self, first: usize, count: usize) {
        let pass = self.pass;
        let Shape { width, hidden, .. } = pass.block.shape;
        let padded = hidden.next_multiple_of(V::LANES);
        let panel_blocks = panel_width::<V>(count);
        let dy = |row: usize| pass.dy.wrapping_add(row * width);
        let dx = |row: usize| pass.dx.wrapping_add(row * width);
        // SAFETY: every buffer holds the rows; padded columns lie within their stride.
        unsafe {
            let row = |row: usize| Row { a: dy(first + row), init: null(), out: pass.activated(first + row) };
            product::<V>(width, 1, count, row, &pass.packed.backward.weight_2.panels(panel_blocks, padded));
            for row in first..first + count {
                for column in (0..padded).step_by(V::LANES) {
                    let (at_u, at_activated) = (pass.u(row).add(column), pass.activated(row).add(column));
                    let u = V::load(at_u);
                    V::load(at_activated).mul(gelu_tanh_slope(u)).store(at_u);
                    gelu_tanh(u).store(at_activated);
                }
            }
            let row = |row: usize| Row { a: pass.u(first + row), init: null(), out: dx(first + row) };
            product::<V>(hidden, 1, count, row, &pass.packed.backward.weight_1.panels(panel_blocks, width));
            let weights = &pass.block.weights;
            let dweight = pass.sums.start().wrapping_add(2 * self.part * width);
            for row in first..first + count {
                let gradient = RowGradient {
                    affine: Affine::new(weights.norm_weight, weights.norm_bias),
                    from: pass.x.add(row * width),
                    statistics: pass.reserve.add(pass.layout.statistics() + 2 * row).cast::<[f32; 2]>().read_unaligned(),
                    dy: dx(row),
                    along: dy(row),
                    dx: dx(row),
                    dweight,
                    dbias: dweight.wrapping_add(width),
                    again: pass.normal(row),
                };
                row_backward::<V>(Norm { kind: Kind::Layer, eps: pass.block.eps }, &gradient, width);
            }
        }
    }
}

/// The gradients of the weights, for some hidden units.
struct UnitsPart<'a> {
    pass: &'a Pass<'a>,
    part: usize,
}

impl Kernel for UnitsPart<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let pass = self.pass;
        let Shape { width, hidden, .. } = pass.block.shape;
        let (first, terms) = (pass.rows.start, pass.rows.len());
        let fresh = first == 0;
        let units = share(hidden, pass.unit_parts, self.part);
        let columns = share(width, pass.unit_parts, self.part);
        let packed_normal = pass.scratch.start().wrapping_add(self.part * pass.of_part);
        let packed_dy = packed_normal.wrapping_add(packed_len(terms, width, V::LANES));
        let scratch = packed_dy.wrapping_add(packed_len(terms, width, V::LANES));
        let dy = |p: usize| pass.dy.wrapping_add((first + p) * width);
        let du = |p: usize| pass.u(first + p).wrapping_add(units.start).cast_const();
        let activated = |p: usize| pass.activated(first + p).wrapping_add(units.start).cast_const();
        // SAFETY: every buffer holds the rows of the chunk; the sums of units are this part's own.
        unsafe {
            let normal = pack_rows::<V>(terms, |p| pass.normal(first + p), width, packed_normal);
            let packed_dy = pack_rows::<V>(terms, dy, width, packed_dy);
            let of_weight_1 = Target { b: normal, out: pass.dweight_1.wrapping_add(units.start * width), fresh };
            add_outer::<V>(units.len(), du, &[of_weight_1], scratch);
            let of_weight_2 = Target { b: packed_dy, out: pass.dweight_2.start().wrapping_add(units.start * width), fresh };
            add_outer::<V>(units.len(), activated, &[of_weight_2], scratch);
            add_rows::<V>(terms, du, units.len(), pass.bias_1.start().add(units.start), fresh);
            let bias_2 = pass.sums.start().wrapping_add(2 * pass.row_parts * width + columns.start);
            add_rows::<V>(terms, |p| dy(p).wrapping_add(columns.start), columns.len(), bias_2, fresh);
        }
    }
}
