//! What the laws of the kernels share: random numbers, tensors in either type, cards small enough to split small problems, one comparison.

// Each file of tests uses some of it.
#![allow(dead_code)]

use std::fmt::Debug;

use quarterturn_cuda::emulation::Emulation;
use quarterturn_cuda::{Card, Dtype, Error, View};

pub const DTYPES: [Dtype; 2] = [Dtype::Float32, Dtype::BFloat16];

/// A card with little shared memory and clusters of up to four blocks, and one without clusters.
pub const SMALL: Card = Card { compute_capability: 90, multiprocessors: 4, shared_bytes: 64 << 10, max_cluster: 4 };
pub const SMALL_OLD: Card = Card { compute_capability: 80, max_cluster: 1, ..SMALL };

/// What a kernel may differ from its float64 reference, relative to the largest value compared. bfloat16 has 8 bits, and its roundings add up over time.
pub fn forward_tolerance(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::Float32 => 1e-5,
        Dtype::BFloat16 => 2e-2,
    }
}

pub fn gradient_tolerance(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::Float32 => 1e-4,
        Dtype::BFloat16 => 4e-2,
    }
}

/// A small generator (splitmix64), so that every failure can be had again from its seed.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Within 0..end.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    /// Within ±scale.
    pub fn numbers(&mut self, len: usize, scale: f32) -> Vec<f32> {
        (0..len).map(|_| ((self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale).collect()
    }

    /// The same, as a tensor.
    pub fn tensor(&mut self, dtype: Dtype, len: usize, scale: f32) -> Tensor {
        Tensor::new(dtype, &self.numbers(len, scale))
    }
}

/// A tensor in the memory of the emulation, aligned as tensors of libtorch are.
#[derive(Clone, Debug)]
pub struct Tensor {
    dtype: Dtype,
    len: usize,
    words: Vec<u128>,
}

impl Tensor {
    /// Rounded to the type.
    pub fn new(dtype: Dtype, values: &[f32]) -> Tensor {
        let mut tensor = Tensor { dtype, len: values.len(), words: vec![0; (values.len() * dtype.size()).div_ceil(16)] };
        for (i, &value) in values.iter().enumerate() {
            match dtype {
                Dtype::Float32 => tensor.write(i, value.to_bits()),
                Dtype::BFloat16 => tensor.write(i, bfloat16(value)),
            }
        }
        tensor
    }

    /// To be written by a kernel: whatever is not written shows.
    pub fn nan(dtype: Dtype, len: usize) -> Tensor {
        Tensor::new(dtype, &vec![f32::NAN; len])
    }

    fn write<T>(&mut self, i: usize, value: T) {
        assert!((i + 1) * size_of::<T>() <= self.words.len() * 16);
        // SAFETY: within the words.
        unsafe { self.words.as_mut_ptr().cast::<T>().add(i).write(value) }
    }

    pub fn view(&mut self) -> View {
        View { address: self.words.as_mut_ptr() as u64, len: self.len as u64 }
    }

    pub fn values(&self) -> Vec<f32> {
        let start = self.words.as_ptr();
        // SAFETY: the words hold `len` elements of the type.
        (0..self.len)
            .map(|i| unsafe {
                match self.dtype {
                    Dtype::Float32 => start.cast::<f32>().add(i).read(),
                    Dtype::BFloat16 => f32::from_bits(u32::from(start.cast::<u16>().add(i).read()) << 16),
                }
            })
            .collect()
    }

    pub fn values_f64(&self) -> Vec<f64> {
        self.values().into_iter().map(f64::from).collect()
    }
}

/// The view of a tensor that may be absent.
pub fn view(tensor: &mut Option<Tensor>) -> View {
    tensor.as_mut().map_or_else(View::default, Tensor::view)
}

/// The view of a slice, such as lengths or a workspace.
pub fn view_of<T>(slice: &mut [T]) -> View {
    View { address: slice.as_mut_ptr() as u64, len: slice.len() as u64 }
}

/// To nearest, ties to even.
fn bfloat16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() { 0x7fff } else { ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16 }
}

/// Runs a case with threads in three orders, which must give the same bits: a barrier that is missing shows here.
pub fn in_all_orders(card: Card, what: &dyn Debug, run: impl Fn(&Emulation) -> Result<Vec<Tensor>, Error>) -> Vec<Tensor> {
    let mut runs =
        (0..3).map(|order| run(&Emulation { order, ..Emulation::new(card) }).unwrap_or_else(|error| panic!("{what:?}: {error}")));
    let first = runs.next().unwrap();
    for other in runs {
        for (place, (one, another)) in first.iter().zip(&other).enumerate() {
            assert_eq!(one.words, another.words, "{what:?}: result {place} depends on the order of threads");
        }
    }
    first
}

/// Fails unless `got` is within `tolerance` of `want`, relative to the largest of `want`; where all are small, what they are sums of is not. NaN equals NaN, and an infinity itself.
#[track_caller]
pub fn assert_close(got: &[f32], want: &[f64], tolerance: f64, what: &dyn Debug) {
    assert_eq!(got.len(), want.len(), "{what:?}");
    let largest = want.iter().filter(|x| x.is_finite()).fold(0.1, |max: f64, x| max.max(x.abs()));
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let got = f64::from(got);
        let same = if want.is_finite() { (got - want).abs() <= tolerance * largest } else { got == want || got.is_nan() && want.is_nan() };
        assert!(same, "{what:?}: element {i} is {got}, must be {want} (largest {largest})");
    }
}
