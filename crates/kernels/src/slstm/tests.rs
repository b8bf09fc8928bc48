//! The laws of the sLSTM.

use super::reference::{self, InputGradients, Inputs, OutputGradients, Outputs};
use super::{Backward, Forward, GATES, Shape, backward, forward, reserve_len};
use crate::recurrent::Options;
use crate::testing::{FORWARD, GRADIENT, Random, Threads, assert_close, assert_gradient, assert_same_bits, to_f64};
use crate::{Context, Isa, Parallel, Serial};

#[derive(Clone, Debug)]
struct Case {
    shape: Shape,
    reverse: bool,
    lengths: Option<Vec<i64>>,
    x: Vec<f32>,
    weight: Vec<f32>,
    state_0: Option<Vec<f32>>,
    dy: Option<Vec<f32>>,
    dstate_n: Option<Vec<f32>>,
}

#[derive(Debug)]
struct Got {
    y: Vec<f32>,
    state_n: Vec<f32>,
    dx: Vec<f32>,
    dweight: Vec<f32>,
    dstate_0: Vec<f32>,
}

/// A state that some past could have left: n is positive.
fn state(random: &mut Random, shape: &Shape) -> Vec<f32> {
    let mut state = random.numbers(shape.state_len(), 1.0);
    let part = shape.state_len() / 4;
    state[2 * part..3 * part].iter_mut().for_each(|n| *n = n.abs() + 0.5);
    state
}

impl Case {
    fn new(random: &mut Random, shape: Shape) -> Case {
        let Shape { batch, time, size, .. } = shape;
        Case {
            shape,
            reverse: random.flip(),
            lengths: random.flip().then(|| (0..batch).map(|_| random.below(time + 1) as i64).collect()),
            x: random.numbers(shape.y_len() * GATES, 3.0),
            weight: random.numbers(shape.weight_len(), 1.0 / (size.max(1) as f32).sqrt()),
            state_0: random.flip().then(|| state(random, &shape)),
            dy: (random.below(4) > 0).then(|| random.numbers(shape.y_len(), 1.0)),
            dstate_n: random.flip().then(|| random.numbers(shape.state_len(), 1.0)),
        }
    }

