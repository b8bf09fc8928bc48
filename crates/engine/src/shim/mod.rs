//! Safe faces of the C++ shim (`shim/`): what libtorch has and tch does not offer.
mod optimizer;

use crate::error::Fault;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;
use tch::Tensor;
use torch_sys::C_tensor;

pub use optimizer::{
    Adafactor, Adam, Lion, NAdam, RmsProp, SecondMoment, Sgd, adafactor, average, first_not_finite, fused_adam, fused_sgd, lion, nadam,
    rmsprop, total_norm,
};

type Handle = *mut C_tensor;
type Handles = *const *const C_tensor;

unsafe extern "C" {
    fn qt_keep_memory();
    fn qt_trim_memory();
    fn qt_leaky_relu(x: *const C_tensor, slope: f64, y: *mut Handle) -> *mut c_char;
    fn qt_copy(x: *const C_tensor, y: *mut Handle) -> *mut c_char;
    fn qt_adopt(x: *const C_tensor, owner: *mut c_void, drop: extern "C" fn(*mut c_void), y: *mut Handle) -> *mut c_char;
    fn qt_bytes(x: *const C_tensor, bytes: *mut c_void, size: usize) -> *mut c_char;
    fn qt_grad(
        loss: *const C_tensor,
        seed: *const C_tensor,
        variables: Handles,
        count: usize,
        retain: bool,
        create: bool,
        gradients: *mut Handle,
    ) -> *mut c_char;
    fn qt_grad_many(
        outputs: Handles,
        seeds: Handles,
        count: usize,
        inputs: Handles,
        inputs_count: usize,
        create: bool,
        gradients: *mut Handle,
    ) -> *mut c_char;
    fn qt_grad_enabled() -> bool;
    fn qt_inference_begin() -> *mut c_void;
    fn qt_inference_end(mode: *mut c_void);
    fn qt_version() -> *mut c_char;
    fn qt_capability() -> *mut c_char;
    fn qt_threads() -> c_int;
    fn qt_team(threads: c_int);
    fn qt_parallel(count: i64, grain: i64, body: extern "C" fn(*mut c_void, i64, i64), data: *mut c_void) -> *mut c_char;
    fn qt_program(closure: *mut c_void, inputs: Handles, inputs_count: usize, outputs: *mut Handle, outputs_count: usize) -> *mut c_char;
}

/// Takes over text that C allocated.
fn text(pointer: *mut c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: the shim hands over a NUL-terminated string made by strdup.
    unsafe {
        let text = CStr::from_ptr(pointer).to_string_lossy().into_owned();
        libc::free(pointer.cast());
        Some(text)
    }
}

pub(crate) fn check(error: *mut c_char) -> Result<(), Fault> {
    text(error).map_or(Ok(()), |text| Err(Fault::from_text(&text)))
}

/// Takes over a tensor that the shim made with `new`.
fn own(handle: Handle) -> Option<Tensor> {
    // SAFETY: the shim gives ownership, and tch frees it the same way.
    (!handle.is_null()).then(|| unsafe { Tensor::from_ptr(handle) })
}

pub(crate) fn made(handle: Handle) -> Result<Tensor, Fault> {
    own(handle).ok_or_else(|| Fault::engine("the shim made no tensor"))
}

fn handles(tensors: &[&Tensor]) -> Vec<*const C_tensor> {
    tensors.iter().map(|tensor| tensor.as_ptr()).collect()
}

/// x, or slope · x below zero.
pub fn leaky_relu(x: &Tensor, slope: f64) -> Result<Tensor, Fault> {
    let mut y = null_mut();
    // SAFETY: both pointers are valid for the call.
    check(unsafe { qt_leaky_relu(x.as_ptr(), slope, &raw mut y) })?;
    made(y)
}

/// A contiguous copy with its own storage, differentiable.
pub fn copy(x: &Tensor) -> Result<Tensor, Fault> {
    let mut y = null_mut();
    // SAFETY: both pointers are valid for the call.
    check(unsafe { qt_copy(x.as_ptr(), &raw mut y) })?;
    made(y)
}

