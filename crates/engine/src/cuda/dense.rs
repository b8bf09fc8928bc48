//! lstm, gru, rnn: `crates/kernels/cuda/src/recurrent.rs` computes what goes step by step, libtorch the products with all steps at once.
use super::{Call, Gradients, Made, dtype, view};
use crate::call::size;
use crate::device::check_range;
use crate::error::Fault;
use crate::kernels::Kernel;
use quarterturn_cuda::recurrent::{Backward, Cell, Forward, Pass, Plan, Shape};
use quarterturn_cuda::{Card, Dtype};
use std::sync::{Mutex, PoisonError};
use tch::{Kind, Tensor};

const TIME: i64 = 1;

/// The most plans that are remembered; past that, all are made anew.
const REMEMBERED: usize = 512;
type Known = (Card, Cell, Pass, Dtype, Shape, Option<Plan>);
static PLANS: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// One layer and direction, the inputs by name.
pub struct Layer<'a> {
    call: &'a Call<'a>,
    cell: Cell,
    dtype: Dtype,
    shape: Shape,
    reverse: bool,
    x: &'a Tensor,
    h_0: &'a Tensor,
    c_0: Option<&'a Tensor>,
    weight_ih: &'a Tensor,
    weight_hh: &'a Tensor,
    bias_ih: Option<&'a Tensor>,
    bias_hh: Option<&'a Tensor>,
    lengths: Option<&'a Tensor>,
}

impl<'a> Layer<'a> {
    pub fn new(call: &'a Call<'a>) -> Result<Self, Fault> {
        let (cell, flags) = match call.kernel {
            Kernel::Lstm => (Cell::LSTM, 0),
            Kernel::Gru => (Cell::GRU, 0),
            _ if call.flag(0) => (Cell::ELMAN_RELU, 1),
            _ => (Cell::ELMAN_TANH, 1),
        };
        // After h_0, and c_0 where there is one.
        let first = if cell.has_c { 3 } else { 2 };
        let (x, h_0) = (call.input(0)?, call.input(1)?);
        let shape = Shape { batch: length(x, 0)?, time: length(x, TIME)?, hidden: length(h_0, 1)? };
        Ok(Self {
            call,
            cell,
            dtype: dtype(x)?,
            shape,
            reverse: call.flag(flags),
            x,
            h_0,
            c_0: if cell.has_c { call.optional(2) } else { None },
            weight_ih: call.input(first)?,
            weight_hh: call.input(first + 1)?,
            bias_ih: call.optional(first + 2),
            bias_hh: call.optional(first + 3),
            lengths: call.optional(first + 4),
        })
    }

    /// Whether there are plans for both passes. Steps computed again are for the CPU, where memory is what is short.
    pub fn reaches(&self) -> Result<bool, Fault> {
        let recompute = self.call.attributes.last().copied().unwrap_or_default();
        Ok(recompute == 0.0 && self.plan(Pass::Forward)?.is_some() && self.plan(Pass::Backward)?.is_some())
    }

    fn plan(&self, pass: Pass) -> Result<Option<Plan>, Fault> {
        let launcher = self.call.launcher;
        let key = (launcher.card(), self.cell, pass, self.dtype, self.shape);
        let same = |known: &&Known| (known.0, known.1, known.2, known.3, known.4) == key;
        if let Some(known) = PLANS.lock().unwrap_or_else(PoisonError::into_inner).iter().find(same) {
            return Ok(known.5);
        }
        let plan = Plan::new(launcher, self.cell, pass, self.dtype, self.shape)?;
        let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
        if plans.len() >= REMEMBERED {
            plans.clear();
        }
        plans.push((key.0, key.1, key.2, key.3, key.4, plan));
        Ok(plan)
    }

    fn needed(&self, pass: Pass) -> Result<Plan, Fault> {
        self.plan(pass)?.ok_or_else(|| self.call.nowhere())
    }

    fn empty(&self, sizes: &[i64], kind: Kind) -> Result<Tensor, Fault> {
        Ok(Tensor::f_empty(sizes, (kind, self.x.device()))?)
    }

