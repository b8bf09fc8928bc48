//! The laws that every stack of recurrences must obey, however its passes share the threads.

use super::{Backward, Forward, Schedule, Stack, backward, forward, reference, reserve_len};
use crate::recurrent::reference::Definition;
use crate::recurrent::{Packed, Shape, WeightGradients, Weights};
use crate::testing::{FORWARD, GRADIENT, Random, Threads, assert_close, assert_gradient, assert_same_bits, to_f64};
use crate::{Context, Isa, Parallel, Serial};

/// All laws, for one recurrence.
pub(crate) fn all<D: Definition>() {
    reference_gradients_are_slopes::<D>();
    fused_is_reference::<D>();
    every_schedule_is_layer_by_layer::<D>();
    inference_is_training_forward::<D>();
    empty_sizes_work::<D>();
    wrong_sizes_are_refused::<D>();
}

/// Weights of one layer in one direction.
#[derive(Clone, Debug)]
struct Set<F> {
    weight_ih: Vec<F>,
    weight_hh: Vec<F>,
    bias_ih: Option<Vec<F>>,
    bias_hh: Option<Vec<F>>,
}

/// A stack, its input and the gradients that come to it.
#[derive(Clone, Debug)]
struct Case<F> {
    shape: Shape,
    bidirectional: bool,
    lengths: Option<Vec<i64>>,
    sets: Vec<Set<F>>,
    x: Vec<F>,
    masks: Option<Vec<F>>,
    h_0: Option<Vec<F>>,
    c_0: Option<Vec<F>>,
    dy: Option<Vec<F>>,
    dh_n: Option<Vec<F>>,
    dc_n: Option<Vec<F>>,
}

/// What forward and backward gave.
#[derive(Clone, Debug)]
struct Got {
    /// y, h_n, c_n, dx, dh_0, dc_0: the same on any schedule, bit by bit.
    exact: Vec<(&'static str, Vec<f32>)>,
    /// By set: dW_ih, dW_hh, db_ih, db_hh.
    weights: Vec<[Vec<f32>; 4]>,
}

impl<F: Copy> Set<F> {
    fn weights(&self) -> Weights<'_, F> {
        Weights {
            weight_ih: &self.weight_ih,
            weight_hh: &self.weight_hh,
            bias_ih: self.bias_ih.as_deref(),
            bias_hh: self.bias_hh.as_deref(),
        }
    }
}

impl<F: Copy> Case<F> {
    fn stack<'a>(&'a self, weights: &'a [Weights<'a, F>], schedule: Option<Schedule>) -> Stack<'a, F> {
        let Case { shape, bidirectional, .. } = *self;
        Stack { shape, bidirectional, lengths: self.lengths.as_deref(), weights, version: 0, schedule }
    }

    fn weights(&self) -> Vec<Weights<'_, F>> {
        self.sets.iter().map(Set::weights).collect()
    }
}

impl Case<f32> {
    fn new<D: Definition>(random: &mut Random, shape: Shape, layers: usize) -> Case<f32> {
        let bidirectional = random.flip();
        let directions = 1 + usize::from(bidirectional);
        let Shape { batch, time, hidden, .. } = shape;
        let rows = D::gates() * hidden;
        let (states, y) = (layers * directions * batch * hidden, batch * time * directions * hidden);
        let scale = 2.0 / (hidden.max(1) as f32).sqrt();
        let maybe = |random: &mut Random, len: usize, scale: f32| random.flip().then(|| random.numbers(len, scale));
        let sets = (0..layers * directions)
            .map(|pass| {
                let input = if pass < directions { shape.input } else { directions * hidden };
                Set {
                    weight_ih: random.numbers(rows * input, scale),
                    weight_hh: random.numbers(rows * hidden, scale),
                    bias_ih: maybe(random, rows, 0.5),
                    bias_hh: maybe(random, rows, 0.5),
                }
            })
            .collect();
        let keep = |random: &mut Random| if random.below(3) == 0 { 0.0 } else { 1.5 };
        Case {
            shape,
            bidirectional,
            lengths: random.flip().then(|| (0..batch).map(|_| random.below(time + 1) as i64).collect()),
            sets,
            x: random.numbers(shape.x_len(), 1.0),
            masks: random.flip().then(|| (0..(layers - 1) * y).map(|_| keep(random)).collect()),
            h_0: maybe(random, states, 1.0),
            c_0: maybe(random, states, 1.0).filter(|_| D::HAS_C),
            dy: maybe(random, y, 1.0),
            dh_n: maybe(random, states, 1.0),
            dc_n: maybe(random, states, 1.0).filter(|_| D::HAS_C),
        }
    }

    fn sizes(&self) -> (usize, usize) {
        let directions = 1 + usize::from(self.bidirectional);
        (self.shape.y_len() * directions, self.sets.len() * self.shape.state_len())
    }

