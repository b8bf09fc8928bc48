//! Memory of large results.
use std::mem::MaybeUninit;
use std::ops::Range;

/// The alignment of results that become tensors, that of libtorch's own.
pub const ALIGN: usize = 64;

/// The bytes of `count` aligned elements that `make` writes, and where among those given back they stand; none where memory does not hold them.
///
/// # Safety
/// `make` must write each element.
pub unsafe fn filled<T: Copy>(count: usize, make: impl FnOnce(&mut [MaybeUninit<T>])) -> Option<(Vec<u8>, Range<usize>)> {
    let size = count.checked_mul(size_of::<T>())?;
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(size.saturating_add(ALIGN)).ok()?;
    let start = bytes.as_ptr().align_offset(ALIGN);
    bytes.resize(start, 0);
    let spare = &mut bytes.spare_capacity_mut()[..size];
    in_huge_pages(spare);
    // SAFETY: places for values of T may be made of places for bytes; the alignment is that of T or more, so nothing is left out.
    let (_, places, _) = unsafe { spare.align_to_mut::<MaybeUninit<T>>() };
    if size > 0 {
        make(places);
    }
    // SAFETY: the caller vouches for each element.
    unsafe { bytes.set_len(start + size) };
    Some((bytes, start..start + size))
}

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
