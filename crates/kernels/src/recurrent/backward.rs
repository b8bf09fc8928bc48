//! The pass backward in time: gradients of the input, the initial states and the weights.

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::{null, null_mut, write_bytes};

use super::gradient::{Sums, Term, Terms, add_late, add_private, add_terms, private_len};
use super::layout::{Before, Layout, Steps};
use super::plan::Plan;
use super::wavefront::Node;
use super::{Backward, Cell, Layer, Packed, Shape, Then, WeightGradients, buffers, forward};
use crate::bfloat16::{Bf16, Number, Numbers};
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

/// Rows of states that a group keeps for each row of the batch.
const STATES: usize = 4;
/// Floats of a cache line.
const LINE: usize = 16;

/// Rows of dy are far apart, each read a little at every step, and backwards: the CPU does not foresee that, so it is told so many
/// steps ahead.
const AHEAD: usize = 4;

pub(crate) fn backward<C: Cell, F: Number>(
    context: &Context,
    layer: &Layer<F>,
    packed: &mut Packed,
    mut buffers: Backward<F>,
) -> Result<(), Error> {
    buffers.check::<C>(layer)?;
    let shape = &layer.shape;
    if shape.batch == 0 || shape.hidden == 0 {
        // Nothing depends on anything.
        for gradient in [&mut buffers.dx, &mut buffers.dh_0, &mut buffers.dc_0].into_iter().flatten() {
            gradient.fill(F::default());
        }
        buffers.dweights.iter_mut().for_each(WeightGradients::clear);
        return Ok(());
    }
    let before = || Before::new(context, layer, (buffers.y.as_ptr(), shape.hidden), buffers.h_0, buffers.c_0);
    let (dh_n, dc_n) = (Numbers::of(buffers.dh_n), Numbers::of(buffers.dc_n));
    let (dh_0, dc_0) = (Numbers::of_mut(&mut buffers.dh_0), Numbers::of_mut(&mut buffers.dc_0));
    let (x, dy, dx) = (buffers.x.as_ptr().into(), Incoming::new(Numbers::of(buffers.dy), shape.hidden), Numbers::of_mut(&mut buffers.dx));
    let mut sums = buffers.dweights.map(|to| buffers::Sums::new(context, to));
    let mut dweights = sums.as_mut().map(buffers::Sums::as_gradients);
    let steps = 0..shape.time;
    if layer.options.recompute.is_none() {
        let reserve = buffers.reserve.as_mut_ptr();
        let run = Run { steps, before: before(), fresh: true, x, reserve, dy, dh_n, dc_n, dx, dh_0, dc_0 };
        run.go::<C, F>(context, layer, packed, &mut dweights);
        sums.into_iter().for_each(|sums| sums.finish(context));
        return Ok(());
    }
    // Stretch by stretch from the last, each forward once more; between them go the gradients of the state.
    let stretch = layer.stretch().max(1);
    let layout = Layout::new::<C>(shape, stretch);
    let mut again = context.pool().take(layout.len());
    let carried = context.pool().take(2 * shape.state_len());
    let (dh, dc): (Numbers, Numbers) = (carried.start().into(), carried.start().wrapping_add(shape.state_len()).into());
    let stretches = shape.time.div_ceil(stretch).max(1);
    for i in (0..stretches).rev() {
        let (is_first, is_last) = (i == 0, i + 1 == stretches);
        let steps = i * stretch..((i + 1) * stretch).min(shape.time);
        let marked = buffers.reserve.as_ptr().wrapping_add(i.saturating_sub(1) * shape.batch * layout.state_stride);
        let before = || if is_first { before() } else { before().with_c(marked, layout.state_stride) };
        let reserve = again.as_mut_ptr();
        let again = forward::Run {
            steps: steps.clone(),
            before: before(),
            x,
            y: Numbers::ABSENT,
            y_stride: 0,
            mask: null(),
            dropped: null_mut(),
            h_n: Numbers::ABSENT,
            c_n: Numbers::ABSENT,
            reserve,
            marks: null_mut(),
        };
        again.go::<C, F>(context, layer, packed);
        let run = Run {
            steps,
            before: before(),
            fresh: is_last,
            x,
            reserve,
            dy,
            dh_n: if is_last { dh_n } else { dh },
            dc_n: if is_last { dc_n } else { dc },
            dx,
            dh_0: if is_first { dh_0 } else { dh },
            dc_0: if is_first { dc_0 } else { dc },
        };
        run.go::<C, F>(context, layer, packed, &mut dweights);
    }
    sums.into_iter().for_each(|sums| sums.finish(context));
    Ok(())
}

