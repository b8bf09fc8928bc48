//! Passes to count the instructions of: `instructions KERNEL PASSES`, one thread, AVX2 (valgrind has no AVX-512).
//!
//! `scripts/instructions.mjs` runs it under valgrind twice and takes the difference, so that only the passes count. The counts of one
//! compiler are the same on every machine, busy or not. Every pass packs the weights, as after an optimizer step.

use quarterturn_kernels::recurrent::{Backward, Forward, Layer, Options, Packed, Shape, WeightGradients, Weights};
use quarterturn_kernels::{Context, Error, Isa, Serial, gru, lstm, scan};

const SHAPE: Shape = Shape { batch: 16, time: 16, input: 64, hidden: 64 };

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (kernel, passes) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default().parse()?);
    let context = Context::new(&Serial).with_isa(Isa::Avx2)?;
    let lstm = Cell { gates: lstm::GATES.len(), reserve_len: lstm::reserve_len, forward: lstm::forward, backward: lstm::backward };
    let gru = Cell { gates: gru::GATES.len(), reserve_len: gru::reserve_len, forward: gru::forward, backward: gru::backward };
    match kernel.as_str() {
        "lstm/forward" => lstm.forward(&context, passes),
        "lstm/backward" => lstm.backward(&context, passes),
        "gru/forward" => gru.forward(&context, passes),
        "gru/backward" => gru.backward(&context, passes),
        "scan/forward" => scan_forward(&context, passes),
        "scan/backward" => scan_backward(&context, passes),
        _ => return Err(format!("no kernel {kernel}").into()),
    }?;
    Ok(())
}

/// A dense recurrence by its functions.
struct Cell {
    gates: usize,
    reserve_len: fn(&Shape, Options) -> usize,
    forward: fn(&Context, &Layer, &mut Packed, Forward) -> Result<(), Error>,
    backward: fn(&Context, &Layer, &mut Packed, Backward) -> Result<(), Error>,
}

/// The tensors of one layer.
struct Tensors {
    weight: Vec<f32>,
    bias: Vec<f32>,
    x: Vec<f32>,
    y: Vec<f32>,
    reserve: Vec<f32>,
    packed: Packed,
}

impl Cell {
    fn tensors(&self) -> Tensors {
        let len = SHAPE.batch * SHAPE.time * SHAPE.hidden;
        Tensors {
            weight: fill(self.gates * SHAPE.hidden * SHAPE.hidden),
            bias: fill(self.gates * SHAPE.hidden),
            x: fill(len),
            y: fill(len),
            reserve: fill((self.reserve_len)(&SHAPE, Options::default())),
            packed: Packed::default(),
        }
    }

    /// Training's forward pass.
    fn forward(&self, context: &Context, passes: u64) -> Result<(), Error> {
        let mut tensors = self.tensors();
        (0..passes).try_for_each(|version| self.pass(context, &mut tensors, version))
    }

    fn pass(&self, context: &Context, tensors: &mut Tensors, version: u64) -> Result<(), Error> {
        let Tensors { weight, bias, x, y, reserve, packed } = tensors;
        let buffers = Forward { x, y, reserve: Some(reserve), ..Forward::default() };
        (self.forward)(context, &layer(weight, bias, version), packed, buffers)
    }

    /// Only the backward pass; each uses up a copy of what one forward pass saved.
    fn backward(&self, context: &Context, passes: u64) -> Result<(), Error> {
        let mut tensors = self.tensors();
        self.pass(context, &mut tensors, 0)?;
        let Tensors { weight, bias, x, y, reserve, mut packed } = tensors;
        let mut used = reserve.clone();
        let (dy, mut dx) = (fill(y.len()), x.clone());
        let (mut weight_ih, mut weight_hh, mut bias_ih, mut bias_hh) = (weight.clone(), weight.clone(), bias.clone(), bias.clone());
        for version in 1..=passes {
            used.copy_from_slice(&reserve);
            let dweights = WeightGradients {
                weight_ih: &mut weight_ih,
                weight_hh: &mut weight_hh,
                bias_ih: Some(&mut bias_ih),
                bias_hh: Some(&mut bias_hh),
            };
            let buffers = Backward {
                x: &x,
                y: &y,
                reserve: &mut used,
                dy: Some(&dy),
                dx: Some(&mut dx),
                dweights: Some(dweights),
                ..Backward::default()
            };
            (self.backward)(context, &layer(&weight, &bias, version), &mut packed, buffers)?;
        }
        Ok(())
    }
}

fn layer<'a>(weight: &'a [f32], bias: &'a [f32], version: u64) -> Layer<'a> {
    let weights = Weights { weight_ih: weight, weight_hh: weight, bias_ih: Some(bias), bias_hh: Some(bias) };
    Layer { shape: SHAPE, options: Options::default(), weights, version }
}

const SCAN: scan::Shape = scan::Shape { batch: SHAPE.batch, time: 16 * SHAPE.time, hidden: SHAPE.hidden };

fn scan_forward(context: &Context, passes: u64) -> Result<(), Error> {
    let len = SCAN.batch * SCAN.time * SCAN.hidden;
    let (a, b, mut y) = (fill(len), fill(len), fill(len));
    (0..passes).try_for_each(|_| {
        let buffers = scan::Forward { inputs: [&a, &b], y_0: None, y: &mut y, y_n: None };
        scan::forward(context, &SCAN, Options::default(), buffers)
    })
}

fn scan_backward(context: &Context, passes: u64) -> Result<(), Error> {
    let len = SCAN.batch * SCAN.time * SCAN.hidden;
    let (a, b, y, dy, mut da, mut db) = (fill(len), fill(len), fill(len), fill(len), fill(len), fill(len));
    (0..passes).try_for_each(|_| {
        let dinputs = [&mut da[..], &mut db[..]];
        let buffers = scan::Backward { inputs: [&a, &b], y_0: None, y: &y, dy: Some(&dy), dy_n: None, dinputs, dy_0: None };
        scan::backward(context, &SCAN, Options::default(), buffers)
    })
}

/// `len` numbers that are nothing special.
fn fill(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 1000) as f32 / 10_000.0 - 0.05).collect()
}
