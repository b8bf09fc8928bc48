//! `lstm_stack`, `gru_stack`: x, `h_0`, for the LSTM `c_0`, lengths, masks, then for each layer and direction `weight_ih`, `weight_hh`, `bias_ih`,
//! `bias_hh`; `bidirectional`.
use super::view::View;
use super::{Call, Kernel, MOST_OUTPUTS, Packed, Plan, Refused, context, copy, refused};
use quarterturn_kernels::recurrent::stack::reference::{Inputs, OutputGradients};
use quarterturn_kernels::recurrent::stack::{Backward, Forward, Stack};
use quarterturn_kernels::recurrent::{Shape, WeightGradients, Weights};
use quarterturn_kernels::{gru, lstm};

/// The place of `c_0` among the inputs of the LSTM.
const C_0: usize = 2;
/// Tensors of one layer in one direction.
const SET: usize = 4;

/// Where the inputs after the states lie.
struct Places {
    lengths: usize,
    masks: usize,
    weights: usize,
}

fn places(call: &Call) -> Places {
    let lengths = if is_lstm(call) { 3 } else { 2 };
    Places { lengths, masks: lengths + 1, weights: lengths + 2 }
}

fn is_lstm(call: &Call) -> bool {
    call.kernel == Kernel::LstmStack
}

fn c_0<'a, F>(call: &Call<'a>) -> Option<&'a [F]> {
    if is_lstm(call) { call.optional(C_0) } else { None }
}

/// One set for each layer and direction.
fn weights<'a, F>(call: &Call<'a>) -> Vec<Weights<'a, F>> {
    let first = places(call).weights;
    let sets = call.inputs.len().saturating_sub(first) / SET;
    (0..sets)
        .map(|set| first + set * SET)
        .map(|at| Weights {
            weight_ih: call.input(at),
            weight_hh: call.input(at + 1),
            bias_ih: call.optional(at + 2),
            bias_hh: call.optional(at + 3),
        })
        .collect()
}

fn stack<'a, F>(call: &Call<'a>, weights: &'a [Weights<'a, F>]) -> Refused<Stack<'a, F>> {
    let Places { lengths, masks, weights: first } = places(call);
    let [batch, time, input] = call.sizes(0, "x", "[B, T, I]")?;
    let [_, hidden] = call.sizes(first + 1, "weight_hh", "[G*H, H]")?;
    if !(call.inputs.len() - first).is_multiple_of(SET) {
        return Err(format!("{}: weights must be four for each layer and direction", call.kernel.name()));
    }
    let bidirectional = call.flag(0);
    let directions = if bidirectional { 2 } else { 1 };
    for (place, name) in [(1, "h_0"), (C_0, "c_0")].into_iter().take(if is_lstm(call) { 2 } else { 1 }) {
        call.expect(place, name, &[weights.len(), batch, hidden])?;
    }
    let between = (weights.len() / directions).saturating_sub(1);
    call.expect(masks, "masks", &[between, batch, time, directions * hidden])?;
    Ok(Stack {
        shape: Shape { batch, time, input, hidden },
        bidirectional,
        lengths: call.optional(lengths),
        weights,
        version: call.version,
        schedule: None,
    })
}

pub fn plan(call: &Call) -> Refused<Plan> {
    let weights = weights::<f32>(call);
    let stack = stack(call, &weights)?;
    let Shape { batch, time, hidden, .. } = stack.shape;
    let directions = if stack.bidirectional { 2 } else { 1 };
    let state = Some(vec![weights.len(), batch, hidden]);
    let mut outputs = vec![Some(vec![batch, time, directions * hidden]), state.clone()];
    outputs.extend(is_lstm(call).then_some(state));
    let masks = call.optional::<f32>(places(call).masks).is_some();
    let reserve = match call.kernel {
        _ if call.float64 => 0,
        Kernel::LstmStack => lstm::stack::reserve_len(&stack, masks),
        _ => gru::stack::reserve_len(&stack, masks),
    };
    Ok(Plan { outputs, reserve })
}

