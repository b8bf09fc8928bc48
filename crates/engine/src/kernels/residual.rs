//! highway, `residual_norm`, `residual_mlp`: rows are all axes of x but the last.
use super::view::View;
use super::{Call, MOST_OUTPUTS, Packed, Plan, Refused, context, copy, refused};

/// Rows and width of a tensor [..., D].
fn rows_and_width(view: &View, name: &str) -> Refused<[usize; 2]> {
    let sizes = view.sizes();
    let (width, rows) = sizes.split_last().ok_or_else(|| format!("{name} must be [..., D], got a scalar"))?;
    Ok([rows.iter().product(), *width])
}

impl Call<'_> {
    fn rows_and_width(&self) -> Refused<[usize; 2]> {
        rows_and_width(self.inputs.first().unwrap_or(&View::ABSENT), "x")
    }
}

/// x, weight, bias; `relu`.
pub mod highway {
    use super::{Call, MOST_OUTPUTS, Plan, Refused, View, context, copy, refused};
    use quarterturn_kernels::highway::{self, Backward, Forward, Nonlinearity, Shape, Stack};

    fn stack<'a, F>(call: &'a Call) -> Refused<Stack<'a, F>> {
        let [rows, width] = call.rows_and_width()?;
        let [layers, _, _] = call.sizes(1, "weight", "[K, 2*D, D]")?;
        call.expect(1, "weight", &[layers, 2 * width, width])?;
        call.expect(2, "bias", &[layers, 2 * width])?;
        let nonlinearity = if call.flag(0) { Nonlinearity::Relu } else { Nonlinearity::Tanh };
        Ok(Stack { shape: Shape { rows, width, layers }, nonlinearity, weight: call.input(1), bias: call.optional(2) })
    }

    pub fn plan(call: &Call) -> Refused<Plan> {
        let shape = stack::<f32>(call)?.shape;
        Ok(Plan { outputs: vec![None], reserve: if call.float64 { 0 } else { highway::reserve_len(&shape) } })
    }

    pub fn forward(call: &Call, [y, ..]: &mut [View; MOST_OUTPUTS], reserve: Option<&mut [f32]>) -> Refused {
        if call.float64 {
            copy(y, &highway::reference::forward(&stack(call)?, call.input(0)).map_err(refused)?);
            return Ok(());
        }
        let buffers = Forward { x: call.input(0), y: y.write().unwrap_or_default(), reserve };
        highway::forward(&context(), &stack(call)?, buffers).map_err(refused)
    }

    pub fn backward(call: &Call, doutputs: &[View], reserve: &mut [f32], dinputs: &mut [View]) -> Refused {
        let ([dy], [dx, dweight, dbias]) = (doutputs, dinputs) else { return Err("tensors are missing".to_owned()) };
        if call.float64 {
            let dy = dy.read().unwrap_or_default();
            let d = highway::reference::backward(&stack(call)?, call.input(0), dy).map_err(refused)?;
            copy(dx, &d.x);
            copy(dweight, &d.weight);
            copy(dbias, &d.bias);
            return Ok(());
        }
        let buffers = Backward {
            x: call.input(0),
            reserve,
            dy: dy.read().unwrap_or_default(),
            dx: dx.write().unwrap_or_default(),
            dweight: dweight.write().unwrap_or_default(),
            dbias: dbias.write(),
        };
        highway::backward(&context(), &stack(call)?, buffers).map_err(refused)
    }
}

/// x, residual, weight, bias; `rms`, `eps`. Backward has only the weights and the sum.
pub mod norm {
    use super::{Call, MOST_OUTPUTS, Plan, Refused, View, context, copy, refused, rows_and_width};
    use quarterturn_kernels::residual_norm::reference::{self, Inputs};
    use quarterturn_kernels::residual_norm::{self, Backward, Forward, Kind, Norm, Shape};

    fn norm(call: &Call) -> Norm {
        Norm { kind: if call.flag(0) { Kind::Rms } else { Kind::Layer }, eps: call.number(1) }
    }

    pub fn plan(call: &Call) -> Refused<Plan> {
        let [rows, width] = call.rows_and_width()?;
        call.expect(1, "residual", &call.inputs[0].sizes())?;
        call.expect(2, "weight", &[width])?;
        call.expect(3, "bias", &[width])?;
        Ok(Plan { outputs: vec![None, None], reserve: if call.float64 { 0 } else { 2 * rows } })
    }

    pub fn forward(call: &Call, [y, sum, _]: &mut [View; MOST_OUTPUTS], statistics: Option<&mut [f32]>) -> Refused {
        let [rows, width] = call.rows_and_width()?;
        let shape = Shape { rows, width };
        if call.float64 {
            let inputs = Inputs { x: call.input(0), residual: call.optional(1), weight: call.optional(2), bias: call.optional(3) };
            let outputs = reference::forward(&shape, norm(call), &inputs).map_err(refused)?;
            copy(y, &outputs.y);
            copy(sum, &outputs.sum);
            return Ok(());
        }
        let buffers = Forward {
            x: call.input(0),
            residual: call.optional(1),
            weight: call.optional(2),
            bias: call.optional(3),
            sum: sum.write(),
            y: y.write().unwrap_or_default(),
            statistics,
        };
        residual_norm::forward(&context(), &shape, norm(call), buffers).map_err(refused)
    }

