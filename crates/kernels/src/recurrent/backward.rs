//! The pass backward in time: gradients of the input, the initial states and the weights.

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::{copy_nonoverlapping, null, null_mut, write_bytes};

use super::gradient::{Sums, Term, Terms, add_late, add_private, add_terms, private_len};
use super::layout::{Layout, Steps};
use super::plan::Plan;
use super::{Backward, Cell, Layer, Packed, Shape, Then};
use crate::gemm::{Panel, Row, panel_width, product};
use crate::parallel::share;
use crate::pool::Buffer;
use crate::team::{Member, Team};
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// Bytes of gates that are worked through before their dx, and where sums are private their dW, are taken while they are in L2.
const CHUNK: usize = 512 << 10;
/// Up to this size each group sums the gradients of the weights for itself, chunk by chunk; above, one pass at the end is as fast.
const PRIVATE_SUMS: usize = 256 << 10;

pub(crate) fn backward<C: Cell>(context: &Context, layer: &Layer, packed: &mut Packed, mut buffers: Backward) -> Result<(), Error> {
    let shape = &layer.shape;
    let layout = Layout::new::<C>(shape);
    buffers.check::<C>(layer, &layout)?;
    if shape.batch == 0 || shape.hidden == 0 {
        // Nothing depends on anything.
        for gradient in [&mut buffers.dx, &mut buffers.dh_0, &mut buffers.dc_0].into_iter().flatten() {
            gradient.fill(0.0);
        }
        if let Some(sums) = &mut buffers.dweights {
            sums.weight_ih.fill(0.0);
            sums.weight_hh.fill(0.0);
            [&mut sums.bias_ih, &mut sums.bias_hh].into_iter().flatten().for_each(|bias| bias.fill(0.0));
        }
        return Ok(());
    }
    packed.prepare_backward::<C>(context, layer);
    let lanes = context.isa().lanes();
    let plan = Plan::new::<C>(shape, lanes, context.parallel().threads());
    let rows = plan.most_rows(shape.batch);
    let chunk = (CHUNK / (rows * layout.gates_stride * size_of::<f32>())).clamp(1, shape.time.max(1));
    let weights_len = C::gates() * shape.hidden * (shape.input + shape.hidden);
    let private = buffers.dweights.is_some() && plan.members == 1 && weights_len * size_of::<f32>() <= PRIVATE_SUMS;
    let states = 4 * rows * layout.state_stride;
    let of_group = if private { private_len::<C>(shape, lanes, chunk * rows) } else { 0 };
    let steps = Steps::new(shape.time, layer.options);
    let mut zeros = context.pool().take(layout.column);
    zeros.fill(0.0);
    let h_0 = pointer(buffers.h_0);
    let terms =
        Terms { shape: *shape, steps, layout, gates: buffers.reserve.as_ptr(), x: buffers.x.as_ptr(), y: buffers.y.as_ptr(), h_0, zeros };
    let pass = Pass::<C> {
        shape: *shape,
        steps,
        layout,
        plan,
        packed,
        cell: PhantomData,
        chunk,
        teams: (0..plan.groups).map(|_| Team::new(plan.members)).collect(),
        scratch: context.pool().take(plan.groups * (states + of_group)),
        scratch_of_group: states + of_group,
        private,
        terms,
        c_0: pointer(buffers.c_0),
        reserve: buffers.reserve.as_mut_ptr(),
        dy: pointer(buffers.dy),
        dh_n: pointer(buffers.dh_n),
        dc_n: pointer(buffers.dc_n),
        dx: pointer_mut(&mut buffers.dx),
        dh_0: pointer_mut(&mut buffers.dh_0),
        dc_0: pointer_mut(&mut buffers.dc_0),
    };
    // SAFETY: the context vouches for the instruction set, `check` for the buffers; tasks write disjoint rows or units.
    context.parallel().run(plan.tasks(), &|task| unsafe { context.isa().run(Task { pass: &pass, task }) });
    if let Some(dweights) = &mut buffers.dweights {
        if private {
            add_private::<C>(context, &pass.terms, (0..plan.groups).map(|group| pass.sums(group).0), dweights);
        } else {
            add_late::<C>(context, &pass.terms, dweights);
        }
    }
    Ok(())
}

