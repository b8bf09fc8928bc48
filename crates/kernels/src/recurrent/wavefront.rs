//! Passes that follow one another through time: a layer may begin a piece of steps as soon as those below it have done theirs.
//!
//! Cell (layer l, step t) of a stack needs (l - 1, t) and (l, t - 1) only, so all cells with the same l + t could run at once. Here a pass
//! over one layer and some rows is one thread's, which publishes how far it has come, piece by piece; the pass above looks at that before
//! each piece and spins while there is nothing to do. There is no barrier, and whoever comes late to the team costs no more than its share:
//! passes are not handed out but claimed, from the bottom up, so what a pass waits for was claimed before it, and is either done or running.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Spins before a waiting thread gives its core away for a moment.
const SPINS: u32 = 1 << 10;

/// How far all passes of a stack have come. Passes are numbered in an order in which each needs earlier ones only.
pub(crate) struct Wavefront {
    passes: usize,
    /// By group of rows: the next pass to claim.
    claims: Vec<Line>,
    /// By pass and, within it, group: the steps that are done.
    done: Vec<Line>,
    broken: AtomicBool,
}

/// A counter on a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Line(AtomicUsize);

/// A pass among the others.
#[derive(Clone)]
pub(crate) struct Node<'a> {
    pub(crate) front: &'a Wavefront,
    pub(crate) index: usize,
    /// Those that it reads.
    pub(crate) needs: Vec<Needed>,
    /// The most steps to do before they are published.
    pub(crate) piece: usize,
    /// T
    pub(crate) time: usize,
}

/// A pass that another one reads.
#[derive(Clone, Copy)]
pub(crate) struct Needed {
    pub(crate) index: usize,
    /// Whether it goes from the first place in time to the last.
    pub(crate) rises: bool,
}

impl Wavefront {
    pub(crate) fn new(passes: usize, groups: usize) -> Wavefront {
        let lines = |count: usize| (0..count).map(|_| Line::default()).collect();
        Wavefront { passes, claims: lines(groups), done: lines(passes * groups), broken: AtomicBool::new(false) }
    }

    /// What task `task` does: it claims passes over its own group of rows, then over those of others, until all are claimed.
    pub(crate) fn work(&self, task: usize, mut run: impl FnMut(usize, usize)) {
        let _guard = Guard(self);
        let groups = self.claims.len();
        for group in (0..groups).map(|i| (task + i) % groups) {
            loop {
                let pass = self.claims[group].0.fetch_add(1, Ordering::Relaxed);
                if pass >= self.passes {
                    break;
                }
                run(pass, group);
            }
        }
    }

    fn done(&self, pass: usize, group: usize) -> &AtomicUsize {
        &self.done[pass * self.claims.len() + group].0
    }
}

/// Frees those who wait for a thread that panicked.
struct Guard<'a>(&'a Wavefront);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.store(true, Ordering::Relaxed);
        }
    }
}

impl Node<'_> {
    /// Returns when the rows of `group` are there at all `times`.
    pub(crate) fn wait(&self, group: usize, times: Range<usize>) {
        for needed in &self.needs {
            let enough = if needed.rises { times.end } else { self.time - times.start };
            let done = self.front.done(needed.index, group);
            let mut spins = 0;
            while done.load(Ordering::Acquire) < enough {
                assert!(!self.front.broken.load(Ordering::Relaxed), "another thread of this kernel panicked");
                spins += 1;
                if spins % SPINS == 0 {
                    std::thread::yield_now();
                } else {
                    std::hint::spin_loop();
                }
            }
        }
    }

    /// Lets others read what the first `steps` steps of this pass have written.
    pub(crate) fn publish(&self, group: usize, steps: usize) {
        self.front.done(self.index, group).store(steps, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::{Parallel, Serial};
    use crate::testing::Threads;

    /// A stack of counters: each pass adds one to what the pass before left at the same time.
    fn run(parallel: &dyn Parallel, passes: usize, groups: usize, tasks: usize, piece: usize) {
        const TIME: usize = 103;
        let front = Wavefront::new(passes, groups);
        let cells: Vec<AtomicUsize> = (0..(passes + 1) * groups * TIME).map(|_| AtomicUsize::new(0)).collect();
        let at = |pass: usize, group: usize, t: usize| &cells[(pass * groups + group) * TIME + t];
        parallel.run(tasks, &|task| {
            front.work(task, |pass, group| {
                let rises = |pass: usize| pass.is_multiple_of(3);
                let needs = pass.checked_sub(1).map(|index| Needed { index, rises: rises(index) });
                let node = Node { front: &front, index: pass, needs: needs.into_iter().collect(), piece, time: TIME };
                for first in (0..TIME).step_by(piece) {
                    let steps = first..(first + piece).min(TIME);
                    let times = if rises(pass) { steps.clone() } else { TIME - steps.end..TIME - steps.start };
                    node.wait(group, times.clone());
                    for t in times {
                        let below = at(pass, group, t).load(Ordering::Relaxed);
                        assert_eq!(below, pass, "pass {pass} reads time {t} before it is there");
                        at(pass + 1, group, t).store(below + 1, Ordering::Relaxed);
                    }
                    node.publish(group, steps.end);
                }
            });
        });
        assert!((0..groups).all(|group| (0..TIME).all(|t| at(passes, group, t).load(Ordering::Relaxed) == passes)));
    }

    #[test]
    fn a_pass_never_reads_what_is_not_there_however_many_threads_come() {
        for (passes, groups, tasks, piece) in [(1, 1, 1, 4), (4, 1, 2, 1), (5, 2, 4, 8), (3, 3, 2, 7), (2, 1, 5, 200)] {
            run(&Serial, passes, groups, tasks, piece);
            run(&Threads(tasks), passes, groups, tasks, piece);
        }
    }

    #[test]
    fn a_panic_of_one_thread_frees_those_who_wait_for_it() {
        let front = Wavefront::new(2, 1);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            Threads(2).run(2, &|task| {
                front.work(task, |pass, group| {
                    assert!(pass != 0, "planned");
                    let needs = vec![Needed { index: 0, rises: true }];
                    Node { front: &front, index: pass, needs, piece: 1, time: 1 }.wait(group, 0..1);
                });
            });
        }));
        assert!(outcome.is_err());
    }
}
