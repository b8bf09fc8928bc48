//! The delta rule forward.

use std::ptr::{copy_nonoverlapping, null, null_mut, write_bytes};

use super::chunk::{Decays, Sizes, Steps, chunks, dot, gather, lower, scale, scale_row};
use super::{CHUNK, Shape, reserve_len};
use crate::gemm::transpose::Square;
use crate::matrix::{Left, Matrix, Room, Transpose, multiply};
use crate::parallel::share;
use crate::pool::Buffer;
use crate::recurrent::Options;
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

/// The buffers of a forward pass, all the caller's.
#[derive(Debug)]
pub struct Forward<'a> {
    /// [B, T, N, E], read.
    pub query: &'a [f32],
    /// [B, T, N, E], read.
    pub key: &'a [f32],
    /// [B, T, N, E'], read.
    pub value: &'a [f32],
    /// [B, T, N], read.
    pub beta: &'a [f32],
    /// [B, T, N], read: α within 0 … 1; absent means ones.
    pub decay: Option<&'a [f32]>,
    /// [B, N, E, E'], read: S before the first step; absent means zeros.
    pub state_0: Option<&'a [f32]>,
    /// [B, T, N, E'], written.
    pub y: &'a mut [f32],
    /// [B, N, E, E'], written where wanted: S after each row's last step.
    pub state_n: Option<&'a mut [f32]>,
    /// [`reserve_len`], written in training.
    pub reserve: Option<&'a mut [f32]>,
}

/// Runs over all steps of all rows and heads, which are independent of one another.
pub fn forward(context: &Context, shape: &Shape, options: Options, buffers: Forward) -> Result<(), Error> {
    let (gates, states) = (shape.gates_len(), shape.state_len());
    shape.check(
        options,
        &[
            ("query", "B*T*N*E", gates * shape.key, Some(buffers.query.len())),
            ("key", "B*T*N*E", gates * shape.key, Some(buffers.key.len())),
            ("value", "B*T*N*E'", gates * shape.value, Some(buffers.value.len())),
            ("beta", "B*T*N", gates, Some(buffers.beta.len())),
            ("decay", "B*T*N", gates, buffers.decay.map(<[f32]>::len)),
            ("state_0", "B*N*E*E'", states, buffers.state_0.map(<[f32]>::len)),
            ("y", "B*T*N*E'", gates * shape.value, Some(buffers.y.len())),
            ("state_n", "B*N*E*E'", states, buffers.state_n.as_deref().map(<[f32]>::len)),
            ("reserve", "what reserve_len says", reserve_len(shape), buffers.reserve.as_deref().map(<[f32]>::len)),
        ],
    )?;
    let sizes = Sizes::new(shape);
    let pairs = shape.batch * shape.heads;
    let tasks = context.parallel().threads().min(pairs);
    let scratch = Scratch::new(&sizes, null_mut()).1;
    let pass = Pass {
        sizes,
        options,
        pairs,
        tasks,
        query: buffers.query.as_ptr(),
        key: buffers.key.as_ptr(),
        value: buffers.value.as_ptr(),
        beta: buffers.beta.as_ptr(),
        decay: buffers.decay.map_or(null(), <[f32]>::as_ptr),
        state_0: buffers.state_0.map_or(null(), <[f32]>::as_ptr),
        y: buffers.y.as_mut_ptr(),
        state_n: buffers.state_n.map_or(null_mut(), <[f32]>::as_mut_ptr),
        reserve: buffers.reserve.map_or(null_mut(), <[f32]>::as_mut_ptr),
        memory: context.pool().take(tasks * scratch),
        scratch,
    };
    // SAFETY: the context vouches for the instruction set, the checks for the buffers; tasks write disjoint heads.
    context.parallel().run(tasks, &|task| unsafe { context.isa().run(Task { pass: &pass, task }) });
    Ok(())
}

struct Pass<'a> {
    sizes: Sizes,
    options: Options<'a>,
    /// Rows times heads.
    pairs: usize,
    tasks: usize,
    query: *const f32,
    key: *const f32,
    value: *const f32,
    beta: *const f32,
    decay: *const f32,
    state_0: *const f32,
    y: *mut f32,
    state_n: *mut f32,
    reserve: *mut f32,
    memory: Buffer,
    /// Floats of a task.
    scratch: usize,
}

// SAFETY: the pointers come from slices that outlive the pass; every task writes its own heads and its own scratch only.
unsafe impl Sync for Pass<'_> {}

/// The matrices of a chunk.
struct Scratch {
    query: Matrix,
    key: Matrix,
    /// Kᵀ [E, C]
    key_t: Matrix,
    /// The products of keys, then M without β.
    m: Matrix,
    p: Matrix,
    decays: Decays,
    /// E, where it is not kept.
    e: Matrix,
    u: Matrix,
    /// D_C ⊙ U
    tail: Matrix,
    /// Q S
    y: Matrix,
    state: Matrix,
    square: Square,
}

