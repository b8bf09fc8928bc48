//! The laws that every dense recurrence must obey, on every instruction set and every split over threads.

mod case;
mod half;

use case::{Case, Got, Wide};

use super::reference::Definition;
use super::{Forward, Layer, Options, Packed, Shape, forward};
use crate::testing::{FORWARD, GRADIENT, Random, Threads, assert_close, assert_gradient, assert_same_bits, to_f64};
use crate::{Context, Isa, Parallel, Serial};

/// All laws, for one recurrence.
pub(crate) fn all<D: Definition>() {
    reference_gradients_are_slopes::<D>();
    fused_is_reference::<D>();
    absent_state_is_zeros::<D>();
    inference_is_training_forward::<D>();
    sequence_is_loop_of_steps::<D>();
    batch_is_rows::<D>();
    time_split_in_two_is_the_whole::<D>();
    threads_change_nothing_forward::<D>();
    recomputing_changes_nothing::<D>();
    nothing_beyond_a_length_is_read::<D>();
    nan_and_infinity_spread_as_in_the_reference::<D>();
    empty_sizes_work::<D>();
    packed_weights_follow_the_version::<D>();
    wrong_sizes_are_refused::<D>();
    half::all::<D>();
}

fn reference_gradients_are_slopes<D: Definition>() {
    let mut random = Random::new(1);
    for _ in 0..12 {
        let shape = shape(1 + random.below(3), 1 + random.below(5), 1 + random.below(4), 1 + random.below(4));
        let case = Case::new::<D>(&mut random, shape);
        let mut wide = Wide::new(&case);
        let state = vec![0.25; shape.state_len()];
        // Everything present, so that everything has a gradient.
        wide.h_0.get_or_insert(state.clone());
        wide.dh_n.get_or_insert(state.clone());
        let rows = D::gates() * shape.hidden;
        wide.bias_ih.get_or_insert(vec![0.1; rows]);
        wide.bias_hh.get_or_insert(vec![-0.1; rows]);
        if D::HAS_C {
            wide.c_0.get_or_insert(state.clone());
            wide.dc_n.get_or_insert(state);
        }
        let d = wide.backward::<D>(&case);
        let flat = |values: ndarray::Array2<f64>| values.into_iter().collect::<Vec<_>>();
        macro_rules! check {
            ($gradient:expr, $($field:tt)*) => {{
                let at = wide.$($field)*.clone();
                let value = |at: &[f64]| {
                    let mut moved = Wide::new(&case);
                    (moved.h_0, moved.c_0, moved.dh_n, moved.dc_n) = (wide.h_0.clone(), wide.c_0.clone(), wide.dh_n.clone(), wide.dc_n.clone());
                    (moved.bias_ih, moved.bias_hh) = (wide.bias_ih.clone(), wide.bias_hh.clone());
                    moved.$($field)*.copy_from_slice(at);
                    moved.value::<D>(&case)
                };
                assert_gradient(&mut random, &at, &$gradient, value, &stringify!($($field)*));
            }};
        }
        check!(d.x.into_iter().collect::<Vec<_>>(), x);
        check!(flat(d.weight_ih), weight_ih);
        check!(flat(d.weight_hh), weight_hh);
        check!(flat(d.h_0), h_0.as_mut().unwrap());
        check!(d.bias_ih.to_vec(), bias_ih.as_mut().unwrap());
        check!(d.bias_hh.to_vec(), bias_hh.as_mut().unwrap());
        if D::HAS_C {
            check!(flat(d.c_0), c_0.as_mut().unwrap());
        }
    }
}

fn fused_is_reference<D: Definition>() {
    let mut random = Random::new(2);
    for trial in 0..200 {
        let limit = if trial % 10 == 0 { 150 } else { 40 };
        let shape = shape(random.below(20), random.below(12), random.below(limit), random.below(limit));
        let case = Case::new::<D>(&mut random, shape);
        let (want, want_gradients) = case.reference::<D>();
        for isa in Isa::supported() {
            let threads = 1 + random.below(5);
            let got = case.train::<D>(&on(isa, &Threads(threads)));
            let what = case.describe(isa, threads);
            for (got, want) in got.forward().into_iter().zip(&want) {
                assert_close(got, want, FORWARD, &what);
            }
            for ((name, got), want) in
                ["dx", "dh_0", "dc_0", "dW_ih", "dW_hh", "db_ih", "db_hh"].iter().zip(got.gradients()).zip(&want_gradients)
            {
                assert_close(got, want, GRADIENT, &(name, &what));
            }
        }
    }
}

