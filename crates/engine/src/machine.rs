//! The engine's thread: takes submissions from the queue and executes their entries, units of lane 1 in between.
use crate::attributes::Attributes;
use crate::call::{Call, Context, Setting};
use crate::decode::{Entries, Entry, id};
use crate::environment::{Environment, Payload, Reply};
use crate::error::{Code, Failure, Fault};
use crate::grad_mode::GradMode;
use crate::interpreter;
use crate::lanes::Unit;
use crate::op::Op;
use crate::program::{Program, Programs};
use crate::queue::{self, Interruption, Submission};
use crate::search::Search;
use crate::slots::{IdMap, Slots, Value};
use crate::{checkpoint_file, panics, shim, threads};
use std::sync::Arc;
use tch::Tensor;

/// What the engine holds for one environment.
#[derive(Default)]
struct Table {
    slots: Slots,
    programs: Programs,
    /// Submissions of lane 0 that are done: the number of the last one.
    done: u64,
}

/// The state of the engine's thread.
#[derive(Default)]
pub struct Machine {
    tables: IdMap<Table>,
    units: Vec<Unit>,
}

impl Machine {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves the queue for ever.
    pub fn run(mut self) -> ! {
        threads::start();
        loop {
            let (interruption, submission) = queue::next();
            self.interrupt(interruption);
            if let Some(submission) = submission {
                self.submission(&submission);
            }
            self.run_units(false);
        }
    }

    fn interrupt(&mut self, interruption: Interruption) {
        for submission in interruption.ahead {
            let table = self.tables.entry(submission.environment.id).or_default();
            self.units.push(Unit::new(submission, |id| table.slots.contains(id)));
        }
        for environment in interruption.closing {
            self.units.retain(|unit| unit.environment().id != environment.id);
            self.tables.remove(&environment.id);
        }
    }

    /// Between two entries of lane 0.
    fn between(&mut self) {
        if let Some(interruption) = queue::poll() {
            self.interrupt(interruption);
        }
        if !self.units.is_empty() {
            self.run_units(false);
        }
    }

    fn submission(&mut self, submission: &Submission) {
        let environment = &submission.environment;
        let mut mode = GradMode::hold();
        let mut executed = 0;
        for (entry, sequence) in Entries::new(&submission.words).zip(submission.sequence..) {
            self.between();
            if environment.is_cancelled() {
                break;
            }
            environment.advanced();
            self.entry(environment, entry, sequence, &mut mode);
            executed += 1;
        }
        if let Some(table) = self.tables.get_mut(&environment.id) {
            table.done = submission.number;
        }
        environment.finished(submission.lane, submission.steps, submission.bytes, submission.entries - executed);
    }

    /// Runs every unit of lane 1 whose slots exist, whole; amid a search only those that are light.
    fn run_units(&mut self, amid_search: bool) {
        while let Some(position) = self.units.iter_mut().position(|unit| {
            if amid_search && !unit.is_light() {
                return false;
            }
            let table = self.tables.get(&unit.environment().id);
            unit.is_ready(|id| table.is_some_and(|table| table.slots.contains(id)), table.map_or(0, |table| table.done))
        }) {
            let mut unit = self.units.remove(position);
            let submission = unit.submission();
            let environment = Arc::clone(&submission.environment);
            let mut mode = GradMode::hold();
            let mut executed = 0;
            for (entry, sequence) in Entries::new(&submission.words).zip(submission.sequence..) {
                if environment.is_cancelled() {
                    break;
                }
                environment.advanced();
                self.entry(&environment, entry, sequence, &mut mode);
                executed += 1;
            }
            environment.finished(submission.lane, 0, 0.0, submission.entries - executed);
            // Releases that were put off for this unit, unless another one still needs the slot.
            for id in unit.take_released() {
                self.free(environment.id, id);
            }
        }
    }

    fn free(&mut self, environment: u64, id: u64) {
        if let Some(unit) = self.units.iter_mut().find(|unit| unit.environment().id == environment && unit.needs(id)) {
            unit.release_after(id);
        } else if let Some(table) = self.tables.get_mut(&environment) {
            table.slots.free(id);
        }
    }

