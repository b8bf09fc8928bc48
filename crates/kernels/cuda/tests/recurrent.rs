//! The persistent kernels of the LSTM, the GRU and the Elman network, run by the emulation, are their float64 references.

// The whole file is tests, its helpers too; names of tensors are written as in the papers, not as code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::doc_markdown)]

mod common;

use common::{DTYPES, Random, SMALL, SMALL_OLD, Tensor, assert_close, forward_tolerance, gradient_tolerance, in_all_orders, view, view_of};
use quarterturn_cuda::emulation::Emulation;
use quarterturn_cuda::recurrent::{Backward, Cell, Forward, Pass, Plan, Shape};
use quarterturn_cuda::{Card, Dtype, Error, Launch, Launcher, View};
use quarterturn_kernels::elman::Nonlinearity;
use quarterturn_kernels::recurrent::reference::{InputGradients, Inputs, OutputGradients, Outputs};
use quarterturn_kernels::recurrent::{Layer, Options, Weights};
use quarterturn_kernels::{elman, gru, lstm, recurrent};

const CELLS: [Cell; 4] = [Cell::LSTM, Cell::GRU, Cell::ELMAN_TANH, Cell::ELMAN_RELU];

/// A layer, what it reads and the gradients that come to it.
#[derive(Clone, Debug)]
struct Case {
    cell: Cell,
    dtype: Dtype,
    shape: Shape,
    reverse: bool,
    lengths: Option<Vec<i64>>,
    pre: Tensor,
    weight_hh: Tensor,
    bias: Option<Tensor>,
    h_0: Option<Tensor>,
    c_0: Option<Tensor>,
    dy: Option<Tensor>,
    dh_n: Option<Tensor>,
    dc_n: Option<Tensor>,
}

impl Case {
    fn new(random: &mut Random, cell: Cell, dtype: Dtype, shape: Shape) -> Case {
        let Shape { batch, time, hidden } = shape;
        let (y, state) = (batch * time * hidden, batch * hidden);
        let maybe = |random: &mut Random, len: usize| random.flip().then(|| random.tensor(dtype, len, 1.0));
        Case {
            cell,
            dtype,
            shape,
            reverse: random.flip(),
            lengths: random.flip().then(|| (0..batch).map(|_| random.below(time + 1) as i64).collect()),
            pre: random.tensor(dtype, y * cell.gates, 1.0),
            weight_hh: random.tensor(dtype, cell.gates * hidden * hidden, 2.0 / (hidden.max(1) as f32).sqrt()),
            bias: maybe(random, hidden).filter(|_| cell.has_d_hidden),
            h_0: maybe(random, state),
            c_0: maybe(random, state).filter(|_| cell.has_c),
            dy: maybe(random, y),
            dh_n: maybe(random, state),
            dc_n: maybe(random, state).filter(|_| cell.has_c),
        }
    }

    /// y, h_n, c_n.
    fn infer(&self, launcher: &Emulation) -> Result<Vec<Tensor>, Error> {
        let mut case = self.clone();
        let (plan, mut workspace) = self.plan(launcher, Pass::Forward)?;
        let (mut y, mut h_n, mut c_n) = self.outputs();
        let buffers = Forward { workspace: view_of(&mut workspace), ..case.forward(&mut y, &mut h_n, &mut c_n) };
        // SAFETY: the tensors are alive.
        unsafe { plan.forward(launcher, self.reverse, &buffers)? };
        Ok(vec![y, h_n, c_n])
    }

