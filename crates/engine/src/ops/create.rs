//! Tensors from nothing or from bytes, copies, conversions, and the in-place updates of variables.
use crate::attributes::dtype_name;
use crate::call::{Call, Outputs, is_integer, same_shape};
use crate::device::available;
use crate::error::{Code, Fault};
use crate::shim;
use tch::{Device, Tensor};

/// The elements of a shape.
fn numel(shape: &[i64]) -> Result<usize, Fault> {
    let product = shape.iter().try_fold(1i64, |product, size| product.checked_mul(*size));
    product.and_then(|product| usize::try_from(product).ok()).ok_or_else(|| Fault::new(Code::Shape, format!("{shape:?} is not a shape")))
}

/// `fromBytes`: staged bytes as a tensor.
pub fn from_bytes(call: &mut Call) -> Outputs {
    let attributes = &mut call.attributes;
    let (staged, kind, device, shape) = (attributes.index()?, attributes.kind()?, attributes.device()?, attributes.list()?);
    let staging = call.context.staging.ok_or_else(|| Fault::engine("a program cannot take staged bytes"))?;
    let bytes = staging.take(staged)?;
    let device = available(device)?;
    let size = numel(&shape)?.saturating_mul(kind.elt_size_in_bytes());
    if bytes.as_slice().len() != size {
        let expected = format!("{size} bytes for {} {shape:?}", dtype_name(kind));
        return Err(Fault::mismatch(Code::Shape, "data", expected, bytes.as_slice().len().to_string()));
    }
    let x = match bytes.alone() {
        Ok((bytes, range)) => shim::adopt(bytes, range, &shape, kind)?,
        Err(bytes) => Tensor::f_from_data_size(bytes.as_slice(), &shape, kind)?,
    };
    Ok(vec![if device == Device::Cpu { x } else { x.f_to_device(device)? }])
}

/// `full`: every element the same.
pub fn full(call: &mut Call) -> Outputs {
    let attributes = &mut call.attributes;
    let (value, kind, device, shape) = (attributes.number()?, attributes.kind()?, attributes.device()?, attributes.list()?);
    let options = (kind, available(device)?);
    #[expect(clippy::cast_possible_truncation, reason = "an integer dtype")]
    let x = if is_integer(kind) { Tensor::f_full(shape, value as i64, options)? } else { Tensor::f_full(shape, value, options)? };
    Ok(vec![x])
}

/// `arange`: start to end (excluded) by step.
pub fn arange(call: &mut Call) -> Outputs {
    let attributes = &mut call.attributes;
    let (start, end, step, kind, device) =
        (attributes.number()?, attributes.number()?, attributes.number()?, attributes.kind()?, attributes.device()?);
    let options = (kind, available(device)?);
    #[expect(clippy::cast_possible_truncation, reason = "an integer dtype")]
    let x = if is_integer(kind) && [start, end, step].iter().all(|value| value.fract() == 0.0) {
        Tensor::f_arange_start_step(start as i64, end as i64, step as i64, options)?
    } else {
        Tensor::f_arange_start_step(start, end, step, options)?
    };
    Ok(vec![x])
}

/// `variable`: a fresh leaf with its own storage.
pub fn variable(call: &mut Call) -> Outputs {
    let x = shim::copy(&call.input(0)?.f_detach()?)?;
    if call.attributes.flag()? {
        return Ok(vec![x.f_set_requires_grad(true)?]);
    }
    Ok(vec![x])
}

/// `requireGrad`: whether gradients are recorded for a variable, in place.
pub fn require_grad(call: &mut Call) -> Outputs {
    let flag = call.attributes.flag()?;
    let _same = call.input(0)?.f_set_requires_grad(flag)?;
    Ok(Vec::new())
}

/// `detach`: the same values, without their history.
pub fn detach(call: &Call) -> Outputs {
    Ok(vec![call.input(0)?.f_detach()?])
}

/// `clone`: a contiguous copy, differentiable.
pub fn clone(call: &Call) -> Outputs {
    Ok(vec![shim::copy(call.input(0)?)?])
}

/// `to`: another dtype, another device.
pub fn to(call: &mut Call) -> Outputs {
    let (kind, device) = (call.attributes.kind()?, call.attributes.device()?);
    Ok(vec![call.input(0)?.f_to_device_(available(device)?, kind, false, false)?])
}

/// `assign`: target ← source, in place, converting dtype and device. The interpreter turns gradients off.
pub fn assign(call: &Call) -> Outputs {
    let (target, source) = (call.input(0)?, call.input(1)?);
    same_shape("the new value", target, source)?;
    target.shallow_clone().f_copy_(source)?;
    Ok(Vec::new())
}