/// A few shapes that are not special in any way, for the laws that hold bit by bit.
fn some_cases<D: Definition>(seed: u64) -> Vec<Case> {
    let mut random = Random::new(seed);
    [shape(1, 7, 5, 19), shape(7, 6, 33, 16), shape(13, 5, 8, 35)].into_iter().map(|shape| Case::new::<D>(&mut random, shape)).collect()
}

fn absent_state_is_zeros<D: Definition>() {
    for mut case in some_cases::<D>(3) {
        (case.h_0, case.c_0, case.dy, case.dh_n, case.dc_n) = (None, None, None, None, None);
        let mut zeros = case.clone();
        let state = vec![0.0; case.shape.state_len()];
        (zeros.h_0, zeros.dh_n, zeros.dy) = (Some(state.clone()), Some(state.clone()), Some(vec![0.0; case.shape.y_len()]));
        (zeros.c_0, zeros.dc_n) = (D::HAS_C.then(|| state.clone()), D::HAS_C.then(|| state.clone()));
        for isa in Isa::supported() {
            let (absent, present) = (case.train::<D>(&on(isa, &Serial)), zeros.train::<D>(&on(isa, &Serial)));
            for (absent, present) in absent.forward().into_iter().zip(present.forward()) {
                assert_same_bits(absent, present, &isa);
            }
            for (absent, present) in absent.gradients().into_iter().zip(present.gradients()) {
                assert_close(absent, &to_f64(present), 0.0, &isa);
            }
        }
    }
}

fn inference_is_training_forward<D: Definition>() {
    for case in some_cases::<D>(4) {
        for isa in Isa::supported() {
            let (infer, train) = (case.infer::<D>(&on(isa, &Serial)), case.train::<D>(&on(isa, &Serial)));
            for (infer, train) in infer.forward().into_iter().zip(train.forward()) {
                assert_same_bits(infer, train, &case.describe(isa, 1));
            }
        }
    }
}

fn sequence_is_loop_of_steps<D: Definition>() {
    for mut case in some_cases::<D>(5) {
        case.lengths = None;
        for isa in Isa::supported() {
            let context = on(isa, &Serial);
            let whole = case.infer::<D>(&context);
            let (mut h, mut c) = (case.h_0.clone(), case.c_0.clone());
            for step in 0..case.shape.time {
                let t = if case.reverse { case.shape.time - 1 - step } else { step };
                let got = Case { h_0: h, c_0: c, ..case.steps(t, t + 1) }.infer::<D>(&context);
                let (hidden, time) = (case.shape.hidden, case.shape.time);
                for b in 0..case.shape.batch {
                    let want = &whole.y[(b * time + t) * hidden..][..hidden];
                    assert_same_bits(&got.y[b * hidden..][..hidden], want, &case.describe(isa, 1));
                }
                (h, c) = (Some(got.h_n), D::HAS_C.then_some(got.c_n));
            }
            assert_same_bits(&h.unwrap(), &whole.h_n, &case.describe(isa, 1));
            assert_same_bits(&c.unwrap_or_default(), &whole.c_n, &case.describe(isa, 1));
        }
    }
}

fn batch_is_rows<D: Definition>() {
    for case in some_cases::<D>(6) {
        for isa in Isa::supported() {
            let context = on(isa, &Serial);
            let whole = case.train::<D>(&context);
            let rows: Vec<Got> = (0..case.shape.batch).map(|b| case.row(b).train::<D>(&context)).collect();
            let join = |part: fn(&Got) -> &Vec<f32>| rows.iter().flat_map(|row| part(row).clone()).collect::<Vec<_>>();
            assert_same_bits(&join(|row| &row.y), &whole.y, &case.describe(isa, 1));
            assert_same_bits(&join(|row| &row.h_n), &whole.h_n, &case.describe(isa, 1));
            assert_same_bits(&join(|row| &row.dx), &whole.dx, &case.describe(isa, 1));
            assert_same_bits(&join(|row| &row.dh_0), &whole.dh_0, &case.describe(isa, 1));
            let sum = rows.iter().fold(vec![0.0; whole.dweight_hh.len()], |sum: Vec<f64>, row| {
                sum.iter().zip(&row.dweight_hh).map(|(sum, d)| sum + f64::from(*d)).collect()
            });
            assert_close(&whole.dweight_hh, &sum, GRADIENT, &case.describe(isa, 1));
        }
    }
}

