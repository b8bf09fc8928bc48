//! The C face of the kernels, for `shim/kernels.cpp`: pointers become slices, panics and refusals become text.
use super::view::View;
use super::{Call, Kernel, MOST_OUTPUTS, Packed, Refused};
use crate::panics;
use quarterturn_kernels::{Buffer, Pool};
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::slice;

/// `qt_call`.
#[repr(C)]
pub struct CCall {
    kernel: i64,
    float64: bool,
    bfloat16: bool,
    attributes: *const f64,
    attributes_count: i64,
    inputs: *const View,
    inputs_count: i64,
    version: u64,
    packed: *mut Packed,
}

/// `qt_output`.
#[repr(C)]
pub struct COutput {
    dims: i64,
    sizes: [i64; 4],
}

/// `qt_plan`.
#[repr(C)]
pub struct CPlan {
    outputs: [COutput; MOST_OUTPUTS],
    reserve: i64,
}

impl CCall {
    unsafe fn call(&self) -> Refused<Call<'_>> {
        // SAFETY: the shim's arrays are as long as it says.
        unsafe {
            Ok(Call {
                kernel: Kernel::numbered(self.kernel).ok_or("there is no such kernel")?,
                float64: self.float64,
                bfloat16: self.bfloat16,
                attributes: array(self.attributes, self.attributes_count),
                inputs: array(self.inputs, self.inputs_count),
                version: self.version,
            })
        }
    }

    /// Runs a body with the packed weights, which are nobody else's meanwhile; without weights, with empty ones.
    unsafe fn with_packed(&self, body: impl FnOnce(&mut Packed) -> Refused) -> Refused {
        // SAFETY: null, or from `qt_packed_new` and locked by the shim.
        match unsafe { self.packed.as_mut() } {
            Some(packed) => body(packed),
            None => body(&mut Packed::default()),
        }
    }
}

unsafe fn array<'a, T>(start: *const T, count: i64) -> &'a [T] {
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: the shim's arrays are as long as it says; an empty one may have no memory.
    if count == 0 { &[] } else { unsafe { slice::from_raw_parts(start, count) } }
}

/// Runs a body; a refusal or panic becomes text that the caller frees.
fn contained(body: impl FnOnce() -> Refused) -> *mut c_char {
    let message = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return null_mut(),
        Ok(Err(refused)) => refused,
        Err(payload) => format!("panic in a kernel: {}", panics::text(payload.as_ref())),
    };
    let text = CString::new(message.replace('\0', " ")).unwrap_or_default();
    // SAFETY: strdup copies the text into memory of the C library, which `free` takes back.
    unsafe { libc::strdup(text.as_ptr()) }
}

/// Empty packed weights.
#[unsafe(no_mangle)]
pub extern "C" fn qt_packed_new() -> *mut Packed {
    Box::into_raw(Box::default())
}

/// # Safety
/// `packed` comes from `qt_packed_new` and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qt_packed_free(packed: *mut Packed) {
    // SAFETY: by the contract.
    drop(unsafe { Box::from_raw(packed) });
}

/// Memory of the kernels' pool for `len` floats; the owner comes back through `buffer`.
///
/// # Safety
/// `buffer` is valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qt_pool_take(len: i64, buffer: *mut *mut Buffer) -> *mut f32 {
    let mut owner = Box::new(Pool::global().take(usize::try_from(len).unwrap_or(0)));
    let memory = owner.as_mut_ptr();
    // SAFETY: by the contract.
    unsafe { *buffer = Box::into_raw(owner) };
    memory
}

/// # Safety
/// `buffer` comes from `qt_pool_take`, and its memory is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qt_pool_give_back(buffer: *mut Buffer) {
    // SAFETY: by the contract.
    drop(unsafe { Box::from_raw(buffer) });
}

