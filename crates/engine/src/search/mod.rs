//! `search`: writes sequences from left to right with a recorded step, by beam search, greedily or by chance.
//!
//! Sutskever, Vinyals and Le 2014, section 3.2: every hypothesis of a sentence's beam is continued by every symbol, the likeliest continuations
//! are kept, and one that writes the end leaves the beam for the list of the finished. The machine calls `advance` until it `is_done`, and looks
//! after everybody else in between.
mod candidates;
mod order;
mod sample;
mod sentence;

use crate::call::{Call, Outputs, Setting};
use crate::error::{Code, Fault};
use crate::program::{Repeated, unknown};
use crate::{crew, effort, shim};
use candidates::Rows;
use order::Order;
use quarterturn_kernels::few_rows;
use sentence::{Candidate, Sentence};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// One search on its way.
pub struct Search {
    order: Order,
    body: Repeated,
    device: Device,
    sentences: Vec<Sentence>,
    /// The last symbol of every hypothesis: that of sentence b and place w is at b · beam + w, as in everything that the step takes and gives.
    last: Vec<i64>,
    states: Vec<Tensor>,
    steps: usize,
    /// Whether steps are walks with a crew: those of few rows are, unless something in the first is libtorch's to share.
    walks: bool,
    /// For every step [N, S], if it is wanted.
    attention: Vec<Vec<f32>>,
    positions: usize,
}

impl Search {
    /// Inputs: states and contexts, a row for each sentence, then what the step has taken in from outside.
    pub fn new(call: &mut Call) -> Result<Self, Fault> {
        let program_id = call.attributes.index()?;
        let order = Order::read(call)?;
        call.attributes.finish()?;
        let program = Arc::clone(call.context.programs.get(&program_id).ok_or_else(|| unknown(program_id))?);
        if program.output_count() != 1 + order.states + usize::from(order.attention) {
            return Err(Fault::engine("the step does not fit the order"));
        }
        let inputs = call.all()?;
        let rows = order.states + order.contexts;
        let device = inputs.first().map_or(Device::Cpu, |x| x.device());
        let repeated = inputs.iter().take(rows).map(|x| order.repeat(x)).collect::<Result<Vec<_>, _>>()?;
        let captured = inputs.iter().skip(rows).map(|x| x.shallow_clone());
        let mut states = repeated;
        let fixed = states.split_off(order.states).into_iter().chain(captured).collect();
        let body = Repeated::new(program, 1 + order.states, fixed, setting(0))?;
        let sentences = (0..order.batch).map(|b| Sentence::new(&order, b)).collect();
        let last = vec![order.start; order.batch * order.beam];
        let walks = device == Device::Cpu && last.len() <= few_rows::MOST;
        Ok(Self { order, body, device, sentences, last, states, steps: 0, walks, attention: Vec::new(), positions: 0 })
    }

    #[must_use]
    pub fn token(&self) -> u64 {
        self.order.token
    }

    #[must_use]
    pub fn is_done(&self) -> bool {
        self.sentences.iter().all(Sentence::is_done)
    }

    /// One more symbol for every hypothesis that goes on.
    pub fn advance(&mut self) -> Result<(), Fault> {
        if !self.walks {
            return self.step();
        }
        let first = self.steps == 0;
        crew::walk(|| {
            if !first {
                return self.step();
            }
            let (done, team) = effort::watched(|| self.step());
            self.walks = !team;
            done
        })?
    }

    fn step(&mut self) -> Result<(), Fault> {
        let _inference = shim::Inference::begin();
        let rows = self.last.len();
        let number = u32::try_from(self.steps).map_err(|_| Fault::engine("too many steps"))?;
        let last = Tensor::f_from_slice(&self.last)?.f_to_device(self.device)?;
        let inputs = std::iter::once(last).chain(self.states.drain(..)).collect();
        let mut outputs = self.body.run(inputs, setting(number))?;
        if self.order.attention {
            let weights = outputs.pop().ok_or_else(|| Fault::engine("the step gave no attention"))?;
            self.remember(&weights)?;
        }
        let mut states = outputs.split_off(1);
        let logits = outputs.pop().ok_or_else(|| Fault::engine("the step gave no logits"))?;
        if !matches!(*logits.size(), [n, width] if usize::try_from(n) == Ok(rows) && width > 0) {
            return Err(Fault::mismatch(Code::Shape, "the logits", format!("[{rows}, V]"), format!("{:?}", logits.size())));
        }
        let parents = self.choose(&logits)?;
        if parents.iter().zip(0..).any(|(parent, row)| *parent != row) {
            let parents = Tensor::f_from_slice(&parents)?.f_to_device(self.device)?;
            for state in &mut states {
                *state = state.f_index_select(0, &parents)?;
            }
        }
        self.states = states;
        self.steps += 1;
        Ok(())
    }