    fn entry(&mut self, environment: &Arc<Environment>, entry: Result<Entry, Fault>, sequence: u64, mode: &mut GradMode) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(fault) => {
                return environment.reply(Reply::Failure(Arc::new(fault.into_failure("submit", sequence))));
            }
        };
        if entry.op == Op::Free {
            let freed = panics::contained(|| {
                entry.inputs.iter().for_each(|word| self.free(environment.id, id(*word)));
                Ok::<(), Fault>(())
            });
            if let Err(fault) = freed {
                environment.reply(Reply::Failure(Arc::new(fault.into_failure("free", sequence))));
            }
            return;
        }
        mode.set(!entry.no_grad && !entry.op.without_gradient());
        let result = panics::contained(|| match entry.op {
            Op::Search => self.search(environment, &entry),
            _ => execute(self.tables.entry(environment.id).or_default(), environment, &entry),
        });
        if entry.op == Op::Search && environment.is_cancelled() {
            return; // its table may be gone
        }
        let table = self.tables.entry(environment.id).or_default();
        let failure = match result {
            Ok(outputs) => {
                for (word, output) in entry.outputs.iter().zip(outputs) {
                    table.slots.set(id(*word), Value::Tensor(output));
                }
                return;
            }
            Err(Stop::Marked(failure)) => failure,
            Err(Stop::Fault(fault)) => {
                let failure = Arc::new(fault.into_failure(entry.op.name(), sequence));
                if !entry.op.is_request() {
                    environment.reply(Reply::Failure(Arc::clone(&failure)));
                }
                failure
            }
        };
        if entry.op.is_request() {
            environment.reply(Reply::Error { request: Attributes::new(entry.attributes).index().unwrap_or(0), failure });
            return;
        }
        for word in entry.outputs {
            table.slots.set(id(*word), Value::Error(Arc::clone(&failure)));
        }
    }
}

impl Machine {
    /// A search goes on for long: between two of its steps what cannot wait is looked after.
    fn search(&mut self, environment: &Arc<Environment>, entry: &Entry) -> Result<Vec<Tensor>, Stop> {
        let mut search = {
            let table = self.tables.entry(environment.id).or_default();
            Search::new(&mut prepare(table, environment, entry)?)?
        };
        let mut steps = 0;
        while !search.is_done() {
            if let Some(interruption) = queue::poll() {
                self.interrupt(interruption);
            }
            if environment.is_cancelled() || environment.is_aborted(search.token()) {
                return Err(Fault::new(Code::Aborted, format!("aborted after {steps} steps")).into());
            }
            if !self.units.is_empty() {
                self.run_units(true);
            }
            search.advance()?;
            steps += 1;
        }
        Ok(search.outputs()?)
    }
}

/// Why an entry has no outputs.
enum Stop {
    /// An input was an error already.
    Marked(Arc<Failure>),
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Fault(fault)
    }
}

fn execute(table: &mut Table, environment: &Arc<Environment>, entry: &Entry) -> Result<Vec<Tensor>, Stop> {
    let mut attributes = Attributes::new(entry.attributes);
    match entry.op {
        Op::Define => {
            let program_id = attributes.index()?;
            let program = Program::read(&mut attributes, &table.programs)?;
            table.programs.insert(program_id, Arc::new(program));
            return Ok(Vec::new());
        }
        Op::Undefine => {
            table.programs.remove(&attributes.index()?);
            return Ok(Vec::new());
        }
        Op::Threads => {
            threads::set(attributes.length()?);
            return Ok(Vec::new());
        }
        _ => {}
    }
    let mut call = prepare(table, environment, entry)?;
    if entry.op.is_request() {
        request(environment, &mut call)?;
        return Ok(Vec::new());
    }
    Ok(interpreter::run(&mut call, entry.outputs.len())?)
}

/// The entry with its inputs looked up.
fn prepare<'a>(table: &'a Table, environment: &'a Environment, entry: &'a Entry) -> Result<Call<'a>, Stop> {
    let mut inputs = Vec::with_capacity(entry.inputs.len());
    for word in entry.inputs {
        inputs.push(match (id(*word), table.slots.get(id(*word))) {
            (0, _) => None,
            (_, Some(Value::Tensor(tensor))) => Some(tensor),
            (_, Some(Value::Error(failure))) => return Err(Stop::Marked(Arc::clone(failure))),
            (id, None) => {
                return Err(Stop::Fault(Fault::engine(format!("slot {id} does not exist"))));
            }
        });
    }
    let context = Context {
        programs: &table.programs,
        staging: Some(&environment.staging),
        setting: Setting { iteration: [0; 2], grad: !entry.no_grad, again: false },
    };
    Ok(Call { op: entry.op, inputs, ids: entry.inputs, attributes: Attributes::new(entry.attributes), context })
}

fn request(environment: &Arc<Environment>, call: &mut Call) -> Result<(), Fault> {
    let request = call.attributes.index()?;
    let payload = match call.op {
        Op::Read => Payload::Bytes(shim::bytes(call.input(0)?)?),
        Op::Save => {
            let order = environment.staging.take(call.attributes.index()?)?;
            // Copied here, at its place in the order; written elsewhere.
            let contents = checkpoint_file::collect(order.as_slice(), &call.all()?)?;
            return checkpoint_file::save_later(contents, Arc::clone(environment), request);
        }
        _ => Payload::Nothing,
    };
    environment.answer(request, Ok(payload));
    Ok(())
}
