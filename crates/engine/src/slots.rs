//! The slots of one environment: each holds a tensor, or the error that stands in its place.
use crate::error::Failure;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tch::Tensor;

/// What a slot holds.
#[derive(Debug)]
pub enum Value {
    Tensor(Tensor),
    Error(Arc<Failure>),
}

/// Hashes an id by one multiplication: ids are small, distinct and not chosen by an adversary.
#[derive(Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }
}

/// A map keyed by ids.
pub type IdMap<T> = HashMap<u64, T, BuildHasherDefault<IdHasher>>;

/// A set of ids.
pub type IdSet = HashSet<u64, BuildHasherDefault<IdHasher>>;

/// A table of slots.
#[derive(Debug, Default)]
pub struct Slots {
    values: IdMap<Value>,
}

impl Slots {
    #[must_use]
    pub fn get(&self, id: u64) -> Option<&Value> {
        self.values.get(&id)
    }

    #[must_use]
    pub fn contains(&self, id: u64) -> bool {
        self.values.contains_key(&id)
    }

    /// Fills a slot. Id 0 is no slot.
    pub fn set(&mut self, id: u64, value: Value) {
        if id != 0 && self.values.insert(id, value).is_none() {
            COUNT.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Empties a slot; one that is empty already is left so.
    pub fn free(&mut self, id: u64) {
        if self.values.remove(&id).is_some() {
            COUNT.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        COUNT.fetch_sub(self.values.len(), Ordering::Relaxed);
    }
}

/// Slots of all tables.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// How many slots all environments hold.
#[must_use]
pub fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Fault;

    #[test]
    fn slots_hold_tensors_or_errors_and_are_freed_once() {
        let mut slots = Slots::default();
        slots.set(0, Value::Tensor(Tensor::from(1.0)));
        assert!(!slots.contains(0));
        for id in 1..=1000 {
            slots.set(id, Value::Tensor(Tensor::from(f64::from(u16::try_from(id).unwrap()))));
        }
        slots.set(7, Value::Error(Arc::new(Fault::engine("x").into_failure("add", 3))));
        assert!(matches!(slots.get(7), Some(Value::Error(failure)) if failure.sequence == 3));
        assert!(matches!(slots.get(8), Some(Value::Tensor(tensor)) if tensor.double_value(&[]) == 8.0));
        slots.free(7);
        slots.free(7);
        assert!(!slots.contains(7) && count() >= 999);
    }
}