/// The gradients that come to the outputs of a pass: the sum of two, times a mask. Null where absent.
#[derive(Clone, Copy)]
pub(super) struct Incoming {
    pub(super) dy: Numbers,
    pub(super) more: *const f32,
    pub(super) mask: *const f32,
    /// From one row of each to the next.
    pub(super) stride: usize,
}

impl Incoming {
    fn new(dy: Numbers, stride: usize) -> Incoming {
        Incoming { dy, more: null(), mask: null(), stride }
    }

    /// Adds what comes to the `units` at place `at` (a row of all steps of all rows of the batch) to those of `dh`.
    ///
    /// # Safety
    /// Each holds the row; `dh` may be read and written a vector past its last unit.
    #[inline(always)]
    unsafe fn add_to<V: Vector>(&self, at: usize, units: &Range<usize>, dh: *mut f32) {
        let row = at * self.stride;
        for unit in units.clone().step_by(V::LANES) {
            let len = V::LANES.min(units.end - unit);
            // SAFETY: by the contract.
            unsafe {
                let mut sum = self.dy.at(row + unit).load::<V>(len);
                if !self.more.is_null() {
                    sum = sum.add(V::load_first(self.more.add(row + unit), len));
                }
                if !self.mask.is_null() {
                    sum = sum.mul(V::load_first(self.mask.add(row + unit), len));
                }
                V::load(dh.add(unit)).add(sum).store(dh.add(unit));
            }
        }
    }

    /// Asks for the units at place `at`, which will be wanted soon.
    #[inline(always)]
    fn prefetch(&self, at: usize, units: &Range<usize>) {
        for row in [self.dy, self.more.into(), self.mask.into()] {
            row.at(at * self.stride + units.start).prefetch(units.len());
        }
    }
}

/// A pass back over some of the steps. Pointers are those of [`Backward`], null where absent; states are those at the ends of these steps.
pub(super) struct Run<'a> {
    pub(super) steps: Range<usize>,
    pub(super) before: Before<'a>,
    /// Whether this is the first to write the gradients of the weights; later ones add.
    pub(super) fresh: bool,
    pub(super) x: Numbers,
    /// What forward saved of these steps, in the layout of that many.
    pub(super) reserve: *mut f32,
    pub(super) dy: Incoming,
    pub(super) dh_n: Numbers,
    pub(super) dc_n: Numbers,
    pub(super) dx: Numbers,
    pub(super) dh_0: Numbers,
    pub(super) dc_0: Numbers,
}

impl Run<'_> {
    pub(super) fn go<C: Cell, F: Number>(
        self,
        context: &Context,
        layer: &Layer<F>,
        packed: &mut Packed,
        dweights: &mut Option<WeightGradients>,
    ) {
        packed.prepare_backward::<C, F>(context, layer);
        let plan = Plan::new::<C>(&layer.shape, context.isa().lanes(), context.parallel().threads());
        let pass = Pass::<C>::new(context, layer, packed, plan, None, dweights.is_some(), self);
        // SAFETY: the context vouches for the instruction set, checks for the buffers; tasks write disjoint rows or units.
        context.parallel().run(plan.tasks(), &|task| unsafe { context.isa().run(Task { pass: &pass, task }) });
        if let Some(dweights) = dweights {
            weight_gradients(context, &[pass], &mut [dweights]);
        }
    }
}

