//! The highway stack backward: by rows for the gradients of the gates and of x, then by layers and units for those of the weights.

use std::iter::once;
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::copy_nonoverlapping;
use std::slice::from_ref;

use super::plan::{Plan, units};
use super::{Layout, NAME, ROWS, Shape, Stack};
use crate::activation::{Activation, Nonlinearity, Relu, Tanh};
use crate::gemm::outer::{self, MAX_TERMS, Target, add_outer, add_rows, pack_rows, packed_len};
use crate::gemm::pack::FromColumns;
use crate::gemm::{Block, Panel, Row, Soon, panel_width, product_ahead, tile_count};
use crate::parallel::share;
use crate::pool::Buffer;
use crate::team::{Member, Team};
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
pub fn backward(context: &Context, stack: &Stack, buffers: Backward) -> Result<(), Error> {
    match stack.nonlinearity {
        Nonlinearity::Tanh => run::<Tanh>(context, stack, buffers),
        Nonlinearity::Relu => run::<Relu>(context, stack, buffers),
    }
}

fn run<A: Activation>(context: &Context, stack: &Stack, mut buffers: Backward) -> Result<(), Error> {
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
    let (threads, lanes) = (context.parallel().threads(), context.isa().lanes());
    let plan = Plan::new(&stack.shape, lanes, threads);
    let pieces = threads.div_ceil(layers.max(1)).min(width.div_ceil(4)).max(1);
    let unit_parts = threads.min(layers * pieces);
    let terms = rows.min(MAX_TERMS);
    let of_part = packed_len(terms, width, lanes) + outer::scratch_len(terms);
    let mut pass = Pass::<A> {
        stack,
        layout,
        plan,
        teams: (0..plan.groups).map(|_| Team::new(plan.members)).collect(),
        carried: context.pool().take(plan.groups * ROWS * layout.column),
        tails: context.pool().take(plan.tasks() * 2 * width * lanes),
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
    // SAFETY: the context vouches for the instruction set, the checks for the buffers; tasks write disjoint rows or units.
    context.parallel().run(plan.tasks(), &|task| unsafe { context.isa().run(RowsTask { pass, task }) });
    // SAFETY: as above; parts write the sums of disjoint layers and units.
    context.parallel().run(unit_parts, &|part| unsafe { context.isa().run(UnitsPart { pass, part }) });
    if let Some(dbias) = &mut buffers.dbias {
        dbias.copy_from_slice(&pass.dbias);
    }
    Ok(())
}

struct Pass<'a, A> {
    stack: &'a Stack<'a>,
    layout: Layout,
    plan: Plan,
    teams: Vec<Team>,
    /// For each group the gradient of x_k, [ROWS, `column`].
    carried: Buffer,
    /// For each task the last columns of a layer's weights where they are no whole vector, [2·D, LANES].
    tails: Buffer,
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

// SAFETY: the pointers come from slices that outlive the pass; tasks write their own rows, or units, only.
unsafe impl<A: Activation> Sync for Pass<'_, A> {}

impl<A> Pass<'_, A> {
    /// x_k of one row.
    fn x(&self, layer: usize, row: usize) -> *const f32 {
        if layer == 0 { self.x.wrapping_add(row * self.stack.shape.width) } else { self.reserve.wrapping_add(self.layout.x(layer, row)) }
    }

    fn gates(&self, layer: usize, row: usize) -> *mut f32 {
        self.reserve.wrapping_add(self.layout.gates(layer, row))
    }
}

/// Some rows, back through all layers.
struct RowsTask<'a, A> {
    pass: &'a Pass<'a, A>,
    task: usize,
}

impl<A: Activation> Kernel for RowsTask<'_, A> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Pass { stack, plan, teams, .. } = self.pass;
        let group = self.task / plan.members;
        let Some(member) = teams[group].join() else { return };
        for rows in plan.chunks(stack.shape.rows, group) {
            // SAFETY: passed on from the caller.
            unsafe { self.rows::<V>(group, &member, rows.start, rows.len()) };
        }
    }
}