/// A tensor of these bytes, whose memory it takes over; their number is checked.
pub fn adopt(mut bytes: Vec<u8>, range: std::ops::Range<usize>, shape: &[i64], kind: tch::Kind) -> Result<Tensor, Fault> {
    extern "C" fn free(owner: *mut c_void) {
        // SAFETY: the owner is the box that was let go of below, and libtorch calls this once.
        drop(unsafe { Box::from_raw(owner.cast::<Vec<u8>>()) });
    }
    let data = bytes.get_mut(range).ok_or_else(|| Fault::engine("the range is not within the bytes"))?.as_ptr();
    // SAFETY: the caller has checked that the bytes are as many as the shape takes; the heap block does not move with the box, and outlives `view`.
    let view = unsafe { Tensor::f_from_blob(data, shape, &strides(shape), kind, tch::Device::Cpu)? };
    let owner = Box::into_raw(Box::new(bytes));
    let mut y = null_mut();
    // SAFETY: all pointers are valid for the call, and `free` fits the owner.
    if let Err(fault) = check(unsafe { qt_adopt(view.as_ptr(), owner.cast(), free, &raw mut y) }) {
        free(owner.cast());
        return Err(fault);
    }
    made(y)
}

/// Of a contiguous tensor.
fn strides(shape: &[i64]) -> Vec<i64> {
    (1..=shape.len()).map(|dim| shape[dim..].iter().product()).collect()
}

/// The bytes of a tensor, contiguous and on the CPU.
pub fn bytes(x: &Tensor) -> Result<Vec<u8>, Fault> {
    let x = x.f_detach()?.f_to_device(tch::Device::Cpu)?.f_contiguous()?;
    let size = x.numel() * x.f_kind()?.elt_size_in_bytes();
    let mut bytes = Vec::<u8>::with_capacity(size);
    // SAFETY: the buffer has room for `size` bytes, and the shim fills exactly those or fails.
    unsafe {
        check(qt_bytes(x.as_ptr(), bytes.as_mut_ptr().cast(), size))?;
        bytes.set_len(size);
    }
    Ok(bytes)
}

/// Gradients of a loss by variables, absent where the loss does not depend on one.
pub fn grad(loss: &Tensor, seed: Option<&Tensor>, variables: &[&Tensor], retain: bool, create: bool) -> Result<Vec<Option<Tensor>>, Fault> {
    let mut gradients = vec![null_mut(); variables.len()];
    let (inputs, seed) = (handles(variables), seed.map_or(std::ptr::null(), Tensor::as_ptr));
    // SAFETY: every pointer is valid for the call, and the lengths are those of the slices.
    check(unsafe { qt_grad(loss.as_ptr(), seed, inputs.as_ptr(), inputs.len(), retain, create, gradients.as_mut_ptr()) })?;
    Ok(gradients.into_iter().map(own).collect())
}

/// Gradients of several outputs, each with its seed, by inputs.
pub fn grad_many(outputs: &[&Tensor], seeds: &[&Tensor], inputs: &[&Tensor], create: bool) -> Result<Vec<Option<Tensor>>, Fault> {
    if outputs.len() != seeds.len() {
        return Err(Fault::engine("every output needs its gradient"));
    }
    let mut gradients = vec![null_mut(); inputs.len()];
    let (outputs, seeds, inputs) = (handles(outputs), handles(seeds), handles(inputs));
    // SAFETY: every pointer is valid for the call, and the lengths are those of the slices.
    check(unsafe {
        qt_grad_many(outputs.as_ptr(), seeds.as_ptr(), outputs.len(), inputs.as_ptr(), inputs.len(), create, gradients.as_mut_ptr())
    })?;
    Ok(gradients.into_iter().map(own).collect())
}

