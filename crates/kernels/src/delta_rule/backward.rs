//! The delta rule backward: chunk by chunk from the last, from what forward kept.
//!
//! With dS' the gradient of the state after a chunk, D_C the last row of D, and G = Pᵀ dY + D_C ⊙ (K dS') - Mᵀ dE, where M is without its β,
//! ```text
//! dE = β ⊙ G, from the last row up      dV = dE      dβ = rows of G · rows of E      dP = dY Uᵀ, j <= i      dM = -dE Uᵀ, j < i
//! dQ = γ ⊙ (dY Sᵀ) + (dP ⊙ D) K         dS = γ_C dS' + Qᵀ (γ ⊙ dY) - Kᵀ (γ ⊙ dE)
//! dK = -γ ⊙ (dE Sᵀ) + D_C ⊙ (U dS'ᵀ) + (dP ⊙ D)ᵀ Q + (dM ⊙ D) K + (dM ⊙ D)ᵀ K
//! ```
//! The gradients of D and γ go to those of α along the products that made them.

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

/// The buffers of a backward pass, all the caller's.
#[derive(Debug)]
pub struct Backward<'a> {
    /// As given to forward, read.
    pub query: &'a [f32],
    pub key: &'a [f32],
    pub beta: &'a [f32],
    pub decay: Option<&'a [f32]>,
    /// As forward wrote it, read.
    pub reserve: &'a [f32],
    /// [B, T, N, E'], read; absent means zeros.
    pub dy: Option<&'a [f32]>,
    /// [B, N, E, E'], read; absent means zeros.
    pub dstate_n: Option<&'a [f32]>,
    /// As their tensors, written.
    pub dquery: &'a mut [f32],
    pub dkey: &'a mut [f32],
    pub dvalue: &'a mut [f32],
    pub dbeta: &'a mut [f32],
    /// Written where wanted.
    pub ddecay: Option<&'a mut [f32]>,
    pub dstate_0: Option<&'a mut [f32]>,
}

