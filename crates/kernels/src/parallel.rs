//! Executors: what runs the tasks of a kernel. The engine plugs in libtorch's own pool; the crate's tests and benches use the two here.

use rayon::prelude::*;

/// Runs tasks side by side. One region per pass over a sequence, never one per step.
pub trait Parallel: Sync {
    /// How many tasks are worth making.
    fn threads(&self) -> usize;

    /// Calls `body(0)`, … `body(tasks - 1)`, each once, in any order, on any threads, and returns when all have returned.
    ///
    /// Nothing is asked about which of them overlap: tasks that want to work together first look who has come ([`crate::team`]).
    /// A panic in `body` should come out of `run`.
    fn run(&self, tasks: usize, body: &(dyn Fn(usize) + Sync));
}

/// All tasks on the calling thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serial;

impl Parallel for Serial {
    fn threads(&self) -> usize {
        1
    }

    fn run(&self, tasks: usize, body: &(dyn Fn(usize) + Sync)) {
        (0..tasks).for_each(body);
    }
}

/// Tasks on the current rayon pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rayon;

impl Parallel for Rayon {
    fn threads(&self) -> usize {
        rayon::current_num_threads()
    }

    fn run(&self, tasks: usize, body: &(dyn Fn(usize) + Sync)) {
        if tasks == 1 {
            return body(0);
        }
        (0..tasks).into_par_iter().with_max_len(1).for_each(body);
    }
}

/// The `part`-th of `parts` nearly equal pieces of `0..len`.
#[must_use]
pub(crate) fn share(len: usize, parts: usize, part: usize) -> std::ops::Range<usize> {
    len * part / parts..len * (part + 1) / parts
}

/// Tasks for work on rows of floats that is bound by memory: below 64 KB a second thread costs more than it saves.
pub(crate) fn row_tasks(parallel: &dyn Parallel, rows: usize, width: usize) -> usize {
    let threads = if rows * width * size_of::<f32>() < 64 << 10 { 1 } else { parallel.threads() };
    threads.min(rows)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_task_runs_once() {
        for executor in [&Serial as &dyn Parallel, &Rayon] {
            for tasks in [0, 1, 2, 7, 100] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                executor.run(tasks, &|task| {
                    counts[task].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn shares_cover_everything_once() {
        for (len, parts) in [(0, 3), (1, 4), (10, 3), (64, 2), (5, 5)] {
            let mut next = 0;
            for part in 0..parts {
                let range = share(len, parts, part);
                assert_eq!(range.start, next);
                next = range.end;
            }
            assert_eq!(next, len);
        }
    }
}
