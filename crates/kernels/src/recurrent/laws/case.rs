//! A layer with its input and everything that comes out of it, by the fast passes and by the reference.

use crate::Isa;
use crate::recurrent::reference::{self, Definition, Inputs, OutputGradients};
use crate::recurrent::{Backward, Forward, Layer, Options, Packed, Shape, WeightGradients, Weights, backward, forward, reserve_len};
use crate::testing::{Random, to_f64};
use crate::{Bf16, Context};

/// A layer, its input and the gradients that come to it.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) shape: Shape,
    pub(super) reverse: bool,
    pub(super) lengths: Option<Vec<i64>>,
    pub(super) recompute: Option<usize>,
    pub(super) weight_ih: Vec<f32>,
    pub(super) weight_hh: Vec<f32>,
    pub(super) bias_ih: Option<Vec<f32>>,
    pub(super) bias_hh: Option<Vec<f32>>,
    pub(super) x: Vec<f32>,
    pub(super) h_0: Option<Vec<f32>>,
    pub(super) c_0: Option<Vec<f32>>,
    pub(super) dy: Option<Vec<f32>>,
    pub(super) dh_n: Option<Vec<f32>>,
    pub(super) dc_n: Option<Vec<f32>>,
}

/// What forward and backward gave, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Got {
    pub(super) y: Vec<f32>,
    pub(super) h_n: Vec<f32>,
    pub(super) c_n: Vec<f32>,
    pub(super) dx: Vec<f32>,
    pub(super) dh_0: Vec<f32>,
    pub(super) dc_0: Vec<f32>,
    pub(super) dweight_ih: Vec<f32>,
    pub(super) dweight_hh: Vec<f32>,
    pub(super) dbias_ih: Vec<f32>,
    pub(super) dbias_hh: Vec<f32>,
}

impl Got {
    pub(super) fn forward(&self) -> [&Vec<f32>; 3] {
        [&self.y, &self.h_n, &self.c_n]
    }

    pub(super) fn gradients(&self) -> [&Vec<f32>; 7] {
        [&self.dx, &self.dh_0, &self.dc_0, &self.dweight_ih, &self.dweight_hh, &self.dbias_ih, &self.dbias_hh]
    }
}

impl Got {
    pub(super) fn all_mut(&mut self) -> [&mut Vec<f32>; 10] {
        let Got { y, h_n, c_n, dx, dh_0, dc_0, dweight_ih, dweight_hh, dbias_ih, dbias_hh } = self;
        [y, h_n, c_n, dx, dh_0, dc_0, dweight_ih, dweight_hh, dbias_ih, dbias_hh]
    }
}

impl Case {
    pub(super) fn new<D: Definition>(random: &mut Random, shape: Shape) -> Case {
        let Shape { batch, time, input, hidden } = shape;
        let rows = D::gates() * hidden;
        let (state, y) = (batch * hidden, batch * time * hidden);
        let scale = 1.0 / (hidden.max(1) as f32).sqrt();
        let maybe = |random: &mut Random, len: usize, scale: f32| random.flip().then(|| random.numbers(len, scale));
        Case {
            shape,
            reverse: random.flip(),
            lengths: random.flip().then(|| (0..batch).map(|_| random.below(time + 1) as i64).collect()),
            recompute: random.flip().then(|| 1 + random.below(time + 1)),
            weight_ih: random.numbers(rows * input, 2.0 * scale),
            weight_hh: random.numbers(rows * hidden, 2.0 * scale),
            bias_ih: maybe(random, rows, 0.5),
            bias_hh: maybe(random, rows, 0.5),
            x: random.numbers(batch * time * input, 1.0),
            h_0: maybe(random, state, 1.0),
            c_0: maybe(random, state, 1.0).filter(|_| D::HAS_C),
            dy: maybe(random, y, 1.0),
            dh_n: maybe(random, state, 1.0),
            dc_n: maybe(random, state, 1.0).filter(|_| D::HAS_C),
        }
    }

