//! Layers that libtorch has as one operation.
use crate::call::{Call, Outputs, size};
use crate::device::check_range;
use crate::error::{Code, Fault};
use crate::kernels::{self, Kernel};
use crate::op::Op;
use tch::{Device, Kind, Tensor};

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

/// `batchNorm` over all but dimension 1, then a residual is added and a `ReLU` taken, where asked for; in training the running statistics are
/// updated in place. Norm, addition and `ReLU` are one operation of ours where channels lie last in memory: float32 in training on the CPU.
pub fn batch_norm(call: &mut Call) -> Outputs {
    let attributes = &mut call.attributes;
    let (train, momentum, eps, relu) = (attributes.flag()?, attributes.number()?, attributes.number()?, attributes.flag()?);
    // Training looks at the batch alone, so a second run can do without the statistics and leaves them as they are.
    let update = !(train && call.context.setting.again);
    let [weight, bias, mean, variance] = [1, 2, 3, 4].map(|position| call.optional(position).filter(|_| position < 3 || update));
    let (x, residual) = (call.input(0)?, call.optional(5));
    if train && (relu || residual.is_some()) && x.device() == Device::Cpu && x.f_kind()? == Kind::Float {
        let last = channels_last(x)?;
        if last.is_contiguous() {
            let residual = residual.map(channels_last).transpose()?;
            let attributes = [f64::from(u8::from(relu)), eps];
            let [y, statistics] =
                <[Tensor; 2]>::try_from(kernels::run(Kernel::BatchNorm, &[Some(&last), residual.as_ref(), weight, bias], &attributes)?)
                    .map_err(|_| Fault::new(Code::Engine, "batchNorm: outputs are missing".to_owned()))?;
            let rows = x.numel() as f64 / size(x, 1)? as f64;
            tch::no_grad(|| {
                for (place, running, factor) in [(0, mean, 1.0), (1, variance, rows / (rows - 1.0))] {
                    if let Some(running) = running {
                        let found = statistics.f_select(0, place)?.f_mul_scalar(factor)?;
                        let _ = running.shallow_clone().f_lerp_(&found, momentum)?;
                    }
                }
                Ok::<(), Fault>(())
            })?;
            return Ok(vec![channels_second(&y)?]);
        }
    }
    let y = x.f_batch_norm(weight, bias, mean, variance, train, momentum, eps, true)?;
    Ok(vec![finished(y, residual, relu)?])
}

/// The end of a residual block: y + residual, then a `ReLU`, where asked for.
pub fn finished(y: Tensor, residual: Option<&Tensor>, relu: bool) -> Result<Tensor, Fault> {
    let sum = match residual {
        Some(residual) => y.f_add(residual)?,
        None => y,
    };
    Ok(if relu { sum.f_relu()? } else { sum })
}

/// [N, C, ...] as [N, ..., C].
fn channels_last(x: &Tensor) -> Result<Tensor, Fault> {
    Ok(x.f_movedim_int(1, -1)?)
}

/// [N, ..., C] as [N, C, ...].
fn channels_second(x: &Tensor) -> Result<Tensor, Fault> {
    Ok(x.f_movedim_int(-1, 1)?)
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
