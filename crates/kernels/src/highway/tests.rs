//! The laws of the highway stack.

use super::{Backward, Forward, Nonlinearity, Shape, Stack, backward, forward, reference, reserve_len};
use crate::testing::{FORWARD, GRADIENT, Random, Threads, assert_close, assert_gradient, assert_same_bits, to_f64};
use crate::{Context, Isa, Serial};

struct Case {
    shape: Shape,
    nonlinearity: Nonlinearity,
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    x: Vec<f32>,
    dy: Vec<f32>,
}

impl Case {
    fn new(random: &mut Random, rows: usize, width: usize, layers: usize) -> Case {
        Case {
            shape: Shape { rows, width, layers },
            nonlinearity: random.pick(&[Nonlinearity::Tanh, Nonlinearity::Relu]),
            weight: random.numbers(layers * 2 * width * width, 1.5 / (width.max(1) as f32).sqrt()),
            bias: random.flip().then(|| random.numbers(layers * 2 * width, 1.0)),
            x: random.numbers(rows * width, 1.0),
            dy: random.numbers(rows * width, 1.0),
        }
    }

    fn stack(&self) -> Stack<'_> {
        Stack { shape: self.shape, nonlinearity: self.nonlinearity, weight: &self.weight, bias: self.bias.as_deref() }
    }

    fn infer(&self, isa: Isa, threads: usize) -> Vec<f32> {
        let threads = Threads(threads);
        let context = Context::new(&threads).with_isa(isa).unwrap();
        let mut y = vec![f32::NAN; self.x.len()];
        forward(&context, &self.stack(), Forward { x: &self.x, y: &mut y, reserve: None }).unwrap();
        y
    }

    fn check(&self, isa: Isa, threads: usize) {
        let what = (isa, threads, self.shape, self.nonlinearity);
        let (weight, bias, x) = (to_f64(&self.weight), self.bias.as_deref().map(to_f64), to_f64(&self.x));
        let stack = Stack { shape: self.shape, nonlinearity: self.nonlinearity, weight: &weight, bias: bias.as_deref() };
        let want = reference::forward(&stack, &x).unwrap();
        let d = reference::backward(&stack, &x, &to_f64(&self.dy)).unwrap();

        let executor = Threads(threads);
        let context = Context::new(&executor).with_isa(isa).unwrap();
        let nan = |len: usize| vec![f32::NAN; len];
        let (mut y, mut reserve) = (nan(x.len()), nan(reserve_len(&self.shape)));
        forward(&context, &self.stack(), Forward { x: &self.x, y: &mut y, reserve: Some(&mut reserve) }).unwrap();
        assert_same_bits(&self.infer(isa, threads), &y, &what);
        assert_close(&y, &want.iter().copied().collect::<Vec<_>>(), FORWARD, &("y", what));
        let (mut dx, mut dweight, mut dbias) = (nan(x.len()), nan(weight.len()), nan(self.shape.layers * 2 * self.shape.width));
        let buffers =
            Backward { x: &self.x, reserve: &mut reserve, dy: &self.dy, dx: &mut dx, dweight: &mut dweight, dbias: Some(&mut dbias) };
        backward(&context, &self.stack(), buffers).unwrap();
        assert_close(&dx, &d.x.iter().copied().collect::<Vec<_>>(), GRADIENT, &("dx", what));
        assert_close(&dweight, &d.weight.iter().copied().collect::<Vec<_>>(), GRADIENT, &("dweight", what));
        assert_close(&dbias, &d.bias.iter().copied().collect::<Vec<_>>(), GRADIENT, &("dbias", what));
    }
}

#[test]
fn fused_stack_is_the_reference() {
    let mut random = Random::new(1);
    for _ in 0..200 {
        let (rows, width, layers) = (random.below(120), random.below(50), random.below(6));
        let case = Case::new(&mut random, rows, width, layers);
        let threads = 1 + random.below(5);
        Isa::supported().for_each(|isa| case.check(isa, threads));
    }
    let case = Case::new(&mut random, 1500, 18, 2);
    Isa::supported().for_each(|isa| case.check(isa, 2));
}

#[test]
fn reference_gradients_of_the_stack_are_slopes() {
    let mut random = Random::new(2);
    for nonlinearity in [Nonlinearity::Tanh, Nonlinearity::Relu] {
        let mut case = Case::new(&mut random, 3, 4, 3);
        case.nonlinearity = nonlinearity;
        let (weight, bias, x, dy) = (to_f64(&case.weight), to_f64(&random.numbers(24, 1.0)), to_f64(&case.x), to_f64(&case.dy));
        let value = |weight: &[f64], bias: &[f64], x: &[f64]| {
            let stack = Stack { shape: case.shape, nonlinearity, weight, bias: Some(bias) };
            reference::forward(&stack, x).unwrap().iter().zip(&dy).map(|(y, d)| y * d).sum::<f64>()
        };
        let stack = Stack { shape: case.shape, nonlinearity, weight: &weight, bias: Some(&bias) };
        let d = reference::backward(&stack, &x, &dy).unwrap();
        let flat = |values: &mut dyn Iterator<Item = &f64>| values.copied().collect::<Vec<_>>();
        assert_gradient(&mut random, &x, &flat(&mut d.x.iter()), |x| value(&weight, &bias, x), &"x");
        assert_gradient(&mut random, &weight, &flat(&mut d.weight.iter()), |weight| value(weight, &bias, &x), &"weight");
        assert_gradient(&mut random, &bias, &flat(&mut d.bias.iter()), |bias| value(&weight, bias, &x), &"bias");
    }
}

#[test]
fn a_stack_is_its_layers_one_by_one_and_threads_change_nothing() {
    let mut random = Random::new(3);
    let case = Case::new(&mut random, 100, 21, 3);
    for isa in Isa::supported() {
        let whole = case.infer(isa, 1);
        assert_same_bits(&case.infer(isa, 3), &whole, &isa);
        let mut x = case.x.clone();
        for layer in 0..3 {
            let (of_weight, of_bias) = (2 * 21 * 21, 2 * 21);
            let one = Case {
                shape: Shape { layers: 1, ..case.shape },
                nonlinearity: case.nonlinearity,
                weight: case.weight[layer * of_weight..][..of_weight].to_vec(),
                bias: case.bias.as_ref().map(|bias| bias[layer * of_bias..][..of_bias].to_vec()),
                x,
                dy: case.dy.clone(),
            };
            x = one.infer(isa, 1);
        }
        assert_same_bits(&x, &whole, &isa);
    }
}

#[test]
fn nan_and_infinity_spread_as_in_the_reference() {
    let mut random = Random::new(4);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut case = Case::new(&mut random, 7, 19, 2);
        case.x[3 * 19 + 5] = bad;
        Isa::supported().for_each(|isa| case.check(isa, 1));
    }
}

#[test]
fn a_wrong_size_is_refused() {
    let mut case = Case::new(&mut Random::new(5), 2, 3, 1);
    case.weight.pop();
    let mut y = [0.0; 6];
    let error = forward(&Context::new(&Serial), &case.stack(), Forward { x: &case.x, y: &mut y, reserve: None }).unwrap_err();
    assert_eq!(error.to_string(), "highway: weight must hold K*2*D*D = 18 numbers, got 17");
}