/// Whether this thread records gradients now.
#[must_use]
pub fn grad_enabled() -> bool {
    // SAFETY: reads a thread-local flag.
    unsafe { qt_grad_enabled() }
}

/// While it lives, what this thread computes takes part in no gradient, ever, and libtorch leaves out the bookkeeping for one: a quarter of the time
/// of a small operation. Bound to its thread.
pub struct Inference(*mut c_void);

impl Inference {
    pub fn begin() -> Self {
        // SAFETY: sets thread-local flags, which `drop` puts back.
        Self(unsafe { qt_inference_begin() })
    }
}

impl Drop for Inference {
    fn drop(&mut self) {
        // SAFETY: from `begin`, on the same thread, since a raw pointer does not leave it.
        unsafe { qt_inference_end(self.0) };
    }
}

/// Keeps the memory of large tensors for reuse from here on.
pub fn keep_memory() {
    // SAFETY: installs an allocator; what the one before gave stays its own.
    unsafe { qt_keep_memory() };
}

/// Returns the memory that is kept and unused to the system.
pub fn trim_memory() {
    // SAFETY: takes the allocator's lock; blocks in use are not touched.
    unsafe { qt_trim_memory() };
}

/// The version of libtorch.
#[must_use]
pub fn version() -> String {
    // SAFETY: no arguments; the text is taken over.
    text(unsafe { qt_version() }).unwrap_or_default()
}

/// The instruction set that libtorch's kernels use.
#[must_use]
pub fn capability() -> String {
    // SAFETY: no arguments; the text is taken over.
    text(unsafe { qt_capability() }).unwrap_or_default()
}

/// The number of threads that this thread's operations use.
#[must_use]
pub fn threads() -> usize {
    // SAFETY: no arguments.
    usize::try_from(unsafe { qt_threads() }).unwrap_or(1)
}

/// Sets the number of threads that this thread's operations use, and nothing of what `tch::set_num_threads` builds anew besides.
pub fn team(threads: usize) {
    // SAFETY: sets numbers that belong to the calling thread.
    unsafe { qt_team(c_int::try_from(threads).unwrap_or(1)) };
}

/// Runs a body over parts of [0, count) on libtorch's pool.
pub fn parallel<F: Fn(usize, usize) + Sync>(count: usize, grain: usize, body: F) -> Result<(), Fault> {
    struct Job<F> {
        body: F,
        panicked: std::sync::atomic::AtomicBool,
    }
    extern "C" fn run<F: Fn(usize, usize) + Sync>(data: *mut c_void, begin: i64, end: i64) {
        // SAFETY: `data` is the job below, which outlives the region and is only shared.
        let job = unsafe { &*data.cast::<Job<F>>() };
        let (begin, end) = (usize::try_from(begin).unwrap_or(0), usize::try_from(end).unwrap_or(0));
        // Unwinding through OpenMP's frames would abort the process.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (job.body)(begin, end))).is_err() {
            job.panicked.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let job = Job { body, panicked: false.into() };
    let length = |value: usize| i64::try_from(value).map_err(|_| Fault::engine("too many elements"));
    // SAFETY: the job lives on this stack for the whole call.
    check(unsafe { qt_parallel(length(count)?, length(grain)?, run::<F>, (&raw const job).cast_mut().cast()) })?;
    if job.panicked.into_inner() {
        return Err(Fault::new(crate::error::Code::Panic, "a parallel loop panicked"));
    }
    Ok(())
}

/// Runs a closure as one node of the graph. The closure is owned by the node from here on.
pub fn program(closure: *mut c_void, inputs: &[&Tensor], outputs: usize) -> Result<Vec<Tensor>, Fault> {
    let (inputs, mut results) = (handles(inputs), vec![null_mut(); outputs]);
    // SAFETY: the closure was made by `closure::into_raw` and is given away; the other pointers are valid for the call.
    check(unsafe { qt_program(closure, inputs.as_ptr(), inputs.len(), results.as_mut_ptr(), outputs) })?;
    results.into_iter().map(made).collect()
}
