//! The pass forward in time, for inference and for training.

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::{copy_nonoverlapping, null, null_mut, write_bytes};

use super::layout::{Before, Layout, Steps};
use super::plan::Plan;
use super::wavefront::Node;
use super::{Cell, Forward, Layer, Now, Packed, Shape};
use crate::bfloat16::{Bf16, Number, Numbers};
use crate::gemm::{Panel, Row, Tile, panel_width, product, tile, tile_count};
use crate::parallel::share;
use crate::pool::Buffer;
use crate::team::{Member, Team};
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// Rows of states that a group keeps for each row of the batch.
const STATES: usize = 5;
/// Bytes of gates that one task works ahead of the recurrence.
const CHUNK: usize = 512 << 10;

pub(crate) fn forward<C: Cell, F: Number>(
    context: &Context,
    layer: &Layer<F>,
    packed: &mut Packed,
    mut buffers: Forward<F>,
) -> Result<(), Error> {
    buffers.check::<C>(layer)?;
    let mut run = Run {
        steps: 0..layer.shape.time,
        before: Before::new(context, layer, (buffers.y.as_ptr(), layer.shape.hidden), buffers.h_0, buffers.c_0),
        x: buffers.x.as_ptr().into(),
        y: buffers.y.as_mut_ptr().into(),
        y_stride: layer.shape.hidden,
        mask: null(),
        dropped: null_mut(),
        h_n: Numbers::of_mut(&mut buffers.h_n),
        c_n: Numbers::of_mut(&mut buffers.c_n),
        reserve: buffers.reserve.map_or(null_mut(), <[f32]>::as_mut_ptr),
        marks: null_mut(),
    };
    if layer.options.recompute.is_some() {
        run.marks = std::mem::replace(&mut run.reserve, null_mut());
    }
    run.go::<C, F>(context, layer, packed);
    Ok(())
}

/// A pass over some of the steps. Pointers are those of [`Forward`], null where absent; without y it is not written.
pub(super) struct Run<'a> {
    pub(super) steps: Range<usize>,
    pub(super) before: Before<'a>,
    pub(super) x: Numbers,
    pub(super) y: Numbers,
    /// From one row of y to the next.
    pub(super) y_stride: usize,
    /// Where there is a mask, y times it goes to `dropped`; both lie as y does, which is float32 then.
    pub(super) mask: *const f32,
    pub(super) dropped: *mut f32,
    pub(super) h_n: Numbers,
    pub(super) c_n: Numbers,
    /// What backward needs of these steps, in the layout of that many.
    pub(super) reserve: *mut f32,
    /// Instead, c after each stretch of steps but the last.
    pub(super) marks: *mut f32,
}

impl Run<'_> {
    pub(super) fn go<C: Cell, F: Number>(self, context: &Context, layer: &Layer<F>, packed: &mut Packed) {
        let shape = &layer.shape;
        if shape.batch == 0 || shape.hidden == 0 {
            return;
        }
        packed.prepare_forward::<C, F>(context, layer);
        let plan = Plan::new::<C>(shape, context.isa().lanes(), context.parallel().threads());
        let pass = Pass::<C>::new(context, layer, packed, plan, None, self);
        // SAFETY: the context vouches for the instruction set, checks for the buffers; tasks write disjoint rows or units.
        context.parallel().run(plan.tasks(), &|task| unsafe { context.isa().run(Task { pass: &pass, task }) });
    }
}

/// What all tasks of a pass share.
pub(super) struct Pass<'a, C> {
    shape: Shape,
    steps: Steps<'a>,
    /// The passes of other layers that this one waits for, and that wait for it.
    node: Option<Node<'a>>,
    /// Steps between marks.
    stretch: usize,
    layout: Layout,
    plan: Plan,
    packed: &'a Packed,
    cell: PhantomData<C>,
    /// Steps per chunk.
    chunk: usize,
    teams: Vec<Team>,
    /// For each group: h before and after the step, c, where products are of pairs also both h as such (each [rows, `state_stride`]), then
    /// without a reserve the gates of one chunk, and for each member what it reads of a chunk of x in bfloat16.
    scratch: Buffer,
    scratch_of_group: usize,
    ahead_len: usize,
    read_len: usize,
    run: Run<'a>,
}

