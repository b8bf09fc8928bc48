//! All layers and directions backward in time: from the last layer down, and in each from its last step to its first.

use std::ptr::null;
use std::sync::{Mutex, PoisonError};

use super::{Backward, Kept, Schedule, Stack};
use crate::bfloat16::Numbers;
use crate::parallel::row_tasks;
use crate::pool::Buffer;
use crate::recurrent::backward::{Incoming, Pass, Run, Task, weight_gradients};
use crate::recurrent::layout::Before;
use crate::recurrent::plan::Plan;
use crate::recurrent::wavefront::{Needed, Node, Wavefront};
use crate::recurrent::{Cell, Layer, Packed, WeightGradients};
use crate::{Context, Error};

pub(crate) fn backward<C: Cell>(context: &Context, stack: &Stack, packed: &mut Vec<Packed>, mut buffers: Backward) -> Result<(), Error> {
    buffers.check::<C>(stack)?;
    let shape = stack.shape;
    let passes = stack.weights.len();
    let (directions, output, masks) = (stack.directions(), stack.output(), buffers.masks.is_some());
    if shape.batch == 0 || shape.hidden == 0 {
        // Nothing depends on anything.
        for gradient in [&mut buffers.dx, &mut buffers.dh_0, &mut buffers.dc_0].into_iter().flatten() {
            gradient.fill(0.0);
        }
        buffers.dweights.iter_mut().flatten().for_each(WeightGradients::clear);
        return Ok(());
    }
    packed.resize_with(passes, Packed::default);
    let kept = Kept::new::<C>(stack, true, masks);
    let memory = buffers.reserve.as_mut_ptr();
    let states = |pass: usize| pass * shape.state_len()..(pass + 1) * shape.state_len();
    let dx_of_first = Numbers::of_mut(&mut buffers.dx);
    // Each pass gives a gradient of its own to what it read; what comes to a layer is the sum of those of the directions above it.
    let dx: Vec<Buffer> = (0..passes)
        .map(|pass| {
            let is_used = pass >= directions || (pass == 1 && !dx_of_first.is_null());
            context.pool().take(if is_used { stack.layer(pass).shape.x_len() } else { 0 })
        })
        .collect();
    let layers: Vec<Layer> = (0..passes).map(|pass| stack.layer(pass)).collect();
    let mut gradients = |pass: usize| {
        let of = |state: &mut Option<&mut [f32]>| Numbers::of_mut(&mut state.as_mut().map(|state| &mut state[states(pass)]));
        (of(&mut buffers.dh_0), of(&mut buffers.dc_0))
    };
    // From the last pass to the first: the order in which they are computed.
    let runs: Vec<Run> = (0..passes)
        .rev()
        .map(|pass| {
            let (layer, direction) = (pass / directions, pass % directions);
            let is_last = layer + 1 == stack.layers();
            let mine = direction * shape.hidden;
            let above = (layer + 1) * directions;
            let read = |state: Option<&[f32]>| Numbers::of(state.map(|state| &state[states(pass)]));
            let y = if is_last { buffers.y.as_ptr() } else { memory.wrapping_add(kept.outputs[layer]) };
            let dy = if is_last {
                let dy = Numbers::of(buffers.dy).at(mine);
                Incoming { dy, more: null(), mask: null(), stride: output }
            } else {
                let of = |pass: usize| dx[pass].start().wrapping_add(mine).cast_const();
                let mask = buffers.masks.map_or(null(), |masks| masks[layer * stack.output_len()..].as_ptr().wrapping_add(mine));
                Incoming { dy: of(above).into(), more: if directions == 2 { of(above + 1) } else { null() }, mask, stride: output }
            };
            let (dh_0, dc_0) = gradients(pass);
            Run {
                steps: 0..shape.time,
                before: Before::new(
                    context,
                    &layers[pass],
                    (y.wrapping_add(mine), output),
                    buffers.h_0.map(|h_0| &h_0[states(pass)]),
                    buffers.c_0.map(|c_0| &c_0[states(pass)]),
                ),
                fresh: true,
                x: if layer == 0 { buffers.x.as_ptr() } else { memory.wrapping_add(kept.input(layer, masks)).cast_const() }.into(),
                reserve: memory.wrapping_add(kept.passes[pass]),
                dy,
                dh_n: read(buffers.dh_n),
                dc_n: read(buffers.dc_n),
                dx: match pass {
                    0 => dx_of_first,
                    _ if dx[pass].is_empty() => Numbers::ABSENT,
                    _ => dx[pass].start().into(),
                },
                dh_0,
                dc_0,
            }
        })
        .collect();
    go::<C>(context, stack, &layers, packed, runs, buffers.dweights);
    if let (Some(to), true) = (buffers.dx, directions == 2) {
        add(context, to, &dx[1]);
    }
    Ok(())
}