    pub fn backward(call: &Call, outputs: &[View], doutputs: &[View], statistics: &[f32], dinputs: &mut [View]) -> Refused {
        let ([_, sum], [dy, dsum]) = (outputs, doutputs) else { return Err("outputs are missing".to_owned()) };
        let [dx, _, dweight, dbias] = dinputs else { return Err("inputs are missing".to_owned()) };
        let [rows, width] = rows_and_width(sum, "sum")?;
        let shape = Shape { rows, width };
        if call.float64 {
            let inputs = Inputs { x: sum.read().unwrap_or_default(), residual: None, weight: call.optional(2), bias: None };
            let zeros = vec![0.0; rows * width];
            let dy = dy.read().unwrap_or(&zeros);
            let d = reference::backward(&shape, norm(call), &inputs, dy, dsum.read()).map_err(refused)?;
            copy(dx, &d.x);
            copy(dweight, &d.weight);
            copy(dbias, &d.bias);
            return Ok(());
        }
        let zeros = if dy.is_there() { Vec::new() } else { vec![0.0; rows * width] };
        let buffers = Backward {
            sum: sum.read().unwrap_or_default(),
            weight: call.optional(2),
            statistics,
            dy: dy.read().unwrap_or(&zeros),
            dsum: dsum.read(),
            dx: dx.write().unwrap_or_default(),
            dweight: dweight.write(),
            dbias: dbias.write(),
        };
        residual_norm::backward(&context(), &shape, norm(call), buffers).map_err(refused)
    }
}

/// x, `norm_weight`, `norm_bias`, `weight_1`, `bias_1`, `weight_2`, `bias_2`; `eps`.
pub mod mlp {
    use super::{Call, MOST_OUTPUTS, Packed, Plan, Refused, View, context, copy, refused};
    use quarterturn_kernels::residual_mlp::{self, Backward, Block, Forward, Shape, Weights};

    fn block<'a, F>(call: &'a Call) -> Refused<Block<'a, F>> {
        let [rows, width] = call.rows_and_width()?;
        let [hidden, _] = call.sizes(3, "weight_1", "[F, D]")?;
        call.expect(1, "norm_weight", &[width])?;
        call.expect(2, "norm_bias", &[width])?;
        call.expect(3, "weight_1", &[hidden, width])?;
        call.expect(4, "bias_1", &[hidden])?;
        call.expect(5, "weight_2", &[width, hidden])?;
        call.expect(6, "bias_2", &[width])?;
        let weights = Weights {
            norm_weight: call.optional(1),
            norm_bias: call.optional(2),
            weight_1: call.input(3),
            bias_1: call.optional(4),
            weight_2: call.input(5),
            bias_2: call.optional(6),
        };
        Ok(Block { shape: Shape { rows, width, hidden }, weights, eps: call.number(0), version: call.version })
    }

    pub fn plan(call: &Call) -> Refused<Plan> {
        let shape = block::<f32>(call)?.shape;
        Ok(Plan { outputs: vec![None], reserve: if call.float64 { 0 } else { residual_mlp::reserve_len(&shape) } })
    }

    pub fn forward(call: &Call, packed: &mut Packed, [y, ..]: &mut [View; MOST_OUTPUTS], reserve: Option<&mut [f32]>) -> Refused {
        if call.float64 {
            copy(y, &residual_mlp::reference::forward(&block(call)?, call.input(0)).map_err(refused)?);
            return Ok(());
        }
        let buffers = Forward { x: call.input(0), y: y.write().unwrap_or_default(), reserve };
        residual_mlp::forward(&context(), &block(call)?, &mut packed.residual_mlp, buffers).map_err(refused)
    }

    pub fn backward(call: &Call, packed: &mut Packed, doutputs: &[View], reserve: &mut [f32], dinputs: &mut [View]) -> Refused {
        let ([dy], [dx, dnorm_weight, dnorm_bias, dweight_1, dbias_1, dweight_2, dbias_2]) = (doutputs, dinputs) else {
            return Err("tensors are missing".to_owned());
        };
        let dy_view = dy;
        if call.float64 {
            let dy = dy_view.read().unwrap_or_default();
            let d = residual_mlp::reference::backward(&block(call)?, call.input(0), dy).map_err(refused)?;
            copy(dx, &d.x);
            copy(dnorm_weight, &d.norm_weight);
            copy(dnorm_bias, &d.norm_bias);
            copy(dweight_1, &d.weight_1);
            copy(dbias_1, &d.bias_1);
            copy(dweight_2, &d.weight_2);
            copy(dbias_2, &d.bias_2);
            return Ok(());
        }
        let buffers = Backward {
            x: call.input(0),
            reserve,
            dy: dy_view.read().unwrap_or_default(),
            dx: dx.write().unwrap_or_default(),
            dnorm_weight: dnorm_weight.write(),
            dnorm_bias: dnorm_bias.write(),
            dweight_1: dweight_1.write().unwrap_or_default(),
            dbias_1: dbias_1.write(),
            dweight_2: dweight_2.write().unwrap_or_default(),
            dbias_2: dbias_2.write(),
        };
        residual_mlp::backward(&context(), &block(call)?, &mut packed.residual_mlp, buffers).map_err(refused)
    }
}
