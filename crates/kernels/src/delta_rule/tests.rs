//! The laws of the delta rule: chunked and fused, forward and backward, against its definition step by step.

use super::reference::{self, InputGradients, Inputs, OutputGradients};
use super::{Backward, CHUNK, Forward, Shape, backward, forward, reserve_len};
use crate::recurrent::Options;
use crate::testing::{FORWARD, GRADIENT, Random, Threads, assert_close, assert_gradient, assert_same_bits, to_f64};
use crate::{Context, Isa, Parallel, Serial};

#[derive(Clone, Debug)]
struct Case {
    shape: Shape,
    reverse: bool,
    lengths: Option<Vec<i64>>,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    beta: Vec<f32>,
    decay: Option<Vec<f32>>,
    state_0: Option<Vec<f32>>,
    dy: Option<Vec<f32>>,
    dstate_n: Option<Vec<f32>>,
}

#[derive(Debug)]
struct Got {
    y: Vec<f32>,
    state_n: Vec<f32>,
    dquery: Vec<f32>,
    dkey: Vec<f32>,
    dvalue: Vec<f32>,
    dbeta: Vec<f32>,
    ddecay: Vec<f32>,
    dstate_0: Vec<f32>,
}

/// Rows of length 1.
fn unit(random: &mut Random, rows: usize, width: usize) -> Vec<f32> {
    let mut all = random.numbers(rows * width, 1.0);
    for row in all.chunks_exact_mut(width.max(1)) {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-3);
        row.iter_mut().for_each(|x| *x /= length);
    }
    all
}

impl Case {
    fn new(random: &mut Random, shape: Shape) -> Case {
        let Shape { batch, time, key, value, .. } = shape;
        let gates = shape.gates_len();
        // Some steps forget everything.
        let decay = |random: &mut Random| if random.below(9) == 0 { 0.0 } else { 1.0 - random.number(0.3).abs() };
        Case {
            shape,
            reverse: random.flip(),
            lengths: random.flip().then(|| (0..batch).map(|_| random.below(time + 1) as i64).collect()),
            query: random.numbers(gates * key, 1.0),
            key: unit(random, gates, key),
            value: random.numbers(gates * value, 1.0),
            beta: (0..gates).map(|_| if random.below(9) == 0 { 0.0 } else { random.number(1.0).abs() }).collect(),
            decay: random.flip().then(|| (0..gates).map(|_| decay(random)).collect()),
            state_0: random.flip().then(|| random.numbers(shape.state_len(), 1.0)),
            dy: (random.below(4) > 0).then(|| random.numbers(gates * value, 1.0)),
            dstate_n: random.flip().then(|| random.numbers(shape.state_len(), 1.0)),
        }
    }