    pub(super) fn layer(&self) -> Layer<'_> {
        let weights = Weights {
            weight_ih: &self.weight_ih,
            weight_hh: &self.weight_hh,
            bias_ih: self.bias_ih.as_deref(),
            bias_hh: self.bias_hh.as_deref(),
        };
        let options = Options { reverse: self.reverse, lengths: self.lengths.as_deref(), recompute: self.recompute };
        Layer { shape: self.shape, options, weights, version: 0 }
    }

    pub(super) fn infer<D: Definition>(&self, context: &Context) -> Got {
        let mut got = self.sized::<D>();
        let buffers = Forward {
            x: &self.x,
            h_0: self.h_0.as_deref(),
            c_0: self.c_0.as_deref(),
            y: &mut got.y,
            h_n: Some(&mut got.h_n),
            c_n: D::HAS_C.then_some(&mut got.c_n),
            reserve: None,
        };
        forward::<D, _>(context, &self.layer(), &mut Packed::default(), buffers).unwrap();
        got
    }

    pub(super) fn train<D: Definition>(&self, context: &Context) -> Got {
        let mut got = self.sized::<D>();
        let mut packed = Packed::default();
        let mut reserve = vec![f32::NAN; reserve_len::<D>(&self.shape, self.layer().options)];
        let buffers = Forward {
            x: &self.x,
            h_0: self.h_0.as_deref(),
            c_0: self.c_0.as_deref(),
            y: &mut got.y,
            h_n: Some(&mut got.h_n),
            c_n: D::HAS_C.then_some(&mut got.c_n),
            reserve: Some(&mut reserve),
        };
        forward::<D, _>(context, &self.layer(), &mut packed, buffers).unwrap();
        let buffers = Backward {
            x: &self.x,
            h_0: self.h_0.as_deref(),
            c_0: self.c_0.as_deref(),
            y: &got.y,
            reserve: &mut reserve,
            dy: self.dy.as_deref(),
            dh_n: self.dh_n.as_deref(),
            dc_n: self.dc_n.as_deref(),
            dx: Some(&mut got.dx),
            dh_0: Some(&mut got.dh_0),
            dc_0: D::HAS_C.then_some(&mut got.dc_0),
            dweights: Some(WeightGradients {
                weight_ih: &mut got.dweight_ih,
                weight_hh: &mut got.dweight_hh,
                bias_ih: Some(&mut got.dbias_ih),
                bias_hh: Some(&mut got.dbias_hh),
            }),
        };
        backward::<D, _>(context, &self.layer(), &mut packed, buffers).unwrap();
        got
    }

    /// The same with every number rounded to bfloat16.
    pub(super) fn rounded(&self) -> Case {
        let round = |values: &[f32]| values.iter().map(|&x| Bf16::from_f32(x).to_f32()).collect::<Vec<_>>();
        let maybe = |values: &Option<Vec<f32>>| values.as_deref().map(round);
        Case {
            weight_ih: round(&self.weight_ih),
            weight_hh: round(&self.weight_hh),
            bias_ih: maybe(&self.bias_ih),
            bias_hh: maybe(&self.bias_hh),
            x: round(&self.x),
            h_0: maybe(&self.h_0),
            c_0: maybe(&self.c_0),
            dy: maybe(&self.dy),
            dh_n: maybe(&self.dh_n),
            dc_n: maybe(&self.dc_n),
            ..self.clone()
        }
    }

    /// Both passes over bfloat16, whose results are widened; without gradients only the first, as in inference.
    pub(super) fn in_half<D: Definition>(&self, context: &Context, training: bool) -> Got {
        let half = |values: &[f32]| values.iter().map(|&x| Bf16::from_f32(x)).collect::<Vec<_>>();
        let maybe = |values: &Option<Vec<f32>>| values.as_deref().map(half);
        let (x, weight_ih, weight_hh) = (half(&self.x), half(&self.weight_ih), half(&self.weight_hh));
        let (bias_ih, bias_hh, h_0, c_0) = (maybe(&self.bias_ih), maybe(&self.bias_hh), maybe(&self.h_0), maybe(&self.c_0));
        let (dy, dh_n, dc_n) = (maybe(&self.dy), maybe(&self.dh_n), maybe(&self.dc_n));
        let weights = Weights { weight_ih: &weight_ih, weight_hh: &weight_hh, bias_ih: bias_ih.as_deref(), bias_hh: bias_hh.as_deref() };
        let Layer { shape, options, version, .. } = self.layer();
        let layer = Layer { shape, options, weights, version };
        let mut got = self.sized::<D>();
        let mut room = got.all_mut().map(|values| half(values));
        let [y, h_n, c_n, dx, dh_0, dc_0, dweight_ih, dweight_hh, dbias_ih, dbias_hh] = room.each_mut();
        let mut packed = Packed::default();
        let mut reserve = vec![f32::NAN; reserve_len::<D>(&self.shape, options)];
        let buffers = Forward {
            x: &x,
            h_0: h_0.as_deref(),
            c_0: c_0.as_deref(),
            y,
            h_n: Some(h_n),
            c_n: D::HAS_C.then_some(c_n),
            reserve: training.then_some(&mut reserve[..]),
        };
        forward::<D, _>(context, &layer, &mut packed, buffers).unwrap();
        if training {
            let buffers = Backward {
                x: &x,
                h_0: h_0.as_deref(),
                c_0: c_0.as_deref(),
                y,
                reserve: &mut reserve,
                dy: dy.as_deref(),
                dh_n: dh_n.as_deref(),
                dc_n: dc_n.as_deref(),
                dx: Some(dx),
                dh_0: Some(dh_0),
                dc_0: D::HAS_C.then_some(dc_0),
                dweights: Some(WeightGradients {
                    weight_ih: dweight_ih,
                    weight_hh: dweight_hh,
                    bias_ih: Some(dbias_ih),
                    bias_hh: Some(dbias_hh),
                }),
            };
            backward::<D, _>(context, &layer, &mut packed, buffers).unwrap();
        }
        for (to, from) in got.all_mut().into_iter().zip(room) {
            *to = from.iter().map(|x| x.to_f32()).collect();
        }
        got
    }

    /// Buffers full of NaN, so that whatever is not written shows.
    pub(super) fn sized<D: Definition>(&self) -> Got {
        let nan = |len: usize| vec![f32::NAN; len];
        let (state, rows) = (self.shape.state_len(), D::gates() * self.shape.hidden);
        let c = if D::HAS_C { state } else { 0 };
        Got {
            y: nan(self.shape.y_len()),
            h_n: nan(state),
            c_n: nan(c),
            dx: nan(self.x.len()),
            dh_0: nan(state),
            dc_0: nan(c),
            dweight_ih: nan(self.weight_ih.len()),
            dweight_hh: nan(self.weight_hh.len()),
            dbias_ih: nan(rows),
            dbias_hh: nan(rows),
        }
    }

    /// The same from the reference: forward results, then gradients.
    pub(super) fn reference<D: Definition>(&self) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
        let wide = Wide::new(self);
        let outputs = wide.forward::<D>(self);
        let d = wide.backward::<D>(self);
        let c = |c: ndarray::Array2<f64>| if D::HAS_C { c.into_iter().collect() } else { Vec::new() };
        (
            vec![outputs.y.into_iter().collect(), outputs.h_n.into_iter().collect(), c(outputs.c_n)],
            vec![
                d.x.into_iter().collect(),
                d.h_0.into_iter().collect(),
                c(d.c_0),
                d.weight_ih.into_iter().collect(),
                d.weight_hh.into_iter().collect(),
                d.bias_ih.to_vec(),
                d.bias_hh.to_vec(),
            ],
        )
    }

    pub(super) fn describe(&self, isa: Isa, threads: usize) -> String {
        let Case { shape, reverse, lengths, recompute, .. } = self;
        format!("{isa}, {threads} threads, {shape:?}, reverse {reverse}, lengths {lengths:?}, recompute {recompute:?}")
    }

    /// Gives every row another length, and puts NaN behind it.
    pub(super) fn forget_what_is_beyond_lengths(&mut self) {
        let Shape { batch, time, input, hidden } = self.shape;
        let lengths: Vec<i64> = (0..batch).map(|b| (b % (time + 1)) as i64).collect();
        for b in 0..batch {
            let from = lengths[b] as usize;
            self.x[(b * time + from) * input..(b + 1) * time * input].fill(f32::NAN);
            if let Some(dy) = &mut self.dy {
                dy[(b * time + from) * hidden..(b + 1) * time * hidden].fill(f32::NAN);
            }
        }
        self.lengths = Some(lengths);
    }

    /// One row of the batch.
    pub(super) fn row(&self, b: usize) -> Case {
        let part = |values: &[f32]| values[values.len() / self.shape.batch * b..values.len() / self.shape.batch * (b + 1)].to_vec();
        let maybe = |values: &Option<Vec<f32>>| values.as_deref().map(part);
        Case {
            shape: Shape { batch: 1, ..self.shape },
            lengths: self.lengths.as_ref().map(|lengths| vec![lengths[b]]),
            x: part(&self.x),
            h_0: maybe(&self.h_0),
            c_0: maybe(&self.c_0),
            dy: maybe(&self.dy),
            dh_n: maybe(&self.dh_n),
            dc_n: maybe(&self.dc_n),
            ..self.clone()
        }
    }

    /// Steps `from..to` of every row, without lengths.
    pub(super) fn steps(&self, from: usize, to: usize) -> Case {
        let time = self.shape.time;
        let part = |values: &[f32]| -> Vec<f32> {
            let width = values.len() / (self.shape.batch * time);
            values.chunks(time * width).flat_map(|row| row[from * width..to * width].to_vec()).collect()
        };
        Case {
            shape: Shape { time: to - from, ..self.shape },
            lengths: None,
            x: part(&self.x),
            dy: self.dy.as_deref().map(part),
            ..self.clone()
        }
    }
}

