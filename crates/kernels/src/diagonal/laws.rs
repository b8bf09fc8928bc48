//! The laws that every recurrence with diagonal weights must obey, by both solvers, on every instruction set and any number of threads.

use super::reference::{self, InputGradients, Inputs, OutputGradients, Outputs};
use super::{Backward, DiagonalCell, Forward, GATES, MAX_STATES, Solver, backward_pass, forward_pass, reserve_len};
use crate::recurrent::Options;
use crate::scan::Shape;
use crate::testing::{FORWARD, GRADIENT, Random, Threads, assert_close, assert_gradient, assert_same_bits, to_f64};
use crate::{Context, Isa, Parallel, Serial};

type States = [Option<Vec<f32>>; MAX_STATES];

#[derive(Clone, Debug)]
struct Case {
    shape: Shape,
    reverse: bool,
    lengths: Option<Vec<i64>>,
    p: Vec<f32>,
    weight: Vec<f32>,
    state_0: States,
    dy: Option<Vec<f32>>,
    dstate_n: States,
}

#[derive(Debug)]
struct Got {
    y: Vec<f32>,
    state_n: [Vec<f32>; MAX_STATES],
    dp: Vec<f32>,
    dweight: Vec<f32>,
    dstate_0: [Vec<f32>; MAX_STATES],
    /// Rows that Newton's method did not solve.
    unsolved: usize,
}

fn slices(states: &States) -> [Option<&[f32]>; MAX_STATES] {
    states.each_ref().map(Option::as_deref)
}

impl Case {
    fn new<C: DiagonalCell>(random: &mut Random, shape: Shape) -> Case {
        let Shape { batch, time, hidden } = shape;
        let states =
            |random: &mut Random| std::array::from_fn(|i| (i < C::STATES && random.flip()).then(|| random.numbers(batch * hidden, 1.0)));
        Case {
            shape,
            reverse: random.flip(),
            lengths: random.flip().then(|| (0..batch).map(|_| random.below(time + 1) as i64).collect()),
            p: random.numbers(batch * time * hidden * GATES, 3.0),
            weight: random.numbers(C::WEIGHTS * hidden, 1.0),
            state_0: states(random),
            dy: random.flip().then(|| random.numbers(batch * time * hidden, 1.0)),
            dstate_n: states(random),
        }
    }

    fn options(&self) -> Options<'_> {
        Options { reverse: self.reverse, lengths: self.lengths.as_deref(), recompute: None }
    }

    fn run<C: DiagonalCell>(&self, isa: Isa, parallel: &dyn Parallel, solver: Solver) -> Got {
        let context = Context::new(parallel).with_isa(isa).unwrap();
        let nan = |len: usize| vec![f32::NAN; len];
        let Shape { batch, time, hidden } = self.shape;
        let states = || [nan(batch * hidden), nan(batch * hidden)];
        let mut got = Got {
            y: nan(batch * time * hidden),
            state_n: states(),
            dp: nan(self.p.len()),
            dweight: nan(self.weight.len()),
            dstate_0: states(),
            unsolved: 0,
        };
        let mut reserve = nan(reserve_len::<C>(&self.shape));
        let of_cell = |states: &mut [Vec<f32>; MAX_STATES]| states.each_mut().map(|state| Some(std::mem::take(state)));
        let mut state_n = of_cell(&mut got.state_n);
        let buffers = Forward {
            p: &self.p,
            weight: &self.weight,
            state_0: slices(&self.state_0),
            y: &mut got.y,
            state_n: state_n.each_mut().map(Option::as_deref_mut),
            reserve: Some(&mut reserve),
        };
        got.unsolved = forward_pass::<C>(&context, &self.shape, self.options(), solver, buffers).unwrap();
        got.state_n = state_n.map(Option::unwrap_or_default);
        let mut dstate_0 = of_cell(&mut got.dstate_0);
        let buffers = Backward {
            p: &self.p,
            weight: &self.weight,
            state_0: slices(&self.state_0),
            y: &got.y,
            reserve: &reserve,
            dy: self.dy.as_deref(),
            dstate_n: slices(&self.dstate_n),
            dp: &mut got.dp,
            dweight: &mut got.dweight,
            dstate_0: dstate_0.each_mut().map(Option::as_deref_mut),
        };
        backward_pass::<C>(&context, &self.shape, self.options(), buffers).unwrap();
        got.dstate_0 = dstate_0.map(Option::unwrap_or_default);
        got
    }

    fn want<C: DiagonalCell>(&self) -> (Outputs, InputGradients) {
        let wide = |states: &States| states.each_ref().map(|state| state.as_deref().map(to_f64));
        let (p, weight, dy) = (to_f64(&self.p), to_f64(&self.weight), self.dy.as_deref().map(to_f64));
        let (state_0, dstate_n) = (wide(&self.state_0), wide(&self.dstate_n));
        let inputs = Inputs { p: &p, weight: &weight, state_0: state_0.each_ref().map(Option::as_deref) };
        let outputs = OutputGradients { y: dy.as_deref(), state_n: dstate_n.each_ref().map(Option::as_deref) };
        (
            reference::forward_of::<C>(&self.shape, self.options(), &inputs).unwrap(),
            reference::backward_of::<C>(&self.shape, self.options(), &inputs, &outputs).unwrap(),
        )
    }

    fn check<C: DiagonalCell>(&self, isa: Isa, threads: usize, solver: Solver) -> usize {
        let what = (isa, threads, solver, self.shape, self.reverse, &self.lengths);
        let (want, d) = self.want::<C>();
        let got = self.run::<C>(isa, &Threads(threads), solver);
        assert_close(&got.y, &want.y, FORWARD, &("y", &what));
        assert_close(&got.dp, &d.p, GRADIENT, &("dp", &what));
        assert_close(&got.dweight, &d.weight, GRADIENT, &("dweight", &what));
        for i in 0..C::STATES {
            assert_close(&got.state_n[i], &want.state_n[i], FORWARD, &("state_n", i, &what));
            assert_close(&got.dstate_0[i], &d.state_0[i], GRADIENT, &("dstate_0", i, &what));
        }
        got.unsolved
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
            p: part(&self.p),
            dy: self.dy.as_ref().map(part),
            ..self.clone()
        }
    }
}

