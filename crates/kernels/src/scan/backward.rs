//! The pass backward in time of recurrences without hidden products.

use std::marker::PhantomData;
use std::ptr::{null, null_mut, write_bytes};

use super::forward::{Split, input_pointers, places, streams};
use super::{LinearCell, MAX_INPUTS, Scan, Shape, input_columns};
use crate::bfloat16::{Number, Numbers};
use crate::pool::Buffer;
use crate::recurrent::Options;
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// The buffers of a backward pass, all the caller's.
#[derive(Debug)]
pub struct Backward<'a, const N: usize, F = f32> {
    /// As given to forward, read.
    pub inputs: [&'a [F]; N],
    /// As given to forward, read.
    pub y_0: Option<&'a [F]>,
    /// [B, T, H] as forward wrote it, read.
    pub y: &'a [F],
    /// [B, T, H], read; absent means zeros.
    pub dy: Option<&'a [F]>,
    /// [B, H], read; absent means zeros.
    pub dy_n: Option<&'a [F]>,
    /// As `inputs`, written.
    pub dinputs: [&'a mut [F]; N],
    /// [B, H], written where wanted.
    pub dy_0: Option<&'a mut [F]>,
}

/// The gradients of a, b and y_0.
pub fn backward<F: Number>(context: &Context, shape: &Shape, options: Options, buffers: Backward<2, F>) -> Result<(), Error> {
    backward_pass::<Scan, 2, F>(context, shape, options, buffers)
}

pub(crate) fn backward_pass<C: LinearCell, const N: usize, F: Number>(
    context: &Context,
    shape: &Shape,
    options: Options,
    buffers: Backward<N, F>,
) -> Result<(), Error> {
    shape.check(C::NAME, options)?;
    let columns = input_columns::<C>(C::NAME, shape, &buffers.inputs.map(<[F]>::len))?;
    let outputs: [&[F]; N] = buffers.dinputs.each_ref().map(|output| &**output);
    input_columns::<C>(C::NAME, shape, &outputs.map(<[F]>::len))?;
    let state = shape.batch * shape.hidden;
    for (name, letters, expected, slice) in [
        ("y", "B*T*H", shape.len(), Some(buffers.y)),
        ("dy", "B*T*H", shape.len(), buffers.dy),
        ("y_0", "B*H", state, buffers.y_0),
        ("dy_n", "B*H", state, buffers.dy_n),
        ("dy_0", "B*H", state, buffers.dy_0.as_deref()),
    ] {
        if let Some(slice) = slice {
            Error::check(C::NAME, name, letters, expected, slice.len())?;
        }
    }
    let split = Split::new(context, shape);
    let pass = Pass::<C, F> {
        shape: *shape,
        options,
        columns,
        inputs: input_pointers(&buffers.inputs, shape.hidden),
        stream: outputs.iter().all(|output| streams(shape, context, output.as_ptr())),
        dinputs: input_pointers(&outputs, shape.hidden).map(<*const F>::cast_mut),
        y_0: buffers.y_0.map_or(null(), <[F]>::as_ptr),
        y: buffers.y.as_ptr(),
        dy: buffers.dy.map_or(null(), <[F]>::as_ptr),
        dy_n: buffers.dy_n.map_or(null(), <[F]>::as_ptr),
        dy_0: buffers.dy_0.map_or(null_mut(), <[F]>::as_mut_ptr),
        states: split.states(context),
        zeros: {
            let mut zeros = context.pool().take(shape.hidden);
            zeros.fill(0.0);
            zeros
        },
        split,
        cell: PhantomData,
    };
    // SAFETY: the context vouches for the instruction set, the checks for the buffers; tasks write disjoint rows or units.
    context.parallel().run(split.tasks, &|task| unsafe { context.isa().run(Task { pass: &pass, task }) });
    Ok(())
}

struct Pass<'a, C, F> {
    shape: Shape,
    options: Options<'a>,
    /// Columns of H side by side in a row of the inputs and of their gradients.
    columns: usize,
    inputs: [*const F; MAX_INPUTS],
    dinputs: [*mut F; MAX_INPUTS],
    y_0: *const F,
    y: *const F,
    dy: *const F,
    dy_n: *const F,
    dy_0: *mut F,
    stream: bool,
    split: Split,
    /// The gradient of the running state of each task.
    states: Buffer,
    /// [H], in place of a dy or y_0 that is absent: zeros of either type.
    zeros: Buffer,
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
        let Pass { shape, split, columns, zeros, .. } = self.pass;
        let state = self.pass.states.start().wrapping_add(self.task * split.state_len());
        for (b, units) in split.work(self.task) {
            let len = units.len();
            let of_row = b * shape.hidden + units.start;
            let (places, none) = places(shape, self.pass.options, b);
            let row = |t: usize| (b * shape.time + t) * shape.hidden + units.start;
            let inputs = |t: usize| (b * shape.time + t) * shape.hidden * columns + units.start;
            let or_zeros = |from: *const F, at: usize| {
                if from.is_null() { zeros.as_ptr().cast::<F>().wrapping_add(units.start) } else { from.wrapping_add(at) }
            };
            // SAFETY: the units of each row lie within every buffer, the state within the task's.
            unsafe {
                Numbers::from(or_zeros(self.pass.dy_n, of_row)).read::<V>(len, state);
                let mut earlier = places.clone().rev().skip(1);
                for t in places.rev() {
                    let before = match earlier.next() {
                        Some(t) => self.pass.y.wrapping_add(row(t)),
                        None => or_zeros(self.pass.y_0, of_row),
                    };
                    self.step::<V>(inputs(t), before, or_zeros(self.pass.dy, row(t)), state, len);
                }
                for t in none {
                    for i in 0..C::INPUTS {
                        write_bytes(self.pass.dinputs[i].add(inputs(t)), 0, len);
                    }
                }
                if !self.pass.dy_0.is_null() {
                    Numbers::from(self.pass.dy_0.add(of_row)).write::<V>(len, state);
                }
            }
        }
        // SAFETY: passed on from the caller.
        unsafe { V::fence() };
    }
}

