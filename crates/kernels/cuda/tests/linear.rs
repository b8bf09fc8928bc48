//! The laws of the recurrences without hidden products, in the emulation, against the float64 reference.

// The whole file is tests, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{DTYPES, Random, Tensor, assert_close, forward_tolerance, gradient_tolerance, in_all_orders, view, view_of};
use quarterturn_cuda::emulation::Emulation;
use quarterturn_cuda::linear::{Backward, Call, Candidate, Cell, Forward, backward, forward, workspace_len};
use quarterturn_cuda::{Card, Dtype, Error, View};
use quarterturn_kernels::recurrent::Options;
use quarterturn_kernels::scan::Shape;
use quarterturn_kernels::scan::reference::{InputGradients, Inputs, OutputGradients, Outputs};
use quarterturn_kernels::{mingru, minlstm, scan};

const CELLS: [Cell; 6] = [
    Cell::Scan,
    Cell::ScanComplex,
    Cell::MinGru(Candidate::Linear),
    Cell::MinGru(Candidate::Positive),
    Cell::MinLstm(Candidate::Linear),
    Cell::MinLstm(Candidate::Positive),
];

/// On so small a card a few hundred channels are plenty, and with a few multiprocessors more, few.
fn card(multiprocessors: usize) -> Card {
    Card { multiprocessors, ..Card::H200 }
}

#[derive(Clone)]
struct Case {
    cell: Cell,
    dtype: Dtype,
    shape: Shape,
    reverse: bool,
    lengths: Option<Vec<i64>>,
    inputs: Vec<Tensor>,
    y_0: Option<Tensor>,
    dy: Option<Tensor>,
    dy_n: Option<Tensor>,
}

impl Case {
    fn new(random: &mut Random, cell: Cell, dtype: Dtype, shape: Shape) -> Case {
        let Shape { batch, time, hidden } = shape;
        let state = batch * hidden * if cell == Cell::ScanComplex { 2 } else { 1 };
        let len = state * time;
        let maybe = |random: &mut Random, len: usize| random.flip().then(|| random.tensor(dtype, len, 1.0));
        let inputs = match cell {
            Cell::Scan => vec![random.tensor(dtype, len, 1.0), random.tensor(dtype, len, 1.0)],
            Cell::ScanComplex => vec![random.tensor(dtype, len, 0.7), random.tensor(dtype, len, 1.0)],
            Cell::MinGru(_) => vec![random.tensor(dtype, 2 * len, 3.0)],
            Cell::MinLstm(_) => vec![random.tensor(dtype, 3 * len, 3.0)],
        };
        Case {
            cell,
            dtype,
            shape,
            reverse: random.flip(),
            lengths: random.flip().then(|| (0..batch).map(|_| random.below(time + 1) as i64).collect()),
            inputs,
            y_0: maybe(random, state),
            dy: maybe(random, len),
            dy_n: maybe(random, state),
        }
    }

    fn call(&mut self) -> Call {
        let Shape { batch, time, hidden } = self.shape;
        let lengths = self.lengths.as_mut().map_or(View::default(), |lengths| view_of(lengths));
        Call { cell: self.cell, dtype: self.dtype, batch, time, hidden, reverse: self.reverse, lengths }
    }

    /// `y`, `y_n`, `dy_0` and the gradients of the inputs.
    fn run(&self, launcher: &Emulation) -> Result<Vec<Tensor>, Error> {
        let mut case = self.clone();
        let call = case.call();
        let nan = |len: usize| Tensor::nan(self.dtype, len);
        let state = self.shape.batch * self.shape.hidden * self.parts();
        let (mut y, mut y_n, mut dy_0) = (nan(state * self.shape.time), nan(state), nan(state));
        let mut dinputs: Vec<_> = case.inputs.iter().map(|input| nan(input.values().len())).collect();
        let views = |tensors: &mut [Tensor]| tensors.iter_mut().map(Tensor::view).collect::<Vec<_>>();
        let (inputs, y_0) = (views(&mut case.inputs), view(&mut case.y_0));
        let workspace = || vec![f32::NAN; workspace_len(&launcher.card, &call)];
        let (mut ahead, mut back) = (workspace(), workspace());
        let forward_buffers = Forward { inputs: &inputs, y_0, y: y.view(), y_n: y_n.view(), workspace: view_of(&mut ahead) };
        let backward_buffers = Backward {
            inputs: &inputs,
            y_0,
            y: y.view(),
            dy: view(&mut case.dy),
            dy_n: view(&mut case.dy_n),
            dinputs: &views(&mut dinputs),
            dy_0: dy_0.view(),
            workspace: view_of(&mut back),
        };
        // SAFETY: the views are alive.
        unsafe {
            forward(launcher, &call, &forward_buffers)?;
            backward(launcher, &call, &backward_buffers)?;
        }
        Ok([vec![y, y_n, dy_0], dinputs].concat())
    }