// SAFETY: the pointers come from slices that outlive the pass; every task writes its own rows and units only.
unsafe impl<C: Cell> Sync for Pass<'_, C> {}

impl<'a, C: Cell> Pass<'a, C> {
    /// With weights that were packed before.
    pub(super) fn new<F>(
        context: &Context,
        layer: &Layer<'a, F>,
        packed: &'a Packed,
        plan: Plan,
        node: Option<Node<'a>>,
        run: Run<'a>,
    ) -> Self {
        let shape = layer.shape;
        let layout = Layout::new::<C>(&shape, layer.stretch());
        let rows = plan.most_rows(shape.batch);
        let most = node.as_ref().map_or(usize::MAX, |node| node.piece);
        let chunk = (CHUNK / (rows * layout.gates_stride * size_of::<f32>())).clamp(1, run.steps.len().max(1)).min(most);
        let ahead_len = if run.reserve.is_null() { chunk * rows * layout.gates_stride } else { 0 };
        let read_len = if run.x.is_half() { chunk * rows * packed.forward.rows(true) } else { 0 };
        let scratch_of_group = STATES * rows * layout.state_stride + ahead_len + plan.members * read_len;
        Pass {
            shape,
            steps: Steps::new(shape.time, layer.options),
            node,
            stretch: layer.stretch(),
            layout,
            plan,
            packed,
            cell: PhantomData,
            chunk,
            teams: (0..plan.groups).map(|_| Team::new(plan.members)).collect(),
            scratch: context.pool().take(plan.groups * scratch_of_group),
            scratch_of_group,
            ahead_len,
            read_len,
            run,
        }
    }
}

/// One task: some rows of the batch and some of the units.
pub(super) struct Task<'a, C> {
    pub(super) pass: &'a Pass<'a, C>,
    pub(super) task: usize,
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
        unsafe { Walk::new::<V>(pass, group, rows, blocks, member.rank).run::<V>(&member) }
    }
}

/// A task on its way through time.
struct Walk<'a, C> {
    pass: &'a Pass<'a, C>,
    group: usize,
    rows: Range<usize>,
    /// Vectors of units.
    blocks: Range<usize>,
    /// The real units among them.
    units: Range<usize>,
    /// State before and after the step, [rows, `state_stride`]; they change places.
    h: [*mut f32; 2],
    /// The same as pairs of bfloat16, where products are of those.
    pairs: [*mut f32; 2],
    /// c before the first step and, without a reserve, after every step.
    c: *mut f32,
    /// Gates of a chunk without a reserve.
    ahead: *mut f32,
    /// A chunk of x as the products read it, where that is not in place.
    read: *mut f32,
}

impl<'a, C: Cell> Walk<'a, C> {
    fn new<V: Vector>(pass: &'a Pass<'a, C>, group: usize, rows: Range<usize>, blocks: Range<usize>, rank: usize) -> Self {
        let start = pass.scratch.start().wrapping_add(group * pass.scratch_of_group);
        let state = pass.plan.most_rows(pass.shape.batch) * pass.layout.state_stride;
        let units = blocks.start * V::LANES..(blocks.end * V::LANES).min(pass.shape.hidden);
        let at = |i: usize| start.wrapping_add(i * state);
        let ahead = at(STATES);
        let read = ahead.wrapping_add(pass.ahead_len + rank * pass.read_len);
        Walk { pass, group, rows, blocks, units, h: [at(0), at(1)], pairs: [at(2), at(3)], c: at(4), ahead, read }
    }

    /// The gates of row `b` at step `s` of the chunk that starts at `first`.
    #[inline(always)]
    fn gates(&self, first: usize, s: usize, b: usize) -> *mut f32 {
        let Pass { run: Run { reserve, steps, .. }, layout, .. } = self.pass;
        if reserve.is_null() {
            self.ahead.wrapping_add(((s - first) * self.rows.len() + b - self.rows.start) * layout.gates_stride)
        } else {
            reserve.wrapping_add(layout.gates(s - steps.start, b))
        }
    }

