//! The laws that every recurrence without hidden products must obey, on every instruction set and any number of threads.

use super::reference::{self, Inputs, OutputGradients};
use super::{Backward, Forward, LinearCell, Shape, backward_pass, forward_pass};
use crate::bfloat16::Number;
use crate::recurrent::Options;
use crate::testing::{FORWARD, GRADIENT, HALF_FORWARD, HALF_GRADIENT, Random, Threads};
use crate::testing::{assert_close, assert_gradient, assert_near, assert_same_bits, to_f64};
use crate::{Bf16, Context, Isa, Parallel, Serial};

#[derive(Clone, Debug)]
struct Case<const N: usize> {
    shape: Shape,
    reverse: bool,
    lengths: Option<Vec<i64>>,
    inputs: [Vec<f32>; N],
    y_0: Option<Vec<f32>>,
    dy: Option<Vec<f32>>,
    dy_n: Option<Vec<f32>>,
}

#[derive(Debug)]
struct Got<const N: usize> {
    y: Vec<f32>,
    y_n: Vec<f32>,
    dinputs: [Vec<f32>; N],
    dy_0: Vec<f32>,
}

impl<const N: usize> Case<N> {
    fn new<C: LinearCell>(random: &mut Random, shape: Shape) -> Self {
        let Shape { batch, time, hidden } = shape;
        let len = batch * time * hidden;
        let scale = if N == 1 { 3.0 } else { 1.0 };
        let state = |random: &mut Random| random.flip().then(|| random.numbers(batch * hidden, 1.0));
        Case {
            shape,
            reverse: random.flip(),
            lengths: random.flip().then(|| (0..batch).map(|_| random.below(time + 1) as i64).collect()),
            inputs: std::array::from_fn(|_| random.numbers(len * C::INPUTS / N, scale)),
            y_0: state(random),
            dy: random.flip().then(|| random.numbers(len, 1.0)),
            dy_n: state(random),
        }
    }

    fn options(&self) -> Options<'_> {
        Options { reverse: self.reverse, lengths: self.lengths.as_deref(), recompute: None }
    }

    fn run<C: LinearCell>(&self, isa: Isa, parallel: &dyn Parallel) -> Got<N> {
        self.run_in::<C, f32>(isa, parallel)
    }

    /// With every tensor made of F; results are widened.
    fn run_in<C: LinearCell, F: Number>(&self, isa: Isa, parallel: &dyn Parallel) -> Got<N> {
        let context = Context::new(parallel).with_isa(isa).unwrap();
        let to = |values: &[f32]| values.iter().map(|&x| F::from_f32(x)).collect::<Vec<F>>();
        let back = |values: &[F]| values.iter().map(|&x| x.to_f32()).collect::<Vec<f32>>();
        let nan = |len: usize| vec![F::from_f32(f32::NAN); len];
        let state = self.shape.batch * self.shape.hidden;
        let (mut y, mut y_n, mut dy_0) = (nan(self.shape.len()), nan(state), nan(state));
        let mut dinputs = self.inputs.each_ref().map(|input| nan(input.len()));
        let inputs = self.inputs.each_ref().map(|input| to(input));
        let [y_0, dy, dy_n] = [&self.y_0, &self.dy, &self.dy_n].map(|values| values.as_deref().map(to));
        let inputs = inputs.each_ref().map(Vec::as_slice);
        let buffers = Forward { inputs, y_0: y_0.as_deref(), y: &mut y, y_n: Some(&mut y_n) };
        forward_pass::<C, N, F>(&context, &self.shape, self.options(), buffers).unwrap();
        let buffers = Backward {
            inputs,
            y_0: y_0.as_deref(),
            y: &y,
            dy: dy.as_deref(),
            dy_n: dy_n.as_deref(),
            dinputs: dinputs.each_mut().map(Vec::as_mut_slice),
            dy_0: Some(&mut dy_0),
        };
        backward_pass::<C, N, F>(&context, &self.shape, self.options(), buffers).unwrap();
        Got { y: back(&y), y_n: back(&y_n), dinputs: dinputs.each_ref().map(|values| back(values)), dy_0: back(&dy_0) }
    }

    /// With every number rounded to bfloat16.
    fn rounded(&self) -> Self {
        let round = |values: &Vec<f32>| values.iter().map(|&x| Bf16::from_f32(x).to_f32()).collect::<Vec<f32>>();
        Case {
            inputs: self.inputs.each_ref().map(round),
            y_0: self.y_0.as_ref().map(round),
            dy: self.dy.as_ref().map(round),
            dy_n: self.dy_n.as_ref().map(round),
            ..self.clone()
        }
    }

    fn check<C: LinearCell>(&self, isa: Isa, threads: usize) {
        let got = self.run::<C>(isa, &Threads(threads));
        self.check_got::<C>(&got, isa, threads, assert_close, [FORWARD, GRADIENT]);
    }

    /// The same of bfloat16; its outputs are the rounded ones of float32.
    fn check_half<C: LinearCell>(&self, isa: Isa, threads: usize) {
        let case = self.rounded();
        let (got, float) = (case.run_in::<C, Bf16>(isa, &Threads(threads)), case.run::<C>(isa, &Serial));
        case.check_got::<C>(&got, isa, threads, assert_near, [HALF_FORWARD, HALF_GRADIENT]);
        for (half, float) in [(&got.y, &float.y), (&got.y_n, &float.y_n)] {
            let rounded: Vec<f32> = float.iter().map(|&x| Bf16::from_f32(x).to_f32()).collect();
            assert_same_bits(half, &rounded, &(isa, threads, case.shape));
        }
    }

    fn check_got<C: LinearCell>(
        &self,
        got: &Got<N>,
        isa: Isa,
        threads: usize,
        assert_close: fn(&[f32], &[f64], f64, &dyn std::fmt::Debug),
        [forward, gradient]: [f64; 2],
    ) {
        let what = (isa, threads, self.shape, self.reverse, &self.lengths);
        let (inputs, y_0) = (self.inputs.each_ref().map(|input| to_f64(input)), self.y_0.as_deref().map(to_f64));
        let (dy, dy_n) = (self.dy.as_deref().map(to_f64), self.dy_n.as_deref().map(to_f64));
        let inputs = Inputs { inputs: inputs.each_ref().map(Vec::as_slice), y_0: y_0.as_deref() };
        let want = reference::forward_of::<C, N>(&self.shape, self.options(), &inputs).unwrap();
        let outputs = OutputGradients { y: dy.as_deref(), y_n: dy_n.as_deref() };
        let d = reference::backward_of::<C, N>(&self.shape, self.options(), &inputs, &outputs).unwrap();
        assert_close(&got.y, want.y.as_slice().unwrap(), forward, &("y", &what));
        assert_close(&got.y_n, want.y_n.as_slice().unwrap(), forward, &("y_n", &what));
        for (got, want) in got.dinputs.iter().zip(&d.inputs) {
            assert_close(got, want, gradient, &("dinputs", &what));
        }
        assert_close(&got.dy_0, d.y_0.as_slice().unwrap(), gradient, &("dy_0", &what));
    }

    /// Steps `from..to` of every row, without lengths.
    fn steps(&self, from: usize, to: usize) -> Self {
        let time = self.shape.time;
        let part = |values: &Vec<f32>| -> Vec<f32> {
            let width = values.len() / (self.shape.batch * time);
            values.chunks(time * width).flat_map(|row| row[from * width..to * width].to_vec()).collect()
        };
        Case {
            shape: Shape { time: to - from, ..self.shape },
            lengths: None,
            inputs: self.inputs.each_ref().map(part),
            dy: self.dy.as_ref().map(part),
            ..self.clone()
        }
    }
}

