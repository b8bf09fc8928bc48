//! Operations that run programs: checkpointing, custom gradients, loops over an axis.
use crate::call::{Call, Outputs, Setting, kind};
use crate::closure::Closure;
use crate::error::{Code, Fault};
use crate::program::{Program, unknown};
use std::sync::Arc;
use tch::Tensor;

fn program(call: &mut Call) -> Result<Arc<Program>, Fault> {
    let id = call.attributes.index()?;
    call.context.programs.get(&id).map(Arc::clone).ok_or_else(|| unknown(id))
}

/// `checkpoint`: keeps the inputs only, and computes the rest again in the backward pass.
pub fn checkpoint(call: &mut Call) -> Outputs {
    let program = program(call)?;
    Closure::Checkpoint { program, setting: call.context.setting }.apply(&call.all()?)
}

/// `customGrad`: a forward program with a backward program in place of its derivative.
pub fn custom_grad(call: &mut Call) -> Outputs {
    let (forward, backward) = (program(call)?, program(call)?);
    Closure::CustomGrad { forward, backward, setting: call.context.setting }.apply(&call.all()?)
}

/// `scan`: runs a body once per index of an axis, carrying states.
pub fn scan(call: &mut Call) -> Outputs {
    let body = program(call)?;
    let attributes = &mut call.attributes;
    let (constants, states, sequences) = (attributes.length()?, attributes.length()?, attributes.length()?);
    let (axis, reverse) = (attributes.integer()?, attributes.flag()?);
    if call.inputs.len() != constants + states + sequences || body.output_count() < states {
        return Err(Fault::engine("the body does not fit the inputs"));
    }
    let fixed = call.range(0, constants)?;
    let mut carried: Vec<Tensor> = call.range(constants, states)?.into_iter().map(Tensor::shallow_clone).collect();
    // Unbound once: a selection per step would make every step's gradient as long as the whole.
    let rows = call.range(constants + states, sequences)?.into_iter().map(|x| Ok(x.f_unbind(axis)?)).collect::<Result<Vec<_>, Fault>>()?;
    let steps = rows.first().map_or(0, Vec::len);
    if rows.iter().any(|row| row.len() != steps) {
        return Err(Fault::new(Code::Shape, "the sequences differ in length"));
    }
    let stacked = body.output_count() - states;
    if steps == 0 {
        let sequences = call.range(constants + states, sequences)?;
        carried.extend(no_steps(&body, &fixed, &carried, &sequences, axis)?);
        return Ok(carried);
    }
    let mut made: Vec<Vec<Tensor>> = (0..stacked).map(|_| Vec::with_capacity(steps)).collect();
    for step in 0..steps {
        let index = if reverse { steps - 1 - step } else { step };
        let inputs = fixed.iter().map(|x| x.shallow_clone()).chain(carried).chain(rows.iter().map(|row| row[index].shallow_clone()));
        let number = u32::try_from(step).map_err(|_| Fault::engine("too many steps"))?;
        let mut outputs =
            body.run_whole(inputs.collect(), Setting { iteration: [number, call.context.setting.iteration[0]], ..call.context.setting })?;
        for (list, output) in made.iter_mut().zip(outputs.drain(states..)) {
            list.push(output);
        }
        carried = outputs;
    }
    for mut list in made {
        if reverse {
            list.reverse();
        }
        carried.push(Tensor::f_stack(&list, axis)?);
    }
    Ok(carried)
}

/// What a scan of no steps stacks: the body is run once on zeros to learn the shapes.
fn no_steps(body: &Program, fixed: &[&Tensor], carried: &[Tensor], sequences: &[&Tensor], axis: i64) -> Outputs {
    let zeros = sequences.iter().map(|x| {
        let mut shape = x.size();
        let axis = usize::try_from(axis)
            .ok()
            .filter(|axis| *axis < shape.len())
            .ok_or_else(|| Fault::new(Code::Shape, format!("{shape:?} has no axis {axis}")))?;
        shape.remove(axis);
        Ok(Tensor::f_zeros(shape, (kind(x)?, x.device()))?)
    });
    let zeros = zeros.collect::<Result<Vec<_>, Fault>>()?;
    let inputs = fixed.iter().map(|x| x.shallow_clone()).chain(carried.iter().map(Tensor::shallow_clone)).chain(zeros);
    let outputs = body.run_whole(inputs.collect(), Setting { iteration: [0, 0], grad: false, again: true })?;
    outputs.iter().skip(carried.len()).map(|output| Ok(output.f_unsqueeze(axis)?.f_slice(axis, 0, 0, 1)?)).collect()
}