    /// c of row `b` after step `s`; `None` means before the first.
    #[inline(always)]
    fn c(&self, s: Option<usize>, b: usize) -> *mut f32 {
        let Pass { run: Run { reserve, steps, .. }, layout, .. } = self.pass;
        match s {
            _ if !C::HAS_C => null_mut(),
            Some(s) if !reserve.is_null() => reserve.wrapping_add(layout.c(s - steps.start, b)),
            _ => self.c.wrapping_add((b - self.rows.start) * layout.state_stride),
        }
    }

    /// The step before `s` in this pass.
    #[inline(always)]
    fn earlier(&self, s: usize) -> Option<usize> {
        (s > self.pass.run.steps.start).then(|| s - 1)
    }

    /// Row `b` of the state before (0) or after (1) the step.
    #[inline(always)]
    fn h(&self, which: usize, b: usize) -> *mut f32 {
        self.h[which].wrapping_add((b - self.rows.start) * self.pass.layout.state_stride)
    }

    /// Row `b` of the state before (0) or after (1) the step, as the products read it.
    #[inline(always)]
    fn factor(&self, which: usize, b: usize) -> *mut f32 {
        if !self.pass.packed.forward.are_pairs() {
            return self.h(which, b);
        }
        self.pairs[which].wrapping_add((b - self.rows.start) * self.pass.layout.state_stride)
    }

    #[inline(always)]
    unsafe fn run<V: Vector>(&mut self, member: &Member) {
        let are_pairs = self.pass.packed.forward.are_pairs();
        let Pass { shape, steps, layout, packed, run, .. } = self.pass;
        // SAFETY: all pointers lie in rows and units of this task, or are read after the barrier.
        unsafe {
            for b in self.rows.clone() {
                self.begin::<V>(run.before.h(run.steps.start, b), self.h(0, b));
                if C::HAS_C {
                    self.begin::<V>(run.before.c(b), self.c(None, b));
                }
                if are_pairs {
                    self.begin_pairs::<V>(b);
                }
            }
            member.meet();
            let hidden = packed.forward.gate_blocks::<C>(false, layout, shape.hidden, self.blocks.clone());
            let mut width = 0;
            let mut panels = Vec::new();
            let mut tiles = vec![Tile::default(); tile_count(self.rows.len())];
            let mut now = Vec::with_capacity(self.rows.len());
            for first in run.steps.clone().step_by(self.pass.chunk) {
                let chunk = first..(first + self.pass.chunk).min(run.steps.end);
                if let Some(node) = &self.pass.node {
                    node.wait(self.group, steps.times(&chunk));
                }
                self.input_share::<V>(chunk.clone());
                for s in chunk.clone() {
                    now.clear();
                    now.extend(self.rows.clone().filter(|&b| steps.of_row(b).contains(&s)));
                    if panel_width::<V>(now.len()) != width {
                        width = panel_width::<V>(now.len());
                        panels = Panel::group_of(width, hidden.iter().copied(), are_pairs);
                    }
                    self.step::<V>(first, s, &now, &mut tiles, &panels);
                    self.finish_step::<V>(s);
                    member.meet();
                    self.h.swap(0, 1);
                    self.pairs.swap(0, 1);
                }
                if let Some(node) = &self.pass.node {
                    node.publish(self.group, chunk.end);
                }
            }
            self.end::<V>();
        }
    }

    /// Copies the task's units of a state of H numbers.
    #[inline(always)]
    unsafe fn begin<V: Vector>(&self, from: Numbers, to: *mut f32) {
        let Range { start, end } = self.units;
        let padded = if end == self.pass.shape.hidden { self.pass.layout.column } else { end };
        // SAFETY: padded units are within the row's stride, and belong to whoever has the last units.
        unsafe {
            from.at(start).read::<V>(end - start, to.add(start));
            write_bytes(to.add(end), 0, padded - end);
        }
    }

