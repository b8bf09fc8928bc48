//! The pass backward in time of recurrences with diagonal weights.

use std::marker::PhantomData;
use std::ptr::{copy_nonoverlapping, null, null_mut, write_bytes};

use super::{DiagonalCell, GATES, MAX_STATES, MAX_WEIGHTS, check, load_gates, load_weights, reserve_len};
use crate::pool::Buffer;
use crate::recurrent::Options;
use crate::scan::{Shape, Split, places};
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// The buffers of a backward pass, all the caller's.
#[derive(Debug)]
pub struct Backward<'a> {
    /// As given to forward, read.
    pub p: &'a [f32],
    pub weight: &'a [f32],
    pub state_0: [Option<&'a [f32]>; MAX_STATES],
    /// As forward wrote them, read.
    pub y: &'a [f32],
    pub reserve: &'a [f32],
    /// [B, T, H], read; absent means zeros.
    pub dy: Option<&'a [f32]>,
    /// [B, H] each, read; absent means zeros.
    pub dstate_n: [Option<&'a [f32]>; MAX_STATES],
    /// As `p` and `weight`, written.
    pub dp: &'a mut [f32],
    pub dweight: &'a mut [f32],
    /// [B, H] each, written where wanted.
    pub dstate_0: [Option<&'a mut [f32]>; MAX_STATES],
}

/// The gradients of all that forward read.
pub(crate) fn backward_pass<C: DiagonalCell>(context: &Context, shape: &Shape, options: Options, buffers: Backward) -> Result<(), Error> {
    let Shape { batch, time, hidden } = *shape;
    let (steps, state, weights) = (batch * time * hidden, batch * hidden, C::WEIGHTS * hidden);
    let [h_0, c_0] = buffers.state_0;
    let [dh_n, dc_n] = buffers.dstate_n;
    let [dh_0, dc_0] = buffers.dstate_0;
    check::<C>(
        shape,
        options,
        &[
            ("p", "B*T*3*H", steps * GATES, Some(buffers.p.len())),
            ("weight", "W*H", weights, Some(buffers.weight.len())),
            ("h_0", "B*H", state, h_0.map(<[f32]>::len)),
            ("c_0", "B*H", state, c_0.map(<[f32]>::len)),
            ("y", "B*T*H", steps, Some(buffers.y.len())),
            ("reserve", "what reserve_len says", reserve_len::<C>(shape), Some(buffers.reserve.len())),
            ("dy", "B*T*H", steps, buffers.dy.map(<[f32]>::len)),
            ("dh_n", "B*H", state, dh_n.map(<[f32]>::len)),
            ("dc_n", "B*H", state, dc_n.map(<[f32]>::len)),
            ("dp", "B*T*3*H", steps * GATES, Some(buffers.dp.len())),
            ("dweight", "W*H", weights, Some(buffers.dweight.len())),
            ("dh_0", "B*H", state, dh_0.as_deref().map(<[f32]>::len)),
            ("dc_0", "B*H", state, dc_0.as_deref().map(<[f32]>::len)),
        ],
    )?;
    let split = Split::new(context, shape);
    let mut zeros = context.pool().take(hidden);
    zeros.fill(0.0);
    let pass = Pass::<C> {
        shape: *shape,
        options,
        p: buffers.p.as_ptr(),
        weight: buffers.weight.as_ptr(),
        state_0: [h_0, c_0].map(|state| state.map_or(null(), <[f32]>::as_ptr)),
        states: [buffers.y.as_ptr(), buffers.reserve.as_ptr()],
        dy: buffers.dy.map_or(null(), <[f32]>::as_ptr),
        dstate_n: [dh_n, dc_n].map(|state| state.map_or(null(), <[f32]>::as_ptr)),
        dp: buffers.dp.as_mut_ptr(),
        dstate_0: [dh_0, dc_0].map(|state| state.map_or(null_mut(), <[f32]>::as_mut_ptr)),
        memory: context.pool().take(split.tasks * MAX_STATES * split.state_len()),
        dweights: context.pool().take(batch * weights),
        zeros,
        split,
        cell: PhantomData,
    };
    // SAFETY: the context vouches for the instruction set, the checks for the buffers; tasks write disjoint rows or units.
    context.parallel().run(split.tasks, &|task| unsafe { context.isa().run(Task { pass: &pass, task }) });
    // Row by row, so that sums do not depend on threads.
    buffers.dweight.fill(0.0);
    for row in pass.dweights.chunks_exact(weights.max(1)) {
        buffers.dweight.iter_mut().zip(row).for_each(|(sum, d)| *sum += d);
    }
    Ok(())
}

struct Pass<'a, C> {
    shape: Shape,
    options: Options<'a>,
    p: *const f32,
    weight: *const f32,
    state_0: [*const f32; MAX_STATES],
    /// h and c after every step.
    states: [*const f32; MAX_STATES],
    dy: *const f32,
    dstate_n: [*const f32; MAX_STATES],
    dp: *mut f32,
    dstate_0: [*mut f32; MAX_STATES],
    split: Split,
    /// The gradients of the running states of each task.
    memory: Buffer,
    /// The gradients of the weights of each row, [B, W, H].
    dweights: Buffer,
    /// [H], in place of what is absent.
    zeros: Buffer,
    cell: PhantomData<C>,
}

// SAFETY: the pointers come from slices that outlive the pass; every task writes its own rows and units only.
unsafe impl<C: DiagonalCell> Sync for Pass<'_, C> {}

struct Task<'a, C> {
    pass: &'a Pass<'a, C>,
    task: usize,
}

