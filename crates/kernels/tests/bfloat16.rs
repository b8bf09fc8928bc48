//! bfloat16 against `PyTorch`'s: the distance of every output and gradient from the float64 reference is no more than 1.5 times that of `PyTorch`,
//! whose distances `fixtures/bfloat16.py` found for the same inputs with torch 2.11.0.

#![allow(clippy::unwrap_used, clippy::panic)] // a test

use std::collections::HashMap;

use quarterturn_kernels::elman::Nonlinearity;
use quarterturn_kernels::recurrent::reference::{Inputs, OutputGradients};
use quarterturn_kernels::recurrent::{Backward, Forward, Layer, Options, Packed, Shape, WeightGradients, Weights};
use quarterturn_kernels::{Bf16, Context, Isa, Serial, elman, gru, lstm, scan};

const MOST: f64 = 1.5;

struct Case<'a> {
    name: &'a str,
    sizes: [usize; 4],
    /// `PyTorch`'s distances.
    theirs: HashMap<&'a str, f64>,
}

fn cases() -> Vec<Case<'static>> {
    let lines = include_str!("fixtures/bfloat16.txt").lines();
    lines
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let sizes = [1, 2, 3, 4].map(|i| words[i].parse().unwrap());
            let theirs = words[5..].iter().map(|word| word.split_once('=').unwrap()).map(|(name, error)| (name, error.parse().unwrap()));
            Case { name: words[0], sizes, theirs: theirs.collect() }
        })
        .collect()
}

/// As in the fixture's script.
fn numbers(seed: u64, len: usize, scale: f64, offset: f64) -> Vec<f64> {
    (1..=len as u64)
        .map(|i| {
            let z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(i.wrapping_mul(0xbf58_476d_1ce4_e5b9));
            let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (((z ^ (z >> 31)) >> 56) as f64 - 128.0) / 128.0 * scale + offset
        })
        .collect()
}

fn weight_scale(hidden: usize) -> f64 {
    let mut scale = 1.0;
    while scale * scale * hidden as f64 > 4.0 {
        scale /= 2.0;
    }
    scale
}

fn half(values: &[f64]) -> Vec<Bf16> {
    values.iter().map(|&x| Bf16::from_f32(x as f32)).collect()
}

fn room(len: usize) -> Vec<Bf16> {
    vec![Bf16::from_f32(f32::NAN); len]
}

impl Case<'_> {
    fn check(&self, isa: Isa, got: &[(&str, &[Bf16], Vec<f64>)]) {
        assert_eq!(got.len(), self.theirs.len(), "{}", self.name);
        for (name, got, want) in got {
            assert_eq!(got.len(), want.len(), "{} {name}", self.name);
            let distance = got.iter().zip(want).map(|(got, want)| (f64::from(got.to_f32()) - want).powi(2)).sum::<f64>().sqrt();
            let ours = distance / want.iter().map(|x| x * x).sum::<f64>().sqrt();
            let theirs = self.theirs[name];
            println!("{} {:?} {name} on {isa}: {ours:.5}, PyTorch {theirs:.5}", self.name, self.sizes);
            assert!(ours <= MOST * theirs, "{} {:?} {name} on {isa}: {ours}, PyTorch {theirs}", self.name, self.sizes);
        }
    }
}