    fn want(&self) -> Want {
        let options = Options { reverse: self.reverse, lengths: self.lengths.as_deref(), recompute: None };
        let wide = |tensor: &Option<Tensor>| tensor.as_ref().map(Tensor::values_f64);
        let (y_0, dy, dy_n) = (wide(&self.y_0), wide(&self.dy), wide(&self.dy_n));
        let inputs: Vec<_> = self.inputs.iter().map(Tensor::values_f64).collect();
        let outputs = OutputGradients { y: dy.as_deref(), y_n: dy_n.as_deref() };
        let positive = |candidate| {
            if candidate == Candidate::Positive { mingru::Candidate::Positive } else { mingru::Candidate::Linear }
        };
        match self.cell {
            Cell::Scan => {
                let inputs = Inputs { inputs: [&inputs[0], &inputs[1]], y_0: y_0.as_deref() };
                Want::new(
                    &scan::reference::forward(&self.shape, options, &inputs).unwrap(),
                    scan::reference::backward(&self.shape, options, &inputs, &outputs).unwrap(),
                )
            }
            Cell::ScanComplex => self.want_complex(&inputs, y_0.as_deref(), outputs),
            Cell::MinGru(candidate) => {
                let inputs = Inputs { inputs: [&inputs[0]], y_0: y_0.as_deref() };
                Want::new(
                    &mingru::reference::forward(&self.shape, options, positive(candidate), &inputs).unwrap(),
                    mingru::reference::backward(&self.shape, options, positive(candidate), &inputs, &outputs).unwrap(),
                )
            }
            Cell::MinLstm(candidate) => {
                let inputs = Inputs { inputs: [&inputs[0]], y_0: y_0.as_deref() };
                Want::new(
                    &minlstm::reference::forward(&self.shape, options, positive(candidate), &inputs).unwrap(),
                    minlstm::reference::backward(&self.shape, options, positive(candidate), &inputs, &outputs).unwrap(),
                )
            }
        }
    }

    /// The complex scan as it is defined: `y = a y + b`; back `da = dy y*` and `a* dy`, as torch has it.
    fn want_complex(&self, inputs: &[Vec<f64>], y_0: Option<&[f64]>, outputs: OutputGradients) -> Want {
        let Shape { batch, time, hidden } = self.shape;
        let (state, len) = (2 * batch * hidden, 2 * batch * hidden * time);
        let get = |from: Option<&[f64]>, i: usize| from.map_or([0.0; 2], |from| [from[2 * i], from[2 * i + 1]]);
        let put = |to: &mut [f64], i: usize, [re, im]: [f64; 2]| (to[2 * i], to[2 * i + 1]) = (re, im);
        let mul = |[a, b]: [f64; 2], [c, d]: [f64; 2]| [a * c - b * d, a * d + b * c];
        let add = |[a, b]: [f64; 2], [c, d]: [f64; 2]| [a + c, b + d];
        let conj = |[a, b]: [f64; 2]| [a, -b];
        let zeros = |len: usize| vec![0.0; len];
        let mut want = Want { y: zeros(len), y_n: zeros(state), dinputs: vec![zeros(len), zeros(len)], dy_0: zeros(state) };
        for channel in 0..batch * hidden {
            let (b, unit) = (channel / hidden, channel % hidden);
            let steps = self.lengths.as_ref().map_or(time, |lengths| lengths[b] as usize);
            let at = |s: usize| (b * time + if self.reverse { steps - 1 - s } else { s }) * hidden + unit;
            let mut y = get(y_0, channel);
            for s in 0..steps {
                y = add(mul(get(Some(&inputs[0]), at(s)), y), get(Some(&inputs[1]), at(s)));
                put(&mut want.y, at(s), y);
            }
            put(&mut want.y_n, channel, y);
            let mut after = get(outputs.y_n, channel);
            for s in (0..steps).rev() {
                let before = if s == 0 { get(y_0, channel) } else { get(Some(&want.y), at(s - 1)) };
                let dy = add(after, get(outputs.y, at(s)));
                put(&mut want.dinputs[0], at(s), mul(dy, conj(before)));
                put(&mut want.dinputs[1], at(s), dy);
                after = mul(dy, conj(get(Some(&inputs[0]), at(s))));
            }
            put(&mut want.dy_0, channel, after);
        }
        want
    }

    /// Elements of a number.
    fn parts(&self) -> usize {
        if self.cell == Cell::ScanComplex { 2 } else { 1 }
    }

