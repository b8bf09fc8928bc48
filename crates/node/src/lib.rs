//! The addon: converts between JavaScript and the engine, and contains panics. No formula, no loop over time.
pub mod augment;
pub mod data;
mod environment;
mod reply;
pub mod text;

use environment::{contained, current};
use napi::bindgen_prelude::{Env, Function};
use napi_derive::napi;
use quarterturn_engine as engine;
use std::path::PathBuf;
use std::time::Duration;

/// The names of the operations; the position of one is its code in a stream.
#[napi]
pub fn operations() -> Vec<&'static str> {
    engine::names()
}

/// Starts the engine for this thread, once. Everything the engine has to say goes to `reply`.
#[napi(ts_args_type = "reply: (kind: 'value' | 'error' | 'failure', request: number, payload: unknown) => void")]
#[allow(clippy::needless_pass_by_value, reason = "an argument of JavaScript")]
pub fn start(env: Env, reply: Function<environment::Arguments, ()>) -> napi::Result<()> {
    contained(|| environment::start(env, &reply))
}

/// Queues a stream in a lane and tells V8 about memory held outside its heap. Returns whether so much is queued that a
/// caller that never yields should `wait`.
#[napi]
pub fn submit(env: Env, lane: u32, words: &[f64], steps: u32, bytes: f64, external: f64) -> napi::Result<bool> {
    contained(|| {
        #[expect(clippy::cast_possible_truncation, reason = "a count of bytes")]
        if external != 0.0 {
            env.adjust_external_memory(external as i64)?;
        }
        current()?.submit(lane, words, steps, bytes).map_err(|fault| environment::error(&fault))
    })
}

/// Blocks until half of what may be queued has been executed.
#[napi]
pub fn wait() -> napi::Result<()> {
    contained(|| {
        current()?.wait();
        Ok(())
    })
}

/// Copies bytes aside and names them, for `fromBytes` and `save`.
#[napi]
pub fn stage(bytes: &[u8]) -> napi::Result<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    contained(|| Ok(current()?.stage(bytes.to_vec()) as f64))
}

/// Reads and verifies a safetensors file on a thread of its own; the reply names its tensors, whose bytes are staged.
#[napi]
pub fn load(request: f64, path: String) -> napi::Result<()> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an id")]
    contained(|| current()?.load(request as u64, PathBuf::from(path)).map_err(|fault| environment::error(&fault)))
}

/// Has the search of this token stop after its present step; without `wanted`, forgets that it was asked for.
#[napi]
pub fn abort(token: f64, wanted: bool) -> napi::Result<()> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an id")]
    contained(|| {
        current()?.abort(token as u64, wanted);
        Ok(())
    })
}

/// Stops the engine before the process ends. Past the grace time it ends the process itself.
#[napi]
pub fn park(grace_ms: u32, exit_code: i32) -> napi::Result<()> {
    contained(|| {
        if !engine::park(Duration::from_millis(grace_ms.into())) {
            engine::exit_now(exit_code);
        }
        Ok(())
    })
}

/// What this process can use.
#[napi(object)]
pub struct Info {
    /// The version of libtorch.
    pub libtorch: String,
    /// Threads within one operation.
    pub threads: u32,
    /// Whether libtorch reaches a CUDA device.
    pub cuda: bool,
    pub cuda_devices: u32,
    /// The instruction set of libtorch's kernels.
    pub capability: String,
    /// The instruction set of our own kernels: `avx512`, `avx2` or `portable`.
    pub isa: String,
}

/// What this process can use.
#[napi]
pub fn info() -> napi::Result<Info> {
    contained(|| {
        let info = engine::info();
        let cuda_devices = u32::try_from(info.cuda_devices).unwrap_or(0);
        let threads = u32::try_from(info.threads).unwrap_or(1);
        Ok(Info { libtorch: info.libtorch, threads, cuda: cuda_devices > 0, cuda_devices, capability: info.capability, isa: info.isa })
    })
}

/// Whether the first CUDA device runs our kernels.
#[napi(object)]
pub struct CudaKernels {
    pub ready: bool,
    /// The device, or why it does not.
    pub text: String,
}

/// Whether the first CUDA device runs our kernels; makes it ready if need be.
#[napi]
pub fn cuda_kernels() -> napi::Result<CudaKernels> {
    contained(|| {
        let (ready, text) = engine::cuda_kernels();
        Ok(CudaKernels { ready, text })
    })
}

/// Returns memory that is kept for speed to the system.
#[napi]
pub fn trim() {
    engine::trim();
}

/// What is held and what waits.
#[napi(object)]
pub struct Statistics {
    /// Values that the engine holds for all threads.
    pub slots: u32,
    /// Bytes set aside by this thread.
    pub staged: f64,
    /// Operations of this thread that wait.
    pub queued: u32,
}

/// What is held and what waits.
#[napi]
pub fn statistics() -> napi::Result<Statistics> {
    contained(|| {
        let environment = environment::started();
        let (staged, queued) = environment.map_or((0, 0), |environment| (environment.staged(), environment.queued()));
        #[expect(clippy::cast_precision_loss, reason = "a count of bytes")]
        let staged = staged as f64;
        Ok(Statistics {
            slots: u32::try_from(engine::slots()).unwrap_or(u32::MAX),
            staged,
            queued: u32::try_from(queued).unwrap_or(u32::MAX),
        })
    })
}