fn time_split_in_two_is_the_whole<D: Definition>() {
    for mut case in some_cases::<D>(7) {
        case.lengths = None;
        let (time, cut) = (case.shape.time, case.shape.time / 2);
        for isa in Isa::supported() {
            let context = on(isa, &Serial);
            let whole = case.train::<D>(&context);
            let mut first = if case.reverse { case.steps(cut, time) } else { case.steps(0, cut) };
            let mut second = if case.reverse { case.steps(0, cut) } else { case.steps(cut, time) };
            let so_far = first.infer::<D>(&context);
            (second.h_0, second.c_0) = (Some(so_far.h_n), D::HAS_C.then_some(so_far.c_n));
            let after = second.train::<D>(&context);
            (first.dh_n, first.dc_n) = (Some(after.dh_0.clone()), D::HAS_C.then(|| after.dc_0.clone()));
            let before = first.train::<D>(&context);
            let what = case.describe(isa, 1);
            assert_same_bits(&after.h_n, &whole.h_n, &what);
            assert_same_bits(&after.c_n, &whole.c_n, &what);
            assert_same_bits(&before.dh_0, &whole.dh_0, &what);
            assert_same_bits(&before.dc_0, &whole.dc_0, &what);
            let sum: Vec<f64> = before.dweight_ih.iter().zip(&after.dweight_ih).map(|(a, b)| f64::from(*a) + f64::from(*b)).collect();
            assert_close(&whole.dweight_ih, &sum, GRADIENT, &what);
        }
    }
}

fn threads_change_nothing_forward<D: Definition>() {
    for case in some_cases::<D>(8) {
        for isa in Isa::supported() {
            let one = case.train::<D>(&on(isa, &Serial));
            for threads in [2, 3, 8] {
                let many = case.train::<D>(&on(isa, &Threads(threads)));
                for (one, many) in one.forward().into_iter().zip(many.forward()) {
                    assert_same_bits(many, one, &case.describe(isa, threads));
                }
                assert_same_bits(&many.dx, &one.dx, &case.describe(isa, threads));
                assert_close(&many.dweight_hh, &to_f64(&one.dweight_hh), GRADIENT, &case.describe(isa, threads));
            }
        }
    }
}

fn recomputing_changes_nothing<D: Definition>() {
    for case in some_cases::<D>(14) {
        let kept = Case { recompute: None, ..case.clone() };
        for isa in Isa::supported() {
            let want = kept.train::<D>(&on(isa, &Serial));
            for stretch in [1, 2, 4, 100] {
                let got = Case { recompute: Some(stretch), ..case.clone() }.train::<D>(&on(isa, &Threads(2)));
                let what = (stretch, case.describe(isa, 2));
                for (got, want) in got.forward().into_iter().zip(want.forward()) {
                    assert_same_bits(got, want, &what);
                }
                assert_same_bits(&got.dx, &want.dx, &what);
                assert_same_bits(&got.dh_0, &want.dh_0, &what);
                assert_same_bits(&got.dc_0, &want.dc_0, &what);
                for (got, want) in got.gradients().into_iter().zip(want.gradients()) {
                    assert_close(got, &to_f64(want), GRADIENT, &what);
                }
            }
        }
    }
}

fn nothing_beyond_a_length_is_read<D: Definition>() {
    for mut case in some_cases::<D>(9) {
        case.forget_what_is_beyond_lengths();
        for isa in Isa::supported() {
            let got = case.train::<D>(&on(isa, &Threads(2)));
            for values in got.forward().into_iter().chain(got.gradients()) {
                assert!(values.iter().all(|value| value.is_finite()), "{}", case.describe(isa, 2));
            }
            assert!(case.infer::<D>(&on(isa, &Serial)).y.iter().all(|value| value.is_finite()));
        }
    }
}

fn nan_and_infinity_spread_as_in_the_reference<D: Definition>() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for mut case in some_cases::<D>(10) {
            case.lengths = None;
            let middle = case.x.len() / 2;
            case.x[middle] = bad;
            let (want, want_gradients) = case.reference::<D>();
            for isa in Isa::supported() {
                let got = case.train::<D>(&on(isa, &Serial));
                for (got, want) in got.forward().into_iter().zip(&want) {
                    assert_close(got, want, FORWARD, &(bad, case.describe(isa, 1)));
                }
                for (got, want) in got.gradients().into_iter().zip(&want_gradients) {
                    assert_close(got, want, GRADIENT, &(bad, case.describe(isa, 1)));
                }
            }
        }
    }
}

