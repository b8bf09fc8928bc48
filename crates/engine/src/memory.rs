//! What the process does with freed memory, and how many slots there are.
use std::sync::atomic::{AtomicUsize, Ordering};

static SLOTS: AtomicUsize = AtomicUsize::new(0);

/// Remembers how many slots all environments hold together.
pub fn count_slots(count: usize) {
    SLOTS.store(count, Ordering::Relaxed);
}

/// How many slots all environments held when the engine last looked.
#[must_use]
pub fn slots() -> usize {
    SLOTS.load(Ordering::Relaxed)
}

/// Has the C library keep what libtorch frees: a training step allocates the same sizes again, and returning pages to
/// the system and faulting them in anew costs more than some operations.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep() {
    const LARGEST: [i32; 2] = [1 << 30, 32 << 20];
    // SAFETY: sets limits of the allocator. Older versions of glibc refuse the larger threshold.
    unsafe {
        if libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST[0]) == 0 {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST[1]);
        }
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 256 << 20);
    }
}

/// Other C libraries have their own ways.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep() {}

/// Returns what is kept to the system.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn trim() {
    // SAFETY: the allocator's own function, safe from any thread.
    unsafe { libc::malloc_trim(0) };
}

/// There is nothing to return.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn trim() {}
