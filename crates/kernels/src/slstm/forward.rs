//! The sLSTM forward.

use std::ptr::{null, null_mut, write_bytes};

use super::{GATES, Group, KEPT, ROWS, STATES, Shape, cell, reserve_len};
use crate::gemm::transpose::Square;
use crate::matrix::{Left, Matrix, Room, Transpose, multiply_by};
use crate::parallel::share;
use crate::pool::Buffer;
use crate::recurrent::Options;
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// The buffers of a forward pass, all the caller's.
#[derive(Debug)]
pub struct Forward<'a> {
    /// [B, T, 4·H], read: the input's share of the pre-activations.
    pub x: &'a [f32],
    /// [4·H, E], read: R.
    pub weight: &'a [f32],
    /// [4, B, H], read: h, c, n, m before the first step; absent means zeros.
    pub state_0: Option<&'a [f32]>,
    /// [B, T, H], written: h.
    pub y: &'a mut [f32],
    /// [4, B, H], written where wanted: the state after each row's last step.
    pub state_n: Option<&'a mut [f32]>,
    /// [`reserve_len`], written in training.
    pub reserve: Option<&'a mut [f32]>,
}

/// Runs over all steps.
pub fn forward(context: &Context, shape: &Shape, options: Options, buffers: Forward) -> Result<(), Error> {
    shape.check(
        options,
        &[
            ("x", "B*T*4*H", shape.y_len() * GATES, Some(buffers.x.len())),
            ("weight", "4*H*E", shape.weight_len(), Some(buffers.weight.len())),
            ("state_0", "4*B*H", shape.state_len(), buffers.state_0.map(<[f32]>::len)),
            ("y", "B*T*H", shape.y_len(), Some(buffers.y.len())),
            ("state_n", "4*B*H", shape.state_len(), buffers.state_n.as_deref().map(<[f32]>::len)),
            ("reserve", "what reserve_len says", reserve_len(shape), buffers.reserve.as_deref().map(<[f32]>::len)),
        ],
    )?;
    let groups = Group::count(shape);
    let tasks = context.parallel().threads().min(groups);
    let scratch = Scratch::new(shape, null_mut()).1;
    let pass = Pass {
        shape: *shape,
        options,
        groups,
        tasks,
        x: buffers.x.as_ptr(),
        weight: buffers.weight.as_ptr(),
        state_0: buffers.state_0.map_or(null(), <[f32]>::as_ptr),
        y: buffers.y.as_mut_ptr(),
        state_n: buffers.state_n.map_or(null_mut(), <[f32]>::as_mut_ptr),
        reserve: buffers.reserve.map_or(null_mut(), <[f32]>::as_mut_ptr),
        memory: context.pool().take(tasks * scratch),
        scratch,
    };
    // SAFETY: the context vouches for the instruction set, the checks for the buffers; tasks write disjoint rows and heads.
    context.parallel().run(tasks, &|task| unsafe { context.isa().run(Task { pass: &pass, task }) });
    Ok(())
}

struct Pass<'a> {
    shape: Shape,
    options: Options<'a>,
    groups: usize,
    tasks: usize,
    x: *const f32,
    weight: *const f32,
    state_0: *const f32,
    y: *mut f32,
    state_n: *mut f32,
    reserve: *mut f32,
    memory: Buffer,
    /// Floats of a task.
    scratch: usize,
}

// SAFETY: the pointers come from slices that outlive the pass; every task writes its own groups and its own scratch only.
unsafe impl Sync for Pass<'_> {}

struct Scratch {
    /// Rᵀ of the head, [E, 4·E], gates padded.
    weight: Matrix,
    /// [rows, 4·E], gates padded.
    sums: Matrix,
    /// h, c, n, m, [rows, E] each.
    states: [Matrix; STATES],
}

impl Scratch {
    /// The matrices from `start` on, and how many floats they take.
    fn new(shape: &Shape, start: *mut f32) -> (Scratch, usize) {
        let mut room = Room::new(start);
        let wide = shape.wide();
        let mut matrix = |rows: usize, stride: usize| Matrix { start: room.take(rows * stride), stride };
        let (weight, sums) = (matrix(shape.size, GATES * wide), matrix(ROWS, GATES * wide));
        let states = std::array::from_fn(|_| matrix(ROWS, wide));
        (Scratch { weight, sums, states }, room.taken)
    }
}