#[test]
fn recurrences_are_as_exact_as_those_of_pytorch() {
    for case in cases().iter().filter(|case| case.name != "scan") {
        let [batch, time, input, hidden] = case.sizes;
        let shape = Shape { batch, time, input, hidden };
        let (gates, has_c) = match case.name {
            "lstm" => (4, true),
            "gru" => (3, false),
            _ => (1, false),
        };
        let scale = weight_scale(hidden);
        let rows = gates * hidden;
        let wide = [(1, rows * input), (2, rows * hidden), (3, rows), (4, rows)].map(|(seed, len)| numbers(seed, len, scale, 0.0));
        let [x, h_0, c_0] =
            [(5, batch * time * input), (6, batch * hidden), (7, batch * hidden)].map(|(seed, len)| numbers(seed, len, 1.0, 0.0));
        let [dy, dh_n, dc_n] =
            [(8, shape.batch * time * hidden), (9, batch * hidden), (10, batch * hidden)].map(|(seed, len)| numbers(seed, len, 1.0, 0.0));
        let options = Options::default();
        let weights = Weights { weight_ih: &wide[0][..], weight_hh: &wide[1], bias_ih: Some(&wide[2][..]), bias_hh: Some(&wide[3][..]) };
        let exact = Layer { shape, options, weights, version: 0 };
        let c = |c: &'static str| has_c.then_some(c);
        let inputs = Inputs { x: &x, h_0: Some(&h_0), c_0: has_c.then_some(&c_0[..]) };
        let outputs = OutputGradients { y: Some(&dy), h_n: Some(&dh_n), c_n: has_c.then_some(&dc_n[..]) };
        let (want, d) = match case.name {
            "lstm" => (lstm::reference::forward(&exact, &inputs), lstm::reference::backward(&exact, &inputs, &outputs)),
            "gru" => (gru::reference::forward(&exact, &inputs), gru::reference::backward(&exact, &inputs, &outputs)),
            _ => (
                elman::reference::forward(&exact, Nonlinearity::Tanh, &inputs),
                elman::reference::backward(&exact, Nonlinearity::Tanh, &inputs, &outputs),
            ),
        };
        let (want, d) = (want.unwrap(), d.unwrap());
        let narrow = wide.each_ref().map(|weight| half(weight));
        let weights =
            Weights { weight_ih: &narrow[0][..], weight_hh: &narrow[1], bias_ih: Some(&narrow[2][..]), bias_hh: Some(&narrow[3][..]) };
        let layer = Layer { shape, options, weights, version: 0 };
        let [x, h_0, c_0, dy, dh_n, dc_n] = [&x, &h_0, &c_0, &dy, &dh_n, &dc_n].map(|values| half(values));
        for isa in Isa::supported() {
            let context = Context::new(&Serial).with_isa(isa).unwrap();
            let mut packed = Packed::default();
            let (mut y, mut h_n, mut c_n) = (room(dy.len()), room(h_0.len()), room(c_0.len()));
            let reserve_len = match case.name {
                "lstm" => lstm::reserve_len(&shape, options),
                "gru" => gru::reserve_len(&shape, options),
                _ => elman::reserve_len(&shape, options),
            };
            let mut reserve = vec![0.0; reserve_len];
            let (first, last) = (has_c.then_some(&c_0[..]), has_c.then_some(&mut c_n[..]));
            let buffers =
                Forward { x: &x, h_0: Some(&h_0), c_0: first, y: &mut y, h_n: Some(&mut h_n), c_n: last, reserve: Some(&mut reserve) };
            match case.name {
                "lstm" => lstm::forward(&context, &layer, &mut packed, buffers),
                "gru" => gru::forward(&context, &layer, &mut packed, buffers),
                _ => elman::forward(&context, &layer, Nonlinearity::Tanh, &mut packed, buffers),
            }
            .unwrap();
            let (mut dx, mut dh_0, mut dc_0) = (room(x.len()), room(h_0.len()), room(c_0.len()));
            let mut dweights = narrow.each_ref().map(|weight| room(weight.len()));
            let [weight_ih, weight_hh, bias_ih, bias_hh] = dweights.each_mut();
            let buffers = Backward {
                x: &x,
                h_0: Some(&h_0),
                c_0: first,
                y: &y,
                reserve: &mut reserve,
                dy: Some(&dy),
                dh_n: Some(&dh_n),
                dc_n: has_c.then_some(&dc_n[..]),
                dx: Some(&mut dx),
                dh_0: Some(&mut dh_0),
                dc_0: has_c.then_some(&mut dc_0[..]),
                dweights: Some(WeightGradients { weight_ih, weight_hh, bias_ih: Some(bias_ih), bias_hh: Some(bias_hh) }),
            };
            match case.name {
                "lstm" => lstm::backward(&context, &layer, &mut packed, buffers),
                "gru" => gru::backward(&context, &layer, &mut packed, buffers),
                _ => elman::backward(&context, &layer, Nonlinearity::Tanh, &mut packed, buffers),
            }
            .unwrap();
            let flat = |values: &ndarray::Array2<f64>| values.iter().copied().collect::<Vec<_>>();
            let mut got: Vec<(&str, &[Bf16], Vec<f64>)> = vec![
                ("y", &y, want.y.iter().copied().collect()),
                ("h_n", &h_n, flat(&want.h_n)),
                ("dx", &dx, d.x.iter().copied().collect()),
                ("dh_0", &dh_0, flat(&d.h_0)),
                ("dweight_ih", &dweights[0], flat(&d.weight_ih)),
                ("dweight_hh", &dweights[1], flat(&d.weight_hh)),
                ("dbias_ih", &dweights[2], d.bias_ih.to_vec()),
                ("dbias_hh", &dweights[3], d.bias_hh.to_vec()),
            ];
            got.extend(c("c_n").map(|name| (name, &c_n[..], flat(&want.c_n))));
            got.extend(c("dc_0").map(|name| (name, &dc_0[..], flat(&d.c_0))));
            case.check(isa, &got);
        }
    }
}

