//! Times of the recurrent kernels by themselves: `cargo bench -p quarterturn-kernels --bench recurrent -- [PATTERN] [--threads N] [--isa ISA]`.
//!
//! Each line: id, median and least milliseconds, processor milliseconds (least, of all threads together, also while they wait for each
//! other), and the share that the products have of the multiply-add peak measured in the same run, by the clock and by processor time.
//! Processor time says something even where other processes take the cores.
//! Training packs the weights in every call, as after an optimizer step; inference keeps them. `PyTorch` is compared elsewhere, in its own process.

mod clock;
mod peak;

use std::time::Instant;

use clock::processor_seconds;
use quarterturn_kernels::elman::Nonlinearity;
use quarterturn_kernels::recurrent::{Backward, Forward, Layer, Options, Packed, Shape, WeightGradients, Weights};
use quarterturn_kernels::{Context, Error, Isa, Rayon, elman, gru, lstm};

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
    reserve_len: fn(&Shape) -> usize,
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

struct Bench {
    pattern: String,
    threads: usize,
    isa: Isa,
    /// GF/s of all threads.
    peak: f64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut bench = Bench { pattern: String::new(), threads: 0, isa: Isa::detected(), peak: 0.0 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--threads" => bench.threads = arguments.next().unwrap_or_default().parse()?,
            "--isa" => bench.isa = arguments.next().unwrap_or_default().parse()?,
            pattern => pattern.clone_into(&mut bench.pattern),
        }
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(bench.threads).build()?;
    bench.threads = pool.current_num_threads();
    bench.peak = peak::multiply_add(bench.isa, bench.threads);
    println!("{}, {} threads, multiply-add peak {:.0} GF/s", bench.isa, bench.threads, bench.peak);
    pool.install(|| {
        for shape in SHAPES {
            for cell in &CELLS {
                bench.layer(cell, shape)?;
            }
        }
        Ok::<(), Error>(())
    })?;
    Ok(())
}

impl Bench {
    fn layer(&self, cell: &Cell, (time, batch, hidden): (usize, usize, usize)) -> Result<(), Error> {
        let Cell { name, gates, .. } = *cell;
        let shape = Shape { batch, time, input: hidden, hidden };
        let fill = |len: usize| (0..len).map(|i| ((i * 7919) % 1000) as f32 / 10_000.0 - 0.05).collect::<Vec<f32>>();
        let (weight_ih, weight_hh) = (fill(gates * hidden * hidden), fill(gates * hidden * hidden));
        let (bias_ih, bias_hh) = (fill(gates * hidden), fill(gates * hidden));
        let weights = Weights { weight_ih: &weight_ih, weight_hh: &weight_hh, bias_ih: Some(&bias_ih), bias_hh: Some(&bias_hh) };
        let x = fill(batch * time * hidden);
        let (mut y, mut dx) = (x.clone(), x.clone());
        let dy = fill(batch * time * hidden);
        let (mut dweight_ih, mut dweight_hh) = (weight_ih.clone(), weight_hh.clone());
        let (mut dbias_ih, mut dbias_hh) = (bias_ih.clone(), bias_hh.clone());
        let mut reserve = vec![0.0; (cell.reserve_len)(&shape)];
        let context = Context::new(&Rayon).with_isa(self.isa)?;
        let mut packed = Packed::default();
        let layer = Layer { shape, options: Options::default(), weights, version: 0 };
        let products = (2 * time * batch * gates * hidden * 2 * hidden) as f64;

        self.time(&format!("kernels/{name}/float32/{time}x{batch}x{hidden}/inference"), products, &mut || {
            (cell.forward)(&context, &layer, &mut packed, Forward { x: &x, y: &mut y, ..Forward::default() })
        })?;
        let mut version = 0;
        self.time(&format!("kernels/{name}/float32/{time}x{batch}x{hidden}/train"), 3.0 * products, &mut || {
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

    /// Runs `work` for about half a second and prints its line.
    fn time(&self, id: &str, flops: f64, work: &mut dyn FnMut() -> Result<(), Error>) -> Result<(), Error> {
        if !id.contains(&self.pattern) {
            return Ok(());
        }
        work()?;
        let mut times = Vec::new();
        let mut processor = f64::INFINITY;
        let start = Instant::now();
        while times.len() < 5 || start.elapsed().as_secs_f64() < 0.5 {
            let (start, used) = (Instant::now(), processor_seconds());
            work()?;
            times.push(start.elapsed().as_secs_f64());
            processor = processor.min(processor_seconds() - used);
        }
        times.sort_by(f64::total_cmp);
        let (least, median) = (times[0], times[times.len() / 2]);
        let share = |seconds: f64| flops / seconds / 1e9 / self.peak;
        let by_processor = share(processor / self.threads as f64);
        println!(
            "{id:48} {:9.3} ms  least {:9.3}  processor {:9.3}  of peak {:4.2}, by processor {by_processor:4.2}",
            median * 1e3,
            least * 1e3,
            processor * 1e3,
            share(least),
        );
        Ok(())
    }
}
