//! The pass forward in time of recurrences without hidden products.

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::{null, null_mut, write_bytes};

use super::{LinearCell, MAX_INPUTS, Scan, Shape, input_columns};
use crate::bfloat16::{Number, Numbers};
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
pub struct Forward<'a, const N: usize, F = f32> {
    /// Read. For the scan a and b, each [B, T, H]; for a cell with gates one tensor [B, T, G·H].
    pub inputs: [&'a [F]; N],
    /// [B, H], read: the state before the first step; absent means zeros.
    pub y_0: Option<&'a [F]>,
    /// [B, T, H], written.
    pub y: &'a mut [F],
    /// [B, H], written where wanted: y of each row's last step.
    pub y_n: Option<&'a mut [F]>,
}

/// `y_t = a_t ⊙ y_(t-1) + b_t` over all steps; `inputs` are a and b.
pub fn forward<F: Number>(context: &Context, shape: &Shape, options: Options, buffers: Forward<2, F>) -> Result<(), Error> {
    forward_pass::<Scan, 2, F>(context, shape, options, buffers)
}

pub(crate) fn forward_pass<C: LinearCell, const N: usize, F: Number>(
    context: &Context,
    shape: &Shape,
    options: Options,
    buffers: Forward<N, F>,
) -> Result<(), Error> {
    shape.check(C::NAME, options)?;
    let columns = input_columns::<C>(C::NAME, shape, &buffers.inputs.map(<[F]>::len))?;
    Error::check(C::NAME, "y", "B*T*H", shape.len(), buffers.y.len())?;
    for (name, state) in [("y_0", buffers.y_0), ("y_n", buffers.y_n.as_deref())] {
        if let Some(state) = state {
            Error::check(C::NAME, name, "B*H", shape.batch * shape.hidden, state.len())?;
        }
    }
    let split = Split::new(context, shape);
    let pass = Pass::<C, F> {
        shape: *shape,
        options,
        columns,
        inputs: input_pointers(&buffers.inputs, shape.hidden),
        y_0: buffers.y_0.map_or(null(), <[F]>::as_ptr),
        y_n: buffers.y_n.map_or(null_mut(), <[F]>::as_mut_ptr),
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
pub(super) fn input_pointers<const N: usize, F>(inputs: &[&[F]; N], hidden: usize) -> [*const F; MAX_INPUTS] {
    std::array::from_fn(|i| {
        if N == 1 { inputs[0].as_ptr().wrapping_add(i * hidden) } else { inputs.get(i).map_or(null(), |input| input.as_ptr()) }
    })
}

/// Whether to write `to` past the caches: it is large, and every vector of it is aligned.
pub(super) fn streams<F>(shape: &Shape, context: &Context, to: *const F) -> bool {
    let vector = context.isa().lanes() * size_of::<F>();
    shape.len() * size_of::<F>() >= STREAM_FROM
        && (to as usize).is_multiple_of(vector)
        && (shape.hidden * size_of::<F>()).is_multiple_of(vector)
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

struct Pass<'a, C, F> {
    shape: Shape,
    options: Options<'a>,
    /// Columns of H side by side in a row of the inputs.
    columns: usize,
    inputs: [*const F; MAX_INPUTS],
    y_0: *const F,
    y: *mut F,
    y_n: *mut F,
    stream: bool,
    split: Split,
    /// The running state of each task.
    states: Buffer,
    cell: PhantomData<C>,
}

// SAFETY: the pointers come from slices that outlive the pass; every task writes its own rows and units only.
unsafe impl<C: LinearCell, F> Sync for Pass<'_, C, F> {}

struct Task<'a, C, F> {
    pass: &'a Pass<'a, C, F>,
    task: usize,
}

impl<C: LinearCell, F: Number> Kernel for Task<'_, C, F> {
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
                    Numbers::from(self.pass.y_0.add(of_row)).read::<V>(len, state);
                }
                for t in places {
                    let at = (b * shape.time + t) * shape.hidden * self.pass.columns + units.start;
                    self.step::<V>(at, state, y(t), len);
                }
                for t in none {
                    write_bytes(y(t), 0, len);
                }
                if !self.pass.y_n.is_null() {
                    Numbers::from(self.pass.y_n.add(of_row)).write::<V>(len, state);
                }
            }
        }
        // SAFETY: passed on from the caller.
        unsafe { V::fence() };
    }
}

impl<C: LinearCell, F: Number> Task<'_, C, F> {
    /// One step of `len` units, whose inputs are `at` floats after the first.
    #[inline(always)]
    unsafe fn step<V: Vector>(&self, at: usize, state: *mut f32, y: *mut F, len: usize) {
        let whole = len - len % V::LANES;
        // SAFETY: passed on from the caller.
        unsafe {
            for unit in (0..whole).step_by(V::LANES) {
                let mut input = [V::zero(); MAX_INPUTS];
                for i in 0..C::INPUTS {
                    input[i] = F::load(self.pass.inputs[i].add(at + unit), V::LANES);
                }
                let value = C::forward(input, V::load(state.add(unit)));
                value.store(state.add(unit));
                if self.pass.stream {
                    F::stream(value, y.add(unit));
                } else {
                    F::store(value, y.add(unit), V::LANES);
                }
            }
            if whole < len {
                let mut input = [V::zero(); MAX_INPUTS];
                for i in 0..C::INPUTS {
                    input[i] = F::load(self.pass.inputs[i].add(at + whole), len - whole);
                }
                let value = C::forward(input, V::load(state.add(whole)));
                value.store(state.add(whole));
                F::store(value, y.add(whole), len - whole);
            }
        }
    }
}