    /// y, h_n, c_n, d_pre, d_hidden, dh_0, dc_0. In place: gates are written over pre, and their gradients over gates.
    fn train(&self, launcher: &Emulation, in_place: bool) -> Result<Vec<Tensor>, Error> {
        let mut case = self.clone();
        let (of_y, of_state) = (self.len(), self.shape.batch * self.shape.hidden);
        let (plan, mut workspace) = self.plan(launcher, Pass::Forward)?;
        let (mut y, mut h_n, mut c_n) = self.outputs();
        let mut gates = if in_place { self.pre.clone() } else { Tensor::nan(self.dtype, of_y * self.cell.gates) };
        let mut kept = Tensor::nan(Dtype::Float32, if self.cell.keeps { of_y } else { 0 });
        let mut buffers = Forward { workspace: view_of(&mut workspace), ..case.forward(&mut y, &mut h_n, &mut c_n) };
        buffers.kept = kept.view();
        if self.cell.keeps {
            buffers.gates = gates.view();
            buffers.pre = if in_place { gates.view() } else { buffers.pre };
        }
        // SAFETY: the tensors are alive.
        unsafe { plan.forward(launcher, self.reverse, &buffers)? };
        if !self.cell.keeps {
            gates = y.clone();
        }

        let (plan, mut workspace) = self.plan(launcher, Pass::Backward)?;
        let mut d_pre = Tensor::nan(self.dtype, of_y * self.cell.gates);
        let mut d_hidden = Tensor::nan(self.dtype, if self.cell.has_d_hidden { of_y } else { 0 });
        let mut dh_0 = Tensor::nan(self.dtype, of_state);
        let mut dc_0 = Tensor::nan(self.dtype, if self.cell.has_c { of_state } else { 0 });
        let buffers = Backward {
            gates: gates.view(),
            kept: kept.view(),
            weight_hh: case.weight_hh.view(),
            y: y.view(),
            h_0: view(&mut case.h_0),
            c_0: view(&mut case.c_0),
            lengths: case.lengths.as_mut().map_or_else(View::default, |lengths| view_of(lengths)),
            dy: view(&mut case.dy),
            dh_n: view(&mut case.dh_n),
            dc_n: view(&mut case.dc_n),
            d_pre: if in_place { gates.view() } else { d_pre.view() },
            d_hidden: d_hidden.view(),
            dh_0: dh_0.view(),
            dc_0: dc_0.view(),
            workspace: view_of(&mut workspace),
        };
        // SAFETY: the tensors are alive.
        unsafe { plan.backward(launcher, self.reverse, &buffers)? };
        Ok(vec![y, h_n, c_n, if in_place { gates } else { d_pre }, d_hidden, dh_0, dc_0])
    }

    fn plan(&self, launcher: &Emulation, pass: Pass) -> Result<(Plan, Vec<u32>), Error> {
        let plan = Plan::new(launcher, self.cell, pass, self.dtype, self.shape)?.expect("a plan");
        Ok((plan, vec![0; plan.workspace_len()]))
    }

    fn len(&self) -> usize {
        self.shape.batch * self.shape.time * self.shape.hidden
    }

    fn outputs(&self) -> (Tensor, Tensor, Tensor) {
        let state = self.shape.batch * self.shape.hidden;
        let nan = |len| Tensor::nan(self.dtype, len);
        (nan(self.len()), nan(state), nan(if self.cell.has_c { state } else { 0 }))
    }

    fn forward(&mut self, y: &mut Tensor, h_n: &mut Tensor, c_n: &mut Tensor) -> Forward {
        Forward {
            pre: self.pre.view(),
            weight_hh: self.weight_hh.view(),
            bias: view(&mut self.bias),
            h_0: view(&mut self.h_0),
            c_0: view(&mut self.c_0),
            lengths: self.lengths.as_mut().map_or_else(View::default, |lengths| view_of(lengths)),
            y: y.view(),
            h_n: h_n.view(),
            c_n: c_n.view(),
            ..Forward::default()
        }
    }

