//! The pass forward in time of recurrences without hidden products.

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::{copy_nonoverlapping, null, null_mut, write_bytes};

use super::{LinearCell, MAX_INPUTS, Scan, Shape, input_columns};
use crate::parallel::share;
use crate::pool::Buffer;
use crate::recurrent::Options;
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// From this size on, outputs are written past the caches: they would not stay there until somebody reads them.
const STREAM_FROM: usize = 1 << 20;
/// Below this size a second thread costs more than it saves.
const PARALLEL_FROM: usize = 64 << 10;

/// The buffers of a forward pass, all the caller's.
#[derive(Debug)]
pub struct Forward<'a, const N: usize> {
    /// Read. For the scan a and b, each [B, T, H]; for a cell with gates one tensor [B, T, G·H].
    pub inputs: [&'a [f32]; N],
    /// [B, H], read: the state before the first step; absent means zeros.
    pub y_0: Option<&'a [f32]>,
    /// [B, T, H], written.
    pub y: &'a mut [f32],
    /// [B, H], written where wanted: y of each row's last step.
    pub y_n: Option<&'a mut [f32]>,
}

/// `y_t = a_t ⊙ y_(t-1) + b_t` over all steps; `inputs` are a and b.
pub fn forward(context: &Context, shape: &Shape, options: Options, buffers: Forward<2>) -> Result<(), Error> {
    forward_pass::<Scan, 2>(context, shape, options, buffers)
}

pub(crate) fn forward_pass<C: LinearCell, const N: usize>(
    context: &Context,
    shape: &Shape,
    options: Options,
    buffers: Forward<N>,
) -> Result<(), Error> {
    shape.check(C::NAME, options)?;
    let columns = input_columns::<C>(C::NAME, shape, &buffers.inputs.map(<[f32]>::len))?;
    Error::check(C::NAME, "y", "B*T*H", shape.len(), buffers.y.len())?;
    for (name, state) in [("y_0", buffers.y_0), ("y_n", buffers.y_n.as_deref())] {
        if let Some(state) = state {
            Error::check(C::NAME, name, "B*H", shape.batch * shape.hidden, state.len())?;
        }
    }
    let split = Split::new(context, shape);
    let pass = Pass::<C> {
        shape: *shape,
        options,
        columns,
        inputs: input_pointers(&buffers.inputs, shape.hidden),
        y_0: buffers.y_0.map_or(null(), <[f32]>::as_ptr),
        y_n: buffers.y_n.map_or(null_mut(), <[f32]>::as_mut_ptr),
        stream: streams(shape, context, buffers.y.as_ptr()),
        y: buffers.y.as_mut_ptr(),
        states: split.states(context),
        split,
        cell: PhantomData,
    };
    // SAFETY: the context vouches for the instruction set, the checks for the buffers; tasks write disjoint rows or units.
    context.parallel().run(split.tasks, &|task| unsafe { context.isa().run(Task { pass: &pass, task }) });
    Ok(())
}

/// Pointers to each input of unit 0 at the first step of row 0.
pub(super) fn input_pointers<const N: usize>(inputs: &[&[f32]; N], hidden: usize) -> [*const f32; MAX_INPUTS] {
    std::array::from_fn(|i| {
        if N == 1 { inputs[0].as_ptr().wrapping_add(i * hidden) } else { inputs.get(i).map_or(null(), |input| input.as_ptr()) }
    })
}

/// Whether to write `to` past the caches: it is large, and every vector of it is aligned.
pub(super) fn streams(shape: &Shape, context: &Context, to: *const f32) -> bool {
    let vector = context.isa().lanes() * size_of::<f32>();
    shape.len() * size_of::<f32>() >= STREAM_FROM
        && (to as usize).is_multiple_of(vector)
        && (shape.hidden * size_of::<f32>()).is_multiple_of(vector)
}

/// How rows and units are dealt out.
#[derive(Clone, Copy)]
pub(crate) struct Split {
    pub(crate) tasks: usize,
    /// Pieces of the units of each row.
    pieces: usize,
    batch: usize,
    hidden: usize,
}

/// Units of a piece start at whole vectors, whatever the instruction set.
const UNIT: usize = 16;

impl Split {
    pub(crate) fn new(context: &Context, shape: &Shape) -> Split {
        let threads = if shape.len() * size_of::<f32>() < PARALLEL_FROM { 1 } else { context.parallel().threads() };
        let pieces = threads.div_ceil(shape.batch.max(1)).min(shape.hidden.div_ceil(4 * UNIT)).max(1);
        Split { tasks: threads.min(shape.batch * pieces), pieces, batch: shape.batch, hidden: shape.hidden }
    }

