//! Fused optimizer steps, and the passes over lists of gradients.
use super::{Handle, Handles, check, handles, made};
use crate::error::Fault;
use std::ffi::c_char;
use std::ptr::{null, null_mut};
use tch::Tensor;
use torch_sys::C_tensor;

unsafe extern "C" {
    fn qt_first_not_finite(tensors: Handles, count: usize, position: *mut i64) -> *mut c_char;
    fn qt_fused_adam(
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
        decoupled: bool,
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
    fn qt_rmsprop(
        parameters: Handles,
        gradients: Handles,
        squares: Handles,
        buffers: Handles,
        means: Handles,
        count: usize,
        lr: f64,
        alpha: f64,
        eps: f64,
        weight_decay: f64,
        momentum: f64,
    ) -> *mut c_char;
    fn qt_lion(
        parameters: Handles,
        gradients: Handles,
        means: Handles,
        count: usize,
        lr: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
    ) -> *mut c_char;
    fn qt_nadam(
        parameters: Handles,
        gradients: Handles,
        means: Handles,
        variances: Handles,
        count: usize,
        gradient_rate: f64,
        mean_rate: f64,
        beta1: f64,
        beta2: f64,
        correction: f64,
        weight_decay: f64,
        eps: f64,
    ) -> *mut c_char;
    fn qt_adafactor(
        parameter: *const C_tensor,
        gradient: *const C_tensor,
        rows: *const C_tensor,
        columns: *const C_tensor,
        variance: *const C_tensor,
        rate: f64,
        decay_rate: f64,
        weight: f64,
        eps1: f64,
        eps2: f64,
        threshold: f64,
    ) -> *mut c_char;
    fn qt_average(targets: Handles, sources: Handles, count: usize, weight: f64) -> *mut c_char;
    fn qt_total_norm(tensors: Handles, count: usize, norm: *mut Handle) -> *mut c_char;
}

/// The position of the first tensor with a value that is not finite.
pub fn first_not_finite(tensors: &[&Tensor]) -> Result<Option<usize>, Fault> {
    let (tensors, mut position) = (handles(tensors), -1);
    // SAFETY: every pointer is valid for the call, and the length is that of the slice.
    check(unsafe { qt_first_not_finite(tensors.as_ptr(), tensors.len(), &raw mut position) })?;
    Ok(usize::try_from(position).ok())
}

/// What an `adam` or `adamw` step is told besides its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
    /// Weight decay apart from the gradient, as `AdamW` has it.
    pub decoupled: bool,
}

/// Fails unless every list is as long as the first.
fn equally_long(first: usize, others: &[usize]) -> Result<(), Fault> {
    if others.iter().all(|length| *length == first) { Ok(()) } else { Err(Fault::engine("the lists of a step differ in length")) }
}

