//! How many threads one operation uses. OpenMP counts per calling thread, so this is set on the engine's own thread.
use crate::shim;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

static CURRENT: AtomicUsize = AtomicUsize::new(0);

/// The number in use; before the engine's thread runs, the one it will start with.
#[must_use]
pub fn current() -> usize {
    match CURRENT.load(Ordering::Relaxed) {
        0 => initial(),
        count => count,
    }
}

/// Called first on the engine's thread.
pub fn start() {
    set(initial());
}

/// Sets the number for the calling thread.
pub fn set(count: usize) {
    let count = count.clamp(1, 1024);
    tch::set_num_threads(i32::try_from(count).unwrap_or(1));
    CURRENT.store(shim::threads(), Ordering::Relaxed);
}

/// One thread for what the calling thread does until this is dropped.
pub struct Alone(());

impl Alone {
    pub fn new() -> Self {
        shim::team(1);
        Self(())
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        shim::team(current());
    }
}

/// `OMP_NUM_THREADS`, or the physical cores; of four or more, one is left to JavaScript.
fn initial() -> usize {
    let wish = std::env::var("OMP_NUM_THREADS").ok().and_then(|text| text.split(',').next().and_then(|count| count.trim().parse().ok()));
    if let Some(count) = wish.filter(|count| *count > 0) {
        return count;
    }
    let logical = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cores = physical().map_or(logical, |cores| cores.min(logical)).max(1);
    if cores >= 4 { cores - 1 } else { cores }
}

/// Cores as Linux lists them; hyper-threads share a core.
fn physical() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let mut cores = HashSet::new();
    let mut socket = String::new();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        match key.trim() {
            "physical id" => value.trim().clone_into(&mut socket),
            "core id" => {
                cores.insert((socket.clone(), value.trim().to_owned()));
            }
            _ => {}
        }
    }
    (!cores.is_empty()).then_some(cores.len())
}
