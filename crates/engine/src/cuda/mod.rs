//! Our kernels on CUDA: where they reach, and how a call of `src/kernels` becomes launches there. Products with weights that are not part of a
//! recurrence are libtorch's. Everything here takes a [`Launcher`], so that the tests run it on tensors of the CPU with the emulation.
//! Compiled and emulated; not yet run on a device.
mod dense;
mod devices;
mod face;
mod highway;
mod linear;
mod residual_norm;
#[cfg(test)]
mod tests;

pub use devices::status;

use crate::attributes::dtype_name;
use crate::error::{Code, Fault};
use crate::kernels::Kernel;
use quarterturn_cuda::{Dtype, Launcher, View};
use tch::{Device, Kind, Tensor};

/// One call of a kernel; inputs are contiguous.
struct Call<'a> {
    launcher: &'a dyn Launcher,
    kernel: Kernel,
    inputs: &'a [Option<Tensor>],
    attributes: &'a [f64],
}

/// The outputs of a forward pass, and what it keeps for the backward pass.
struct Made {
    outputs: Vec<Tensor>,
    reserve: Vec<Tensor>,
}

/// What a backward pass is given besides its call.
struct Gradients<'a> {
    outputs: &'a [Option<Tensor>],
    grads: &'a [Option<Tensor>],
    reserve: &'a [Option<Tensor>],
    wanted: &'a [bool],
}

/// Whether our kernels compute this call, forward and backward, on the device of its first input. Everything else is libtorch's.
pub fn reaches(kernel: Kernel, inputs: &[Option<&Tensor>], attributes: &[f64]) -> bool {
    let Some(Device::Cuda(ordinal)) = inputs.first().copied().flatten().map(Tensor::device) else { return false };
    let inputs: Vec<Option<Tensor>> = inputs.iter().map(|input| input.map(Tensor::shallow_clone)).collect();
    devices::ready(ordinal).is_ok_and(|device| {
        let launcher = device.on(std::ptr::null_mut());
        Call { launcher: &launcher, kernel, inputs: &inputs, attributes }.reaches().unwrap_or(false)
    })
}

impl Call<'_> {
    fn reaches(&self) -> Result<bool, Fault> {
        match self.kernel {
            Kernel::Lstm | Kernel::Gru | Kernel::Rnn => dense::Layer::new(self)?.reaches(),
            Kernel::Scan | Kernel::MinGru | Kernel::MinLstm => linear::Scan::new(self).map(|_| true),
            Kernel::Highway => highway::Stack::new(self)?.reaches(),
            Kernel::ResidualNorm => residual_norm::reaches(self),
            _ => Ok(false),
        }
    }

    fn forward(&self, training: bool) -> Result<Made, Fault> {
        match self.kernel {
            Kernel::Lstm | Kernel::Gru | Kernel::Rnn => dense::Layer::new(self)?.forward(training),
            Kernel::Scan | Kernel::MinGru | Kernel::MinLstm => linear::Scan::new(self)?.forward(),
            Kernel::Highway => highway::Stack::new(self)?.forward(training),
            Kernel::ResidualNorm => residual_norm::forward(self, training),
            _ => Err(self.nowhere()),
        }
    }

    /// The gradients of the inputs that are wanted, in their order.
    fn backward(&self, given: &Gradients) -> Result<Vec<Option<Tensor>>, Fault> {
        match self.kernel {
            Kernel::Lstm | Kernel::Gru | Kernel::Rnn => dense::Layer::new(self)?.backward(given),
            Kernel::Scan | Kernel::MinGru | Kernel::MinLstm => linear::Scan::new(self)?.backward(given),
            Kernel::Highway => highway::Stack::new(self)?.backward(given),
            Kernel::ResidualNorm => residual_norm::backward(self, given),
            _ => Err(self.nowhere()),
        }
    }

    fn input(&self, place: usize) -> Result<&Tensor, Fault> {
        self.optional(place).ok_or_else(|| Fault::engine(format!("{}: input {place} is missing", self.kernel.name())))
    }

    fn optional(&self, place: usize) -> Option<&Tensor> {
        self.inputs.get(place).and_then(Option::as_ref)
    }

    fn flag(&self, place: usize) -> bool {
        self.attributes.get(place).is_some_and(|&word| word != 0.0)
    }

    fn nowhere(&self) -> Fault {
        Fault::new(Code::Device, format!("{}: our CUDA kernels do not reach this dtype or size", self.kernel.name()))
    }
}

impl Gradients<'_> {
    fn output(&self, place: usize) -> Result<&Tensor, Fault> {
        self.outputs.get(place).and_then(Option::as_ref).ok_or_else(|| Fault::engine("an output is missing"))
    }

    fn grad(&self, place: usize) -> Option<&Tensor> {
        self.grads.get(place).and_then(Option::as_ref)
    }

    fn wants(&self, place: usize) -> bool {
        self.wanted.get(place).copied().unwrap_or(false)
    }
}

/// The dtype of a tensor, if our kernels have it.
fn dtype(x: &Tensor) -> Result<Dtype, Fault> {
    match x.f_kind()? {
        Kind::Float => Ok(Dtype::Float32),
        Kind::BFloat16 => Ok(Dtype::BFloat16),
        other => Err(Fault::mismatch(Code::Dtype, "tensors on CUDA", "float32 or bfloat16", dtype_name(other))),
    }
}

/// A contiguous tensor as kernels get it; absent: nothing.
fn view(tensor: Option<&Tensor>) -> View {
    tensor.map_or_else(View::default, |tensor| View { address: tensor.data_ptr() as u64, len: tensor.numel() as u64 })
}