impl Scratch {
    /// The matrices from `start` on, and how many floats they take.
    fn new(sizes: &Sizes, start: *mut f32) -> (Scratch, usize) {
        let mut room = Room::new(start);
        let Sizes { key, wide_key, wide_value, .. } = *sizes;
        let mut matrix = |rows: usize, stride: usize| Matrix { start: room.take(rows * stride), stride };
        let mut scratch = Scratch {
            query: matrix(CHUNK, wide_key),
            key: matrix(CHUNK, wide_key),
            key_t: matrix(key, CHUNK),
            m: matrix(CHUNK, CHUNK),
            p: matrix(CHUNK, CHUNK),
            e: matrix(CHUNK, wide_value),
            u: matrix(CHUNK, wide_value),
            tail: matrix(CHUNK, wide_value),
            y: matrix(CHUNK, wide_value),
            state: matrix(key, wide_value),
            decays: Decays { among: Matrix { start: null_mut(), stride: CHUNK }, start: null_mut() },
            square: Square::new(),
        };
        scratch.decays = Decays::take(&mut room);
        (scratch, room.taken)
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
        let Pass { sizes, options, pairs, tasks, scratch, .. } = *self.pass;
        let (mut scratch, _) = Scratch::new(&sizes, self.pass.memory.start().wrapping_add(self.task * scratch));
        let Sizes { time, heads, key, value, wide_value, .. } = sizes;
        for pair in share(pairs, tasks, self.task) {
            let (b, n) = (pair / heads, pair % heads);
            let (chunks, none) = chunks(&sizes, options, b, n);
            // SAFETY: the head lies within every buffer, the matrices within the task's scratch.
            unsafe {
                let mut kept = if self.pass.reserve.is_null() { null_mut() } else { self.pass.reserve.add(pair * sizes.kept()) };
                for row in 0..key {
                    let at = (pair * key + row) * value;
                    let to = scratch.state.row(row);
                    write_bytes(to, 0, wide_value);
                    if !self.pass.state_0.is_null() {
                        copy_nonoverlapping(self.pass.state_0.add(at), to, value);
                    }
                }
                for steps in chunks {
                    if !kept.is_null() {
                        copy_nonoverlapping(scratch.state.start, kept, sizes.state());
                        kept = kept.add(sizes.state());
                        scratch.e.start = kept;
                        kept = kept.add(steps.len * wide_value);
                    }
                    self.chunk::<V>(&mut scratch, steps);
                }
                for t in none {
                    write_bytes(self.pass.y.add(((b * time + t) * heads + n) * value), 0, value);
                }
                if !self.pass.state_n.is_null() {
                    for row in 0..key {
                        copy_nonoverlapping(scratch.state.row(row), self.pass.state_n.add((pair * key + row) * value), value);
                    }
                }
            }
        }
    }
}

impl Task<'_> {
    /// Writes y of some steps and takes the state through them.
    #[inline(always)]
    unsafe fn chunk<V: Vector>(&self, scratch: &mut Scratch, steps: Steps) {
        let Sizes { key, value, wide_value, .. } = self.pass.sizes;
        let Scratch { query, key: keys, key_t, m, p, e, u, tail, y, state, .. } = *scratch;
        let len = steps.len;
        // SAFETY: passed on from the caller; the matrices hold a chunk.
        unsafe {
            gather::<V>(self.pass.query, steps, key, query);
            gather::<V>(self.pass.key, steps, key, keys);
            scratch.decays.fill(self.pass.decay, steps);
            let Decays { among, start } = scratch.decays;
            if len > 1 {
                V::call(Transpose { square: &mut scratch.square, from: keys, size: (len, key), to: key_t });
                multiply::<V>(Left::Rows(keys), key_t, (len, key, len), m, false);
                multiply::<V>(Left::Rows(query), key_t, (len, key, len), p, false);
                lower(m, among, len, false, m);
                lower(p, among, len, true, p);
            } else {
                *p.start = dot::<V>(query.start, keys.start, key);
            }
            multiply::<V>(Left::Rows(keys), state, (len, key, value), e, false);
            multiply::<V>(Left::Rows(query), state, (len, key, value), y, false);
            for i in 0..len {
                let at = steps.at(i);
                let (from, to) = (self.pass.value.add(at * value), self.pass.y.add(at * value));
                let (since, beta) = (V::splat(*start.add(i)), V::splat(*self.pass.beta.add(at)));
                for column in (0..value).step_by(V::LANES) {
                    let rest = V::LANES.min(value - column);
                    // Two chains each: a multiply-add waits for the one before.
                    let mut errors = [V::load(e.row(i).add(column)).neg_mul_add(since, V::load_first(from.add(column), rest)), V::zero()];
                    let mut sums = [V::load(y.row(i).add(column)).mul(since), V::zero()];
                    for j in 0..i {
                        let u = V::load(u.row(j).add(column));
                        errors[j % 2] = V::splat(*m.row(i).add(j)).neg_mul_add(u, errors[j % 2]);
                        sums[j % 2] = V::splat(*p.row(i).add(j)).mul_add(u, sums[j % 2]);
                    }
                    let error = errors[0].add(errors[1]);
                    let written = beta.mul(error);
                    error.store(e.row(i).add(column));
                    written.store(u.row(i).add(column));
                    let sum = V::splat(*p.row(i).add(i)).mul_add(written, sums[0].add(sums[1]));
                    sum.store_first(to.add(column), rest);
                }
            }
            let mut written = u;
            if !self.pass.decay.is_null() {
                let last = len - 1;
                for row in 0..key {
                    scale_row::<V>(state.row(row), *start.add(last), wide_value, state.row(row));
                }
                scale::<V>(u, among.row(last), (len, wide_value), tail);
                written = tail;
            }
            multiply::<V>(Left::Columns(keys), written, (key, len, value), state, true);
        }
    }
}
