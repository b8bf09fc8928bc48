//! The C face of the kernels on CUDA, for `shim/kernels.cpp`: handles become tensors, refusals become text.
use super::{Call, Gradients, devices};
use crate::closure::answer;
use crate::error::{Code, Fault};
use crate::kernels::Kernel;
use std::ffi::{c_char, c_void};
use std::ptr::null_mut;
use tch::{Device, Tensor};
use torch_sys::C_tensor;

type Handles = *const *const C_tensor;

unsafe extern "C" {
    fn qt_cuda_stream(tensor: *const C_tensor, stream: *mut *mut c_void) -> *mut c_char;
}

/// # Safety
/// `handles` points to `count` tensors, or null for those that are absent.
unsafe fn borrow(handles: Handles, count: usize) -> Vec<Option<Tensor>> {
    // SAFETY: as above; each is cloned (a new handle on the same tensor), so nothing is freed twice.
    let clone = |handle: *const C_tensor| unsafe { Tensor::from_ptr(torch_sys::at_shallow_clone(handle.cast_mut())) };
    // SAFETY: index < count.
    (0..count).map(|index| unsafe { *handles.add(index) }).map(|handle| (!handle.is_null()).then(|| clone(handle))).collect()
}

/// # Safety
/// `made` has room for `tensors`.
unsafe fn give(tensors: Vec<Option<Tensor>>, made: *mut *mut C_tensor) {
    for (index, tensor) in tensors.into_iter().enumerate() {
        let handle = tensor.map_or(null_mut(), |tensor| std::mem::ManuallyDrop::new(tensor).as_mut_ptr());
        // SAFETY: index is within it.
        unsafe { *made.add(index) = handle };
    }
}

/// Runs a body with a call whose launcher queues on libtorch's present stream.
fn on_device<T>(
    kernel: i64,
    inputs: &[Option<Tensor>],
    present: Option<&Tensor>,
    attributes: &[f64],
    body: impl FnOnce(&Call) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let kernel = Kernel::numbered(kernel).ok_or_else(|| Fault::engine("there is no such kernel"))?;
    let present = present.ok_or_else(|| Fault::engine("a kernel was given no tensor"))?;
    let Device::Cuda(ordinal) = present.device() else {
        return Err(Fault::new(Code::Device, "its kernel runs on the CPU and on CUDA only"));
    };
    let device = devices::ready(ordinal).map_err(quarterturn_cuda::Error::from)?;
    let mut stream = null_mut();
    // SAFETY: both pointers are valid for the call.
    crate::shim::check(unsafe { qt_cuda_stream(present.as_ptr(), &raw mut stream) })?;
    body(&Call { launcher: &device.on(stream), kernel, inputs, attributes })
}

/// # Safety
/// Called by the shim with arrays of the given lengths; `made` has room for eight tensors and holds null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qt_cuda_forward(
    kernel: i64,
    inputs: Handles,
    count: usize,
    attributes: *const f64,
    attributes_count: usize,
    training: bool,
    made: *mut *mut C_tensor,
) -> *mut c_char {
    answer(|| {
        // SAFETY: by contract.
        let (inputs, attributes) = unsafe { (borrow(inputs, count), std::slice::from_raw_parts(attributes, attributes_count)) };
        let tensors = on_device(kernel, &inputs, inputs.iter().flatten().next(), attributes, |call| call.forward(training))?;
        // SAFETY: by contract; no kernel makes more.
        unsafe { give(tensors.outputs.into_iter().chain(tensors.reserve).map(Some).collect(), made) };
        Ok(())
    })
}

/// # Safety
/// Called by the shim with arrays of the given lengths; `outputs` and `grads` hold as many as the kernel has outputs, `wanted` and `made` as many as
/// there are inputs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qt_cuda_backward(
    kernel: i64,
    inputs: Handles,
    count: usize,
    attributes: *const f64,
    attributes_count: usize,
    outputs: Handles,
    grads: Handles,
    reserve: Handles,
    reserve_count: usize,
    wanted: *const bool,
    made: *mut *mut C_tensor,
) -> *mut c_char {
    answer(|| {
        let outputs_count = Kernel::numbered(kernel).map_or(0, Kernel::outputs);
        // SAFETY: by contract.
        let (inputs, outputs, grads, reserve, attributes, wanted) = unsafe {
            (
                borrow(inputs, count),
                borrow(outputs, outputs_count),
                borrow(grads, outputs_count),
                borrow(reserve, reserve_count),
                std::slice::from_raw_parts(attributes, attributes_count),
                std::slice::from_raw_parts(wanted, count),
            )
        };
        let grads: Vec<Option<Tensor>> =
            grads.iter().map(|grad| grad.as_ref().map(Tensor::f_contiguous).transpose()).collect::<Result<_, _>>()?;
        let given = Gradients { outputs: &outputs, grads: &grads, reserve: &reserve, wanted };
        let gradients = on_device(kernel, &inputs, grads.iter().flatten().next(), attributes, |call| call.backward(&given))?;
        // SAFETY: by contract.
        unsafe { give(gradients, made) };
        Ok(())
    })
}