    fn options(&self) -> Options<'_> {
        Options { reverse: self.reverse, lengths: self.lengths.as_deref(), recompute: None }
    }

    fn forward<'a>(&'a self, y: &'a mut [f32], state_n: &'a mut [f32], reserve: Option<&'a mut [f32]>) -> Forward<'a> {
        Forward { x: &self.x, weight: &self.weight, state_0: self.state_0.as_deref(), y, state_n: Some(state_n), reserve }
    }

    fn run(&self, isa: Isa, parallel: &dyn Parallel) -> Got {
        let context = Context::new(parallel).with_isa(isa).unwrap();
        let nan = |len: usize| vec![f32::NAN; len];
        let (len, states) = (self.shape.y_len(), self.shape.state_len());
        let mut got =
            Got { y: nan(len), state_n: nan(states), dx: nan(self.x.len()), dweight: nan(self.weight.len()), dstate_0: nan(states) };
        let (mut inference, mut state_n) = (nan(len), nan(states));
        forward(&context, &self.shape, self.options(), self.forward(&mut inference, &mut state_n, None)).unwrap();
        let mut reserve = nan(reserve_len(&self.shape));
        forward(&context, &self.shape, self.options(), self.forward(&mut got.y, &mut got.state_n, Some(&mut reserve))).unwrap();
        assert_same_bits(&inference, &got.y, &"inference and training");
        let buffers = Backward {
            weight: &self.weight,
            state_0: self.state_0.as_deref(),
            y: &got.y,
            reserve: &reserve,
            dy: self.dy.as_deref(),
            dstate_n: self.dstate_n.as_deref(),
            dx: &mut got.dx,
            dweight: &mut got.dweight,
            dstate_0: Some(&mut got.dstate_0),
        };
        backward(&context, &self.shape, self.options(), buffers).unwrap();
        got
    }

    fn want(&self) -> (Outputs, InputGradients) {
        let wide = |values: &Option<Vec<f32>>| values.as_deref().map(to_f64);
        let (x, weight, state_0) = (to_f64(&self.x), to_f64(&self.weight), wide(&self.state_0));
        let (dy, dstate_n) = (wide(&self.dy), wide(&self.dstate_n));
        let inputs = Inputs { x: &x, weight: &weight, state_0: state_0.as_deref() };
        let outputs = OutputGradients { y: dy.as_deref(), state_n: dstate_n.as_deref() };
        (
            reference::forward(&self.shape, self.options(), &inputs).unwrap(),
            reference::backward(&self.shape, self.options(), &inputs, &outputs).unwrap(),
        )
    }

    fn check(&self, isa: Isa, threads: usize) {
        let what = (isa, threads, self.shape, self.reverse, &self.lengths);
        let (want, d) = self.want();
        let got = self.run(isa, &Threads(threads));
        assert_close(&got.y, &want.y, FORWARD, &("y", &what));
        assert_close(&got.state_n, &want.state_n, FORWARD, &("state_n", &what));
        assert_close(&got.dx, &d.x, GRADIENT, &("dx", &what));
        assert_close(&got.dweight, &d.weight, GRADIENT, &("dweight", &what));
        assert_close(&got.dstate_0, &d.state_0, GRADIENT, &("dstate_0", &what));
    }

    /// Steps `from..to` of every row, without lengths.
    fn steps(&self, from: usize, to: usize) -> Case {
        let time = self.shape.time;
        let part = |values: &Vec<f32>| -> Vec<f32> {
            let width = values.len() / (self.shape.batch * time);
            values.chunks(time * width).flat_map(|row| row[from * width..to * width].to_vec()).collect()
        };
        Case {
            shape: Shape { time: to - from, ..self.shape },
            lengths: None,
            x: part(&self.x),
            dy: self.dy.as_ref().map(part),
            ..self.clone()
        }
    }
}

#[test]
fn the_gradients_of_the_reference_are_its_slopes() {
    let mut random = Random::new(1);
    for _ in 0..12 {
        let [batch, time, heads, size] = [3, 5, 2, 3].map(|limit| 1 + random.below(limit));
        let shape = Shape { batch, time, heads, size };
        let case = Case::new(&mut random, shape);
        let at = [to_f64(&case.x), to_f64(&case.weight), to_f64(&state(&mut random, &shape))];
        let (dy, dstate_n) = (to_f64(&random.numbers(shape.y_len(), 1.0)), to_f64(&random.numbers(shape.state_len(), 1.0)));
        let read = |[x, weight, state_0]: &'_ [Vec<f64>; 3]| -> f64 {
            let got = reference::forward(&shape, case.options(), &Inputs { x, weight, state_0: Some(state_0) }).unwrap();
            let dot = |values: &[f64], d: &[f64]| values.iter().zip(d).map(|(value, d)| value * d).sum::<f64>();
            dot(&got.y, &dy) + dot(&got.state_n, &dstate_n)
        };
        let [x, weight, state_0] = &at;
        let outputs = OutputGradients { y: Some(&dy), state_n: Some(&dstate_n) };
        let d = reference::backward(&shape, case.options(), &Inputs { x, weight, state_0: Some(state_0) }, &outputs).unwrap();
        for (i, gradient) in [&d.x, &d.weight, &d.state_0].into_iter().enumerate() {
            let moved = |to: &[f64]| {
                let mut moved = at.clone();
                moved[i] = to.to_vec();
                read(&moved)
            };
            assert_gradient(&mut random, &at[i], gradient, moved, &("input", i, shape));
        }
    }
}

