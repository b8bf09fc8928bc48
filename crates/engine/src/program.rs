//! Programs: lists of entries recorded once and run many times, on values of their own.
use crate::attributes::Attributes;
use crate::call::{Call, Context, Setting};
use crate::decode::{Entries, id};
use crate::error::Fault;
use crate::grad_mode::GradMode;
use crate::interpreter;
use crate::op::Op;
use crate::slots::IdMap;
use std::sync::Arc;
use tch::Tensor;

/// The programs that an entry may name.
pub type Programs = IdMap<Arc<Program>>;

/// One recorded operation, with ids replaced by places in the program's own table.
#[derive(Debug)]
struct Step {
    op: Op,
    no_grad: bool,
    inputs: Vec<Option<usize>>,
    outputs: Vec<Option<usize>>,
    ids: Vec<f64>,
    attributes: Vec<f64>,
    /// Places that nothing reads after this step.
    last_uses: Vec<usize>,
}

/// A program. It holds the programs it names, so it can run after they are undefined.
#[derive(Debug)]
pub struct Program {
    inputs: usize,
    places: usize,
    steps: Vec<Step>,
    /// Where each output is; absent for id 0.
    outputs: Vec<Option<usize>>,
    programs: Programs,
}

/// The programs that an entry runs.
fn named(op: Op, attributes: &[f64]) -> &[f64] {
    match op {
        Op::Checkpoint | Op::Scan => attributes.get(..1).unwrap_or_default(),
        Op::CustomGrad => attributes.get(..2).unwrap_or_default(),
        _ => &[],
    }
}

impl Program {
    /// Reads the attributes of `define`: the program's id has been read already.
    pub fn read(attributes: &mut Attributes, known: &Programs) -> Result<Self, Fault> {
        let (inputs, outputs) = (attributes.numbers()?, attributes.numbers()?);
        let mut places: IdMap<usize> = IdMap::default();
        for input in inputs {
            let next = places.len();
            if places.insert(id(*input), next).is_some() {
                return Err(Fault::engine(format!("input {input} of a program is named twice")));
            }
        }
        let mut program = Self { inputs: inputs.len(), places: 0, steps: Vec::new(), outputs: Vec::new(), programs: Programs::default() };
        for entry in Entries::new(attributes.rest()) {
            let entry = entry?;
            match entry.op {
                // A program forgets each value after its last use, and a program of its own with itself.
                Op::Free | Op::Undefine => continue,
                Op::Define => {
                    let mut inner = Attributes::new(entry.attributes);
                    let inner_id = inner.index()?;
                    let inner = Self::read(&mut inner, &program.with(known))?;
                    program.programs.insert(inner_id, Arc::new(inner));
                    continue;
                }
                op if op.is_control() => {
                    return Err(Fault::engine(format!("{} cannot be part of a program", op.name())));
                }
                _ => {}
            }
            for word in named(entry.op, entry.attributes) {
                let inner = program.programs.get(&id(*word)).or_else(|| known.get(&id(*word)));
                let inner = Arc::clone(inner.ok_or_else(|| unknown(id(*word)))?);
                program.programs.insert(id(*word), inner);
            }
            let place = |word: &f64| match id(*word) {
                0 => Ok(None),
                other => places.get(&other).copied().map(Some).ok_or_else(|| stranger(other)),
            };
            let inputs = entry.inputs.iter().map(place).collect::<Result<_, _>>()?;
            let mut outputs = Vec::with_capacity(entry.outputs.len());
            for word in entry.outputs {
                let next = places.len();
                outputs.push((*word != 0.0).then_some(next));
                if *word != 0.0 {
                    places.insert(id(*word), next);
                }
            }
            program.steps.push(Step {
                op: entry.op,
                no_grad: entry.no_grad,
                inputs,
                outputs,
                ids: entry.inputs.to_vec(),
                attributes: entry.attributes.to_vec(),
                last_uses: Vec::new(),
            });
        }
        for word in outputs {
            program.outputs.push(match id(*word) {
                0 => None,
                other => Some(*places.get(&other).ok_or_else(|| stranger(other))?),
            });
        }
        program.places = places.len();
        program.mark_last_uses();
        Ok(program)
    }

    /// The programs that one defined within this one may name.
    fn with(&self, known: &Programs) -> Programs {
        let all = known.iter().chain(&self.programs);
        all.map(|(id, program)| (*id, Arc::clone(program))).collect()
    }

    fn mark_last_uses(&mut self) {
        let mut needed = vec![false; self.places];
        for place in self.outputs.iter().flatten() {
            needed[*place] = true;
        }
        for step in self.steps.iter_mut().rev() {
            for place in step.inputs.iter().chain(&step.outputs).flatten() {
                if !std::mem::replace(&mut needed[*place], true) {
                    step.last_uses.push(*place);
                }
            }
        }
    }

    #[must_use]
    pub fn output_count(&self) -> usize {
        self.outputs.len()
    }

    /// Runs the program. Gradients are recorded if the setting says so, except where it was recorded under `noGrad`.
    pub fn run(&self, inputs: Vec<Tensor>, setting: Setting) -> Result<Vec<Option<Tensor>>, Fault> {
        if inputs.len() != self.inputs {
            return Err(Fault::engine(format!("a program of {} inputs was given {}", self.inputs, inputs.len())));
        }
        let mut values: Vec<Option<Tensor>> = inputs.into_iter().map(Some).collect();
        values.resize_with(self.places, || None);
        self.execute(self.steps.iter(), &mut values, &[], setting)?;
        self.collect(&values)
    }

