//! Tensors as the shim hands them over: memory, sizes, or nothing.
use std::ffi::c_void;
use std::slice;

/// `qt_tensor` of `shim/kernels.cpp`.
///
/// Made by the shim alone, which vouches that the memory is contiguous, of the dtype of the call, and for what is written: fresh, and
/// nobody else's until the call returns.
#[repr(C)]
pub struct View {
    data: *mut c_void,
    sizes: *const i64,
    dims: i64,
}

impl View {
    /// Nothing.
    pub const ABSENT: View = View { data: std::ptr::null_mut(), sizes: std::ptr::null(), dims: 0 };

    pub fn is_there(&self) -> bool {
        !self.data.is_null()
    }

    pub fn sizes(&self) -> Vec<usize> {
        let dims = usize::try_from(self.dims).unwrap_or(0);
        if dims == 0 {
            return Vec::new();
        }
        // SAFETY: by the shim's word there are that many sizes.
        let sizes = unsafe { slice::from_raw_parts(self.sizes, dims) };
        sizes.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect()
    }

    fn len(&self) -> usize {
        self.sizes().into_iter().product()
    }

    /// The numbers, if there are any; `F` is the dtype of the call.
    pub fn read<'a, F>(&self) -> Option<&'a [F]> {
        // SAFETY: by the shim's word.
        self.is_there().then(|| unsafe { slice::from_raw_parts(self.data.cast_const().cast(), self.len()) })
    }

    /// The memory to be written, if something is wanted.
    pub fn write<F>(&mut self) -> Option<&mut [F]> {
        // SAFETY: by the shim's word, and this view is borrowed as long as the slice.
        self.is_there().then(|| unsafe { slice::from_raw_parts_mut(self.data.cast(), self.len()) })
    }
}