/// All laws, for one recurrence.
pub(crate) fn all<C: LinearCell, const N: usize>() {
    reference_gradients_are_slopes::<C, N>();
    fused_is_reference::<C, N>();
    half_is_reference::<C, N>();
    time_split_in_two_is_the_whole::<C, N>();
    threads_change_nothing::<C, N>();
    nan_infinity_and_empty_sizes_are_as_in_the_reference::<C, N>();
    wrong_sizes_are_refused::<C, N>();
}

fn reference_gradients_are_slopes<C: LinearCell, const N: usize>() {
    let mut random = Random::new(1);
    for _ in 0..12 {
        let shape = Shape { batch: 1 + random.below(3), time: 1 + random.below(5), hidden: 1 + random.below(4) };
        let case = Case::<N>::new::<C>(&mut random, shape);
        let inputs = case.inputs.each_ref().map(|input| to_f64(input));
        let y_0 = to_f64(&random.numbers(shape.batch * shape.hidden, 1.0));
        let (dy, dy_n) = (to_f64(&random.numbers(shape.len(), 1.0)), to_f64(&random.numbers(y_0.len(), 1.0)));
        let value = |inputs: &[Vec<f64>; N], y_0: &[f64]| {
            let inputs = Inputs { inputs: inputs.each_ref().map(Vec::as_slice), y_0: Some(y_0) };
            let outputs = reference::forward_of::<C, N>(&shape, case.options(), &inputs).unwrap();
            let dot = |values: &[f64], d: &[f64]| values.iter().zip(d).map(|(value, d)| value * d).sum::<f64>();
            dot(outputs.y.as_slice().unwrap(), &dy) + dot(outputs.y_n.as_slice().unwrap(), &dy_n)
        };
        let borrowed = Inputs { inputs: inputs.each_ref().map(Vec::as_slice), y_0: Some(&y_0) };
        let outputs = OutputGradients { y: Some(&dy), y_n: Some(&dy_n) };
        let d = reference::backward_of::<C, N>(&shape, case.options(), &borrowed, &outputs).unwrap();
        for (i, gradient) in d.inputs.iter().enumerate() {
            let moved = |at: &[f64]| {
                let mut moved = inputs.clone();
                moved[i] = at.to_vec();
                value(&moved, &y_0)
            };
            assert_gradient(&mut random, &inputs[i], gradient, moved, &("input", i));
        }
        assert_gradient(&mut random, &y_0, d.y_0.as_slice().unwrap(), |at| value(&inputs, at), &"y_0");
    }
}

