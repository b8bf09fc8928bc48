//! The multiply-add peak of this machine: chains of multiply-adds on registers, on every thread at once.

use quarterturn_kernels::Isa;

use crate::clock::processor_seconds;

/// Independent chains: more than any CPU's multiply-add has latency times throughput.
const CHAINS: usize = 12;
const ROUNDS: usize = 20_000_000;

/// GF/s of `threads` threads together; of the portable path, what plain multiply and add give.
pub fn multiply_add(isa: Isa, threads: usize) -> f64 {
    let mut rates: Vec<f64> = (0..3).map(|_| once(isa, threads)).collect();
    rates.sort_by(f64::total_cmp);
    rates[1] / 1e9
}

fn once(isa: Isa, threads: usize) -> f64 {
    let start = processor_seconds();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            // SAFETY: `Isa` was checked by whoever chose it.
            scope.spawn(move || std::hint::black_box(unsafe { chains(isa) }));
        }
    });
    let seconds = (processor_seconds() - start) / threads as f64;
    (threads * ROUNDS * CHAINS * isa.lanes() * 2) as f64 / seconds
}

unsafe fn chains(isa: Isa) -> f32 {
    // SAFETY: passed on from the caller.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 | Isa::Avx512 => avx512(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2(),
            _ => portable(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512() -> f32 {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps};
    let (factor, mut sums) = (_mm512_set1_ps(0.999), [_mm512_set1_ps(1.0); CHAINS]);
    for _ in 0..ROUNDS {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, factor, factor);
        }
    }
    sums.into_iter().map(|sum| _mm512_reduce_add_ps(sum)).sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2() -> f32 {
    use std::arch::x86_64::{_mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps};
    let (factor, mut sums) = (_mm256_set1_ps(0.999), [_mm256_set1_ps(1.0); CHAINS]);
    for _ in 0..ROUNDS {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, factor, factor);
        }
    }
    sums.into_iter().map(|sum| _mm256_cvtss_f32(sum)).sum()
}

fn portable() -> f32 {
    let (factor, mut sums) = (std::hint::black_box(0.999_f32), [[1.0_f32; 4]; CHAINS]);
    for _ in 0..ROUNDS {
        for lane in sums.iter_mut().flatten() {
            *lane = *lane * factor + factor;
        }
    }
    sums.into_iter().flatten().sum()
}
