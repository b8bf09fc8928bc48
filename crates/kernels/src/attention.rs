//! Attention of one query per row, as a step of decoding asks for it.
//!
//! ```text
//! y = softmax(scale · K q + mask) · V            zeros where no position is to be seen
//! ```
//! q [N, E], K [N, S, E], V [N, S, E'], mask [N, S], y [N, E']; float32, sums in float32. Keys and values are read once; no scores leave the cache.

use crate::log_sum::{maximum, term};
use crate::parallel::{row_tasks, share};
use crate::vector::{Kernel, Vector};
use crate::{Context, Error};

const NAME: &str = "attention";

/// The sizes. Any of them may be 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// N
    pub rows: usize,
    /// S
    pub positions: usize,
    /// E, of queries and keys.
    pub width: usize,
    /// E', of values.
    pub values: usize,
    /// What products are multiplied by.
    pub scale: f32,
}

/// The buffers, all the caller's.
#[derive(Debug)]
pub struct Forward<'a> {
    /// [N, E], read.
    pub query: &'a [f32],
    /// [N, S, E], read.
    pub key: &'a [f32],
    /// [N, S, E'], read.
    pub value: &'a [f32],
    /// [N, S], read: added to the scores; absent means zeros.
    pub mask: Option<&'a [f32]>,
    /// [N, E'], written.
    pub y: &'a mut [f32],
}

/// y = softmax(scale · K q + mask) · V of each row; zeros where no position is to be seen.
pub fn forward(context: &Context, shape: &Shape, buffers: Forward) -> Result<(), Error> {
    let Shape { rows, positions, width, values, .. } = *shape;
    let Forward { query, key, value, mask, y } = buffers;
    for (name, letters, expected, got) in [
        ("query", "N*E", rows * width, query.len()),
        ("key", "N*S*E", rows * positions * width, key.len()),
        ("value", "N*S*E'", rows * positions * values, value.len()),
        ("mask", "N*S", rows * positions, mask.map_or(rows * positions, <[f32]>::len)),
        ("y", "N*E'", rows * values, y.len()),
    ] {
        Error::check(NAME, name, letters, expected, got)?;
    }
    let tasks = row_tasks(context.parallel(), rows, positions * (width + values));
    let scratch = context.pool().take(tasks * positions);
    let pass = Pass { shape: *shape, query, key, value, mask, weights: scratch.start(), y: y.as_mut_ptr(), tasks };
    // SAFETY: the context vouches for the instruction set, the checks for the buffers; tasks write disjoint rows and scratch.
    context.parallel().run(tasks, &|task| unsafe { context.isa().run(Task { pass: &pass, task }) });
    Ok(())
}

struct Pass<'a> {
    shape: Shape,
    query: &'a [f32],
    key: &'a [f32],
    value: &'a [f32],
    mask: Option<&'a [f32]>,
    /// [tasks, S]
    weights: *mut f32,
    y: *mut f32,
    tasks: usize,
}

// SAFETY: the pointers come from slices that outlive the pass; every task writes its own rows and its own scratch only.
unsafe impl Sync for Pass<'_> {}

struct Task<'a> {
    pass: &'a Pass<'a>,
    task: usize,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Pass { shape: Shape { rows, positions, width, values, scale }, query, key, value, mask, weights, y, tasks } = *self.pass;
        // SAFETY: the scratch holds S floats for each task.
        let weights = unsafe { std::slice::from_raw_parts_mut(weights.add(self.task * positions), positions) };
        for row in share(rows, tasks, self.task) {
            let all = row * positions..(row + 1) * positions;
            let one = Row {
                query: &query[row * width..][..width],
                key: &key[all.start * width..all.end * width],
                value: &value[all.start * values..all.end * values],
                mask: mask.map(|mask| &mask[all]),
                scale,
            };
            // SAFETY: passed on from the caller; y holds the row, and no other task writes it.
            unsafe { one.attend::<V>(weights, std::slice::from_raw_parts_mut(y.add(row * values), values)) };
        }
    }
}

struct Row<'a> {
    query: &'a [f32],
    key: &'a [f32],
    value: &'a [f32],
    mask: Option<&'a [f32]>,
    scale: f32,
}

