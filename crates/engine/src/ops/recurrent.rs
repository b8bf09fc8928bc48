//! The recurrences, one layer and direction each, and the residual kernels. Ours where our kernels reach (float32 and bfloat16 on the CPU, `cuda`), libtorch's
//! elsewhere and on request; for those, backwards in time is: turn the time axis, run, turn the output.
use crate::call::{Call, Outputs, size};
use crate::cuda;
use crate::error::{Code, Fault};
use crate::kernels::few_rows::{self, Cell};
use crate::kernels::{self, Kernel};
use crate::op::Op;
use crate::ops::composed;
use quarterturn_kernels::mingru::Candidate;
use quarterturn_kernels::residual_norm::Kind as Norm;
use tch::{Device, Kind, Tensor};

/// Time is the second axis of [B, T, I].
const TIME: i64 = 1;

/// Weights in libtorch's order; a missing bias beside a present one is zeros.
fn weights(call: &Call, first: usize) -> Result<(Vec<Tensor>, bool), Fault> {
    let (ih, hh) = (call.input(first)?, call.input(first + 1)?);
    let (bias_ih, bias_hh) = (call.optional(first + 2), call.optional(first + 3));
    let mut weights = vec![ih.shallow_clone(), hh.shallow_clone()];
    if let Some(present) = bias_ih.or(bias_hh) {
        for bias in [bias_ih, bias_hh] {
            weights.push(match bias {
                Some(bias) => bias.shallow_clone(),
                None => present.f_zeros_like()?,
            });
        }
    }
    let biased = weights.len() == 4;
    Ok((weights, biased))
}

fn turn(x: &Tensor, reverse: bool) -> Result<Tensor, Fault> {
    Ok(if reverse { x.f_flip([TIME])? } else { x.shallow_clone() })
}

/// The output of no steps at all: [B, 0, H].
fn nothing(x: &Tensor, h: &Tensor) -> Result<Tensor, Fault> {
    Ok(h.f_unsqueeze(TIME)?.f_slice(TIME, 0, size(x, TIME)?, 1)?)
}

/// Whether our kernels compute this: unless libtorch was asked for. Of float64 they have only the slow reference, so libtorch computes it
/// where it can. Attributes are the kernel's.
fn ours(call: &Call, kernel: Kernel, attributes: &[f64], libtorch: bool, only_ours: bool) -> Result<bool, Fault> {
    let x = call.input(0)?;
    let (kind, here) = (x.f_kind()?, x.device() == Device::Cpu);
    let reached = if here {
        matches!(kind, Kind::Float | Kind::BFloat16) || (kind == Kind::Double && only_ours)
    } else {
        !libtorch && cuda::reaches(kernel, &call.inputs, attributes)
    };
    if only_ours && (libtorch || !reached) {
        let message = format!("{}: lengths and recompute need our kernels: float32, bfloat16 or float64 on the CPU", call.op.name());
        return Err(Fault::new(if here { Code::Dtype } else { Code::Device }, message));
    }
    Ok(!libtorch && reached)
}

/// `lstm`: x, h0, c0, weights, lengths, the weight of a projection → y, h, c. A projection is libtorch's.
pub fn lstm(call: &mut Call) -> Outputs {
    let (reverse, libtorch, recompute) = (call.attributes.flag()?, call.attributes.flag()?, call.attributes.number()?);
    let projection = call.optional(8);
    let attributes = [number(reverse), recompute];
    if ours(call, Kernel::Lstm, &attributes, libtorch || projection.is_some(), recompute > 0.0 || call.optional(7).is_some())? {
        return kernels::run(Kernel::Lstm, &call.inputs, &attributes);
    }
    let (x, h, c) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let (mut weights, biased) = weights(call, 3)?;
    weights.extend(projection.map(Tensor::shallow_clone));
    if size(x, TIME)? == 0 {
        return Ok(vec![nothing(x, h)?, h.shallow_clone(), c.shallow_clone()]);
    }
    let state = [h.f_unsqueeze(0)?, c.f_unsqueeze(0)?];
    let (y, h, c) = turn(x, reverse)?.f_lstm(&state, &weights, biased, 1, 0.0, true, false, true)?;
    Ok(vec![turn(&y, reverse)?, h.f_squeeze_dim(0)?, c.f_squeeze_dim(0)?])
}

/// `gru`: x, h0, weights, lengths → y, h.
pub fn gru(call: &mut Call) -> Outputs {
    simple(call)
}

/// `rnn`: x, h0, weights, lengths → y, h.
pub fn rnn(call: &mut Call) -> Outputs {
    simple(call)
}