fn pointer(slice: Option<&[f32]>) -> *const f32 {
    slice.map_or(null(), <[f32]>::as_ptr)
}

fn pointer_mut(slice: &mut Option<&mut [f32]>) -> *mut f32 {
    slice.as_mut().map_or(null_mut(), |slice| slice.as_mut_ptr())
}

/// What all tasks of a pass share. Pointers are those of [`Backward`], null where absent.
struct Pass<'a, C> {
    shape: Shape,
    steps: Steps<'a>,
    layout: Layout,
    plan: Plan,
    packed: &'a Packed,
    cell: PhantomData<C>,
    /// Steps per chunk.
    chunk: usize,
    teams: Vec<Team>,
    /// For each group: dh, dc, the state before the step and c before the first step, each [rows, `state_stride`];
    /// then, where sums are private: dW_ih, dW_hh, db, and the scratch to compute them.
    scratch: Buffer,
    scratch_of_group: usize,
    private: bool,
    terms: Terms<'a>,
    c_0: *const f32,
    reserve: *mut f32,
    dy: *const f32,
    dh_n: *const f32,
    dc_n: *const f32,
    dx: *mut f32,
    dh_0: *mut f32,
    dc_0: *mut f32,
}

// SAFETY: the pointers come from slices that outlive the pass; every task writes its own rows and units only.
unsafe impl<C: Cell> Sync for Pass<'_, C> {}

impl<C: Cell> Pass<'_, C> {
    /// The private sums of `group`, and the scratch to compute them.
    fn sums(&self, group: usize) -> (Sums, *mut f32) {
        let states = 4 * self.plan.most_rows(self.shape.batch) * self.layout.state_stride;
        Sums::private::<C>(&self.shape, &self.layout, self.scratch.start().wrapping_add(group * self.scratch_of_group + states))
    }
}

/// One task: some rows of the batch and some of the units.
struct Task<'a, C> {
    pass: &'a Pass<'a, C>,
    task: usize,
}

impl<C: Cell> Kernel for Task<'_, C> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let pass = self.pass;
        let group = self.task / pass.plan.members;
        let Some(member) = pass.teams[group].join() else { return };
        let rows = pass.plan.rows(pass.shape.batch, group);
        let blocks = share(pass.shape.hidden.div_ceil(V::LANES), member.size, member.rank);
        // SAFETY: passed on from the caller.
        unsafe { Walk::new::<V>(pass, group, rows, blocks).run::<V>(&member) }
    }
}

/// A task on its way back through time.
struct Walk<'a, C> {
    pass: &'a Pass<'a, C>,
    group: usize,
    rows: Range<usize>,
    /// Vectors of units.
    blocks: Range<usize>,
    /// The real units among them, and those with the padding that follows the last.
    units: Range<usize>,
    padded: Range<usize>,
    /// [rows, `state_stride`] each.
    dh: *mut f32,
    dc: *mut f32,
    h_before: *mut f32,
    c_0: *mut f32,
}

impl<'a, C: Cell> Walk<'a, C> {
    fn new<V: Vector>(pass: &'a Pass<'a, C>, group: usize, rows: Range<usize>, blocks: Range<usize>) -> Self {
        let hidden = pass.shape.hidden;
        let units = blocks.start * V::LANES..(blocks.end * V::LANES).min(hidden);
        let padded = units.start..if units.end == hidden { pass.layout.column } else { units.end };
        let state = pass.plan.most_rows(pass.shape.batch) * pass.layout.state_stride;
        let start = pass.scratch.start().wrapping_add(group * pass.scratch_of_group);
        let at = |i: usize| start.wrapping_add(i * state);
        Walk { pass, group, rows, blocks, units, padded, dh: at(0), dc: at(1), h_before: at(2), c_0: at(3) }
    }