/// A case in float64.
pub(super) struct Wide {
    pub(super) weight_ih: Vec<f64>,
    pub(super) weight_hh: Vec<f64>,
    pub(super) bias_ih: Option<Vec<f64>>,
    pub(super) bias_hh: Option<Vec<f64>>,
    pub(super) x: Vec<f64>,
    pub(super) h_0: Option<Vec<f64>>,
    pub(super) c_0: Option<Vec<f64>>,
    pub(super) dy: Option<Vec<f64>>,
    pub(super) dh_n: Option<Vec<f64>>,
    pub(super) dc_n: Option<Vec<f64>>,
}

impl Wide {
    pub(super) fn new(case: &Case) -> Wide {
        let maybe = |values: &Option<Vec<f32>>| values.as_deref().map(to_f64);
        Wide {
            weight_ih: to_f64(&case.weight_ih),
            weight_hh: to_f64(&case.weight_hh),
            bias_ih: maybe(&case.bias_ih),
            bias_hh: maybe(&case.bias_hh),
            x: to_f64(&case.x),
            h_0: maybe(&case.h_0),
            c_0: maybe(&case.c_0),
            dy: maybe(&case.dy),
            dh_n: maybe(&case.dh_n),
            dc_n: maybe(&case.dc_n),
        }
    }

