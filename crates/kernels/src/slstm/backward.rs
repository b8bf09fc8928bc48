//! The sLSTM backward: steps from the last to the first, the gradient of R from some steps at a time.

use std::ptr::{copy_nonoverlapping, null, null_mut, write_bytes};

use super::forward::copy;
use super::{GATES, Group, KEPT, ROWS, STATES, Shape, cell, reserve_len};
use crate::matrix::{Left, Matrix, Room, multiply, multiply_by};
use crate::parallel::share;
use crate::pool::Buffer;
use crate::recurrent::Options;
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// Steps whose share of the gradient of R is summed at once: each sum is read and written once for all of them.
const STRETCH: usize = 16;

/// The buffers of a backward pass, all the caller's.
#[derive(Debug)]
pub struct Backward<'a> {
    /// As given to forward, read.
    pub weight: &'a [f32],
    pub state_0: Option<&'a [f32]>,
    /// As forward wrote them, read.
    pub y: &'a [f32],
    pub reserve: &'a [f32],
    /// [B, T, H], read; absent means zeros.
    pub dy: Option<&'a [f32]>,
    /// [4, B, H], read; absent means zeros.
    pub dstate_n: Option<&'a [f32]>,
    /// As `x` and `weight`, written.
    pub dx: &'a mut [f32],
    pub dweight: &'a mut [f32],
    /// [4, B, H], written where wanted.
    pub dstate_0: Option<&'a mut [f32]>,
}

/// The gradients of all that forward read.
pub fn backward(context: &Context, shape: &Shape, options: Options, buffers: Backward) -> Result<(), Error> {
    shape.check(
        options,
        &[
            ("weight", "4*H*E", shape.weight_len(), Some(buffers.weight.len())),
            ("state_0", "4*B*H", shape.state_len(), buffers.state_0.map(<[f32]>::len)),
            ("y", "B*T*H", shape.y_len(), Some(buffers.y.len())),
            ("reserve", "what reserve_len says", reserve_len(shape), Some(buffers.reserve.len())),
            ("dy", "B*T*H", shape.y_len(), buffers.dy.map(<[f32]>::len)),
            ("dstate_n", "4*B*H", shape.state_len(), buffers.dstate_n.map(<[f32]>::len)),
            ("dx", "B*T*4*H", shape.y_len() * GATES, Some(buffers.dx.len())),
            ("dweight", "4*H*E", shape.weight_len(), Some(buffers.dweight.len())),
            ("dstate_0", "4*B*H", shape.state_len(), buffers.dstate_0.as_deref().map(<[f32]>::len)),
        ],
    )?;
    let groups = Group::count(shape);
    let tasks = context.parallel().threads().min(groups);
    let scratch = Scratch::new(shape, null_mut()).1;
    let (size, wide) = (shape.size, shape.wide());
    let pass = Pass {
        shape: *shape,
        options,
        groups,
        tasks,
        weight: buffers.weight.as_ptr(),
        state_0: buffers.state_0.map_or(null(), <[f32]>::as_ptr),
        y: buffers.y.as_ptr(),
        reserve: buffers.reserve.as_ptr(),
        dy: buffers.dy.map_or(null(), <[f32]>::as_ptr),
        dstate_n: buffers.dstate_n.map_or(null(), <[f32]>::as_ptr),
        dx: buffers.dx.as_mut_ptr(),
        dstate_0: buffers.dstate_0.map_or(null_mut(), <[f32]>::as_mut_ptr),
        dweights: context.pool().take(groups * GATES * wide * wide),
        memory: context.pool().take(tasks * scratch),
        scratch,
    };
    // SAFETY: the context vouches for the instruction set, the checks for the buffers; tasks write disjoint rows and heads.
    context.parallel().run(tasks, &|task| unsafe { context.isa().run(Task { pass: &pass, task }) });
    // Group by group, so that sums do not depend on threads.
    buffers.dweight.fill(0.0);
    for index in 0..groups {
        let head = index % shape.heads;
        for (gate, unit) in (0..GATES).flat_map(|gate| (0..size).map(move |unit| (gate, unit))) {
            let from = &pass.dweights[((index * GATES + gate) * wide + unit) * wide..][..size];
            let to = &mut buffers.dweight[((gate * shape.heads + head) * size + unit) * size..][..size];
            to.iter_mut().zip(from).for_each(|(sum, d)| *sum += d);
        }
    }
    Ok(())
}

struct Pass<'a> {
    shape: Shape,
    options: Options<'a>,
    groups: usize,
    tasks: usize,
    weight: *const f32,
    state_0: *const f32,
    y: *const f32,
    reserve: *const f32,
    dy: *const f32,
    dstate_n: *const f32,
    dx: *mut f32,
    dstate_0: *mut f32,
    /// The gradients of R of each group, [4·E, E], padded.
    dweights: Buffer,
    memory: Buffer,
    /// Floats of a task.
    scratch: usize,
}

// SAFETY: the pointers come from slices that outlive the pass; every task writes its own groups and its own scratch only.
unsafe impl Sync for Pass<'_> {}

struct Scratch {
    /// R of the head, [4·E, E], gates padded with rows of zeros.
    weight: Matrix,
    /// The gradients of the pre-activations of a stretch, [steps · rows, 4·E], gates padded; beyond the units zeros.
    dsums: Matrix,
    /// h before each of these steps, [steps · rows, E].
    before: Matrix,
    /// The gradients of h, c, n, m, [rows, E] each.
    dstates: [Matrix; STATES],
    /// [E] of zeros.
    zeros: *mut f32,
}

