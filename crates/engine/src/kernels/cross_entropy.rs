//! `cross_entropy`: x, target; `ignore`, `smoothing`. Forward saves the logarithms of the sums for backward.
use super::view::View;
use super::{Call, MOST_OUTPUTS, Plan, Refused, context, copy, refused};
use quarterturn_kernels::cross_entropy::{self, Backward, Forward, Options, Shape};

const TARGET: usize = 1;

fn about(call: &Call) -> Refused<(Shape, Options)> {
    let [rows, classes] = call.sizes(0, "x", "[N, V]")?;
    call.expect(TARGET, "target", &[rows])?;
    // Exact: the schema makes it an integer.
    Ok((Shape { rows, classes }, Options { ignore: call.number(0) as i64, smoothing: call.number(1) }))
}

pub fn plan(call: &Call) -> Refused<Plan> {
    let (shape, _) = about(call)?;
    Ok(Plan { outputs: vec![Some(vec![shape.rows])], reserve: if call.float64 { 0 } else { shape.rows } })
}

pub fn forward(call: &Call, [losses, ..]: &mut [View; MOST_OUTPUTS], log_sums: Option<&mut [f32]>) -> Refused {
    let (shape, options) = about(call)?;
    let target = call.input(TARGET);
    if call.float64 {
        copy(losses, &cross_entropy::reference::forward(&shape, options, call.input(0), target).map_err(refused)?);
        return Ok(());
    }
    let buffers = Forward { x: call.input(0), target, losses: losses.write().unwrap_or_default(), log_sums };
    cross_entropy::forward(&context(), &shape, options, buffers).map_err(refused)
}

pub fn backward(call: &Call, doutputs: &[View], log_sums: &[f32], dinputs: &mut [View]) -> Refused {
    let ((shape, options), target) = (about(call)?, call.input(TARGET));
    let ([dlosses], [dx, ..]) = (doutputs, dinputs) else { return Err("tensors are missing".to_owned()) };
    if call.float64 {
        let dlosses = dlosses.read().unwrap_or_default();
        copy(dx, &cross_entropy::reference::backward(&shape, options, call.input(0), target, dlosses).map_err(refused)?);
        return Ok(());
    }
    let dlosses = dlosses.read().unwrap_or_default();
    let buffers = Backward { x: call.input(0), target, log_sums, dlosses, dx: dx.write().unwrap_or_default() };
    cross_entropy::backward(&context(), &shape, options, buffers).map_err(refused)
}
