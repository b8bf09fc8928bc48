//! All steps as one system of equations, `s_t - F(p_t, s_(t-1)) = 0`, by Newton's method.
//!
//! ```text
//! s_t^(k+1) = J_t s_(t-1)^(k+1) + b_t      J_t = ∂F/∂s at s_(t-1)^(k)      b_t = F(p_t, s_(t-1)^(k)) - J_t s_(t-1)^(k)
//! ```
//! The steps of each row are cut into blocks, which are tasks of their own. A sweep over a block finds its states by the recurrence of the
//! iteration before, and with them J, b and what the block as a whole does to a state; from these follow the states at the starts of all
//! blocks. Blocks depend on the sizes alone, so results do not depend on threads.

use std::ops::Range;
use std::ptr::write_bytes;

use super::forward::Pass;
use super::{DiagonalCell, GATES, MAX_STATES, MAX_WEIGHTS, load_gates, load_weights};
use crate::Context;
use crate::parallel::share;
use crate::pool::Buffer;
use crate::scan::places;
use crate::vector::{Kernel, Vector};

const ITERATIONS: usize = 3;
/// Steps of a block.
const BLOCK: usize = 64;
/// What an equation may be off by: some roundings of a number near 1.
const TOLERANCE: f32 = 2e-6;

/// Tries to solve all rows; says which are solved.
pub(super) fn solve<C: DiagonalCell>(context: &Context, pass: &Pass<C>) -> Vec<bool> {
    let (batch, hidden) = (pass.shape.batch, pass.shape.hidden);
    let wide = hidden.next_multiple_of(16);
    let numbers = (C::STATES + 1) * C::STATES * wide;
    let blocks = pass.shape.time.div_ceil(BLOCK).max(1);
    let items = batch * blocks;
    let mut system = System {
        pass,
        wide,
        blocks,
        sweep: 0,
        steps: context.pool().take(batch * pass.shape.time * numbers),
        whole: context.pool().take(items * numbers),
        starts: context.pool().take(items * C::STATES * wide),
        off: context.pool().take(items),
        tasks: context.parallel().threads().min(items),
    };
    for sweep in 0..=ITERATIONS {
        system.sweep = sweep;
        let shared = &system;
        // SAFETY: the context vouches for the instruction set, the pass for its buffers; tasks write disjoint blocks.
        context.parallel().run(system.tasks, &|task| unsafe { context.isa().run(Sweep { system: shared, task }) });
        if sweep < ITERATIONS {
            system.find_starts();
        }
    }
    (0..batch).map(|b| system.off[b * blocks..(b + 1) * blocks].iter().sum::<f32>() <= TOLERANCE.powi(4)).collect()
}

struct System<'a, C> {
    pass: &'a Pass<'a, C>,
    /// H, padded.
    wide: usize,
    /// Blocks of a row.
    blocks: usize,
    sweep: usize,
    /// J and b of every step, in the order of computation: [B, T, (S + 1)·S, H] with S states.
    steps: Buffer,
    /// The same of every block.
    whole: Buffer,
    /// The state before every block, [B, blocks, S, H].
    starts: Buffer,
    /// Sums of the fourth powers of what the equations of a block are off by: they tell one large number from many roundings.
    off: Buffer,
    tasks: usize,
}

// SAFETY: every task writes its own blocks only.
unsafe impl<C: DiagonalCell> Sync for System<'_, C> {}

impl<C: DiagonalCell> System<'_, C> {
    /// Floats of J and b of all units.
    fn numbers(&self) -> usize {
        (C::STATES + 1) * C::STATES * self.wide
    }

    /// The states before all blocks, from what each block does.
    fn find_starts(&mut self) {
        let (numbers, wide, hidden) = (self.numbers(), self.wide, self.pass.shape.hidden);
        for b in 0..self.pass.shape.batch {
            for unit in 0..hidden {
                let mut s = [0.0; MAX_STATES];
                for i in 0..C::STATES {
                    if !self.pass.state_0[i].is_null() {
                        // SAFETY: [B, H].
                        s[i] = unsafe { *self.pass.state_0[i].add(b * hidden + unit) };
                    }
                }
                for block in b * self.blocks..(b + 1) * self.blocks {
                    let whole = &self.whole[block * numbers..][..numbers];
                    for i in 0..C::STATES {
                        self.starts[(block * C::STATES + i) * wide + unit] = s[i];
                    }
                    let mut next = [0.0; MAX_STATES];
                    for i in 0..C::STATES {
                        next[i] = whole[(C::STATES * C::STATES + i) * wide + unit];
                        for k in 0..C::STATES {
                            next[i] += whole[(i * C::STATES + k) * wide + unit] * s[k];
                        }
                    }
                    s = next;
                }
            }
        }
    }
}

