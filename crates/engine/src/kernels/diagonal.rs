//! `paragru`: p, weight, `h_0`, lengths. `paralstm`: p, weight, `h_0`, `c_0`, lengths. Both: `newton`, `reverse`.
use super::view::View;
use super::{Call, Kernel, MOST_OUTPUTS, Plan, Refused, context, copy, refused};
use quarterturn_kernels::diagonal::reference::{Inputs, OutputGradients};
use quarterturn_kernels::diagonal::{Backward, Forward, Solver};
use quarterturn_kernels::recurrent::Options;
use quarterturn_kernels::scan::Shape;
use quarterturn_kernels::{paragru, paralstm};

fn is_gru(call: &Call) -> bool {
    call.kernel == Kernel::ParaGru
}

/// h, and c of the LSTM.
fn states(call: &Call) -> usize {
    if is_gru(call) { 1 } else { 2 }
}

fn state_0<'a, F>(call: &Call<'a>) -> [Option<&'a [F]>; 2] {
    [call.optional(2), if is_gru(call) { None } else { call.optional(3) }]
}

fn shape(call: &Call) -> Refused<Shape> {
    let [batch, time, width] = call.sizes(0, "p", "[B, T, 3*H]")?;
    let (rows, hidden) = (if is_gru(call) { 3 } else { 5 }, width / 3);
    call.expect(0, "p", &[batch, time, 3 * hidden])?;
    call.expect(1, "weight", &[rows, hidden])?;
    call.expect(2, "h_0", &[batch, hidden])?;
    if !is_gru(call) {
        call.expect(3, "c_0", &[batch, hidden])?;
    }
    Ok(Shape { batch, time, hidden })
}

fn options<'a>(call: &Call<'a>) -> Options<'a> {
    Options { reverse: call.flag(1), lengths: call.optional(2 + states(call)), recompute: None }
}

pub fn plan(call: &Call) -> Refused<Plan> {
    let shape = shape(call)?;
    let Shape { batch, time, hidden } = shape;
    let mut outputs = vec![Some(vec![batch, time, hidden])];
    outputs.extend((0..states(call)).map(|_| Some(vec![batch, hidden])));
    Ok(Plan { outputs, reserve: if is_gru(call) || call.float64 { 0 } else { paralstm::reserve_len(&shape) } })
}

pub fn forward(call: &Call, [y, h_n, c_n]: &mut [View; MOST_OUTPUTS], reserve: Option<&mut [f32]>) -> Refused {
    let (shape, options) = (shape(call)?, options(call));
    if call.float64 {
        let inputs = Inputs { p: call.input(0), weight: call.input(1), state_0: state_0(call) };
        let done = if is_gru(call) {
            paragru::reference::forward(&shape, options, &inputs)
        } else {
            paralstm::reference::forward(&shape, options, &inputs)
        };
        let outputs = done.map_err(refused)?;
        copy(y, &outputs.y);
        for (to, from) in [h_n, c_n].into_iter().zip(&outputs.state_n).take(states(call)) {
            copy(to, from);
        }
        return Ok(());
    }
    let solver = if call.flag(0) { Solver::Newton } else { Solver::Sequential };
    let buffers = Forward {
        p: call.input(0),
        weight: call.input(1),
        state_0: state_0(call),
        y: y.write().unwrap_or_default(),
        state_n: [h_n.write(), c_n.write()],
        reserve,
    };
    let done = if is_gru(call) {
        paragru::forward(&context(), &shape, options, solver, buffers)
    } else {
        paralstm::forward(&context(), &shape, options, solver, buffers)
    };
    done.map(|_| ()).map_err(refused)
}

pub fn backward(call: &Call, outputs: &[View], doutputs: &[View], reserve: &[f32], dinputs: &mut [View]) -> Refused {
    let (shape, options) = (shape(call)?, options(call));
    let ([y, ..], [dy, dh_n, rest @ ..], [dp, dweight, dh_0, dc_0, ..]) = (outputs, doutputs, dinputs) else {
        return Err("outputs or inputs are missing".to_owned());
    };
    let mut absent = View::ABSENT;
    // Of the GRU what follows is lengths.
    let dc_0 = if is_gru(call) { &mut absent } else { dc_0 };
    if call.float64 {
        let inputs = Inputs { p: call.input(0), weight: call.input(1), state_0: state_0(call) };
        let gradients = OutputGradients { y: dy.read(), state_n: [dh_n.read(), rest.first().and_then(View::read)] };
        let done = if is_gru(call) {
            paragru::reference::backward(&shape, options, &inputs, &gradients)
        } else {
            paralstm::reference::backward(&shape, options, &inputs, &gradients)
        };
        let d = done.map_err(refused)?;
        copy(dp, &d.p);
        copy(dweight, &d.weight);
        copy(dh_0, &d.state_0[0]);
        copy(dc_0, &d.state_0[1]);
        return Ok(());
    }
    let buffers = Backward {
        p: call.input(0),
        weight: call.input(1),
        state_0: state_0(call),
        y: y.read().unwrap_or_default(),
        reserve,
        dy: dy.read(),
        dstate_n: [dh_n.read(), rest.first().and_then(View::read)],
        dp: dp.write().unwrap_or_default(),
        dweight: dweight.write().unwrap_or_default(),
        dstate_0: [dh_0.write(), dc_0.write()],
    };
    let done = if is_gru(call) {
        paragru::backward(&context(), &shape, options, buffers)
    } else {
        paralstm::backward(&context(), &shape, options, buffers)
    };
    done.map_err(refused)
}
