//! highway: `crates/kernels/cuda/src/highway.rs` computes what goes layer by layer, libtorch the gradients of the weights.
use super::{Call, Gradients, Made, dtype, view};
use crate::call::size;
use crate::error::Fault;
use quarterturn_cuda::highway::{Backward, Forward, Pass, Plan, Shape};
use tch::{Kind, Tensor};

/// One stack, the inputs by name.
pub struct Stack<'a> {
    call: &'a Call<'a>,
    shape: Shape,
    /// […, D]
    x: &'a Tensor,
    weight: &'a Tensor,
    bias: Option<&'a Tensor>,
}

impl<'a> Stack<'a> {
    pub fn new(call: &'a Call<'a>) -> Result<Self, Fault> {
        let (x, weight) = (call.input(0)?, call.input(1)?);
        let width = x.size().last().copied().unwrap_or_default();
        let [layers, width, elements] = [size(weight, 0)?, width, x.numel() as i64].map(|size| usize::try_from(size).unwrap_or(0));
        let shape = Shape { rows: elements.checked_div(width).unwrap_or(0), width, layers };
        Ok(Self { call, shape, x, weight, bias: call.optional(2) })
    }

    /// Whether there are plans for both passes, and something to do.
    pub fn reaches(&self) -> Result<bool, Fault> {
        let some = self.shape.layers > 0 && self.shape.rows > 0;
        Ok(some && self.plan(Pass::Forward)?.is_some() && self.plan(Pass::Backward)?.is_some())
    }

    fn plan(&self, pass: Pass) -> Result<Option<Plan>, Fault> {
        Ok(Plan::new(self.call.launcher, pass, dtype(self.x)?, self.shape, self.call.flag(0))?)
    }

    fn needed(&self, pass: Pass) -> Result<Plan, Fault> {
        self.plan(pass)?.ok_or_else(|| self.call.nowhere())
    }

    fn workspace(&self, plan: &Plan) -> Result<Tensor, Fault> {
        Ok(Tensor::f_zeros([plan.workspace_len() as i64], (Kind::Int, self.x.device()))?)
    }

    pub fn forward(&self, training: bool) -> Result<Made, Fault> {
        let plan = self.needed(Pass::Forward)?;
        let [layers, rows, width] = [self.shape.layers, self.shape.rows, self.shape.width].map(|size| size as i64);
        let options = (self.x.f_kind()?, self.x.device());
        let (y, workspace) = (self.x.f_empty_like()?, self.workspace(&plan)?);
        let between = Tensor::f_empty([plan.between_len(training) as i64], options)?;
        let gates = if training { Some(Tensor::f_empty([layers, rows, 2 * width], options)?) } else { None };
        let buffers = Forward {
            x: view(Some(self.x)),
            weight: view(Some(self.weight)),
            bias: view(self.bias),
            y: view(Some(&y)),
            gates: view(gates.as_ref()),
            between: view(Some(&between)),
            workspace: view(Some(&workspace)),
        };
        // SAFETY: tensors of the device, which libtorch keeps for this stream until the kernel is done.
        unsafe { plan.forward(self.call.launcher, &buffers)? };
        Ok(Made { outputs: vec![y], reserve: gates.into_iter().flat_map(|gates| [gates, between.shallow_clone()]).collect() })
    }

    /// What forward kept is used up.
    pub fn backward(&self, given: &Gradients) -> Result<Vec<Option<Tensor>>, Fault> {
        let plan = self.needed(Pass::Backward)?;
        let [Some(gates), Some(between)] = given.reserve else { return Err(Fault::engine("what forward kept is missing")) };
        let (weight_t, dx, workspace) = (self.weight.f_transpose(1, 2)?.f_contiguous()?, self.x.f_empty_like()?, self.workspace(&plan)?);
        let buffers = Backward {
            x: view(Some(self.x)),
            weight_t: view(Some(&weight_t)),
            gates: view(Some(gates)),
            between: view(Some(between)),
            dy: view(given.grad(0)),
            dx: view(Some(&dx)),
            workspace: view(Some(&workspace)),
        };
        // SAFETY: as in forward.
        unsafe { plan.backward(self.call.launcher, &buffers)? };
        // gates are now the gradients of W x + b.
        let dweight = if given.wants(1) {
            let [rows, width] = [self.shape.rows, self.shape.width].map(|size| size as i64);
            let inputs = Tensor::f_cat(&[self.x.f_reshape([1, rows, width])?, between.f_reshape([-1, rows, width])?], 0)?;
            Some(gates.f_transpose(1, 2)?.f_bmm(&inputs)?)
        } else {
            None
        };
        let dbias = if given.wants(2) { Some(gates.f_sum_dim_intlist([1_i64].as_slice(), false, gates.f_kind()?)?) } else { None };
        Ok(vec![given.wants(0).then_some(dx), dweight, dbias])
    }
}
