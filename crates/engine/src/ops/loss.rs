//! Losses that libtorch has as one operation.
use crate::call::{Call, Outputs, is_float, kind};
use crate::device::check_range;
use crate::error::{Code, Fault};
use crate::kernels::{self, Kernel};
use crate::op::Op;
use tch::{Device, Kind, Reduction, Tensor};

/// Logits from which on our kernel reads them less often than libtorch; few are computed faster there than they are handed over.
const OURS: usize = 32 << 10;

fn reduction(call: &mut Call) -> Result<Reduction, Fault> {
    match call.attributes.integer()? {
        0 => Ok(Reduction::None),
        1 => Ok(Reduction::Mean),
        2 => Ok(Reduction::Sum),
        other => Err(Fault::engine(format!("unknown reduction {other}"))),
    }
}

/// `crossEntropy nllLoss`: class axis last, target of the leading shape, perhaps a weight for each class.
pub fn by_class(call: &mut Call) -> Outputs {
    let (ignore, how) = (call.attributes.integer()?, reduction(call)?);
    let smoothing = if call.op == Op::CrossEntropy { call.attributes.number()? } else { 0.0 };
    let (scores, target, weight) = (call.input(0)?, call.input(1)?, call.optional(2));
    let mut leading = scores.size();
    let classes = leading.pop().ok_or_else(|| Fault::new(Code::Shape, "scores must have a class axis"))?;
    let count: i64 = leading.iter().product();
    let rows = scores.f_reshape([count, classes])?;
    // Probabilities of every class, or the number of one.
    let shared = is_float(kind(target)?);
    let expected = if shared { scores.size() } else { leading.clone() };
    if target.size() != expected {
        return Err(Fault::mismatch(Code::Shape, "target", format!("{expected:?}"), format!("{:?}", target.size())));
    }
    let wanted = if shared { target.f_reshape([count, classes])? } else { call.index(1)?.f_reshape([count])? };
    if !shared && scores.device() != Device::Cpu {
        let used = wanted.f_masked_select(&wanted.f_ne(ignore)?)?;
        check_range(&used, classes)?;
    }
    let whole = matches!(how, Reduction::None);
    let ours = call.op == Op::CrossEntropy && !shared && weight.is_none() && rows.numel() >= OURS;
    let loss = if ours && rows.device() == Device::Cpu && kind(&rows)? == Kind::Float {
        // Contiguous before it is saved, so that a gradient may be differentiated again.
        let inputs = [Some(&rows.f_contiguous()?), Some(&wanted)];
        let losses = kernels::run(Kernel::CrossEntropy, &inputs, &[ignore as f64, smoothing])?.swap_remove(0);
        match how {
            Reduction::Mean => losses.f_sum(None)?.f_div(&wanted.f_ne(ignore)?.f_sum(Kind::Float)?)?,
            Reduction::Sum => losses.f_sum(None)?,
            _ => losses,
        }
    } else if call.op == Op::CrossEntropy {
        rows.f_cross_entropy_loss(&wanted, weight, how, ignore, smoothing)?
    } else {
        rows.f_nll_loss(&wanted, weight, how, ignore)?
    };
    Ok(vec![if whole { loss.f_reshape(leading.as_slice())? } else { loss }])
}

/// `mseLoss l1Loss huberLoss smoothL1Loss klDiv`: element by element.
pub fn by_element(call: &mut Call) -> Outputs {
    let how = reduction(call)?;
    let (x, target) = (call.input(0)?, call.input(1)?);
    let loss = match call.op {
        Op::MseLoss => x.f_mse_loss(target, how),
        Op::L1Loss => x.f_l1_loss(target, how),
        Op::HuberLoss => x.f_huber_loss(target, how, call.attributes.number()?),
        Op::SmoothL1Loss => x.f_smooth_l1_loss(target, how, call.attributes.number()?),
        Op::KlDiv => x.f_kl_div(target, how, call.attributes.flag()?),
        other => return Err(Fault::engine(format!("{} is not a loss by element", other.name()))),
    };
    Ok(vec![loss?])
}

/// `binaryCrossEntropyWithLogits`: perhaps with a weight for each element and for the positive ones.
pub fn bce_with_logits(call: &mut Call) -> Outputs {
    let how = reduction(call)?;
    let loss = call.input(0)?.f_binary_cross_entropy_with_logits(call.input(1)?, call.optional(2), call.optional(3), how)?;
    Ok(vec![loss])
}

/// `ctcLoss`: logarithms of probabilities [B, T, C], target [B, S], lengths [B] of both.
pub fn ctc(call: &mut Call) -> Outputs {
    let (how, blank, zero_infinity) = (reduction(call)?, call.attributes.integer()?, call.attributes.flag()?);
    let (x, target, steps, lengths) = (call.input(0)?.f_transpose(0, 1)?, call.index(1)?, call.index(2)?, call.index(3)?);
    // libtorch reads the lengths on the CPU.
    let (steps, lengths) = (steps.f_to_device(Device::Cpu)?, lengths.f_to_device(Device::Cpu)?);
    Ok(vec![Tensor::f_ctc_loss_tensor(&x, &target, &steps, &lengths, blank, how, zero_infinity)?])
}

/// `cosineEmbeddingLoss`: 1 − cos where the target is 1, max(0, cos − margin) where it is −1.
pub fn cosine_embedding(call: &mut Call) -> Outputs {
    let (how, margin) = (reduction(call)?, call.attributes.number()?);
    Ok(vec![Tensor::f_cosine_embedding_loss(call.input(0)?, call.input(1)?, call.input(2)?, margin, how)?])
}

/// `tripletMarginLoss`: max(0, ‖a − p‖ − ‖a − n‖ + margin).
pub fn triplet_margin(call: &mut Call) -> Outputs {
    let how = reduction(call)?;
    let attributes = &mut call.attributes;
    let (margin, p, eps, swap) = (attributes.number()?, attributes.number()?, attributes.number()?, attributes.flag()?);
    let (anchor, positive, negative) = (call.input(0)?, call.input(1)?, call.input(2)?);
    Ok(vec![Tensor::f_triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, how)?])
}
