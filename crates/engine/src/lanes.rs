//! A unit of lane 1: a submission that runs whole, ahead of lane 0, once every slot it uses from outside exists.
use crate::decode::{Entries, id};
use crate::environment::Environment;
use crate::op::Op;
use crate::queue::Submission;
use crate::slots::IdSet;
use std::sync::Arc;

/// A unit that waits.
pub struct Unit {
    submission: Arc<Submission>,
    /// Every slot it uses from outside.
    needs: IdSet,
    /// Those of them that do not exist yet.
    missing: Vec<u64>,
    /// Whether it may run amid a search: it changes nothing in place and is no search itself.
    light: bool,
    /// Slots whose release was put off until it has run.
    released: Vec<u64>,
}

impl Unit {
    #[must_use]
    pub fn new(submission: Submission, exists: impl Fn(u64) -> bool) -> Self {
        let (mut needs, mut made) = (IdSet::default(), IdSet::default());
        let mut light = true;
        for entry in Entries::new(&submission.words).flatten() {
            light &= entry.op != Op::Search && !entry.op.without_gradient();
            for word in entry.inputs {
                let id = id(*word);
                if id != 0 && !made.contains(&id) && (entry.op != Op::Free || exists(id)) {
                    needs.insert(id);
                }
            }
            made.extend(entry.outputs.iter().map(|word| id(*word)));
        }
        let missing = needs.iter().copied().filter(|id| !exists(*id)).collect();
        Self { submission: Arc::new(submission), needs, missing, light, released: Vec::new() }
    }

    #[must_use]
    pub fn environment(&self) -> &Arc<Environment> {
        &self.submission.environment
    }

    #[must_use]
    pub fn submission(&self) -> Arc<Submission> {
        Arc::clone(&self.submission)
    }

    /// Whether it can run. It also can when waiting is hopeless, and then fails where the slot is used: something was
    /// handed over in lane 0 after the unit, and all of lane 0 is done. `done` is the last submission of lane 0 that is.
    pub fn is_ready(&mut self, exists: impl Fn(u64) -> bool, done: u64) -> bool {
        self.missing.retain(|id| !exists(*id));
        self.missing.is_empty() || (done > self.submission.number && done == self.environment().last_in_order())
    }

    #[must_use]
    pub fn is_light(&self) -> bool {
        self.light
    }

    #[must_use]
    pub fn needs(&self, id: u64) -> bool {
        self.needs.contains(&id)
    }

    /// Puts off the release of a slot that it needs.
    pub fn release_after(&mut self, id: u64) {
        self.released.push(id);
    }

    pub fn take_released(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.released)
    }
}
