//! The laws of the residual block.

use super::{Backward, Block, Forward, Packed, Shape, Weights, backward, forward, reference, reserve_len};
use crate::testing::{FORWARD, GRADIENT, Random, Threads, assert_close, assert_gradient, assert_same_bits, to_f64};
use crate::{Context, Isa, Serial};

/// A block's parameters; those of the norm and the biases may be absent.
#[derive(Clone, Debug)]
struct Parameters<F> {
    norm_weight: Option<Vec<F>>,
    norm_bias: Option<Vec<F>>,
    weight_1: Vec<F>,
    bias_1: Option<Vec<F>>,
    weight_2: Vec<F>,
    bias_2: Option<Vec<F>>,
}

impl Parameters<f32> {
    fn new(random: &mut Random, shape: &Shape, all: bool) -> Self {
        let maybe = |random: &mut Random, len: usize| (all || random.flip()).then(|| random.numbers(len, 1.0));
        let len = shape.width * shape.hidden;
        Parameters {
            norm_weight: maybe(random, shape.width),
            norm_bias: maybe(random, shape.width),
            weight_1: random.numbers(len, 1.5 / (shape.width.max(1) as f32).sqrt()),
            bias_1: maybe(random, shape.hidden),
            weight_2: random.numbers(len, 1.5 / (shape.hidden.max(1) as f32).sqrt()),
            bias_2: maybe(random, shape.width),
        }
    }

    fn wide(&self) -> Parameters<f64> {
        let maybe = |values: &Option<Vec<f32>>| values.as_deref().map(to_f64);
        Parameters {
            norm_weight: maybe(&self.norm_weight),
            norm_bias: maybe(&self.norm_bias),
            weight_1: to_f64(&self.weight_1),
            bias_1: maybe(&self.bias_1),
            weight_2: to_f64(&self.weight_2),
            bias_2: maybe(&self.bias_2),
        }
    }
}

impl<F> Parameters<F> {
    fn block(&self, shape: Shape) -> Block<'_, F> {
        let weights = Weights {
            norm_weight: self.norm_weight.as_deref(),
            norm_bias: self.norm_bias.as_deref(),
            weight_1: &self.weight_1,
            bias_1: self.bias_1.as_deref(),
            weight_2: &self.weight_2,
            bias_2: self.bias_2.as_deref(),
        };
        Block { shape, weights, eps: 1e-5, version: 0 }
    }
}

fn check(shape: Shape, parameters: &Parameters<f32>, x: &[f32], dy: &[f32], isa: Isa, threads: usize) {
    let what = (isa, threads, shape);
    let wide = parameters.wide();
    let want = reference::forward(&wide.block(shape), &to_f64(x)).unwrap();
    let d = reference::backward(&wide.block(shape), &to_f64(x), &to_f64(dy)).unwrap();

    let threads = Threads(threads);
    let context = Context::new(&threads).with_isa(isa).unwrap();
    let block = parameters.block(shape);
    let mut packed = Packed::default();
    let nan = |len: usize| vec![f32::NAN; len];
    let (mut y, mut alone, mut reserve) = (nan(x.len()), nan(x.len()), nan(reserve_len(&shape)));
    forward(&context, &block, &mut packed, Forward { x, y: &mut alone, reserve: None }).unwrap();
    forward(&context, &block, &mut packed, Forward { x, y: &mut y, reserve: Some(&mut reserve) }).unwrap();
    assert_same_bits(&alone, &y, &what);
    assert_close(&y, &want.iter().copied().collect::<Vec<_>>(), FORWARD, &("y", what));
    let (width, hidden) = (shape.width, shape.hidden);
    let mut dx = nan(x.len());
    let (mut dnorm_weight, mut dnorm_bias, mut dbias_1, mut dbias_2) = (nan(width), nan(width), nan(hidden), nan(width));
    let (mut dweight_1, mut dweight_2) = (nan(width * hidden), nan(width * hidden));
    let buffers = Backward {
        x,
        reserve: &mut reserve,
        dy,
        dx: &mut dx,
        dnorm_weight: Some(&mut dnorm_weight),
        dnorm_bias: Some(&mut dnorm_bias),
        dweight_1: &mut dweight_1,
        dbias_1: Some(&mut dbias_1),
        dweight_2: &mut dweight_2,
        dbias_2: Some(&mut dbias_2),
    };
    backward(&context, &block, &mut packed, buffers).unwrap();
    assert_close(&dx, &d.x.iter().copied().collect::<Vec<_>>(), GRADIENT, &("dx", what));
    assert_close(&dnorm_weight, d.norm_weight.as_slice().unwrap(), GRADIENT, &("dnorm_weight", what));
    assert_close(&dnorm_bias, d.norm_bias.as_slice().unwrap(), GRADIENT, &("dnorm_bias", what));
    assert_close(&dweight_1, &d.weight_1.iter().copied().collect::<Vec<_>>(), GRADIENT, &("dweight_1", what));
    assert_close(&dbias_1, d.bias_1.as_slice().unwrap(), GRADIENT, &("dbias_1", what));
    assert_close(&dweight_2, &d.weight_2.iter().copied().collect::<Vec<_>>(), GRADIENT, &("dweight_2", what));
    assert_close(&dbias_2, d.bias_2.as_slice().unwrap(), GRADIENT, &("dbias_2", what));
}

