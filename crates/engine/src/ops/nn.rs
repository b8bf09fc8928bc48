//! Layers that libtorch has as one operation.
use crate::call::{Call, Outputs, size};
use crate::device::check_range;
use crate::error::{Code, Fault};
use crate::op::Op;
use tch::{Device, Reduction, Tensor};

/// `softmax logSoftmax` along one dimension.
pub fn softmax(call: &mut Call) -> Outputs {
    let x = call.input(0)?;
    let dim = call.attributes.integer()?;
    Ok(vec![if call.op == Op::Softmax { x.f_softmax(dim, None)? } else { x.f_log_softmax(dim, None)? }])
}

/// `embedding`: rows of the weight; the row of the padding index gets no gradient.
pub fn embedding(call: &mut Call) -> Outputs {
    let padding = call.attributes.integer()?;
    let (weight, index) = (call.input(0)?, call.input(1)?);
    check_range(index, size(weight, 0)?)?;
    Ok(vec![Tensor::f_embedding(weight, index, padding, false, false)?])
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

/// `crossEntropy`: class axis last, target of the leading shape.
pub fn cross_entropy(call: &mut Call) -> Outputs {
    let attributes = &mut call.attributes;
    let (ignore, reduction, smoothing) = (attributes.integer()?, attributes.integer()?, attributes.number()?);
    let (logits, target) = (call.input(0)?, call.input(1)?);
    let mut leading = logits.size();
    let classes = leading.pop().ok_or_else(|| Fault::new(Code::Shape, "logits must have a class axis"))?;
    if target.size() != leading {
        return Err(Fault::mismatch(Code::Shape, "target", format!("{leading:?}"), format!("{:?}", target.size())));
    }
    let count: i64 = leading.iter().product();
    let (rows, wanted) = (logits.f_reshape([count, classes])?, target.f_reshape([count])?);
    if logits.device() != Device::Cpu {
        let used = wanted.f_masked_select(&wanted.f_ne(ignore)?)?;
        check_range(&used, classes)?;
    }
    let how = match reduction {
        0 => Reduction::None,
        1 => Reduction::Mean,
        2 => Reduction::Sum,
        other => return Err(Fault::engine(format!("unknown reduction {other}"))),
    };
    let loss = rows.f_cross_entropy_loss(&wanted, None::<&Tensor>, how, ignore, smoothing)?;
    Ok(vec![if reduction == 0 { loss.f_reshape(leading.as_slice())? } else { loss }])
}

/// `conv2d`: [B, C, H, W].
pub fn conv2d(call: &mut Call) -> Outputs {
    let attributes = &mut call.attributes;
    let (stride, padding, dilation, groups) = (attributes.pair()?, attributes.pair()?, attributes.pair()?, attributes.integer()?);
    let y = call.input(0)?.f_conv2d(call.input(1)?, call.optional(2), stride, padding, dilation, groups)?;
    Ok(vec![y])
}

/// `maxPool2d avgPool2d`.
pub fn pool2d(call: &mut Call) -> Outputs {
    let x = call.input(0)?;
    let (kernel, stride, padding) = (call.attributes.pair()?, call.attributes.pair()?, call.attributes.pair()?);
    let y = if call.op == Op::MaxPool2d {
        x.f_max_pool2d(kernel, stride, padding, [1, 1], false)?
    } else {
        x.f_avg_pool2d(kernel, stride, padding, false, true, None)?
    };
    Ok(vec![y])
}

/// `adaptiveAvgPool2d` to a given height and width.
pub fn adaptive_avg_pool2d(call: &mut Call) -> Outputs {
    let size = call.attributes.pair()?;
    Ok(vec![call.input(0)?.f_adaptive_avg_pool2d(size)?])
}
