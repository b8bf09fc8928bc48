//! Optimizer steps: one operation over all parameters, which changes everything or nothing.
use super::step::{Schedule, Step};
use crate::call::{Call, Outputs, kind, same_shape};
use crate::error::Fault;
use crate::shim::{self, Adafactor, Adam, Lion, NAdam, RmsProp, SecondMoment, Sgd};
use tch::{Kind, Tensor};

fn pick<'a>(list: &[&'a Tensor], group: &[usize]) -> Vec<&'a Tensor> {
    group.iter().map(|index| list[*index]).collect()
}

/// `adam`, and `adamw` with weight decay apart from the gradient: bias-corrected moments.
pub fn adam(call: &mut Call, decoupled: bool) -> Outputs {
    let schedule = Schedule::read(&mut call.attributes)?;
    let attributes = &mut call.attributes;
    let (beta1, beta2, eps, weight_decay) = (attributes.number()?, attributes.number()?, attributes.number()?, attributes.number()?);
    let Some(step) = Step::prepare(call, &schedule)? else {
        return Ok(Vec::new());
    };
    step.lists(2)?;
    let (gradients, means, variances) = (step.gradients(), step.states(0)?, step.states(1)?);
    let rule = Adam { lr: schedule.rate(step.done)?, beta1, beta2, eps, weight_decay, decoupled };
    let next = step.count.f_add_scalar(1.0)?;
    for group in step.groups()? {
        let targets = pick(&step.targets, &group);
        let next = next.f_to_device(targets[0].device())?;
        shim::fused_adam([&targets, &pick(&gradients, &group), &pick(&means, &group), &pick(&variances, &group)], &next, rule)?;
    }
    step.counted()
}

/// `nadam`: Adam that looks ahead along its mean.
pub fn nadam(call: &mut Call) -> Outputs {
    let schedule = Schedule::read(&mut call.attributes)?;
    let attributes = &mut call.attributes;
    let (beta1, beta2, eps, weight_decay) = (attributes.number()?, attributes.number()?, attributes.number()?, attributes.number()?);
    let momentum_decay = attributes.number()?;
    let Some(step) = Step::prepare(call, &schedule)? else {
        return Ok(Vec::new());
    };
    step.lists(2)?;
    let (gradients, means, variances) = (step.gradients(), step.states(0)?, step.states(1)?);
    let (lr, number) = (schedule.rate(step.done)?, step.number());
    let momentum = |number: f64| beta1 * (1.0 - 0.5 * 0.96_f64.powf(number * momentum_decay));
    // It falls at least as fast as a power of β₁, so few factors matter.
    let mut product = 1.0;
    let mut factor = 1.0;
    while factor <= number && product > 1e-20 {
        product *= momentum(factor);
        factor += 1.0;
    }
    let (now, ahead) = (momentum(number), momentum(number + 1.0));
    let rule = NAdam {
        gradient_rate: lr * (1.0 - now) / (1.0 - product),
        mean_rate: lr * ahead / (1.0 - product * ahead),
        beta1,
        beta2,
        correction: 1.0 - beta2.powf(number),
        weight_decay,
        eps,
    };
    for group in step.groups()? {
        let lists = [&step.targets, &gradients, &means, &variances].map(|list| pick(list, &group));
        shim::nadam(lists.each_ref().map(Vec::as_slice), rule)?;
    }
    step.counted()
}

/// `sgd`: with momentum where there are buffers for it.
pub fn sgd(call: &mut Call) -> Outputs {
    let schedule = Schedule::read(&mut call.attributes)?;
    let attributes = &mut call.attributes;
    let (momentum, dampening, weight_decay, nesterov) =
        (attributes.number()?, attributes.number()?, attributes.number()?, attributes.flag()?);
    let Some(step) = Step::prepare(call, &schedule)? else {
        return Ok(Vec::new());
    };
    step.lists(usize::from(momentum != 0.0))?;
    let buffers = step.optional_states((momentum != 0.0).then_some(0))?;
    let rule = Sgd { lr: schedule.rate(step.done)?, momentum, dampening, weight_decay, nesterov, first: step.done == 0 };
    let gradients = step.gradients();
    for group in step.groups()? {
        let buffers = buffers.as_ref().map(|buffers| pick(buffers, &group));
        shim::fused_sgd(&pick(&step.targets, &group), &pick(&gradients, &group), buffers.as_deref(), rule)?;
    }
    step.counted()
}