fn empty_sizes_work<D: Definition>() {
    let mut random = Random::new(11);
    for shape in [shape(0, 3, 4, 5), shape(3, 0, 4, 5), shape(3, 4, 0, 5), shape(3, 4, 5, 0), shape(0, 0, 0, 0), shape(1, 0, 0, 3)] {
        let mut case = Case::new::<D>(&mut random, shape);
        (case.dy, case.dh_n) = (Some(vec![1.0; shape.y_len()]), Some(vec![1.0; shape.state_len()]));
        let (want, want_gradients) = case.reference::<D>();
        for isa in Isa::supported() {
            let got = case.train::<D>(&on(isa, &Threads(2)));
            for (got, want) in got.forward().into_iter().zip(&want) {
                assert_close(got, want, FORWARD, &case.describe(isa, 2));
            }
            for (got, want) in got.gradients().into_iter().zip(&want_gradients) {
                assert_close(got, want, GRADIENT, &case.describe(isa, 2));
            }
        }
    }
}

fn packed_weights_follow_the_version<D: Definition>() {
    let case = &some_cases::<D>(12)[1];
    let other = Case { weight_hh: case.weight_hh.iter().map(|w| -w).collect(), ..case.clone() };
    let mut packed = Packed::default();
    let context = on(Isa::detected(), &Serial);
    let mut run = |case: &Case, version: u64| {
        let mut y = vec![0.0; case.shape.y_len()];
        let buffers = Forward { x: &case.x, y: &mut y, ..Forward::default() };
        forward::<D, _>(&context, &Layer { version, ..case.layer() }, &mut packed, buffers).unwrap();
        y
    };
    let first = run(case, 1);
    assert_same_bits(&run(&other, 1), &first, &"the same version is not packed again");
    assert_ne!(run(&other, 2), first, "a new version is packed again");
    assert_same_bits(&run(case, 3), &first, &"and again");
}

fn wrong_sizes_are_refused<D: Definition>() {
    let case = &some_cases::<D>(13)[0];
    let context = on(Isa::detected(), &Serial);
    let mut y = vec![0.0; case.shape.y_len()];
    let mut run = |x: &[f32], lengths: Option<&[i64]>, c_n: Option<&mut [f32]>| {
        let options = Options { lengths, ..case.layer().options };
        let layer = Layer { options, ..case.layer() };
        let buffers = Forward { x, y: &mut y, c_n, ..Forward::default() };
        forward::<D, _>(&context, &layer, &mut Packed::default(), buffers).map_err(|error| error.to_string())
    };
    let name = D::NAME;
    assert_eq!(run(&case.x[1..], None, None).unwrap_err(), format!("{name}: x must hold B*T*I = 35 numbers, got 34"));
    assert_eq!(run(&case.x, Some(&[8]), None).unwrap_err(), format!("{name}: lengths must lie within 0..=7, got 8"));
    assert_eq!(run(&case.x, Some(&[-1]), None).unwrap_err(), format!("{name}: lengths must lie within 0..=7, got -1"));
    assert_eq!(run(&case.x, Some(&[]), None).unwrap_err(), format!("{name}: lengths must hold B = 1 numbers, got 0"));
    let mut reserve = [0.0; 1];
    let recompute = Layer { options: Options { recompute: Some(0), ..Options::default() }, ..case.layer() };
    let buffers = Forward { x: &case.x, y: &mut vec![0.0; case.shape.y_len()], reserve: Some(&mut reserve), ..Forward::default() };
    let error = forward::<D, _>(&context, &recompute, &mut Packed::default(), buffers).unwrap_err();
    assert_eq!(error.to_string(), format!("{name}: recompute must be at least 1, got 0"));
    let with_c = run(&case.x, None, Some(&mut [0.0; 19]));
    assert_eq!(with_c.is_ok(), D::HAS_C, "{with_c:?}");
}

fn on(isa: Isa, parallel: &dyn Parallel) -> Context<'_> {
    Context::new(parallel).with_isa(isa).unwrap()
}

fn shape(batch: usize, time: usize, input: usize, hidden: usize) -> Shape {
    Shape { batch, time, input, hidden }
}