    fn sizes(&self) -> [i64; 3] {
        [self.shape.batch as i64, self.shape.time as i64, self.shape.hidden as i64]
    }

    fn workspace(&self, plan: &Plan) -> Result<Tensor, Fault> {
        Ok(Tensor::f_zeros([plan.workspace_len() as i64], (Kind::Int, self.x.device()))?)
    }

    /// What is added to the input's share, and of the GRU `b_hn`, which is not.
    fn biases(&self) -> Result<(Option<Tensor>, Option<Tensor>), Fault> {
        let (Some(hh), true) = (self.bias_hh, self.cell.has_d_hidden) else {
            return Ok((sum(self.bias_ih, self.bias_hh)?, None));
        };
        let inner = 2 * self.sizes()[2];
        let last = hh.f_slice(0, inner, None, 1)?;
        let others = Tensor::f_cat(&[hh.f_slice(0, 0, inner, 1)?, last.f_zeros_like()?], 0)?;
        Ok((sum(self.bias_ih, Some(&others))?, Some(last.f_contiguous()?)))
    }

    pub fn forward(&self, training: bool) -> Result<Made, Fault> {
        let plan = self.needed(Pass::Forward)?;
        if let Some(lengths) = self.lengths {
            check_range(lengths, self.shape.time as i64 + 1)?;
        }
        let ([batch, time, hidden], kind) = (self.sizes(), self.x.f_kind()?);
        let (bias, last_bias) = self.biases()?;
        let pre = self.x.f_linear(self.weight_ih, bias.as_ref())?.f_contiguous()?;
        let (y, h_n) = (self.empty(&[batch, time, hidden], kind)?, self.empty(&[batch, hidden], kind)?);
        let c_n = if self.cell.has_c { Some(self.empty(&[batch, hidden], kind)?) } else { None };
        let keeps = training && self.cell.keeps;
        let kept = if keeps { Some(self.empty(&[batch, time, hidden], Kind::Float)?) } else { None };
        let workspace = self.workspace(&plan)?;
        let buffers = Forward {
            pre: view(Some(&pre)),
            weight_hh: view(Some(self.weight_hh)),
            bias: view(last_bias.as_ref()),
            h_0: view(Some(self.h_0)),
            c_0: view(self.c_0),
            lengths: view(self.lengths),
            y: view(Some(&y)),
            h_n: view(Some(&h_n)),
            c_n: view(c_n.as_ref()),
            gates: view(keeps.then_some(&pre)),
            kept: view(kept.as_ref()),
            workspace: view(Some(&workspace)),
        };
        // SAFETY: tensors of the device, which libtorch keeps for this stream until the kernel is done.
        unsafe { plan.forward(self.call.launcher, self.reverse, &buffers)? };
        let reserve = kept.into_iter().flat_map(|kept| [pre.shallow_clone(), kept]).collect();
        Ok(Made { outputs: [Some(y), Some(h_n), c_n].into_iter().flatten().collect(), reserve })
    }

