//! One environment of the caller (a main thread or a worker): its way into the engine, and its counters.
use crate::checkpoint_file;
use crate::decode::Entries;
use crate::error::{Failure, Fault};
use crate::queue::{self, Submission};
use crate::slots::IdSet;
use crate::staging::{Bytes, Staging};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Steps in lane 0 beyond which a caller that never yields is made to wait.
const STEPS: u64 = 64;
/// Bytes of results in lane 0 beyond which it is made to wait.
const BYTES: f64 = 1024.0 * 1024.0 * 1024.0;

/// What the engine says.
pub enum Reply {
    Value {
        request: u64,
        payload: Payload,
    },
    Error {
        request: u64,
        failure: Arc<Failure>,
    },
    /// A failed operation, said once.
    Failure(Arc<Failure>),
}

/// What a request gives.
pub enum Payload {
    Nothing,
    Bytes(Vec<u8>),
    File(LoadedFile),
}

/// The contents of a checkpoint file; the tensors' bytes are staged.
pub struct LoadedFile {
    pub metadata: BTreeMap<String, String>,
    pub tensors: Vec<LoadedTensor>,
}

/// One tensor of a checkpoint file.
pub struct LoadedTensor {
    pub name: String,
    pub dtype: &'static str,
    pub shape: Vec<i64>,
    pub staging: u64,
}

/// Where replies go. It must not block, and does nothing once its environment is gone.
pub type Sink = Box<dyn Fn(Reply) + Send + Sync>;

#[derive(Default)]
struct Backlog {
    steps: u64,
    bytes: f64,
}

/// An environment.
pub struct Environment {
    pub(crate) id: u64,
    pub(crate) staging: Staging,
    sink: Sink,
    cancelled: AtomicBool,
    /// Searches that are to stop.
    aborted: Mutex<IdSet>,
    sequence: AtomicU64,
    submissions: AtomicU64,
    last_in_order: AtomicU64,
    queued: AtomicUsize,
    backlog: Mutex<Backlog>,
    progress: Condvar,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Environment {
    /// A new environment; the engine's thread is started with the first one.
    pub fn start(sink: Sink) -> Result<Arc<Self>, Fault> {
        queue::start()?;
        Ok(Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            staging: Staging::default(),
            sink,
            cancelled: AtomicBool::new(false),
            aborted: Mutex::default(),
            sequence: AtomicU64::new(1),
            submissions: AtomicU64::new(0),
            last_in_order: AtomicU64::new(0),
            queued: AtomicUsize::new(0),
            backlog: Mutex::new(Backlog::default()),
            progress: Condvar::new(),
        }))
    }

    /// Queues a stream. Says whether so much is queued in lane 0 that a caller that never yields should `wait`.
    pub fn submit(self: &Arc<Self>, lane: u32, words: &[f64], steps: u32, bytes: f64) -> Result<bool, Fault> {
        let mut count = 0;
        for entry in Entries::new(words) {
            entry?;
            count += 1;
        }
        let full = lane == 0 && {
            let mut backlog = self.backlog();
            backlog.steps += u64::from(steps);
            backlog.bytes += bytes;
            backlog.steps > STEPS || backlog.bytes > BYTES
        };
        if count == 0 {
            self.finished(lane, steps, bytes, 0);
            return Ok(false);
        }
        self.queued.fetch_add(count, Ordering::Relaxed);
        let number = self.submissions.fetch_add(1, Ordering::Relaxed) + 1;
        if lane == 0 {
            self.last_in_order.store(number, Ordering::Release);
        }
        queue::submit(Submission {
            environment: Arc::clone(self),
            lane,
            number,
            sequence: self.sequence.fetch_add(count as u64, Ordering::Relaxed),
            words: words.into(),
            entries: count,
            steps,
            bytes,
        });
        Ok(full)
    }

    /// Blocks until half of what may be queued in lane 0 is left.
    pub fn wait(&self) {
        let mut backlog = self.backlog();
        while (backlog.steps > STEPS / 2 || backlog.bytes > BYTES / 2.0) && !self.is_cancelled() && !queue::is_parking() {
            backlog = self.progress.wait_timeout(backlog, std::time::Duration::from_millis(50)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Puts bytes aside and names them.
    pub fn stage(&self, bytes: impl Into<Bytes>) -> u64 {
        self.staging.put(bytes.into())
    }

    /// Reads and verifies a checkpoint file on a thread of its own; the reply comes later.
    pub fn load(self: &Arc<Self>, request: u64, path: PathBuf) -> Result<(), Fault> {
        let environment = Arc::clone(self);
        let run = move || {
            let loaded = checkpoint_file::load(&path).map(|contents| contents.stage(&environment.staging));
            environment.answer(request, loaded.map(Payload::File).map_err(|fault| fault.into_failure("load", 0)));
        };
        let thread = std::thread::Builder::new().name(format!("{}-load", crate::panics::THREAD));
        thread.spawn(run).map(drop).map_err(|error| Fault::engine(format!("cannot start a thread: {error}")))
    }

    /// Answers a request, once.
    pub(crate) fn answer(&self, request: u64, result: Result<Payload, Failure>) {
        self.reply(match result {
            Ok(payload) => Reply::Value { request, payload },
            Err(failure) => Reply::Error { request, failure: Arc::new(failure) },
        });
    }

    pub(crate) fn reply(&self, reply: Reply) {
        if !self.is_cancelled() {
            (self.sink)(reply);
        }
    }

    /// Cancels what is queued and frees what is held. Called when the environment ends.
    pub fn close(self: &Arc<Self>) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.staging.clear();
        queue::close(Arc::clone(self));
        self.progress.notify_all();
    }

    /// Has the search of this token stop after its present step; without `wanted`, forgets that it was asked for.
    pub fn abort(&self, token: u64, wanted: bool) {
        let mut aborted = self.aborted.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted {
            aborted.insert(token);
        } else {
            aborted.remove(&token);
        }
    }

    pub(crate) fn is_aborted(&self, token: u64) -> bool {
        self.aborted.lock().unwrap_or_else(PoisonError::into_inner).contains(&token)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Operations that wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Bytes set aside.
    #[must_use]
    pub fn staged(&self) -> usize {
        self.staging.size()
    }

    /// The number of the last submission of lane 0.
    pub(crate) fn last_in_order(&self) -> u64 {
        self.last_in_order.load(Ordering::Acquire)
    }

    /// One entry is executed now.
    pub(crate) fn advanced(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }

    /// A submission is done; `left` of its entries were not executed.
    pub(crate) fn finished(&self, lane: u32, steps: u32, bytes: f64, left: usize) {
        self.queued.fetch_sub(left, Ordering::Relaxed);
        if lane == 0 {
            let mut backlog = self.backlog();
            backlog.steps = backlog.steps.saturating_sub(u64::from(steps));
            backlog.bytes = (backlog.bytes - bytes).max(0.0);
            drop(backlog);
            self.progress.notify_all();
        }
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
