//! The queue between all environments and the one engine thread: two lanes, cancellation, and parking at exit.
use crate::environment::Environment;
use crate::error::Fault;
use crate::machine::Machine;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The engine recurses with the depth of a graph.
const STACK: usize = 16 << 20;
/// How long the engine looks for more work before it sleeps.
const SPIN: Duration = Duration::from_micros(100);

/// A stream on its way to the engine.
pub struct Submission {
    pub environment: Arc<Environment>,
    pub lane: u32,
    /// Counts the submissions of the environment from 1.
    pub number: u64,
    /// The sequence number of the first entry.
    pub sequence: u64,
    pub words: Box<[f64]>,
    pub entries: usize,
    pub steps: u32,
    pub bytes: f64,
}

#[derive(Default)]
struct State {
    main: VecDeque<Submission>,
    ahead: VecDeque<Submission>,
    closing: Vec<Arc<Environment>>,
    started: bool,
    parked: bool,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    work: Condvar,
    parked: Condvar,
    /// Something happened that the engine must look at between two operations.
    attention: AtomicBool,
    park: AtomicBool,
    /// Counts everything that the engine may be waiting for.
    arrivals: AtomicU64,
}

/// What the engine is to look at between two operations.
#[derive(Default)]
pub struct Interruption {
    pub ahead: Vec<Submission>,
    pub closing: Vec<Arc<Environment>>,
}

fn queue() -> &'static Queue {
    static QUEUE: OnceLock<Queue> = OnceLock::new();
    QUEUE.get_or_init(Queue::default)
}

fn lock() -> MutexGuard<'static, State> {
    queue().state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the engine's thread, once per process.
pub fn start() -> Result<(), Fault> {
    let mut state = lock();
    if state.started {
        return Ok(());
    }
    crate::panics::quiet();
    crate::memory::keep();
    let thread = std::thread::Builder::new().name(format!("{}-engine", crate::panics::THREAD)).stack_size(STACK);
    thread.spawn(|| Machine::new().run()).map_err(|error| Fault::engine(format!("cannot start the engine's thread: {error}")))?;
    state.started = true;
    Ok(())
}

/// Queues a submission in its lane.
pub fn submit(submission: Submission) {
    let queue = queue();
    let mut state = lock();
    if submission.lane == 0 {
        state.main.push_back(submission);
    } else {
        state.ahead.push_back(submission);
        queue.attention.store(true, Ordering::Release);
    }
    queue.arrivals.fetch_add(1, Ordering::Release);
    drop(state);
    queue.work.notify_one();
}

/// Has the engine free what an environment holds.
pub fn close(environment: Arc<Environment>) {
    let queue = queue();
    let mut state = lock();
    state.closing.push(environment);
    queue.attention.store(true, Ordering::Release);
    queue.arrivals.fetch_add(1, Ordering::Release);
    drop(state);
    queue.work.notify_one();
}

/// Stops the engine between two operations, for ever: past this point no tensor is dropped. Returns whether it
/// stopped within the grace time.
pub fn park(grace: Duration) -> bool {
    let queue = queue();
    let end = Instant::now() + grace;
    let mut state = lock();
    queue.park.store(true, Ordering::SeqCst);
    queue.attention.store(true, Ordering::SeqCst);
    queue.arrivals.fetch_add(1, Ordering::Release);
    queue.work.notify_one();
    while state.started && !state.parked {
        let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
            return false;
        };
        state = queue.parked.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    true
}

/// Whether the process is about to end.
pub fn is_parking() -> bool {
    queue().park.load(Ordering::SeqCst)
}

fn park_if_asked(mut state: MutexGuard<'static, State>) -> MutexGuard<'static, State> {
    if !is_parking() {
        return state;
    }
    state.parked = true;
    drop(state);
    queue().parked.notify_all();
    loop {
        std::thread::park();
    }
}

fn interruption(state: &mut State) -> Interruption {
    queue().attention.store(false, Ordering::Release);
    Interruption { ahead: state.ahead.drain(..).collect(), closing: std::mem::take(&mut state.closing) }
}

/// Between two operations: what has to be looked at, if anything.
#[must_use]
pub fn poll() -> Option<Interruption> {
    if !queue().attention.load(Ordering::Acquire) {
        return None;
    }
    let mut state = park_if_asked(lock());
    Some(interruption(&mut state))
}

/// Waits for work: what has to be looked at first, and the next submission of lane 0.
#[must_use]
pub fn next() -> (Interruption, Option<Submission>) {
    let mut state = lock();
    loop {
        state = park_if_asked(state);
        if !state.main.is_empty() || !state.ahead.is_empty() || !state.closing.is_empty() {
            let interruption = interruption(&mut state);
            return (interruption, state.main.pop_front());
        }
        let seen = queue().arrivals.load(Ordering::Acquire);
        drop(state);
        let arrived = spin(|| queue().arrivals.load(Ordering::Acquire) != seen);
        state = lock();
        if !arrived && queue().arrivals.load(Ordering::Acquire) == seen {
            state = queue().work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Waits a little without sleeping: a sleeping core of a virtual machine takes tens of microseconds to wake, and the next entries of a
/// loop that awaits each step come sooner than that.
fn spin(arrived: impl Fn() -> bool) -> bool {
    let end = Instant::now() + SPIN;
    while Instant::now() < end {
        for _ in 0..32 {
            if arrived() {
                return true;
            }
            std::hint::spin_loop();
        }
    }
    false
}
