//! What the process does with freed memory.
use crate::shim;

/// Keeps the memory of tensors for reuse (`shim/allocator.cpp`), and has the C library do the same with the scratch
/// memory of libtorch's kernels.
pub fn keep() {
    shim::keep_memory();
    keep_scratch();
}

/// Returns what is kept and unused to the system.
pub fn trim() {
    shim::trim_memory();
    trim_scratch();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_scratch() {
    // SAFETY: sets limits of the allocator.
    unsafe {
        // No fast bins: sorting them out at every larger block costs a tiny step 5 %.
        libc::mallopt(libc::M_MXFAST, 0);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 << 20);
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim_scratch() {
    // SAFETY: the allocator's own function, safe from any thread.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_scratch() {}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim_scratch() {}
