//! The recurrences: one layer, one direction. Ours where our kernels reach (float32 on the CPU), libtorch's elsewhere and on request;
//! for those, backwards in time is: turn the time axis, run, turn the output.
use crate::call::{Call, Outputs, size};
use crate::error::Fault;
use crate::op::Op;
use crate::recurrent::{self, Cell};
use quarterturn_kernels::elman::Nonlinearity;
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

/// Whether our kernels compute this: unless libtorch was asked for.
fn ours(call: &mut Call) -> Result<bool, Fault> {
    let libtorch = call.attributes.flag()?;
    let x = call.input(0)?;
    Ok(!libtorch && x.f_kind()? == Kind::Float && x.device() == Device::Cpu)
}

/// `lstm`: x, h0, c0, weights → y, h, c.
pub fn lstm(call: &mut Call) -> Outputs {
    let reverse = call.attributes.flag()?;
    let ours = ours(call)?;
    let (x, h, c) = (call.input(0)?, call.input(1)?, call.input(2)?);
    if ours {
        let weights = [call.input(3)?, call.input(4)?];
        return recurrent::run(Cell::Lstm, reverse, [x, h], Some(c), weights, [call.optional(5), call.optional(6)]);
    }
    let (weights, biased) = weights(call, 3)?;
    if size(x, TIME)? == 0 {
        return Ok(vec![nothing(x, h)?, h.shallow_clone(), c.shallow_clone()]);
    }
    let state = [h.f_unsqueeze(0)?, c.f_unsqueeze(0)?];
    let (y, h, c) = turn(x, reverse)?.f_lstm(&state, &weights, biased, 1, 0.0, true, false, true)?;
    Ok(vec![turn(&y, reverse)?, h.f_squeeze_dim(0)?, c.f_squeeze_dim(0)?])
}

/// `gru`: x, h0, weights → y, h.
pub fn gru(call: &mut Call) -> Outputs {
    simple(call)
}

/// `rnn`: x, h0, weights → y, h.
pub fn rnn(call: &mut Call) -> Outputs {
    simple(call)
}

fn simple(call: &mut Call) -> Outputs {
    let reverse = call.attributes.flag()?;
    let ours = ours(call)?;
    let relu = if call.op == Op::Rnn { call.attributes.flag()? } else { false };
    let (x, h) = (call.input(0)?, call.input(1)?);
    if ours {
        let cell = match (call.op, relu) {
            (Op::Gru, _) => Cell::Gru,
            (_, false) => Cell::Rnn(Nonlinearity::Tanh),
            (_, true) => Cell::Rnn(Nonlinearity::Relu),
        };
        let weights = [call.input(2)?, call.input(3)?];
        return recurrent::run(cell, reverse, [x, h], None, weights, [call.optional(4), call.optional(5)]);
    }
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
