//! scan: a, b, `h_0`, lengths; `reverse`. mingru, minlstm: p, `h_0`, lengths; `positive`, `reverse`.
use super::view::View;
use super::{Call, Kernel, MOST_OUTPUTS, Plan, Refused, context, copy, refused};
use quarterturn_kernels::mingru::{self, Candidate};
use quarterturn_kernels::recurrent::Options;
use quarterturn_kernels::scan::reference::{InputGradients, Inputs, OutputGradients};
use quarterturn_kernels::scan::{self, Backward, Forward, Shape};
use quarterturn_kernels::{Bf16, Error, Number, minlstm};

impl Call<'_> {
    /// How many tensors hold what the gates read; `h_0` and the lengths follow.
    fn tensors(&self) -> usize {
        if self.kernel == Kernel::Scan { 2 } else { 1 }
    }

    fn shape(&self) -> Refused<Shape> {
        let columns = match self.kernel {
            Kernel::Scan => 1,
            Kernel::MinGru => 2,
            _ => 3,
        };
        let [batch, time, width] = self.sizes(0, "its input", "[B, T, ·]")?;
        if width % columns != 0 {
            return Err(format!("{}: p must be [B, T, {columns}*H], got [{batch}, {time}, {width}]", self.kernel.name()));
        }
        let hidden = width / columns;
        if self.kernel == Kernel::Scan {
            self.expect(1, "b", &[batch, time, hidden])?;
        }
        self.expect(self.tensors(), "h_0", &[batch, hidden])?;
        Ok(Shape { batch, time, hidden })
    }

    fn scan_options(&self) -> Options<'_> {
        let reverse = self.flag(usize::from(self.kernel != Kernel::Scan));
        Options { reverse, lengths: self.optional(self.tensors() + 1), recompute: None }
    }

    fn candidate(&self) -> Candidate {
        if self.flag(0) { Candidate::Positive } else { Candidate::Linear }
    }

    fn y_0<F>(&self) -> Option<&[F]> {
        self.optional(self.tensors())
    }
}

pub fn plan(call: &Call) -> Refused<Plan> {
    let Shape { batch, time, hidden } = call.shape()?;
    Ok(Plan { outputs: vec![Some(vec![batch, time, hidden]), Some(vec![batch, hidden])], reserve: 0 })
}

pub fn forward(call: &Call, [y, y_n, _]: &mut [View; MOST_OUTPUTS]) -> Refused {
    let (shape, options, candidate) = (call.shape()?, call.scan_options(), call.candidate());
    if call.float64 {
        let y_0 = call.y_0();
        let one = Inputs { inputs: [call.input(0)], y_0 };
        let done = match call.kernel {
            Kernel::Scan => scan::reference::forward(&shape, options, &Inputs { inputs: [call.input(0), call.input(1)], y_0 }),
            Kernel::MinGru => mingru::reference::forward(&shape, options, candidate, &one),
            _ => minlstm::reference::forward(&shape, options, candidate, &one),
        };
        let outputs = done.map_err(refused)?;
        copy(y, &outputs.y);
        copy(y_n, &outputs.y_n);
        return Ok(());
    }
    if call.bfloat16 { fast_forward::<Bf16>(call, y, y_n) } else { fast_forward::<f32>(call, y, y_n) }
}

fn fast_forward<F: Number>(call: &Call, y: &mut View, y_n: &mut View) -> Refused {
    let (shape, options, candidate) = (call.shape()?, call.scan_options(), call.candidate());
    let (y_0, y, y_n) = (call.y_0::<F>(), y.write().unwrap_or_default(), y_n.write());
    match call.kernel {
        Kernel::Scan => {
            let inputs = [call.input(0), call.input(1)];
            scan::forward(&context(), &shape, options, Forward { inputs, y_0, y, y_n })
        }
        Kernel::MinGru => mingru::forward(&context(), &shape, options, candidate, Forward { inputs: [call.input(0)], y_0, y, y_n }),
        _ => minlstm::forward(&context(), &shape, options, candidate, Forward { inputs: [call.input(0)], y_0, y, y_n }),
    }
    .map_err(refused)
}

pub fn backward(call: &Call, outputs: &[View], doutputs: &[View], dinputs: &mut [View]) -> Refused {
    let (shape, options, candidate) = (call.shape()?, call.scan_options(), call.candidate());
    if !call.float64 {
        return if call.bfloat16 {
            fast_backward::<Bf16>(call, outputs, doutputs, dinputs)
        } else {
            fast_backward::<f32>(call, outputs, doutputs, dinputs)
        };
    }
    let [dy, dy_n] = doutputs else { return Err("outputs are missing".to_owned()) };
    let (dtensors, rest) = dinputs.split_at_mut(call.tensors());
    let Some(dy_0) = rest.first_mut() else { return Err("inputs are missing".to_owned()) };
    let y_0 = call.y_0();
    let gradients = OutputGradients { y: dy.read(), y_n: dy_n.read() };
    let one = Inputs { inputs: [call.input(0)], y_0 };
    match call.kernel {
        Kernel::Scan => {
            let inputs = Inputs { inputs: [call.input(0), call.input(1)], y_0 };
            copy_all(scan::reference::backward(&shape, options, &inputs, &gradients), dtensors, dy_0)
        }
        Kernel::MinGru => copy_all(mingru::reference::backward(&shape, options, candidate, &one, &gradients), dtensors, dy_0),
        _ => copy_all(minlstm::reference::backward(&shape, options, candidate, &one, &gradients), dtensors, dy_0),
    }
}

fn fast_backward<F: Number>(call: &Call, outputs: &[View], doutputs: &[View], dinputs: &mut [View]) -> Refused {
    let (shape, options, candidate) = (call.shape()?, call.scan_options(), call.candidate());
    let ([y, ..], [dy, dy_n]) = (outputs, doutputs) else { return Err("outputs are missing".to_owned()) };
    let (dtensors, rest) = dinputs.split_at_mut(call.tensors());
    let Some(dy_0) = rest.first_mut() else { return Err("inputs are missing".to_owned()) };
    let (y_0, y, dy, dy_n, dy_0) = (call.y_0::<F>(), y.read().unwrap_or_default(), dy.read(), dy_n.read(), dy_0.write());
    match (call.kernel, dtensors) {
        (Kernel::Scan, [da, db]) => {
            let (inputs, dinputs) = ([call.input(0), call.input(1)], [da.write().unwrap_or_default(), db.write().unwrap_or_default()]);
            scan::backward(&context(), &shape, options, Backward { inputs, y_0, y, dy, dy_n, dinputs, dy_0 })
        }
        (kernel, [dp, ..]) => {
            let buffers = Backward { inputs: [call.input(0)], y_0, y, dy, dy_n, dinputs: [dp.write().unwrap_or_default()], dy_0 };
            if kernel == Kernel::MinGru {
                mingru::backward(&context(), &shape, options, candidate, buffers)
            } else {
                minlstm::backward(&context(), &shape, options, candidate, buffers)
            }
        }
        _ => return Err("inputs are missing".to_owned()),
    }
    .map_err(refused)
}

fn copy_all<const N: usize>(done: Result<InputGradients<N>, Error>, dtensors: &mut [View], dy_0: &mut View) -> Refused {
    let d = done.map_err(refused)?;
    dtensors.iter_mut().zip(&d.inputs).for_each(|(to, from)| copy(to, from));
    copy(dy_0, &d.y_0);
    Ok(())
}