/// `s' = J s + b` for a vector of units.
#[derive(Clone, Copy)]
struct Affine<V> {
    j: [[V; MAX_STATES]; MAX_STATES],
    b: [V; MAX_STATES],
}

impl<V: Vector> Affine<V> {
    /// F around a state.
    #[inline(always)]
    unsafe fn of<C: DiagonalCell>(p: [V; GATES], w: [V; MAX_WEIGHTS], s: [V; MAX_STATES]) -> Affine<V> {
        // SAFETY: passed on from the caller.
        unsafe {
            let mut affine = Affine { j: [[V::zero(); MAX_STATES]; MAX_STATES], b: C::forward(p, w, s) };
            for i in 0..C::STATES {
                let mut d = [V::zero(); MAX_STATES];
                d[i] = V::splat(1.0);
                affine.j[i] = C::backward(p, w, s, d).s;
                for k in 0..C::STATES {
                    affine.b[i] = affine.j[i][k].neg_mul_add(s[k], affine.b[i]);
                }
            }
            affine
        }
    }

    #[inline(always)]
    unsafe fn identity<C: DiagonalCell>() -> Affine<V> {
        // SAFETY: passed on from the caller.
        unsafe {
            let mut j = [[V::zero(); MAX_STATES]; MAX_STATES];
            for (i, row) in j.iter_mut().enumerate().take(C::STATES) {
                row[i] = V::splat(1.0);
            }
            Affine { j, b: [V::zero(); MAX_STATES] }
        }
    }

    #[inline(always)]
    unsafe fn apply<C: DiagonalCell>(&self, s: [V; MAX_STATES]) -> [V; MAX_STATES] {
        let mut next = self.b;
        for i in 0..C::STATES {
            for k in 0..C::STATES {
                // SAFETY: passed on from the caller.
                next[i] = unsafe { self.j[i][k].mul_add(s[k], next[i]) };
            }
        }
        next
    }

    /// This one after `first`.
    #[inline(always)]
    unsafe fn after<C: DiagonalCell>(&self, first: &Affine<V>) -> Affine<V> {
        // SAFETY: passed on from the caller.
        unsafe {
            let mut both = Affine { j: [[V::zero(); MAX_STATES]; MAX_STATES], b: self.apply::<C>(first.b) };
            for i in 0..C::STATES {
                for k in 0..C::STATES {
                    for l in 0..C::STATES {
                        both.j[i][k] = self.j[i][l].mul_add(first.j[l][k], both.j[i][k]);
                    }
                }
            }
            both
        }
    }

    #[inline(always)]
    unsafe fn load<C: DiagonalCell>(from: *const f32, wide: usize) -> Affine<V> {
        // SAFETY: passed on from the caller.
        unsafe {
            let mut affine = Affine::identity::<C>();
            for i in 0..C::STATES {
                for k in 0..C::STATES {
                    affine.j[i][k] = V::load(from.add((i * C::STATES + k) * wide));
                }
                affine.b[i] = V::load(from.add((C::STATES * C::STATES + i) * wide));
            }
            affine
        }
    }

    #[inline(always)]
    unsafe fn store<C: DiagonalCell>(&self, to: *mut f32, wide: usize) {
        // SAFETY: passed on from the caller.
        unsafe {
            for i in 0..C::STATES {
                for k in 0..C::STATES {
                    self.j[i][k].store(to.add((i * C::STATES + k) * wide));
                }
                self.b[i].store(to.add((C::STATES * C::STATES + i) * wide));
            }
        }
    }
}

/// What the first iteration starts from: F of the zero state.
#[inline(always)]
unsafe fn guess<C: DiagonalCell, V: Vector>(p: [V; GATES], w: [V; MAX_WEIGHTS]) -> [V; MAX_STATES] {
    // SAFETY: passed on from the caller.
    unsafe { C::forward(p, w, [V::zero(); MAX_STATES]) }
}

struct Sweep<'a, C> {
    system: &'a System<'a, C>,
    task: usize,
}