    /// The gates of row `b` at step `s`, or their gradients.
    #[inline(always)]
    fn gates(&self, s: usize, b: usize) -> *mut f32 {
        self.pass.reserve.wrapping_add(self.pass.layout.gates(s, b))
    }

    /// Row `b` of one of the states.
    #[inline(always)]
    fn row(&self, state: *mut f32, b: usize) -> *mut f32 {
        state.wrapping_add((b - self.rows.start) * self.pass.layout.state_stride)
    }

    #[inline(always)]
    unsafe fn run<V: Vector>(&self, member: &Member) {
        let Pass { shape, steps, layout, packed, .. } = self.pass;
        let last = usize::from(self.pass.dh_0.is_null());
        let hidden_columns = packed.backward.plain_blocks(false, layout.column, self.blocks.clone());
        let first_hidden = C::COLUMNS.iter().position(|column| column.hidden.is_some()).unwrap_or(0) * layout.column;
        let mut width = 0;
        let mut panels = Vec::new();
        let mut active = Vec::with_capacity(self.rows.len());
        let (mut sums, sums_scratch) = self.pass.sums(self.group);
        // SAFETY: all pointers lie in rows and units of this task, or are read after the barrier.
        unsafe {
            for b in self.rows.clone() {
                self.begin(self.pass.dh_n, self.row(self.dh, b), b);
                if C::HAS_C {
                    self.begin(self.pass.dc_n, self.row(self.dc, b), b);
                    self.begin(self.pass.c_0, self.row(self.c_0, b), b);
                }
            }
            for chunk in (0..shape.time.div_ceil(self.pass.chunk)).rev() {
                let chunk = chunk * self.pass.chunk..((chunk + 1) * self.pass.chunk).min(shape.time);
                for s in chunk.clone().rev() {
                    active.clear();
                    active.extend(self.rows.clone().filter(|&b| steps.of_row(b).contains(&s)));
                    for &b in &active {
                        self.step::<V>(s, b);
                    }
                    member.meet();
                    if s < last {
                        // Nobody asks for the gradient of the initial state.
                        continue;
                    }
                    if panel_width::<V>(active.len()) != width {
                        width = panel_width::<V>(active.len());
                        panels = Panel::group(width, hidden_columns.iter().copied());
                    }
                    let row = |i: usize| {
                        let dh = self.row(self.dh, active[i]);
                        Row { a: self.gates(s, active[i]).wrapping_add(first_hidden), init: dh, out: dh }
                    };
                    product::<V>(C::gates() * layout.column, 1, active.len(), row, &panels);
                }
                if !self.pass.dx.is_null() {
                    self.input_gradient::<V>(chunk.clone(), member);
                }
                if self.pass.private {
                    let terms: Vec<Term> = steps.active(self.rows.clone(), chunk).into_iter().map(|at| self.pass.terms.term(at)).collect();
                    add_terms::<C, V>(shape, layout, 0..shape.hidden, &terms, sums_scratch, &sums);
                    sums.fresh = false;
                }
            }
            if self.pass.private && sums.fresh {
                add_terms::<C, V>(shape, layout, 0..shape.hidden, &[], sums_scratch, &sums);
            }
            self.end(self.dh, self.pass.dh_0);
            self.end(self.dc, self.pass.dc_0);
        }
    }

    /// Copies the task's units of a state or its gradient, or zeros.
    unsafe fn begin(&self, from: *const f32, to: *mut f32, b: usize) {
        let Range { start, end } = self.units;
        // SAFETY: `from` holds [B, H], `to` a padded row.
        unsafe {
            write_bytes(to.add(start), 0, self.padded.len());
            if !from.is_null() {
                copy_nonoverlapping(from.add(b * self.pass.shape.hidden + start), to.add(start), end - start);
            }
        }
    }

