//! The laws of the highway stack, in the emulation, against the float64 reference.

// The whole file is tests, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{DTYPES, Random, SMALL, SMALL_OLD, Tensor, assert_close, forward_tolerance, gradient_tolerance, in_all_orders, view, view_of};
use ndarray::{Array2, Array3, ArrayView2, Axis};
use quarterturn_cuda::emulation::Emulation;
use quarterturn_cuda::highway::{Backward, Forward, Pass, Plan, Shape};
use quarterturn_cuda::{Card, Dtype, Error, View};
use quarterturn_kernels::highway::{self, Nonlinearity, Stack, reference};

#[derive(Clone)]
struct Case {
    dtype: Dtype,
    shape: Shape,
    relu: bool,
    weight: Tensor,
    bias: Option<Tensor>,
    x: Tensor,
    dy: Tensor,
}

impl Case {
    fn new(random: &mut Random, dtype: Dtype, rows: usize, width: usize, layers: usize) -> Case {
        Case {
            dtype,
            shape: Shape { rows, width, layers },
            // In bfloat16 what goes into the second layer is rounded, and max(0, ·) of what is nearly 0 has another slope than in the reference.
            relu: random.flip() && (dtype == Dtype::Float32 || layers == 1),
            weight: random.tensor(dtype, layers * 2 * width * width, 1.5 / (width.max(1) as f32).sqrt()),
            bias: random.flip().then(|| random.tensor(dtype, layers * 2 * width, 1.0)),
            x: random.tensor(dtype, rows * width, 1.0),
            dy: random.tensor(dtype, rows * width, 1.0),
        }
    }

    fn plan(&self, launcher: &Emulation, pass: Pass) -> Plan {
        Plan::new(launcher, pass, self.dtype, self.shape, self.relu).unwrap().expect("a plan")
    }

    /// y of inference and of training, dx, da [K, N, 2·D], and what lies between the layers.
    fn run(&self, launcher: &Emulation) -> Result<Vec<Tensor>, Error> {
        let Shape { rows, width, layers } = self.shape;
        let (mut case, len) = (self.clone(), rows * width);
        let nan = |len: usize| Tensor::nan(self.dtype, len);
        let (ahead, back) = (self.plan(launcher, Pass::Forward), self.plan(launcher, Pass::Backward));
        let zeros = |plan: &Plan| vec![0u32; plan.workspace_len()];
        let (mut y, mut trained, mut dx, mut gates) = (nan(len), nan(len), nan(len), nan(layers * 2 * len));
        let (mut scratch, mut between) = (nan(ahead.between_len(false)), nan(ahead.between_len(true)));
        let weight = Array3::from_shape_vec((layers, 2 * width, width), self.weight.values()).unwrap();
        let mut weight_t = Tensor::new(self.dtype, &weight.permuted_axes([0, 2, 1]).iter().copied().collect::<Vec<_>>());
        let (mut first, mut second, mut third) = (zeros(&ahead), zeros(&ahead), zeros(&back));
        let inference = Forward {
            x: case.x.view(),
            weight: case.weight.view(),
            bias: view(&mut case.bias),
            y: y.view(),
            gates: View::default(),
            between: scratch.view(),
            workspace: view_of(&mut first),
        };
        let training =
            Forward { y: trained.view(), gates: gates.view(), between: between.view(), workspace: view_of(&mut second), ..inference };
        let backward = Backward {
            x: inference.x,
            weight_t: weight_t.view(),
            gates: gates.view(),
            between: between.view(),
            dy: case.dy.view(),
            dx: dx.view(),
            workspace: view_of(&mut third),
        };
        // A stack of no layers has no gates, and so no training: it is left as inference.
        let training = if layers == 0 { Forward { between: scratch.view(), ..training } } else { training };
        // SAFETY: the views are alive.
        unsafe {
            ahead.forward(launcher, &inference)?;
            ahead.forward(launcher, &training)?;
            back.backward(launcher, &backward)?;
        }
        Ok(vec![y, trained, dx, gates, between])
    }

    #[track_caller]
    fn check(&self, card: Card) {
        let Shape { rows, width, layers } = self.shape;
        let what = (self.dtype, self.shape, self.relu, card);
        let (weight, bias, x) = (self.weight.values_f64(), self.bias.as_ref().map(Tensor::values_f64), self.x.values_f64());
        let stack = Stack {
            shape: highway::Shape { rows, width, layers },
            nonlinearity: if self.relu { Nonlinearity::Relu } else { Nonlinearity::Tanh },
            weight: &weight,
            bias: bias.as_deref(),
        };
        let want = reference::forward(&stack, &x).unwrap();
        let d = reference::backward(&stack, &x, &self.dy.values_f64()).unwrap();
        let got = in_all_orders(card, &what, |launcher| self.run(launcher));
        let [y, trained, dx, da, between] = &got[..] else { panic!("five results") };
        let (ahead, back) = (forward_tolerance(self.dtype), gradient_tolerance(self.dtype));
        let flat = |values: &mut dyn Iterator<Item = &f64>| values.copied().collect::<Vec<_>>();
        assert_close(&y.values(), &flat(&mut want.iter()), ahead, &("y", what));
        let bits = |tensor: &Tensor| tensor.values().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(y), bits(trained), "{what:?}: training is inference");
        assert_close(&dx.values(), &flat(&mut d.x.iter()), back, &("dx", what));
        // The gradients of the weights as the caller makes them.
        let xs = [self.x.values(), between.values()].concat();
        let xs = Array3::from_shape_vec((layers.max(1), rows, width), xs).unwrap();
        let da = Array3::from_shape_vec((layers, rows, 2 * width), da.values()).unwrap();
        for layer in 0..layers {
            let (da, x): (ArrayView2<f32>, ArrayView2<f32>) = (da.index_axis(Axis(0), layer), xs.index_axis(Axis(0), layer));
            let (dweight, dbias): (Array2<f32>, _) = (da.t().dot(&x), da.sum_axis(Axis(0)));
            let got = dweight.iter().copied().collect::<Vec<_>>();
            assert_close(&got, &flat(&mut d.weight.index_axis(Axis(0), layer).iter()), back, &("dweight", layer, what));
            assert_close(&dbias.to_vec(), &flat(&mut d.bias.row(layer).iter()), back, &("dbias", layer, what));
        }
    }
}