    /// The layer whose input's share is its input: W_ih is the identity.
    fn reference(&self) -> (Outputs, InputGradients) {
        let Shape { batch, time, hidden } = self.shape;
        let rows = self.cell.gates * hidden;
        let mut weight_ih = vec![0.0; rows * rows];
        (0..rows).for_each(|i| weight_ih[i * rows + i] = 1.0);
        let weight_hh = self.weight_hh.values_f64();
        let bias_hh = self.bias.as_ref().map(|bias| [vec![0.0; rows - hidden], bias.values_f64()].concat());
        let wide = |tensor: &Option<Tensor>| tensor.as_ref().map(Tensor::values_f64);
        let (x, h_0, c_0) = (self.pre.values_f64(), wide(&self.h_0), wide(&self.c_0));
        let (dy, dh_n, dc_n) = (wide(&self.dy), wide(&self.dh_n), wide(&self.dc_n));
        let layer = Layer {
            shape: recurrent::Shape { batch, time, input: rows, hidden },
            options: Options { reverse: self.reverse, lengths: self.lengths.as_deref(), recompute: None },
            weights: Weights { weight_ih: &weight_ih, weight_hh: &weight_hh, bias_ih: None, bias_hh: bias_hh.as_deref() },
            version: 0,
        };
        let inputs = Inputs { x: &x, h_0: h_0.as_deref(), c_0: c_0.as_deref() };
        let outputs = OutputGradients { y: dy.as_deref(), h_n: dh_n.as_deref(), c_n: dc_n.as_deref() };
        let both = match self.cell {
            Cell::LSTM => lstm::reference::forward(&layer, &inputs).map(|y| (y, lstm::reference::backward(&layer, &inputs, &outputs))),
            Cell::GRU => gru::reference::forward(&layer, &inputs).map(|y| (y, gru::reference::backward(&layer, &inputs, &outputs))),
            cell => {
                let phi = if cell == Cell::ELMAN_TANH { Nonlinearity::Tanh } else { Nonlinearity::Relu };
                elman::reference::forward(&layer, phi, &inputs).map(|y| (y, elman::reference::backward(&layer, phi, &inputs, &outputs)))
            }
        };
        let (outputs, gradients) = both.unwrap();
        (outputs, gradients.unwrap())
    }

    fn describe(&self, card: Card, launcher: &Emulation) -> String {
        let launches = [Pass::Forward, Pass::Backward].map(|pass| self.plan(launcher, pass).unwrap().0.launch());
        let Case { cell, dtype, shape, reverse, lengths, .. } = self;
        format!("{} {dtype:?} {shape:?}, reverse {reverse}, lengths {lengths:?}, {card:?}, {launches:?}", cell.op)
    }

    fn check(&self, card: Card) {
        let what = self.describe(card, &Emulation::new(card));
        let got = in_all_orders(card, &what, |launcher| self.train(launcher, false));
        let (outputs, d) = self.reference();
        let flat = |c: ndarray::Array2<f64>| if self.cell.has_c { c.into_iter().collect() } else { Vec::new() };
        let wants = [
            ("y", outputs.y.iter().copied().collect::<Vec<_>>(), forward_tolerance(self.dtype)),
            ("h_n", outputs.h_n.into_iter().collect(), forward_tolerance(self.dtype)),
            ("c_n", flat(outputs.c_n), forward_tolerance(self.dtype)),
        ];
        for (got, (name, want, tolerance)) in got.iter().zip(wants) {
            assert_close(&got.values(), &want, tolerance, &format!("{name} of {what}"));
        }
        let inferred = self.infer(&Emulation::new(card)).unwrap();
        for (one, another) in inferred.iter().zip(&got) {
            assert_same_bits(one, another, &format!("inference and training forward of {what}"));
        }
        // The slope of max(0, ·) jumps: where a sum is about 0, the rounding of bfloat16 decides about the whole gradient.
        if self.cell == Cell::ELMAN_RELU && self.dtype == Dtype::BFloat16 {
            return;
        }
        assert_close(&got[3].values(), &d.x.into_iter().collect::<Vec<_>>(), gradient_tolerance(self.dtype), &format!("d_pre of {what}"));
        assert_close(&got[5].values(), &d.h_0.into_iter().collect::<Vec<_>>(), gradient_tolerance(self.dtype), &format!("dh_0 of {what}"));
        assert_close(&got[6].values(), &flat(d.c_0), gradient_tolerance(self.dtype), &format!("dc_0 of {what}"));
        // d_hidden is seen in the gradient of the bias that it stands for.
        if self.cell.has_d_hidden {
            let (hidden, mut sums) = (self.shape.hidden, vec![0.0f32; self.shape.hidden]);
            got[4].values().iter().enumerate().for_each(|(i, d)| sums[i % hidden] += d);
            let want: Vec<f64> = d.bias_hh.iter().skip((self.cell.gates - 1) * hidden).copied().collect();
            assert_close(&sums, &want, gradient_tolerance(self.dtype), &format!("the sum of d_hidden of {what}"));
        }
    }
}

