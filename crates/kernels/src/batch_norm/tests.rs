//! The laws of batch normalisation with addition and ReLU.

use super::reference::{self, Inputs};
use super::{Backward, Forward, Norm, Shape, backward, forward};
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
}

struct Found {
    y: Vec<f32>,
    statistics: Vec<f32>,
    dx: Vec<f32>,
    dresidual: Vec<f32>,
    dweight: Vec<f32>,
    dbias: Vec<f32>,
}

impl Case {
    fn new(random: &mut Random, rows: usize, channels: usize) -> Case {
        let len = rows * channels;
        let maybe = |random: &mut Random, len: usize| random.flip().then(|| random.numbers(len, 1.0));
        Case {
            shape: Shape { rows, channels },
            norm: Norm { relu: random.flip(), eps: 1e-5 },
            x: random.numbers(len, 2.0).into_iter().map(|x| x + 0.5).collect(),
            residual: maybe(random, len),
            weight: maybe(random, channels),
            bias: maybe(random, channels),
            dy: random.numbers(len, 1.0),
        }
    }

    /// `all`: whether the gradient of the residual is wanted.
    fn run(&self, isa: Isa, threads: usize, all: bool) -> Found {
        let threads = Threads(threads);
        let context = Context::new(&threads).with_isa(isa).unwrap();
        let nan = |len: usize| vec![f32::NAN; len];
        let (len, channels) = (self.x.len(), self.shape.channels);
        let mut found = Found {
            y: nan(len),
            statistics: nan(2 * channels),
            dx: nan(len),
            dresidual: nan(len),
            dweight: nan(channels),
            dbias: nan(channels),
        };
        let (residual, weight, bias) = (self.residual.as_deref(), self.weight.as_deref(), self.bias.as_deref());
        let buffers = Forward { x: &self.x, residual, weight, bias, y: &mut found.y, statistics: &mut found.statistics };
        forward(&context, &self.shape, self.norm, buffers).unwrap();
        let buffers = Backward {
            x: &self.x,
            weight,
            bias,
            y: residual.map(|_| &*found.y),
            statistics: &found.statistics,
            dy: &self.dy,
            dx: &mut found.dx,
            dresidual: all.then_some(&mut found.dresidual),
            dweight: Some(&mut found.dweight),
            dbias: Some(&mut found.dbias),
        };
        backward(&context, &self.shape, self.norm, buffers).unwrap();
        found
    }

    fn check(&self, isa: Isa, threads: usize) {
        let what = (isa, threads, self.shape, self.norm, self.residual.is_some());
        let wide = |values: &Option<Vec<f32>>| values.as_deref().map(to_f64);
        let (x, residual, weight, bias) = (to_f64(&self.x), wide(&self.residual), wide(&self.weight), wide(&self.bias));
        let inputs = Inputs { x: &x, residual: residual.as_deref(), weight: weight.as_deref(), bias: bias.as_deref() };
        let want = reference::forward(&self.shape, self.norm, &inputs).unwrap();
        let d = reference::backward(&self.shape, self.norm, &inputs, &to_f64(&self.dy)).unwrap();
        // A result within rounding of 0 may be on either side of the ReLU.
        let near = |at: usize| self.norm.relu && want.y.as_slice().unwrap()[at] < 1e-5;
        let (all, alone) = (self.run(isa, threads, true), self.run(isa, threads, false));
        assert_close(&all.y, want.y.as_slice().unwrap(), FORWARD, &("y", what));
        assert_close(&all.statistics[..self.shape.channels], want.mean.as_slice().unwrap(), FORWARD, &("mean", what));
        assert_close(&all.statistics[self.shape.channels..], want.variance.as_slice().unwrap(), FORWARD, &("variance", what));
        if (0..self.x.len()).any(|at| near(at) && all.y[at] != 0.0) {
            return;
        }
        assert_close(&all.dx, d.x.as_slice().unwrap(), GRADIENT, &("dx", what));
        assert_close(&all.dresidual, d.residual.as_slice().unwrap(), GRADIENT, &("dresidual", what));
        assert_close(&all.dweight, d.weight.as_slice().unwrap(), GRADIENT, &("dweight", what));
        assert_close(&all.dbias, d.bias.as_slice().unwrap(), GRADIENT, &("dbias", what));
        assert_same_bits(&alone.dx, &all.dx, &("dx where the residual's gradient is not wanted", what));
        assert!(alone.dresidual.iter().all(|value| value.is_nan()));
    }
}