    /// Room for the state of one row per task.
    pub(super) fn states(&self, context: &Context) -> Buffer {
        context.pool().take(self.tasks * self.state_len())
    }

    pub(crate) fn state_len(&self) -> usize {
        self.hidden.next_multiple_of(UNIT)
    }

    /// The rows of a task, each with its units.
    pub(crate) fn work(&self, task: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
        let Split { tasks, pieces, batch, hidden } = *self;
        share(batch * pieces, tasks, task).map(move |item| {
            let blocks = share(hidden.div_ceil(UNIT), pieces, item % pieces);
            (item / pieces, blocks.start * UNIT..(blocks.end * UNIT).min(hidden))
        })
    }
}

/// The places of one row's real steps in the order they are computed, and those without a step.
pub(crate) fn places(shape: &Shape, options: Options, b: usize) -> (impl DoubleEndedIterator<Item = usize> + Clone, Range<usize>) {
    let len = options.lengths.map_or(shape.time, |lengths| usize::try_from(lengths[b]).unwrap_or(0));
    ((0..len).map(move |s| if options.reverse { len - 1 - s } else { s }), len..shape.time)
}

struct Pass<'a, C> {
    shape: Shape,
    options: Options<'a>,
    /// Columns of H side by side in a row of the inputs.
    columns: usize,
    inputs: [*const f32; MAX_INPUTS],
    y_0: *const f32,
    y: *mut f32,
    y_n: *mut f32,
    stream: bool,
    split: Split,
    /// The running state of each task.
    states: Buffer,
    cell: PhantomData<C>,
}

// SAFETY: the pointers come from slices that outlive the pass; every task writes its own rows and units only.
unsafe impl<C: LinearCell> Sync for Pass<'_, C> {}

struct Task<'a, C> {
    pass: &'a Pass<'a, C>,
    task: usize,
}

impl<C: LinearCell> Kernel for Task<'_, C> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Pass { shape, split, .. } = self.pass;
        let state = self.pass.states.start().wrapping_add(self.task * split.state_len());
        for (b, units) in split.work(self.task) {
            let len = units.len();
            let of_row = b * shape.hidden + units.start;
            let (places, none) = places(shape, self.pass.options, b);
            let y = |t: usize| self.pass.y.wrapping_add((b * shape.time + t) * shape.hidden + units.start);
            // SAFETY: the units of each row lie within every buffer, the state within the task's.
            unsafe {
                if self.pass.y_0.is_null() {
                    write_bytes(state, 0, len);
                } else {
                    copy_nonoverlapping(self.pass.y_0.add(of_row), state, len);
                }
                for t in places {
                    let at = (b * shape.time + t) * shape.hidden * self.pass.columns + units.start;
                    self.step::<V>(at, state, y(t), len);
                }
                for t in none {
                    write_bytes(y(t), 0, len);
                }
                if !self.pass.y_n.is_null() {
                    copy_nonoverlapping(state, self.pass.y_n.add(of_row), len);
                }
            }
        }
        // SAFETY: passed on from the caller.
        unsafe { V::fence() };
    }
}

impl<C: LinearCell> Task<'_, C> {
    /// One step of `len` units, whose inputs are `at` floats after the first.
    #[inline(always)]
    unsafe fn step<V: Vector>(&self, at: usize, state: *mut f32, y: *mut f32, len: usize) {
        let whole = len - len % V::LANES;
        // SAFETY: passed on from the caller.
        unsafe {
            for unit in (0..whole).step_by(V::LANES) {
                let mut input = [V::zero(); MAX_INPUTS];
                for i in 0..C::INPUTS {
                    input[i] = V::load(self.pass.inputs[i].add(at + unit));
                }
                let value = C::forward(input, V::load(state.add(unit)));
                value.store(state.add(unit));
                if self.pass.stream {
                    value.stream(y.add(unit));
                } else {
                    value.store(y.add(unit));
                }
            }
            if whole < len {
                let mut input = [V::zero(); MAX_INPUTS];
                for i in 0..C::INPUTS {
                    input[i] = V::load_first(self.pass.inputs[i].add(at + whole), len - whole);
                }
                let value = C::forward(input, V::load(state.add(whole)));
                value.store(state.add(whole));
                value.store_first(y.add(whole), len - whole);
            }
        }
    }
}