#[test]
fn the_stabiliser_changes_nothing_but_its_own_scale() {
    let mut random = Random::new(8);
    let shape = Shape { batch: 2, time: 7, heads: 2, size: 3 };
    let mut case = Case::new(&mut random, shape);
    case.lengths = None;
    let plain = state(&mut random, &shape);
    let (part, shift) = (shape.state_len() / 4, 1.5_f32);
    // c and n by e^-shift, m by shift: the same state.
    let shifted: Vec<f32> = plain
        .iter()
        .enumerate()
        .map(|(at, &value)| match at / part {
            0 => value,
            3 => value + shift,
            _ => value * (-shift).exp(),
        })
        .collect();
    let runs = [plain, shifted].map(|state_0| Case { state_0: Some(state_0), ..case.clone() }.want().0.y);
    assert!(runs[0].iter().zip(&runs[1]).all(|(a, b)| (a - b).abs() < 1e-6), "{runs:?}");
}

#[test]
fn fused_is_the_reference() {
    let mut random = Random::new(2);
    for _ in 0..100 {
        let [batch, time, heads, size] = [30, 40, 4, 40].map(|limit| random.below(limit));
        let case = Case::new(&mut random, Shape { batch, time, heads, size });
        for isa in Isa::supported() {
            case.check(isa, 1 + random.below(4));
        }
    }
}

#[test]
fn large_gates_stay_in_range() {
    let mut random = Random::new(9);
    let mut case = Case::new(&mut random, Shape { batch: 2, time: 30, heads: 1, size: 17 });
    // e^±60 by itself would still be a number; its products over time would not.
    case.x.iter_mut().for_each(|x| *x *= 20.0);
    (case.lengths, case.dstate_n) = (None, None);
    let (want, _) = case.want();
    for isa in Isa::supported() {
        let got = case.run(isa, &Serial);
        assert!(got.dx.iter().chain(&got.dweight).all(|d| d.is_finite()), "{isa}");
        assert_close(&got.y, &want.y, 1e-4, &isa);
    }
}

#[test]
fn time_split_in_two_is_the_whole() {
    let mut random = Random::new(3);
    for _ in 0..5 {
        let shape = Shape { batch: 1 + random.below(4), time: 2 + random.below(9), heads: 2, size: 19 };
        let mut case = Case::new(&mut random, shape);
        case.lengths = None;
        let (time, cut) = (case.shape.time, case.shape.time / 2);
        for isa in Isa::supported() {
            let whole = case.run(isa, &Serial);
            let mut first = if case.reverse { case.steps(cut, time) } else { case.steps(0, cut) };
            let mut second = if case.reverse { case.steps(0, cut) } else { case.steps(cut, time) };
            second.state_0 = Some(first.run(isa, &Serial).state_n);
            let after = second.run(isa, &Serial);
            first.dstate_n = Some(after.dstate_0.clone());
            let before = first.run(isa, &Serial);
            assert_same_bits(&after.state_n, &whole.state_n, &isa);
            assert_same_bits(&before.dstate_0, &whole.dstate_0, &isa);
        }
    }
}

#[test]
fn threads_change_nothing() {
    let mut random = Random::new(4);
    let case = Case::new(&mut random, Shape { batch: 27, time: 20, heads: 3, size: 20 });
    for isa in Isa::supported() {
        let one = case.run(isa, &Serial);
        for threads in [2, 5] {
            let many = case.run(isa, &Threads(threads));
            for (many, one) in [(&many.y, &one.y), (&many.dx, &one.dx), (&many.dweight, &one.dweight)] {
                assert_same_bits(many, one, &(isa, threads));
            }
        }
    }
}

#[test]
fn wrong_sizes_are_refused() {
    let case = Case::new(&mut Random::new(6), Shape { batch: 2, time: 3, heads: 2, size: 4 });
    let (mut y, mut state_n) = (vec![0.0; 47], vec![0.0; 64]);
    let refused = forward(&Context::new(&Serial), &case.shape, Options::default(), case.forward(&mut y, &mut state_n, None)).unwrap_err();
    assert_eq!(refused.to_string(), "slstm: y must hold B*T*H = 48 numbers, got 47");
}
