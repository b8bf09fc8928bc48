//! The pass backward in time: gradients of the input, the initial states and the weights.

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::{copy_nonoverlapping, null, null_mut, write_bytes};

use super::forward::refuse_c;
use super::gradient::{Sums, Term, add_terms, scratch_len};
use super::layout::{Layout, Steps};
use super::plan::Plan;
use super::{Cell, Layer, Packed, Shape, Then, Weights};
use crate::gemm::outer::MAX_TERMS;
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

/// The gradients of [`Weights`], in the same layout, written.
#[derive(Debug)]
pub struct WeightGradients<'a, F = f32> {
    pub weight_ih: &'a mut [F],
    pub weight_hh: &'a mut [F],
    pub bias_ih: Option<&'a mut [F]>,
    pub bias_hh: Option<&'a mut [F]>,
}

/// The buffers of a backward pass, all the caller's.
#[derive(Debug, Default)]
pub struct Backward<'a> {
    /// As given to forward, read.
    pub x: &'a [f32],
    /// As given to forward, read.
    pub h_0: Option<&'a [f32]>,
    /// As given to forward, read. LSTM only.
    pub c_0: Option<&'a [f32]>,
    /// [B, T, H] as forward wrote it, read.
    pub y: &'a [f32],
    /// As forward wrote it; used as scratch, so that a second backward pass needs a copy made before.
    pub reserve: &'a mut [f32],
    /// [B, T, H], read; absent means zeros.
    pub dy: Option<&'a [f32]>,
    /// [B, H], read; absent means zeros.
    pub dh_n: Option<&'a [f32]>,
    /// [B, H], read; absent means zeros. LSTM only.
    pub dc_n: Option<&'a [f32]>,
    /// [B, T, I], written where wanted.
    pub dx: Option<&'a mut [f32]>,
    /// [B, H], written where wanted.
    pub dh_0: Option<&'a mut [f32]>,
    /// [B, H], written where wanted. LSTM only.
    pub dc_0: Option<&'a mut [f32]>,
    /// Written where wanted.
    pub dweights: Option<WeightGradients<'a>>,
}

pub(crate) fn backward<C: Cell>(
    context: &Context,
    layer: &Layer,
    packed: &mut Packed,
    mut buffers: Backward,
) -> Result<(), Error> {
    let shape = &layer.shape;
    let layout = Layout::new::<C>(shape);
    check::<C>(layer, &layout, &buffers)?;
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
    let sums_len = C::gates() * shape.hidden * (shape.input + shape.hidden) + layout.gates_stride;
    let private = buffers.dweights.is_some() && plan.members == 1 && sums_len * size_of::<f32>() <= PRIVATE_SUMS;
    let states = 4 * rows * layout.state_stride;
    let terms = if private { chunk * rows } else { 0 };
    let of_group = if private { sums_len + scratch_len(shape, lanes, terms) } else { 0 };
    let mut zeros = context.pool().take(layout.column);
    zeros.fill(0.0);
    let pass = Pass::<C> {
        shape: *shape,
        steps: Steps::new(shape.time, layer.options),
        layout,
        plan,
        packed,
        cell: PhantomData,
        chunk,
        teams: (0..plan.groups).map(|_| Team::new(plan.members)).collect(),
        scratch: context.pool().take(plan.groups * (states + of_group)),
        scratch_of_group: states + of_group,
        private,
        zeros,
        x: buffers.x.as_ptr(),
        y: buffers.y.as_ptr(),
        h_0: pointer(buffers.h_0),
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
        pass.sum_weights(context, dweights);
    }
    Ok(())
}

fn pointer(slice: Option<&[f32]>) -> *const f32 {
    slice.map_or(null(), <[f32]>::as_ptr)
}

fn pointer_mut(slice: &mut Option<&mut [f32]>) -> *mut f32 {
    slice.as_mut().map_or(null_mut(), |slice| slice.as_mut_ptr())
}

