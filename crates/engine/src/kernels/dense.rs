//! lstm, gru, rnn: x, `h_0`, for the LSTM `c_0`, `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`, lengths; for rnn `relu`, then `reverse`, `recompute`.
use super::view::View;
use super::{Call, Kernel, MOST_OUTPUTS, Packed, Plan, Refused, context, copy, refused};
use quarterturn_kernels::elman::{self, Nonlinearity};
use quarterturn_kernels::recurrent::reference::{Inputs, OutputGradients};
use quarterturn_kernels::recurrent::{Backward, Forward, Layer, Options, Shape, WeightGradients, Weights};
use quarterturn_kernels::{Bf16, Number, gru, lstm};

/// The place of `c_0` among the inputs of the LSTM.
const C_0: usize = 2;

impl Call<'_> {
    fn has_c(&self) -> bool {
        self.kernel == Kernel::Lstm
    }

    /// The place of `weight_ih`; `weight_hh` and the biases follow, then the lengths.
    fn weights(&self) -> usize {
        if self.has_c() { 3 } else { 2 }
    }

    fn nonlinearity(&self) -> Nonlinearity {
        if self.kernel == Kernel::Rnn && self.flag(0) { Nonlinearity::Relu } else { Nonlinearity::Tanh }
    }

    fn c_0<F>(&self) -> Option<&[F]> {
        if self.has_c() { self.optional(C_0) } else { None }
    }

    fn layer<F>(&self) -> Refused<Layer<'_, F>> {
        let weights = self.weights();
        let [batch, time, input] = self.sizes(0, "x", "[B, T, I]")?;
        let [rows, hidden] = self.sizes(weights + 1, "weight_hh", "[G*H, H]")?;
        self.expect(1, "h_0", &[batch, hidden])?;
        if self.has_c() {
            self.expect(C_0, "c_0", &[batch, hidden])?;
        }
        self.expect(weights, "weight_ih", &[rows, input])?;
        let first = usize::from(self.kernel == Kernel::Rnn);
        // Not negative, and exact: the schema makes it an integer.
        let recompute = self.number(first + 1) as usize;
        Ok(Layer {
            shape: Shape { batch, time, input, hidden },
            options: Options {
                reverse: self.flag(first),
                lengths: self.optional(weights + 4),
                recompute: (recompute > 0).then_some(recompute),
            },
            weights: Weights {
                weight_ih: self.input(weights),
                weight_hh: self.input(weights + 1),
                bias_ih: self.optional(weights + 2),
                bias_hh: self.optional(weights + 3),
            },
            version: self.version,
        })
    }
}

pub fn plan(call: &Call) -> Refused<Plan> {
    // Of the smallest type: nothing of it is read.
    let Layer { shape, options, .. } = call.layer::<Bf16>()?;
    let state = Some(vec![shape.batch, shape.hidden]);
    let mut outputs = vec![Some(vec![shape.batch, shape.time, shape.hidden]), state.clone()];
    outputs.extend(call.has_c().then_some(state));
    let reserve = match call.kernel {
        _ if call.float64 => 0,
        Kernel::Lstm => lstm::reserve_len(&shape, options),
        Kernel::Gru => gru::reserve_len(&shape, options),
        _ => elman::reserve_len(&shape, options),
    };
    Ok(Plan { outputs, reserve })
}

pub fn forward(call: &Call, packed: &mut Packed, [y, h_n, c_n]: &mut [View; MOST_OUTPUTS], reserve: Option<&mut [f32]>) -> Refused {
    if call.float64 {
        let layer = call.layer()?;
        let inputs = Inputs { x: call.input(0), h_0: call.optional(1), c_0: call.c_0() };
        let done = match call.kernel {
            Kernel::Lstm => lstm::reference::forward(&layer, &inputs),
            Kernel::Gru => gru::reference::forward(&layer, &inputs),
            _ => elman::reference::forward(&layer, call.nonlinearity(), &inputs),
        };
        let outputs = done.map_err(refused)?;
        copy(y, &outputs.y);
        copy(h_n, &outputs.h_n);
        copy(c_n, &outputs.c_n);
        return Ok(());
    }
    if call.bfloat16 {
        fast_forward::<Bf16>(call, packed, [y, h_n, c_n], reserve)
    } else {
        fast_forward::<f32>(call, packed, [y, h_n, c_n], reserve)
    }
}

fn fast_forward<F: Number>(
    call: &Call,
    packed: &mut Packed,
    [y, h_n, c_n]: [&mut View; MOST_OUTPUTS],
    reserve: Option<&mut [f32]>,
) -> Refused {
    let (layer, packed) = (call.layer::<F>()?, &mut packed.recurrent);
    let y = y.write().unwrap_or_default();
    let (h_n, c_n) = (h_n.write(), c_n.write());
    let buffers = Forward { x: call.input(0), h_0: call.optional(1), c_0: call.c_0(), y, h_n, c_n, reserve };
    match call.kernel {
        Kernel::Lstm => lstm::forward(&context(), &layer, packed, buffers),
        Kernel::Gru => gru::forward(&context(), &layer, packed, buffers),
        _ => elman::forward(&context(), &layer, call.nonlinearity(), packed, buffers),
    }
    .map_err(refused)
}