    fn infer<D: Definition>(&self, context: &Context, schedule: Option<Schedule>) -> Vec<Vec<f32>> {
        let (y, states) = self.sizes();
        let (mut y, mut h_n, mut c_n) = (vec![f32::NAN; y], vec![f32::NAN; states], vec![f32::NAN; if D::HAS_C { states } else { 0 }]);
        let buffers = Forward {
            x: &self.x,
            h_0: self.h_0.as_deref(),
            c_0: self.c_0.as_deref(),
            masks: self.masks.as_deref(),
            y: &mut y,
            h_n: Some(&mut h_n),
            c_n: D::HAS_C.then_some(&mut c_n),
            reserve: None,
        };
        forward::<D>(context, &self.stack(&self.weights(), schedule), &mut Vec::new(), buffers).unwrap();
        vec![y, h_n, c_n]
    }

    /// Everything is NaN before, so that whatever is not written shows.
    fn train<D: Definition>(&self, context: &Context, schedule: Option<Schedule>) -> Got {
        let nan = |len: usize| vec![f32::NAN; len];
        let (y_len, states) = self.sizes();
        let c_len = if D::HAS_C { states } else { 0 };
        let (mut y, mut h_n, mut c_n) = (nan(y_len), nan(states), nan(c_len));
        let (mut dx, mut dh_0, mut dc_0) = (nan(self.x.len()), nan(states), nan(c_len));
        let weights = self.weights();
        let stack = self.stack(&weights, schedule);
        let mut packed: Vec<Packed> = Vec::new();
        let mut reserve = nan(reserve_len::<D>(&stack, self.masks.is_some()));
        let buffers = Forward {
            x: &self.x,
            h_0: self.h_0.as_deref(),
            c_0: self.c_0.as_deref(),
            masks: self.masks.as_deref(),
            y: &mut y,
            h_n: Some(&mut h_n),
            c_n: D::HAS_C.then_some(&mut c_n),
            reserve: Some(&mut reserve),
        };
        forward::<D>(context, &stack, &mut packed, buffers).unwrap();
        let rows = D::gates() * self.shape.hidden;
        let mut gradients: Vec<[Vec<f32>; 4]> =
            self.sets.iter().map(|set| [nan(set.weight_ih.len()), nan(set.weight_hh.len()), nan(rows), nan(rows)]).collect();
        let dweights = gradients.iter_mut().map(|[weight_ih, weight_hh, bias_ih, bias_hh]| WeightGradients {
            weight_ih,
            weight_hh,
            bias_ih: Some(bias_ih),
            bias_hh: Some(bias_hh),
        });
        let buffers = Backward {
            x: &self.x,
            h_0: self.h_0.as_deref(),
            c_0: self.c_0.as_deref(),
            masks: self.masks.as_deref(),
            y: &y,
            reserve: &mut reserve,
            dy: self.dy.as_deref(),
            dh_n: self.dh_n.as_deref(),
            dc_n: self.dc_n.as_deref(),
            dx: Some(&mut dx),
            dh_0: Some(&mut dh_0),
            dc_0: D::HAS_C.then_some(&mut dc_0),
            dweights: Some(dweights.collect()),
        };
        backward::<D>(context, &stack, &mut packed, buffers).unwrap();
        let exact = vec![("y", y), ("h_n", h_n), ("c_n", c_n), ("dx", dx), ("dh_0", dh_0), ("dc_0", dc_0)];
        Got { exact, weights: gradients }
    }

    fn wide(&self) -> Case<f64> {
        let maybe = |values: &Option<Vec<f32>>| values.as_deref().map(to_f64);
        let wide = |set: &Set<f32>| Set {
            weight_ih: to_f64(&set.weight_ih),
            weight_hh: to_f64(&set.weight_hh),
            bias_ih: maybe(&set.bias_ih),
            bias_hh: maybe(&set.bias_hh),
        };
        Case {
            shape: self.shape,
            bidirectional: self.bidirectional,
            lengths: self.lengths.clone(),
            sets: self.sets.iter().map(wide).collect(),
            x: to_f64(&self.x),
            masks: maybe(&self.masks),
            h_0: maybe(&self.h_0),
            c_0: maybe(&self.c_0),
            dy: maybe(&self.dy),
            dh_n: maybe(&self.dh_n),
            dc_n: maybe(&self.dc_n),
        }
    }

    fn describe(&self, isa: Isa, threads: usize, schedule: Option<Schedule>) -> String {
        let Case { shape, bidirectional, lengths, .. } = self;
        let (sets, masks) = (self.sets.len(), self.masks.is_some());
        format!(
            "{isa}, {threads} threads, {schedule:?}, {sets} passes of {shape:?}, both ways {bidirectional}, lengths {lengths:?}, masks {masks}"
        )
    }
}

