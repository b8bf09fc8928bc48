//! All layers and directions forward in time.

use std::ptr::{null, null_mut};

use super::{Forward, Kept, Schedule, Stack};
use crate::bfloat16::Numbers;
use crate::recurrent::forward::{Pass, Run, Task};
use crate::recurrent::layout::Before;
use crate::recurrent::plan::Plan;
use crate::recurrent::wavefront::{Node, Wavefront};
use crate::recurrent::{Cell, Layer, Packed};
use crate::{Context, Error};

pub(crate) fn forward<C: Cell>(context: &Context, stack: &Stack, packed: &mut Vec<Packed>, mut buffers: Forward) -> Result<(), Error> {
    buffers.check::<C>(stack)?;
    let shape = stack.shape;
    let passes = stack.weights.len();
    let (directions, output, masks) = (stack.directions(), stack.output(), buffers.masks.is_some());
    packed.resize_with(passes, Packed::default);
    let kept = Kept::new::<C>(stack, buffers.reserve.is_some(), masks);
    let scratch = context.pool().take(if buffers.reserve.is_some() { 0 } else { kept.len });
    let training = buffers.reserve.is_some();
    let memory = buffers.reserve.as_mut().map_or(scratch.start(), |reserve| reserve.as_mut_ptr());
    let y = buffers.y.as_mut_ptr();
    let states = |pass: usize| pass * shape.state_len()..(pass + 1) * shape.state_len();
    let mut out = |pass: usize| {
        let of = |state: &mut Option<&mut [f32]>| Numbers::of_mut(&mut state.as_mut().map(|state| &mut state[states(pass)]));
        (of(&mut buffers.h_n), of(&mut buffers.c_n))
    };
    let layers: Vec<Layer> = (0..passes).map(|pass| stack.layer(pass)).collect();
    let runs: Vec<Run> = (0..passes)
        .map(|pass| {
            let (layer, direction) = (pass / directions, pass % directions);
            let is_last = layer + 1 == stack.layers();
            let mine = direction * shape.hidden;
            let y = if is_last { y } else { memory.wrapping_add(kept.outputs[layer]) }.wrapping_add(mine);
            let mask = buffers.masks.filter(|_| !is_last).map_or(null(), |masks| masks[layer * stack.output_len()..].as_ptr());
            let (h_n, c_n) = out(pass);
            Run {
                steps: 0..shape.time,
                before: Before::new(
                    context,
                    &layers[pass],
                    (y.cast_const(), output),
                    buffers.h_0.map(|h_0| &h_0[states(pass)]),
                    buffers.c_0.map(|c_0| &c_0[states(pass)]),
                ),
                x: if layer == 0 { buffers.x.as_ptr() } else { memory.wrapping_add(kept.input(layer, masks)).cast_const() }.into(),
                y: y.into(),
                y_stride: output,
                mask: if mask.is_null() { mask } else { mask.wrapping_add(mine) },
                dropped: if mask.is_null() { null_mut() } else { memory.wrapping_add(kept.dropped[layer] + mine) },
                h_n,
                c_n,
                reserve: if training { memory.wrapping_add(kept.passes[pass]) } else { null_mut() },
                marks: null_mut(),
            }
        })
        .collect();
    let schedule = stack.schedule.unwrap_or_else(|| Schedule::new::<C>(stack, context.isa().lanes(), context.parallel().threads()));
    let Schedule::Wavefront { groups, members } = schedule else {
        for ((run, layer), packed) in runs.into_iter().zip(&layers).zip(packed) {
            run.go::<C, f32>(context, layer, packed);
        }
        return Ok(());
    };
    if shape.batch == 0 || shape.hidden == 0 {
        return Ok(());
    }
    let groups = groups.clamp(1, shape.batch);
    layers.iter().zip(packed.iter_mut()).for_each(|(layer, packed)| packed.prepare_forward::<C, f32>(context, layer));
    let front = Wavefront::new(passes, groups);
    let plan = Plan { groups, members: 1 };
    let piece = schedule.piece(plan.most_rows(shape.batch));
    let walks: Vec<Pass<C>> = runs
        .into_iter()
        .enumerate()
        .map(|(index, run)| {
            let node = Node { front: &front, index, needs: stack.neighbours(index, false), piece, time: shape.time };
            Pass::new(context, &layers[index], &packed[index], plan, Some(node), run)
        })
        .collect();
    context.parallel().run(groups * members.max(1), &|task| {
        front.work(task, |pass, group| {
            // SAFETY: the context vouches for the instruction set, checks for the buffers; passes write disjoint memory, and read what others
            // have published.
            unsafe { context.isa().run(Task { pass: &walks[pass], task: group }) }
        });
    });
    Ok(())
}
