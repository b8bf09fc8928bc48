//! What a search is asked for.
use super::sample::Sampling;
use crate::call::Call;
use crate::error::{Code, Fault};
use crate::philox::Philox;
use tch::Tensor;

pub struct Order {
    /// Under which it may be aborted.
    pub token: u64,
    pub states: usize,
    pub contexts: usize,
    /// B, sentences.
    pub batch: usize,
    /// Hypotheses of each sentence.
    pub beam: usize,
    /// A, sequences that are given back for each.
    pub wanted: usize,
    pub start: i64,
    pub end: i64,
    /// α of the length penalty ((5 + |y|) / 6)^α (Wu et al. 2016, equation 14).
    pub alpha: f64,
    pub attention: bool,
    /// The most symbols of each sentence.
    pub lengths: Vec<usize>,
    /// Symbols that are never written.
    pub banned: Vec<i64>,
    /// What each sentence begins with.
    pub prefix: Vec<Vec<i64>>,
    pub sampling: Option<Sampling>,
}

impl Order {
    pub fn read(call: &mut Call) -> Result<Self, Fault> {
        let attributes = &mut call.attributes;
        let token = attributes.index()?;
        let (states, contexts) = (attributes.length()?, attributes.length()?);
        let (batch, beam, wanted) = (attributes.length()?, attributes.length()?, attributes.length()?);
        let (start, end) = (attributes.integer()?, attributes.integer()?);
        let (alpha, attention) = (attributes.number()?, attributes.flag()?);
        let lengths = attributes.list()?.into_iter().map(|length| usize::try_from(length).unwrap_or(0)).collect::<Vec<_>>();
        let banned = attributes.list()?;
        let prefix = (0..lengths.len()).map(|_| attributes.list()).collect::<Result<Vec<_>, _>>()?;
        let sampling = if attributes.flag()? {
            let (temperature, top_k, top_p) = (attributes.number()?, attributes.length()?, attributes.number()?);
            let philox = Philox { key: [attributes.bits()?, attributes.bits()?], offset: attributes.index()?, iteration: [0; 2] };
            Some(Sampling { temperature, top_k, top_p, philox })
        } else {
            None
        };
        if batch == 0 || beam == 0 || wanted == 0 || lengths.len() != batch || lengths.contains(&0) {
            return Err(Fault::engine("a search needs sentences, a beam and lengths"));
        }
        Ok(Self { token, states, contexts, batch, beam, wanted, start, end, alpha, attention, lengths, banned, prefix, sampling })
    }

    /// L
    pub fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(0)
    }

    /// [B, …] with every row as often as there are hypotheses.
    pub fn repeat(&self, x: &Tensor) -> Result<Tensor, Fault> {
        if x.size().first().copied() != i64::try_from(self.batch).ok() {
            return Err(Fault::mismatch(Code::Shape, "states and contexts", format!("[{}, …]", self.batch), format!("{:?}", x.size())));
        }
        if self.beam == 1 {
            return Ok(x.shallow_clone());
        }
        Ok(x.f_repeat_interleave_self_int(self.beam as i64, 0, (self.batch * self.beam) as i64)?)
    }

    /// The score of a sequence of so many symbols, the end included.
    pub fn score(&self, logarithm: f64, length: usize) -> f64 {
        if self.alpha == 0.0 { logarithm } else { logarithm / ((5.0 + length as f64) / 6.0).powf(self.alpha) }
    }
}