    /// Runs steps over a table of values; each value is forgotten after its last use, unless it is kept.
    fn execute<'a>(
        &'a self,
        steps: impl Iterator<Item = &'a Step>,
        values: &mut [Option<Tensor>],
        kept: &[bool],
        setting: Setting,
    ) -> Result<(), Fault> {
        let mut mode = GradMode::hold();
        for step in steps {
            let grad = setting.grad && !step.no_grad;
            mode.set(grad && !step.op.without_gradient());
            let outputs = {
                let value = |place: &Option<usize>| place.and_then(|place| values[place].as_ref());
                let mut call = Call {
                    op: step.op,
                    inputs: step.inputs.iter().map(value).collect(),
                    ids: &step.ids,
                    attributes: Attributes::new(&step.attributes),
                    context: Context { programs: &self.programs, staging: None, setting: Setting { grad, ..setting } },
                };
                interpreter::run(&mut call, step.outputs.len()).map_err(|fault| fault.inside(step.op.name()))?
            };
            for (place, output) in step.outputs.iter().zip(outputs) {
                if let Some(place) = place {
                    values[*place] = Some(output);
                }
            }
            for place in step.last_uses.iter().filter(|place| kept.get(**place) != Some(&true)) {
                values[*place] = None;
            }
        }
        Ok(())
    }

    fn collect(&self, values: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>, Fault> {
        let output = |place: &Option<usize>| match place {
            None => Ok(None),
            Some(place) => values[*place]
                .as_ref()
                .map(|value| Some(value.shallow_clone()))
                .ok_or_else(|| Fault::engine("an output of a program is missing")),
        };
        self.outputs.iter().map(output).collect()
    }

    /// Runs a program all of whose outputs must exist.
    pub fn run_whole(&self, inputs: Vec<Tensor>, setting: Setting) -> Result<Vec<Tensor>, Fault> {
        whole(self.run(inputs, setting)?)
    }
}

fn whole(outputs: Vec<Option<Tensor>>) -> Result<Vec<Tensor>, Fault> {
    outputs.into_iter().map(|output| output.ok_or_else(|| Fault::engine("an output of a program is id 0"))).collect()
}

/// A program that runs again and again, the last of its inputs always the same: what depends on them alone, and not on chance, is computed once.
pub struct Repeated {
    program: Arc<Program>,
    values: Vec<Option<Tensor>>,
    /// By place: whether the value is the same in every run.
    fixed: Vec<bool>,
    /// The steps of every run.
    varying: Vec<usize>,
    /// Inputs that change.
    changing: usize,
}

impl Repeated {
    /// `fixed` are the inputs after the first `changing`.
    pub fn new(program: Arc<Program>, changing: usize, fixed: Vec<Tensor>, setting: Setting) -> Result<Self, Fault> {
        if changing + fixed.len() != program.inputs {
            return Err(Fault::engine(format!("a program of {} inputs was given {}", program.inputs, changing + fixed.len())));
        }
        let mut values: Vec<Option<Tensor>> = (0..changing).map(|_| None).chain(fixed.into_iter().map(Some)).collect();
        values.resize_with(program.places, || None);
        let mut same: Vec<bool> = (0..program.places).map(|place| (changing..program.inputs).contains(&place)).collect();
        let in_place = program.steps.iter().any(|step| step.op.without_gradient());
        let (mut once, mut varying) = (Vec::new(), Vec::new());
        for (index, step) in program.steps.iter().enumerate() {
            if !in_place && step.op.is_pure() && step.inputs.iter().flatten().all(|place| same[*place]) {
                step.outputs.iter().flatten().for_each(|place| same[*place] = true);
                once.push(index);
            } else {
                varying.push(index);
            }
        }
        let mut needed = vec![false; program.places];
        let used = varying.iter().flat_map(|index| &program.steps[*index].inputs).chain(&program.outputs);
        used.flatten().for_each(|place| needed[*place] = true);
        program.execute(once.iter().map(|index| &program.steps[*index]), &mut values, &needed, setting)?;
        Ok(Self { program, values, fixed: same, varying, changing })
    }

    /// Runs the program; all of its outputs must exist.
    pub fn run(&mut self, inputs: Vec<Tensor>, setting: Setting) -> Result<Vec<Tensor>, Fault> {
        if inputs.len() != self.changing {
            return Err(Fault::engine(format!("{} inputs change, {} were given", self.changing, inputs.len())));
        }
        for (value, input) in self.values.iter_mut().zip(inputs) {
            *value = Some(input);
        }
        let steps = self.varying.iter().map(|index| &self.program.steps[*index]);
        self.program.execute(steps, &mut self.values, &self.fixed, setting)?;
        let outputs = whole(self.program.collect(&self.values)?)?;
        for (value, _) in self.values.iter_mut().zip(&self.fixed).filter(|(_, fixed)| !**fixed) {
            *value = None;
        }
        Ok(outputs)
    }
}

fn stranger(id: u64) -> Fault {
    Fault::engine(format!("value {id} is neither an input of the program nor computed by it"))
}

/// The fault of naming a program that does not exist.
#[must_use]
pub fn unknown(id: u64) -> Fault {
    Fault::engine(format!("program {id} is not defined"))
}