/// The gradients of the weights of each pass, when all have come to their end.
pub(super) fn weight_gradients<C: Cell>(context: &Context, passes: &[Pass<C>], to: &mut [&mut WeightGradients]) {
    let mut late = Vec::new();
    for (pass, to) in passes.iter().zip(to) {
        if pass.private {
            add_private::<C>(context, &pass.terms, (0..pass.plan.groups).map(|group| pass.sums(group).0), to);
        } else {
            late.push((&pass.terms, &mut **to));
        }
    }
    add_late::<C>(context, &mut late);
}

/// What all tasks of a pass share. Pointers are those of [`Run`].
pub(super) struct Pass<'a, C> {
    shape: Shape,
    steps: Steps<'a>,
    /// The passes of other layers that this one waits for, and that wait for it.
    node: Option<Node<'a>>,
    layout: Layout,
    plan: Plan,
    packed: &'a Packed,
    cell: PhantomData<C>,
    /// Steps per chunk, and how many of them at a time.
    chunk: usize,
    piece: usize,
    teams: Vec<Team>,
    /// For each group: dh, dc, the state before the step and c before the first step, each [rows, `state_stride`];
    /// where products are of pairs of bfloat16, the gradients of the gates of one chunk as such; for each member, where dx is bfloat16, that of
    /// one piece; then, where sums are private: dW_ih, dW_hh, db, and the scratch to compute them.
    scratch: Buffer,
    scratch_of_group: usize,
    pairs_len: usize,
    dx_len: usize,
    private: bool,
    terms: Terms<'a>,
    reserve: *mut f32,
    dy: Incoming,
    dh_n: Numbers,
    dc_n: Numbers,
    dx: Numbers,
    dh_0: Numbers,
    dc_0: Numbers,
}

// SAFETY: the pointers come from slices that outlive the pass; every task writes its own rows and units only.
unsafe impl<C: Cell> Sync for Pass<'_, C> {}

impl<'a, C: Cell> Pass<'a, C> {
    /// With weights that were packed before; `weighs` if the gradients of the weights are wanted.
    pub(super) fn new<F>(
        context: &Context,
        layer: &Layer<'a, F>,
        packed: &'a Packed,
        plan: Plan,
        node: Option<Node<'a>>,
        weighs: bool,
        run: Run<'a>,
    ) -> Self {
        let (shape, lanes) = (layer.shape, context.isa().lanes());
        let layout = Layout::new::<C>(&shape, layer.stretch());
        let rows = plan.most_rows(shape.batch);
        let chunk = (CHUNK / (rows * layout.gates_stride * size_of::<f32>())).clamp(1, run.steps.len().max(1));
        let weights_len = C::gates() * shape.hidden * (shape.input + shape.hidden);
        let private = weighs && plan.members == 1 && weights_len * size_of::<f32>() <= PRIVATE_SUMS;
        let piece = node.as_ref().map_or(chunk, |node| node.piece.min(chunk));
        let pairs = packed.backward.are_pairs();
        // A member may begin a chunk while another still reads the one after it.
        let halves = if plan.members > 1 { 2 } else { 1 };
        let pairs_len = if pairs { halves * chunk * rows * layout.gates_stride / 2 } else { 0 };
        let dx_len = if run.dx.is_half() { (piece * rows * shape.input).next_multiple_of(LINE) } else { 0 };
        let states = STATES * rows * layout.state_stride + pairs_len + plan.members * dx_len;
        let of_group = if private { private_len::<C>(&shape, lanes, chunk * rows) } else { 0 };
        let steps = Steps::new(shape.time, layer.options);
        let Run { steps: some, before, fresh, x, reserve, dy, dh_n, dc_n, dx, dh_0, dc_0 } = run;
        Pass {
            shape,
            steps,
            layout,
            plan,
            packed,
            cell: PhantomData,
            chunk,
            piece,
            node,
            teams: (0..plan.groups).map(|_| Team::new(plan.members)).collect(),
            scratch: context.pool().take(plan.groups * (states + of_group)),
            scratch_of_group: states + of_group,
            pairs_len,
            dx_len,
            private,
            terms: Terms { shape, steps, layout, some, before, x, gates: reserve, fresh, pairs },
            reserve,
            dy,
            dh_n,
            dc_n,
            dx,
            dh_0,
            dc_0,
        }
    }