impl Row<'_> {
    /// Writes y, [E']; `weights`, [S], is scratch.
    #[inline(always)]
    unsafe fn attend<V: Vector>(&self, weights: &mut [f32], y: &mut [f32]) {
        let Row { query, key, value, mask, scale } = *self;
        let (positions, width, values) = (weights.len(), query.len(), y.len());
        // SAFETY: passed on from the caller; slices hold what is read.
        unsafe {
            for s in 0..positions {
                weights[s] = scale * dot::<V>(query, &key[s * width..][..width]) + mask.map_or(0.0, |mask| mask[s]);
            }
            let largest = maximum(weights);
            let center = V::splat(if largest == f32::NEG_INFINITY { 0.0 } else { largest });
            let mut sum = 0.0;
            for at in (0..positions).step_by(V::LANES) {
                let len = V::LANES.min(positions - at);
                let e = term(V::load_first(weights.as_ptr().add(at), len), center).first(len);
                e.store_first(weights.as_mut_ptr().add(at), len);
                sum += e.sum();
            }
            let share = if sum == 0.0 { 0.0 } else { 1.0 / sum };
            for at in (0..values).step_by(V::LANES) {
                let len = V::LANES.min(values - at);
                let mut mean = V::zero();
                for s in 0..positions {
                    mean = V::splat(weights[s] * share).mul_add(V::load_first(value.as_ptr().add(s * values + at), len), mean);
                }
                mean.store_first(y.as_mut_ptr().add(at), len);
            }
        }
    }
}

#[inline(always)]
unsafe fn dot<V: Vector>(a: &[f32], b: &[f32]) -> f32 {
    // SAFETY: passed on from the caller; both are equally long.
    unsafe {
        let mut sums = [V::zero(); 2];
        let whole = a.len() - a.len() % (2 * V::LANES);
        for at in (0..whole).step_by(2 * V::LANES) {
            for half in 0..2 {
                let at = at + half * V::LANES;
                sums[half] = V::load(a.as_ptr().add(at)).mul_add(V::load(b.as_ptr().add(at)), sums[half]);
            }
        }
        for at in (whole..a.len()).step_by(V::LANES) {
            let len = V::LANES.min(a.len() - at);
            sums[0] = V::load_first(a.as_ptr().add(at), len).mul_add(V::load_first(b.as_ptr().add(at), len), sums[0]);
        }
        sums[0].add(sums[1]).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::testing::{FORWARD, Random, Threads, assert_close};

    fn reference(about: &Shape, buffers: &Forward) -> Vec<f64> {
        let Shape { rows, positions, width, values, scale } = *about;
        let at = |x: &[f32], place: usize| f64::from(x[place]);
        let mut y = vec![0.0; rows * values];
        for row in 0..rows {
            let score = |s: usize| {
                let product: f64 =
                    (0..width).map(|e| at(buffers.query, row * width + e) * at(buffers.key, (row * positions + s) * width + e)).sum();
                f64::from(scale) * product + buffers.mask.map_or(0.0, |mask| at(mask, row * positions + s))
            };
            let scores: Vec<f64> = (0..positions).map(score).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            if largest == f64::NEG_INFINITY {
                continue;
            }
            let sum: f64 = scores.iter().map(|x| (x - largest).exp()).sum();
            for (s, score) in scores.iter().enumerate() {
                for e in 0..values {
                    y[row * values + e] += (score - largest).exp() / sum * at(buffers.value, (row * positions + s) * values + e);
                }
            }
        }
        y
    }

    #[test]
    fn attention_is_that_of_the_reference_whatever_the_sizes_the_mask_and_the_instruction_set() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let [rows, positions, width, values] = [9, 60, 70, 70].map(|limit| random.below(limit));
            let about = Shape { rows, positions, width, values, scale: 0.5 };
            let (query, key) = (random.numbers(rows * width, 1.0), random.numbers(rows * positions * width, 1.0));
            let value = random.numbers(rows * positions * values, 1.0);
            let hidden = |random: &mut Random| if random.below(3) == 0 { random.pick(&[-1e9, f32::NEG_INFINITY]) } else { 0.0 };
            let mask = random.flip().then(|| (0..rows * positions).map(|_| hidden(&mut random)).collect::<Vec<_>>());
            let mut nothing = [];
            let read = Forward { query: &query, key: &key, value: &value, mask: mask.as_deref(), y: &mut nothing };
            let want = reference(&about, &read);
            for (isa, threads) in Isa::supported().flat_map(|isa| [(isa, 1), (isa, 3)]) {
                let executor = Threads(threads);
                let context = Context::new(&executor).with_isa(isa).unwrap();
                let mut y = vec![f32::NAN; rows * values];
                let buffers = Forward { query: &query, key: &key, value: &value, mask: mask.as_deref(), y: &mut y };
                forward(&context, &about, buffers).unwrap();
                assert_close(&y, &want, FORWARD, &(seed, isa, threads, about));
            }
        }
    }

    #[test]
    fn wrong_buffers_are_refused() {
        let about = Shape { rows: 1, positions: 2, width: 3, values: 4, scale: 1.0 };
        let mut y = [0.0; 4];
        let buffers = Forward { query: &[0.0; 3], key: &[0.0; 6], value: &[0.0; 7], mask: None, y: &mut y };
        let refused = forward(&Context::new(&crate::Serial), &about, buffers).unwrap_err();
        assert_eq!(refused.to_string(), "attention: value must hold N*S*E' = 8 numbers, got 7");
    }
}