#[track_caller]
fn assert_same_bits(one: &Tensor, another: &Tensor, what: &str) {
    let bits = |tensor: &Tensor| tensor.values().into_iter().map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(one), bits(another), "{what}");
}

fn shape(batch: usize, time: usize, hidden: usize) -> Shape {
    Shape { batch, time, hidden }
}

/// Odd sizes, one of everything, and with the cards every kind of plan, which a law of its own makes sure of.
const SHAPES: [[usize; 3]; 9] =
    [[1, 1, 1], [3, 4, 5], [2, 3, 16], [9, 3, 33], [17, 2, 24], [2, 5, 50], [40, 2, 9], [5, 2, 61], [37, 2, 62]];
const CARDS: [Card; 3] = [SMALL, SMALL_OLD, Card::H200];

fn kernels_are_the_reference(cell: Cell) {
    let mut random = Random(1);
    for card in CARDS {
        for dtype in DTYPES {
            for [batch, time, hidden] in SHAPES {
                Case::new(&mut random, cell, dtype, shape(batch, time, hidden)).check(card);
            }
        }
    }
}

#[test]
fn lstm_is_its_reference() {
    kernels_are_the_reference(Cell::LSTM);
}

#[test]
fn gru_is_its_reference() {
    kernels_are_the_reference(Cell::GRU);
}

#[test]
fn elman_is_its_reference() {
    kernels_are_the_reference(Cell::ELMAN_TANH);
    kernels_are_the_reference(Cell::ELMAN_RELU);
}

#[test]
fn the_laws_meet_every_kind_of_plan() {
    for pass in [Pass::Forward, Pass::Backward] {
        let mut kinds = [false; 8];
        for (card, dtype) in CARDS.into_iter().flat_map(|card| DTYPES.map(|dtype| (card, dtype))) {
            for [batch, time, hidden] in SHAPES {
                let plan = Plan::new(&Emulation::new(card), Cell::LSTM, pass, dtype, shape(batch, time, hidden)).unwrap().unwrap();
                let launch = plan.launch();
                let is = [
                    ("one block", plan.blocks == 1),
                    ("a cluster", launch.cluster > 1),
                    ("a cooperative grid", launch.cooperative),
                    ("several groups", plan.groups > 1),
                    ("several tiles of units in a block", plan.units > 16),
                    ("16 rows at once", plan.rows == 16),
                    ("several times 16 rows", plan.rows > 16),
                    ("more rows than all groups have at a time", plan.groups * plan.rows < batch),
                ];
                kinds.iter_mut().zip(is).for_each(|(kind, (_, is))| *kind |= is);
            }
        }
        assert_eq!(kinds, [true; 8], "{pass:?}: a kind of plan, in the order above, is not met");
    }
}

#[test]
fn gates_may_be_written_over_what_they_are_made_of() {
    let mut random = Random(2);
    for cell in [Cell::LSTM, Cell::GRU] {
        for dtype in DTYPES {
            let case = Case::new(&mut random, cell, dtype, shape(3, 4, 21));
            let run = |in_place| case.train(&Emulation::new(SMALL), in_place).unwrap();
            for (one, another) in run(true).iter().zip(&run(false)) {
                assert_same_bits(one, another, cell.op);
            }
        }
    }
}