    /// The private sums of `group`, and the scratch to compute them.
    fn sums(&self, group: usize) -> (Sums, *mut f32) {
        let states = STATES * self.plan.most_rows(self.shape.batch) * self.layout.state_stride;
        let before = states + self.pairs_len + self.plan.members * self.dx_len;
        let start = self.scratch.start().wrapping_add(group * self.scratch_of_group + before);
        Sums::private::<C>(&self.shape, &self.layout, start, self.terms.pairs)
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
    /// Gradients of the gates of a chunk as pairs of bfloat16, where products are of those.
    pairs: *mut f32,
    /// dx of a piece before it is rounded, where it is.
    dx: *mut f32,
}

impl<'a, C: Cell> Walk<'a, C> {
    fn new<V: Vector>(pass: &'a Pass<'a, C>, group: usize, rows: Range<usize>, blocks: Range<usize>, rank: usize) -> Self {
        let hidden = pass.shape.hidden;
        let units = blocks.start * V::LANES..(blocks.end * V::LANES).min(hidden);
        let padded = units.start..if units.end == hidden { pass.layout.column } else { units.end };
        let state = pass.plan.most_rows(pass.shape.batch) * pass.layout.state_stride;
        let start = pass.scratch.start().wrapping_add(group * pass.scratch_of_group);
        let at = |i: usize| start.wrapping_add(i * state);
        let pairs = at(STATES);
        let dx = pairs.wrapping_add(pass.pairs_len + rank * pass.dx_len);
        Walk { pass, group, rows, blocks, units, padded, dh: at(0), dc: at(1), h_before: at(2), c_0: at(3), pairs, dx }
    }

    /// The gates of row `b` at step `s`, or their gradients.
    #[inline(always)]
    fn gates(&self, s: usize, b: usize) -> *mut f32 {
        self.pass.reserve.wrapping_add(self.pass.layout.gates(s - self.pass.terms.some.start, b))
    }

    /// The gradients of the gates from column `place` on, as the products read them, of a step of the chunk at hand.
    #[inline(always)]
    fn factors(&self, s: usize, b: usize, place: usize) -> *mut f32 {
        let Pass { layout, chunk, terms, plan, .. } = self.pass;
        let at = place * layout.column;
        if !terms.pairs {
            return self.gates(s, b).wrapping_add(at);
        }
        let steps = if plan.members > 1 { 2 * chunk } else { *chunk };
        let row = (s - terms.some.start) % steps * self.rows.len() + b - self.rows.start;
        self.pairs.wrapping_add((row * layout.gates_stride + at) / 2)
    }

    /// Row `b` of one of the states.
    #[inline(always)]
    fn row(&self, state: *mut f32, b: usize) -> *mut f32 {
        state.wrapping_add((b - self.rows.start) * self.pass.layout.state_stride)
    }