/// Gradients by where they belong: absent where there are none and where none is wanted.
struct Gradients<'a> {
    y: &'a View,
    dy: &'a View,
    dh_n: &'a View,
    dc_n: Option<&'a View>,
    dx: &'a mut View,
    dh_0: &'a mut View,
    dc_0: &'a mut View,
    dweights: [&'a mut View; 4],
}

pub fn backward(
    call: &Call,
    packed: &mut Packed,
    outputs: &[View],
    doutputs: &[View],
    reserve: &mut [f32],
    dinputs: &mut [View],
) -> Refused {
    let mut absent = View::ABSENT;
    let ([y, ..], [dy, dh_n, rest @ ..]) = (outputs, doutputs) else { return Err("outputs are missing".to_owned()) };
    let (dx, dh_0, dc_0, dweights) = match dinputs {
        [dx, dh_0, dc_0, dweights @ ..] if call.has_c() => (dx, dh_0, dc_0, dweights),
        [dx, dh_0, dweights @ ..] => (dx, dh_0, &mut absent, dweights),
        _ => return Err("inputs are missing".to_owned()),
    };
    let [dweight_ih, dweight_hh, dbias_ih, dbias_hh, ..] = dweights else { return Err("weights are missing".to_owned()) };
    let dweights = [dweight_ih, dweight_hh, dbias_ih, dbias_hh];
    let gradients = Gradients { y, dy, dh_n, dc_n: rest.first(), dx, dh_0, dc_0, dweights };
    if call.float64 {
        exact_backward(call, gradients)
    } else if call.bfloat16 {
        fast_backward::<Bf16>(call, packed, reserve, gradients)
    } else {
        fast_backward::<f32>(call, packed, reserve, gradients)
    }
}

fn exact_backward(call: &Call, gradients: Gradients) -> Refused {
    let Gradients { dy, dh_n, dc_n, dx, dh_0, dc_0, dweights: [dweight_ih, dweight_hh, dbias_ih, dbias_hh], .. } = gradients;
    let layer = call.layer()?;
    let inputs = Inputs { x: call.input(0), h_0: call.optional(1), c_0: call.c_0() };
    let gradients = OutputGradients { y: dy.read(), h_n: dh_n.read(), c_n: dc_n.and_then(View::read) };
    let done = match call.kernel {
        Kernel::Lstm => lstm::reference::backward(&layer, &inputs, &gradients),
        Kernel::Gru => gru::reference::backward(&layer, &inputs, &gradients),
        _ => elman::reference::backward(&layer, call.nonlinearity(), &inputs, &gradients),
    };
    let d = done.map_err(refused)?;
    copy(dx, &d.x);
    copy(dh_0, &d.h_0);
    copy(dc_0, &d.c_0);
    copy(dweight_ih, &d.weight_ih);
    copy(dweight_hh, &d.weight_hh);
    copy(dbias_ih, &d.bias_ih);
    copy(dbias_hh, &d.bias_hh);
    Ok(())
}

fn fast_backward<F: Number>(call: &Call, packed: &mut Packed, reserve: &mut [f32], gradients: Gradients) -> Refused {
    let Gradients { y, dy, dh_n, dc_n, dx, dh_0, dc_0, dweights: [dweight_ih, dweight_hh, dbias_ih, dbias_hh] } = gradients;
    let (layer, packed) = (call.layer::<F>()?, &mut packed.recurrent);
    let weight_gradients = dweight_ih.write().zip(dweight_hh.write());
    let buffers = Backward {
        x: call.input(0),
        h_0: call.optional(1),
        c_0: call.c_0(),
        y: y.read().unwrap_or_default(),
        reserve,
        dy: dy.read(),
        dh_n: dh_n.read(),
        dc_n: dc_n.and_then(View::read),
        dx: dx.write(),
        dh_0: dh_0.write(),
        dc_0: dc_0.write(),
        dweights: weight_gradients.map(|(weight_ih, weight_hh)| WeightGradients {
            weight_ih,
            weight_hh,
            bias_ih: dbias_ih.write(),
            bias_hh: dbias_hh.write(),
        }),
    };
    match call.kernel {
        Kernel::Lstm => lstm::backward(&context(), &layer, packed, buffers),
        Kernel::Gru => gru::backward(&context(), &layer, packed, buffers),
        _ => elman::backward(&context(), &layer, call.nonlinearity(), packed, buffers),
    }
    .map_err(refused)
}