fn fused_is_reference<C: LinearCell, const N: usize>() {
    let mut random = Random::new(2);
    for _ in 0..200 {
        let shape = Shape { batch: random.below(6), time: random.below(20), hidden: random.below(150) };
        let case = Case::<N>::new::<C>(&mut random, shape);
        for isa in Isa::supported() {
            case.check::<C>(isa, 1 + random.below(5));
        }
    }
    // Large enough to be written past the caches.
    let case = Case::<N>::new::<C>(&mut random, Shape { batch: 3, time: 350, hidden: 256 });
    Isa::supported().for_each(|isa| case.check::<C>(isa, 2));
    Isa::supported().for_each(|isa| case.check_half::<C>(isa, 2));
}

fn half_is_reference<C: LinearCell, const N: usize>() {
    let mut random = Random::new(7);
    for _ in 0..60 {
        let shape = Shape { batch: random.below(6), time: random.below(20), hidden: random.below(150) };
        let case = Case::<N>::new::<C>(&mut random, shape);
        for isa in Isa::supported() {
            case.check_half::<C>(isa, 1 + random.below(5));
        }
    }
}

fn time_split_in_two_is_the_whole<C: LinearCell, const N: usize>() {
    let mut random = Random::new(3);
    for _ in 0..10 {
        let shape = Shape { batch: 1 + random.below(4), time: 2 + random.below(9), hidden: 37 };
        let mut case = Case::<N>::new::<C>(&mut random, shape);
        case.lengths = None;
        let (time, cut) = (case.shape.time, case.shape.time / 2);
        for isa in Isa::supported() {
            let whole = case.run::<C>(isa, &Serial);
            let mut first = if case.reverse { case.steps(cut, time) } else { case.steps(0, cut) };
            let mut second = if case.reverse { case.steps(0, cut) } else { case.steps(cut, time) };
            second.y_0 = Some(first.run::<C>(isa, &Serial).y_n);
            let after = second.run::<C>(isa, &Serial);
            first.dy_n = Some(after.dy_0.clone());
            let before = first.run::<C>(isa, &Serial);
            assert_same_bits(&after.y_n, &whole.y_n, &isa);
            assert_same_bits(&before.dy_0, &whole.dy_0, &isa);
        }
    }
}

fn threads_change_nothing<C: LinearCell, const N: usize>() {
    let mut random = Random::new(4);
    for batch in [1, 3] {
        let case = Case::<N>::new::<C>(&mut random, Shape { batch, time: 50, hidden: 403 });
        for isa in Isa::supported() {
            let one = case.run::<C>(isa, &Serial);
            for threads in [2, 5, 8] {
                let many = case.run::<C>(isa, &Threads(threads));
                assert_same_bits(&many.y, &one.y, &(isa, threads));
                assert_same_bits(&many.dy_0, &one.dy_0, &(isa, threads));
                assert_same_bits(&many.dinputs[0], &one.dinputs[0], &(isa, threads));
            }
        }
    }
}

fn nan_infinity_and_empty_sizes_are_as_in_the_reference<C: LinearCell, const N: usize>() {
    let mut random = Random::new(5);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut case = Case::<N>::new::<C>(&mut random, Shape { batch: 2, time: 6, hidden: 19 });
        case.lengths = None;
        let last = case.inputs[N - 1].len() - 1;
        case.inputs[N - 1][last / 2] = bad;
        case.inputs[N - 1][last] = bad;
        Isa::supported().for_each(|isa| case.check::<C>(isa, 1));
    }
    for (batch, time, hidden) in [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)] {
        let case = Case::<N>::new::<C>(&mut random, Shape { batch, time, hidden });
        Isa::supported().for_each(|isa| case.check::<C>(isa, 2));
    }
}

fn wrong_sizes_are_refused<C: LinearCell, const N: usize>() {
    let case = Case::<N>::new::<C>(&mut Random::new(6), Shape { batch: 2, time: 3, hidden: 4 });
    let context = Context::new(&Serial);
    let mut y = vec![0.0; 23];
    let buffers = Forward { inputs: case.inputs.each_ref().map(Vec::as_slice), y_0: None, y: &mut y, y_n: None };
    let error = forward_pass::<C, N, f32>(&context, &case.shape, Options::default(), buffers).unwrap_err();
    assert_eq!(error.to_string(), format!("{}: y must hold B*T*H = 24 numbers, got 23", C::NAME));
}