const SOLVERS: [Solver; 2] = [Solver::Sequential, Solver::Newton];

/// All laws, for one recurrence.
pub(crate) fn all<C: DiagonalCell>() {
    reference_gradients_are_slopes::<C>();
    fused_is_reference_by_both_solvers::<C>();
    newton_falls_back_where_it_does_not_converge::<C>();
    time_split_in_two_is_the_whole::<C>();
    threads_change_nothing::<C>();
    nan_infinity_and_empty_sizes_are_as_in_the_reference::<C>();
    wrong_sizes_are_refused::<C>();
}

fn reference_gradients_are_slopes<C: DiagonalCell>() {
    let mut random = Random::new(1);
    for _ in 0..12 {
        let shape = Shape { batch: 1 + random.below(3), time: 1 + random.below(5), hidden: 1 + random.below(4) };
        let case = Case::new::<C>(&mut random, shape);
        let state = |random: &mut Random| to_f64(&random.numbers(shape.batch * shape.hidden, 1.0));
        let at = [to_f64(&case.p), to_f64(&case.weight), state(&mut random), state(&mut random)];
        let (dy, dh_n, dc_n) = (to_f64(&random.numbers(case.p.len() / GATES, 1.0)), state(&mut random), state(&mut random));
        let outputs = OutputGradients { y: Some(&dy), state_n: [Some(&dh_n), Some(&dc_n).filter(|_| C::STATES == 2).map(Vec::as_slice)] };
        let read = |[p, weight, h_0, c_0]: &'_ [Vec<f64>; 4]| -> f64 {
            let inputs = Inputs { p, weight, state_0: [Some(h_0), Some(c_0)] };
            let got = reference::forward_of::<C>(&shape, case.options(), &inputs).unwrap();
            let dot = |values: &[f64], d: &[f64]| values.iter().zip(d).map(|(value, d)| value * d).sum::<f64>();
            dot(&got.y, &dy) + dot(&got.state_n[0], &dh_n) + if C::STATES == 2 { dot(&got.state_n[1], &dc_n) } else { 0.0 }
        };
        let [p, weight, h_0, c_0] = &at;
        let inputs = Inputs { p, weight, state_0: [Some(h_0), Some(c_0)] };
        let d = reference::backward_of::<C>(&shape, case.options(), &inputs, &outputs).unwrap();
        for (i, gradient) in [&d.p, &d.weight, &d.state_0[0], &d.state_0[1]].into_iter().enumerate().take(2 + C::STATES) {
            let moved = |to: &[f64]| {
                let mut moved = at.clone();
                moved[i] = to.to_vec();
                read(&moved)
            };
            assert_gradient(&mut random, &at[i], gradient, moved, &("input", i, shape));
        }
    }
}

fn fused_is_reference_by_both_solvers<C: DiagonalCell>() {
    let mut random = Random::new(2);
    for _ in 0..100 {
        let shape = Shape { batch: random.below(6), time: random.below(20), hidden: random.below(70) };
        let case = Case::new::<C>(&mut random, shape);
        for isa in Isa::supported() {
            let solver = random.pick(&SOLVERS);
            case.check::<C>(isa, 1 + random.below(5), solver);
        }
    }
    // Several blocks, and more than two threads have work.
    for _ in 0..3 {
        let mut case = Case::new::<C>(&mut random, Shape { batch: 3, time: 200, hidden: 37 });
        case.weight.iter_mut().for_each(|w| *w *= 0.2);
        for (isa, solver) in Isa::supported().flat_map(|isa| SOLVERS.map(|solver| (isa, solver))) {
            assert_eq!(case.check::<C>(isa, 3, solver), 0, "{isa} {solver:?}: unsolved rows");
        }
    }
}

