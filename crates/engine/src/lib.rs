//! The engine: executes streams of recorded operations with libtorch, on one thread of its own.
//!
//! `environment` is the way in, `queue` and `machine` the thread behind it, `interpreter` and `ops` what each operation
//! does. The streams are described in `docs/protocol.md`.
mod attributes;
mod call;
mod checkpoint_file;
mod closure;
mod crew;
mod cuda;
mod decode;
mod device;
mod effort;
mod environment;
mod error;
mod grad_mode;
mod interpreter;
mod kernels;
mod lanes;
mod machine;
mod memory;
mod op;
mod ops;
mod panics;
mod philox;
mod program;
mod queue;
mod search;
mod shim;
mod slots;
mod staging;
mod threads;

pub use cuda::status as cuda_kernels;
pub use environment::{Environment, LoadedFile, LoadedTensor, Payload, Reply, Sink};
pub use error::{Code, Failure, Fault};
pub use memory::trim;
pub use op::{Op, names};
pub use panics::text as panic_text;
pub use philox::block as philox_block;
pub use queue::park;
pub use slots::count as slots;
pub use staging::Bytes;

/// What this process can use.
pub struct Info {
    /// The version of libtorch.
    pub libtorch: String,
    /// Threads within one operation.
    pub threads: usize,
    pub cuda_devices: i64,
    /// The instruction set of libtorch's kernels.
    pub capability: String,
    /// The instruction set of our own kernels: `avx512`, `avx2` or `portable`.
    pub isa: String,
}

/// What this process can use.
#[must_use]
pub fn info() -> Info {
    Info {
        libtorch: shim::version(),
        threads: threads::current(),
        cuda_devices: device::cuda_devices(),
        capability: shim::capability(),
        isa: quarterturn_kernels::Isa::detected().to_string(),
    }
}

/// Ends the process at once, without destructors.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: never returns; nothing of this process runs after it.
    unsafe { libc::_exit(code) }
}
