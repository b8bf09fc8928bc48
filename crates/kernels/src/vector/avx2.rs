//! AVX2 and FMA: 8 lanes, 16 registers.

#![allow(clippy::wildcard_imports)] // dozens of intrinsics, all with one prefix

use std::arch::x86_64::*;

use super::{Kernel, Vector};
use crate::bfloat16::Bf16;

#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256);

static ONES_THEN_ZEROS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// All bits set in the first `n` lanes.
#[inline(always)]
unsafe fn first(n: usize) -> __m256i {
    debug_assert!(n <= 8);
    // SAFETY: 8 - n .. 16 - n lies within the table.
    unsafe { _mm256_loadu_si256(ONES_THEN_ZEROS.as_ptr().add(8 - n).cast()) }
}

/// Each lane rounded to bfloat16, in its lower half.
#[inline(always)]
unsafe fn rounded(x: Avx2) -> __m256i {
    // SAFETY: the caller has the instruction set.
    unsafe {
        let bits = _mm256_castps_si256(x.0);
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let nearest = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
        let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(x.0, x.0));
        _mm256_blendv_epi8(_mm256_srli_epi32::<16>(nearest), _mm256_set1_epi32(0x7fc0), nan)
    }
}

/// Each lane rounded to bfloat16, one after the other.
#[inline(always)]
unsafe fn halves(x: Avx2) -> __m128i {
    // SAFETY: the caller has the instruction set.
    unsafe {
        let bits = rounded(x);
        _mm_packus_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256::<1>(bits))
    }
}

impl Vector for Avx2 {
    const LANES: usize = 8;
    const WIDTHS: [usize; 6] = [4, 4, 4, 2, 2, 2];

    #[inline(always)]
    unsafe fn call<K: Kernel>(kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn enabled<K: Kernel>(kernel: K) -> K::Output {
            // SAFETY: passed on from the caller.
            unsafe { kernel.run::<Avx2>() }
        }
        // SAFETY: passed on from the caller.
        unsafe { enabled(kernel) }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        unsafe { Avx2(_mm256_set1_ps(x)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { Avx2(_mm256_loadu_ps(from)) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self {
        unsafe { if n == Self::LANES { Self::load(from) } else { Avx2(_mm256_maskload_ps(from, first(n))) } }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, n: usize) {
        // A masked store is slower, and what it wrote is forwarded late to the next load.
        unsafe { if n == Self::LANES { _mm256_storeu_ps(to, self.0) } else { _mm256_maskstore_ps(to, first(n), self.0) } }
    }

    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        unsafe { _mm256_stream_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn fence() {
        unsafe { _mm_sfence() }
    }

    #[inline(always)]
    unsafe fn load_half(from: *const Bf16, n: usize) -> Self {
        unsafe {
            let mut some = [Bf16::default(); 8];
            let bits = if n == Self::LANES {
                _mm_loadu_si128(from.cast())
            } else {
                std::ptr::copy_nonoverlapping(from, some.as_mut_ptr(), n);
                _mm_loadu_si128(some.as_ptr().cast())
            };
            Avx2(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(bits))))
        }
    }

    #[inline(always)]
    unsafe fn store_half(self, to: *mut Bf16, n: usize) {
        unsafe {
            let bits = halves(self);
            if n == Self::LANES {
                return _mm_storeu_si128(to.cast(), bits);
            }
            let mut all = [Bf16::default(); 8];
            _mm_storeu_si128(all.as_mut_ptr().cast(), bits);
            std::ptr::copy_nonoverlapping(all.as_ptr(), to, n);
        }
    }

    #[inline(always)]
    unsafe fn stream_half(self, to: *mut Bf16) {
        unsafe { _mm_stream_si128(to.cast(), halves(self)) }
    }

    #[inline(always)]
    unsafe fn pair(self, upper: Self) -> Self {
        unsafe { Avx2(_mm256_castsi256_ps(_mm256_or_si256(rounded(self), _mm256_slli_epi32::<16>(rounded(upper))))) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Avx2(_mm256_add_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        unsafe { Avx2(_mm256_sub_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        unsafe { Avx2(_mm256_mul_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        unsafe { Avx2(_mm256_fmadd_ps(self.0, factor.0, addend.0)) }
    }

    #[inline(always)]
    unsafe fn mul_sub(self, factor: Self, subtrahend: Self) -> Self {
        unsafe { Avx2(_mm256_fmsub_ps(self.0, factor.0, subtrahend.0)) }
    }

    #[inline(always)]
    unsafe fn neg_mul_add(self, factor: Self, addend: Self) -> Self {
        unsafe { Avx2(_mm256_fnmadd_ps(self.0, factor.0, addend.0)) }
    }

    #[inline(always)]
    unsafe fn clamp(self, low: Self, high: Self) -> Self {
        // min and max return their second operand where either is NaN.
        unsafe { Avx2(_mm256_min_ps(high.0, _mm256_max_ps(low.0, self.0))) }
    }

    #[inline(always)]
    unsafe fn zero_where_at_most(self, x: Self, bound: Self) -> Self {
        unsafe { Avx2(_mm256_and_ps(_mm256_cmp_ps::<_CMP_NLE_UQ>(x.0, bound.0), self.0)) }
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        unsafe { Avx2(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0)) }
    }

    #[inline(always)]
    unsafe fn scale(self, exponent: Self) -> Self {
        unsafe {
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(exponent.0), _mm256_set1_epi32(127));
            self.mul(Avx2(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))))
        }
    }

    #[inline(always)]
    unsafe fn recip(self) -> Self {
        unsafe {
            let guess = Avx2(_mm256_rcp_ps(self.0));
            let error = self.neg_mul_add(guess, Self::splat(1.0));
            // Twelve bits: the second-order step leaves less than half a unit in the last place.
            let correction = error.mul_add(error, error);
            guess.mul_add(correction, guess)
        }
    }

    #[inline(always)]
    unsafe fn first(self, n: usize) -> Self {
        unsafe { Avx2(_mm256_and_ps(self.0, _mm256_castsi256_ps(first(n)))) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        unsafe {
            let half = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
        }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, to: *mut f32) {
        unsafe {
            // Pairs, then fours, then the 128-bit halves of eight rows change places.
            let mut a = [_mm256_setzero_ps(); 8];
            let mut b = a;
            for i in 0..4 {
                let x = _mm256_loadu_ps(from.add(2 * i * stride));
                let y = _mm256_loadu_ps(from.add((2 * i + 1) * stride));
                a[2 * i] = _mm256_unpacklo_ps(x, y);
                a[2 * i + 1] = _mm256_unpackhi_ps(x, y);
            }
            for i in 0..2 {
                for j in 0..2 {
                    let (x, y) = (_mm256_castps_pd(a[4 * i + j]), _mm256_castps_pd(a[4 * i + j + 2]));
                    b[4 * i + 2 * j] = _mm256_castpd_ps(_mm256_unpacklo_pd(x, y));
                    b[4 * i + 2 * j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(x, y));
                }
            }
            for j in 0..4 {
                _mm256_storeu_ps(to.add(j * 8), _mm256_permute2f128_ps::<0x20>(b[j], b[4 + j]));
                _mm256_storeu_ps(to.add((j + 4) * 8), _mm256_permute2f128_ps::<0x31>(b[j], b[4 + j]));
            }
        }
    }
}