fn newton_falls_back_where_it_does_not_converge<C: DiagonalCell>() {
    let mut random = Random::new(7);
    let mut case = Case::new::<C>(&mut random, Shape { batch: 3, time: 150, hidden: 20 });
    case.lengths = None;
    // In the second row alone gates jump with the state.
    case.weight.iter_mut().for_each(|w| *w = 12.0);
    let row = case.p.len() / 3;
    for (b, p) in case.p.chunks_mut(row).enumerate() {
        if b != 1 {
            p.fill(0.0);
        }
    }
    (case.state_0, case.dy) = (std::array::from_fn(|_| None), None);
    for isa in Isa::supported() {
        let (newton, sequential) = (case.run::<C>(isa, &Threads(2), Solver::Newton), case.run::<C>(isa, &Serial, Solver::Sequential));
        assert_eq!((newton.unsolved, sequential.unsolved), (1, 0), "{isa}");
        let of_row = row / GATES..2 * row / GATES;
        assert_same_bits(&newton.y[of_row.clone()], &sequential.y[of_row], &isa);
    }
}

fn time_split_in_two_is_the_whole<C: DiagonalCell>() {
    let mut random = Random::new(3);
    for _ in 0..10 {
        let shape = Shape { batch: 1 + random.below(4), time: 2 + random.below(9), hidden: 37 };
        let mut case = Case::new::<C>(&mut random, shape);
        case.lengths = None;
        let (time, cut) = (case.shape.time, case.shape.time / 2);
        let solver = Solver::Sequential;
        for isa in Isa::supported() {
            let whole = case.run::<C>(isa, &Serial, solver);
            let mut first = if case.reverse { case.steps(cut, time) } else { case.steps(0, cut) };
            let mut second = if case.reverse { case.steps(0, cut) } else { case.steps(cut, time) };
            second.state_0 = first.run::<C>(isa, &Serial, solver).state_n.map(Some);
            let after = second.run::<C>(isa, &Serial, solver);
            first.dstate_n = after.dstate_0.clone().map(Some);
            let before = first.run::<C>(isa, &Serial, solver);
            for i in 0..C::STATES {
                assert_same_bits(&after.state_n[i], &whole.state_n[i], &isa);
                assert_same_bits(&before.dstate_0[i], &whole.dstate_0[i], &isa);
            }
        }
    }
}

fn threads_change_nothing<C: DiagonalCell>() {
    let mut random = Random::new(4);
    for (batch, solver) in [(1, Solver::Sequential), (3, Solver::Sequential), (1, Solver::Newton), (3, Solver::Newton)] {
        let case = Case::new::<C>(&mut random, Shape { batch, time: 150, hidden: 203 });
        for isa in Isa::supported() {
            let one = case.run::<C>(isa, &Serial, solver);
            for threads in [2, 5] {
                let many = case.run::<C>(isa, &Threads(threads), solver);
                for (many, one) in [(&many.y, &one.y), (&many.dp, &one.dp), (&many.dweight, &one.dweight)] {
                    assert_same_bits(many, one, &(isa, threads, solver));
                }
            }
        }
    }
}

fn nan_infinity_and_empty_sizes_are_as_in_the_reference<C: DiagonalCell>() {
    let mut random = Random::new(5);
    for (bad, solver) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].into_iter().flat_map(|bad| SOLVERS.map(|solver| (bad, solver))) {
        let mut case = Case::new::<C>(&mut random, Shape { batch: 2, time: 6, hidden: 19 });
        case.lengths = None;
        let last = case.p.len() - 1;
        case.p[last / 2] = bad;
        case.p[last] = bad;
        let (want, _) = case.want::<C>();
        for isa in Isa::supported() {
            assert_close(&case.run::<C>(isa, &Serial, solver).y, &want.y, FORWARD, &(isa, bad, solver));
        }
    }
    for (batch, time, hidden) in [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)] {
        let case = Case::new::<C>(&mut random, Shape { batch, time, hidden });
        for (isa, solver) in Isa::supported().flat_map(|isa| SOLVERS.map(|solver| (isa, solver))) {
            case.check::<C>(isa, 2, solver);
        }
    }
}

fn wrong_sizes_are_refused<C: DiagonalCell>() {
    let case = Case::new::<C>(&mut Random::new(6), Shape { batch: 2, time: 3, hidden: 4 });
    let mut y = vec![0.0; 23];
    let (state_0, state_n) = ([None; MAX_STATES], [None, None]);
    let buffers = Forward { p: &case.p, weight: &case.weight, state_0, y: &mut y, state_n, reserve: None };
    let error = forward_pass::<C>(&Context::new(&Serial), &case.shape, Options::default(), Solver::default(), buffers).unwrap_err();
    assert_eq!(error.to_string(), format!("{}: y must hold B*T*H = 24 numbers, got 23", C::NAME));
}
