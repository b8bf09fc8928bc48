//! The dense recurrences.

use quarterturn_kernels::elman::Nonlinearity;
use quarterturn_kernels::recurrent::{Backward, Forward, Layer, Options, Packed, Shape, WeightGradients, Weights};
use quarterturn_kernels::{Context, Error, elman, gru, lstm};

use crate::{Bench, Work, fill};

/// T, B, H; I = H.
const SHAPES: [(usize, usize, usize); 11] = [
    (128, 1, 128),
    (128, 1, 256),
    (64, 1, 512),
    (128, 2, 128),
    (128, 4, 128),
    (128, 8, 128),
    (128, 16, 128),
    (1024, 16, 64),
    (25, 16, 512),
    (150, 32, 256),
    (25, 64, 512),
];

/// A recurrence by its functions.
struct Cell {
    name: &'static str,
    gates: usize,
    reserve_len: fn(&Shape, Options) -> usize,
    forward: fn(&Context, &Layer, &mut Packed, Forward) -> Result<(), Error>,
    backward: fn(&Context, &Layer, &mut Packed, Backward) -> Result<(), Error>,
}

const CELLS: [Cell; 3] = [
    Cell { name: "lstm", gates: 4, reserve_len: lstm::reserve_len, forward: lstm::forward, backward: lstm::backward },
    Cell { name: "gru", gates: 3, reserve_len: gru::reserve_len, forward: gru::forward, backward: gru::backward },
    Cell {
        name: "elman",
        gates: 1,
        reserve_len: elman::reserve_len,
        forward: |context, layer, packed, buffers| elman::forward(context, layer, Nonlinearity::Tanh, packed, buffers),
        backward: |context, layer, packed, buffers| elman::backward(context, layer, Nonlinearity::Tanh, packed, buffers),
    },
];

pub fn all(bench: &Bench) -> Result<(), Error> {
    for shape in SHAPES {
        for cell in &CELLS {
            layer(bench, cell, shape)?;
        }
    }
    Ok(())
}

fn layer(bench: &Bench, cell: &Cell, (time, batch, hidden): (usize, usize, usize)) -> Result<(), Error> {
    let Cell { name, gates, .. } = *cell;
    let shape = Shape { batch, time, input: hidden, hidden };
    let (weight_ih, weight_hh) = (fill(gates * hidden * hidden), fill(gates * hidden * hidden));
    let (bias_ih, bias_hh) = (fill(gates * hidden), fill(gates * hidden));
    let weights = Weights { weight_ih: &weight_ih, weight_hh: &weight_hh, bias_ih: Some(&bias_ih), bias_hh: Some(&bias_hh) };
    let x = fill(batch * time * hidden);
    let (mut y, mut dx) = (x.clone(), x.clone());
    let dy = fill(batch * time * hidden);
    let (mut dweight_ih, mut dweight_hh) = (weight_ih.clone(), weight_hh.clone());
    let (mut dbias_ih, mut dbias_hh) = (bias_ih.clone(), bias_hh.clone());
    let mut reserve = vec![0.0; (cell.reserve_len)(&shape, Options::default())];
    let context = bench.context()?;
    let mut packed = Packed::default();
    let layer = Layer { shape, options: Options::default(), weights, version: 0 };
    let products = 2 * time * batch * gates * hidden * 2 * hidden;

    bench.time(&format!("kernels/{name}/float32/{time}x{batch}x{hidden}/inference"), Work::Flops(products), &mut || {
        (cell.forward)(&context, &layer, &mut packed, Forward { x: &x, y: &mut y, ..Forward::default() })
    })?;
    let mut version = 0;
    bench.time(&format!("kernels/{name}/float32/{time}x{batch}x{hidden}/train"), Work::Flops(3 * products), &mut || {
        version += 1;
        let layer = Layer { version, ..layer };
        (cell.forward)(&context, &layer, &mut packed, Forward { x: &x, y: &mut y, reserve: Some(&mut reserve), ..Forward::default() })?;
        let dweights = WeightGradients {
            weight_ih: &mut dweight_ih,
            weight_hh: &mut dweight_hh,
            bias_ih: Some(&mut dbias_ih),
            bias_hh: Some(&mut dbias_hh),
        };
        let buffers = Backward {
            x: &x,
            y: &y,
            reserve: &mut reserve,
            dy: Some(&dy),
            dx: Some(&mut dx),
            dweights: Some(dweights),
            ..Backward::default()
        };
        (cell.backward)(&context, &layer, &mut packed, buffers)
    })?;
    Ok(())
}