    fn remember(&mut self, weights: &Tensor) -> Result<(), Fault> {
        let bytes = shim::bytes(&weights.f_to_kind(Kind::Float)?)?;
        let numbers: Vec<f32> = bytes.chunks_exact(4).map(|four| f32::from_ne_bytes([four[0], four[1], four[2], four[3]])).collect();
        self.positions = numbers.len() / self.last.len();
        self.attention.push(numbers);
        Ok(())
    }

    /// Continues every sentence, and says from which row each row goes on.
    fn choose(&mut self, logits: &Tensor) -> Result<Vec<i64>, Fault> {
        let Self { order, sentences, last, steps, .. } = self;
        let mut active = Vec::with_capacity(last.len());
        for (b, sentence) in sentences.iter().enumerate() {
            active.extend((0..sentence.width()).map(|w| b * order.beam + w));
        }
        let forced = sentences.iter().any(|sentence| sentence.forced(*steps).is_some());
        let rows = Rows::new(logits, &active, order, forced)?;
        let mut parents: Vec<i64> = (0..).take(last.len()).collect();
        let mut at = 0;
        for (b, sentence) in sentences.iter_mut().enumerate() {
            let mut candidates = Vec::with_capacity(sentence.width() * order.beam);
            for hypothesis in 0..sentence.width() {
                let mut add = |id: i64, logarithm: f64| candidates.push(Candidate { hypothesis, id, logarithm });
                match (sentence.forced(*steps), &order.sampling) {
                    (Some(id), _) => add(id, rows.logarithm(at, id)?),
                    (None, Some(sampling)) => {
                        let place = *steps as u64 * last.len() as u64 + active[at] as u64;
                        if let Some(id) = sample::draw(&rows.row(at), &order.banned, sampling, place) {
                            add(id, rows.logarithm(at, id)?);
                        }
                    }
                    (None, None) => {
                        rows.likeliest(at).filter(|(id, _)| !order.banned.contains(id)).for_each(|(id, logarithm)| add(id, logarithm));
                    }
                }
                at += 1;
            }
            let first = b * order.beam;
            for (w, (hypothesis, id)) in sentence.extend(candidates, order, *steps + 1, first).into_iter().enumerate() {
                parents[first + w] = (first + hypothesis) as i64;
                last[first + w] = id;
            }
        }
        Ok(parents)
    }

    /// ids [B, A, L], -1 after what was written; log probability and score [B, A, 2]; the attention [B, A, L, S] if it is wanted.
    pub fn outputs(self) -> Outputs {
        let Order { batch, wanted, .. } = self.order;
        let (longest, positions) = (self.order.longest(), self.positions);
        let mut ids = vec![-1i64; batch * wanted * longest];
        let mut scores = vec![f64::NAN; batch * wanted * 2];
        let mut attention = vec![0f32; if self.order.attention { ids.len() * positions } else { 0 }];
        for (b, sentence) in self.sentences.iter().enumerate() {
            for (a, found) in sentence.found().iter().enumerate() {
                let place = b * wanted + a;
                scores[2 * place] = found.logarithm;
                scores[2 * place + 1] = found.score;
                for (step, (id, row)) in sentence.path(found).into_iter().enumerate() {
                    ids[place * longest + step] = id;
                    if self.order.attention {
                        let from = &self.attention[step][row * positions..][..positions];
                        attention[(place * longest + step) * positions..][..positions].copy_from_slice(from);
                    }
                }
            }
        }
        let (b, a, l, s) = (batch as i64, wanted as i64, longest as i64, positions as i64);
        let mut outputs = vec![Tensor::f_from_slice(&ids)?.f_view([b, a, l])?, Tensor::f_from_slice(&scores)?.f_view([b, a, 2])?];
        if self.order.attention {
            outputs.push(Tensor::f_from_slice(&attention)?.f_view([b, a, l, s])?);
        }
        Ok(outputs)
    }
}

fn setting(step: u32) -> Setting {
    Setting { iteration: [step, 0], grad: false, again: false }
}
