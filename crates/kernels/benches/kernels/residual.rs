//! The residual blocks: MLP, norm, highway.

use quarterturn_kernels::elman::Nonlinearity;
use quarterturn_kernels::residual_norm::{Kind, Norm};
use quarterturn_kernels::{Error, highway, residual_mlp, residual_norm};

use crate::{Bench, Work, fill};

pub fn all(bench: &Bench) -> Result<(), Error> {
    for shape in [(4096, 256, 1024), (4096, 64, 256), (2048, 512, 2048)] {
        mlp(bench, shape)?;
    }
    norm(bench, (4096, 256))?;
    for shape in [(64, 256, 50), (1, 256, 50), (1024, 64, 50), (4096, 256, 4)] {
        stack(bench, shape)?;
    }
    Ok(())
}

fn mlp(bench: &Bench, (rows, width, hidden): (usize, usize, usize)) -> Result<(), Error> {
    let (weight_1, weight_2) = (fill(hidden * width), fill(width * hidden));
    let (norm_weight, norm_bias, bias_1, bias_2) = (fill(width), fill(width), fill(hidden), fill(width));
    let weights = residual_mlp::Weights {
        norm_weight: Some(&norm_weight),
        norm_bias: Some(&norm_bias),
        weight_1: &weight_1,
        bias_1: Some(&bias_1),
        weight_2: &weight_2,
        bias_2: Some(&bias_2),
    };
    let shape = residual_mlp::Shape { rows, width, hidden };
    let block = residual_mlp::Block { shape, weights, eps: 1e-5, version: 0 };
    let (x, dy) = (fill(rows * width), fill(rows * width));
    let (mut y, mut dx, mut reserve) = (x.clone(), x.clone(), vec![0.0; residual_mlp::reserve_len(&shape)]);
    let (mut dweight_1, mut dweight_2) = (weight_1.clone(), weight_2.clone());
    let (mut dnorm_weight, mut dnorm_bias, mut dbias_1, mut dbias_2) = (fill(width), fill(width), fill(hidden), fill(width));
    let (context, mut packed) = (bench.context()?, residual_mlp::Packed::default());
    let id = |what: &str| format!("kernels/residual-mlp/float32/{rows}x{width}x{hidden}/{what}");
    let products = 4 * rows * width * hidden;
    bench.time(&id("inference"), Work::Flops(products), &mut || {
        residual_mlp::forward(&context, &block, &mut packed, residual_mlp::Forward { x: &x, y: &mut y, reserve: None })
    })?;
    let mut version = 0;
    bench.time(&id("train"), Work::Flops(3 * products), &mut || {
        version += 1;
        let block = residual_mlp::Block { version, ..block };
        residual_mlp::forward(&context, &block, &mut packed, residual_mlp::Forward { x: &x, y: &mut y, reserve: Some(&mut reserve) })?;
        let buffers = residual_mlp::Backward {
            x: &x,
            reserve: &mut reserve,
            dy: &dy,
            dx: &mut dx,
            dnorm_weight: Some(&mut dnorm_weight),
            dnorm_bias: Some(&mut dnorm_bias),
            dweight_1: &mut dweight_1,
            dbias_1: Some(&mut dbias_1),
            dweight_2: &mut dweight_2,
            dbias_2: Some(&mut dbias_2),
        };
        residual_mlp::backward(&context, &block, &mut packed, buffers)
    })
}

fn norm(bench: &Bench, (rows, width): (usize, usize)) -> Result<(), Error> {
    let (shape, len) = (residual_norm::Shape { rows, width }, rows * width);
    let norm = Norm { kind: Kind::Layer, eps: 1e-5 };
    let (x, residual, dy, weight, bias) = (fill(len), fill(len), fill(len), fill(width), fill(width));
    let (mut sum, mut y, mut dx, mut statistics) = (fill(len), fill(len), fill(len), fill(2 * rows));
    let (mut dweight, mut dbias) = (fill(width), fill(width));
    let context = bench.context()?;
    bench.time(&format!("kernels/residual-norm/float32/{rows}x{width}/train"), Work::Bytes(8 * 4 * len), &mut || {
        let buffers = residual_norm::Forward {
            x: &x,
            residual: Some(&residual),
            weight: Some(&weight),
            bias: Some(&bias),
            sum: Some(&mut sum),
            y: &mut y,
            statistics: Some(&mut statistics),
        };
        residual_norm::forward(&context, &shape, norm, buffers)?;
        let buffers = residual_norm::Backward {
            sum: &sum,
            weight: Some(&weight),
            statistics: &statistics,
            dy: &dy,
            dsum: Some(&residual),
            dx: &mut dx,
            dweight: Some(&mut dweight),
            dbias: Some(&mut dbias),
        };
        residual_norm::backward(&context, &shape, norm, buffers)
    })
}

fn stack(bench: &Bench, (rows, width, layers): (usize, usize, usize)) -> Result<(), Error> {
    let shape = highway::Shape { rows, width, layers };
    let (weight, bias) = (fill(layers * 2 * width * width), fill(layers * 2 * width));
    let stack = highway::Stack { shape, nonlinearity: Nonlinearity::Tanh, weight: &weight, bias: Some(&bias) };
    let (x, dy) = (fill(rows * width), fill(rows * width));
    let (mut y, mut dx, mut reserve) = (x.clone(), x.clone(), vec![0.0; highway::reserve_len(&shape)]);
    let (mut dweight, mut dbias) = (weight.clone(), bias.clone());
    let context = bench.context()?;
    let id = |what: &str| format!("kernels/highway/float32/{rows}x{width}x{layers}/{what}");
    let products = 4 * rows * width * width * layers;
    bench.time(&id("inference"), Work::Flops(products), &mut || {
        highway::forward(&context, &stack, highway::Forward { x: &x, y: &mut y, reserve: None })
    })?;
    bench.time(&id("forward"), Work::Flops(products), &mut || {
        highway::forward(&context, &stack, highway::Forward { x: &x, y: &mut y, reserve: Some(&mut reserve) })
    })?;
    bench.time(&id("train"), Work::Flops(3 * products), &mut || {
        highway::forward(&context, &stack, highway::Forward { x: &x, y: &mut y, reserve: Some(&mut reserve) })?;
        let buffers =
            highway::Backward { x: &x, reserve: &mut reserve, dy: &dy, dx: &mut dx, dweight: &mut dweight, dbias: Some(&mut dbias) };
        highway::backward(&context, &stack, buffers)
    })
}