/// The gradients of all that forward read.
pub fn backward(context: &Context, shape: &Shape, options: Options, buffers: Backward) -> Result<(), Error> {
    let (gates, states) = (shape.gates_len(), shape.state_len());
    let (keys, values) = (gates * shape.key, gates * shape.value);
    shape.check(
        options,
        &[
            ("query", "B*T*N*E", keys, Some(buffers.query.len())),
            ("key", "B*T*N*E", keys, Some(buffers.key.len())),
            ("beta", "B*T*N", gates, Some(buffers.beta.len())),
            ("decay", "B*T*N", gates, buffers.decay.map(<[f32]>::len)),
            ("reserve", "what reserve_len says", reserve_len(shape), Some(buffers.reserve.len())),
            ("dy", "B*T*N*E'", values, buffers.dy.map(<[f32]>::len)),
            ("dstate_n", "B*N*E*E'", states, buffers.dstate_n.map(<[f32]>::len)),
            ("dquery", "B*T*N*E", keys, Some(buffers.dquery.len())),
            ("dkey", "B*T*N*E", keys, Some(buffers.dkey.len())),
            ("dvalue", "B*T*N*E'", values, Some(buffers.dvalue.len())),
            ("dbeta", "B*T*N", gates, Some(buffers.dbeta.len())),
            ("ddecay", "B*T*N", gates, buffers.ddecay.as_deref().map(<[f32]>::len)),
            ("dstate_0", "B*N*E*E'", states, buffers.dstate_0.as_deref().map(<[f32]>::len)),
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
        beta: buffers.beta.as_ptr(),
        decay: buffers.decay.map_or(null(), <[f32]>::as_ptr),
        reserve: buffers.reserve.as_ptr(),
        dy: buffers.dy.map_or(null(), <[f32]>::as_ptr),
        dstate_n: buffers.dstate_n.map_or(null(), <[f32]>::as_ptr),
        dquery: buffers.dquery.as_mut_ptr(),
        dkey: buffers.dkey.as_mut_ptr(),
        dvalue: buffers.dvalue.as_mut_ptr(),
        dbeta: buffers.dbeta.as_mut_ptr(),
        ddecay: buffers.ddecay.map_or(null_mut(), <[f32]>::as_mut_ptr),
        dstate_0: buffers.dstate_0.map_or(null_mut(), <[f32]>::as_mut_ptr),
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
    beta: *const f32,
    decay: *const f32,
    reserve: *const f32,
    dy: *const f32,
    dstate_n: *const f32,
    dquery: *mut f32,
    dkey: *mut f32,
    dvalue: *mut f32,
    dbeta: *mut f32,
    ddecay: *mut f32,
    dstate_0: *mut f32,
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
    key_t: Matrix,
    /// K Kᵀ and Q Kᵀ
    kk: Matrix,
    qk: Matrix,
    m: Matrix,
    p: Matrix,
    u: Matrix,
    u_t: Matrix,
    state_t: Matrix,
    dy: Matrix,
    /// G
    g: Matrix,
    de: Matrix,
    dm: Matrix,
    dp: Matrix,
    /// The gradient of D, [C, C].
    dd: Matrix,
    /// Those of γ, [C].
    dstart: *mut f32,
    dquery: Matrix,
    dkey: Matrix,
    /// A share of the gradient of K, and then of what goes to dS.
    part: Matrix,
    scaled: Matrix,
    dstate: Matrix,
    dstate_t: Matrix,
    decays: Decays,
    square: Square,
}

impl Scratch {
    /// The matrices from `start` on, and how many floats they take.
    fn new(sizes: &Sizes, start: *mut f32) -> (Scratch, usize) {
        let mut room = Room::new(start);
        let Sizes { key, value, wide_key, wide_value, .. } = *sizes;
        let decays = Decays::take(&mut room);
        let mut matrix = |rows: usize, stride: usize| Matrix { start: room.take(rows * stride), stride };
        let scratch = Scratch {
            query: matrix(CHUNK, wide_key),
            key: matrix(CHUNK, wide_key),
            key_t: matrix(key, CHUNK),
            kk: matrix(CHUNK, CHUNK),
            qk: matrix(CHUNK, CHUNK),
            m: matrix(CHUNK, CHUNK),
            p: matrix(CHUNK, CHUNK),
            u: matrix(CHUNK, wide_value),
            u_t: matrix(value, CHUNK),
            state_t: matrix(value, wide_key),
            dy: matrix(CHUNK, wide_value),
            g: matrix(CHUNK, wide_value),
            de: matrix(CHUNK, wide_value),
            dm: matrix(CHUNK, CHUNK),
            dp: matrix(CHUNK, CHUNK),
            dd: matrix(CHUNK, CHUNK),
            dstart: matrix(1, CHUNK).start,
            dquery: matrix(CHUNK, wide_key),
            dkey: matrix(CHUNK, wide_key),
            part: matrix(CHUNK, wide_key),
            scaled: matrix(CHUNK, wide_value),
            dstate: matrix(key, wide_value),
            dstate_t: matrix(value, wide_key),
            decays,
            square: Square::new(),
        };
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
                let reserve = self.pass.reserve.add(pair * sizes.kept());
                for row in 0..key {
                    let (at, to) = ((pair * key + row) * value, scratch.dstate.row(row));
                    write_bytes(to, 0, wide_value);
                    if !self.pass.dstate_n.is_null() {
                        copy_nonoverlapping(self.pass.dstate_n.add(at), to, value);
                    }
                }
                for (index, steps) in chunks.enumerate().rev() {
                    let kept = reserve.add(index * (sizes.state() + CHUNK * wide_value)).cast_mut();
                    let state = Matrix { start: kept, stride: wide_value };
                    self.chunk::<V>(&mut scratch, steps, state, Matrix { start: kept.add(sizes.state()), stride: wide_value });
                }
                for t in none {
                    let at = (b * time + t) * heads + n;
                    write_bytes(self.pass.dquery.add(at * key), 0, key);
                    write_bytes(self.pass.dkey.add(at * key), 0, key);
                    write_bytes(self.pass.dvalue.add(at * value), 0, value);
                    *self.pass.dbeta.add(at) = 0.0;
                    if !self.pass.ddecay.is_null() {
                        *self.pass.ddecay.add(at) = 0.0;
                    }
                }
                if !self.pass.dstate_0.is_null() {
                    for row in 0..key {
                        copy_nonoverlapping(scratch.dstate.row(row), self.pass.dstate_0.add((pair * key + row) * value), value);
                    }
                }
            }
        }
    }
}