impl<C: DiagonalCell> Kernel for Task<'_, C> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Pass { shape, split, p, dp, weight, state_0, states, dy, dstate_n, dstate_0, .. } = *self.pass;
        let room = split.state_len();
        let start = self.pass.memory.start().wrapping_add(self.task * MAX_STATES * room);
        for (b, units) in split.work(self.task) {
            let (len, hidden) = (units.len(), shape.hidden);
            let of_row = b * hidden + units.start;
            let (places, none) = places(&shape, self.pass.options, b);
            let at = |t: usize| (b * shape.time + t) * hidden + units.start;
            let gates = |t: usize| (b * shape.time + t) * GATES * hidden + units.start;
            let zeros = self.pass.zeros.as_ptr().wrapping_add(units.start);
            let or_zeros = |from: *const f32, at: usize| if from.is_null() { zeros } else { from.wrapping_add(at) };
            let dweight = self.pass.dweights.start().wrapping_add(b * C::WEIGHTS * hidden + units.start);
            // SAFETY: the units of each row lie within every buffer, the gradients of states within the task's.
            unsafe {
                for i in 0..C::STATES {
                    copy_nonoverlapping(or_zeros(dstate_n[i], of_row), start.add(i * room), len);
                }
                for i in 0..C::WEIGHTS {
                    write_bytes(dweight.add(i * hidden), 0, len);
                }
                let mut earlier = places.clone().rev().skip(1);
                for t in places.rev() {
                    let earlier = earlier.next();
                    let mut before = [zeros; MAX_STATES];
                    for i in 0..C::STATES {
                        before[i] = earlier.map_or_else(|| or_zeros(state_0[i], of_row), |t| states[i].wrapping_add(at(t)));
                    }
                    let dy = or_zeros(dy, at(t));
                    for unit in (0..len).step_by(V::LANES) {
                        let rest = V::LANES.min(len - unit);
                        let (mut s, mut d) = ([V::zero(); MAX_STATES], [V::zero(); MAX_STATES]);
                        for i in 0..C::STATES {
                            s[i] = V::load_first(before[i].add(unit), rest);
                            d[i] = V::load(start.add(i * room + unit));
                        }
                        d[0] = d[0].add(V::load_first(dy.add(unit), rest));
                        let w: [V; MAX_WEIGHTS] = load_weights::<C, V>(weight, hidden, units.start + unit, rest);
                        let gradients = C::backward(load_gates::<V>(p.add(gates(t) + unit), hidden, rest), w, s, d);
                        for i in 0..C::STATES {
                            gradients.s[i].store(start.add(i * room + unit));
                        }
                        for i in 0..GATES {
                            gradients.p[i].store_first(dp.add(gates(t) + i * hidden + unit), rest);
                        }
                        for i in 0..C::WEIGHTS {
                            let sum = dweight.add(i * hidden + unit);
                            V::load_first(sum, rest).add(gradients.w[i]).store_first(sum, rest);
                        }
                    }
                }
                for t in none {
                    for i in 0..GATES {
                        write_bytes(dp.add(gates(t) + i * hidden), 0, len);
                    }
                }
                for i in 0..C::STATES {
                    if !dstate_0[i].is_null() {
                        copy_nonoverlapping(start.add(i * room), dstate_0[i].add(of_row), len);
                    }
                }
            }
        }
    }
}
