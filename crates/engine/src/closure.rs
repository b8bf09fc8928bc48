//! The two passes of a node of the graph that is made of programs (`shim/program.cpp` calls these).
use crate::call::Setting;
use crate::error::Fault;
use crate::program::Program;
use crate::shim;
use std::ffi::{c_char, c_void};
use std::sync::Arc;
use tch::Tensor;
use torch_sys::C_tensor;

/// What the node runs.
pub enum Closure {
    /// Forward without gradients; the backward pass runs it again, with them.
    Checkpoint { program: Arc<Program>, setting: Setting },
    /// The backward pass is a program of its own: inputs, outputs, gradients of outputs → gradients of inputs.
    CustomGrad { forward: Arc<Program>, backward: Arc<Program>, setting: Setting },
}

impl Closure {
    /// Puts the closure into a new node and runs its forward pass.
    pub fn apply(self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Fault> {
        let outputs = match &self {
            Closure::Checkpoint { program, .. } => program.output_count(),
            Closure::CustomGrad { forward, .. } => forward.output_count(),
        };
        shim::program(Box::into_raw(Box::new(self)).cast(), inputs, outputs)
    }

    fn forward(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Fault> {
        match self {
            Closure::Checkpoint { program, setting } => program.run_whole(inputs, Setting { grad: false, ..*setting }),
            Closure::CustomGrad { forward, setting, .. } => forward.run_whole(inputs, Setting { grad: false, ..*setting }),
        }
    }

    fn backward(&self, inputs: Vec<Tensor>, outputs: Vec<Tensor>, seeds: Vec<Tensor>) -> Result<Vec<Option<Tensor>>, Fault> {
        match self {
            Closure::Checkpoint { program, setting } => again(program, &inputs, &seeds, *setting),
            Closure::CustomGrad { backward, setting, .. } => {
                let all = inputs.into_iter().chain(outputs).chain(seeds).collect();
                backward.run(all, Setting { grad: shim::grad_enabled(), ..*setting })
            }
        }
    }
}

/// Runs a checkpointed program once more with gradients and differentiates it. When the gradient itself is to be
/// differentiated, the inputs stay connected with the graph they came from.
fn again(program: &Program, inputs: &[Tensor], seeds: &[Tensor], setting: Setting) -> Result<Vec<Option<Tensor>>, Fault> {
    let connected = shim::grad_enabled();
    let mut mode = crate::grad_mode::GradMode::hold();
    mode.set(true);
    // A fresh alias of each input: an input may depend on another one, and that is not this node's business.
    let alias = |input: &Tensor| match (input.requires_grad(), connected) {
        (true, true) => Ok::<_, Fault>(input.f_view_as(input)?),
        (needed, _) => Ok(input.f_detach()?.f_set_requires_grad(needed)?),
    };
    let aliases = inputs.iter().map(alias).collect::<Result<Vec<_>, _>>()?;
    let given = aliases.iter().map(Tensor::shallow_clone).collect();
    let outputs = program.run_whole(given, Setting { grad: true, again: true, ..setting })?;
    let wanted: Vec<usize> = (0..aliases.len()).filter(|index| aliases[*index].requires_grad()).collect();
    let (ends, given): (Vec<_>, Vec<_>) = outputs.iter().zip(seeds).filter(|(output, _)| output.requires_grad()).unzip();
    let mut gradients: Vec<Option<Tensor>> = aliases.iter().map(|_| None).collect();
    if wanted.is_empty() || ends.is_empty() {
        return Ok(gradients);
    }
    let by: Vec<&Tensor> = wanted.iter().map(|index| &aliases[*index]).collect();
    let found = shim::grad_many(&ends, &given, &by, connected)?;
    for (index, gradient) in wanted.into_iter().zip(found) {
        gradients[index] = gradient;
    }
    Ok(gradients)
}

/// # Safety
/// `tensors` points to `count` valid tensors.
unsafe fn borrow(tensors: *const *const C_tensor, count: usize) -> Vec<Tensor> {
    // SAFETY: as above; each is cloned (a new handle on the same tensor), so nothing is freed twice.
    (0..count).map(|index| unsafe { Tensor::from_ptr(torch_sys::at_shallow_clone((*tensors.add(index)).cast_mut())) }).collect()
}

/// # Safety
/// `slots` has room for `tensors`.
unsafe fn give(tensors: Vec<Option<Tensor>>, slots: *mut *mut C_tensor, count: usize) -> Result<(), Fault> {
    if tensors.len() != count {
        return Err(Fault::engine(format!("a program gave {} values where {count} were wanted", tensors.len())));
    }
    for (index, tensor) in tensors.into_iter().enumerate() {
        let handle = tensor.map_or(std::ptr::null_mut(), |tensor| std::mem::ManuallyDrop::new(tensor).as_mut_ptr());
        // SAFETY: index < count.
        unsafe { *slots.add(index) = handle };
    }
    Ok(())
}

/// Runs a body for the shim; a fault becomes text that the shim frees.
pub fn answer(run: impl FnOnce() -> Result<(), Fault>) -> *mut c_char {
    let Err(fault) = crate::panics::contained(run) else {
        return std::ptr::null_mut();
    };
    let text = std::ffi::CString::new(fault.to_text().replace('\0', " ")).unwrap_or_default();
    // SAFETY: a valid string; the shim frees the copy.
    unsafe { libc::strdup(text.as_ptr()) }
}

/// # Safety
/// Called by the shim with a closure it owns and arrays of the given lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qt_closure_forward(
    closure: *mut c_void,
    inputs: *const *const C_tensor,
    inputs_count: usize,
    outputs: *mut *mut C_tensor,
    outputs_count: usize,
) -> *mut c_char {
    answer(|| {
        // SAFETY: by contract.
        unsafe {
            let made = (*closure.cast::<Closure>()).forward(borrow(inputs, inputs_count))?;
            give(made.into_iter().map(Some).collect(), outputs, outputs_count)
        }
    })
}

/// # Safety
/// Called by the shim with a closure it owns; `outputs` is null-length unless the closure saves outputs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qt_closure_backward(
    closure: *mut c_void,
    inputs: *const *const C_tensor,
    inputs_count: usize,
    outputs: *const *const C_tensor,
    outputs_count: usize,
    seeds: *const *const C_tensor,
    gradients: *mut *mut C_tensor,
) -> *mut c_char {
    answer(|| {
        // SAFETY: by contract.
        unsafe {
            let closure = &*closure.cast::<Closure>();
            let saved = if qt_closure_saves_outputs(std::ptr::from_ref(closure).cast_mut().cast()) { outputs_count } else { 0 };
            let made = closure.backward(borrow(inputs, inputs_count), borrow(outputs, saved), borrow(seeds, outputs_count))?;
            give(made, gradients, inputs_count)
        }
    })
}

/// # Safety
/// Called by the shim with a closure it owns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qt_closure_saves_outputs(closure: *mut c_void) -> bool {
    // SAFETY: by contract.
    matches!(unsafe { &*closure.cast::<Closure>() }, Closure::CustomGrad { .. })
}

/// # Safety
/// Called by the shim once, when the node is gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qt_closure_release(closure: *mut c_void) {
    // SAFETY: by contract, made by `Closure::apply`.
    drop(unsafe { Box::from_raw(closure.cast::<Closure>()) });
}