impl Scratch {
    /// The matrices from `start` on, and how many floats they take.
    fn new(shape: &Shape, start: *mut f32) -> (Scratch, usize) {
        let mut room = Room::new(start);
        let wide = shape.wide();
        let mut matrix = |rows: usize, stride: usize| Matrix { start: room.take(rows * stride), stride };
        let (weight, dsums) = (matrix(GATES * wide, wide), matrix(STRETCH * ROWS, GATES * wide));
        let (before, zeros) = (matrix(STRETCH * ROWS, wide), matrix(1, wide).start);
        let dstates = std::array::from_fn(|_| matrix(ROWS, wide));
        (Scratch { weight, dsums, before, dstates, zeros }, room.taken)
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
        let (scratch, _) = Scratch::new(&pass.shape, pass.memory.start().wrapping_add(self.task * pass.scratch));
        let Scratch { weight, dsums, before, dstates, zeros } = scratch;
        let (size, wide, hidden) = (pass.shape.size, pass.shape.wide(), pass.shape.hidden());
        for index in share(pass.groups, pass.tasks, self.task) {
            let group = Group::new(&pass.shape, pass.options, index);
            let rows = group.rows;
            // SAFETY: the rows and units of the group lie within every buffer, the matrices within the task's scratch.
            unsafe {
                write_bytes(zeros, 0, wide);
                write_bytes(weight.start, 0, GATES * wide * wide);
                for (gate, unit) in (0..GATES).flat_map(|gate| (0..size).map(move |unit| (gate, unit))) {
                    let from = pass.weight.add((gate * hidden + group.head * size + unit) * size);
                    copy_nonoverlapping(from, weight.row(gate * wide + unit), size);
                }
                for r in 0..rows {
                    for i in 0..STATES {
                        let from = if pass.dstate_n.is_null() { null() } else { pass.dstate_n.add(group.state_at(r, i)) };
                        copy::<V>(from, size, dstates[i].row(r));
                    }
                }
                let dweight = Matrix { start: pass.dweights.start().add(index * GATES * wide * wide), stride: wide };
                write_bytes(dweight.start, 0, GATES * wide * wide);
                let panels = weight.panels::<V>(rows, size);
                let mut s = pass.shape.time;
                while s > 0 {
                    let steps = STRETCH.min(s);
                    for at in 0..steps {
                        s -= 1;
                        let now = Matrix { start: dsums.row(at * rows), ..dsums };
                        for r in 0..rows {
                            self.step::<V>(&group, (r, s), now.row(r), before.row(at * rows + r), &scratch);
                        }
                        multiply_by::<V>(Left::Rows(now), &panels, (rows, GATES * wide), dstates[0], true);
                    }
                    multiply::<V>(Left::Columns(dsums), before, (GATES * wide, steps * rows, size), dweight, true);
                }
                if !pass.dstate_0.is_null() {
                    for r in 0..rows {
                        for i in 0..STATES {
                            copy_nonoverlapping(dstates[i].row(r), pass.dstate_0.add(group.state_at(r, i)), size);
                        }
                    }
                }
            }
        }
    }
}

impl Task<'_> {
    /// One step back of a row: leaves of the gradient of h only what does not go through the sums, and writes theirs and h before.
    #[inline(always)]
    unsafe fn step<V: Vector>(&self, group: &Group, (r, s): (usize, usize), dsums: *mut f32, before: *mut f32, scratch: &Scratch) {
        let (size, wide, hidden) = (group.shape.size, group.shape.wide(), group.shape.hidden());
        let pass = self.pass;
        // SAFETY: passed on from the caller.
        unsafe {
            let dx = pass.dx.add(group.gates_at(r, s));
            if s >= group.len(r) {
                write_bytes(dsums, 0, GATES * wide);
                write_bytes(before, 0, wide);
                for gate in 0..GATES {
                    write_bytes(dx.add(gate * hidden), 0, size);
                }
                return;
            }
            // h, c and n before the step.
            let first = |i: usize| {
                if pass.state_0.is_null() { scratch.zeros.cast_const() } else { pass.state_0.wrapping_add(group.state_at(r, i)) }
            };
            let part = |s: usize, i: usize| pass.reserve.wrapping_add(group.kept_at(r, s) + i * wide);
            let [h_before, c_before, n_before] = if s == 0 {
                [first(0), first(1), first(2)]
            } else {
                [pass.y.add(group.at(r, s - 1)), part(s - 1, KEPT - 2), part(s - 1, KEPT - 1)]
            };
            copy::<V>(h_before, size, before);
            let [dh, dc, dn, dm] = scratch.dstates.map(|state| state.row(r));
            let dy = if pass.dy.is_null() { scratch.zeros.cast_const() } else { pass.dy.add(group.at(r, s)) };
            for unit in (0..size).step_by(V::LANES) {
                let rest = V::LANES.min(size - unit);
                let mut kept = [V::zero(); KEPT];
                for i in 0..KEPT {
                    kept[i] = V::load(part(s, i).add(unit));
                }
                let [i, f, z, o, open, c, n] = kept;
                let earlier = [V::load_first(c_before.add(unit), rest), V::load_first(n_before.add(unit), rest)];
                let dstate = [V::load(dc.add(unit)), V::load(dn.add(unit)), V::load(dm.add(unit))];
                let d = V::load(dh.add(unit)).add(V::load_first(dy.add(unit), rest));
                let step = cell::Step { gates: [i, f, z, o], open, c, n };
                let (dp, [dc_before, dn_before, dm_before]) = cell::backward(&step, earlier, d, dstate);
                for (gate, dp) in dp.into_iter().enumerate() {
                    dp.first(rest).store(dsums.add(gate * wide + unit));
                    dp.store_first(dx.add(gate * hidden + unit), rest);
                }
                V::zero().store(dh.add(unit));
                dc_before.store(dc.add(unit));
                dn_before.store(dn.add(unit));
                dm_before.store(dm.add(unit));
            }
        }
    }
}