    #[inline(always)]
    unsafe fn run<V: Vector>(&self, member: &Member) {
        let Pass { shape, steps, layout, packed, terms, .. } = self.pass;
        let some = &terms.some;
        let hidden_columns = packed.backward.plain_blocks(false, layout.column, self.blocks.clone());
        let first_hidden = C::COLUMNS.iter().position(|column| column.hidden.is_some()).unwrap_or(0);
        let mut width = 0;
        let mut panels = Vec::new();
        let mut active = Vec::with_capacity(self.rows.len());
        let (mut sums, sums_scratch) = self.pass.sums(self.group);
        // SAFETY: all pointers lie in rows and units of this task, or are read after the barrier.
        unsafe {
            for b in self.rows.clone() {
                self.begin::<V>(self.pass.dh_n.at(b * shape.hidden), self.row(self.dh, b));
                if C::HAS_C {
                    self.begin::<V>(self.pass.dc_n.at(b * shape.hidden), self.row(self.dc, b));
                    self.begin::<V>(terms.before.c(b), self.row(self.c_0, b));
                }
            }
            for first in some.clone().step_by(self.pass.chunk).rev() {
                let chunk = first..(first + self.pass.chunk).min(some.end);
                for first in chunk.clone().step_by(self.pass.piece).rev() {
                    let piece = first..(first + self.pass.piece).min(chunk.end);
                    if let Some(node) = &self.pass.node {
                        node.wait(self.group, steps.times(&piece));
                    }
                    for s in piece.clone().rev() {
                        active.clear();
                        active.extend(self.rows.clone().filter(|&b| steps.of_row(b).contains(&s)));
                        for &b in &active {
                            self.step::<V>(s, b);
                        }
                        member.meet();
                        if s == some.start && self.pass.dh_0.is_null() {
                            // Nobody asks for the gradient of the initial state.
                            continue;
                        }
                        if panel_width::<V>(active.len()) != width {
                            width = panel_width::<V>(active.len());
                            panels = Panel::group_of(width, hidden_columns.iter().copied(), terms.pairs);
                        }
                        let row = |i: usize| {
                            let dh = self.row(self.dh, active[i]);
                            Row { a: self.factors(s, active[i], first_hidden), init: dh, out: dh }
                        };
                        product::<V>(packed.backward.rows(false), 1, active.len(), row, &panels);
                    }
                    if !self.pass.dx.is_null() {
                        self.input_gradient::<V>(piece.clone(), member);
                    }
                    if let Some(node) = &self.pass.node {
                        node.publish(self.group, some.end - piece.start);
                    }
                }
                if self.pass.private {
                    let mine: Vec<Term> = steps.active(self.rows.clone(), chunk).into_iter().map(|at| terms.term(at)).collect();
                    add_terms::<C, V>(shape, layout, 0..shape.hidden, &mine, sums_scratch, &sums);
                    sums.fresh = false;
                }
            }
            if self.pass.private && sums.fresh {
                add_terms::<C, V>(shape, layout, 0..shape.hidden, &[], sums_scratch, &sums);
            }
            self.end::<V>(self.dh, self.pass.dh_0);
            self.end::<V>(self.dc, self.pass.dc_0);
        }
    }

    /// Copies the task's units of H numbers, or zeros.
    #[inline(always)]
    unsafe fn begin<V: Vector>(&self, from: Numbers, to: *mut f32) {
        let Range { start, end } = self.units;
        // SAFETY: `from` holds H floats, `to` a padded row.
        unsafe {
            write_bytes(to.add(start), 0, self.padded.len());
            if !from.is_null() {
                from.at(start).read::<V>(end - start, to.add(start));
            }
        }
    }

    /// Writes the gradient of an initial state where it is wanted.
    #[inline(always)]
    unsafe fn end<V: Vector>(&self, state: *mut f32, to: Numbers) {
        if to.is_null() {
            return;
        }
        let Range { start, end } = self.units;
        for b in self.rows.clone() {
            // SAFETY: `to` holds [B, H].
            unsafe { to.at(b * self.pass.shape.hidden + start).write::<V>(end - start, self.row(state, b).add(start)) };
        }
    }