    /// Writes the gradient of an initial state where it is wanted.
    unsafe fn end(&self, state: *mut f32, to: *mut f32) {
        if to.is_null() {
            return;
        }
        let Range { start, end } = self.units;
        for b in self.rows.clone() {
            // SAFETY: `to` holds [B, H].
            unsafe { copy_nonoverlapping(self.row(state, b).add(start), to.add(b * self.pass.shape.hidden + start), end - start) };
        }
    }

    /// The gradients of the sums of row `b` at step `s`, for the task's units.
    #[inline(always)]
    unsafe fn step<V: Vector>(&self, s: usize, b: usize) {
        let Pass { shape, steps, layout, dy, .. } = self.pass;
        let Range { start, end } = self.units;
        let is_first = s == steps.of_row(b).start;
        let (gates, dh, dc) = (self.gates(s, b), self.row(self.dh, b), self.row(self.dc, b));
        let c = self.pass.reserve.wrapping_add(layout.c(s, b));
        let c_before =
            if is_first { self.row(self.c_0, b).cast_const() } else { self.pass.reserve.wrapping_add(layout.c(s.max(1) - 1, b)) };
        let h_before = self.row(self.h_before, b);
        // SAFETY: every row holds the padded units of the task.
        unsafe {
            if !dy.is_null() {
                let dy = dy.wrapping_add((b * shape.time + steps.t(s)) * shape.hidden);
                for unit in (start..end).step_by(V::LANES) {
                    let len = V::LANES.min(end - unit);
                    V::load(dh.add(unit)).add(V::load_first(dy.add(unit), len)).store(dh.add(unit));
                }
            }
            if C::NEEDS_H {
                copy_nonoverlapping(self.pass.terms.h_before(s, b).add(start), h_before.add(start), end - start);
            }
            for unit in (start..end).step_by(V::LANES) {
                let at = |row: *mut f32| if C::HAS_C { row.wrapping_add(unit) } else { null_mut() };
                C::backward::<V>(Then {
                    gates: gates.add(unit),
                    stride: layout.column,
                    h_before: h_before.add(unit),
                    c_before: at(c_before.cast_mut()),
                    c: at(c),
                    dh: dh.add(unit),
                    dc: at(dc),
                });
            }
            // Products run over the padding too: what the cell made of it, NaN maybe, must not come in.
            for place in 0..C::COLUMNS.len() {
                write_bytes(gates.add(place * layout.column + end), 0, self.padded.end - end);
            }
        }
    }

    /// dx = dgates W_ih for the chunk, shared among the members by rows; zeros where there is no step.
    #[inline(always)]
    unsafe fn input_gradient<V: Vector>(&self, chunk: Range<usize>, member: &Member) {
        let Pass { shape, steps, layout, packed, .. } = self.pass;
        let dx = |b: usize, s: usize| self.pass.dx.wrapping_add((b * shape.time + steps.t(s)) * shape.input);
        let active = steps.active(self.rows.clone(), chunk.clone());
        let mine = &active[share(active.len(), member.size, member.rank)];
        let panels = Panel::group(
            panel_width::<V>(mine.len()),
            packed.backward.plain_blocks(true, shape.input, 0..shape.input.div_ceil(V::LANES)).into_iter(),
        );
        let first_input = C::COLUMNS.iter().position(|column| column.input.is_some()).unwrap_or(0) * layout.column;
        let row = |i: usize| {
            let (b, s) = mine[i];
            Row { a: self.gates(s, b).wrapping_add(first_input), init: null(), out: dx(b, s) }
        };
        // SAFETY: the gates of the chunk are complete, rows of dx hold I floats.
        unsafe {
            product::<V>(C::gates() * layout.column, 1, mine.len(), row, &panels);
            if member.rank == 0 && active.len() < self.rows.len() * chunk.len() {
                for b in self.rows.clone() {
                    for s in chunk.clone().filter(|s| !steps.of_row(b).contains(s)) {
                        write_bytes(dx(b, s), 0, shape.input);
                    }
                }
            }
        }
    }
}