fn check<C: Cell>(layer: &Layer, layout: &Layout, buffers: &Backward) -> Result<(), Error> {
    layer.check(C::NAME, C::gates())?;
    let shape = &layer.shape;
    let (x, y, state) = (shape.x_len(), shape.y_len(), shape.state_len());
    Error::check(C::NAME, "x", "B*T*I", x, buffers.x.len())?;
    Error::check(C::NAME, "y", "B*T*H", y, buffers.y.len())?;
    Error::check(C::NAME, "reserve", "reserve_len", layout.len(), buffers.reserve.len())?;
    for (name, letters, expected, slice) in [
        ("h_0", "B*H", state, buffers.h_0),
        ("c_0", "B*H", state, buffers.c_0),
        ("dy", "B*T*H", y, buffers.dy),
        ("dh_n", "B*H", state, buffers.dh_n),
        ("dc_n", "B*H", state, buffers.dc_n),
        ("dx", "B*T*I", x, buffers.dx.as_deref()),
        ("dh_0", "B*H", state, buffers.dh_0.as_deref()),
        ("dc_0", "B*H", state, buffers.dc_0.as_deref()),
    ] {
        if let Some(slice) = slice {
            refuse_c::<C>(name)?;
            Error::check(C::NAME, name, letters, expected, slice.len())?;
        }
    }
    let Some(d) = &buffers.dweights else { return Ok(()) };
    let gradients =
        Weights { weight_ih: &*d.weight_ih, weight_hh: &*d.weight_hh, bias_ih: d.bias_ih.as_deref(), bias_hh: d.bias_hh.as_deref() };
    gradients.check(C::NAME, C::gates(), shape)
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
    /// [H], in place of a state that is absent.
    zeros: Buffer,
    x: *const f32,
    y: *const f32,
    h_0: *const f32,
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
    fn gates(&self, s: usize, b: usize) -> *mut f32 {
        self.reserve.wrapping_add(self.layout.gates(s, b))
    }

    /// The H floats of the state of row `b` before its step `s`.
    fn h_before(&self, s: usize, b: usize) -> *const f32 {
        if s > self.steps.of_row(b).start {
            self.y.wrapping_add((b * self.shape.time + self.steps.t(s - 1)) * self.shape.hidden)
        } else if self.h_0.is_null() {
            self.zeros.as_ptr()
        } else {
            self.h_0.wrapping_add(b * self.shape.hidden)
        }
    }

    fn term(&self, (b, s): (usize, usize)) -> Term {
        let x = self.x.wrapping_add((b * self.shape.time + self.steps.t(s)) * self.shape.input);
        Term { gates: self.gates(s, b), x, h: self.h_before(s, b) }
    }

    /// The private sums of `group`.
    fn sums(&self, group: usize) -> Sums {
        let states = 4 * self.plan.most_rows(self.shape.batch) * self.layout.state_stride;
        let weight_ih = self.scratch.start().wrapping_add(group * self.scratch_of_group + states);
        let weight_hh = weight_ih.wrapping_add(C::gates() * self.shape.hidden * self.shape.input);
        let bias = weight_hh.wrapping_add(C::gates() * self.shape.hidden * self.shape.hidden);
        Sums { weight_ih, weight_hh, bias, fresh: true }
    }

    /// Brings the gradients of the weights together, or computes them now.
    fn sum_weights(&self, context: &Context, to: &mut WeightGradients) {
        let (threads, layout) = (context.parallel().threads(), self.layout);
        let mut bias = context.pool().take(layout.gates_stride);
        if self.private {
            let sums: Vec<Sums> = (0..self.plan.groups).map(|group| self.sums(group)).collect();
            let add = |to: &mut [f32], part: &dyn Fn(&Sums) -> *mut f32| {
                for (group, sums) in sums.iter().enumerate() {
                    // SAFETY: every group has sums of that many floats, and no task runs any more.
                    let part = unsafe { std::slice::from_raw_parts(part(sums), to.len()) };
                    if group == 0 {
                        to.copy_from_slice(part);
                    } else {
                        to.iter_mut().zip(part).for_each(|(to, part)| *to += part);
                    }
                }
            };
            add(to.weight_ih, &|sums| sums.weight_ih);
            add(to.weight_hh, &|sums| sums.weight_hh);
            add(&mut bias, &|sums| sums.bias);
        } else {
            let active = self.steps.active(0..self.shape.batch, 0..self.shape.time);
            let lanes = context.isa().lanes();
            let parts = threads.min(self.shape.hidden.div_ceil(8)).max(1);
            let of_part = scratch_len(&self.shape, lanes, active.len().min(MAX_TERMS));
            let scratch = context.pool().take(parts * of_part);
            let sums = Sums { weight_ih: to.weight_ih.as_mut_ptr(), weight_hh: to.weight_hh.as_mut_ptr(), bias: bias.as_mut_ptr(), fresh: true };
            let late = Late { pass: self, active: &active, scratch: scratch.start(), of_part, parts, sums };
            // SAFETY: as in `backward`; parts write disjoint units.
            context.parallel().run(parts, &|part| unsafe { context.isa().run(LatePart { late: &late, part }) });
        }
        for (place, column) in C::COLUMNS.iter().enumerate() {
            for (gate, to) in [(column.input, &mut to.bias_ih), (column.hidden, &mut to.bias_hh)] {
                let (Some(gate), Some(to)) = (gate, to) else { continue };
                let hidden = self.shape.hidden;
                to[gate * hidden..(gate + 1) * hidden].copy_from_slice(&bias[place * layout.column..][..hidden]);
            }
        }
    }
}

