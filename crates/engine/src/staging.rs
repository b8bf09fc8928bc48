//! Bytes set aside by the caller until an operation consumes them.
use crate::error::Fault;
use crate::slots::IdMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many bytes the C library maps afresh each time, so nothing is lost by giving them away.
const LARGE: usize = 32 << 20;

/// Bytes, perhaps a part of something larger that is shared.
#[derive(Clone, Debug)]
pub struct Bytes {
    whole: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl Bytes {
    /// A part of shared bytes.
    #[must_use]
    pub fn part(whole: &Arc<Vec<u8>>, range: Range<usize>) -> Self {
        Self { whole: Arc::clone(whole), range }
    }

    /// A large array of bytes that nobody else has: it can become the memory of a tensor. Smaller ones are copied into memory that is kept and used again.
    pub fn alone(self) -> Result<(Vec<u8>, Range<usize>), Self> {
        if self.range.len() < LARGE {
            return Err(self);
        }
        let Self { whole, range } = self;
        Arc::try_unwrap(whole).map_or_else(|whole| Err(Self { whole, range: range.clone() }), |whole| Ok((whole, range.clone())))
    }

    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.whole.get(self.range.clone()).unwrap_or_default()
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self { range: 0..bytes.len(), whole: Arc::new(bytes) }
    }
}

/// What one environment has set aside.
#[derive(Debug, Default)]
pub struct Staging {
    next: AtomicU64,
    bytes: Mutex<IdMap<Bytes>>,
}

impl Staging {
    fn lock(&self) -> MutexGuard<'_, IdMap<Bytes>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts bytes aside and names them.
    pub fn put(&self, bytes: Bytes) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.lock().insert(id, bytes);
        id
    }

    /// Takes bytes out.
    pub fn take(&self, id: u64) -> Result<Bytes, Fault> {
        self.lock().remove(&id).ok_or_else(|| Fault::engine(format!("nothing is staged as {id}")))
    }

    /// How many bytes are set aside.
    #[must_use]
    pub fn size(&self) -> usize {
        self.lock().values().map(|bytes| bytes.range.len()).sum()
    }

    pub fn clear(&self) {
        self.lock().clear();
    }
}