/// # Safety
/// Pointers are valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qt_kernel_plan(call: *const CCall, plan: *mut CPlan) -> *mut c_char {
    contained(|| {
        // SAFETY: by the contract.
        let (call, to) = unsafe { ((*call).call()?, &mut *plan) };
        let plan = call.plan()?;
        for (output, to) in plan.outputs.iter().zip(&mut to.outputs) {
            match output {
                None => to.dims = -1,
                Some(sizes) => {
                    to.dims = int(sizes.len());
                    sizes.iter().zip(&mut to.sizes).for_each(|(&size, to)| *to = int(size));
                }
            }
        }
        to.reserve = int(plan.reserve);
        Ok(())
    })
}

fn int(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// # Safety
/// Pointers are valid; there are as many outputs as the kernel has, of the sizes of its plan.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qt_kernel_forward(c_call: *const CCall, outputs: *mut View, reserve: *mut View) -> *mut c_char {
    contained(|| {
        // SAFETY: by the contract.
        let (call, reserve) = unsafe { ((*c_call).call()?, (*reserve).write()) };
        let mut views = [View::ABSENT; MOST_OUTPUTS];
        // SAFETY: by the contract.
        let given = unsafe { slice::from_raw_parts_mut(outputs, call.kernel.outputs()) };
        views.iter_mut().zip(given).for_each(|(view, given)| std::mem::swap(view, given));
        // SAFETY: by the contract.
        unsafe { (*c_call).with_packed(|packed| call.forward(packed, &mut views, reserve)) }
    })
}

/// # Safety
/// As for `qt_kernel_forward`; there are as many `dinputs` as inputs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qt_kernel_backward(
    c_call: *const CCall,
    outputs: *const View,
    doutputs: *const View,
    reserve: *mut View,
    dinputs: *mut View,
) -> *mut c_char {
    contained(|| {
        // SAFETY: by the contract.
        unsafe {
            let call = (*c_call).call()?;
            let count = call.kernel.outputs();
            let (outputs, doutputs) = (slice::from_raw_parts(outputs, count), slice::from_raw_parts(doutputs, count));
            let dinputs = slice::from_raw_parts_mut(dinputs, call.inputs.len());
            let reserve = (*reserve).write().unwrap_or_default();
            (*c_call).with_packed(|packed| call.backward(packed, outputs, doutputs, reserve, dinputs))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Code, Fault};
    use std::ffi::CStr;

    fn told(body: impl FnOnce() -> Refused) -> Option<String> {
        let text = contained(body);
        if text.is_null() {
            return None;
        }
        // SAFETY: made by strdup just now.
        let said = unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned();
        // SAFETY: as above.
        unsafe { libc::free(text.cast()) };
        Some(said)
    }

    #[test]
    fn a_panic_in_a_kernel_is_an_error_with_its_code() {
        let said = told(|| panic!("index out of bounds")).unwrap();
        assert_eq!(said, "panic in a kernel: index out of bounds");
        assert_eq!(Fault::from_text(&said).code, Code::Panic);
        assert_eq!(told(|| Err("lstm: no".to_owned())).unwrap(), "lstm: no");
        assert_eq!(told(|| Ok(())), None);
    }

    #[test]
    fn an_unknown_kernel_and_a_wrong_rank_are_refused() {
        let x = View::ABSENT;
        let mut call = CCall {
            kernel: 99,
            float64: false,
            bfloat16: false,
            attributes: std::ptr::null(),
            attributes_count: 0,
            inputs: &raw const x,
            inputs_count: 1,
            version: 0,
            packed: null_mut(),
        };
        // SAFETY: the array holds one view.
        assert!(unsafe { call.call() }.is_err_and(|refused| refused == "there is no such kernel"));
        call.kernel = 0;
        // SAFETY: as above.
        let refused = unsafe { call.call() }.and_then(|call| call.plan()).err().unwrap();
        assert_eq!(refused, "lstm: x must be [B, T, I], got []");
    }
}
