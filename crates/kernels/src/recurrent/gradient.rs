//! The gradients of the weights: sums over all steps and rows of dgates ⊗ x and dgates ⊗ h.

use std::marker::PhantomData;
use std::ops::Range;

use super::layout::{Before, Layout, Steps};
use super::{Cell, Shape, WeightGradients};
use crate::Context;
use crate::bfloat16::Numbers;
use crate::gemm::outer::{self, MAX_TERMS, PackedRows, Target, add_outer, add_rows, pack_numbers, packed_len};
use crate::parallel::share;
use crate::pool::Buffer;
use crate::vector::{Kernel, Vector};

/// Where each step of each row finds what it adds to the sums.
pub(super) struct Terms<'a> {
    pub(super) shape: Shape,
    pub(super) steps: Steps<'a>,
    pub(super) layout: Layout,
    /// The steps of the pass.
    pub(super) some: Range<usize>,
    pub(super) before: Before<'a>,
    /// [B, T, I]
    pub(super) x: Numbers,
    /// The gradients of the gates of these steps.
    pub(super) gates: *const f32,
    /// Whether nothing was summed yet.
    pub(super) fresh: bool,
    /// Whether products are of pairs of bfloat16.
    pub(super) pairs: bool,
}

impl Terms<'_> {
    pub(super) fn term(&self, (b, s): (usize, usize)) -> Term {
        let x = self.x.at((b * self.shape.time + self.steps.t(s)) * self.shape.input);
        Term { gates: self.gates.wrapping_add(self.layout.gates(s - self.some.start, b)), x, h: self.before.h(s, b) }
    }
}

/// One step of one row: the gradients of its gates, I numbers of x and H of the state before.
#[derive(Clone, Copy)]
pub(super) struct Term {
    pub(super) gates: *const f32,
    pub(super) x: Numbers,
    pub(super) h: Numbers,
}

/// Where sums go.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    /// [G·H, I] and [G·H, H]
    pub(super) weight_ih: *mut f32,
    pub(super) weight_hh: *mut f32,
    /// One row in the layout of gates.
    pub(super) bias: *mut f32,
    /// Whether these terms are the first, so that there is nothing to add to.
    pub(super) fresh: bool,
    /// Whether they are sums of products of pairs of bfloat16.
    pub(super) pairs: bool,
}

impl Sums {
    /// Sums in memory of one's own, and the scratch after them.
    pub(super) fn private<C: Cell>(shape: &Shape, layout: &Layout, at: *mut f32, pairs: bool) -> (Sums, *mut f32) {
        let weight_hh = at.wrapping_add(C::gates() * shape.hidden * shape.input);
        let bias = weight_hh.wrapping_add(C::gates() * shape.hidden * shape.hidden);
        (Sums { weight_ih: at, weight_hh, bias, fresh: true, pairs }, bias.wrapping_add(layout.gates_stride))
    }
}

/// Floats of private sums, with the scratch for up to `terms` terms.
pub(super) fn private_len<C: Cell>(shape: &Shape, lanes: usize, terms: usize) -> usize {
    let weights = C::gates() * shape.hidden * (shape.input + shape.hidden);
    weights + Layout::new::<C>(shape, 0).gates_stride + scratch_len(shape, lanes, terms)
}

/// Scratch floats for up to `terms` terms.
fn scratch_len(shape: &Shape, lanes: usize, terms: usize) -> usize {
    packed_len(terms, shape.input, lanes) + packed_len(terms, shape.hidden, lanes) + outer::scratch_len(terms)
}

/// Adds `terms` to the sums of `units` of every gate.
///
/// # Safety
/// Each term holds what [`Term`] says, plus [`outer::SLACK`] after the last gate; `scratch` holds [`scratch_len`].
#[inline(always)]
pub(super) unsafe fn add_terms<C: Cell, V: Vector>(
    shape: &Shape,
    layout: &Layout,
    units: Range<usize>,
    terms: &[Term],
    scratch: *mut f32,
    sums: &Sums,
) {
    let k = terms.len();
    let h_start = scratch.wrapping_add(packed_len(k, shape.input, V::LANES));
    let a_start = h_start.wrapping_add(packed_len(k, shape.hidden, V::LANES));
    // SAFETY: passed on from the caller; units lie within each column, and rows of the sums are disjoint for disjoint units.
    unsafe {
        let x = pack_numbers::<V>(k, |p| terms[p].x, shape.input, scratch, sums.pairs);
        let h = pack_numbers::<V>(k, |p| terms[p].h, shape.hidden, h_start, sums.pairs);
        for (place, column) in C::COLUMNS.iter().enumerate() {
            let first = place * layout.column + units.start;
            let gates = |p: usize| terms[p].gates.wrapping_add(first);
            add_rows::<V>(k, gates, units.len(), sums.bias.add(first), sums.fresh);
            let target = |b: PackedRows, gate: usize, weight: *mut f32, columns: usize| {
                let out = weight.wrapping_add((gate * shape.hidden + units.start) * columns);
                Target { b, out, fresh: sums.fresh }
            };
            let of_x = column.input.map(|gate| target(x, gate, sums.weight_ih, shape.input));
            let of_h = column.hidden.map(|gate| target(h, gate, sums.weight_hh, shape.hidden));
            let targets: Vec<Target> = of_x.into_iter().chain(of_h).collect();
            add_outer::<V>(units.len(), gates, &targets, a_start);
        }
    }
}

