//! The pass forward in time of recurrences with diagonal weights, one step after the other.

use std::marker::PhantomData;
use std::ptr::{copy_nonoverlapping, null, null_mut, write_bytes};

use super::{DiagonalCell, GATES, MAX_STATES, Solver, check, load_gates, load_weights, newton, reserve_len};
use crate::pool::Buffer;
use crate::recurrent::Options;
use crate::scan::{Shape, Split, places};
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// The buffers of a forward pass, all the caller's.
#[derive(Debug)]
pub struct Forward<'a> {
    /// [B, T, 3·H], read: the pre-activations, a linear map of the input.
    pub p: &'a [f32],
    /// [W, H], read: the weights of the state.
    pub weight: &'a [f32],
    /// h and, where the cell has one, c before the first step, [B, H] each, read; absent means zeros.
    pub state_0: [Option<&'a [f32]>; MAX_STATES],
    /// [B, T, H], written: h.
    pub y: &'a mut [f32],
    /// The state after each row's last step, [B, H] each, written where wanted.
    pub state_n: [Option<&'a mut [f32]>; MAX_STATES],
    /// What `reserve_len` of the cell says, written in training.
    pub reserve: Option<&'a mut [f32]>,
}

/// Runs over all steps. Returns how many rows Newton's method did not solve.
pub(crate) fn forward_pass<C: DiagonalCell>(
    context: &Context,
    shape: &Shape,
    options: Options,
    solver: Solver,
    buffers: Forward,
) -> Result<usize, Error> {
    let Shape { batch, time, hidden } = *shape;
    let (steps, state) = (batch * time * hidden, batch * hidden);
    let [h_0, c_0] = buffers.state_0;
    let [h_n, c_n] = buffers.state_n;
    check::<C>(
        shape,
        options,
        &[
            ("p", "B*T*3*H", steps * GATES, Some(buffers.p.len())),
            ("weight", "W*H", C::WEIGHTS * hidden, Some(buffers.weight.len())),
            ("h_0", "B*H", state, h_0.map(<[f32]>::len)),
            ("c_0", "B*H", state, c_0.map(<[f32]>::len)),
            ("y", "B*T*H", steps, Some(buffers.y.len())),
            ("h_n", "B*H", state, h_n.as_deref().map(<[f32]>::len)),
            ("c_n", "B*H", state, c_n.as_deref().map(<[f32]>::len)),
            ("reserve", "what reserve_len says", reserve_len::<C>(shape), buffers.reserve.as_deref().map(<[f32]>::len)),
        ],
    )?;
    let mut pass = Pass::<C> {
        shape: *shape,
        options,
        p: buffers.p.as_ptr(),
        weight: buffers.weight.as_ptr(),
        state_0: [h_0, c_0].map(|state| state.map_or(null(), <[f32]>::as_ptr)),
        y: buffers.y.as_mut_ptr(),
        state_n: [h_n, c_n].map(|state| state.map_or(null_mut(), <[f32]>::as_mut_ptr)),
        c: if C::STATES == 2 { buffers.reserve.map_or(null_mut(), <[f32]>::as_mut_ptr) } else { null_mut() },
        done: Vec::new(),
        cell: PhantomData,
    };
    if solver == Solver::Newton {
        pass.done = newton::solve(context, &pass);
    }
    let left = if pass.done.is_empty() { batch } else { pass.done.iter().filter(|&&done| !done).count() };
    if left > 0 {
        let split = Split::new(context, shape);
        let memory = context.pool().take(split.tasks * MAX_STATES * split.state_len());
        // SAFETY: the context vouches for the instruction set, the checks for the buffers; tasks write disjoint rows or units.
        context
            .parallel()
            .run(split.tasks, &|task| unsafe { context.isa().run(Task { pass: &pass, split, memory: &memory, index: task }) });
    }
    Ok(if solver == Solver::Newton { left } else { 0 })
}

pub(super) struct Pass<'a, C> {
    pub(super) shape: Shape,
    pub(super) options: Options<'a>,
    pub(super) p: *const f32,
    pub(super) weight: *const f32,
    pub(super) state_0: [*const f32; MAX_STATES],
    pub(super) y: *mut f32,
    pub(super) state_n: [*mut f32; MAX_STATES],
    /// Where c of every step goes, if it is wanted.
    pub(super) c: *mut f32,
    /// Rows that are done; none are where it is empty.
    done: Vec<bool>,
    pub(super) cell: PhantomData<C>,
}

// SAFETY: the pointers come from slices that outlive the pass; every task writes its own rows and units only.
unsafe impl<C: DiagonalCell> Sync for Pass<'_, C> {}

struct Task<'a, C> {
    pass: &'a Pass<'a, C>,
    split: Split,
    /// The running states of each task.
    memory: &'a Buffer,
    index: usize,
}

impl<C: DiagonalCell> Kernel for Task<'_, C> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Pass { shape, p, y, c, weight, state_0, state_n, .. } = *self.pass;
        let room = self.split.state_len();
        let start = self.memory.start().wrapping_add(self.index * MAX_STATES * room);
        for (b, units) in self.split.work(self.index) {
            if self.pass.done.get(b) == Some(&true) {
                continue;
            }
            let len = units.len();
            let of_row = b * shape.hidden + units.start;
            let (places, none) = places(&shape, self.pass.options, b);
            let at = |t: usize| (b * shape.time + t) * shape.hidden + units.start;
            // SAFETY: the units of each row lie within every buffer, the states within the task's.
            unsafe {
                for i in 0..C::STATES {
                    let to = start.add(i * room);
                    if state_0[i].is_null() {
                        write_bytes(to, 0, len);
                    } else {
                        copy_nonoverlapping(state_0[i].add(of_row), to, len);
                    }
                }
                for t in places {
                    let gates = p.add((b * shape.time + t) * GATES * shape.hidden + units.start);
                    for unit in (0..len).step_by(V::LANES) {
                        let rest = V::LANES.min(len - unit);
                        let mut s = [V::zero(); MAX_STATES];
                        for i in 0..C::STATES {
                            s[i] = V::load(start.add(i * room + unit));
                        }
                        let w = load_weights::<C, V>(weight, shape.hidden, units.start + unit, rest);
                        let s = C::forward(load_gates::<V>(gates.add(unit), shape.hidden, rest), w, s);
                        for i in 0..C::STATES {
                            s[i].store(start.add(i * room + unit));
                        }
                        s[0].store_first(y.add(at(t) + unit), rest);
                        if !c.is_null() {
                            s[1].store_first(c.add(at(t) + unit), rest);
                        }
                    }
                }
                for t in none {
                    write_bytes(y.add(at(t)), 0, len);
                }
                for i in 0..C::STATES {
                    if !state_n[i].is_null() {
                        copy_nonoverlapping(start.add(i * room), state_n[i].add(of_row), len);
                    }
                }
            }
        }
    }
}