impl Task<'_> {
    /// Writes the gradients of some steps, and turns that of the state after them into that of the state before; `state` and `e` are read.
    #[inline(always)]
    unsafe fn chunk<V: Vector>(&self, scratch: &mut Scratch, steps: Steps, state: Matrix, e: Matrix) {
        let Sizes { key, value, wide_key, wide_value, .. } = self.pass.sizes;
        let (len, with_decay) = (steps.len, !self.pass.ddecay.is_null());
        // SAFETY: passed on from the caller; the matrices hold a chunk.
        unsafe {
            self.again::<V>(scratch, steps, state, e);
            self.solve::<V>(scratch, steps, e);
            let Scratch { query, key: keys, kk, qk, u, u_t, state_t, dy, de, dm, dp, dd, dstart, dquery, dkey, part, scaled, .. } =
                *scratch;
            let Scratch { dstate, dstate_t, .. } = *scratch;
            let Decays { among, start } = scratch.decays;
            let last = among.row(len - 1);

            // What went through the state: γ ⊙ (dY Sᵀ), -γ ⊙ (dE Sᵀ), D_C ⊙ (U dS'ᵀ).
            multiply::<V>(Left::Rows(dy), state_t, (len, value, key), dquery, false);
            multiply::<V>(Left::Rows(de), state_t, (len, value, key), dkey, false);
            multiply::<V>(Left::Rows(u), dstate_t, (len, value, key), part, false);
            for i in 0..len {
                let (since, until) = (*start.add(i), *last.add(i));
                if with_decay {
                    let of_query = dot::<V>(dquery.row(i), query.row(i), key);
                    *dstart.add(i) = of_query - dot::<V>(dkey.row(i), keys.row(i), key);
                    *dd.row(len - 1).add(i) = dot::<V>(part.row(i), keys.row(i), key);
                }
                scale_row::<V>(dquery.row(i), since, wide_key, dquery.row(i));
                for column in (0..key).step_by(V::LANES) {
                    let through = V::load(dkey.row(i).add(column)).mul(V::splat(-since));
                    V::splat(until).mul_add(V::load(part.row(i).add(column)), through).store(dkey.row(i).add(column));
                }
            }
            if with_decay {
                for row in 0..key {
                    *dstart.add(len - 1) += dot::<V>(state.row(row), dstate.row(row), value);
                }
            }

            // What went from step to step.
            multiply::<V>(Left::Rows(dy), u_t, (len, value, len), dp, false);
            multiply::<V>(Left::Rows(de), u_t, (len, value, len), dm, false);
            for i in 0..len {
                scale_row::<V>(dm.row(i), -1.0, CHUNK, dm.row(i));
            }
            if with_decay {
                for i in 0..len {
                    for j in 0..i {
                        let now = *dp.row(i).add(j) * *qk.row(i).add(j) + *dm.row(i).add(j) * *kk.row(i).add(j);
                        let to = dd.row(i).add(j);
                        // The last row also says what reaches the state.
                        *to = if i + 1 == len { *to + now } else { now };
                    }
                }
                self.decay(steps, (among, dd), (start, dstart));
            }
            lower(dp, among, len, true, dp);
            lower(dm, among, len, false, dm);
            multiply::<V>(Left::Rows(dp), keys, (len, len, key), dquery, true);
            multiply::<V>(Left::Columns(dp), query, (len, len, key), dkey, true);
            multiply::<V>(Left::Rows(dm), keys, (len, len, key), dkey, true);
            multiply::<V>(Left::Columns(dm), keys, (len, len, key), dkey, true);
            for i in 0..len {
                let at = steps.at(i) * key;
                copy_nonoverlapping(dquery.row(i), self.pass.dquery.add(at), key);
                copy_nonoverlapping(dkey.row(i), self.pass.dkey.add(at), key);
            }

            // dS = γ_C dS' + Qᵀ (γ ⊙ dY) - Kᵀ (γ ⊙ dE)
            for row in 0..key {
                scale_row::<V>(dstate.row(row), *start.add(len - 1), wide_value, dstate.row(row));
            }
            scale::<V>(dy, start, (len, wide_value), scaled);
            multiply::<V>(Left::Columns(query), scaled, (key, len, value), dstate, true);
            for i in 0..len {
                scale_row::<V>(de.row(i), -*start.add(i), wide_value, scaled.row(i));
            }
            multiply::<V>(Left::Columns(keys), scaled, (key, len, value), dstate, true);
        }
    }

    /// What forward had: the rows of the chunk, the products among them, U; and the gradient of y.
    #[inline(always)]
    unsafe fn again<V: Vector>(&self, scratch: &mut Scratch, steps: Steps, state: Matrix, e: Matrix) {
        let Sizes { key, value, wide_value, .. } = self.pass.sizes;
        let Scratch { query, key: keys, key_t, kk, qk, m, p, u, u_t, state_t, dy, dstate, dstate_t, ref decays, ref mut square, .. } =
            *scratch;
        let len = steps.len;
        // SAFETY: passed on from the caller; the matrices hold a chunk.
        unsafe {
            gather::<V>(self.pass.query, steps, key, query);
            gather::<V>(self.pass.key, steps, key, keys);
            gather::<V>(self.pass.dy, steps, value, dy);
            decays.fill(self.pass.decay, steps);
            V::call(Transpose { square, from: keys, size: (len, key), to: key_t });
            multiply::<V>(Left::Rows(keys), key_t, (len, key, len), kk, false);
            multiply::<V>(Left::Rows(query), key_t, (len, key, len), qk, false);
            lower(kk, decays.among, len, false, m);
            lower(qk, decays.among, len, true, p);
            for i in 0..len {
                scale_row::<V>(e.row(i), *self.pass.beta.add(steps.at(i)), wide_value, u.row(i));
            }
            V::call(Transpose { square, from: u, size: (len, value), to: u_t });
            V::call(Transpose { square, from: state, size: (key, value), to: state_t });
            V::call(Transpose { square, from: dstate, size: (key, value), to: dstate_t });
        }
    }

    /// G and dE, from the last step up; dV and dβ with them.
    #[inline(always)]
    unsafe fn solve<V: Vector>(&self, scratch: &mut Scratch, steps: Steps, e: Matrix) {
        let Sizes { key, value, .. } = self.pass.sizes;
        let Scratch { key: keys, m, p, dy, g, de, dstate, ref decays, .. } = *scratch;
        let len = steps.len;
        // SAFETY: passed on from the caller; the matrices hold a chunk.
        unsafe {
            let last = decays.among.row(len - 1);
            multiply::<V>(Left::Rows(keys), dstate, (len, key, value), g, false);
            for i in (0..len).rev() {
                let at = steps.at(i);
                let (until, now) = (V::splat(*last.add(i)), V::splat(*p.row(i).add(i)));
                let beta = V::splat(*self.pass.beta.add(at));
                let mut dbeta = V::zero();
                for column in (0..value).step_by(V::LANES) {
                    let rest = V::LANES.min(value - column);
                    // Two chains: a multiply-add waits for the one before.
                    let mut sums = [until.mul(V::load(g.row(i).add(column))), now.mul(V::load(dy.row(i).add(column)))];
                    for l in i + 1..len {
                        sums[0] = V::splat(*m.row(l).add(i)).neg_mul_add(V::load(de.row(l).add(column)), sums[0]);
                        sums[1] = V::splat(*p.row(l).add(i)).mul_add(V::load(dy.row(l).add(column)), sums[1]);
                    }
                    let sum = sums[0].add(sums[1]).first(rest);
                    let error = beta.mul(sum);
                    error.store(de.row(i).add(column));
                    error.store_first(self.pass.dvalue.add(at * value + column), rest);
                    dbeta = sum.mul_add(V::load_first(e.row(i).add(column), rest), dbeta);
                }
                *self.pass.dbeta.add(at) = dbeta.sum();
            }
        }
    }

    /// From the gradients of D and γ those of α: row i is α_i times the one before.
    #[inline(always)]
    unsafe fn decay(&self, steps: Steps, (among, dd): (Matrix, Matrix), (start, dstart): (*const f32, *mut f32)) {
        // SAFETY: passed on from the caller; all hold a chunk.
        unsafe {
            for i in (0..steps.len).rev() {
                let alpha = *self.pass.decay.add(steps.at(i));
                let (row, of_start) = (dd.row(i), *dstart.add(i));
                let mut sum = of_start * if i == 0 { 1.0 } else { *start.add(i - 1) };
                for j in 0..i {
                    let above = dd.row(i - 1).add(j);
                    sum += *row.add(j) * *among.row(i - 1).add(j);
                    if j + 1 < i {
                        *above += alpha * *row.add(j);
                    }
                }
                if i > 0 {
                    *dstart.add(i - 1) += alpha * of_start;
                }
                *self.pass.ddecay.add(steps.at(i)) = sum;
            }
        }
    }
}