impl<A: Activation> RowsTask<'_, A> {
    /// The member's units of rows `first..first + count`, `ROWS` at most. Gates are read by all members, all else by its own only.
    #[inline(always)]
    unsafe fn rows<V: Vector>(&self, group: usize, member: &Member, first: usize, count: usize) {
        let pass = self.pass;
        let Shape { width, layers, .. } = pass.stack.shape;
        let column = pass.layout.column;
        let units = units(width, V::LANES, member);
        let dx = |row: usize| pass.carried.start().wrapping_add((group * ROWS + row) * column);
        let tail = pass.tails.start().wrapping_add((group * pass.plan.members + member.rank) * 2 * width * V::LANES);
        // SAFETY: every buffer holds the rows; padded columns lie within their stride.
        unsafe {
            for row in 0..count {
                copy_nonoverlapping(pass.dy.add((first + row) * width + units.start), dx(row).add(units.start), units.len());
            }
            for layer in (0..layers).rev() {
                for row in 0..count {
                    let (gates, x) = (pass.gates(layer, first + row), pass.x(layer, first + row));
                    for unit in units.clone().step_by(V::LANES) {
                        let len = V::LANES.min(width - unit);
                        let (at_h, at_t) = (gates.add(unit), gates.add(width + unit));
                        let (h, t) = (V::load_first(at_h, len), V::load_first(at_t, len));
                        let (x, dy) = (V::load_first(x.add(unit), len), V::load_first(dx(row).add(unit), len));
                        let rest = V::splat(1.0).sub(t);
                        A::backward(h, dy.mul(t)).store_first(at_h, len);
                        dy.mul(h.sub(x)).mul(t).mul(rest).store_first(at_t, len);
                        dy.mul(rest).store_first(dx(row).add(unit), len);
                    }
                }
                member.meet();
                let weight = pass.stack.weight[layer * 2 * width * width..].as_ptr();
                let whole = units.start..units.end - units.len() % V::LANES;
                let blocks = whole.clone().step_by(V::LANES);
                let blocks = blocks.map(|unit| Block { b: weight.add(unit), stride: width, offset: unit, columns: V::LANES });
                let mut panels = Panel::group(panel_width::<V>(count), blocks);
                if whole.end < units.end {
                    let columns = units.end - whole.end;
                    FromColumns { from: weight.add(whole.end), stride: width, columns, k: 2 * width, zeros: 0, to: tail }.run::<V>();
                    panels.extend(Panel::group(1, once(Block { b: tail, stride: V::LANES, offset: whole.end, columns })));
                }
                let row = |row: usize| Row { a: pass.gates(layer, first + row), init: dx(row), out: dx(row) };
                // Tiles of rows, each of which fetches its share of the columns that come next.
                let tiles = tile_count(count).max(1);
                let pieces = (2 * width).div_ceil(tiles).div_ceil((2 * width).div_ceil(Soon::EVERY).max(1));
                for (index, panel) in panels.iter().enumerate() {
                    let next = match panels.get(index + 1) {
                        Some(next) => weight.wrapping_add(next.columns(V::LANES).start),
                        None => weight.wrapping_sub(2 * width * width).wrapping_add(units.start),
                    };
                    let soon = |rows: Range<usize>| Soon {
                        from: next.wrapping_add(rows.start * 2 * width / count * width),
                        lines: (panel.len() * V::LANES).div_ceil(Soon::EVERY),
                        pieces,
                        stride: width,
                    };
                    // One panel at a time: its columns stay in L2 while all rows pass by.
                    product_ahead::<V>(2 * width, 1, count, row, from_ref(panel), soon);
                }
            }
            for row in 0..count {
                copy_nonoverlapping(dx(row).add(units.start), pass.dx.add((first + row) * width + units.start), units.len());
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
        let Shape { rows, width, layers } = pass.stack.shape;
        let packed = pass.scratch.start().wrapping_add(self.part * pass.of_part);
        let scratch = packed.wrapping_add(packed_len(rows.min(MAX_TERMS), width, V::LANES));
        let chunks = rows.div_ceil(MAX_TERMS).max(1);
        for item in share(layers * pass.pieces, pass.unit_parts, self.part) {
            let (layer, units) = (item / pass.pieces, share(2 * width, pass.pieces, item % pass.pieces));
            for chunk in 0..chunks {
                let terms = share(rows, chunks, chunk);
                let gates = |p: usize| pass.gates(layer, terms.start + p).wrapping_add(units.start).cast_const();
                let unit = 2 * layer * width + units.start;
                // SAFETY: the reserve holds every row; the sums of these units are this part's own.
                unsafe {
                    let b = pack_rows::<V>(terms.len(), |p| pass.x(layer, terms.start + p), width, packed);
                    let target = Target { b, out: pass.dweight.wrapping_add(unit * width), fresh: chunk == 0 };
                    add_outer::<V>(units.len(), gates, &[target], scratch);
                    add_rows::<V>(terms.len(), gates, units.len(), pass.dbias.start().add(unit), chunk == 0);
                }
            }
        }
    }
}