struct Task<'a> {
    pass: &'a Pass<'a>,
    task: usize,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let pass = self.pass;
        let (Scratch { weight, sums, states }, _) = Scratch::new(&pass.shape, pass.memory.start().wrapping_add(self.task * pass.scratch));
        let (size, wide, hidden) = (pass.shape.size, pass.shape.wide(), pass.shape.hidden());
        let mut square = Square::new();
        for index in share(pass.groups, pass.tasks, self.task) {
            let group = Group::new(&pass.shape, pass.options, index);
            // SAFETY: the rows and units of the group lie within every buffer, the matrices within the task's scratch.
            unsafe {
                for gate in 0..GATES {
                    let start = pass.weight.add((gate * hidden + group.head * size) * size).cast_mut();
                    let to = Matrix { start: weight.start.add(gate * wide), stride: weight.stride };
                    V::call(Transpose { square: &mut square, from: Matrix { start, stride: size }, size: (size, size), to });
                }
                for r in 0..group.rows {
                    for i in 0..STATES {
                        let from = if pass.state_0.is_null() { null() } else { pass.state_0.add(group.state_at(r, i)) };
                        copy::<V>(from, size, states[i].row(r));
                    }
                }
                let panels = weight.panels::<V>(group.rows, GATES * wide);
                for s in 0..pass.shape.time {
                    for r in 0..group.rows {
                        for gate in 0..GATES {
                            copy::<V>(pass.x.add(group.gates_at(r, s) + gate * hidden), size, sums.row(r).add(gate * wide));
                        }
                    }
                    multiply_by::<V>(Left::Rows(states[0]), &panels, (group.rows, size), sums, true);
                    for r in 0..group.rows {
                        if s >= group.len(r) {
                            write_bytes(pass.y.add(group.at(r, s)), 0, size);
                            continue;
                        }
                        self.step::<V>(&group, (r, s), sums, states);
                    }
                }
                if !pass.state_n.is_null() {
                    for r in 0..group.rows {
                        for i in 0..STATES {
                            std::ptr::copy_nonoverlapping(states[i].row(r), pass.state_n.add(group.state_at(r, i)), size);
                        }
                    }
                }
            }
        }
    }
}

impl Task<'_> {
    /// One step of a row, from its sums.
    #[inline(always)]
    unsafe fn step<V: Vector>(&self, group: &Group, (r, s): (usize, usize), sums: Matrix, states: [Matrix; STATES]) {
        let (size, wide) = (group.shape.size, group.shape.wide());
        let [h, c, n, m] = states.map(|state| state.row(r));
        // SAFETY: passed on from the caller.
        unsafe {
            let (y, sums) = (self.pass.y.add(group.at(r, s)), sums.row(r));
            for unit in (0..size).step_by(V::LANES) {
                let rest = V::LANES.min(size - unit);
                let gate = |gate: usize| sums.wrapping_add(gate * wide + unit);
                let p = [V::load(gate(0)), V::load(gate(1)), V::load(gate(2)), V::load(gate(3))];
                let before = [V::load(c.add(unit)), V::load(n.add(unit)), V::load(m.add(unit))];
                let (step, next, most) = cell::forward(p, before);
                next.store(h.add(unit));
                next.store_first(y.add(unit), rest);
                step.c.store(c.add(unit));
                step.n.store(n.add(unit));
                most.store(m.add(unit));
                if !self.pass.reserve.is_null() {
                    let to = self.pass.reserve.add(group.kept_at(r, s) + unit);
                    let [i, f, z, o] = step.gates;
                    let kept: [V; KEPT] = [i, f, z, o, step.open, step.c, step.n];
                    for (part, value) in kept.into_iter().enumerate() {
                        value.store(to.add(part * wide));
                    }
                }
            }
        }
    }
}

/// Copies `len` floats to a padded row; zeros where there is nothing.
///
/// # Safety
/// Both hold them.
#[inline(always)]
pub(super) unsafe fn copy<V: Vector>(from: *const f32, len: usize, to: *mut f32) {
    for at in (0..len).step_by(V::LANES) {
        // SAFETY: by the contract.
        unsafe { if from.is_null() { V::zero() } else { V::load_first(from.add(at), V::LANES.min(len - at)) }.store(to.add(at)) };
    }
}