    /// Gradients of the inputs that are wanted, in the order of the schema. What forward kept is used up.
    pub fn backward(&self, given: &Gradients) -> Result<Vec<Option<Tensor>>, Fault> {
        let plan = self.needed(Pass::Backward)?;
        let ([batch, time, hidden], kind) = (self.sizes(), self.x.f_kind()?);
        let y = given.output(0)?;
        let (gates, kept, d_pre) = match given.reserve {
            [Some(gates), Some(kept)] => (gates.shallow_clone(), Some(kept), gates.shallow_clone()),
            _ if self.cell.keeps => return Err(Fault::engine("what forward kept is missing")),
            _ => (y.shallow_clone(), None, self.empty(&[batch, time, hidden], kind)?),
        };
        let state = |wanted: bool| if wanted { Some(self.empty(&[batch, hidden], kind)).transpose() } else { Ok(None) };
        let d_hidden = if self.cell.has_d_hidden { Some(self.empty(&[batch, time, hidden], kind)?) } else { None };
        let (dh_0, dc_0) = (state(given.wants(1))?, state(self.cell.has_c && given.wants(2))?);
        let workspace = self.workspace(&plan)?;
        let buffers = Backward {
            gates: view(Some(&gates)),
            kept: view(kept),
            weight_hh: view(Some(self.weight_hh)),
            y: view(self.cell.has_d_hidden.then_some(y)),
            h_0: view(Some(self.h_0)),
            c_0: view(self.c_0),
            lengths: view(self.lengths),
            dy: view(given.grad(0)),
            dh_n: view(given.grad(1)),
            dc_n: view(if self.cell.has_c { given.grad(2) } else { None }),
            d_pre: view(Some(&d_pre)),
            d_hidden: view(d_hidden.as_ref()),
            dh_0: view(dh_0.as_ref()),
            dc_0: view(dc_0.as_ref()),
            workspace: view(Some(&workspace)),
        };
        // SAFETY: as in forward.
        unsafe { plan.backward(self.call.launcher, self.reverse, &buffers)? };
        let first = if self.cell.has_c { 3 } else { 2 };
        let wants = |place: usize| given.wants(first + place);
        // Of the hidden share: for the GRU the last third is another.
        let flat = d_pre.f_reshape([batch * time, -1])?;
        let d_share = match &d_hidden {
            Some(last) if wants(1) || wants(3) => {
                Tensor::f_cat(&[flat.f_slice(1, 0, 2 * hidden, 1)?, last.f_reshape([batch * time, hidden])?], 1)?
            }
            _ => flat.shallow_clone(),
        };
        let when = |wanted: bool, make: &dyn Fn() -> Result<Tensor, Fault>| if wanted { make().map(Some) } else { Ok(None) };
        let input = self.x.f_reshape([batch * time, -1])?;
        let dx = when(given.wants(0), &|| Ok(flat.f_matmul(self.weight_ih)?.f_view_as(self.x)?))?;
        let dweight_ih = when(wants(0), &|| Ok(flat.f_tr()?.f_matmul(&input)?))?;
        let dweight_hh = when(wants(1), &|| Ok(d_share.f_tr()?.f_matmul(&self.before(y)?.f_reshape([batch * time, hidden])?)?))?;
        let over_rows = |d: &Tensor| Ok(d.f_sum_dim_intlist([0_i64].as_slice(), false, kind)?);
        let dbias_ih = when(wants(2), &|| over_rows(&flat))?;
        let dbias_hh = when(wants(3), &|| over_rows(&d_share))?;
        let states = if self.cell.has_c { vec![dh_0, dc_0] } else { vec![dh_0] };
        Ok([dx].into_iter().chain(states).chain([dweight_ih, dweight_hh, dbias_ih, dbias_hh, None]).collect())
    }

    /// h before each step, [B, T, H]. After a row's length it means nothing, and meets gradients that are zeros.
    fn before(&self, y: &Tensor) -> Result<Tensor, Fault> {
        let (time, first) = (self.sizes()[1], self.h_0.f_unsqueeze(TIME)?);
        if time == 0 {
            return Ok(y.shallow_clone());
        }
        if !self.reverse {
            return Ok(Tensor::f_cat(&[first, y.f_narrow(TIME, 0, time - 1)?], TIME)?);
        }
        let before = Tensor::f_cat(&[y.f_narrow(TIME, 1, time - 1)?, first.shallow_clone()], TIME)?;
        let Some(lengths) = self.lengths else { return Ok(before) };
        // A row begins at its own last step.
        let start = lengths.f_sub_scalar(1)?.f_clamp_min(0)?.f_reshape([-1, 1, 1])?.f_expand_as(&first)?;
        Ok(before.f_scatter(TIME, &start, &first)?)
    }
}

fn length(x: &Tensor, dim: i64) -> Result<usize, Fault> {
    Ok(usize::try_from(size(x, dim)?).unwrap_or(0))
}

fn sum(a: Option<&Tensor>, b: Option<&Tensor>) -> Result<Option<Tensor>, Fault> {
    Ok(match (a, b) {
        (Some(a), Some(b)) => Some(a.f_add(b)?),
        (one, other) => one.or(other).map(Tensor::shallow_clone),
    })
}
