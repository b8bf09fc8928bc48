//! The backward pass, and arithmetic on lists of gradients.
use crate::call::{Call, Outputs, kind, same_shape};
use crate::error::{Code, Fault};
use crate::shim;
use tch::{Device, Kind, Tensor};

/// `grad`: loss, its gradient?, variables… → gradients.
pub fn grad(call: &mut Call) -> Outputs {
    let attributes = &mut call.attributes;
    let (retain, create, zeros) = (attributes.flag()?, attributes.flag()?, attributes.flag()?);
    let (loss, seed) = (call.input(0)?, call.optional(1));
    let variables = call.range(2, call.inputs.len().saturating_sub(2))?;
    // libtorch refuses tensors that record nothing; to the caller they are variables that the loss does not depend on.
    let recorded: Vec<usize> = (0..variables.len()).filter(|index| loss.requires_grad() && variables[*index].requires_grad()).collect();
    let wanted: Vec<&Tensor> = recorded.iter().map(|index| variables[*index]).collect();
    let mut gradients: Vec<Option<Tensor>> = variables.iter().map(|_| None).collect();
    if !wanted.is_empty() {
        let found = shim::grad(loss, seed, &wanted, retain || create, create).map_err(explain)?;
        for (index, gradient) in recorded.into_iter().zip(found) {
            gradients[index] = gradient;
        }
    }
    let finish = |(index, gradient): (usize, Option<Tensor>)| match gradient {
        Some(gradient) => Ok(gradient),
        None if zeros => Ok(variables[index].f_detach()?.f_zeros_like()?),
        None => Err(Fault::new(Code::Unused, "the loss does not depend on a variable").at(call.id(index + 2))),
    };
    gradients.into_iter().enumerate().map(finish).collect()
}

/// libtorch's advice names Python's arguments.
fn explain(fault: Fault) -> Fault {
    if fault.message.contains("backward through the graph a second time") {
        let message = "the graph was freed by an earlier grad; keep it there with { retain: true }";
        return Fault { message: message.to_owned(), ..fault };
    }
    if fault.message.contains("modified by an inplace operation") {
        let detail = fault.message.split(" Hint:").next().unwrap_or_default();
        let message = format!("a value that the backward pass needs was updated in place after it was used ({detail})");
        return Fault { message, ..fault };
    }
    fault
}

/// `foreachAdd`: pairwise sums of two lists.
pub fn foreach_add(call: &Call) -> Outputs {
    let count = call.inputs.len() / 2;
    let (a, b) = (call.range(0, count)?, call.range(count, count)?);
    a.into_iter().zip(b).map(|(a, b)| Ok(a.f_add(b)?)).collect()
}

/// `foreachScale`: a list times a number.
pub fn foreach_scale(call: &mut Call) -> Outputs {
    let factor = call.attributes.number()?;
    call.all()?.into_iter().map(|x| Ok(x.f_mul_scalar(factor)?)).collect()
}

fn norm(tensors: &[&Tensor]) -> Result<Tensor, Fault> {
    if tensors.is_empty() {
        return Ok(Tensor::f_zeros([], (Kind::Float, Device::Cpu))?);
    }
    // Norms of several dtypes or devices cannot be stacked.
    let (first, device) = (kind(tensors[0])?, tensors[0].device());
    let alike = tensors.iter().try_fold(true, |alike, x| Ok::<_, Fault>(alike && kind(x)? == first && x.device() == device))?;
    if alike {
        return shim::total_norm(tensors);
    }
    let norms = tensors.iter().map(|x| Ok(x.f_norm()?.f_to_device_(device, Kind::Float, false, false)?));
    Ok(Tensor::f_stack(&norms.collect::<Result<Vec<_>, Fault>>()?, 0)?.f_norm()?)
}

/// `foreachNorm`: the 2-norm of all of them together.
pub fn foreach_norm(call: &Call) -> Outputs {
    Ok(vec![norm(&call.all()?)?])
}

/// `foreachClip`: a list scaled by min(1, maxNorm / (norm + 1e-6)).
pub fn foreach_clip(call: &mut Call) -> Outputs {
    let limit = call.attributes.number()?;
    let tensors = call.all()?;
    let norm = norm(&tensors)?;
    let scale = norm.f_add_scalar(1e-6)?.f_reciprocal()?.f_mul_scalar(limit)?.f_clamp_max(1.0)?;
    // On the CPU the factor is known, and factor 1 costs nothing.
    let keep = norm.device() == Device::Cpu && scale.f_double_value(&[])? == 1.0 && !norm.requires_grad();
    let scaled =
        |x: &Tensor| Ok(if keep { x.shallow_clone() } else { x.f_mul(&scale.f_to_device_(x.device(), kind(x)?, false, false)?)? });
    tensors.into_iter().map(scaled).collect()
}

/// Gradients as an optimizer needs them: of the parameter's shape, dtype and device, contiguous.
pub fn prepared(parameter: &Tensor, gradient: &Tensor) -> Result<Tensor, Fault> {
    same_shape("a gradient", parameter, gradient)?;
    Ok(gradient.f_detach()?.f_to_device_(parameter.device(), kind(parameter)?, false, false)?.f_contiguous()?)
}
