//! A crew: threads that wait, spinning, for parts of the work of one thread that walks through many small operations.
//!
//! Waking a thread takes longer than a small operation. So helpers stay awake for a while, each before a mailbox of its own, and what one has not
//! taken up when the others are done is taken back: a helper that the system has put aside delays nobody. Which threads help, and for how long,
//! is up to whoever calls [`Crew::help`] on them.

use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use crate::Parallel;

/// Looks before a waiting thread gives its core away for a moment.
const SPINS: usize = 1 << 10;

const EMPTY: u8 = 0;
/// Work that nobody has begun; either side may take it.
const POSTED: u8 = 1;
const TAKEN: u8 = 2;
const DONE: u8 = 3;
const PANICKED: u8 = 4;

/// Some tasks of a region: every `step`-th from `first` on.
#[derive(Clone, Copy)]
struct Part {
    body: *const (dyn Fn(usize) + Sync),
    first: usize,
    step: usize,
    tasks: usize,
}

impl Part {
    /// # Safety
    /// The body still lives.
    unsafe fn run(&self) {
        // SAFETY: by the contract.
        let body = unsafe { &*self.body };
        (self.first..self.tasks).step_by(self.step).for_each(body);
    }
}

/// On cache lines of its own, and of the neighbour that is fetched with it.
#[repr(align(128))]
struct Mailbox {
    state: AtomicU8,
    part: UnsafeCell<Option<Part>>,
}

/// Helpers, as an executor for the one thread that posts.
pub struct Crew {
    mailboxes: Vec<Mailbox>,
    /// Helpers that have come.
    present: AtomicUsize,
    closed: AtomicBool,
}

// SAFETY: a part is written by the one poster while its mailbox is empty, and read by the helper that has taken it; the state orders the two. The
// body that it points to is shared by those who run it, and outlives the region.
unsafe impl Sync for Crew {}

impl Crew {
    /// For up to `helpers` threads.
    #[must_use]
    pub fn new(helpers: usize) -> Crew {
        let mailbox = || Mailbox { state: AtomicU8::new(EMPTY), part: UnsafeCell::new(None) };
        Crew { mailboxes: (0..helpers).map(|_| mailbox()).collect(), present: AtomicUsize::new(0), closed: AtomicBool::new(false) }
    }

    /// Makes the calling thread a helper until the crew is closed.
    pub fn help(&self) {
        let Some(mailbox) = self.mailboxes.get(self.present.fetch_add(1, Ordering::AcqRel)) else { return };
        let mut idle = 0;
        while !self.closed.load(Ordering::Acquire) {
            if mailbox.state.load(Ordering::Relaxed) == POSTED && mailbox.take(TAKEN) {
                // SAFETY: taken, so nobody writes the part, and the poster waits, so the body lives.
                let outcome = catch_unwind(AssertUnwindSafe(|| unsafe { (*mailbox.part.get()).iter().for_each(|part| part.run()) }));
                mailbox.state.store(if outcome.is_ok() { DONE } else { PANICKED }, Ordering::Release);
                idle = 0;
            }
            pause(&mut idle);
        }
    }

    /// Sends the helpers home, also those who are still to come.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

impl Mailbox {
    /// Takes up what is posted, unless the other side has.
    fn take(&self, into: u8) -> bool {
        self.state.compare_exchange(POSTED, into, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Runs here what was not begun there, and waits for the rest; whether all went well.
    ///
    /// # Safety
    /// `part` is what was posted, and its body lives.
    unsafe fn finish(&self, part: &Part) -> bool {
        if self.take(EMPTY) {
            // SAFETY: by the contract.
            return catch_unwind(AssertUnwindSafe(|| unsafe { part.run() })).is_ok();
        }
        let mut idle = 0;
        loop {
            match self.state.load(Ordering::Acquire) {
                TAKEN => pause(&mut idle),
                state => {
                    self.state.store(EMPTY, Ordering::Relaxed);
                    return state == DONE;
                }
            }
        }
    }
}

/// Between two looks.
fn pause(looks: &mut usize) {
    *looks += 1;
    if looks.is_multiple_of(SPINS) {
        std::thread::yield_now();
    } else {
        spin_loop();
    }
}

/// Only for the thread that posts, one region at a time.
impl Parallel for Crew {
    fn threads(&self) -> usize {
        1 + self.present.load(Ordering::Acquire).min(self.mailboxes.len())
    }

    fn run(&self, tasks: usize, body: &(dyn Fn(usize) + Sync)) {
        let step = self.threads().min(tasks);
        if step <= 1 {
            return (0..tasks).for_each(body);
        }
        // SAFETY: only the lifetime is dropped; this function returns after every part has been run.
        let body: *const (dyn Fn(usize) + Sync) =
            unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(body) };
        let part = |first: usize| Part { body, first, step, tasks };
        let posted = &self.mailboxes[..step - 1];
        for (mailbox, first) in posted.iter().zip(1..) {
            // SAFETY: the mailbox is empty, so its helper does not read it.
            unsafe { *mailbox.part.get() = Some(part(first)) };
            mailbox.state.store(POSTED, Ordering::Release);
        }
        // SAFETY: the body lives.
        let own = catch_unwind(AssertUnwindSafe(|| unsafe { part(0).run() }));
        let mut well = true;
        for (mailbox, first) in posted.iter().zip(1..) {
            // SAFETY: posted above, and the body lives.
            well &= unsafe { mailbox.finish(&part(first)) };
        }
        if let Err(payload) = own {
            resume_unwind(payload);
        }
        if !well {
            resume_unwind(Box::new("a task of a crew panicked"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// Runs a body with a crew that some threads have joined.
    fn with_crew(helpers: usize, body: impl FnOnce(&Crew)) {
        let crew = Crew::new(helpers);
        std::thread::scope(|scope| {
            (0..helpers).for_each(|_| drop(scope.spawn(|| crew.help())));
            while crew.threads() < 1 + helpers {
                std::thread::yield_now();
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| body(&crew)));
            crew.close();
            outcome.unwrap_or_else(|payload| resume_unwind(payload));
        });
    }

    #[test]
    fn every_task_of_every_region_runs_once_and_is_seen_afterwards() {
        for helpers in [0, 1, 3] {
            with_crew(helpers, |crew| {
                for region in 0..2000 {
                    let tasks = region % 9;
                    let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                    crew.run(tasks, &|task| {
                        counts[task].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{helpers} helpers, region {region}");
                }
            });
        }
    }

    #[test]
    fn a_helper_that_sleeps_delays_nobody() {
        let crew = Crew::new(2);
        // Both have come, and neither ever looks into its mailbox.
        crew.present.store(2, Ordering::Release);
        let sum = AtomicUsize::new(0);
        crew.run(5, &|task| {
            sum.fetch_add(1 << (4 * task), Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 0x11111);
    }

    #[test]
    fn those_who_come_after_the_end_go_home() {
        let crew = Crew::new(1);
        crew.close();
        crew.help();
        crew.help();
        assert_eq!(crew.threads(), 2);
    }

    #[test]
    fn a_panic_comes_out_of_the_region_and_the_crew_goes_on() {
        with_crew(1, |crew| {
            for bad in 0..4 {
                let outcome = catch_unwind(AssertUnwindSafe(|| crew.run(4, &|task| assert!(task != bad, "planned"))));
                assert!(outcome.is_err(), "task {bad}");
                let count = AtomicUsize::new(0);
                crew.run(4, &|_| {
                    count.fetch_add(1, Ordering::Relaxed);
                });
                assert_eq!(count.into_inner(), 4);
            }
        });
    }
}
