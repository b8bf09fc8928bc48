//! Memory that is kept: blocks of floats on large pages, handed out and taken back, never returned to the system in between.
//!
//! A fresh mapping costs a page fault every 4 KB; over a training step that is more than the arithmetic of some layers. Scratch of the
//! kernels, packed weights and what a forward pass saves for its backward all come from here.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

const LARGE_PAGE: usize = 2 << 20;
const CACHE_LINE: usize = 64;
/// Blocks are kept up to the most bytes that were ever in use at one time, and at least this many.
const KEPT_AT_LEAST: usize = 64 << 20;

/// Keeps blocks for reuse; cheap to clone, shared by all clones.
#[derive(Clone, Debug, Default)]
pub struct Pool(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    free: Vec<Block>,
    free_bytes: usize,
    used_bytes: usize,
    most_used_bytes: usize,
}

/// Raw memory of `layout`, all of it initialised.
#[derive(Debug)]
struct Block {
    start: NonNull<f32>,
    layout: Layout,
}

// SAFETY: a block is plain memory with one owner.
unsafe impl Send for Block {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Block {}

/// Floats borrowed from a [`Pool`], given back when dropped. New ones hold whatever the last owner left there.
#[derive(Debug)]
pub struct Buffer {
    /// `None` for an empty buffer.
    block: Option<Block>,
    len: usize,
    pool: Pool,
}

impl Pool {
    /// The pool that the kernels use unless told otherwise.
    #[must_use]
    pub fn global() -> &'static Pool {
        static GLOBAL: OnceLock<Pool> = OnceLock::new();
        GLOBAL.get_or_init(Pool::default)
    }

    /// `len` floats, aligned to a cache line (to a large page from 1 MB on). Contents are arbitrary.
    #[must_use]
    pub fn take(&self, len: usize) -> Buffer {
        if len == 0 {
            return Buffer { block: None, len, pool: self.clone() };
        }
        let layout = layout(len);
        let mut state = self.lock();
        let fits =
            |block: &Block| (layout.size()..=2 * layout.size()).contains(&block.layout.size()) && block.layout.align() >= layout.align();
        let best = (0..state.free.len()).filter(|&i| fits(&state.free[i])).min_by_key(|&i| state.free[i].layout.size());
        let block = match best {
            Some(i) => state.free.swap_remove(i),
            None => Block::new(layout),
        };
        if best.is_some() {
            state.free_bytes -= block.layout.size();
        }
        state.used_bytes += block.layout.size();
        state.most_used_bytes = state.most_used_bytes.max(state.used_bytes);
        drop(state);
        Buffer { block: Some(block), len, pool: self.clone() }
    }

    /// Gives every block that nobody uses back to the system.
    pub fn trim(&self) {
        let mut state = self.lock();
        state.free_bytes = 0;
        state.most_used_bytes = state.used_bytes;
        let free = std::mem::take(&mut state.free);
        drop(state);
        drop(free);
    }

    /// Bytes of blocks that nobody uses at the moment.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.lock().free_bytes
    }

    fn give_back(&self, block: Block) {
        let mut state = self.lock();
        let size = block.layout.size();
        state.used_bytes -= size;
        state.free_bytes += size;
        state.free.push(block);
        let most = state.most_used_bytes.max(KEPT_AT_LEAST);
        let mut surplus = Vec::new();
        while state.free_bytes > most {
            // The one unused for longest.
            let oldest = state.free.remove(0);
            state.free_bytes -= oldest.layout.size();
            surplus.push(oldest);
        }
        drop(state);
        drop(surplus);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The size and alignment of a block for `len` floats.
fn layout(len: usize) -> Layout {
    let bytes = len.checked_mul(size_of::<f32>());
    let large = bytes.is_none_or(|bytes| bytes >= LARGE_PAGE / 2);
    let unit = if large { LARGE_PAGE } else { 4096 };
    let size = bytes.and_then(|bytes| bytes.checked_next_multiple_of(unit));
    let layout = size.and_then(|size| Layout::from_size_align(size, if large { LARGE_PAGE } else { CACHE_LINE }).ok());
    layout.unwrap_or_else(|| handle_alloc_error(Layout::new::<f32>()))
}

impl Block {
    fn new(layout: Layout) -> Block {
        // SAFETY: the size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        #[allow(clippy::cast_ptr_alignment)] // every layout is aligned to a cache line at least
        let Some(start) = NonNull::new(start.cast::<f32>()) else { handle_alloc_error(layout) };
        #[cfg(all(target_os = "linux", not(miri)))]
        if layout.align() == LARGE_PAGE {
            // SAFETY: the range is ours. It is advice: a refusal changes nothing but speed.
            unsafe { libc::madvise(start.as_ptr().cast(), layout.size(), libc::MADV_HUGEPAGE) };
        }
        Block { start, layout }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.start.as_ptr().cast(), self.layout) };
    }
}

impl Buffer {
    pub(crate) fn start(&self) -> *mut f32 {
        self.block.as_ref().map_or(NonNull::dangling().as_ptr(), |block| block.start.as_ptr())
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: the block holds at least `len` initialised floats and is ours.
        unsafe { std::slice::from_raw_parts(self.start(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and nobody else has it.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.len) }
    }
}

impl Default for Buffer {
    fn default() -> Buffer {
        Buffer { block: None, len: 0, pool: Pool::global().clone() }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            self.pool.give_back(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_used_again() {
        let pool = Pool::default();
        let mut first = pool.take(1_000_000);
        first.fill(1.0);
        let place = first.start();
        assert_eq!(place as usize % LARGE_PAGE, 0);
        drop(first);
        assert!(pool.kept_bytes() >= 4_000_000);
        let second = pool.take(900_000);
        assert_eq!((second.start(), second.len(), pool.kept_bytes()), (place, 900_000, 0));
        let third = pool.take(900_000);
        assert_ne!(third.start(), place);
        drop((second, third));
        pool.trim();
        assert_eq!(pool.kept_bytes(), 0);
    }

    #[test]
    fn no_more_is_kept_than_was_ever_in_use() {
        let pool = Pool::default();
        for len in [3 << 20, 7 << 20, 15 << 20, 31 << 20] {
            drop(pool.take(len));
        }
        assert!(pool.kept_bytes() <= 31 * (4 << 20) + LARGE_PAGE, "{}", pool.kept_bytes());
        assert!(pool.take(0).is_empty());
    }
}