/// The gradients of the weights in one pass over all of time; parts share the units of each gate.
struct Late<'a, C> {
    pass: &'a Pass<'a, C>,
    active: &'a [(usize, usize)],
    scratch: *mut f32,
    of_part: usize,
    parts: usize,
    sums: Sums,
}

// SAFETY: as for `Pass`.
unsafe impl<C: Cell> Sync for Late<'_, C> {}

struct LatePart<'a, C> {
    late: &'a Late<'a, C>,
    part: usize,
}

impl<C: Cell> Kernel for LatePart<'_, C> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Late { pass, active, scratch, of_part, parts, mut sums } = *self.late;
        let units = share(pass.shape.hidden, parts, self.part);
        let scratch = scratch.wrapping_add(self.part * of_part);
        let rounds = active.len().div_ceil(MAX_TERMS).max(1);
        let mut terms = Vec::with_capacity(active.len().min(MAX_TERMS));
        for round in 0..rounds {
            terms.clear();
            terms.extend(active[share(active.len(), rounds, round)].iter().map(|&at| pass.term(at)));
            // SAFETY: passed on from the caller.
            unsafe { add_terms::<C, V>(&pass.shape, &pass.layout, units.clone(), &terms, scratch, &sums) };
            sums.fresh = false;
        }
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

    /// Row `b` of one of the states.
    #[inline(always)]
    fn row(&self, state: *mut f32, b: usize) -> *mut f32 {
        state.wrapping_add((b - self.rows.start) * self.pass.layout.state_stride)
    }

    #[inline(always)]
    unsafe fn run<V: Vector>(&self, member: &Member) {
        let Pass { shape, steps, layout, packed, .. } = self.pass;
        let last = if self.pass.dh_0.is_null() { 1 } else { 0 };
        let hidden_columns = packed.backward.plain_blocks(false, layout.column, self.blocks.clone());
        let first_hidden = C::COLUMNS.iter().position(|column| column.hidden.is_some()).unwrap_or(0) * layout.column;
        let mut width = 0;
        let mut panels = Vec::new();
        let mut active = Vec::with_capacity(self.rows.len());
        let mut sums = self.pass.sums(self.group);
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
                        Row { a: self.pass.gates(s, active[i]).wrapping_add(first_hidden), init: dh, out: dh }
                    };
                    product::<V>(C::gates() * layout.column, 1, active.len(), row, &panels);
                }
                if !self.pass.dx.is_null() {
                    self.input_gradient::<V>(chunk.clone(), member);
                }
                if self.pass.private {
                    let terms: Vec<Term> = steps.active(self.rows.clone(), chunk).into_iter().map(|at| self.pass.term(at)).collect();
                    let scratch = sums.bias.wrapping_add(layout.gates_stride);
                    add_terms::<C, V>(shape, layout, 0..shape.hidden, &terms, scratch, &sums);
                    sums.fresh = false;
                }
            }
            if self.pass.private && sums.fresh {
                add_terms::<C, V>(shape, layout, 0..shape.hidden, &[], sums.bias.wrapping_add(layout.gates_stride), &sums);
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
        let (gates, dh, dc) = (self.pass.gates(s, b), self.row(self.dh, b), self.row(self.dc, b));
        let c = self.pass.reserve.wrapping_add(layout.c(s, b));
        let c_before = if is_first { self.row(self.c_0, b).cast_const() } else { self.pass.reserve.wrapping_add(layout.c(s.max(1) - 1, b)) };
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
                copy_nonoverlapping(self.pass.h_before(s, b).add(start), h_before.add(start), end - start);
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
        let panels =
            Panel::group(panel_width::<V>(mine.len()), packed.backward.plain_blocks(true, shape.input, 0..shape.input.div_ceil(V::LANES)).into_iter());
        let first_input = C::COLUMNS.iter().position(|column| column.input.is_some()).unwrap_or(0) * layout.column;
        let row = |i: usize| {
            let (b, s) = mine[i];
            Row { a: self.pass.gates(s, b).wrapping_add(first_input), init: null(), out: dx(b, s) }
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