    /// Rounds the task's units of the state before the first step; the other row only needs zeros where there is no unit.
    #[inline(always)]
    unsafe fn begin_pairs<V: Vector>(&self, b: usize) {
        let Range { start, end } = self.units;
        let padded = if end == self.pass.shape.hidden { self.pass.layout.column } else { end };
        for which in [0, 1] {
            let to = Numbers::from(self.factor(which, b).cast::<Bf16>()).at(start);
            // SAFETY: as in `begin`; units of bfloat16 take half of the row.
            unsafe {
                to.clear(padded - start);
                if which == 0 {
                    to.write::<V>(end - start, self.h(0, b).add(start));
                }
            }
        }
    }

    /// gates = bias + W_ih x for all real steps of the chunk.
    #[inline(always)]
    unsafe fn input_share<V: Vector>(&self, chunk: Range<usize>) {
        let Pass { shape, steps, layout, packed, .. } = self.pass;
        let active = steps.active(self.rows.clone(), chunk.clone());
        let blocks = packed.forward.gate_blocks::<C>(true, layout, shape.hidden, self.blocks.clone());
        let panels = Panel::group_of(panel_width::<V>(active.len()), blocks.into_iter(), packed.forward.are_pairs());
        let k = packed.forward.rows(true);
        // SAFETY: passed on from the caller.
        unsafe { self.read_chunk::<V>(&active, k) };
        let bias = packed.forward.bias.as_ptr();
        let row = |i: usize| {
            let (b, s) = active[i];
            let a = if self.pass.run.x.is_half() { self.read.wrapping_add(i * k) } else { self.x(b, s).floats() };
            Row { a, init: bias, out: self.gates(chunk.start, s, b) }
        };
        // SAFETY: rows of x hold I floats, rows of gates every block.
        unsafe {
            product::<V>(k, 1, active.len(), row, &panels);
            for place in C::COLUMNS.iter().enumerate().filter(|(_, column)| column.input.is_none()).map(|(place, _)| place) {
                for i in 0..active.len() {
                    for block in self.blocks.clone() {
                        let at = place * layout.column + block * V::LANES;
                        V::load(bias.add(at)).store(row(i).out.add(at));
                    }
                }
            }
        }
    }

    /// The I numbers of x of row `b` at step `s`.
    #[inline(always)]
    fn x(&self, b: usize, s: usize) -> Numbers {
        let Pass { shape, steps, run, .. } = self.pass;
        run.x.at((b * shape.time + steps.t(s)) * shape.input)
    }

    /// Copies x in bfloat16 to where the products read it, `k` floats or pairs a row.
    #[inline(always)]
    unsafe fn read_chunk<V: Vector>(&self, active: &[(usize, usize)], k: usize) {
        if k == 0 || !self.pass.run.x.is_half() {
            return;
        }
        for (i, &(b, s)) in active.iter().enumerate() {
            let (from, to) = (self.x(b, s), self.read.wrapping_add(i * k));
            // SAFETY: rows of x hold I numbers, those of the scratch k floats.
            unsafe {
                if !self.pass.packed.forward.are_pairs() {
                    from.read::<V>(k, to);
                } else {
                    // Half a pair may be left over, which is multiplied by zero but must not be NaN.
                    to.add(k - 1).write(0.0);
                    from.copy_half(self.pass.shape.input, to.cast());
                }
            }
        }
    }