impl<C: LinearCell, F: Number> Task<'_, C, F> {
    /// One step back of `len` units, whose inputs are `at` floats after the first.
    #[inline(always)]
    unsafe fn step<V: Vector>(&self, at: usize, before: *const F, dy: *const F, state: *mut f32, len: usize) {
        let whole = len - len % V::LANES;
        // SAFETY: passed on from the caller.
        unsafe {
            for unit in (0..whole).step_by(V::LANES) {
                let mut input = [V::zero(); MAX_INPUTS];
                for i in 0..C::INPUTS {
                    input[i] = F::load(self.pass.inputs[i].add(at + unit), V::LANES);
                }
                let dy = F::load::<V>(dy.add(unit), V::LANES).add(V::load(state.add(unit)));
                let (dinput, dbefore) = C::backward(input, F::load(before.add(unit), V::LANES), dy);
                dbefore.store(state.add(unit));
                for i in 0..C::INPUTS {
                    let to = self.pass.dinputs[i].add(at + unit);
                    if self.pass.stream {
                        F::stream(dinput[i], to);
                    } else {
                        F::store(dinput[i], to, V::LANES);
                    }
                }
            }
            if whole < len {
                let rest = len - whole;
                let mut input = [V::zero(); MAX_INPUTS];
                for i in 0..C::INPUTS {
                    input[i] = F::load(self.pass.inputs[i].add(at + whole), rest);
                }
                let dy = F::load::<V>(dy.add(whole), rest).add(V::load(state.add(whole)));
                let (dinput, dbefore) = C::backward(input, F::load(before.add(whole), rest), dy);
                dbefore.store(state.add(whole));
                for i in 0..C::INPUTS {
                    F::store(dinput[i], self.pass.dinputs[i].add(at + whole), rest);
                }
            }
        }
    }
}
