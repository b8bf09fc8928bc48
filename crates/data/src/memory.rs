//! What large results ask of the system's memory.
use std::mem::MaybeUninit;

/// Asks for huge pages: a fault for each 4 KiB of a large result would take a tenth of the time of making it.
pub fn in_huge_pages<T>(memory: &mut [MaybeUninit<T>]) {
    const HUGE: usize = 2 << 20;
    let bytes = size_of_val(memory);
    #[cfg(target_os = "linux")]
    if bytes >= 2 * HUGE {
        let start = memory.as_mut_ptr().cast::<u8>();
        let skip = start.align_offset(HUGE);
        // SAFETY: the range lies within `memory`, and the advice changes no contents. Without it everything is the same, so failure is no matter.
        unsafe { libc::madvise(start.wrapping_add(skip).cast(), (bytes - skip) & !(HUGE - 1), libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (HUGE, bytes);
}