pub fn forward(call: &Call, packed: &mut Packed, [y, h_n, c_n]: &mut [View; MOST_OUTPUTS], reserve: Option<&mut [f32]>) -> Refused {
    let masks = places(call).masks;
    if call.float64 {
        let weights = weights(call);
        let stack = stack(call, &weights)?;
        let inputs = Inputs { x: call.input(0), h_0: call.optional(1), c_0: c_0(call), masks: call.optional(masks) };
        let done = match call.kernel {
            Kernel::LstmStack => lstm::stack::reference::forward(&stack, &inputs),
            _ => gru::stack::reference::forward(&stack, &inputs),
        };
        let outputs = done.map_err(refused)?;
        copy(y, &outputs.y);
        copy(h_n, &outputs.h_n);
        copy(c_n, &outputs.c_n);
        return Ok(());
    }
    let weights = weights(call);
    let stack = stack(call, &weights)?;
    let buffers = Forward {
        x: call.input(0),
        h_0: call.optional(1),
        c_0: c_0(call),
        masks: call.optional(masks),
        y: y.write().unwrap_or_default(),
        h_n: h_n.write(),
        c_n: c_n.write(),
        reserve,
    };
    match call.kernel {
        Kernel::LstmStack => lstm::stack::forward(&context(), &stack, &mut packed.stack, buffers),
        _ => gru::stack::forward(&context(), &stack, &mut packed.stack, buffers),
    }
    .map_err(refused)
}

pub fn backward(
    call: &Call,
    packed: &mut Packed,
    outputs: &[View],
    doutputs: &[View],
    reserve: &mut [f32],
    dinputs: &mut [View],
) -> Refused {
    let Places { masks, weights: first, .. } = places(call);
    let ([y, ..], [dy, dh_n, rest @ ..]) = (outputs, doutputs) else { return Err("outputs are missing".to_owned()) };
    let Some((dstates, dsets)) = dinputs.split_at_mut_checked(first) else { return Err("inputs are missing".to_owned()) };
    let [dx, dh_0, rest_of_states @ ..] = dstates else { return Err("inputs are missing".to_owned()) };
    let mut absent = View::ABSENT;
    let dc_0 = if is_lstm(call) { rest_of_states.first_mut().unwrap_or(&mut absent) } else { &mut absent };
    if call.float64 {
        let weights = weights(call);
        let stack = stack(call, &weights)?;
        let inputs = Inputs { x: call.input(0), h_0: call.optional(1), c_0: c_0(call), masks: call.optional(masks) };
        let gradients = OutputGradients { y: dy.read(), h_n: dh_n.read(), c_n: rest.first().and_then(View::read) };
        let done = match call.kernel {
            Kernel::LstmStack => lstm::stack::reference::backward(&stack, &inputs, &gradients),
            _ => gru::stack::reference::backward(&stack, &inputs, &gradients),
        };
        let d = done.map_err(refused)?;
        copy(dx, &d.x);
        copy(dh_0, &d.h_0);
        copy(dc_0, &d.c_0);
        for (to, from) in dsets.chunks_exact_mut(SET).zip(&d.weights) {
            let [weight_ih, weight_hh, bias_ih, bias_hh] = to else { continue };
            copy(weight_ih, &from.weight_ih);
            copy(weight_hh, &from.weight_hh);
            copy(bias_ih, &from.bias_ih);
            copy(bias_hh, &from.bias_hh);
        }
        return Ok(());
    }
    let weights = weights(call);
    let stack = stack(call, &weights)?;
    // The shim asks for all of them or for none.
    let dweights = dsets.chunks_exact_mut(SET).map(|set| {
        let [weight_ih, weight_hh, bias_ih, bias_hh] = set else { return None };
        let (weight_ih, weight_hh) = weight_ih.write().zip(weight_hh.write())?;
        Some(WeightGradients { weight_ih, weight_hh, bias_ih: bias_ih.write(), bias_hh: bias_hh.write() })
    });
    let buffers = Backward {
        x: call.input(0),
        h_0: call.optional(1),
        c_0: c_0(call),
        masks: call.optional(masks),
        y: y.read().unwrap_or_default(),
        reserve,
        dy: dy.read(),
        dh_n: dh_n.read(),
        dc_n: rest.first().and_then(View::read),
        dx: dx.write(),
        dh_0: dh_0.write(),
        dc_0: dc_0.write(),
        dweights: dweights.collect(),
    };
    match call.kernel {
        Kernel::LstmStack => lstm::stack::backward(&context(), &stack, &mut packed.stack, buffers),
        _ => gru::stack::backward(&context(), &stack, &mut packed.stack, buffers),
    }
    .map_err(refused)
}