/// One fused step, in place. The lists are of equal length; `step` counts this step already.
pub fn fused_adam(lists: [&[&Tensor]; 4], step: &Tensor, rule: Adam) -> Result<(), Fault> {
    let [parameters, gradients, means, variances] = lists.map(handles);
    equally_long(parameters.len(), &[gradients.len(), means.len(), variances.len()])?;
    let Adam { lr, beta1, beta2, eps, weight_decay, decoupled } = rule;
    // SAFETY: every pointer is valid for the call, and all four lists have the given length.
    check(unsafe {
        qt_fused_adam(
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
            decoupled,
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
    equally_long(parameters.len(), &[gradients.len(), buffers.map_or(parameters.len(), <[_]>::len)])?;
    let (parameters, gradients, buffers) = (handles(parameters), handles(gradients), buffers.map(handles));
    let buffers = buffers.as_ref().map_or(null(), Vec::as_ptr);
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

/// What an `rmsprop` step is told besides its tensors.
#[derive(Clone, Copy, Debug)]
pub struct RmsProp {
    pub lr: f64,
    pub alpha: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub momentum: f64,
}

/// One step, in place. Without momentum there are no buffers; means are there where it is centred.
pub fn rmsprop(lists: [&[&Tensor]; 3], buffers: Option<&[&Tensor]>, means: Option<&[&Tensor]>, rule: RmsProp) -> Result<(), Fault> {
    let [parameters, gradients, squares] = lists.map(handles);
    let (buffers, means) = (buffers.map(handles), means.map(handles));
    for optional in [&buffers, &means].into_iter().flatten() {
        equally_long(parameters.len(), &[optional.len()])?;
    }
    equally_long(parameters.len(), &[gradients.len(), squares.len()])?;
    let RmsProp { lr, alpha, eps, weight_decay, momentum } = rule;
    // SAFETY: every pointer is valid for the call, and all lists have the given length.
    check(unsafe {
        qt_rmsprop(
            parameters.as_ptr(),
            gradients.as_ptr(),
            squares.as_ptr(),
            buffers.as_ref().map_or(null(), Vec::as_ptr),
            means.as_ref().map_or(null(), Vec::as_ptr),
            parameters.len(),
            lr,
            alpha,
            eps,
            weight_decay,
            momentum,
        )
    })
}

/// What a `lion` step is told besides its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Lion {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub weight_decay: f64,
}

/// One step, in place.
pub fn lion(lists: [&[&Tensor]; 3], rule: Lion) -> Result<(), Fault> {
    let [parameters, gradients, means] = lists.map(handles);
    equally_long(parameters.len(), &[gradients.len(), means.len()])?;
    let Lion { lr, beta1, beta2, weight_decay } = rule;
    // SAFETY: every pointer is valid for the call, and all lists have the given length.
    check(unsafe { qt_lion(parameters.as_ptr(), gradients.as_ptr(), means.as_ptr(), parameters.len(), lr, beta1, beta2, weight_decay) })
}

/// What a `nadam` step is told besides its tensors.
#[derive(Clone, Copy, Debug)]
pub struct NAdam {
    pub gradient_rate: f64,
    pub mean_rate: f64,
    pub beta1: f64,
    pub beta2: f64,
    /// 1 − β₂ᵗ
    pub correction: f64,
    pub weight_decay: f64,
    pub eps: f64,
}

/// One step, in place.
pub fn nadam(lists: [&[&Tensor]; 4], rule: NAdam) -> Result<(), Fault> {
    let [parameters, gradients, means, variances] = lists.map(handles);
    equally_long(parameters.len(), &[gradients.len(), means.len(), variances.len()])?;
    let NAdam { gradient_rate, mean_rate, beta1, beta2, correction, weight_decay, eps } = rule;
    // SAFETY: every pointer is valid for the call, and all four lists have the given length.
    check(unsafe {
        qt_nadam(
            parameters.as_ptr(),
            gradients.as_ptr(),
            means.as_ptr(),
            variances.as_ptr(),
            parameters.len(),
            gradient_rate,
            mean_rate,
            beta1,
            beta2,
            correction,
            weight_decay,
            eps,
        )
    })
}

/// What an `adafactor` step is told besides its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Adafactor {
    /// The step relative to the size of the parameter.
    pub rate: f64,
    /// The share of the parameter that decays.
    pub decay: f64,
    /// Of the new squares in the second moment.
    pub weight: f64,
    pub eps1: f64,
    pub eps2: f64,
    pub threshold: f64,
}

/// The second moment of one parameter.
#[derive(Clone, Copy, Debug)]
pub enum SecondMoment<'a> {
    Factored { rows: &'a Tensor, columns: &'a Tensor },
    Whole(&'a Tensor),
}

/// One step of one parameter, in place.
pub fn adafactor(parameter: &Tensor, gradient: &Tensor, moment: SecondMoment, rule: Adafactor) -> Result<(), Fault> {
    let (rows, columns, variance) = match moment {
        SecondMoment::Factored { rows, columns } => (rows.as_ptr(), columns.as_ptr(), null()),
        SecondMoment::Whole(variance) => (null(), null(), variance.as_ptr()),
    };
    let Adafactor { rate, decay, weight, eps1, eps2, threshold } = rule;
    // SAFETY: every pointer that is not null is valid for the call, and the shim reads null where the others are given.
    check(unsafe {
        qt_adafactor(parameter.as_ptr(), gradient.as_ptr(), rows, columns, variance, rate, decay, weight, eps1, eps2, threshold)
    })
}

/// targets ← targets + weight · (sources − targets), in place.
pub fn average(targets: &[&Tensor], sources: &[&Tensor], weight: f64) -> Result<(), Fault> {
    let (targets, sources) = (handles(targets), handles(sources));
    equally_long(targets.len(), &[sources.len()])?;
    // SAFETY: every pointer is valid for the call, and both lists have the given length.
    check(unsafe { qt_average(targets.as_ptr(), sources.as_ptr(), targets.len(), weight) })
}

/// The 2-norm of all elements of all tensors together; there is at least one tensor.
pub fn total_norm(tensors: &[&Tensor]) -> Result<Tensor, Fault> {
    let (tensors, mut norm) = (handles(tensors), null_mut());
    // SAFETY: every pointer is valid for the call, and the length is that of the slice.
    check(unsafe { qt_total_norm(tensors.as_ptr(), tensors.len(), &raw mut norm) })?;
    made(norm)
}