    pub(super) fn layer<'a>(&'a self, case: &'a Case) -> Layer<'a, f64> {
        let weights = Weights {
            weight_ih: &self.weight_ih,
            weight_hh: &self.weight_hh,
            bias_ih: self.bias_ih.as_deref(),
            bias_hh: self.bias_hh.as_deref(),
        };
        let Layer { shape, options, version, .. } = case.layer();
        Layer { shape, options, weights, version }
    }

    pub(super) fn inputs(&self) -> Inputs<'_> {
        Inputs { x: &self.x, h_0: self.h_0.as_deref(), c_0: self.c_0.as_deref() }
    }

    pub(super) fn forward<D: Definition>(&self, case: &Case) -> reference::Outputs {
        reference::forward::<D>(&self.layer(case), &self.inputs()).unwrap()
    }

    pub(super) fn backward<D: Definition>(&self, case: &Case) -> reference::InputGradients {
        let outputs = OutputGradients { y: self.dy.as_deref(), h_n: self.dh_n.as_deref(), c_n: self.dc_n.as_deref() };
        reference::backward::<D>(&self.layer(case), &self.inputs(), &outputs).unwrap()
    }

    /// The sum of all outputs, each times the gradient that comes to it.
    pub(super) fn value<D: Definition>(&self, case: &Case) -> f64 {
        let outputs = self.forward::<D>(case);
        let dot =
            |values: Vec<f64>, d: &Option<Vec<f64>>| d.as_ref().map_or(0.0, |d| values.iter().zip(d).map(|(value, d)| value * d).sum());
        let flat = |values: ndarray::Array2<f64>| values.into_iter().collect::<Vec<_>>();
        dot(outputs.y.into_iter().collect(), &self.dy) + dot(flat(outputs.h_n), &self.dh_n) + dot(flat(outputs.c_n), &self.dc_n)
    }
}