/// A vector of units of a block: its row, its steps, its first unit, and how many there are.
struct Part {
    b: usize,
    steps: Range<usize>,
    unit: usize,
    rest: usize,
}

impl<C: DiagonalCell> Kernel for Sweep<'_, C> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let System { pass, blocks, tasks, .. } = *self.system;
        let (shape, hidden) = (&pass.shape, pass.shape.hidden);
        for item in share(shape.batch * blocks, tasks, self.task) {
            let (b, block) = (item / blocks, item % blocks);
            let (places, none) = places(shape, pass.options, b);
            let steps = block * BLOCK..((block + 1) * BLOCK).min(places.count());
            let mut off = 0.0;
            for unit in (0..hidden).step_by(V::LANES) {
                let part = Part { b, steps: steps.clone(), unit, rest: V::LANES.min(hidden - unit) };
                // SAFETY: the part lies within every buffer.
                off += unsafe { self.part::<V>(item, &part) };
            }
            // SAFETY: each item has its own, and the steps that are none belong to the first block.
            unsafe {
                *self.system.off.start().add(item) = off;
                if block == 0 {
                    for t in none {
                        write_bytes(pass.y.add((b * shape.time + t) * hidden), 0, hidden);
                    }
                }
            }
        }
    }
}

impl<C: DiagonalCell> Sweep<'_, C> {
    /// One sweep; returns by how much the equations are off, after the last.
    #[inline(always)]
    unsafe fn part<V: Vector>(&self, item: usize, part: &Part) -> f32 {
        let System { pass, wide, sweep, .. } = *self.system;
        let (numbers, hidden, time) = (self.system.numbers(), pass.shape.hidden, pass.shape.time);
        let &Part { b, ref steps, unit, rest } = part;
        let len = pass.options.lengths.map_or(time, |lengths| usize::try_from(lengths[b]).unwrap_or(0));
        let place = |s: usize| if pass.options.reverse { len - 1 - s } else { s };
        let gates = |s: usize| pass.p.wrapping_add((b * time + place(s)) * GATES * hidden + unit);
        let last = sweep == ITERATIONS;
        // SAFETY: passed on from the caller.
        unsafe {
            let w = load_weights::<C, V>(pass.weight, hidden, unit, rest);
            let mut before = [V::zero(); MAX_STATES];
            if sweep > 0 {
                for i in 0..C::STATES {
                    before[i] = V::load(self.system.starts.as_ptr().add((item * C::STATES + i) * wide + unit));
                }
            } else if steps.start > 0 && !steps.is_empty() {
                before = guess::<C, V>(load_gates::<V>(gates(steps.start - 1), hidden, rest), w);
            } else {
                for i in 0..C::STATES {
                    if !pass.state_0[i].is_null() {
                        before[i] = V::load_first(pass.state_0[i].add(b * hidden + unit), rest);
                    }
                }
            }
            let mut whole = Affine::identity::<C>();
            let (mut off, mut end) = (V::zero(), before);
            for s in steps.clone() {
                let p = load_gates::<V>(gates(s), hidden, rest);
                let step = self.system.steps.start().add((b * time + s) * numbers + unit);
                let next = if sweep > 0 { Affine::load::<C>(step, wide).apply::<C>(before) } else { guess::<C, V>(p, w) };
                if last {
                    let at = (b * time + place(s)) * hidden + unit;
                    let exact = C::forward(p, w, before);
                    for i in 0..C::STATES {
                        let square = exact[i].sub(next[i]).first(rest);
                        let square = square.mul(square);
                        off = square.mul_add(square, off);
                    }
                    exact[0].store_first(pass.y.add(at), rest);
                    if !pass.c.is_null() {
                        exact[1].store_first(pass.c.add(at), rest);
                    }
                    end = exact;
                } else {
                    let affine = Affine::of::<C>(p, w, before);
                    affine.store::<C>(step, wide);
                    whole = affine.after::<C>(&whole);
                }
                before = next;
            }
            if !last {
                whole.store::<C>(self.system.whole.start().add(item * numbers + unit), wide);
            } else if steps.end == len && (!steps.is_empty() || len == 0 && steps.start == 0) {
                for i in 0..C::STATES {
                    if !pass.state_n[i].is_null() {
                        end[i].store_first(pass.state_n[i].add(b * hidden + unit), rest);
                    }
                }
            }
            off.sum()
        }
    }
}
