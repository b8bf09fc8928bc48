//! Layers that libtorch has as one operation.
use crate::call::{Call, Outputs, size};
use crate::device::check_range;
use crate::op::Op;
use tch::Tensor;

/// `softmax logSoftmax` along one dimension.
pub fn softmax(call: &mut Call) -> Outputs {
    let x = call.input(0)?;
    let dim = call.attributes.integer()?;
    Ok(vec![if call.op == Op::Softmax { x.f_softmax(dim, None)? } else { x.f_log_softmax(dim, None)? }])
}

/// `embedding`: rows of the weight; the row of the padding index gets no gradient.
pub fn embedding(call: &mut Call) -> Outputs {
    let padding = call.attributes.integer()?;
    let (weight, index) = (call.input(0)?, call.index(1)?);
    check_range(&index, size(weight, 0)?)?;
    Ok(vec![Tensor::f_embedding(weight, &index, padding, false, false)?])
}

/// `layerNorm` over the last dimensions.
pub fn layer_norm(call: &mut Call) -> Outputs {
    let (shape, eps) = (call.attributes.list()?, call.attributes.number()?);
    let y = call.input(0)?.f_layer_norm(shape.as_slice(), call.optional(1), call.optional(2), eps, true)?;
    Ok(vec![y])
}

/// `batchNorm` over all but dimension 1; in training the running statistics are updated in place.
pub fn batch_norm(call: &mut Call) -> Outputs {
    let attributes = &mut call.attributes;
    let (train, momentum, eps) = (attributes.flag()?, attributes.number()?, attributes.number()?);
    // Training looks at the batch alone, so a second run can do without the statistics and leaves them as they are.
    let update = !(train && call.context.setting.again);
    let [weight, bias, mean, variance] = [1, 2, 3, 4].map(|position| call.optional(position).filter(|_| position < 3 || update));
    let y = call.input(0)?.f_batch_norm(weight, bias, mean, variance, train, momentum, eps, true)?;
    Ok(vec![y])
}

/// `groupNorm`: over each group of channels, dimension 1, and all later dimensions.
pub fn group_norm(call: &mut Call) -> Outputs {
    let (groups, eps) = (call.attributes.integer()?, call.attributes.number()?);
    Ok(vec![call.input(0)?.f_group_norm(groups, call.optional(1), call.optional(2), eps, true)?])
}

/// `rmsNorm` over the last dimensions; eps NaN: the smallest step of the dtype at 1.
pub fn rms_norm(call: &mut Call) -> Outputs {
    let (shape, eps) = (call.attributes.list()?, call.attributes.number()?);
    Ok(vec![call.input(0)?.f_rms_norm(shape.as_slice(), call.optional(1), (!eps.is_nan()).then_some(eps))?])
}
