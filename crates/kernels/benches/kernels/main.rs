//! Times of the kernels by themselves: `cargo bench -p quarterturn-kernels --bench kernels -- [PATTERN] [--threads N] [--isa ISA]`.
//!
//! Each line: id, median and least milliseconds, processor milliseconds (least, of all threads together, also while they wait for each
//! other), then for kernels bound by arithmetic the share that their products have of the multiply-add peak measured in the same run, for
//! those bound by memory what they move; both by the clock and by processor time, which says something even where others take the cores.
//! Training packs the weights in every call, as after an optimizer step; inference keeps them. `PyTorch` is compared elsewhere, in its own process.

mod clock;
mod peak;
mod recurrent;
mod residual;
mod scan;
mod wavefront;

use std::time::Instant;

use clock::processor_seconds;
use quarterturn_kernels::{Context, Error, Isa, Rayon};

/// What a kernel cannot do without.
#[derive(Clone, Copy)]
enum Work {
    /// Floating point operations of its matrix products.
    Flops(usize),
    /// Bytes read and written.
    Bytes(usize),
}

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
        recurrent::all(&bench)?;
        wavefront::all(&bench)?;
        scan::all(&bench)?;
        residual::all(&bench)
    })?;
    Ok(())
}

impl Bench {
    /// Runs `work` for about half a second and prints its line.
    fn time(&self, id: &str, amount: Work, work: &mut dyn FnMut() -> Result<(), Error>) -> Result<(), Error> {
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
        let rate = |seconds: f64| match amount {
            Work::Flops(flops) => format!("{:4.2} of peak", flops as f64 / seconds / 1e9 / self.peak),
            Work::Bytes(bytes) => format!("{:4.1} GB/s", bytes as f64 / seconds / 1e9),
        };
        println!(
            "{id:48} {:9.3} ms  least {:9.3}  processor {:9.3}  {}, by processor {}",
            median * 1e3,
            least * 1e3,
            processor * 1e3,
            rate(least),
            rate(processor / self.threads as f64),
        );
        Ok(())
    }

    fn context(&self) -> Result<Context<'static>, Error> {
        Context::new(&Rayon).with_isa(self.isa)
    }
}

/// `len` numbers that are nothing special.
fn fill(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 1000) as f32 / 10_000.0 - 0.05).collect()
}
