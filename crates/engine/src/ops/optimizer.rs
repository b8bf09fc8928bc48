//! Optimizer steps: one operation over all parameters, which changes everything or nothing.
use super::gradient::prepared;
use crate::attributes::{Attributes, dtype_name};
use crate::call::{Call, Outputs, is_float, kind, same_kind, same_shape};
use crate::error::{Code, Fault};
use crate::shim::{self, AdamW, Sgd};
use tch::{Device, Kind, Tensor};

/// Which rate holds after how many steps, and what a gradient that is not finite does.
struct Schedule<'a> {
    parameters: usize,
    policy: u64,
    base: i64,
    rates: &'a [f64],
}

impl<'a> Schedule<'a> {
    fn read(attributes: &mut Attributes<'a>) -> Result<Self, Fault> {
        Ok(Self {
            parameters: attributes.length()?,
            policy: attributes.index()?,
            base: attributes.integer()?,
            rates: attributes.numbers()?,
        })
    }

    /// The rate after `done` steps; a list of one holds whatever the count.
    fn rate(&self, done: i64) -> Result<f64, Fault> {
        if let [rate] = self.rates {
            return Ok(*rate);
        }
        let position = done.checked_sub(self.base).and_then(|position| usize::try_from(position).ok());
        let rate = position.and_then(|position| self.rates.get(position)).copied();
        rate.ok_or_else(|| Fault::engine(format!("no rate was sent for step {done}: {} from {}", self.rates.len(), self.base)))
    }
}

/// The tensors of a step, checked.
struct Step<'a> {
    count: &'a Tensor,
    done: i64,
    parameters: Vec<&'a Tensor>,
    gradients: Vec<Tensor>,
    /// One list per kind of state, each as long as the parameters.
    states: Vec<Vec<&'a Tensor>>,
}

const ERROR: u64 = 1;
const SKIP: u64 = 2;

impl<'a> Step<'a> {
    /// Checks everything that the fused kernels take for granted. `None`: the step is to be skipped.
    fn prepare(call: &Call<'a>, schedule: &Schedule) -> Result<Option<Self>, Fault> {
        let n = schedule.parameters;
        let lists = call.inputs.len().saturating_sub(1).checked_div(n).unwrap_or(2);
        if call.inputs.len() != 1 + lists * n || lists < 2 {
            return Err(Fault::engine(format!("{} tensors do not make a step of {n} parameters", call.inputs.len())));
        }
        let count = call.input(0)?;
        if kind(count)? != Kind::Float || count.dim() != 0 {
            return Err(Fault::mismatch(
                Code::Dtype,
                "the count of steps",
                "a float32 scalar",
                format!("{} {:?}", dtype_name(kind(count)?), count.size()),
            ));
        }
        let parameters = call.range(1, n)?;
        let mut gradients = Vec::with_capacity(n);
        for (index, parameter) in parameters.iter().enumerate() {
            let slot = call.id(1 + index);
            if !is_float(kind(parameter)?) || !parameter.is_contiguous() {
                return Err(Fault::new(Code::Dtype, "a parameter must be floating point and contiguous").at(slot));
            }
            gradients.push(prepared(parameter, call.input(1 + n + index)?).map_err(|fault| fault.at(slot))?);
        }
        let states = (2..lists).map(|list| call.range(1 + list * n, n)).collect::<Result<Vec<_>, _>>()?;
        for state in &states {
            for (index, (parameter, state)) in parameters.iter().zip(state).enumerate() {
                let slot = call.id(1 + index);
                same_shape("a state of the optimizer", parameter, state).map_err(|fault| fault.at(slot))?;
                same_kind("a state of the optimizer", parameter, state).map_err(|fault| fault.at(slot))?;
                if state.device() != parameter.device() || !state.is_contiguous() {
                    return Err(Fault::new(Code::Device, "a state of the optimizer is not where its parameter is").at(slot));
                }
            }
        }
        if schedule.policy == ERROR || schedule.policy == SKIP {
            let position = shim::first_not_finite(&gradients.iter().collect::<Vec<_>>())?;
            match (position, schedule.policy) {
                (Some(_), SKIP) => return Ok(None),
                (Some(index), _) => {
                    return Err(Fault::new(Code::NotFinite, "a gradient is not finite").at(call.id(1 + index)));
                }
                (None, _) => {}
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "a count of steps")]
        let done = count.f_double_value(&[])? as i64;
        Ok(Some(Self { count, done, parameters, gradients, states }))
    }

    fn gradients(&self) -> Vec<&Tensor> {
        self.gradients.iter().collect()
    }

    /// Counts the step. Comes last: a step that failed is not counted.
    fn counted(&self) -> Outputs {
        let _same = self.count.shallow_clone().f_add_scalar_(1.0)?;
        Ok(Vec::new())
    }

    fn groups(&self) -> Result<Vec<Vec<usize>>, Fault> {
        // The fused kernels take one dtype and one device at a time.
        let mut groups: Vec<((Kind, Device), Vec<usize>)> = Vec::new();
        for (index, parameter) in self.parameters.iter().enumerate() {
            let key = (kind(parameter)?, parameter.device());
            match groups.iter_mut().find(|group| group.0 == key) {
                Some(group) => group.1.push(index),
                None => groups.push((key, vec![index])),
            }
        }
        Ok(groups.into_iter().map(|group| group.1).collect())
    }
}

fn pick<'a>(list: &[&'a Tensor], group: &[usize]) -> Vec<&'a Tensor> {
    group.iter().map(|index| list[*index]).collect()
}

/// `adamw`: decoupled weight decay, bias-corrected moments.
pub fn adamw(call: &mut Call) -> Outputs {
    let schedule = Schedule::read(&mut call.attributes)?;
    let attributes = &mut call.attributes;
    let (beta1, beta2, eps, weight_decay) = (attributes.number()?, attributes.number()?, attributes.number()?, attributes.number()?);
    let Some(step) = Step::prepare(call, &schedule)? else {
        return Ok(Vec::new());
    };
    let rule = AdamW { lr: schedule.rate(step.done)?, beta1, beta2, eps, weight_decay };
    let [means, variances] = step.states.as_slice() else {
        return if step.parameters.is_empty() { step.counted() } else { Err(Fault::engine("adamw needs means and variances")) };
    };
    let gradients = step.gradients();
    let next = step.count.f_add_scalar(1.0)?;
    for group in step.groups()? {
        let parameters = pick(&step.parameters, &group);
        let next = next.f_to_device(parameters[0].device())?;
        shim::fused_adamw([&parameters, &pick(&gradients, &group), &pick(means, &group), &pick(variances, &group)], &next, rule)?;
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
    let buffers = match step.states.as_slice() {
        [] if momentum == 0.0 => None,
        [buffers] => Some(buffers),
        _ => {
            return Err(Fault::engine("sgd with momentum needs one buffer for each parameter"));
        }
    };
    let rule = Sgd { lr: schedule.rate(step.done)?, momentum, dampening, weight_decay, nesterov, first: step.done == 0 };
    let gradients = step.gradients();
    for group in step.groups()? {
        let buffers = buffers.map(|buffers| pick(buffers, &group));
        shim::fused_sgd(&pick(&step.parameters, &group), &pick(&gradients, &group), buffers.as_deref(), rule)?;
    }
    step.counted()
}
