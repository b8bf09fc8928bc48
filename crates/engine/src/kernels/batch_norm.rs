//! `batch_norm`: x, residual, weight, bias; `relu`, `eps`. Channels are the last axis of x. What forward keeps is one number where there was a residual,
//! for then y says what the `ReLU` let through, else x does.
use super::view::View;
use super::{Call, MOST_OUTPUTS, Plan, Refused, context, copy, refused};
use quarterturn_kernels::batch_norm::reference::{self, Inputs};
use quarterturn_kernels::batch_norm::{self, Backward, Forward, Norm, Shape};

fn norm(call: &Call) -> Norm {
    Norm { relu: call.flag(0), eps: call.number(1) }
}

fn shape(call: &Call) -> Refused<Shape> {
    let sizes = call.inputs.first().map(View::sizes).unwrap_or_default();
    let (channels, rows) = sizes.split_last().ok_or("batch_norm: x must be [..., C], got a scalar")?;
    Ok(Shape { rows: rows.iter().product(), channels: *channels })
}

pub fn plan(call: &Call) -> Refused<Plan> {
    let Shape { channels, .. } = shape(call)?;
    call.expect(1, "residual", &call.inputs[0].sizes())?;
    call.expect(2, "weight", &[channels])?;
    call.expect(3, "bias", &[channels])?;
    Ok(Plan { outputs: vec![None, Some(vec![2, channels])], reserve: usize::from(call.inputs[1].is_there()) })
}

pub fn forward(call: &Call, [y, statistics, _]: &mut [View; MOST_OUTPUTS], reserve: Option<&mut [f32]>) -> Refused {
    if let Some(kept) = reserve {
        kept.fill(0.0);
    }
    if call.float64 {
        let inputs = Inputs { x: call.input(0), residual: call.optional(1), weight: call.optional(2), bias: call.optional(3) };
        let outputs = reference::forward(&shape(call)?, norm(call), &inputs).map_err(refused)?;
        copy(y, &outputs.y);
        copy(statistics, outputs.mean.iter().chain(&outputs.variance));
        return Ok(());
    }
    let buffers = Forward {
        x: call.input(0),
        residual: call.optional(1),
        weight: call.optional(2),
        bias: call.optional(3),
        y: y.write().unwrap_or_default(),
        statistics: statistics.write().unwrap_or_default(),
    };
    batch_norm::forward(&context(), &shape(call)?, norm(call), buffers).map_err(refused)
}

pub fn backward(call: &Call, outputs: &[View], doutputs: &[View], reserve: &[f32], dinputs: &mut [View]) -> Refused {
    let ([y, statistics], [dy, _]) = (outputs, doutputs) else { return Err("outputs are missing".to_owned()) };
    let [dx, dresidual, dweight, dbias] = dinputs else { return Err("inputs are missing".to_owned()) };
    let shape = shape(call)?;
    let masked_by_y = !reserve.is_empty();
    if call.float64 {
        let zeros = vec![0.0; shape.rows * shape.channels];
        let dy = dy.read().unwrap_or(&zeros);
        let inputs = Inputs { x: call.input(0), residual: None, weight: call.optional(2), bias: call.optional(3) };
        // With the ReLU undone by hand the residual, which only shifts y, is not needed.
        let (norm, dy) = if masked_by_y && norm(call).relu {
            let y = y.read::<f64>().unwrap_or_default();
            (Norm { relu: false, ..norm(call) }, dy.iter().zip(y).map(|(dy, y)| if *y <= 0.0 { 0.0 } else { *dy }).collect())
        } else {
            (norm(call), dy.to_vec())
        };
        let d = reference::backward(&shape, norm, &inputs, &dy).map_err(refused)?;
        copy(dx, &d.x);
        copy(dresidual, &d.residual);
        copy(dweight, &d.weight);
        copy(dbias, &d.bias);
        return Ok(());
    }
    let zeros = if dy.is_there() { Vec::new() } else { vec![0.0; shape.rows * shape.channels] };
    // The two passes need somewhere to write dx, wanted or not.
    let mut unwanted = if dx.is_there() { Vec::new() } else { vec![0.0; shape.rows * shape.channels] };
    let buffers = Backward {
        x: call.input(0),
        weight: call.optional(2),
        bias: call.optional(3),
        y: if masked_by_y { y.read() } else { None },
        statistics: statistics.read().unwrap_or_default(),
        dy: dy.read().unwrap_or(&zeros),
        dx: dx.write().unwrap_or(&mut unwanted),
        dresidual: dresidual.write(),
        dweight: dweight.write(),
        dbias: dbias.write(),
    };
    batch_norm::backward(&context(), &shape, norm(call), buffers).map_err(refused)
}
