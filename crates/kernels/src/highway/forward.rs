//! The highway stack forward, for inference and training.

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::{null, null_mut};

use super::plan::{Plan, units};
use super::{Layout, NAME, ROWS, Shape, Stack};
use crate::activation::{Activation, Nonlinearity, Relu, Tanh};
use crate::gemm::transpose::Square;
use crate::gemm::{Block, Panel, Row, Soon, product_ahead};
use crate::math::sigmoid;
use crate::pool::Buffer;
use crate::team::{Member, Team};
use crate::vector::{Kernel, Vector, prefetch_row};
use crate::{Context, Error};

/// Units of each gate that are computed together: eight tiles of both, whose sums stay in L1 until they are activated.
const UNITS: usize = 48;

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
pub fn forward(context: &Context, stack: &Stack, buffers: Forward) -> Result<(), Error> {
    match stack.nonlinearity {
        Nonlinearity::Tanh => run::<Tanh>(context, stack, buffers),
        Nonlinearity::Relu => run::<Relu>(context, stack, buffers),
    }
}

fn run<A: Activation>(context: &Context, stack: &Stack, buffers: Forward) -> Result<(), Error> {
    stack.check()?;
    let Shape { rows, width, .. } = stack.shape;
    let layout = Layout::new(&stack.shape);
    Error::check(NAME, "x", "N*D", rows * width, buffers.x.len())?;
    Error::check(NAME, "y", "N*D", rows * width, buffers.y.len())?;
    if let Some(reserve) = &buffers.reserve {
        Error::check(NAME, "reserve", "reserve_len", layout.len(), reserve.len())?;
    }
    let plan = Plan::new(&stack.shape, context.isa().lanes(), context.parallel().threads());
    let pass = Pass::<A> {
        stack,
        layout,
        plan,
        teams: (0..plan.groups).map(|_| Team::new(plan.members)).collect(),
        states: context.pool().take(plan.groups * 2 * ROWS * layout.column),
        gates: context.pool().take(plan.tasks() * 2 * UNITS * ROWS),
        x: buffers.x.as_ptr(),
        y: buffers.y.as_mut_ptr(),
        reserve: buffers.reserve.map_or(null_mut(), <[f32]>::as_mut_ptr),
        activation: PhantomData,
    };
    // SAFETY: the context vouches for the instruction set, the checks for the buffers; tasks write disjoint rows or units.
    context.parallel().run(plan.tasks(), &|task| unsafe { context.isa().run(Task { pass: &pass, task }) });
    Ok(())
}

struct Pass<'a, A> {
    stack: &'a Stack<'a>,
    layout: Layout,
    plan: Plan,
    teams: Vec<Team>,
    /// For each group what goes into a layer and what comes out, [2], as [`Columns`].
    states: Buffer,
    /// For each task the gates of some units, [2·UNITS, ROWS].
    gates: Buffer,
    x: *const f32,
    y: *mut f32,
    /// Null for inference.
    reserve: *mut f32,
    activation: PhantomData<A>,
}

// SAFETY: the pointers come from slices that outlive the pass; every task writes its own rows and units only.
unsafe impl<A: Activation> Sync for Pass<'_, A> {}

struct Task<'a, A> {
    pass: &'a Pass<'a, A>,
    task: usize,
}

/// Where x of some rows lies while it goes through the layers: the rows side by side, in regions of as many vectors as a tile is wide,
/// [D, vectors] each.
#[derive(Clone, Copy)]
struct Columns {
    blocks: usize,
    width: usize,
    lanes: usize,
    column: usize,
}

impl Columns {
    /// From a unit to the next.
    fn stride(&self, block: usize) -> usize {
        let first = block / self.width * self.width;
        self.width.min(self.blocks - first) * self.lanes
    }

    fn at(&self, block: usize, unit: usize) -> usize {
        let first = block / self.width * self.width;
        first * self.lanes * self.column + unit * self.stride(block) + (block - first) * self.lanes
    }
}

impl<A: Activation> Kernel for Task<'_, A> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Pass { stack, plan, teams, .. } = self.pass;
        let group = self.task / plan.members;
        let Some(member) = teams[group].join() else { return };
        for rows in plan.chunks(stack.shape.rows, group) {
            // SAFETY: passed on from the caller.
            unsafe { Chunk { pass: self.pass, group, member: &member, first: rows.start, count: rows.len() }.run::<V>() };
            // What this member has read, the next rows may overwrite.
            member.meet();
        }
    }
}

/// One member's part of some rows, `ROWS` at most.
struct Chunk<'a, A> {
    pass: &'a Pass<'a, A>,
    group: usize,
    member: &'a Member<'a>,
    first: usize,
    count: usize,
}