#[test]
fn fused_batch_norm_is_the_reference() {
    let mut random = Random::new(41);
    for _ in 0..200 {
        let (rows, channels) = (2 + random.below(80), 1 + random.below(70));
        let case = Case::new(&mut random, rows, channels);
        Isa::supported().for_each(|isa| case.check(isa, 1 + rows % 4));
    }
    for (rows, channels) in [(4000, 16), (1030, 3), (33, 300), (9, 1100), (1, 5), (0, 4), (3, 0), (0, 0)] {
        for _ in 0..4 {
            let case = Case::new(&mut random, rows, channels);
            Isa::supported().for_each(|isa| case.check(isa, 3));
        }
    }
}

#[test]
fn the_reference_has_the_gradients_of_its_own_forward_pass() {
    let mut random = Random::new(5);
    for relu in [false, true] {
        let (shape, norm) = (Shape { rows: 6, channels: 3 }, Norm { relu, eps: 1e-5 });
        let x = to_f64(&random.numbers(18, 1.0));
        let (residual, weight) = (to_f64(&random.numbers(18, 1.0)), to_f64(&random.numbers(3, 1.0)));
        let (bias, dy) = (to_f64(&random.numbers(3, 1.0)), to_f64(&random.numbers(18, 1.0)));
        let inputs = Inputs { x: &x, residual: Some(&residual), weight: Some(&weight), bias: Some(&bias) };
        let d = reference::backward(&shape, norm, &inputs, &dy).unwrap();
        let loss = |inputs: &Inputs| {
            let y = reference::forward(&shape, norm, inputs).unwrap().y;
            y.iter().zip(&dy).map(|(y, dy)| y * dy).sum::<f64>()
        };
        assert_gradient(&mut random, &x, d.x.as_slice().unwrap(), |x| loss(&Inputs { x, ..inputs }), &"x");
        assert_gradient(
            &mut random,
            &residual,
            d.residual.as_slice().unwrap(),
            |r| loss(&Inputs { residual: Some(r), ..inputs }),
            &"residual",
        );
        assert_gradient(&mut random, &weight, d.weight.as_slice().unwrap(), |w| loss(&Inputs { weight: Some(w), ..inputs }), &"weight");
        assert_gradient(&mut random, &bias, d.bias.as_slice().unwrap(), |b| loss(&Inputs { bias: Some(b), ..inputs }), &"bias");
    }
}

#[test]
fn a_large_mean_costs_no_digits() {
    let mut random = Random::new(8);
    let mut case = Case::new(&mut random, 4096, 8);
    case.x = random.numbers(case.x.len(), 1.0).into_iter().map(|x| x + 1000.0).collect();
    let found = case.run(Isa::supported().next().unwrap(), 1, true);
    let x = to_f64(&case.x);
    let want = reference::forward(&case.shape, case.norm, &Inputs { x: &x, ..Inputs::default() }).unwrap();
    for (channel, variance) in want.variance.iter().enumerate() {
        let relative = (f64::from(found.statistics[8 + channel]) / variance - 1.0).abs();
        assert!(relative < 1e-4, "{relative}");
    }
}

#[test]
fn wrong_sizes_are_refused() {
    let context = Context::new(&Serial);
    let (shape, norm) = (Shape { rows: 2, channels: 3 }, Norm { relu: true, eps: 1e-5 });
    let buffers = Forward { x: &[0.0; 5], y: &mut [0.0; 6], statistics: &mut [0.0; 6], ..Forward::default() };
    assert!(forward(&context, &shape, norm, buffers).unwrap_err().to_string().contains("x must hold R*C = 6"));
}

#[test]
fn nan_comes_out_again() {
    let context = Context::new(&Serial);
    let (shape, norm) = (Shape { rows: 4, channels: 2 }, Norm { relu: true, eps: 1e-5 });
    let x = [1.0, f32::NAN, 2.0, 0.5, 3.0, 0.1, -1.0, 0.7];
    let (mut y, mut statistics) = ([0.0; 8], [0.0; 4]);
    forward(&context, &shape, norm, Forward { x: &x, y: &mut y, statistics: &mut statistics, ..Forward::default() }).unwrap();
    assert!([1, 3, 5, 7].iter().all(|&at| y[at].is_nan()) && [0, 2, 4, 6].iter().all(|&at| y[at].is_finite()));
}
