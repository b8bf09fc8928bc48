//! The gradients of the weights: sums over all steps and rows of dgates ⊗ x and dgates ⊗ h.

use std::ops::Range;

use super::layout::Layout;
use super::{Cell, Shape};
use crate::gemm::outer::{self, PackedRows, Target, add_outer, add_rows, pack_rows, packed_len};
use crate::vector::Vector;

/// One step of one row. Pointers to the gradients of its gates, to I floats of x and to H floats of the state before.
#[derive(Clone, Copy)]
pub(super) struct Term {
    pub(super) gates: *const f32,
    pub(super) x: *const f32,
    pub(super) h: *const f32,
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
}

/// Scratch floats for up to `terms` terms.
pub(super) fn scratch_len(shape: &Shape, lanes: usize, terms: usize) -> usize {
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
        let x = pack_rows::<V>(k, |p| terms[p].x, shape.input, scratch);
        let h = pack_rows::<V>(k, |p| terms[p].h, shape.hidden, h_start);
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
