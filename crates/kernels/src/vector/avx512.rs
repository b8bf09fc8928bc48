//! AVX-512: 16 lanes, 32 registers, masks for remainders.

#![allow(clippy::wildcard_imports)] // dozens of intrinsics, all with one prefix

use std::arch::x86_64::*;

use super::{Kernel, Vector};
use crate::bfloat16::Bf16;

#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

#[inline(always)]
fn first(n: usize) -> __mmask16 {
    debug_assert!(n <= 16);
    ((1_u32 << n) - 1) as __mmask16
}

/// Each lane rounded to bfloat16, in its lower half.
#[inline(always)]
unsafe fn rounded(x: Avx512) -> __m512i {
    // SAFETY: the caller has the instruction set.
    unsafe {
        let bits = _mm512_castps_si512(x.0);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let nearest = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x.0, x.0);
        _mm512_mask_mov_epi32(_mm512_srli_epi32::<16>(nearest), nan, _mm512_set1_epi32(0x7fc0))
    }
}

impl Vector for Avx512 {
    const LANES: usize = 16;
    const WIDTHS: [usize; 6] = [4; 6];

    #[inline(always)]
    unsafe fn call<K: Kernel>(kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
        unsafe fn enabled<K: Kernel>(kernel: K) -> K::Output {
            // SAFETY: passed on from the caller.
            unsafe { kernel.run::<Avx512>() }
        }
        // SAFETY: passed on from the caller.
        unsafe { enabled(kernel) }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        unsafe { Avx512(_mm512_set1_ps(x)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { Avx512(_mm512_loadu_ps(from)) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self {
        unsafe { if n == Self::LANES { Self::load(from) } else { Avx512(_mm512_maskz_loadu_ps(first(n), from)) } }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, n: usize) {
        // A masked store is slower, and what it wrote is forwarded late to the next load.
        unsafe { if n == Self::LANES { _mm512_storeu_ps(to, self.0) } else { _mm512_mask_storeu_ps(to, first(n), self.0) } }
    }

    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        unsafe { _mm512_stream_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn fence() {
        unsafe { _mm_sfence() }
    }

    #[inline(always)]
    unsafe fn load_half(from: *const Bf16, n: usize) -> Self {
        unsafe {
            let bits = if n == Self::LANES { _mm256_loadu_si256(from.cast()) } else { _mm256_maskz_loadu_epi16(first(n), from.cast()) };
            Avx512(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits))))
        }
    }

    #[inline(always)]
    unsafe fn store_half(self, to: *mut Bf16, n: usize) {
        unsafe {
            let bits = _mm512_cvtepi32_epi16(rounded(self));
            if n == Self::LANES { _mm256_storeu_si256(to.cast(), bits) } else { _mm256_mask_storeu_epi16(to.cast(), first(n), bits) }
        }
    }

    #[inline(always)]
    unsafe fn stream_half(self, to: *mut Bf16) {
        unsafe { _mm256_stream_si256(to.cast(), _mm512_cvtepi32_epi16(rounded(self))) }
    }

    #[inline(always)]
    unsafe fn pair(self, upper: Self) -> Self {
        unsafe { Avx512(_mm512_castsi512_ps(_mm512_or_si512(rounded(self), _mm512_slli_epi32::<16>(rounded(upper))))) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Avx512(_mm512_add_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        unsafe { Avx512(_mm512_sub_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        unsafe { Avx512(_mm512_mul_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        unsafe { Avx512(_mm512_fmadd_ps(self.0, factor.0, addend.0)) }
    }

    #[inline(always)]
    unsafe fn mul_sub(self, factor: Self, subtrahend: Self) -> Self {
        unsafe { Avx512(_mm512_fmsub_ps(self.0, factor.0, subtrahend.0)) }
    }

    #[inline(always)]
    unsafe fn neg_mul_add(self, factor: Self, addend: Self) -> Self {
        unsafe { Avx512(_mm512_fnmadd_ps(self.0, factor.0, addend.0)) }
    }

    #[inline(always)]
    unsafe fn clamp(self, low: Self, high: Self) -> Self {
        // min and max return their second operand where either is NaN.
        unsafe { Avx512(_mm512_min_ps(high.0, _mm512_max_ps(low.0, self.0))) }
    }

    #[inline(always)]
    unsafe fn zero_where_at_most(self, x: Self, bound: Self) -> Self {
        unsafe { Avx512(_mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLE_UQ>(x.0, bound.0), self.0)) }
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        unsafe { Avx512(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0)) }
    }

    #[inline(always)]
    unsafe fn scale(self, exponent: Self) -> Self {
        unsafe { Avx512(_mm512_scalef_ps(self.0, exponent.0)) }
    }

    #[inline(always)]
    unsafe fn recip(self) -> Self {
        unsafe {
            let guess = Avx512(_mm512_rcp14_ps(self.0));
            let error = self.neg_mul_add(guess, Self::splat(1.0));
            guess.mul_add(error, guess)
        }
    }

    #[inline(always)]
    unsafe fn first(self, n: usize) -> Self {
        unsafe { Avx512(_mm512_maskz_mov_ps(first(n), self.0)) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        unsafe { _mm512_reduce_add_ps(self.0) }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, to: *mut f32) {
        unsafe {
            // Pairs, then fours, then the 128-bit quarters of sixteen rows change places.
            let mut a = [_mm512_setzero_ps(); 16];
            let mut b = a;
            for i in 0..8 {
                let x = _mm512_loadu_ps(from.add(2 * i * stride));
                let y = _mm512_loadu_ps(from.add((2 * i + 1) * stride));
                a[2 * i] = _mm512_unpacklo_ps(x, y);
                a[2 * i + 1] = _mm512_unpackhi_ps(x, y);
            }
            for i in 0..4 {
                for j in 0..2 {
                    let (x, y) = (_mm512_castps_pd(a[4 * i + j]), _mm512_castps_pd(a[4 * i + j + 2]));
                    b[4 * i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
                    b[4 * i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
                }
            }
            for j in 0..4 {
                let low = (_mm512_shuffle_f32x4::<0x88>(b[j], b[4 + j]), _mm512_shuffle_f32x4::<0xdd>(b[j], b[4 + j]));
                let high = (_mm512_shuffle_f32x4::<0x88>(b[8 + j], b[12 + j]), _mm512_shuffle_f32x4::<0xdd>(b[8 + j], b[12 + j]));
                _mm512_storeu_ps(to.add(j * 16), _mm512_shuffle_f32x4::<0x88>(low.0, high.0));
                _mm512_storeu_ps(to.add((j + 4) * 16), _mm512_shuffle_f32x4::<0x88>(low.1, high.1));
                _mm512_storeu_ps(to.add((j + 8) * 16), _mm512_shuffle_f32x4::<0xdd>(low.0, high.0));
                _mm512_storeu_ps(to.add((j + 12) * 16), _mm512_shuffle_f32x4::<0xdd>(low.1, high.1));
            }
        }
    }
}
