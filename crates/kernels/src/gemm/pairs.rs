//! The micro-kernel for pairs of bfloat16: every 32 bits of A and B are two neighbours along K, and one instruction multiplies both and adds
//! them to a float32 sum.

use std::arch::x86_64::{__m512, __m512bh, _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps};
use std::arch::x86_64::{_mm512_set1_epi32, _mm512_setzero_ps, _mm512_storeu_ps};
use std::mem::transmute;
use std::ptr::null;

use super::tile::{Panel, Tile};

/// As [`super::tile`], where `k` counts pairs.
///
/// # Safety
/// As for [`super::tile`], and the CPU has AVX512-BF16.
pub(super) unsafe fn tile(k: usize, rows: &Tile, panel: &Panel) {
    macro_rules! fixed {
        ($m:literal) => {
            match panel.len {
                // SAFETY: passed on from the caller.
                1 => unsafe { fixed::<$m, 1>(k, rows, panel) },
                // SAFETY: passed on from the caller.
                2 => unsafe { fixed::<$m, 2>(k, rows, panel) },
                // SAFETY: passed on from the caller.
                _ => unsafe { fixed::<$m, 4>(k, rows, panel) },
            }
        };
    }
    match rows.len {
        1 => fixed!(1),
        2 => fixed!(2),
        3 => fixed!(3),
        4 => fixed!(4),
        5 => fixed!(5),
        6 => fixed!(6),
        _ => {}
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn fixed<const M: usize, const N: usize>(k: usize, rows: &Tile, panel: &Panel) {
    let (step, stride) = (rows.step, panel.stride);
    let (mut a, mut b) = ([null::<f32>(); M], [null(); N]);
    a.copy_from_slice(&rows.a[..M]);
    b.copy_from_slice(&panel.b[..N]);
    let last = ((1_u32 << panel.last) - 1) as u16;
    // SAFETY: the caller of `tile` vouches for every pointer; a register of float32 and one of pairs are the same 512 bits.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); N]; M];
        if !rows.init[0].is_null() {
            for i in 0..M {
                for j in 0..N - 1 {
                    sums[i][j] = _mm512_loadu_ps(rows.init[i].add(panel.offset[j]));
                }
                sums[i][N - 1] = _mm512_maskz_loadu_ps(last, rows.init[i].add(panel.offset[N - 1]));
            }
        }
        for p in 0..k {
            let mut row = [_mm512_setzero_ps(); N];
            for j in 0..N {
                row[j] = _mm512_loadu_ps(b[j].add(p * stride));
            }
            for i in 0..M {
                let x = transmute::<_, __m512bh>(_mm512_set1_epi32(a[i].add(p * step).cast::<i32>().read()));
                for j in 0..N {
                    sums[i][j] = _mm512_dpbf16_ps(sums[i][j], x, transmute::<__m512, __m512bh>(row[j]));
                }
            }
        }
        for i in 0..M {
            for j in 0..N - 1 {
                _mm512_storeu_ps(rows.out[i].add(panel.offset[j]), sums[i][j]);
            }
            _mm512_mask_storeu_ps(rows.out[i].add(panel.offset[N - 1]), last, sums[i][N - 1]);
        }
    }
}
