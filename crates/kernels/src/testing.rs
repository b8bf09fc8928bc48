//! What tests share: random numbers, executors of any width, one comparison with one tolerance.

use std::fmt::Debug;

use crate::Parallel;

/// Relative to the largest value compared: what a float32 kernel may differ from its float64 reference.
pub(crate) const FORWARD: f64 = 1e-5;
pub(crate) const GRADIENT: f64 = 1e-4;

/// A small generator (splitmix64), so that every failure can be had again from its seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Within 0..end.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Within ±scale.
    pub(crate) fn number(&mut self, scale: f32) -> f32 {
        ((self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale
    }

    pub(crate) fn numbers(&mut self, len: usize, scale: f32) -> Vec<f32> {
        (0..len).map(|_| self.number(scale)).collect()
    }
}

/// As many real threads as it says, so that every split of the work is met whatever the machine.
pub(crate) struct Threads(pub(crate) usize);

impl Parallel for Threads {
    fn threads(&self) -> usize {
        self.0
    }

    fn run(&self, tasks: usize, body: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for task in 1..tasks {
                scope.spawn(move || body(task));
            }
            if tasks > 0 {
                body(0);
            }
        });
    }
}

pub(crate) fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// Fails unless `got` is within `tolerance` of `want`, relative to the largest of `want`. NaN equals NaN, and an infinity itself.
#[track_caller]
pub(crate) fn assert_close(got: &[f32], want: &[f64], tolerance: f64, what: &dyn Debug) {
    assert_eq!(got.len(), want.len(), "{what:?}");
    let largest = want.iter().filter(|x| x.is_finite()).fold(1e-3, |max: f64, x| max.max(x.abs()));
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let got = f64::from(got);
        let same = if want.is_finite() { (got - want).abs() <= tolerance * largest } else { got == want || got.is_nan() && want.is_nan() };
        assert!(same, "{what:?}: element {i} is {got}, must be {want} (largest {largest})");
    }
}

/// What a bfloat16 pass may differ from its float64 reference, by the measure of [`assert_near`]: rounding alone is 2^-9, and rounded states
/// and, where products are of pairs, rounded gradients of gates go into further sums.
pub(crate) const HALF_FORWARD: f64 = 1.0 / 128.0;
pub(crate) const HALF_GRADIENT: f64 = 1.0 / 32.0;

/// Fails unless the distance of `got` from `want` is within `tolerance` of the length of `want`: a few elements may be far off, as where a
/// rounded sum falls to the other side of a bend.
#[track_caller]
pub(crate) fn assert_near(got: &[f32], want: &[f64], tolerance: f64, what: &dyn Debug) {
    assert_eq!(got.len(), want.len(), "{what:?}");
    let length = want.iter().map(|x| x * x).sum::<f64>().sqrt();
    let distance = got.iter().zip(want).map(|(&got, want)| (f64::from(got) - want).powi(2)).sum::<f64>().sqrt();
    assert!(distance <= tolerance * length.max(1e-3), "{what:?}: {} of the length", distance / length);
}

#[track_caller]
pub(crate) fn assert_same_bits(got: &[f32], want: &[f32], what: &dyn Debug) {
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert!(bits(got) == bits(want), "{what:?}: {got:?} and {want:?} differ");
}

/// Fails unless `gradient` agrees with the central difference of `value` at `at` along one random direction.
#[track_caller]
pub(crate) fn assert_gradient(random: &mut Random, at: &[f64], gradient: &[f64], value: impl Fn(&[f64]) -> f64, what: &dyn Debug) {
    assert_eq!(at.len(), gradient.len(), "{what:?}");
    let direction = to_f64(&random.numbers(at.len(), 1.0));
    let step = 1e-5;
    let moved = |step: f64| value(&at.iter().zip(&direction).map(|(x, d)| x + step * d).collect::<Vec<_>>());
    let slope = (moved(step) - moved(-step)) / (2.0 * step);
    let product: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
    assert!((slope - product).abs() <= 1e-6 * (1.0 + slope.abs()), "{what:?}: difference {slope}, gradient {product}");
}