impl Case<f64> {
    fn inputs(&self) -> reference::Inputs<'_> {
        let Case { x, h_0, c_0, masks, .. } = self;
        reference::Inputs { x, h_0: h_0.as_deref(), c_0: c_0.as_deref(), masks: masks.as_deref() }
    }

    fn forward<D: Definition>(&self) -> reference::Outputs {
        reference::forward::<D>(&self.stack(&self.weights(), None), &self.inputs()).unwrap()
    }

    fn backward<D: Definition>(&self) -> reference::InputGradients {
        let outputs = reference::OutputGradients { y: self.dy.as_deref(), h_n: self.dh_n.as_deref(), c_n: self.dc_n.as_deref() };
        reference::backward::<D>(&self.stack(&self.weights(), None), &self.inputs(), &outputs).unwrap()
    }

    /// The sum of all outputs, each times the gradient that comes to it.
    fn value<D: Definition>(&self) -> f64 {
        let outputs = self.forward::<D>();
        let dot = |values: ndarray::Array3<f64>, d: &Option<Vec<f64>>| {
            d.as_ref().map_or(0.0, |d| values.iter().zip(d).map(|(value, d)| value * d).sum())
        };
        dot(outputs.y, &self.dy) + dot(outputs.h_n, &self.dh_n) + dot(outputs.c_n, &self.dc_n)
    }
}

fn flat<D: ndarray::Dimension>(values: ndarray::Array<f64, D>) -> Vec<f64> {
    values.into_iter().collect()
}

fn reference_gradients_are_slopes<D: Definition>() {
    let mut random = Random::new(21);
    for trial in 0..8 {
        let shape = shape(1 + random.below(3), 1 + random.below(4), 1 + random.below(3), 1 + random.below(3));
        let mut case = Case::<f32>::new::<D>(&mut random, shape, 1 + trial % 3).wide();
        let states = case.sets.len() * shape.state_len();
        // Everything present, so that everything has a gradient.
        case.h_0.get_or_insert(vec![0.25; states]);
        case.dh_n.get_or_insert(vec![0.25; states]);
        let d = case.backward::<D>();
        let last = case.sets.len() - 1;
        macro_rules! check {
            ($gradient:expr, $($field:tt)*) => {{
                let at = case.$($field)*.clone();
                let value = |at: &[f64]| {
                    let mut moved = case.clone();
                    moved.$($field)*.copy_from_slice(at);
                    moved.value::<D>()
                };
                assert_gradient(&mut random, &at, &$gradient, value, &stringify!($($field)*));
            }};
        }
        check!(flat(d.x), x);
        check!(flat(d.h_0), h_0.as_mut().unwrap());
        check!(flat(d.weights[0].weight_ih.clone()), sets[0].weight_ih);
        check!(flat(d.weights[0].weight_hh.clone()), sets[0].weight_hh);
        check!(flat(d.weights[last].weight_ih.clone()), sets[last].weight_ih);
        check!(flat(d.weights[last].weight_hh.clone()), sets[last].weight_hh);
    }
}

fn fused_is_reference<D: Definition>() {
    let mut random = Random::new(22);
    for trial in 0..60 {
        let limit = if trial % 10 == 0 { 100 } else { 30 };
        let shape = shape(random.below(12), random.below(20), random.below(limit), random.below(limit));
        let layers = 1 + random.below(4);
        let case = Case::<f32>::new::<D>(&mut random, shape, layers);
        let (outputs, d) = (case.wide().forward::<D>(), case.wide().backward::<D>());
        let c = |c: ndarray::Array3<f64>| if D::HAS_C { flat(c) } else { Vec::new() };
        let want = [flat(outputs.y), flat(outputs.h_n), c(outputs.c_n), flat(d.x), flat(d.h_0), c(d.c_0)];
        for isa in Isa::supported() {
            let threads = 1 + random.below(5);
            let what = case.describe(isa, threads, None);
            let got = case.train::<D>(&on(isa, &Threads(threads)), None);
            for (i, ((name, got), want)) in got.exact.iter().zip(&want).enumerate() {
                assert_close(got, want, if i < 3 { FORWARD } else { GRADIENT }, &(name, &what));
            }
            for (pass, (got, want)) in got.weights.iter().zip(&d.weights).enumerate() {
                let want = [flat(want.weight_ih.clone()), flat(want.weight_hh.clone()), want.bias_ih.to_vec(), want.bias_hh.to_vec()];
                for ((name, got), want) in ["dW_ih", "dW_hh", "db_ih", "db_hh"].iter().zip(got).zip(&want) {
                    assert_close(got, want, GRADIENT, &(name, pass, &what));
                }
            }
        }
    }
}

