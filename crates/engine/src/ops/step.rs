//! What all optimizer steps share: their tensors, checked before anything changes, the rate, and the count.
use super::gradient::prepared;
use crate::attributes::{Attributes, dtype_name};
use crate::call::{Call, Outputs, is_float, kind, same_kind, same_shape};
use crate::error::{Code, Fault};
use crate::shim;
use tch::{Device, Kind, Tensor};

/// Which rate holds after how many steps, and what a gradient that is not finite does.
pub struct Schedule<'a> {
    parameters: usize,
    policy: u64,
    base: i64,
    rates: &'a [f64],
    /// Whether the list after the gradients holds a float32 master for each parameter of half precision.
    masters: bool,
}

impl<'a> Schedule<'a> {
    pub fn read(attributes: &mut Attributes<'a>) -> Result<Self, Fault> {
        Ok(Self {
            parameters: attributes.length()?,
            policy: attributes.index()?,
            base: attributes.integer()?,
            rates: attributes.numbers()?,
            masters: attributes.flag()?,
        })
    }

    /// The rate after `done` steps; a list of one holds whatever the count.
    pub fn rate(&self, done: i64) -> Result<f64, Fault> {
        if let [rate] = self.rates {
            return Ok(*rate);
        }
        let position = done.checked_sub(self.base).and_then(|position| usize::try_from(position).ok());
        let rate = position.and_then(|position| self.rates.get(position)).copied();
        rate.ok_or_else(|| Fault::engine(format!("no rate was sent for step {done}: {} from {}", self.rates.len(), self.base)))
    }
}

/// The tensors of a step, checked.
pub struct Step<'a> {
    pub count: &'a Tensor,
    pub done: i64,
    /// What the rule updates: the master of a parameter, or the parameter itself.
    pub targets: Vec<&'a Tensor>,
    pub gradients: Vec<Tensor>,
    /// One list per kind of state, each as long as the parameters; a parameter need not have every state.
    pub states: Vec<Vec<Option<&'a Tensor>>>,
    /// Parameters that follow a master.
    followers: Vec<(&'a Tensor, &'a Tensor)>,
    pub slots: Vec<u64>,
}

const ERROR: u64 = 1;
const SKIP: u64 = 2;

impl<'a> Step<'a> {
    /// Checks everything that the fused kernels take for granted. `None`: the step is to be skipped.
    pub fn prepare(call: &Call<'a>, schedule: &Schedule) -> Result<Option<Self>, Fault> {
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
        let slots: Vec<u64> = (0..n).map(|index| call.id(1 + index)).collect();
        let list = |list: usize| (0..n).map(|index| call.optional(1 + list * n + index)).collect::<Vec<_>>();
        let masters = if schedule.masters { list(2) } else { vec![None; n] };
        let (mut targets, mut gradients, mut followers) = (Vec::with_capacity(n), Vec::with_capacity(n), Vec::new());
        for (index, (parameter, master)) in parameters.iter().zip(masters).enumerate() {
            let checked = || {
                if !is_float(kind(parameter)?) || !parameter.is_contiguous() {
                    return Err(Fault::new(Code::Dtype, "a parameter must be floating point and contiguous"));
                }
                if let Some(master) = master {
                    same_shape("the master of a parameter", parameter, master)?;
                    if kind(master)? != Kind::Float {
                        return Err(Fault::mismatch(Code::Dtype, "the master of a parameter", "float32", dtype_name(kind(master)?)));
                    }
                }
                let target = master.unwrap_or(parameter);
                Ok((target, prepared(target, call.input(1 + n + index)?)?))
            };
            let (target, gradient) = checked().map_err(|fault: Fault| fault.at(slots[index]))?;
            followers.extend(master.map(|master| (*parameter, master)));
            targets.push(target);
            gradients.push(gradient);
        }
        let states: Vec<_> = (2 + usize::from(schedule.masters)..lists).map(list).collect();
        for (index, parameter) in parameters.iter().enumerate() {
            for state in states.iter().filter_map(|list| list[index]).chain(std::iter::once(targets[index])) {
                if state.device() != parameter.device() || !state.is_contiguous() {
                    return Err(Fault::new(Code::Device, "a state of the optimizer is not where its parameter is").at(slots[index]));
                }
                same_kind("a state of the optimizer", targets[index], state).map_err(|fault| fault.at(slots[index]))?;
            }
        }
        if schedule.policy == ERROR || schedule.policy == SKIP {
            let position = shim::first_not_finite(&gradients.iter().collect::<Vec<_>>())?;
            match (position, schedule.policy) {
                (Some(_), SKIP) => return Ok(None),
                (Some(index), _) => {
                    return Err(Fault::new(Code::NotFinite, "a gradient is not finite").at(slots[index]));
                }
                (None, _) => {}
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "a count of steps")]
        let done = count.f_double_value(&[])? as i64;
        Ok(Some(Self { count, done, targets, gradients, states, followers, slots }))
    }

    pub fn gradients(&self) -> Vec<&Tensor> {
        self.gradients.iter().collect()
    }

    /// The states of one list, each of which must be there with the shape of its parameter.
    pub fn states(&self, list: usize) -> Result<Vec<&'a Tensor>, Fault> {
        let states = self.states.get(list).ok_or_else(|| Fault::engine(format!("list {list} of states is missing")))?;
        let each = states.iter().zip(&self.targets).zip(&self.slots).map(|((state, target), slot)| {
            let state = state.ok_or_else(|| Fault::engine("a state of the optimizer is missing").at(*slot))?;
            same_shape("a state of the optimizer", target, state).map_err(|fault| fault.at(*slot))?;
            Ok(state)
        });
        each.collect()
    }

    /// The same, where there is such a list.
    pub fn optional_states(&self, list: Option<usize>) -> Result<Option<Vec<&'a Tensor>>, Fault> {
        list.map(|list| self.states(list)).transpose()
    }

    /// Fails unless there are so many lists of states.
    pub fn lists(&self, count: usize) -> Result<(), Fault> {
        if self.states.len() == count { Ok(()) } else { Err(Fault::engine(format!("{} lists of states, not {count}", self.states.len()))) }
    }

    /// The number of this step, from 1.
    pub fn number(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count of steps")]
        let number = (self.done + 1) as f64;
        number
    }

    /// Lets parameters follow their masters and counts the step. Comes last: a step that failed is not counted.
    pub fn counted(&self) -> Outputs {
        for (parameter, master) in &self.followers {
            parameter.shallow_clone().f_copy_(master)?;
        }
        let _same = self.count.shallow_clone().f_add_scalar_(1.0)?;
        Ok(Vec::new())
    }

    /// The positions of the parameters of each dtype and device: the kernels take one of each at a time.
    pub fn groups(&self) -> Result<Vec<Vec<usize>>, Fault> {
        let mut groups: Vec<((Kind, Device), Vec<usize>)> = Vec::new();
        for (index, target) in self.targets.iter().enumerate() {
            let key = (kind(target)?, target.device());
            match groups.iter_mut().find(|group| group.0 == key) {
                Some(group) => group.1.push(index),
                None => groups.push((key, vec![index])),
            }
        }
        Ok(groups.into_iter().map(|group| group.1).collect())
    }
}