#[test]
fn kernels_are_the_reference() {
    let mut random = Random(1);
    let shapes = [(5, 8, 3), (16, 40, 2), (19, 72, 3), (100, 24, 2), (20, 136, 1), (1, 48, 4)];
    for (i, (rows, width, layers)) in shapes.into_iter().enumerate() {
        for (j, dtype) in DTYPES.into_iter().enumerate() {
            // In clusters, and over a cooperative launch.
            let card = if (i + j) % 2 == 0 { SMALL } else { SMALL_OLD };
            Case::new(&mut random, dtype, rows, width, layers).check(card);
        }
    }
}

#[test]
fn groups_take_rows_in_turn() {
    let mut random = Random(2);
    let card = Card { multiprocessors: 1, ..SMALL };
    for dtype in DTYPES {
        Case::new(&mut random, dtype, 100, 16, 2).check(card);
    }
}

#[test]
fn few_rows_are_shared_by_units() {
    let random = &mut Random(3);
    let case = Case::new(random, Dtype::BFloat16, 16, 256, 1);
    let launch = |card| case.plan(&Emulation::new(card), Pass::Forward).launch();
    assert!(launch(Card::H200).cluster > 1, "{:?}", launch(Card::H200));
    assert!(launch(Card::A100).cooperative, "{:?}", launch(Card::A100));
    let many = Case { shape: Shape { rows: 16_384, width: 64, layers: 4 }, ..case };
    let launch = many.plan(&Emulation::new(Card::H200), Pass::Forward).launch();
    assert!(launch.cluster == 1 && launch.grid == 132, "{launch:?}");
}

#[test]
fn empty_sizes_give_empty_results() {
    let mut random = Random(4);
    for (rows, width, layers) in [(0, 8, 2), (3, 0, 2), (3, 8, 0)] {
        Case::new(&mut random, Dtype::Float32, rows, width, layers).check(SMALL);
    }
}

#[test]
fn nan_and_infinity_stay_in_their_row() {
    let mut random = Random(5);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut case = Case::new(&mut random, Dtype::Float32, 7, 20, 1);
        let mut values = case.x.values();
        values[3 * 20 + 5] = bad;
        case.x = Tensor::new(Dtype::Float32, &values);
        let other = case.run(&Emulation::new(SMALL)).unwrap()[0].values();
        for (i, y) in other.iter().enumerate() {
            assert_eq!(y.is_finite(), i / 20 != 3, "element {i} is {y}");
        }
    }
}

#[test]
fn what_does_not_fit_has_no_plan() {
    let plan =
        |dtype, width| Plan::new(&Emulation::new(Card::H200), Pass::Backward, dtype, Shape { rows: 64, width, layers: 2 }, false).unwrap();
    assert!(plan(Dtype::BFloat16, 20).is_none() && plan(Dtype::BFloat16, 24).is_some());
    assert!(plan(Dtype::Float32, 22).is_none() && plan(Dtype::Float32, 20).is_some());
    assert!(plan(Dtype::BFloat16, 3200).is_some() && plan(Dtype::BFloat16, 4096).is_none());
    assert!(plan(Dtype::Float32, 1536).is_some() && plan(Dtype::Float32, 2048).is_none());
}

#[test]
fn a_wrong_size_is_refused() {
    let mut case = Case::new(&mut Random(6), Dtype::Float32, 2, 4, 1);
    let mut y = Tensor::nan(Dtype::Float32, 8);
    case.weight = Tensor::nan(Dtype::Float32, 31);
    let launcher = Emulation::new(SMALL);
    let plan = case.plan(&launcher, Pass::Forward);
    let mut between = Tensor::nan(Dtype::Float32, plan.between_len(false));
    let buffers = Forward { x: case.x.view(), weight: case.weight.view(), y: y.view(), between: between.view(), ..Forward::default() };
    // SAFETY: the views are alive.
    let error = unsafe { plan.forward(&launcher, &buffers).unwrap_err() };
    assert_eq!(error.to_string(), "highway: weight must hold K*2*D*D = 32 numbers, got 31");
}
