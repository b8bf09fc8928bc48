//! Denormal numbers are zeros to a kernel: a gradient that halves at every step of a long sequence is below 2⁻¹²⁶ after 126 of them, and
//! arithmetic on what is left takes a hundred times as long. PyTorch computes with them unless told otherwise (`torch.set_flush_denormal`).

/// While it lives, this thread reads and writes denormal numbers as zeros. Elsewhere than on x86-64 it does nothing.
pub(crate) struct Flush {
    #[cfg(target_arch = "x86_64")]
    before: u32,
}

#[cfg(target_arch = "x86_64")]
impl Flush {
    /// Flush to zero and denormals are zeros, of the control and status register of SSE.
    const BITS: u32 = 1 << 15 | 1 << 6;

    pub(crate) fn begin() -> Flush {
        let mut before = 0;
        // SAFETY: stores the register, and loads it with two more bits, which `drop` takes back.
        unsafe {
            std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut before, options(nostack, preserves_flags));
            load(before | Flush::BITS);
        }
        Flush { before }
    }
}

#[cfg(target_arch = "x86_64")]
impl Drop for Flush {
    fn drop(&mut self) {
        // SAFETY: as the thread had it.
        unsafe { load(self.before) }
    }
}

/// # Safety
/// What Rust computes meanwhile must not depend on denormal numbers.
#[cfg(target_arch = "x86_64")]
unsafe fn load(register: u32) {
    // SAFETY: passed on from the caller.
    unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const register, options(nostack, preserves_flags, readonly)) }
}

#[cfg(not(target_arch = "x86_64"))]
impl Flush {
    pub(crate) fn begin() -> Flush {
        Flush {}
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn denormal_numbers_are_zeros_within_and_numbers_without() {
        let half = || black_box(f32::MIN_POSITIVE) * black_box(0.5);
        assert!(half() > 0.0);
        let flush = Flush::begin();
        assert_eq!(half(), 0.0);
        drop(flush);
        assert!(half() > 0.0);
    }
}
