//! The laws of residual addition and norm.

use super::reference::{self, Inputs};
use super::{Backward, Forward, Kind, Norm, Shape, backward, forward};
use crate::testing::{FORWARD, GRADIENT, Random, Threads, assert_close, assert_gradient, assert_same_bits, to_f64};
use crate::{Context, Isa, Serial};

struct Case {
    shape: Shape,
    norm: Norm,
    x: Vec<f32>,
    residual: Option<Vec<f32>>,
    weight: Option<Vec<f32>>,
    bias: Option<Vec<f32>>,
    dy: Vec<f32>,
    dsum: Option<Vec<f32>>,
}

impl Case {
    fn new(random: &mut Random, rows: usize, width: usize) -> Case {
        let len = rows * width;
        let maybe = |random: &mut Random, len: usize| random.flip().then(|| random.numbers(len, 1.0));
        Case {
            shape: Shape { rows, width },
            norm: Norm { kind: random.pick(&[Kind::Layer, Kind::Rms]), eps: 1e-5 },
            x: random.numbers(len, 2.0).into_iter().map(|x| x + 0.5).collect(),
            residual: maybe(random, len),
            weight: maybe(random, width),
            bias: maybe(random, width),
            dy: random.numbers(len, 1.0),
            dsum: maybe(random, len),
        }
    }

    fn check(&self, isa: Isa, threads: usize) {
        let what = (isa, threads, self.shape, self.norm);
        let wide = |values: &Option<Vec<f32>>| values.as_deref().map(to_f64);
        let (x, residual, weight, bias) = (to_f64(&self.x), wide(&self.residual), wide(&self.weight), wide(&self.bias));
        let inputs = Inputs { x: &x, residual: residual.as_deref(), weight: weight.as_deref(), bias: bias.as_deref() };
        let want = reference::forward(&self.shape, self.norm, &inputs).unwrap();
        let d = reference::backward(&self.shape, self.norm, &inputs, &to_f64(&self.dy), wide(&self.dsum).as_deref()).unwrap();

        let threads = Threads(threads);
        let context = Context::new(&threads).with_isa(isa).unwrap();
        let nan = |len: usize| vec![f32::NAN; len];
        let (len, width) = (self.x.len(), self.shape.width);
        let (mut sum, mut y, mut alone, mut statistics) = (nan(len), nan(len), nan(len), nan(2 * self.shape.rows));
        let read = || Forward {
            x: &self.x,
            residual: self.residual.as_deref(),
            weight: self.weight.as_deref(),
            bias: self.bias.as_deref(),
            ..Forward::default()
        };
        let buffers = Forward { sum: Some(&mut sum), y: &mut y, statistics: Some(&mut statistics), ..read() };
        forward(&context, &self.shape, self.norm, buffers).unwrap();
        forward(&context, &self.shape, self.norm, Forward { y: &mut alone, ..read() }).unwrap();
        assert_same_bits(&alone, &y, &what);
        let (mut dx, mut dweight, mut dbias) = (nan(len), nan(width), nan(width));
        let buffers = Backward {
            sum: &sum,
            weight: self.weight.as_deref(),
            statistics: &statistics,
            dy: &self.dy,
            dsum: self.dsum.as_deref(),
            dx: &mut dx,
            dweight: Some(&mut dweight),
            dbias: Some(&mut dbias),
        };
        backward(&context, &self.shape, self.norm, buffers).unwrap();
        assert_close(&sum, want.sum.as_slice().unwrap(), FORWARD, &("sum", what));
        assert_close(&y, want.y.as_slice().unwrap(), FORWARD, &("y", what));
        assert_close(&dx, d.x.as_slice().unwrap(), GRADIENT, &("dx", what));
        assert_close(&dweight, d.weight.as_slice().unwrap(), GRADIENT, &("dweight", what));
        assert_close(&dbias, d.bias.as_slice().unwrap(), GRADIENT, &("dbias", what));
    }
}

#[test]
fn fused_norm_is_the_reference() {
    let mut random = Random::new(1);
    for _ in 0..200 {
        let (rows, width) = (random.below(40), 1 + random.below(300));
        let case = Case::new(&mut random, rows, width);
        Isa::supported().for_each(|isa| case.check(isa, 1 + rows % 4));
    }
    let case = Case::new(&mut random, 600, 65);
    Isa::supported().for_each(|isa| case.check(isa, 3));
    for (rows, width) in [(0, 4), (3, 0), (0, 0)] {
        let case = Case::new(&mut random, rows, width);
        Isa::supported().for_each(|isa| case.check(isa, 2));
    }
}

#[test]
fn reference_gradients_of_the_norm_are_slopes() {
    let mut random = Random::new(2);
    for kind in [Kind::Layer, Kind::Rms] {
        let (shape, norm) = (Shape { rows: 3, width: 5 }, Norm { kind, eps: 1e-3 });
        let wide = |random: &mut Random, len: usize| to_f64(&random.numbers(len, 1.0));
        let (x, residual) = (wide(&mut random, 15), wide(&mut random, 15));
        let (weight, bias, dy, dsum) = (wide(&mut random, 5), wide(&mut random, 5), wide(&mut random, 15), wide(&mut random, 15));
        let value = |x: &[f64], weight: &[f64], bias: &[f64]| {
            let inputs = Inputs { x, residual: Some(&residual), weight: Some(weight), bias: Some(bias) };
            let outputs = reference::forward(&shape, norm, &inputs).unwrap();
            outputs.y.iter().zip(&dy).chain(outputs.sum.iter().zip(&dsum)).map(|(value, d)| value * d).sum()
        };
        let inputs = Inputs { x: &x, residual: Some(&residual), weight: Some(&weight), bias: Some(&bias) };
        let d = reference::backward(&shape, norm, &inputs, &dy, Some(&dsum)).unwrap();
        assert_gradient(&mut random, &x, d.x.as_slice().unwrap(), |x| value(x, &weight, &bias), &"x");
        assert_gradient(&mut random, &weight, d.weight.as_slice().unwrap(), |weight| value(&x, weight, &bias), &"weight");
        assert_gradient(&mut random, &bias, d.bias.as_slice().unwrap(), |bias| value(&x, &weight, bias), &"bias");
    }
}

#[test]
fn nan_and_infinity_stay_in_their_row() {
    let mut random = Random::new(3);
    for bad in [f32::NAN, f32::INFINITY] {
        for kind in [Kind::Layer, Kind::Rms] {
            let mut case = Case::new(&mut random, 5, 37);
            case.norm.kind = kind;
            case.x[2 * 37 + 20] = bad;
            Isa::supported().for_each(|isa| case.check(isa, 1));
        }
    }
}

#[test]
fn a_wrong_size_is_refused() {
    let mut y = [0.0; 6];
    let buffers = Forward { x: &[0.0; 6], weight: Some(&[1.0; 2]), y: &mut y, ..Forward::default() };
    let error = forward(&Context::new(&Serial), &Shape { rows: 2, width: 3 }, Norm { kind: Kind::Layer, eps: 1e-5 }, buffers).unwrap_err();
    assert_eq!(error.to_string(), "residual_norm: weight must hold D = 3 numbers, got 2");
}