impl<A: Activation> Chunk<'_, A> {
    #[inline(always)]
    unsafe fn run<V: Vector>(&self) {
        let (pass, first) = (self.pass, self.first);
        let Shape { width, layers, .. } = pass.stack.shape;
        let columns = Columns {
            blocks: self.count.div_ceil(V::LANES),
            width: V::WIDTHS[V::WIDTHS.len() - 1],
            lanes: V::LANES,
            column: pass.layout.column,
        };
        let units = units(width, V::LANES, self.member);
        let state = |layer: usize| pass.states.start().wrapping_add((2 * self.group + layer % 2) * ROWS * columns.column);
        let mut square = Square::new();
        // The rows of one vector, and the units of one patch.
        let patches =
            |from: usize, to: usize| (from..to).step_by(V::LANES).flat_map(move |unit| (0..columns.blocks).map(move |block| (unit, block)));
        let (rows, some) = (|block: usize| V::LANES.min(self.count - block * V::LANES), |unit: usize| V::LANES.min(width - unit));
        // SAFETY: every buffer holds the rows; patches of a state are whole.
        unsafe {
            for (unit, block) in patches(units.start, units.end) {
                let from = pass.x.add((first + block * V::LANES) * width + unit);
                let to = state(0).add(columns.at(block, unit));
                square.patch::<V>(from, width, to, columns.stride(block), (rows(block), some(unit)));
            }
            self.member.meet();
            for layer in 0..layers {
                self.layer::<V>(layer, &columns, state(layer), state(layer + 1));
                self.member.meet();
                if pass.reserve.is_null() || layer + 1 == layers {
                    continue;
                }
                for (unit, block) in patches(units.start, units.end) {
                    let from = state(layer + 1).add(columns.at(block, unit));
                    let to = pass.reserve.add(pass.layout.x(layer + 1, first + block * V::LANES) + unit);
                    square.whole::<V>(from, columns.stride(block), to, columns.column, (V::LANES, rows(block)));
                }
            }
            for (unit, block) in patches(units.start, units.end) {
                let from = state(layers).add(columns.at(block, unit));
                let to = pass.y.add((first + block * V::LANES) * width + unit);
                square.whole::<V>(from, columns.stride(block), to, width, (some(unit), rows(block)));
            }
        }
    }

    /// Fetches where gates will be saved: the products hide what that takes.
    fn ask(&self, layer: usize, unit: usize, len: usize) {
        let pass = self.pass;
        if !pass.reserve.is_null() {
            for row in self.first..self.first + self.count {
                prefetch_row(pass.reserve.wrapping_add(pass.layout.gates(layer, row) + unit), 0..len);
            }
        }
    }

    /// The member's units of one layer.
    #[inline(always)]
    unsafe fn layer<V: Vector>(&self, layer: usize, columns: &Columns, before: *const f32, after: *mut f32) {
        let (pass, count) = (self.pass, self.count);
        let Shape { width, .. } = pass.stack.shape;
        let weight = pass.stack.weight[layer * 2 * width * width..].as_ptr();
        let task = self.group * pass.plan.members + self.member.rank;
        let (gates, stride) = (pass.gates.start().wrapping_add(task * 2 * UNITS * ROWS), columns.blocks * V::LANES);
        let blocks = (0..columns.blocks).map(|block| Block {
            b: before.wrapping_add(columns.at(block, 0)),
            stride: columns.stride(block),
            offset: block * V::LANES,
            columns: V::LANES,
        });
        let panels = Panel::group(columns.width, blocks);
        let bias = |unit: usize| pass.stack.bias.map_or(0.0, |bias| bias[layer * 2 * width + unit]);
        let units = units(width, V::LANES, self.member);
        let mut square = Square::new();
        // SAFETY: weights hold 2·D rows of D, a state every unit of every block, the gates two times UNITS rows.
        unsafe {
            for first in units.clone().step_by(UNITS) {
                let some = UNITS.min(units.end - first);
                for gate in 0..2 {
                    let row = |row: usize| {
                        let a = weight.add((gate * width + first + row) * width);
                        Row { a, init: null(), out: gates.add((gate * some + row) * stride) }
                    };
                    // After its last tile: the other gate, the next units, or the next layer.
                    let next = match (gate, units.end - first - some) {
                        (0, _) => width + first,
                        (_, 0) => 2 * width + units.start,
                        _ => first + some,
                    };
                    let soon = |rows: Range<usize>| {
                        let unit = if rows.end < some { gate * width + first + rows.end } else { next };
                        let lines = rows.len();
                        Soon { from: weight.wrapping_add(unit * width), lines, pieces: 1, stride: lines * Soon::EVERY }
                    };
                    self.ask(layer, gate * width + first, some);
                    product_ahead::<V>(width, 1, some, row, &panels, soon);
                }
                if layer + 1 < pass.stack.shape.layers && !pass.reserve.is_null() {
                    for row in self.first..self.first + count {
                        prefetch_row(pass.reserve.add(pass.layout.x(layer + 1, row) + first), 0..some);
                    }
                }
                for unit in 0..some {
                    let (bias_h, bias_t) = (V::splat(bias(first + unit)), V::splat(bias(width + first + unit)));
                    for block in 0..columns.blocks {
                        let at_h = gates.add(unit * stride + block * V::LANES);
                        let at_t = at_h.add(some * stride);
                        let (h, t) = (A::forward(V::load(at_h).add(bias_h)), sigmoid(V::load(at_t).add(bias_t)));
                        let at = columns.at(block, first + unit);
                        t.mul_add(h, V::splat(1.0).sub(t).mul(V::load(before.add(at)))).store(after.add(at));
                        if !pass.reserve.is_null() {
                            h.store(at_h);
                            t.store(at_t);
                        }
                    }
                }
                if pass.reserve.is_null() {
                    continue;
                }
                for gate in 0..2 {
                    for unit in (0..some).step_by(V::LANES) {
                        for block in 0..columns.blocks {
                            let row = block * V::LANES;
                            let from = gates.add((gate * some + unit) * stride + row);
                            let to = pass.reserve.add(pass.layout.gates(layer, self.first + row) + gate * width + first + unit);
                            square.whole::<V>(from, stride, to, pass.layout.gates, (V::LANES.min(some - unit), V::LANES.min(count - row)));
                        }
                    }
                }
            }
        }
    }
}
