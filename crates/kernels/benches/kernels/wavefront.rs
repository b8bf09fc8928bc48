//! Stacks of recurrences, layer by layer and as wavefronts, in turns: kernels/wavefront/CELL/TxBxH/KxD/… where K are layers, D directions.
//!
//! The machine may be busy, so the least time of many rounds counts, and rounds of all schedules alternate.

use std::time::Instant;

use quarterturn_kernels::recurrent::stack::{Backward, Forward, Schedule, Stack};
use quarterturn_kernels::recurrent::{Packed, Shape, WeightGradients, Weights};
use quarterturn_kernels::{Context, Error, gru, lstm};

use crate::{Bench, fill};

/// T, B, H; I = H.
const SHAPES: [(usize, usize, usize); 9] = [
    (128, 1, 128),
    (128, 1, 256),
    (64, 1, 512),
    (128, 4, 128),
    (128, 16, 64),
    (128, 16, 128),
    (25, 16, 512),
    (150, 32, 256),
    (25, 64, 512),
];
/// K, D
const STACKS: [(usize, usize); 4] = [(2, 1), (1, 2), (4, 1), (2, 2)];
const SECONDS: f64 = 0.4;

/// A recurrence by its functions.
struct Cell {
    name: &'static str,
    gates: usize,
    reserve_len: fn(&Stack, bool) -> usize,
    forward: fn(&Context, &Stack, &mut Vec<Packed>, Forward) -> Result<(), Error>,
    backward: fn(&Context, &Stack, &mut Vec<Packed>, Backward) -> Result<(), Error>,
}

const CELLS: [Cell; 2] = [
    Cell { name: "lstm", gates: 4, reserve_len: lstm::stack::reserve_len, forward: lstm::stack::forward, backward: lstm::stack::backward },
    Cell { name: "gru", gates: 3, reserve_len: gru::stack::reserve_len, forward: gru::stack::forward, backward: gru::stack::backward },
];

pub fn all(bench: &Bench) -> Result<(), Error> {
    for cell in &CELLS {
        for shape in SHAPES {
            for stack in STACKS {
                for train in [false, true] {
                    one(bench, cell, shape, stack, train)?;
                }
            }
        }
    }
    Ok(())
}

fn one(bench: &Bench, cell: &Cell, (time, batch, hidden): (usize, usize, usize), (k, d): (usize, usize), train: bool) -> Result<(), Error> {
    let mode = if train { "train" } else { "inference" };
    let id = format!("kernels/wavefront/{}/float32/{time}x{batch}x{hidden}/{k}x{d}/{mode}", cell.name);
    if !id.contains(&bench.pattern) {
        return Ok(());
    }
    let context = bench.context()?;
    let rows = cell.gates * hidden;
    let weight = fill(rows * d * hidden);
    let bias = fill(rows);
    let weights: Vec<Weights> = (0..k * d)
        .map(|pass| Weights {
            weight_ih: &weight[..rows * if pass < d { hidden } else { d * hidden }],
            weight_hh: &weight[..rows * hidden],
            bias_ih: Some(&bias),
            bias_hh: Some(&bias),
        })
        .collect();
    let shape = Shape { batch, time, input: hidden, hidden };
    let stack = Stack { shape, bidirectional: d == 2, lengths: None, weights: &weights, version: 0, schedule: None };
    let (x, dy) = (fill(batch * time * hidden), fill(batch * time * d * hidden));
    let (mut y, mut dx) = (dy.clone(), x.clone());
    let mut gradients: Vec<[Vec<f32>; 4]> =
        weights.iter().map(|set| [set.weight_ih, set.weight_hh, &bias, &bias].map(<[f32]>::to_vec)).collect();
    let mut reserve = vec![0.0; if train { (cell.reserve_len)(&stack, false) } else { 0 }];
    let threads = bench.threads;
    let mut schedules = vec![(None, "by the rule"), (Some(Schedule::LayerByLayer), "layer by layer")];
    schedules.push((Some(Schedule::Wavefront { groups: 1, members: threads }), "wavefront"));
    schedules.push((Some(Schedule::Wavefront { groups: threads, members: 1 }), "rows"));
    let mut packed: Vec<Vec<Packed>> = schedules.iter().map(|_| Vec::new()).collect();
    let mut least = vec![f64::INFINITY; schedules.len()];
    let mut version = 0;
    let start = Instant::now();
    let mut rounds = 0;
    while rounds < 3 || start.elapsed().as_secs_f64() < SECONDS * schedules.len() as f64 {
        for (i, &(schedule, _)) in schedules.iter().enumerate() {
            version += u64::from(train);
            let stack = Stack { version, schedule, ..stack };
            let start = Instant::now();
            let kept = train.then_some(&mut reserve[..]);
            (cell.forward)(&context, &stack, &mut packed[i], Forward { x: &x, y: &mut y, reserve: kept, ..Forward::default() })?;
            if train {
                let dweights = gradients.iter_mut().map(|[weight_ih, weight_hh, bias_ih, bias_hh]| WeightGradients {
                    weight_ih,
                    weight_hh,
                    bias_ih: Some(bias_ih),
                    bias_hh: Some(bias_hh),
                });
                let buffers = Backward {
                    x: &x,
                    y: &y,
                    reserve: &mut reserve,
                    dy: Some(&dy),
                    dx: Some(&mut dx),
                    dweights: Some(dweights.collect()),
                    ..Backward::default()
                };
                (cell.backward)(&context, &stack, &mut packed[i], buffers)?;
            }
            least[i] = least[i].min(start.elapsed().as_secs_f64());
        }
        rounds += 1;
    }
    let steps = |schedule: Schedule| schedule.serial_steps(time, k, d, batch);
    let times: Vec<String> = schedules
        .iter()
        .zip(&least)
        .map(|((schedule, name), seconds)| {
            format!("{name} {:.3} ms{}", seconds * 1e3, schedule.map_or(String::new(), |schedule| format!(" ({} steps)", steps(schedule))))
        })
        .collect();
    println!("{id:56} {}", times.join("  "));
    Ok(())
}
