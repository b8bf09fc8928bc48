use super::{Backward, Forward, Options, Shape, backward, forward, reference};
use crate::testing::{FORWARD, GRADIENT, Random, Threads, assert_close, assert_gradient, assert_same_bits, to_f64};
use crate::{Context, Isa};

struct Case {
    shape: Shape,
    options: Options,
    x: Vec<f32>,
    target: Vec<i64>,
    dlosses: Vec<f32>,
}

impl Case {
    fn new(random: &mut Random, rows: usize, classes: usize) -> Case {
        let options = Options { ignore: random.pick(&[-100, 0]), smoothing: random.pick(&[0.0, 0.1, 1.0]) };
        let class = |random: &mut Random| if classes == 0 || random.below(4) == 0 { options.ignore } else { random.below(classes) as i64 };
        Case {
            shape: Shape { rows, classes },
            options,
            x: random.numbers(rows * classes, 8.0),
            target: (0..rows).map(|_| class(random)).collect(),
            dlosses: random.numbers(rows, 1.0),
        }
    }

    fn run(&self, isa: Isa, threads: usize) -> [Vec<f32>; 3] {
        let executor = Threads(threads);
        let context = Context::new(&executor).with_isa(isa).unwrap();
        let Case { shape, options, x, target, dlosses } = self;
        let nan = |len: usize| vec![f32::NAN; len];
        let (mut losses, mut log_sums, mut dx) = (nan(shape.rows), nan(shape.rows), nan(x.len()));
        let buffers = Forward { x, target, losses: &mut losses, log_sums: Some(&mut log_sums) };
        forward(&context, shape, *options, buffers).unwrap();
        let buffers = Backward { x, target, log_sums: &log_sums, dlosses, dx: &mut dx };
        backward(&context, shape, *options, buffers).unwrap();
        let mut alone = nan(shape.rows);
        forward(&context, shape, *options, Forward { x, target, losses: &mut alone, log_sums: None }).unwrap();
        assert_same_bits(&alone, &losses, shape);
        [losses, log_sums, dx]
    }
}

#[test]
fn losses_and_gradients_are_those_of_the_reference_on_every_instruction_set_and_split() {
    let mut random = Random::new(1);
    for _ in 0..120 {
        let (rows, classes) = (random.below(9), random.below(300));
        let case = Case::new(&mut random, rows, classes);
        let x = to_f64(&case.x);
        let want = reference::forward(&case.shape, case.options, &x, &case.target).unwrap();
        let dx = reference::backward(&case.shape, case.options, &x, &case.target, &to_f64(&case.dlosses)).unwrap();
        for isa in Isa::supported() {
            let what = (isa, case.shape, case.options);
            let [losses, _, got] = case.run(isa, 1);
            assert_close(&losses, &want, FORWARD, &what);
            assert_close(&got, &dx, GRADIENT, &what);
        }
    }
    let case = Case::new(&mut random, 40, 1000);
    for isa in Isa::supported() {
        let one = case.run(isa, 1);
        for threads in [2, 3, 64] {
            for (many, one) in case.run(isa, threads).iter().zip(&one) {
                assert_same_bits(many, one, &(isa, threads));
            }
        }
    }
}

#[test]
fn the_gradient_of_the_reference_is_the_slope_of_its_losses() {
    let mut random = Random::new(2);
    for _ in 0..10 {
        let Case { shape, options, x, target, dlosses } = Case::new(&mut random, 4, 7);
        let (x, dlosses) = (to_f64(&x), to_f64(&dlosses));
        let value = |x: &[f64]| {
            let losses = reference::forward(&shape, options, x, &target).unwrap();
            losses.iter().zip(&dlosses).map(|(loss, d)| loss * d).sum::<f64>()
        };
        let gradient = reference::backward(&shape, options, &x, &target, &dlosses).unwrap();
        assert_gradient(&mut random, &x, &gradient, value, &(shape, options));
    }
}

#[test]
fn impossible_classes_have_no_share_and_what_is_not_a_number_stays_in_its_row() {
    let mut case = Case {
        shape: Shape { rows: 4, classes: 40 },
        options: Options { ignore: -1, smoothing: 0.0 },
        x: Random::new(3).numbers(160, 1.0),
        target: vec![3, 3, -1, 5],
        dlosses: vec![1.0; 4],
    };
    case.x[7] = f32::NEG_INFINITY;
    case.x[47] = f32::NAN;
    case.x[87] = f32::NAN;
    case.x[127] = f32::INFINITY;
    for isa in Isa::supported() {
        let [losses, _, dx] = case.run(isa, 2);
        assert!(losses[0].is_finite() && dx[7] == 0.0 && dx[..40].iter().all(|d| d.is_finite()), "{isa}");
        assert!(losses[1].is_nan() && dx[40..80].iter().all(|d| d.is_nan()), "{isa}");
        assert!(losses[2] == 0.0 && dx[80..120].iter().all(|d| *d == 0.0), "an ignored row, {isa}");
        assert!(!losses[3].is_finite(), "{isa}");
    }
}

#[test]
fn classes_out_of_bounds_and_wrong_sizes_are_refused() {
    let executor = Threads(1);
    let context = Context::new(&executor);
    let (shape, options) = (Shape { rows: 2, classes: 3 }, Options { ignore: -100, smoothing: 0.0 });
    let refused = |x: &[f32], target: &[i64]| {
        let mut losses = [0.0; 2];
        let buffers = Forward { x, target, losses: &mut losses, log_sums: None };
        forward(&context, &shape, options, buffers).err().map(|error| error.to_string())
    };
    assert_eq!(refused(&[0.0; 6], &[2, -100]), None);
    assert_eq!(refused(&[0.0; 6], &[2, 3]).unwrap(), "cross_entropy: target 3 is out of bounds for 3 classes");
    assert!(refused(&[0.0; 6], &[-1, 0]).is_some());
    assert!(refused(&[0.0; 5], &[0, 0]).is_some());
    assert!(refused(&[0.0; 6], &[0]).is_some());
}