/// Brings the private sums of all groups together.
pub(super) fn add_private<C: Cell>(context: &Context, terms: &Terms, sums: impl Iterator<Item = Sums>, to: &mut WeightGradients) {
    let mut bias = context.pool().take(terms.layout.gates_stride);
    bias.fill(0.0);
    for (group, sums) in sums.enumerate() {
        let add = |to: &mut [f32], part: *mut f32| {
            // SAFETY: every group has sums of that many floats, and no task runs any more.
            let part = unsafe { std::slice::from_raw_parts(part, to.len()) };
            if group == 0 && terms.fresh {
                to.copy_from_slice(part);
            } else {
                to.iter_mut().zip(part).for_each(|(to, part)| *to += part);
            }
        };
        add(to.weight_ih, sums.weight_ih);
        add(to.weight_hh, sums.weight_hh);
        add(&mut bias, sums.bias);
    }
    add_biases::<C>(terms, &bias, to);
}

/// Sums everything of each pass at once, over all of time; parts share the units of each gate, so that nothing is left to bring together.
pub(super) fn add_late<C: Cell>(context: &Context, passes: &mut [(&Terms, &mut WeightGradients)]) {
    if passes.is_empty() {
        return;
    }
    let threads = context.parallel().threads().max(1);
    // As few parts as make all threads equally busy: each packs the rows of x and h for itself.
    let parts = threads / common_divisor(threads, passes.len());
    let late: Vec<Late> = passes.iter_mut().map(|(terms, to)| Late::new(context, terms, to, parts)).collect();
    context.parallel().run(late.len() * parts, &|task| {
        let (late, part) = (&late[task / parts], task % parts);
        // SAFETY: the context vouches for the instruction set, `terms` and `to` were checked; parts write disjoint units.
        unsafe { context.isa().run(LatePart::<C> { late, part, cell: PhantomData }) }
    });
    let biases: Vec<Buffer> = late.into_iter().map(|late| late.bias).collect();
    for ((terms, to), bias) in passes.iter_mut().zip(biases) {
        add_biases::<C>(terms, &bias, to);
    }
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// Adds a row in the layout of gates to the gradients of both biases.
fn add_biases<C: Cell>(terms: &Terms, row: &[f32], to: &mut WeightGradients) {
    let hidden = terms.shape.hidden;
    for (place, column) in C::COLUMNS.iter().enumerate() {
        for (gate, to) in [(column.input, &mut to.bias_ih), (column.hidden, &mut to.bias_hh)] {
            let (Some(gate), Some(to)) = (gate, to) else { continue };
            let (to, row) = (&mut to[gate * hidden..(gate + 1) * hidden], &row[place * terms.layout.column..][..hidden]);
            if terms.fresh {
                to.copy_from_slice(row);
            } else {
                to.iter_mut().zip(row).for_each(|(to, row)| *to += row);
            }
        }
    }
}

/// What the parts of [`add_late`] over one pass share.
struct Late<'a> {
    terms: &'a Terms<'a>,
    active: Vec<(usize, usize)>,
    scratch: Buffer,
    of_part: usize,
    parts: usize,
    bias: Buffer,
    sums: Sums,
}

impl<'a> Late<'a> {
    fn new(context: &Context, terms: &'a Terms<'a>, to: &mut WeightGradients, parts: usize) -> Late<'a> {
        let mut bias = context.pool().take(terms.layout.gates_stride);
        bias.fill(0.0);
        let active = terms.steps.active(0..terms.shape.batch, terms.some.clone());
        let of_part = scratch_len(&terms.shape, context.isa().lanes(), active.len().min(MAX_TERMS));
        let (weight_ih, weight_hh) = (to.weight_ih.as_mut_ptr(), to.weight_hh.as_mut_ptr());
        let sums = Sums { weight_ih, weight_hh, bias: bias.start(), fresh: terms.fresh, pairs: terms.pairs };
        Late { terms, active, scratch: context.pool().take(parts * of_part), of_part, parts, bias, sums }
    }
}

// SAFETY: what is pointed to outlives the parts, and every part writes its own units only.
unsafe impl Sync for Late<'_> {}

struct LatePart<'a, C> {
    late: &'a Late<'a>,
    part: usize,
    cell: PhantomData<C>,
}

impl<C: Cell> Kernel for LatePart<'_, C> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Late { terms, ref active, ref scratch, of_part, parts, mut sums, .. } = *self.late;
        let units = share(terms.shape.hidden, parts, self.part);
        let scratch = scratch.start().wrapping_add(self.part * of_part);
        let rounds = active.len().div_ceil(MAX_TERMS).max(1);
        let mut some = Vec::with_capacity(active.len().min(MAX_TERMS));
        for round in 0..rounds {
            some.clear();
            some.extend(active[share(active.len(), rounds, round)].iter().map(|&at| terms.term(at)));
            // SAFETY: passed on from the caller.
            unsafe { add_terms::<C, V>(&terms.shape, &terms.layout, units.clone(), &some, scratch, &sums) };
            sums.fresh = false;
        }
    }
}
