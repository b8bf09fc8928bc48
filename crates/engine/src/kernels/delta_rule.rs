//! `delta_rule`: query, key, value, beta, decay, `state_0`, lengths; `reverse`.
use super::view::View;
use super::{Call, MOST_OUTPUTS, Plan, Refused, context, copy, refused};
use quarterturn_kernels::delta_rule::reference::{self, Inputs, OutputGradients};
use quarterturn_kernels::delta_rule::{self, Backward, Forward, Shape};
use quarterturn_kernels::recurrent::Options;

fn shape(call: &Call) -> Refused<Shape> {
    let [batch, time, heads, key] = call.sizes(0, "query", "[B, T, N, E]")?;
    let [_, _, _, value] = call.sizes(2, "value", "[B, T, N, E']")?;
    for (place, name, expected) in [
        (1, "key", [batch, time, heads, key].as_slice()),
        (2, "value", &[batch, time, heads, value]),
        (3, "beta", &[batch, time, heads]),
        (4, "decay", &[batch, time, heads]),
        (5, "state_0", &[batch, heads, key, value]),
    ] {
        call.expect(place, name, expected)?;
    }
    Ok(Shape { batch, time, heads, key, value })
}

fn options<'a>(call: &Call<'a>) -> Options<'a> {
    Options { reverse: call.flag(0), lengths: call.optional(6), recompute: None }
}

fn inputs<'a>(call: &Call<'a>) -> Inputs<'a> {
    Inputs {
        query: call.input(0),
        key: call.input(1),
        value: call.input(2),
        beta: call.input(3),
        decay: call.optional(4),
        state_0: call.optional(5),
    }
}

pub fn plan(call: &Call) -> Refused<Plan> {
    let shape = shape(call)?;
    let Shape { batch, time, heads, key, value } = shape;
    let outputs = vec![Some(vec![batch, time, heads, value]), Some(vec![batch, heads, key, value])];
    Ok(Plan { outputs, reserve: if call.float64 { 0 } else { delta_rule::reserve_len(&shape) } })
}

pub fn forward(call: &Call, [y, state_n, _]: &mut [View; MOST_OUTPUTS], reserve: Option<&mut [f32]>) -> Refused {
    let (shape, options) = (shape(call)?, options(call));
    if call.float64 {
        let outputs = reference::forward(&shape, options, &inputs(call)).map_err(refused)?;
        copy(y, &outputs.y);
        copy(state_n, &outputs.state_n);
        return Ok(());
    }
    let buffers = Forward {
        query: call.input(0),
        key: call.input(1),
        value: call.input(2),
        beta: call.input(3),
        decay: call.optional(4),
        state_0: call.optional(5),
        y: y.write().unwrap_or_default(),
        state_n: state_n.write(),
        reserve,
    };
    delta_rule::forward(&context(), &shape, options, buffers).map_err(refused)
}

pub fn backward(call: &Call, doutputs: &[View], reserve: &[f32], dinputs: &mut [View]) -> Refused {
    let (shape, options) = (shape(call)?, options(call));
    let ([dy, dstate_n], [dquery, dkey, dvalue, dbeta, ddecay, dstate_0, ..]) = (doutputs, dinputs) else {
        return Err("outputs or inputs are missing".to_owned());
    };
    if call.float64 {
        let gradients = OutputGradients { y: dy.read(), state_n: dstate_n.read() };
        let d = reference::backward(&shape, options, &inputs(call), &gradients).map_err(refused)?;
        for (to, from) in
            [dquery, dkey, dvalue, dbeta, ddecay, dstate_0].into_iter().zip([d.query, d.key, d.value, d.beta, d.decay, d.state_0])
        {
            copy(to, &from);
        }
        return Ok(());
    }
    let buffers = Backward {
        query: call.input(0),
        key: call.input(1),
        beta: call.input(3),
        decay: call.optional(4),
        reserve,
        dy: dy.read(),
        dstate_n: dstate_n.read(),
        dquery: dquery.write().unwrap_or_default(),
        dkey: dkey.write().unwrap_or_default(),
        dvalue: dvalue.write().unwrap_or_default(),
        dbeta: dbeta.write().unwrap_or_default(),
        ddecay: ddecay.write(),
        dstate_0: dstate_0.write(),
    };
    delta_rule::backward(&context(), &shape, options, buffers).map_err(refused)
}