/// What a schedule changes is who computes what, and of the results at most the order in which the rows' shares of small weights are summed.
fn every_schedule_is_layer_by_layer<D: Definition>() {
    let mut random = Random::new(23);
    let schedules = [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (3, 4)].map(|(groups, members)| Schedule::Wavefront { groups, members });
    for (batch, time, hidden, layers) in [(1, 75, 19, 3), (7, 33, 16, 2), (5, 20, 35, 4), (2, 9, 120, 2)] {
        for _ in 0..3 {
            let case = Case::<f32>::new::<D>(&mut random, shape(batch, time, 5, hidden), layers);
            let isa = Isa::detected();
            let want = case.train::<D>(&on(isa, &Serial), Some(Schedule::LayerByLayer));
            for schedule in schedules {
                for threads in [1, 2, 5] {
                    let what = case.describe(isa, threads, Some(schedule));
                    let got = case.train::<D>(&on(isa, &Threads(threads)), Some(schedule));
                    for ((name, got), (_, want)) in got.exact.iter().zip(&want.exact) {
                        assert_same_bits(got, want, &(name, &what));
                    }
                    let again = case.train::<D>(&on(isa, &Threads(threads)), Some(schedule));
                    for (pass, (got, want)) in got.weights.iter().zip(&want.weights).enumerate() {
                        for (i, (got, want)) in got.iter().zip(want).enumerate() {
                            assert_close(got, &to_f64(want), GRADIENT, &(pass, i, &what));
                            assert_same_bits(got, &again.weights[pass][i], &("a second time", pass, i, &what));
                        }
                    }
                }
            }
        }
    }
}

fn inference_is_training_forward<D: Definition>() {
    let mut random = Random::new(24);
    for _ in 0..6 {
        let case = Case::<f32>::new::<D>(&mut random, shape(3, 40, 7, 21), 3);
        for schedule in [Schedule::LayerByLayer, Schedule::Wavefront { groups: 1, members: 2 }] {
            let isa = Isa::detected();
            let train = case.train::<D>(&on(isa, &Threads(2)), Some(schedule));
            let infer = case.infer::<D>(&on(isa, &Threads(2)), Some(schedule));
            for (infer, (name, train)) in infer.iter().zip(&train.exact) {
                assert_same_bits(infer, train, &(name, case.describe(isa, 2, Some(schedule))));
            }
        }
    }
}

fn empty_sizes_work<D: Definition>() {
    let mut random = Random::new(25);
    for (batch, time, input, hidden) in [(0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5), (2, 3, 4, 0), (0, 0, 0, 0)] {
        let case = Case::<f32>::new::<D>(&mut random, shape(batch, time, input, hidden), 2);
        for schedule in [Schedule::LayerByLayer, Schedule::Wavefront { groups: 1, members: 2 }] {
            let got = case.train::<D>(&on(Isa::detected(), &Threads(2)), Some(schedule));
            for (name, values) in got.exact {
                assert!(values.iter().all(|x| x.is_finite()), "{name} of {case:?}");
            }
            assert!(got.weights.iter().flatten().flatten().all(|x| x.is_finite()), "gradients of {case:?}");
        }
    }
}

fn wrong_sizes_are_refused<D: Definition>() {
    let mut random = Random::new(26);
    let case = Case::<f32> { masks: None, ..Case::new::<D>(&mut random, shape(2, 3, 4, 5), 2) };
    let weights = case.weights();
    let context = on(Isa::detected(), &Serial);
    let run = |stack: &Stack, x: &[f32], masks: Option<&[f32]>| {
        let mut y = vec![0.0; stack.output_len()];
        let buffers = Forward { x, masks, y: &mut y, ..Forward::default() };
        forward::<D>(&context, stack, &mut Vec::new(), buffers).map_err(|error| error.to_string())
    };
    let (stack, name) = (case.stack(&weights, None), D::NAME);
    assert!(run(&stack, &case.x, None).is_ok());
    assert_eq!(run(&stack, &case.x[1..], None).unwrap_err(), format!("{name}: x must hold B*T*I = 24 numbers, got 23"));
    let masks = run(&stack, &case.x, Some(&[1.0])).unwrap_err();
    assert!(masks.starts_with(&format!("{name}: masks must hold (K-1)*B*T*D*H")), "{masks}");
    let odd = Stack { bidirectional: true, weights: &weights[..1], ..stack };
    let error = run(&odd, &case.x, None).unwrap_err();
    assert_eq!(error, format!("{name}: weights must be those of K layers in 2 directions, got 1 sets"));
}

fn on(isa: Isa, parallel: &dyn Parallel) -> Context<'_> {
    Context::new(parallel).with_isa(isa).unwrap()
}

fn shape(batch: usize, time: usize, input: usize, hidden: usize) -> Shape {
    Shape { batch, time, input, hidden }
}