#[test]
fn fused_block_is_the_reference() {
    let mut random = Random::new(1);
    for _ in 0..200 {
        let shape = Shape { rows: random.below(120), width: 1 + random.below(70), hidden: random.below(90) };
        let parameters = Parameters::new(&mut random, &shape, false);
        let (x, dy) = (random.numbers(shape.rows * shape.width, 2.0), random.numbers(shape.rows * shape.width, 1.0));
        let threads = 1 + random.below(4);
        Isa::supported().for_each(|isa| check(shape, &parameters, &x, &dy, isa, threads));
    }
    // More rows than one chunk, and empty sizes.
    for (rows, width, hidden) in [(2100, 20, 33), (0, 4, 5), (3, 0, 5), (3, 4, 0)] {
        let shape = Shape { rows, width, hidden };
        let parameters = Parameters::new(&mut random, &shape, true);
        let (x, dy) = (random.numbers(rows * width, 1.0), random.numbers(rows * width, 1.0));
        Isa::supported().for_each(|isa| check(shape, &parameters, &x, &dy, isa, 2));
    }
}

#[test]
fn reference_gradients_of_the_block_are_slopes() {
    let mut random = Random::new(2);
    let shape = Shape { rows: 3, width: 4, hidden: 5 };
    let parameters = Parameters::new(&mut random, &shape, true).wide();
    let (x, dy) = (to_f64(&random.numbers(12, 1.0)), to_f64(&random.numbers(12, 1.0)));
    let value = |parameters: &Parameters<f64>, x: &[f64]| {
        let y = reference::forward(&parameters.block(shape), x).unwrap();
        y.iter().zip(&dy).map(|(y, d)| y * d).sum::<f64>()
    };
    let d = reference::backward(&parameters.block(shape), &x, &dy).unwrap();
    assert_gradient(&mut random, &x, &d.x.iter().copied().collect::<Vec<_>>(), |x| value(&parameters, x), &"x");
    macro_rules! check {
        ($field:ident, $set:expr) => {
            let moved = |at: &[f64]| {
                let mut moved = parameters.clone();
                moved.$field = $set(at.to_vec());
                value(&moved, &x)
            };
            let at: Vec<f64> = parameters.$field.iter().flat_map(flat).collect();
            assert_gradient(&mut random, &at, &d.$field.iter().copied().collect::<Vec<_>>(), moved, &stringify!($field));
        };
    }
    check!(norm_weight, Some);
    check!(norm_bias, Some);
    check!(bias_1, Some);
    check!(bias_2, Some);
    check!(weight_1, |at| at);
    check!(weight_2, |at| at);
}

/// One number, or those of a vector.
trait Flat {
    fn numbers(&self) -> Vec<f64>;
}

impl Flat for f64 {
    fn numbers(&self) -> Vec<f64> {
        vec![*self]
    }
}

impl Flat for Vec<f64> {
    fn numbers(&self) -> Vec<f64> {
        self.clone()
    }
}

fn flat(values: &impl Flat) -> Vec<f64> {
    values.numbers()
}

#[test]
fn rows_do_not_depend_on_each_other_or_on_threads() {
    let mut random = Random::new(3);
    let shape = Shape { rows: 57, width: 21, hidden: 40 };
    let parameters = Parameters::new(&mut random, &shape, true);
    let mut x = random.numbers(57 * 21, 1.0);
    x[30 * 21] = f32::NAN;
    for isa in Isa::supported() {
        let run = |threads: usize, x: &[f32]| {
            let threads = Threads(threads);
            let context = Context::new(&threads).with_isa(isa).unwrap();
            let mut y = vec![0.0; x.len()];
            let block = parameters.block(Shape { rows: x.len() / 21, ..shape });
            forward(&context, &block, &mut Packed::default(), Forward { x, y: &mut y, reserve: None }).unwrap();
            y
        };
        let whole = run(1, &x);
        assert_same_bits(&run(3, &x), &whole, &isa);
        for row in 0..57 {
            assert_same_bits(&run(1, &x[row * 21..(row + 1) * 21]), &whole[row * 21..(row + 1) * 21], &(isa, row));
            assert_eq!(whole[row * 21].is_nan(), row == 30);
        }
    }
}

#[test]
fn a_wrong_size_is_refused() {
    let mut random = Random::new(4);
    let shape = Shape { rows: 2, width: 3, hidden: 4 };
    let mut parameters = Parameters::new(&mut random, &shape, true);
    parameters.weight_2.pop();
    let mut y = [0.0; 6];
    let error = forward(
        &Context::new(&Serial),
        &parameters.block(shape),
        &mut Packed::default(),
        Forward { x: &[0.0; 6], y: &mut y, reserve: None },
    )
    .unwrap_err();
    assert_eq!(error.to_string(), "residual_mlp: weight_2 must hold D*F = 12 numbers, got 11");
}