/// `rmsprop`: with momentum and centred where there are states for it.
pub fn rmsprop(call: &mut Call) -> Outputs {
    let schedule = Schedule::read(&mut call.attributes)?;
    let attributes = &mut call.attributes;
    let (alpha, eps, weight_decay, momentum) = (attributes.number()?, attributes.number()?, attributes.number()?, attributes.number()?);
    let centered = attributes.flag()?;
    let Some(step) = Step::prepare(call, &schedule)? else {
        return Ok(Vec::new());
    };
    let moving = momentum != 0.0;
    step.lists(1 + usize::from(moving) + usize::from(centered))?;
    let (gradients, squares) = (step.gradients(), step.states(0)?);
    let buffers = step.optional_states(moving.then_some(1))?;
    let means = step.optional_states(centered.then_some(1 + usize::from(moving)))?;
    let rule = RmsProp { lr: schedule.rate(step.done)?, alpha, eps, weight_decay, momentum };
    for group in step.groups()? {
        let lists = [&step.targets, &gradients, &squares].map(|list| pick(list, &group));
        let optional = [&buffers, &means].map(|list| list.as_ref().map(|list| pick(list, &group)));
        shim::rmsprop(lists.each_ref().map(Vec::as_slice), optional[0].as_deref(), optional[1].as_deref(), rule)?;
    }
    step.counted()
}

/// `lion`: the sign of an interpolated momentum.
pub fn lion(call: &mut Call) -> Outputs {
    let schedule = Schedule::read(&mut call.attributes)?;
    let attributes = &mut call.attributes;
    let (beta1, beta2, weight_decay) = (attributes.number()?, attributes.number()?, attributes.number()?);
    let Some(step) = Step::prepare(call, &schedule)? else {
        return Ok(Vec::new());
    };
    step.lists(1)?;
    let (gradients, means) = (step.gradients(), step.states(0)?);
    let rule = Lion { lr: schedule.rate(step.done)?, beta1, beta2, weight_decay };
    for group in step.groups()? {
        let lists = [&step.targets, &gradients, &means].map(|list| pick(list, &group));
        shim::lion(lists.each_ref().map(Vec::as_slice), rule)?;
    }
    step.counted()
}

/// `adafactor`: a matrix has rows and columns in place of a second moment of its own size.
pub fn adafactor(call: &mut Call) -> Outputs {
    let schedule = Schedule::read(&mut call.attributes)?;
    let attributes = &mut call.attributes;
    let (beta2_decay, eps1, eps2, threshold) = (attributes.number()?, attributes.number()?, attributes.number()?, attributes.number()?);
    let weight_decay = attributes.number()?;
    let Some(step) = Step::prepare(call, &schedule)? else {
        return Ok(Vec::new());
    };
    step.lists(3)?;
    let mut moments = Vec::with_capacity(step.targets.len());
    for (index, (target, slot)) in step.targets.iter().zip(&step.slots).enumerate() {
        moments.push(second_moment(target, [0, 1, 2].map(|list| step.states[list][index])).map_err(|fault| fault.at(*slot))?);
    }
    let (lr, number) = (schedule.rate(step.done)?, step.number());
    for ((target, gradient), moment) in step.targets.iter().zip(&step.gradients).zip(moments) {
        let eps1 = if eps1 >= 0.0 { eps1 } else { epsilon(kind(target)?) };
        let rule = Adafactor {
            rate: lr.min(number.sqrt().recip()),
            decay: lr * weight_decay,
            weight: number.powf(beta2_decay),
            eps1,
            eps2,
            threshold,
        };
        shim::adafactor(target, gradient, moment, rule)?;
    }
    step.counted()
}

/// The distance from 1 to the next number.
fn epsilon(kind: Kind) -> f64 {
    match kind {
        Kind::Double => f64::EPSILON,
        Kind::BFloat16 => 2.0_f64.powi(-7),
        Kind::Half => 2.0_f64.powi(-10),
        _ => f64::from(f32::EPSILON),
    }
}

fn second_moment<'a>(target: &Tensor, states: [Option<&'a Tensor>; 3]) -> Result<SecondMoment<'a>, Fault> {
    let shape = target.size();
    let fits = |state: &Tensor, ones: &[usize]| {
        let mut expected = shape.clone();
        for from_end in ones {
            expected[shape.len() - from_end] = 1;
        }
        state.size() == expected
    };
    match states {
        [Some(rows), Some(columns), None] if shape.len() > 1 && fits(rows, &[1]) && fits(columns, &[2]) => {
            Ok(SecondMoment::Factored { rows, columns })
        }
        [None, None, Some(variance)] if shape.len() < 2 && fits(variance, &[]) => Ok(SecondMoment::Whole(variance)),
        _ => Err(Fault::engine("the second moment does not fit the parameter")),
    }
}

/// `average`: n targets and n sources, target ← target + weight · (source − target).
pub fn average(call: &mut Call) -> Outputs {
    let weight = call.attributes.number()?;
    let count = call.inputs.len() / 2;
    let (targets, sources) = (call.range(0, count)?, call.range(count, count)?);
    for (target, source) in targets.iter().zip(&sources) {
        same_shape("the source of an average", target, source)?;
    }
    let sources =
        targets.iter().zip(sources).map(|(target, source)| Ok(source.f_to_device_(target.device(), kind(target)?, false, false)?));
    let sources = sources.collect::<Result<Vec<_>, Fault>>()?;
    shim::average(&targets, &sources.iter().collect::<Vec<_>>(), weight)?;
    Ok(Vec::new())
}
