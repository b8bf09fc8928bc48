//! Parity with `PyTorch`: outputs and every gradient of small cases, from a fixture that `fixtures/pytorch.py` made with torch 2.11.0.

#![allow(clippy::unwrap_used, clippy::panic)] // a test

use std::collections::HashMap;

use quarterturn_kernels::elman::Nonlinearity;
use quarterturn_kernels::recurrent::{Backward, Forward, Layer, Options, Packed, Shape, WeightGradients, Weights};
use quarterturn_kernels::residual_norm::{Kind, Norm};
use quarterturn_kernels::{Context, Error, Isa, Serial, elman, gru, lstm, residual_mlp, residual_norm};

/// Relative to the largest value of a tensor.
const FORWARD: f32 = 1e-5;
const GRADIENT: f32 = 1e-4;

struct Case {
    name: String,
    sizes: Vec<usize>,
    tensors: HashMap<String, Vec<f32>>,
}

impl Case {
    fn all() -> Vec<Case> {
        let mut cases: Vec<Case> = Vec::new();
        for line in include_str!("fixtures/pytorch.txt").lines() {
            if let Some(header) = line.strip_prefix("case ") {
                let (name, sizes) = header.split_once(' ').unwrap();
                let sizes = sizes.split(' ').map(|size| size.parse().unwrap()).collect();
                cases.push(Case { name: name.to_owned(), sizes, tensors: HashMap::new() });
            } else {
                let (name, values) = line.split_once(": ").unwrap();
                let values = values.split(' ').map(|value| value.parse().unwrap()).collect();
                cases.last_mut().unwrap().tensors.insert(name.to_owned(), values);
            }
        }
        cases
    }

    fn get(&self, name: &str) -> &[f32] {
        &self.tensors[name]
    }

    fn find(&self, name: &str) -> Option<&[f32]> {
        self.tensors.get(name).map(Vec::as_slice)
    }

    /// Room for a tensor of the fixture, full of NaN.
    fn room(&self, name: &str) -> Vec<f32> {
        vec![f32::NAN; self.tensors.get(name).map_or(0, Vec::len)]
    }

    fn check(&self, name: &str, got: &[f32], tolerance: f32, isa: Isa) {
        let want = self.tensors.get(name).map_or(&[][..], Vec::as_slice);
        assert_eq!(got.len(), want.len(), "{} {name}", self.name);
        let largest = want.iter().fold(1e-3, |max: f32, value| max.max(value.abs()));
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            assert!((got - want).abs() <= tolerance * largest, "{} {name}[{i}] on {isa}: {got}, PyTorch has {want}", self.name);
        }
    }
}

type ReserveLength = fn(&Shape, Options) -> usize;
type ForwardPass = fn(&Context, &Layer, &mut Packed, Forward) -> Result<(), Error>;
type BackwardPass = fn(&Context, &Layer, &mut Packed, Backward) -> Result<(), Error>;

/// The kernel that a case is about.
fn passes(name: &str) -> Option<(ReserveLength, ForwardPass, BackwardPass)> {
    match name.split('-').next()? {
        "lstm" => Some((lstm::reserve_len, lstm::forward, lstm::backward)),
        "gru" => Some((gru::reserve_len, gru::forward, gru::backward)),
        "elman" if name.contains("relu") => Some((
            elman::reserve_len,
            |context, layer, packed, buffers| elman::forward(context, layer, Nonlinearity::Relu, packed, buffers),
            |context, layer, packed, buffers| elman::backward(context, layer, Nonlinearity::Relu, packed, buffers),
        )),
        "elman" => Some((
            elman::reserve_len,
            |context, layer, packed, buffers| elman::forward(context, layer, Nonlinearity::Tanh, packed, buffers),
            |context, layer, packed, buffers| elman::backward(context, layer, Nonlinearity::Tanh, packed, buffers),
        )),
        _ => None,
    }
}

#[test]
fn recurrences_agree_with_pytorch() {
    let mut checked = 0;
    for case in Case::all() {
        let Some((reserve_len, forward, backward)) = passes(&case.name) else { continue };
        let [batch, time, input, hidden] = case.sizes[..] else { panic!("four sizes") };
        let shape = Shape { batch, time, input, hidden };
        let lengths: Option<Vec<i64>> = case.find("lengths").map(|lengths| lengths.iter().map(|&len| len as i64).collect());
        let weights = Weights {
            weight_ih: case.get("weight_ih"),
            weight_hh: case.get("weight_hh"),
            bias_ih: case.find("bias_ih"),
            bias_hh: case.find("bias_hh"),
        };
        let options = Options { reverse: case.name.contains("reverse"), lengths: lengths.as_deref(), recompute: None };
        let layer = Layer { shape, options, weights, version: 0 };
        let has_c = case.find("c_0").is_some();
        for isa in Isa::supported() {
            let context = Context::new(&Serial).with_isa(isa).unwrap();
            let mut packed = Packed::default();
            let (mut y, mut h_n, mut c_n) = (case.room("y"), case.room("h_n"), case.room("c_n"));
            let mut reserve = vec![0.0; reserve_len(&shape, options)];
            let (x, h_0, c_0) = (case.get("x"), case.find("h_0"), case.find("c_0"));
            let c = has_c.then_some(&mut c_n[..]);
            let buffers = Forward { x, h_0, c_0, y: &mut y, h_n: Some(&mut h_n), c_n: c, reserve: Some(&mut reserve) };
            forward(&context, &layer, &mut packed, buffers).unwrap();
            let (mut dx, mut dh_0, mut dc_0) = (case.room("x"), case.room("h_0"), case.room("c_0"));
            let (mut dweight_ih, mut dweight_hh) = (case.room("weight_ih"), case.room("weight_hh"));
            let (mut dbias_ih, mut dbias_hh) = (case.room("bias_ih"), case.room("bias_hh"));
            let buffers = Backward {
                x,
                h_0,
                c_0,
                y: &y,
                reserve: &mut reserve,
                dy: case.find("dy"),
                dh_n: case.find("dh_n"),
                dc_n: case.find("dc_n"),
                dx: Some(&mut dx),
                dh_0: Some(&mut dh_0),
                dc_0: has_c.then_some(&mut dc_0[..]),
                dweights: Some(WeightGradients {
                    weight_ih: &mut dweight_ih,
                    weight_hh: &mut dweight_hh,
                    bias_ih: Some(&mut dbias_ih),
                    bias_hh: Some(&mut dbias_hh),
                }),
            };
            backward(&context, &layer, &mut packed, buffers).unwrap();
            for (name, got) in [("y", &y), ("h_n", &h_n), ("c_n", &c_n)] {
                case.check(name, got, FORWARD, isa);
            }
            for (name, got) in [
                ("dx", &dx),
                ("dh_0", &dh_0),
                ("dc_0", &dc_0),
                ("dweight_ih", &dweight_ih),
                ("dweight_hh", &dweight_hh),
                ("dbias_ih", &dbias_ih),
                ("dbias_hh", &dbias_hh),
            ] {
                case.check(name, got, GRADIENT, isa);
            }
        }
        checked += 1;
    }
    assert_eq!(checked, 16);
}