/// Runs the passes, which come in the order of computing, and sums the gradients of their weights.
fn go<C: Cell>(
    context: &Context,
    stack: &Stack,
    layers: &[Layer],
    packed: &mut [Packed],
    runs: Vec<Run>,
    dweights: Option<Vec<WeightGradients>>,
) {
    let (shape, passes) = (stack.shape, layers.len());
    let schedule = stack.schedule.unwrap_or_else(|| Schedule::new::<C>(stack, context.isa().lanes(), context.parallel().threads()));
    match schedule {
        Schedule::LayerByLayer => {
            let mut dweights: Vec<Option<WeightGradients>> = match dweights {
                Some(gradients) => gradients.into_iter().map(Some).collect(),
                None => (0..passes).map(|_| None).collect(),
            };
            for (run, pass) in runs.into_iter().zip((0..passes).rev()) {
                run.go::<C, f32>(context, &layers[pass], &mut packed[pass], &mut dweights[pass]);
            }
        }
        Schedule::Wavefront { groups, members } => {
            let groups = groups.clamp(1, shape.batch);
            layers.iter().zip(packed.iter_mut()).for_each(|(layer, packed)| packed.prepare_backward::<C, f32>(context, layer));
            let front = Wavefront::new(passes, groups);
            let plan = Plan { groups, members: 1 };
            let piece = schedule.piece(plan.most_rows(shape.batch));
            let weighs = dweights.is_some();
            let walks: Vec<Pass<C>> = runs
                .into_iter()
                .enumerate()
                .map(|(index, run)| {
                    let pass = passes - 1 - index;
                    let needs = stack.neighbours(pass, true).into_iter();
                    let needs = needs.map(|needed| Needed { index: passes - 1 - needed.index, ..needed }).collect();
                    let node = Node { front: &front, index, needs, piece, time: shape.time };
                    Pass::new(context, &layers[pass], &packed[pass], plan, Some(node), weighs, run)
                })
                .collect();
            context.parallel().run(groups * members.max(1), &|task| {
                front.work(task, |pass, group| {
                    // SAFETY: the context vouches for the instruction set, checks for the buffers; passes write disjoint memory, and read what
                    // others have published.
                    unsafe { context.isa().run(Task { pass: &walks[pass], task: group }) }
                });
            });
            if let Some(mut dweights) = dweights {
                let mut to: Vec<&mut WeightGradients> = dweights.iter_mut().rev().collect();
                weight_gradients(context, &walks, &mut to);
            }
        }
    }
}

/// to += from
fn add(context: &Context, to: &mut [f32], from: &[f32]) {
    let parts = row_tasks(context.parallel(), from.len(), 1).max(1);
    let len = from.len().div_ceil(parts).max(1);
    let parts: Vec<Mutex<(&mut [f32], &[f32])>> = to.chunks_mut(len).zip(from.chunks(len)).map(Mutex::new).collect();
    context.parallel().run(parts.len(), &|part| {
        let mut part = parts[part].lock().unwrap_or_else(PoisonError::into_inner);
        let (to, from) = &mut *part;
        to.iter_mut().zip(*from).for_each(|(to, from)| *to += from);
    });
}