fn simple(call: &mut Call) -> Outputs {
    let (reverse, libtorch) = (call.attributes.flag()?, call.attributes.flag()?);
    let relu = if call.op == Op::Rnn { call.attributes.flag()? } else { false };
    let recompute = call.attributes.number()?;
    let (kernel, attributes) = match call.op {
        Op::Gru => (Kernel::Gru, vec![number(reverse), recompute]),
        _ => (Kernel::Rnn, vec![number(relu), number(reverse), recompute]),
    };
    if ours(call, kernel, &attributes, libtorch, recompute > 0.0 || call.optional(6).is_some())? {
        return kernels::run(kernel, &call.inputs, &attributes);
    }
    let (x, h) = (call.input(0)?, call.input(1)?);
    let (weights, biased) = weights(call, 2)?;
    if size(x, TIME)? == 0 {
        return Ok(vec![nothing(x, h)?, h.shallow_clone()]);
    }
    let (input, state) = (turn(x, reverse)?, h.f_unsqueeze(0)?);
    let (y, h) = match (call.op, relu) {
        (Op::Gru, _) => input.f_gru(&state, &weights, biased, 1, 0.0, true, false, true)?,
        (_, false) => input.f_rnn_tanh(&state, &weights, biased, 1, 0.0, true, false, true)?,
        (_, true) => input.f_rnn_relu(&state, &weights, biased, 1, 0.0, true, false, true)?,
    };
    Ok(vec![turn(&y, reverse)?, h.f_squeeze_dim(0)?])
}

/// `minGRUCell minLSTMCell`: x [B, I], h [B, H], weight, bias, weight and bias of the norm of x → the next h.
pub fn minimal_cell(call: &mut Call, kernel: Kernel) -> Outputs {
    let (positive, norm, eps) = (call.attributes.flag()?, call.attributes.integer()?, call.attributes.number()?);
    let (x, h, weight, bias) = (call.input(0)?, call.input(1)?, call.input(2)?, call.optional(3));
    let (norm_weight, norm_bias) = (call.optional(4), call.optional(5));
    let kind = match norm {
        0 => None,
        1 => Some(Norm::Layer),
        _ => Some(Norm::Rms),
    };
    let candidate = if positive { Candidate::Positive } else { Candidate::Linear };
    let cell = Cell { kernel, weight, bias, candidate, norm: kind, eps: (!eps.is_nan()).then_some(eps), norm_weight, norm_bias };
    if let Some(next) = few_rows::minimal_step(x, h, &cell)? {
        return Ok(vec![next]);
    }
    let width = [size(x, 1)?];
    let read = match kind {
        None => x.shallow_clone(),
        Some(Norm::Layer) => x.f_layer_norm(width, norm_weight, norm_bias, eps, true)?,
        Some(Norm::Rms) => x.f_rms_norm(width, norm_weight, cell.eps)?,
    };
    let p = read.f_linear(weight, bias)?.f_unsqueeze(TIME)?;
    Ok(computed(kernel, &[Some(&p), Some(h), None], &[number(positive), number(false)])?.split_off(1))
}

/// What libtorch has no operation for, its inputs and attributes being those of the kernel's schema.
pub fn kernel(call: &mut Call, kernel: Kernel) -> Outputs {
    let attributes = call.attributes.rest();
    computed(kernel, &call.inputs, attributes)
}

/// By our kernel where it reaches, else by operations of libtorch.
fn computed(kernel: Kernel, inputs: &[Option<&Tensor>], attributes: &[f64]) -> Outputs {
    if inputs.first().copied().flatten().is_none_or(|x| x.device() == Device::Cpu) || cuda::reaches(kernel, inputs, attributes) {
        return kernels::run(kernel, inputs, attributes);
    }
    let flag = |place: usize| attributes.get(place).is_some_and(|&word| word != 0.0);
    let eps = attributes.last().copied().unwrap_or_default();
    match kernel {
        Kernel::Scan => composed::scan(inputs, flag(0)),
        Kernel::MinGru => composed::mingru(inputs, flag(0), flag(1)),
        Kernel::MinLstm => composed::minlstm(inputs, flag(0), flag(1)),
        Kernel::Highway => composed::highway(inputs, flag(0)),
        Kernel::ResidualNorm => composed::residual_norm(inputs, flag(0), eps),
        Kernel::ResidualMlp => composed::residual_mlp(inputs, eps),
        _ => Err(Fault::new(Code::Device, "its kernel runs on the CPU only so far")),
    }
}

fn number(flag: bool) -> f64 {
    f64::from(u8::from(flag))
}
