//! The crew of the engine's thread: the threads of libtorch's pool, awake for the length of a walk through many small operations.
//!
//! The walk is one region of that pool, whose other threads wait for parts of it ([`Crew`]). libtorch itself, being within a region, stays on the
//! one thread meanwhile, so a walk is for what is small, or ours.
use crate::error::Fault;
use crate::{shim, threads};
use quarterturn_kernels::Crew;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::null;
use std::sync::Mutex;

/// Helpers beyond which reading a weight gains little, and posting costs more.
const MOST_HELPERS: usize = 7;

thread_local! {
    /// That of the walk that this thread is on.
    static CURRENT: Cell<*const Crew> = const { Cell::new(null()) };
}

/// Has the calling thread walk through `body` with a crew. Without a second thread, or on a walk already, it just runs.
pub fn walk<T>(body: impl FnOnce() -> T) -> Result<T, Fault> {
    let helpers = (threads::current() - 1).min(MOST_HELPERS);
    if helpers == 0 || is_open() {
        return Ok(body());
    }
    let crew = Crew::new(helpers);
    let walk = Mutex::new(Walk { body: Some(body), outcome: None });
    let shared = Shared(&walk);
    shim::parallel(1 + helpers, 1, |from, to| {
        for member in from..to {
            if member == 0 { shared.go(&crew) } else { crew.help() }
        }
    })?;
    match walk.into_inner().ok().and_then(|walk| walk.outcome) {
        Some(Ok(made)) => Ok(made),
        Some(Err(payload)) => resume_unwind(payload),
        None => Err(Fault::engine("a walk did not begin")),
    }
}

struct Walk<F, T> {
    body: Option<F>,
    outcome: Option<std::thread::Result<T>>,
}

/// The walk as every thread of the region sees it. Only the first, which is the one that called, touches what is within.
struct Shared<'a, F, T>(&'a Mutex<Walk<F, T>>);

// SAFETY: as said above; what is not for other threads never gets to one.
unsafe impl<F, T> Sync for Shared<'_, F, T> {}

impl<F: FnOnce() -> T, T> Shared<'_, F, T> {
    fn go(&self, crew: &Crew) {
        let Ok(mut walk) = self.0.lock() else { return };
        let body = walk.body.take();
        CURRENT.set(crew);
        let outcome = catch_unwind(AssertUnwindSafe(|| body.map(|body| body())));
        CURRENT.set(null());
        crew.close();
        walk.outcome = outcome.transpose();
    }
}

/// Whether this thread is on a walk.
pub fn is_open() -> bool {
    !CURRENT.get().is_null()
}

/// The crew of the walk that this thread is on.
pub fn current<'a>() -> Option<&'a Crew> {
    // SAFETY: set for the length of a walk, during which the crew lives; nobody on the walk keeps it.
    unsafe { CURRENT.get().as_ref() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterturn_kernels::Parallel;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_walk_gives_what_its_body_gives_and_tasks_run_once() {
        threads::set(3);
        let sum = AtomicUsize::new(0);
        let here = std::thread::current().id();
        let made = walk(|| {
            assert_eq!(std::thread::current().id(), here);
            let crew = current().unwrap();
            for _ in 0..100 {
                crew.run(5, &|task| {
                    sum.fetch_add(task, Ordering::Relaxed);
                });
            }
            walk(|| 7).unwrap()
        });
        assert_eq!((made.unwrap(), sum.into_inner()), (7, 1000));
        assert!(!is_open());
    }

    #[test]
    fn a_panic_of_the_body_comes_out_with_its_text() {
        threads::set(2);
        let outcome = catch_unwind(|| walk(|| panic!("planned")));
        assert_eq!(outcome.err().unwrap().downcast_ref::<&str>(), Some(&"planned"));
        assert!(!is_open());
        threads::set(1);
        assert_eq!(walk(is_open).ok(), Some(false));
    }
}
