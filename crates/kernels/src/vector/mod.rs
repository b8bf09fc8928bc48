//! A vector of floats, so that each kernel is written once and compiled for every instruction set.
//!
//! Vector code is a [`Kernel`]: a struct of arguments with one generic `run`. [`Vector::call`] compiles that `run`, and everything
//! inlined into it, with the instruction set enabled. All code below a kernel is therefore `#[inline(always)]`, takes pointers rather
//! than closures, and is entered through `call` only.

use std::ops::Range;

use crate::bfloat16::Bf16;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use portable::Portable;

#[cfg(target_arch = "x86_64")]
const CACHE_LINE: usize = 64;

/// Asks for some floats of a row that will be needed soon; nothing of it need be readable.
#[inline(always)]
pub(crate) fn prefetch_row(row: *const f32, units: Range<usize>) {
    #[cfg(target_arch = "x86_64")]
    for unit in units.step_by(CACHE_LINE / size_of::<f32>()) {
        // SAFETY: every x86-64 has the instruction, and it never faults.
        unsafe { std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(row.wrapping_add(unit).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (row, units);
}

/// Work that is written once over [`Vector`] and compiled for each instruction set.
pub(crate) trait Kernel {
    type Output;

    /// Must be `#[inline(always)]`.
    ///
    /// # Safety
    /// Only from [`Vector::call`]; each kernel says what its pointers must hold.
    unsafe fn run<V: Vector>(self) -> Self::Output;
}

/// `LANES` floats in a register.
///
/// # Safety
/// All methods need the CPU to support the instruction set; that is checked once, where a [`crate::Context`] is made.
/// `load*` read and `store*` write that many floats at the pointer, at any alignment (`stream` wants it a multiple of the vector's size).
pub(crate) trait Vector: Copy {
    const LANES: usize;
    /// Vectors side by side in a tile of 1, 2, … 6 rows: as many accumulators as there are registers for, and enough to hide the latency of a multiply-add.
    const WIDTHS: [usize; 6];

    /// Runs `kernel` with the instruction set enabled.
    unsafe fn call<K: Kernel>(kernel: K) -> K::Output;

    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    /// The first `n <= LANES` floats; zeros above.
    unsafe fn load_first(from: *const f32, n: usize) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// Writes the first `n <= LANES` lanes only.
    unsafe fn store_first(self, to: *mut f32, n: usize);
    /// Stores past the caches; seen by other threads after a `fence`.
    unsafe fn stream(self, to: *mut f32);
    unsafe fn fence();
    /// The first `n <= LANES` bfloat16 numbers, widened; zeros above.
    unsafe fn load_half(from: *const Bf16, n: usize) -> Self;
    /// Rounds and writes the first `n <= LANES` lanes.
    unsafe fn store_half(self, to: *mut Bf16, n: usize);
    /// Rounds, and stores past the caches where the instruction set can.
    unsafe fn stream_half(self, to: *mut Bf16);
    /// Both rounded to bfloat16, side by side in each lane: this one in the lower half.
    unsafe fn pair(self, upper: Self) -> Self;

    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// `self * factor + addend`
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// `self * factor - subtrahend`
    unsafe fn mul_sub(self, factor: Self, subtrahend: Self) -> Self;
    /// `addend - self * factor`
    unsafe fn neg_mul_add(self, factor: Self, addend: Self) -> Self;
    /// `self`, held within `[low, high]`; NaN stays NaN.
    unsafe fn clamp(self, low: Self, high: Self) -> Self;
    /// `self` where `!(x <= bound)`, so also where x is NaN; zero elsewhere.
    unsafe fn zero_where_at_most(self, x: Self, bound: Self) -> Self;
    /// The nearest integer, ties to even.
    unsafe fn round(self) -> Self;
    /// `self * 2^exponent`, for whole exponents from -126 to 127.
    unsafe fn scale(self, exponent: Self) -> Self;
    /// `1 / self` to about one unit in the last place, for finite normal numbers.
    unsafe fn recip(self) -> Self;
    /// The first `n <= LANES` lanes; zeros above.
    unsafe fn first(self, n: usize) -> Self;
    /// Sum of all lanes.
    unsafe fn sum(self) -> f32;

    /// Turns `LANES` rows of `LANES` floats, `stride` floats apart, into `LANES` columns, one after the other.
    unsafe fn transpose(from: *const f32, stride: usize, to: *mut f32);

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller has the instruction set.
        unsafe { Self::splat(0.0) }
    }
}