    fn options(&self) -> Options<'_> {
        Options { reverse: self.reverse, lengths: self.lengths.as_deref(), recompute: None }
    }

    fn forward<'a>(&'a self, y: &'a mut [f32], state_n: &'a mut [f32], reserve: Option<&'a mut [f32]>) -> Forward<'a> {
        Forward {
            query: &self.query,
            key: &self.key,
            value: &self.value,
            beta: &self.beta,
            decay: self.decay.as_deref(),
            state_0: self.state_0.as_deref(),
            y,
            state_n: Some(state_n),
            reserve,
        }
    }

    fn run(&self, isa: Isa, parallel: &dyn Parallel) -> Got {
        let context = Context::new(parallel).with_isa(isa).unwrap();
        let nan = |len: usize| vec![f32::NAN; len];
        let (gates, states) = (self.shape.gates_len(), self.shape.state_len());
        let mut got = Got {
            y: nan(self.value.len()),
            state_n: nan(states),
            dquery: nan(self.query.len()),
            dkey: nan(self.key.len()),
            dvalue: nan(self.value.len()),
            dbeta: nan(gates),
            ddecay: nan(gates),
            dstate_0: nan(states),
        };
        let (mut inference, mut state_n) = (nan(got.y.len()), nan(states));
        forward(&context, &self.shape, self.options(), self.forward(&mut inference, &mut state_n, None)).unwrap();
        let mut reserve = nan(reserve_len(&self.shape));
        forward(&context, &self.shape, self.options(), self.forward(&mut got.y, &mut got.state_n, Some(&mut reserve))).unwrap();
        assert_same_bits(&inference, &got.y, &"inference and training");
        assert_same_bits(&state_n, &got.state_n, &"inference and training");
        let buffers = Backward {
            query: &self.query,
            key: &self.key,
            beta: &self.beta,
            decay: self.decay.as_deref(),
            reserve: &reserve,
            dy: self.dy.as_deref(),
            dstate_n: self.dstate_n.as_deref(),
            dquery: &mut got.dquery,
            dkey: &mut got.dkey,
            dvalue: &mut got.dvalue,
            dbeta: &mut got.dbeta,
            ddecay: self.decay.as_ref().map(|_| got.ddecay.as_mut_slice()),
            dstate_0: Some(&mut got.dstate_0),
        };
        backward(&context, &self.shape, self.options(), buffers).unwrap();
        got
    }

    fn want(&self) -> (reference::Outputs, InputGradients) {
        let wide = |values: &Option<Vec<f32>>| values.as_deref().map(to_f64);
        let (query, key, value, beta) = (to_f64(&self.query), to_f64(&self.key), to_f64(&self.value), to_f64(&self.beta));
        let (decay, state_0, dy, dstate_n) = (wide(&self.decay), wide(&self.state_0), wide(&self.dy), wide(&self.dstate_n));
        let inputs = Inputs { query: &query, key: &key, value: &value, beta: &beta, decay: decay.as_deref(), state_0: state_0.as_deref() };
        let outputs = OutputGradients { y: dy.as_deref(), state_n: dstate_n.as_deref() };
        (
            reference::forward(&self.shape, self.options(), &inputs).unwrap(),
            reference::backward(&self.shape, self.options(), &inputs, &outputs).unwrap(),
        )
    }

    fn check(&self, isa: Isa, threads: usize) {
        let what = (isa, threads, self.shape, self.reverse, &self.lengths, self.decay.is_some());
        let (want, d) = self.want();
        let got = self.run(isa, &Threads(threads));
        assert_close(&got.y, &want.y, FORWARD, &("y", &what));
        assert_close(&got.state_n, &want.state_n, FORWARD, &("state_n", &what));
        assert_close(&got.dquery, &d.query, GRADIENT, &("dquery", &what));
        assert_close(&got.dkey, &d.key, GRADIENT, &("dkey", &what));
        assert_close(&got.dvalue, &d.value, GRADIENT, &("dvalue", &what));
        assert_close(&got.dbeta, &d.beta, GRADIENT, &("dbeta", &what));
        assert_close(&got.dstate_0, &d.state_0, GRADIENT, &("dstate_0", &what));
        if self.decay.is_some() {
            assert_close(&got.ddecay, &d.decay, GRADIENT, &("ddecay", &what));
        }
    }

    /// Steps `from..to` of every row, without lengths.
    fn steps(&self, from: usize, to: usize) -> Case {
        let part = |values: &Vec<f32>| -> Vec<f32> {
            let width = values.len() / (self.shape.batch * self.shape.time);
            values.chunks(self.shape.time * width).flat_map(|row| row[from * width..to * width].to_vec()).collect()
        };
        Case {
            shape: Shape { time: to - from, ..self.shape },
            lengths: None,
            query: part(&self.query),
            key: part(&self.key),
            value: part(&self.value),
            beta: part(&self.beta),
            decay: self.decay.as_ref().map(part),
            dy: self.dy.as_ref().map(part),
            ..self.clone()
        }
    }
}

#[test]
fn the_gradients_of_the_reference_are_its_slopes() {
    let mut random = Random::new(1);
    for _ in 0..12 {
        let size = |random: &mut Random, limit| 1 + random.below(limit);
        let [batch, time, heads, key, value] = [2, 5, 2, 4, 3].map(|limit| size(&mut random, limit));
        let shape = Shape { batch, time, heads, key, value };
        let case = Case::new(&mut random, shape);
        let numbers = |random: &mut Random, len: usize| to_f64(&random.numbers(len, 1.0));
        let gates = shape.gates_len();
        let at = [
            to_f64(&case.query),
            to_f64(&case.key),
            to_f64(&case.value),
            to_f64(&case.beta),
            numbers(&mut random, gates),
            numbers(&mut random, shape.state_len()),
        ];
        let (dy, dstate_n) = (numbers(&mut random, gates * value), numbers(&mut random, shape.state_len()));
        let inputs = |at: &[Vec<f64>; 6]| -> [Vec<f64>; 6] { at.clone() };
        let read = |at: &'_ [Vec<f64>; 6]| -> f64 {
            let [query, key, value, beta, decay, state_0] = at;
            let inputs = Inputs { query, key, value, beta, decay: Some(decay), state_0: Some(state_0) };
            let outputs = reference::forward(&shape, case.options(), &inputs).unwrap();
            let dot = |values: &[f64], d: &[f64]| values.iter().zip(d).map(|(value, d)| value * d).sum::<f64>();
            dot(&outputs.y, &dy) + dot(&outputs.state_n, &dstate_n)
        };
        let [query, key, value, beta, decay, state_0] = &at;
        let borrowed = Inputs { query, key, value, beta, decay: Some(decay), state_0: Some(state_0) };
        let outputs = OutputGradients { y: Some(&dy), state_n: Some(&dstate_n) };
        let d = reference::backward(&shape, case.options(), &borrowed, &outputs).unwrap();
        for (i, gradient) in [&d.query, &d.key, &d.value, &d.beta, &d.decay, &d.state_0].into_iter().enumerate() {
            let moved = |to: &[f64]| {
                let mut moved = inputs(&at);
                moved[i] = to.to_vec();
                read(&moved)
            };
            assert_gradient(&mut random, &at[i], gradient, moved, &("input", i, shape));
        }
    }
}

