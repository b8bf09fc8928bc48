//! `slstm`: x, weight, `state_0`, lengths; `reverse`.
use super::view::View;
use super::{Call, MOST_OUTPUTS, Plan, Refused, context, copy, refused};
use quarterturn_kernels::recurrent::Options;
use quarterturn_kernels::slstm::reference::{self, Inputs, OutputGradients};
use quarterturn_kernels::slstm::{self, Backward, Forward, Shape};

fn shape(call: &Call) -> Refused<Shape> {
    let [batch, time, width] = call.sizes(0, "x", "[B, T, 4*H]")?;
    let [_, size] = call.sizes(1, "weight", "[4*H, E]")?;
    let hidden = width / 4;
    let heads = hidden.checked_div(size).unwrap_or(0);
    call.expect(0, "x", &[batch, time, 4 * heads * size])?;
    call.expect(1, "weight", &[4 * hidden, size])?;
    call.expect(2, "state_0", &[4, batch, hidden])?;
    Ok(Shape { batch, time, heads, size })
}

fn options<'a>(call: &Call<'a>) -> Options<'a> {
    Options { reverse: call.flag(0), lengths: call.optional(3), recompute: None }
}

pub fn plan(call: &Call) -> Refused<Plan> {
    let shape = shape(call)?;
    let Shape { batch, time, heads, size } = shape;
    let outputs = vec![Some(vec![batch, time, heads * size]), Some(vec![4, batch, heads * size])];
    Ok(Plan { outputs, reserve: if call.float64 { 0 } else { slstm::reserve_len(&shape) } })
}

pub fn forward(call: &Call, [y, state_n, _]: &mut [View; MOST_OUTPUTS], reserve: Option<&mut [f32]>) -> Refused {
    let (shape, options) = (shape(call)?, options(call));
    if call.float64 {
        let inputs = Inputs { x: call.input(0), weight: call.input(1), state_0: call.optional(2) };
        let outputs = reference::forward(&shape, options, &inputs).map_err(refused)?;
        copy(y, &outputs.y);
        copy(state_n, &outputs.state_n);
        return Ok(());
    }
    let buffers = Forward {
        x: call.input(0),
        weight: call.input(1),
        state_0: call.optional(2),
        y: y.write().unwrap_or_default(),
        state_n: state_n.write(),
        reserve,
    };
    slstm::forward(&context(), &shape, options, buffers).map_err(refused)
}

pub fn backward(call: &Call, outputs: &[View], doutputs: &[View], reserve: &[f32], dinputs: &mut [View]) -> Refused {
    let (shape, options) = (shape(call)?, options(call));
    let ([y, ..], [dy, dstate_n], [dx, dweight, dstate_0, ..]) = (outputs, doutputs, dinputs) else {
        return Err("outputs or inputs are missing".to_owned());
    };
    if call.float64 {
        let inputs = Inputs { x: call.input(0), weight: call.input(1), state_0: call.optional(2) };
        let gradients = OutputGradients { y: dy.read(), state_n: dstate_n.read() };
        let d = reference::backward(&shape, options, &inputs, &gradients).map_err(refused)?;
        copy(dx, &d.x);
        copy(dweight, &d.weight);
        copy(dstate_0, &d.state_0);
        return Ok(());
    }
    let buffers = Backward {
        weight: call.input(1),
        state_0: call.optional(2),
        y: y.read().unwrap_or_default(),
        reserve,
        dy: dy.read(),
        dstate_n: dstate_n.read(),
        dx: dx.write().unwrap_or_default(),
        dweight: dweight.write().unwrap_or_default(),
        dstate_0: dstate_0.write(),
    };
    slstm::backward(&context(), &shape, options, buffers).map_err(refused)
}
