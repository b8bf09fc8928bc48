//! The scan, minGRU and minLSTM.

use quarterturn_kernels::mingru::Candidate;
use quarterturn_kernels::recurrent::Options;
use quarterturn_kernels::scan::{Backward, Forward, Shape};
use quarterturn_kernels::{Context, Error, mingru, minlstm, scan};

use crate::{Bench, Work, fill};

/// T, B, H
const SHAPES: [(usize, usize, usize); 2] = [(1024, 16, 256), (1024, 16, 64)];

pub fn all(bench: &Bench) -> Result<(), Error> {
    for shape in SHAPES {
        scan_of_two(bench, shape)?;
        gated(bench, "mingru", 2, shape, mingru::forward, mingru::backward)?;
        gated(bench, "minlstm", 3, shape, minlstm::forward, minlstm::backward)?;
    }
    Ok(())
}

fn scan_of_two(bench: &Bench, (time, batch, hidden): (usize, usize, usize)) -> Result<(), Error> {
    let (shape, len) = (Shape { batch, time, hidden }, batch * time * hidden);
    let (a, b, dy) = (fill(len), fill(len), fill(len));
    let (mut y, mut da, mut db) = (fill(len), fill(len), fill(len));
    let context = bench.context()?;
    let id = |what: &str| format!("kernels/scan/float32/{time}x{batch}x{hidden}/{what}");
    bench.time(&id("inference"), Work::Bytes(3 * 4 * len), &mut || {
        scan::forward(&context, &shape, Options::default(), Forward { inputs: [&a, &b], y_0: None, y: &mut y, y_n: None })
    })?;
    bench.time(&id("train"), Work::Bytes(8 * 4 * len), &mut || {
        scan::forward(&context, &shape, Options::default(), Forward { inputs: [&a, &b], y_0: None, y: &mut y, y_n: None })?;
        let dinputs = [&mut da[..], &mut db[..]];
        let buffers = Backward { inputs: [&a, &b], y_0: None, y: &y, dy: Some(&dy), dy_n: None, dinputs, dy_0: None };
        scan::backward(&context, &shape, Options::default(), buffers)
    })
}

type ForwardPass = fn(&Context, &Shape, Options, Candidate, Forward<1>) -> Result<(), Error>;
type BackwardPass = fn(&Context, &Shape, Options, Candidate, Backward<1>) -> Result<(), Error>;

fn gated(
    bench: &Bench,
    name: &str,
    gates: usize,
    (time, batch, hidden): (usize, usize, usize),
    forward: ForwardPass,
    backward: BackwardPass,
) -> Result<(), Error> {
    let (shape, len) = (Shape { batch, time, hidden }, batch * time * hidden);
    let (p, dy) = (fill(gates * len), fill(len));
    let (mut y, mut dp) = (fill(len), fill(gates * len));
    let context = bench.context()?;
    let id = |what: &str| format!("kernels/{name}/float32/{time}x{batch}x{hidden}/{what}");
    bench.time(&id("inference"), Work::Bytes((gates + 1) * 4 * len), &mut || {
        let buffers = Forward { inputs: [&p], y_0: None, y: &mut y, y_n: None };
        forward(&context, &shape, Options::default(), Candidate::Linear, buffers)
    })?;
    bench.time(&id("train"), Work::Bytes((3 * gates + 3) * 4 * len), &mut || {
        let buffers = Forward { inputs: [&p], y_0: None, y: &mut y, y_n: None };
        forward(&context, &shape, Options::default(), Candidate::Linear, buffers)?;
        let buffers = Backward { inputs: [&p], y_0: None, y: &y, dy: Some(&dy), dy_n: None, dinputs: [&mut dp], dy_0: None };
        backward(&context, &shape, Options::default(), Candidate::Linear, buffers)
    })
}