#[test]
fn norms_agree_with_pytorch() {
    for case in Case::all().iter().filter(|case| case.name.starts_with("norm-")) {
        let shape = residual_norm::Shape { rows: case.sizes[0], width: case.sizes[1] };
        let norm = Norm { kind: if case.name == "norm-rms" { Kind::Rms } else { Kind::Layer }, eps: 1e-5 };
        for isa in Isa::supported() {
            let context = Context::new(&Serial).with_isa(isa).unwrap();
            let (mut y, mut sum, mut statistics) = (case.room("y"), case.room("y"), vec![0.0; 2 * shape.rows]);
            let buffers = residual_norm::Forward {
                x: case.get("x"),
                residual: case.find("residual"),
                weight: case.find("weight"),
                bias: case.find("bias"),
                sum: Some(&mut sum),
                y: &mut y,
                statistics: Some(&mut statistics),
            };
            residual_norm::forward(&context, &shape, norm, buffers).unwrap();
            let (mut dx, mut dweight, mut dbias) = (case.room("x"), case.room("weight"), case.room("bias"));
            let has_bias = !dbias.is_empty();
            let buffers = residual_norm::Backward {
                sum: &sum,
                weight: case.find("weight"),
                statistics: &statistics,
                dy: case.get("dy"),
                dsum: None,
                dx: &mut dx,
                dweight: Some(&mut dweight),
                dbias: has_bias.then_some(&mut dbias[..]),
            };
            residual_norm::backward(&context, &shape, norm, buffers).unwrap();
            case.check("y", &y, FORWARD, isa);
            for (name, got) in [("dx", &dx), ("dweight", &dweight), ("dbias", &dbias)] {
                case.check(name, got, GRADIENT, isa);
            }
        }
    }
}

#[test]
fn residual_mlp_agrees_with_pytorch() {
    let cases = Case::all();
    let case = cases.iter().find(|case| case.name == "residual_mlp").unwrap();
    let shape = residual_mlp::Shape { rows: case.sizes[0], width: case.sizes[1], hidden: case.sizes[2] };
    let weights = residual_mlp::Weights {
        norm_weight: case.find("norm_weight"),
        norm_bias: case.find("norm_bias"),
        weight_1: case.get("weight_1"),
        bias_1: case.find("bias_1"),
        weight_2: case.get("weight_2"),
        bias_2: case.find("bias_2"),
    };
    let block = residual_mlp::Block { shape, weights, eps: 1e-5, version: 0 };
    for isa in Isa::supported() {
        let context = Context::new(&Serial).with_isa(isa).unwrap();
        let mut packed = residual_mlp::Packed::default();
        let (mut y, mut reserve) = (case.room("y"), vec![0.0; residual_mlp::reserve_len(&shape)]);
        let buffers = residual_mlp::Forward { x: case.get("x"), y: &mut y, reserve: Some(&mut reserve) };
        residual_mlp::forward(&context, &block, &mut packed, buffers).unwrap();
        case.check("y", &y, FORWARD, isa);
        let (mut dx, mut dnorm_weight, mut dnorm_bias) = (case.room("x"), case.room("norm_weight"), case.room("norm_bias"));
        let (mut dweight_1, mut dbias_1) = (case.room("weight_1"), case.room("bias_1"));
        let (mut dweight_2, mut dbias_2) = (case.room("weight_2"), case.room("bias_2"));
        let buffers = residual_mlp::Backward {
            x: case.get("x"),
            reserve: &mut reserve,
            dy: case.get("dy"),
            dx: &mut dx,
            dnorm_weight: Some(&mut dnorm_weight),
            dnorm_bias: Some(&mut dnorm_bias),
            dweight_1: &mut dweight_1,
            dbias_1: Some(&mut dbias_1),
            dweight_2: &mut dweight_2,
            dbias_2: Some(&mut dbias_2),
        };
        residual_mlp::backward(&context, &block, &mut packed, buffers).unwrap();
        for (name, got) in [
            ("dx", &dx),
            ("dnorm_weight", &dnorm_weight),
            ("dnorm_bias", &dnorm_bias),
            ("dweight_1", &dweight_1),
            ("dbias_1", &dbias_1),
            ("dweight_2", &dweight_2),
            ("dbias_2", &dbias_2),
        ] {
            case.check(name, got, GRADIENT, isa);
        }
    }
}
