//! Plain Rust on four floats. The compiler turns it into whatever vectors the target has; multiply and add are rounded separately.

use super::{Kernel, Vector};
use crate::bfloat16::Bf16;

#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; 4]);

impl Portable {
    #[inline(always)]
    fn map(self, f: impl Fn(f32) -> f32) -> Self {
        let [a, b, c, d] = self.0;
        Portable([f(a), f(b), f(c), f(d)])
    }

    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let ([a, b, c, d], [p, q, r, s]) = (self.0, other.0);
        Portable([f(a, p), f(b, q), f(c, r), f(d, s)])
    }
}

impl Vector for Portable {
    const LANES: usize = 4;
    const WIDTHS: [usize; 6] = [4, 4, 4, 2, 2, 2];

    #[inline(always)]
    unsafe fn call<K: Kernel>(kernel: K) -> K::Output {
        #[inline(never)]
        unsafe fn enabled<K: Kernel>(kernel: K) -> K::Output {
            // SAFETY: passed on from the caller.
            unsafe { kernel.run::<Portable>() }
        }
        // SAFETY: passed on from the caller.
        unsafe { enabled(kernel) }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Portable([x; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { Portable(from.cast::<[f32; 4]>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self {
        let mut lanes = [0.0; 4];
        for (i, lane) in lanes.iter_mut().enumerate().take(n) {
            *lane = unsafe { from.add(i).read() };
        }
        Portable(lanes)
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, n: usize) {
        for (i, lane) in self.0.into_iter().enumerate().take(n) {
            unsafe { to.add(i).write(lane) };
        }
    }

    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        unsafe { self.store(to) }
    }

    #[inline(always)]
    unsafe fn fence() {}

    #[inline(always)]
    unsafe fn load_half(from: *const Bf16, n: usize) -> Self {
        let mut lanes = [0.0; 4];
        for (i, lane) in lanes.iter_mut().enumerate().take(n) {
            *lane = unsafe { from.add(i).read() }.to_f32();
        }
        Portable(lanes)
    }

    #[inline(always)]
    unsafe fn store_half(self, to: *mut Bf16, n: usize) {
        for (i, lane) in self.0.into_iter().enumerate().take(n) {
            unsafe { to.add(i).write(Bf16::from_f32(lane)) };
        }
    }

    #[inline(always)]
    unsafe fn stream_half(self, to: *mut Bf16) {
        unsafe { self.store_half(to, Self::LANES) }
    }

    #[inline(always)]
    unsafe fn pair(self, upper: Self) -> Self {
        let upper_half = |x: f32| Bf16::from_f32(x).to_f32().to_bits();
        self.zip(upper, |lower, upper| f32::from_bits(upper_half(lower) >> 16 | upper_half(upper)))
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        self.zip(factor, |a, b| a * b).zip(addend, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn mul_sub(self, factor: Self, subtrahend: Self) -> Self {
        self.zip(factor, |a, b| a * b).zip(subtrahend, |a, b| a - b)
    }

    #[inline(always)]
    unsafe fn neg_mul_add(self, factor: Self, addend: Self) -> Self {
        self.zip(factor, |a, b| a * b).zip(addend, |a, b| b - a)
    }

    #[inline(always)]
    unsafe fn clamp(self, low: Self, high: Self) -> Self {
        self.zip(low, |x, low| if x < low { low } else { x }).zip(high, |x, high| if x > high { high } else { x })
    }

    #[inline(always)]
    unsafe fn zero_where_at_most(self, x: Self, bound: Self) -> Self {
        let kept = x.zip(bound, |x, bound| if x <= bound { 0.0 } else { 1.0 });
        self.zip(kept, |value, kept| if kept == 0.0 { 0.0 } else { value })
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        // Adding and taking away 1.5 * 2^23 leaves no bits below one; the callers' range is far smaller.
        const SHIFT: f32 = 12_582_912.0;
        self.map(|x| (x + SHIFT) - SHIFT)
    }

    #[inline(always)]
    unsafe fn scale(self, exponent: Self) -> Self {
        self.zip(exponent, |x, n| x * f32::from_bits(((n as i32 + 127) as u32) << 23))
    }

    #[inline(always)]
    unsafe fn recip(self) -> Self {
        self.map(|x| 1.0 / x)
    }

    #[inline(always)]
    unsafe fn first(self, n: usize) -> Self {
        let mut lanes = self.0;
        lanes[n..].fill(0.0);
        Portable(lanes)
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let [a, b, c, d] = self.0;
        (a + c) + (b + d)
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, to: *mut f32) {
        for row in 0..4 {
            for column in 0..4 {
                unsafe { to.add(column * 4 + row).write(from.add(row * stride + column).read()) };
            }
        }
    }
}