    /// The gradients of the sums of row `b` at step `s`, for the task's units.
    #[inline(always)]
    unsafe fn step<V: Vector>(&self, s: usize, b: usize) {
        let Pass { shape, steps, layout, dy, reserve, terms, .. } = self.pass;
        let Range { start, end } = self.units;
        let first = terms.some.start;
        let (gates, dh, dc) = (self.gates(s, b), self.row(self.dh, b), self.row(self.dc, b));
        let c = reserve.wrapping_add(layout.c(s - first, b));
        let c_before =
            if s == first.max(steps.of_row(b).start) { self.row(self.c_0, b) } else { reserve.wrapping_add(layout.c(s - first - 1, b)) };
        let h_before = self.row(self.h_before, b);
        // SAFETY: every row holds the padded units of the task.
        unsafe {
            if !dy.dy.is_null() {
                let at = |s: usize| b * shape.time + steps.t(s);
                dy.prefetch(at(s.saturating_sub(AHEAD)), &self.units);
                dy.add_to::<V>(at(s), &self.units, dh);
            }
            if C::NEEDS_H {
                terms.before.h(s, b).at(start).read::<V>(end - start, h_before.add(start));
            }
            for unit in (start..end).step_by(V::LANES) {
                let at = |row: *mut f32| if C::HAS_C { row.wrapping_add(unit) } else { null_mut() };
                C::backward::<V>(Then {
                    gates: gates.add(unit),
                    stride: layout.column,
                    h_before: h_before.add(unit),
                    c_before: at(c_before),
                    c: at(c),
                    dh: dh.add(unit),
                    dc: at(dc),
                });
            }
            // Products run over the padding too: what the cell made of it, NaN maybe, must not come in.
            for place in 0..C::COLUMNS.len() {
                write_bytes(gates.add(place * layout.column + end), 0, self.padded.end - end);
                if terms.pairs {
                    let pairs = Numbers::from(self.factors(s, b, place).cast::<Bf16>());
                    pairs.at(start).write::<V>(self.padded.len(), gates.add(place * layout.column + start));
                }
            }
        }
    }

    /// dx = dgates W_ih for the chunk, shared among the members by rows; zeros where there is no step.
    #[inline(always)]
    unsafe fn input_gradient<V: Vector>(&self, chunk: Range<usize>, member: &Member) {
        let Pass { shape, steps, packed, .. } = self.pass;
        let dx = |b: usize, s: usize| self.pass.dx.at((b * shape.time + steps.t(s)) * shape.input);
        let active = steps.active(self.rows.clone(), chunk.clone());
        let mine = &active[share(active.len(), member.size, member.rank)];
        let is_rounded = self.pass.dx.is_half();
        let panels = Panel::group_of(
            panel_width::<V>(mine.len()),
            packed.backward.plain_blocks(true, shape.input, 0..shape.input.div_ceil(V::LANES)).into_iter(),
            packed.backward.are_pairs(),
        );
        let first_input = C::COLUMNS.iter().position(|column| column.input.is_some()).unwrap_or(0);
        let out = |i: usize| if is_rounded { self.dx.wrapping_add(i * shape.input) } else { dx(mine[i].0, mine[i].1).floats() };
        let row = |i: usize| {
            let (b, s) = mine[i];
            Row { a: self.factors(s, b, first_input), init: null(), out: out(i) }
        };
        // SAFETY: the gates of the chunk are complete, rows of dx hold I floats.
        unsafe {
            product::<V>(packed.backward.rows(true), 1, mine.len(), row, &panels);
            for (i, &(b, s)) in mine.iter().enumerate().take_while(|_| is_rounded) {
                dx(b, s).write::<V>(shape.input, out(i));
            }
            if member.rank == 0 && active.len() < self.rows.len() * chunk.len() {
                for b in self.rows.clone() {
                    for s in chunk.clone().filter(|s| !steps.of_row(b).contains(s)) {
                        dx(b, s).clear(shape.input);
                    }
                }
            }
        }
    }
}
