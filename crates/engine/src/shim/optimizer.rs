//! Fused optimizer steps, and the passes over lists of gradients.
use super::{Handle, Handles, check, handles, made};
use crate::error::Fault;
use std::ffi::c_char;
use std::ptr::null_mut;
use tch::Tensor;
use torch_sys::C_tensor;

unsafe extern "C" {
    fn qt_first_not_finite(tensors: Handles, count: usize, position: *mut i64) -> *mut c_char;
    fn qt_fused_adamw(
        parameters: Handles,
        gradients: Handles,
        means: Handles,
        variances: Handles,
        count: usize,
        step: *const C_tensor,
        lr: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
    ) -> *mut c_char;
    fn qt_fused_sgd(
        parameters: Handles,
        gradients: Handles,
        buffers: Handles,
        count: usize,
        lr: f64,
        momentum: f64,
        dampening: f64,
        weight_decay: f64,
        nesterov: bool,
        first: bool,
    ) -> *mut c_char;
    fn qt_total_norm(tensors: Handles, count: usize, norm: *mut Handle) -> *mut c_char;
}

/// The position of the first tensor with a value that is not finite.
pub fn first_not_finite(tensors: &[&Tensor]) -> Result<Option<usize>, Fault> {
    let (tensors, mut position) = (handles(tensors), -1);
    // SAFETY: every pointer is valid for the call, and the length is that of the slice.
    check(unsafe { qt_first_not_finite(tensors.as_ptr(), tensors.len(), &raw mut position) })?;
    Ok(usize::try_from(position).ok())
}

/// What an `adamw` step is told besides its tensors.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
}

/// One fused step, in place. The lists are of equal length; `step` counts this step already.
pub fn fused_adamw(lists: [&[&Tensor]; 4], step: &Tensor, rule: AdamW) -> Result<(), Fault> {
    let [parameters, gradients, means, variances] = lists.map(handles);
    if [gradients.len(), means.len(), variances.len()] != [parameters.len(); 3] {
        return Err(Fault::engine("the lists of a step differ in length"));
    }
    let AdamW { lr, beta1, beta2, eps, weight_decay } = rule;
    // SAFETY: every pointer is valid for the call, and all four lists have the given length.
    check(unsafe {
        qt_fused_adamw(
            parameters.as_ptr(),
            gradients.as_ptr(),
            means.as_ptr(),
            variances.as_ptr(),
            parameters.len(),
            step.as_ptr(),
            lr,
            beta1,
            beta2,
            weight_decay,
            eps,
        )
    })
}

/// What an `sgd` step is told besides its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    pub lr: f64,
    pub momentum: f64,
    pub dampening: f64,
    pub weight_decay: f64,
    pub nesterov: bool,
    /// The first step fills the momentum buffers with the gradients.
    pub first: bool,
}

/// One fused step, in place. Without momentum there are no buffers.
pub fn fused_sgd(parameters: &[&Tensor], gradients: &[&Tensor], buffers: Option<&[&Tensor]>, rule: Sgd) -> Result<(), Fault> {
    if gradients.len() != parameters.len() || buffers.is_some_and(|buffers| buffers.len() != parameters.len()) {
        return Err(Fault::engine("the lists of a step differ in length"));
    }
    let (parameters, gradients, buffers) = (handles(parameters), handles(gradients), buffers.map(handles));
    let buffers = buffers.as_ref().map_or(std::ptr::null(), Vec::as_ptr);
    let Sgd { lr, momentum, dampening, weight_decay, nesterov, first } = rule;
    // SAFETY: every pointer is valid for the call, and all lists have the given length.
    check(unsafe {
        qt_fused_sgd(
            parameters.as_ptr(),
            gradients.as_ptr(),
            buffers,
            parameters.len(),
            lr,
            momentum,
            dampening,
            weight_decay,
            nesterov,
            first,
        )
    })
}

/// The 2-norm of all elements of all tensors together; there is at least one tensor.
pub fn total_norm(tensors: &[&Tensor]) -> Result<Tensor, Fault> {
    let (tensors, mut norm) = (handles(tensors), null_mut());
    // SAFETY: every pointer is valid for the call, and the length is that of the slice.
    check(unsafe { qt_total_norm(tensors.as_ptr(), tensors.len(), &raw mut norm) })?;
    made(norm)
}