#[test]
fn scans_are_as_exact_as_those_of_pytorch() {
    for case in cases().iter().filter(|case| case.name == "scan") {
        let [batch, time, _, hidden] = case.sizes;
        let shape = scan::Shape { batch, time, hidden };
        let (len, state) = (batch * time * hidden, batch * hidden);
        let (a, b) = (numbers(1, len, 0.5, 0.5), numbers(2, len, 1.0, 0.0));
        let [y_0, dy, dy_n] = [(6, state), (8, len), (9, state)].map(|(seed, len)| numbers(seed, len, 1.0, 0.0));
        // a in halves of its own steps around 1/2 has more bits than bfloat16: both sides round it.
        let a: Vec<f64> = half(&a).iter().map(|x| f64::from(x.to_f32())).collect();
        let inputs = scan::reference::Inputs { inputs: [&a[..], &b], y_0: Some(&y_0) };
        let options = Options::default();
        let want = scan::reference::forward(&shape, options, &inputs).unwrap();
        let outputs = scan::reference::OutputGradients { y: Some(&dy), y_n: Some(&dy_n) };
        let d = scan::reference::backward(&shape, options, &inputs, &outputs).unwrap();
        let [a, b, y_0, dy, dy_n] = [&a, &b, &y_0, &dy, &dy_n].map(|values| half(values));
        for isa in Isa::supported() {
            let context = Context::new(&Serial).with_isa(isa).unwrap();
            let (mut y, mut y_n, mut da, mut db, mut dy_0) = (room(len), room(state), room(len), room(len), room(state));
            let buffers = scan::Forward { inputs: [&a[..], &b], y_0: Some(&y_0), y: &mut y, y_n: Some(&mut y_n) };
            scan::forward(&context, &shape, options, buffers).unwrap();
            let buffers = scan::Backward {
                inputs: [&a[..], &b],
                y_0: Some(&y_0),
                y: &y,
                dy: Some(&dy),
                dy_n: Some(&dy_n),
                dinputs: [&mut da[..], &mut db],
                dy_0: Some(&mut dy_0),
            };
            scan::backward(&context, &shape, options, buffers).unwrap();
            case.check(
                isa,
                &[
                    ("y", &y, want.y.iter().copied().collect()),
                    ("h_n", &y_n, want.y_n.iter().copied().collect()),
                    ("da", &da, d.inputs[0].clone()),
                    ("db", &db, d.inputs[1].clone()),
                    ("dh_0", &dy_0, d.y_0.iter().copied().collect()),
                ],
            );
        }
    }
}
