//! scan, mingru, minlstm: all of it by `crates/kernels/cuda/src/linear.rs`.
use super::{Call, Gradients, Made, dtype, view};
use crate::call::size;
use crate::device::check_range;
use crate::error::Fault;
use crate::kernels::Kernel;
use quarterturn_cuda::View;
use quarterturn_cuda::linear::{self, Backward, Candidate, Cell, Forward};
use tch::{Kind, Tensor};

/// One call, the inputs by name.
pub struct Scan<'a> {
    call: &'a Call<'a>,
    kernel: linear::Call,
    /// a and b, or p.
    tensors: Vec<&'a Tensor>,
    h_0: Option<&'a Tensor>,
    lengths: Option<&'a Tensor>,
}

impl<'a> Scan<'a> {
    pub fn new(call: &'a Call<'a>) -> Result<Self, Fault> {
        let candidate = if call.flag(0) { Candidate::Positive } else { Candidate::Linear };
        let (cell, columns, tensors) = match call.kernel {
            Kernel::Scan => (Cell::Scan, 1, 2),
            Kernel::MinGru => (Cell::MinGru(candidate), 2, 1),
            _ => (Cell::MinLstm(candidate), 3, 1),
        };
        let x = call.input(0)?;
        let [batch, time, width] = [size(x, 0)?, size(x, 1)?, size(x, 2)?].map(|size| usize::try_from(size).unwrap_or(0));
        let lengths = call.optional(tensors + 1);
        Ok(Self {
            call,
            kernel: linear::Call {
                cell,
                dtype: dtype(x)?,
                batch,
                time,
                hidden: width / columns,
                reverse: call.flag(usize::from(cell != Cell::Scan)),
                lengths: view(lengths),
            },
            tensors: (0..tensors).map(|place| call.input(place)).collect::<Result<_, _>>()?,
            h_0: call.optional(tensors),
            lengths,
        })
    }

    /// An output: [B, T, H], or [B, H].
    fn empty(&self, whole: bool) -> Result<Tensor, Fault> {
        let [batch, time, hidden] = [self.kernel.batch, self.kernel.time, self.kernel.hidden].map(|size| size as i64);
        let options = (self.tensors[0].f_kind()?, self.tensors[0].device());
        Ok(if whole { Tensor::f_empty([batch, time, hidden], options)? } else { Tensor::f_empty([batch, hidden], options)? })
    }

    fn workspace(&self) -> Result<Tensor, Fault> {
        let len = linear::workspace_len(&self.call.launcher.card(), &self.kernel) as i64;
        Ok(Tensor::f_empty([len], (Kind::Float, self.tensors[0].device()))?)
    }

    fn views(&self) -> Vec<View> {
        self.tensors.iter().map(|tensor| view(Some(tensor))).collect()
    }

    pub fn forward(&self) -> Result<Made, Fault> {
        if let Some(lengths) = self.lengths {
            check_range(lengths, self.kernel.time as i64 + 1)?;
        }
        let (y, h, workspace) = (self.empty(true)?, self.empty(false)?, self.workspace()?);
        let inputs = self.views();
        let buffers =
            Forward { inputs: &inputs, y_0: view(self.h_0), y: view(Some(&y)), y_n: view(Some(&h)), workspace: view(Some(&workspace)) };
        // SAFETY: tensors of the device, which libtorch keeps for this stream until the kernel is done.
        unsafe { linear::forward(self.call.launcher, &self.kernel, &buffers)? };
        Ok(Made { outputs: vec![y, h], reserve: Vec::new() })
    }

    pub fn backward(&self, given: &Gradients) -> Result<Vec<Option<Tensor>>, Fault> {
        let count = self.tensors.len();
        let made = self.tensors.iter().map(|tensor| tensor.f_empty_like()).collect::<Result<Vec<_>, _>>()?;
        let dh_0 = if given.wants(count) { Some(self.empty(false)?) } else { None };
        let workspace = self.workspace()?;
        let (inputs, dinputs) = (self.views(), made.iter().map(|tensor| view(Some(tensor))).collect::<Vec<_>>());
        let buffers = Backward {
            inputs: &inputs,
            y_0: view(self.h_0),
            y: view(Some(given.output(0)?)),
            dy: view(given.grad(0)),
            dy_n: view(given.grad(1)),
            dinputs: &dinputs,
            dy_0: view(dh_0.as_ref()),
            workspace: view(Some(&workspace)),
        };
        // SAFETY: as in forward.
        unsafe { linear::backward(self.call.launcher, &self.kernel, &buffers)? };
        let wanted = made.into_iter().enumerate().map(|(place, tensor)| given.wants(place).then_some(tensor));
        Ok(wanted.chain([dh_0, None]).collect())
    }
}