#[test]
fn chunks_are_the_steps_of_the_reference() {
    let mut random = Random::new(2);
    for _ in 0..120 {
        let [batch, time, heads, key, value] = [4, 3 * CHUNK, 4, 40, 40].map(|limit| random.below(limit));
        let case = Case::new(&mut random, Shape { batch, time, heads, key, value });
        for isa in Isa::supported() {
            case.check(isa, 1 + random.below(4));
        }
    }
    for (time, key, value) in [(1, 64, 64), (CHUNK, 64, 128), (4 * CHUNK + 1, 128, 64)] {
        let case = Case::new(&mut random, Shape { batch: 1, time, heads: 2, key, value });
        Isa::supported().for_each(|isa| case.check(isa, 2));
    }
}

#[test]
fn time_split_in_two_is_the_whole() {
    let mut random = Random::new(3);
    for cut in [1, 7, CHUNK] {
        let shape = Shape { batch: 2, time: CHUNK + 9, heads: 2, key: 8, value: 19 };
        let mut case = Case::new(&mut random, shape);
        (case.lengths, case.reverse) = (None, false);
        for isa in Isa::supported() {
            let whole = case.run(isa, &Serial);
            let mut first = case.steps(0, cut);
            let mut second = case.steps(cut, shape.time);
            second.state_0 = Some(first.run(isa, &Serial).state_n);
            let after = second.run(isa, &Serial);
            first.dstate_n = Some(after.dstate_0.clone());
            let before = first.run(isa, &Serial);
            assert_close(&after.state_n, &to_f64(&whole.state_n), FORWARD, &(isa, cut));
            assert_close(&before.dstate_0, &to_f64(&whole.dstate_0), GRADIENT, &(isa, cut));
            if cut == CHUNK {
                assert_same_bits(&after.state_n, &whole.state_n, &isa);
                assert_same_bits(&before.dstate_0, &whole.dstate_0, &isa);
            }
        }
    }
}

#[test]
fn threads_change_nothing() {
    let mut random = Random::new(4);
    let case = Case::new(&mut random, Shape { batch: 2, time: CHUNK + 3, heads: 3, key: 20, value: 12 });
    for isa in Isa::supported() {
        let one = case.run(isa, &Serial);
        for threads in [2, 5, 8] {
            let many = case.run(isa, &Threads(threads));
            for (many, one) in [(&many.y, &one.y), (&many.dkey, &one.dkey), (&many.dbeta, &one.dbeta), (&many.dstate_0, &one.dstate_0)] {
                assert_same_bits(many, one, &(isa, threads));
            }
        }
    }
}

#[test]
fn what_is_not_a_number_spreads_forward_in_time_only() {
    let mut random = Random::new(5);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut case = Case::new(&mut random, Shape { batch: 1, time: CHUNK, heads: 1, key: 5, value: 6 });
        (case.lengths, case.reverse) = (None, false);
        let at = CHUNK - 2;
        case.key[at * 5] = bad;
        case.value[at * 6 + 1] = bad;
        let (want, _) = case.want();
        for isa in Isa::supported() {
            let got = case.run(isa, &Serial);
            assert_close(&got.y[..at * 6], &want.y[..at * 6], FORWARD, &(isa, bad));
            assert!(got.y[(at + 1) * 6..].iter().all(|y| !y.is_finite()), "{isa} {bad}");
        }
    }
}

#[test]
fn wrong_sizes_are_refused() {
    let case = Case::new(&mut Random::new(6), Shape { batch: 2, time: 3, heads: 2, key: 4, value: 5 });
    let (mut y, mut state_n) = (vec![0.0; 59], vec![0.0; 80]);
    let refused = forward(&Context::new(&Serial), &case.shape, Options::default(), case.forward(&mut y, &mut state_n, None)).unwrap_err();
    assert_eq!(refused.to_string(), "delta_rule: y must hold B*T*N*E' = 60 numbers, got 59");
}
