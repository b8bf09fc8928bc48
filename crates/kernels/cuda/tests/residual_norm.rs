//! The laws of residual addition and norm, in the emulation, against the float64 reference.

// The whole file is tests, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{DTYPES, Random, Tensor, assert_close, forward_tolerance, gradient_tolerance, in_all_orders, view, view_of};
use quarterturn_cuda::emulation::Emulation;
use quarterturn_cuda::residual_norm::{Backward, Call, Forward, backward, forward, supports, workspace_len};
use quarterturn_cuda::{Card, Dtype, Error, View};
use quarterturn_kernels::residual_norm::reference::{self, Inputs};
use quarterturn_kernels::residual_norm::{Kind, Norm, Shape};

#[derive(Clone)]
struct Case {
    call: Call,
    x: Tensor,
    residual: Option<Tensor>,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
    dy: Option<Tensor>,
    dsum: Option<Tensor>,
}

/// So small that a block has several rows.
const SMALL: Card = Card { multiprocessors: 2, ..Card::H200 };

impl Case {
    fn new(random: &mut Random, dtype: Dtype, rows: usize, width: usize) -> Case {
        let len = rows * width;
        let maybe = |random: &mut Random, len: usize| random.flip().then(|| random.tensor(dtype, len, 1.0));
        let x: Vec<f32> = random.numbers(len, 2.0).into_iter().map(|x| x + 0.5).collect();
        Case {
            call: Call { dtype, rows, width, rms: random.flip(), eps: 1e-5 },
            x: Tensor::new(dtype, &x),
            residual: maybe(random, len),
            weight: maybe(random, width),
            bias: maybe(random, width),
            dy: maybe(random, len),
            dsum: maybe(random, len),
        }
    }

    /// s, y, dx, dweight and dbias; then y and dx when nothing else is wanted.
    fn run(&self, launcher: &Emulation) -> Result<Vec<Tensor>, Error> {
        let mut case = self.clone();
        let Call { dtype, rows, width, .. } = self.call;
        let (mut rows_of, mut columns) = (vec![Tensor::nan(dtype, rows * width); 5], vec![Tensor::nan(dtype, width); 2]);
        let ([sum, y, dx, y_alone, dx_alone], [dweight, dbias]) = (&mut rows_of[..], &mut columns[..]) else { panic!("five and two") };
        let mut statistics = vec![f32::NAN; 2 * rows];
        let mut workspace = vec![f32::NAN; workspace_len(&launcher.card, &self.call)];
        let buffers = Forward {
            x: case.x.view(),
            residual: view(&mut case.residual),
            weight: view(&mut case.weight),
            bias: view(&mut case.bias),
            sum: sum.view(),
            y: y.view(),
            statistics: view_of(&mut statistics),
        };
        let inference = Forward { sum: View::default(), y: y_alone.view(), statistics: View::default(), ..buffers };
        let back = Backward {
            sum: sum.view(),
            weight: buffers.weight,
            statistics: buffers.statistics,
            dy: view(&mut case.dy),
            dsum: view(&mut case.dsum),
            dx: dx.view(),
            dweight: dweight.view(),
            dbias: dbias.view(),
            workspace: view_of(&mut workspace),
        };
        let only = Backward { dx: dx_alone.view(), dweight: View::default(), dbias: View::default(), workspace: View::default(), ..back };
        // SAFETY: the views are alive.
        unsafe {
            forward(launcher, &self.call, &buffers)?;
            forward(launcher, &self.call, &inference)?;
            backward(launcher, &self.call, &back)?;
            backward(launcher, &self.call, &only)?;
        }
        let [.., y_alone, dx_alone] = [0, 1, 2, 3, 4].map(|i| rows_of[i].clone());
        Ok([&rows_of[..3], &columns[..], &[y_alone, dx_alone]].concat())
    }