    /// gates += W_hh h, then the cell, unit by unit while its gates are in L1.
    #[inline(always)]
    unsafe fn step<V: Vector>(&self, first: usize, s: usize, now: &[usize], tiles: &mut [Tile], panels: &[Panel]) {
        let count = tile_count(now.len());
        for (i, rows) in tiles[..count].iter_mut().enumerate() {
            rows.clear(1);
            for &b in &now[share(now.len(), count, i)] {
                let gates = self.gates(first, s, b);
                rows.push(Row { a: self.factor(0, b), init: gates, out: gates });
            }
        }
        let (k, per_unit) = (self.pass.packed.forward.rows(false), C::gates());
        let (mut done, mut block) = (0, self.blocks.start);
        for panel in panels {
            for rows in &tiles[..count] {
                // SAFETY: rows of h hold H floats, rows of gates every block.
                unsafe { tile::<V>(k, rows, panel) };
            }
            done += panel.len();
            let complete = self.blocks.start + done / per_unit;
            for &b in now {
                for block in block..complete {
                    // SAFETY: every row holds the padded units of the block.
                    unsafe { self.cell::<V>(first, s, b, block * V::LANES) };
                }
            }
            block = complete;
        }
    }

    #[inline(always)]
    unsafe fn cell<V: Vector>(&self, first: usize, s: usize, b: usize, unit: usize) {
        let now = Now {
            gates: self.gates(first, s, b).wrapping_add(unit),
            stride: self.pass.layout.column,
            keep: !self.pass.run.reserve.is_null(),
            h_before: self.h(0, b).wrapping_add(unit),
            h: self.h(1, b).wrapping_add(unit),
            c_before: self.c(self.earlier(s), b).wrapping_add(unit),
            c: self.c(Some(s), b).wrapping_add(unit),
        };
        // SAFETY: passed on from the caller.
        unsafe { C::forward::<V>(now) };
    }

    /// Writes y and marks, and carries the state of rows that have no such step.
    #[inline(always)]
    unsafe fn finish_step<V: Vector>(&self, s: usize) {
        let Pass { shape, steps, layout, stretch, run: Run { y, y_stride, mask, dropped, marks, .. }, .. } = self.pass;
        let Range { start, end } = self.units;
        for b in self.rows.clone() {
            let is_real = steps.of_row(b).contains(&s);
            // SAFETY: rows of states, of y and of marks hold the units; before and after never overlap unless they are the same.
            unsafe {
                if !y.is_null() {
                    let at = (b * shape.time + steps.t(s)) * y_stride + start;
                    let y = y.at(at);
                    if is_real {
                        y.write::<V>(end - start, self.h(1, b).add(start));
                    } else {
                        y.clear(end - start);
                    }
                    if !dropped.is_null() {
                        let y = y.floats();
                        let (mask, dropped) = (mask.add(at), dropped.add(at));
                        for i in 0..end - start {
                            *dropped.add(i) = *y.add(i) * *mask.add(i);
                        }
                    }
                }
                if !is_real {
                    copy_nonoverlapping(self.h(0, b).add(start), self.h(1, b).add(start), end - start);
                    let (before, after) = (self.c(self.earlier(s), b), self.c(Some(s), b));
                    if before != after {
                        copy_nonoverlapping(before.add(start), after.add(start), end - start);
                    }
                }
                if self.pass.packed.forward.are_pairs() {
                    Numbers::from(self.factor(1, b).cast::<Bf16>()).at(start).write::<V>(end - start, self.h(1, b).add(start));
                }
                if C::HAS_C && !marks.is_null() && (s + 1).is_multiple_of(*stretch) && s + 1 < shape.time {
                    let mark = ((s + 1) / stretch - 1) * shape.batch + b;
                    copy_nonoverlapping(self.c(Some(s), b).add(start), marks.add(mark * layout.state_stride + start), end - start);
                }
            }
        }
    }

    /// Writes h_n and c_n.
    #[inline(always)]
    unsafe fn end<V: Vector>(&self) {
        let Pass { shape, run: Run { h_n, c_n, steps, .. }, .. } = self.pass;
        let Range { start, end } = self.units;
        for b in self.rows.clone() {
            let at = b * shape.hidden + start;
            // SAFETY: both hold [B, H].
            unsafe {
                if !h_n.is_null() {
                    h_n.at(at).write::<V>(end - start, self.h(0, b).add(start));
                }
                if !c_n.is_null() && C::HAS_C {
                    c_n.at(at).write::<V>(end - start, self.c(self.earlier(steps.end), b).add(start));
                }
            }
        }
    }
}