#[test]
fn no_steps_leave_the_state_and_its_gradient_as_they_are() {
    let mut random = Random(3);
    for cell in CELLS {
        for (time, lengths) in [(0, None), (2, Some(vec![0, 0, 0]))] {
            let mut case = Case::new(&mut random, cell, Dtype::Float32, shape(3, time, 18));
            case.lengths = lengths;
            case.h_0 = Some(random.tensor(Dtype::Float32, 54, 1.0));
            case.dh_n = Some(random.tensor(Dtype::Float32, 54, 1.0));
            let got = case.train(&Emulation::new(SMALL), false).unwrap();
            assert_eq!(got[1].values(), case.h_0.unwrap().values(), "{}", cell.op);
            assert_eq!(got[5].values(), case.dh_n.unwrap().values(), "{}", cell.op);
            assert!(got[0].values().iter().chain(&got[3].values()).all(|&x| x == 0.0), "{}", cell.op);
        }
    }
}

#[test]
fn nothing_is_launched_for_an_empty_batch_or_no_units() {
    for empty in [shape(0, 3, 4), shape(3, 3, 0)] {
        for pass in [Pass::Forward, Pass::Backward] {
            let plan = Plan::new(&Emulation::new(Card::H200), Cell::GRU, pass, Dtype::BFloat16, empty).unwrap().unwrap();
            assert_eq!(plan.launch().grid, 0);
        }
    }
}

/// The last multiple of 64 up to which each size has a plan.
fn largest(card: Card, cell: Cell, dtype: Dtype) -> usize {
    let fits = |hidden| {
        [1, 16, 128].iter().all(|&batch| {
            [Pass::Forward, Pass::Backward]
                .iter()
                .all(|&pass| Plan::new(&Emulation::new(card), cell, pass, dtype, shape(batch, 8, hidden)).unwrap().is_some())
        })
    };
    (1..=40).map(|n| n * 64).take_while(|&hidden| fits(hidden)).last().unwrap_or(0)
}

#[test]
fn what_is_supported_is_what_the_documentation_says() {
    let table = [(Card::H200, Cell::LSTM), (Card::H200, Cell::GRU), (Card::A100, Cell::LSTM), (Card::A100, Cell::GRU)];
    let sizes = table.map(|(card, cell)| DTYPES.map(|dtype| largest(card, cell, dtype)));
    assert_eq!(sizes, [[768, 1600], [1088, 2112], [512, 1088], [768, 1536]]);
}

/// A card that has no room, whatever is asked.
struct Full;

impl Launcher for Full {
    fn card(&self) -> Card {
        Card::H200
    }

    fn fits(&self, _: &Launch) -> Result<bool, Error> {
        Ok(false)
    }

    unsafe fn launch(&self, _: &Launch, _: &[u8]) -> Result<(), Error> {
        unreachable!("nothing fits")
    }
}

#[test]
fn without_room_there_is_no_plan() {
    assert_eq!(Plan::new(&Full, Cell::LSTM, Pass::Forward, Dtype::Float32, shape(1, 1, 1)), Ok(None));
}

#[test]
fn buffers_that_do_not_fit_are_refused_by_name() {
    let mut case = Case::new(&mut Random(4), Cell::ELMAN_TANH, Dtype::Float32, shape(2, 3, 4));
    let launcher = Emulation::new(Card::H200);
    let (plan, _) = case.plan(&launcher, Pass::Forward).unwrap();
    let (mut y, mut h_n, mut c_n) = case.outputs();
    let good = case.forward(&mut y, &mut h_n, &mut c_n);
    let short = View { len: 23, ..good.y };
    for (buffers, message) in [
        (Forward { y: short, ..good }, "elman: y must hold B*T*H = 24 numbers, got 23"),
        (Forward { h_0: short, ..good }, "elman: h_0 must hold B*H = 8 numbers, got 23"),
        (Forward { c_0: good.h_n, ..good }, "elman: c_0 must hold B*H = 0 numbers, got 8"),
        (Forward { workspace: short, ..good }, "elman: workspace must hold workspace_len = 0 numbers, got 23"),
    ] {
        // SAFETY: the tensors are alive.
        let error = unsafe { plan.forward(&launcher, false, &buffers) }.unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    // SAFETY: nothing is launched.
    let error = unsafe { plan.backward(&launcher, false, &Backward::default()) }.unwrap_err();
    assert_eq!(error.to_string(), "elman: the plan is for Forward, not Backward");
}