    #[track_caller]
    fn check(&self, card: Card) {
        let what = (self.cell, self.dtype, self.shape, self.reverse, &self.lengths, card);
        let (got, want) = (in_all_orders(card, &what, |launcher| self.run(launcher)), self.want());
        let [y, y_n, dy_0, dinputs @ ..] = &got[..] else { panic!("too few results") };
        let (ahead, back) = (forward_tolerance(self.dtype), gradient_tolerance(self.dtype));
        assert_close(&y.values(), &want.y, ahead, &("y", what));
        assert_close(&y_n.values(), &want.y_n, ahead, &("y_n", what));
        assert_close(&dy_0.values(), &want.dy_0, back, &("dy_0", what));
        for (i, (got, want)) in dinputs.iter().zip(&want.dinputs).enumerate() {
            assert_close(&got.values(), want, back, &("dinputs", i, what));
        }
    }
}

struct Want {
    y: Vec<f64>,
    y_n: Vec<f64>,
    dinputs: Vec<Vec<f64>>,
    dy_0: Vec<f64>,
}

impl Want {
    fn new<const N: usize>(outputs: &Outputs, d: InputGradients<N>) -> Want {
        Want {
            y: outputs.y.iter().copied().collect(),
            y_n: outputs.y_n.iter().copied().collect(),
            dinputs: d.inputs.into(),
            dy_0: d.y_0.iter().copied().collect(),
        }
    }
}

fn all() -> impl Iterator<Item = (Cell, Dtype)> {
    CELLS.into_iter().flat_map(|cell| DTYPES.map(|dtype| (cell, dtype)))
}

#[test]
fn kernels_are_the_reference() {
    let mut random = Random(1);
    for _ in 0..8 {
        for (cell, dtype) in all() {
            let shape = Shape { batch: random.below(5), time: random.below(40), hidden: random.below(50) };
            Case::new(&mut random, cell, dtype, shape).check(card(132));
        }
    }
}

#[test]
fn where_channels_are_few_time_is_split_into_parts() {
    let mut random = Random(2);
    for (cell, dtype) in all() {
        let shape = Shape { batch: 2, time: 400 + random.below(200), hidden: 3 };
        let mut case = Case::new(&mut random, cell, dtype, shape);
        case.y_0 = Some(random.tensor(dtype, 6 * case.parts(), 1.0));
        assert!(workspace_len(&card(8), &case.call()) > 0);
        case.check(card(8));
    }
}

#[test]
fn where_channels_are_plenty_a_thread_has_two() {
    let mut random = Random(3);
    for (cell, dtype) in all() {
        for hidden in [38, 39] {
            Case::new(&mut random, cell, dtype, Shape { batch: 4, time: 70, hidden }).check(card(1));
        }
    }
}

#[test]
fn nan_and_infinity_are_as_in_the_reference() {
    let mut random = Random(5);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for cell in CELLS.into_iter().filter(|&cell| cell != Cell::ScanComplex) {
            let mut case = Case::new(&mut random, cell, Dtype::Float32, Shape { batch: 2, time: 6, hidden: 19 });
            case.lengths = None;
            let last = case.inputs.last_mut().unwrap();
            let mut values = last.values();
            let end = values.len() - 1;
            (values[end / 2], values[end]) = (bad, bad);
            *last = Tensor::new(Dtype::Float32, &values);
            case.check(card(132));
        }
    }
}

#[test]
fn empty_sizes_give_empty_results() {
    let mut random = Random(6);
    for (batch, time, hidden) in [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0), (3, 1, 5)] {
        for (cell, dtype) in all() {
            Case::new(&mut random, cell, dtype, Shape { batch, time, hidden }).check(card(132));
        }
    }
}

#[test]
fn a_wrong_size_is_refused() {
    let mut case = Case::new(&mut Random(7), Cell::Scan, Dtype::Float32, Shape { batch: 2, time: 3, hidden: 4 });
    case.lengths = None;
    let (call, mut y) = (case.call(), Tensor::nan(Dtype::Float32, 23));
    let inputs: Vec<_> = case.inputs.iter_mut().map(Tensor::view).collect();
    let buffers = Forward { inputs: &inputs, y: y.view(), ..Forward::default() };
    // SAFETY: the views are alive.
    let error = unsafe { forward(&Emulation::new(card(132)), &call, &buffers).unwrap_err() };
    assert_eq!(error.to_string(), "scan: y must hold B*T*H = 24 numbers, got 23");
}

#[test]
fn a_complex_number_that_cannot_be_read_at_once_is_refused() {
    let mut case = Case::new(&mut Random(8), Cell::ScanComplex, Dtype::Float32, Shape { batch: 1, time: 3, hidden: 4 });
    case.lengths = None;
    let (call, mut y) = (case.call(), Tensor::nan(Dtype::Float32, 24));
    let mut inputs: Vec<_> = case.inputs.iter_mut().map(Tensor::view).collect();
    inputs[1].address += 4;
    let buffers = Forward { inputs: &inputs, y: y.view(), ..Forward::default() };
    // SAFETY: refused before anything is read.
    let error = unsafe { forward(&Emulation::new(card(132)), &call, &buffers).unwrap_err() };
    assert_eq!(error.to_string(), "scan: complex tensors must begin at multiples of 8 bytes");
}
