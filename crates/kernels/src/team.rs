//! Threads that share one step of a recurrence: who has come, and a barrier between them that spins.
//!
//! A step of a small batch takes about a microsecond, so its threads meet by spinning. Spinning for a thread that never comes would hang,
//! and an executor promises nothing about which tasks overlap. So a team forms from whoever arrives within a short patience; later
//! tasks find it closed and go home. The split of the work follows the size that the team got; results do not depend on it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long the first to arrive waits: about twice the time that a parked thread needs to wake.
const PATIENCE: Duration = Duration::from_micros(60);
const CLOSED: usize = 1 << (usize::BITS - 1);
/// Spins before a waiting member gives its core away for a moment.
const SPINS: usize = 1 << 14;

/// A meeting place for up to `wanted` tasks.
pub(crate) struct Team {
    wanted: usize,
    /// Members so far, and [`CLOSED`].
    arrived: AtomicUsize,
    waiting: AtomicUsize,
    round: AtomicUsize,
    broken: AtomicBool,
}

/// One task's place in a team that has formed.
pub(crate) struct Member<'a> {
    team: &'a Team,
    pub(crate) rank: usize,
    pub(crate) size: usize,
}

impl Team {
    pub(crate) fn new(wanted: usize) -> Team {
        Team {
            wanted,
            arrived: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
        }
    }

    /// Waits until the team is complete or patience ends; `None` for whoever comes later.
    pub(crate) fn join(&self) -> Option<Member<'_>> {
        let mut seen = self.arrived.load(Ordering::Acquire);
        let rank = loop {
            if seen & CLOSED != 0 {
                return None;
            }
            let closed = if seen + 1 == self.wanted { CLOSED } else { 0 };
            match self.arrived.compare_exchange_weak(seen, (seen + 1) | closed, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break seen,
                Err(now) => seen = now,
            }
        };
        let start = Instant::now();
        loop {
            let now = self.arrived.load(Ordering::Acquire);
            if now & CLOSED != 0 {
                return Some(Member { team: self, rank, size: now & !CLOSED });
            }
            if start.elapsed() > PATIENCE {
                self.arrived.fetch_or(CLOSED, Ordering::AcqRel);
            }
            std::hint::spin_loop();
        }
    }
}

impl Member<'_> {
    /// Returns when every member has called it; what each wrote before is visible to all after.
    pub(crate) fn meet(&self) {
        if self.size == 1 {
            return;
        }
        let team = self.team;
        let round = team.round.load(Ordering::Acquire);
        if team.waiting.fetch_add(1, Ordering::AcqRel) + 1 == self.size {
            team.waiting.store(0, Ordering::Relaxed);
            team.round.store(round.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut spins = 0;
        while team.round.load(Ordering::Acquire) == round {
            assert!(!team.broken.load(Ordering::Relaxed), "another thread of this kernel panicked");
            spins += 1;
            if spins % SPINS == 0 {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.team.broken.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::{Parallel, Rayon, Serial};

    #[test]
    fn one_thread_closes_the_team_and_later_tasks_go_home() {
        let team = Team::new(3);
        let joined = AtomicUsize::new(0);
        Serial.run(3, &|_| {
            if let Some(member) = team.join() {
                assert_eq!((member.rank, member.size), (0, 1));
                member.meet();
                joined.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert_eq!(joined.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn members_see_what_the_others_wrote_before_the_barrier() {
        let team = Team::new(2);
        let steps = [const { AtomicUsize::new(0) }; 2];
        Rayon.run(2, &|_| {
            let Some(member) = team.join() else { return };
            for step in 1..=1000 {
                steps[member.rank].store(step, Ordering::Relaxed);
                member.meet();
                for other in &steps[..member.size] {
                    assert!(other.load(Ordering::Relaxed) >= step);
                }
                member.meet();
            }
        });
        assert!(steps.iter().any(|step| step.load(Ordering::Relaxed) == 1000));
    }

    #[test]
    fn a_panic_of_one_member_frees_the_other() {
        let team = Team::new(2);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            Rayon.run(2, &|_| {
                let Some(member) = team.join() else { return };
                assert!(member.rank != 0, "planned");
                member.meet();
            });
        }));
        assert!(outcome.is_err());
    }
}