    #[track_caller]
    fn check(&self, card: Card) {
        let Call { dtype, rows, width, rms, eps } = self.call;
        let (shape, norm) = (Shape { rows, width }, Norm { kind: if rms { Kind::Rms } else { Kind::Layer }, eps: f64::from(eps) });
        let wide = |tensor: &Option<Tensor>| tensor.as_ref().map(Tensor::values_f64);
        let (x, residual, weight, bias) = (self.x.values_f64(), wide(&self.residual), wide(&self.weight), wide(&self.bias));
        let inputs = Inputs { x: &x, residual: residual.as_deref(), weight: weight.as_deref(), bias: bias.as_deref() };
        let dy = wide(&self.dy).unwrap_or_else(|| vec![0.0; rows * width]);
        let want = reference::forward(&shape, norm, &inputs).unwrap();
        let d = reference::backward(&shape, norm, &inputs, &dy, wide(&self.dsum).as_deref()).unwrap();
        let what = (self.call, card);
        let got: Vec<_> = in_all_orders(card, &what, |launcher| self.run(launcher)).iter().map(Tensor::values).collect();
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!((bits(&got[5]), bits(&got[6])), (bits(&got[1]), bits(&got[2])), "{what:?}: y and dx alone");
        let (ahead, back) = (forward_tolerance(dtype), gradient_tolerance(dtype));
        assert_close(&got[0], want.sum.as_slice().unwrap(), ahead, &("sum", what));
        assert_close(&got[1], want.y.as_slice().unwrap(), ahead, &("y", what));
        assert_close(&got[2], d.x.as_slice().unwrap(), back, &("dx", what));
        assert_close(&got[3], d.weight.as_slice().unwrap(), back, &("dweight", what));
        assert_close(&got[4], d.bias.as_slice().unwrap(), back, &("dbias", what));
    }
}

#[test]
fn kernels_are_the_reference() {
    let mut random = Random(1);
    for _ in 0..6 {
        for dtype in DTYPES {
            let (rows, width) = (random.below(40), 1 + random.below(150));
            Case::new(&mut random, dtype, rows, width).check(SMALL);
            // Four columns at once, over one warp and several.
            Case::new(&mut random, dtype, rows, 4 * width).check(Card::H200);
        }
    }
    for dtype in DTYPES {
        Case::new(&mut random, dtype, 70, 260).check(SMALL);
        Case::new(&mut random, dtype, 3, 2600).check(SMALL);
    }
}

#[test]
fn empty_sizes_give_empty_results_or_zeros() {
    let mut random = Random(3);
    for (rows, width) in [(0, 4), (3, 0), (0, 0), (1, 1)] {
        for dtype in DTYPES {
            Case::new(&mut random, dtype, rows, width).check(Card::H200);
        }
    }
}

#[test]
fn nan_and_infinity_stay_in_their_row() {
    let mut random = Random(4);
    for bad in [f32::NAN, f32::INFINITY] {
        for rms in [false, true] {
            let mut case = Case::new(&mut random, Dtype::Float32, 5, 37);
            case.call.rms = rms;
            let mut values = case.x.values();
            values[2 * 37 + 20] = bad;
            case.x = Tensor::new(Dtype::Float32, &values);
            case.check(SMALL);
        }
    }
}

#[test]
fn rows_that_do_not_fit_are_not_supported() {
    let call = |width| Call { dtype: Dtype::Float32, rows: 1, width, rms: false, eps: 1e-5 };
    assert!(supports(&Card::H200, &call(14_000)) && !supports(&Card::H200, &call(15_000)));
    assert!(supports(&Card::A100, &call(10_000)) && !supports(&Card::A100, &call(11_000)));
}

#[test]
fn a_wrong_size_is_refused() {
    let mut case = Case::new(&mut Random(5), Dtype::Float32, 2, 3);
    case.weight = Some(Tensor::nan(Dtype::Float32, 2));
    let mut y = Tensor::nan(Dtype::Float32, 6);
    let buffers = Forward { x: case.x.view(), weight: view(&mut case.weight), y: y.view(), ..Forward::default() };
    // SAFETY: the views are alive.
    let error = unsafe { forward(&Emulation::new(Card::H200), &case.call, &buffers).unwrap_err() };
    assert_eq!(error.to_string(), "residual_norm: weight must hold D = 3 numbers, got 2");
}
