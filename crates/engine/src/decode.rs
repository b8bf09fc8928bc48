//! The stream of words as entries. Nothing here knows what an operation does.
use crate::error::Fault;
use crate::op::Op;

const FLAG_BASE: u64 = 4096;
const NO_GRAD: u64 = 1;
/// Integers of a word are below this.
pub const LARGEST: f64 = 9_007_199_254_740_992.0;

/// One recorded operation.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub op: Op,
    /// Recorded under `noGrad`.
    pub no_grad: bool,
    pub inputs: &'a [f64],
    pub outputs: &'a [f64],
    pub attributes: &'a [f64],
}

/// Iterates over the entries of a stream; after an error it ends.
pub struct Entries<'a> {
    words: &'a [f64],
    position: usize,
}

impl<'a> Entries<'a> {
    #[must_use]
    pub fn new(words: &'a [f64]) -> Self {
        Self { words, position: 0 }
    }

    fn word(&mut self) -> Result<u64, Fault> {
        let word = self.words.get(self.position).copied();
        let value = word.and_then(integer).ok_or_else(|| malformed(self.position, word))?;
        self.position += 1;
        Ok(value)
    }

    fn run(&mut self) -> Result<&'a [f64], Fault> {
        let at = self.position;
        let length = self.word()?;
        let start = self.position;
        let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length));
        let run = end.and_then(|end| self.words.get(start..end)).ok_or_else(|| malformed(at, self.words.get(at).copied()))?;
        self.position += run.len();
        Ok(run)
    }

    fn entry(&mut self) -> Result<Entry<'a>, Fault> {
        let at = self.position;
        let head = self.word()?;
        let code = usize::try_from(head % FLAG_BASE).ok();
        let op = code.and_then(Op::from_code).ok_or_else(|| malformed(at, self.words.get(at).copied()))?;
        let entry =
            Entry { op, no_grad: (head / FLAG_BASE) & NO_GRAD != 0, inputs: self.run()?, outputs: self.run()?, attributes: self.run()? };
        match entry.inputs.iter().chain(entry.outputs).find(|id| integer(**id).is_none()) {
            Some(id) => Err(malformed(at, Some(*id))),
            None => Ok(entry),
        }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.words.len() {
            return None;
        }
        let entry = self.entry();
        if entry.is_err() {
            self.position = self.words.len();
        }
        Some(entry)
    }
}

fn malformed(at: usize, word: Option<f64>) -> Fault {
    match word {
        Some(word) => Fault::engine(format!("malformed stream: unexpected {word} at word {at}")),
        None => Fault::engine(format!("malformed stream: it ends at word {at}")),
    }
}

/// A word as a non-negative integer.
#[must_use]
pub fn integer(word: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    let value = ((0.0..LARGEST).contains(&word) && word.fract() == 0.0).then_some(word as u64);
    value
}

/// An id that decoding has found to be an integer.
#[must_use]
pub fn id(word: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked by Entries")]
    let id = word as u64;
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_as_they_were_written() {
        let add = Op::Add as u16;
        let words = [f64::from(add) + 4096.0, 2.0, 5.0, 0.0, 1.0, 9.0, 2.0, 2.5, 0.0, f64::from(Op::Mark as u16), 0.0, 0.0, 1.0, 3.0];
        let entries: Vec<_> = Entries::new(&words).collect::<Result<_, _>>().unwrap();
        assert_eq!(entries.len(), 2);
        assert!(entries[0].op == Op::Add && entries[0].no_grad);
        assert_eq!((entries[0].inputs, entries[0].outputs, entries[0].attributes), (&[5.0, 0.0][..], &[9.0][..], &[2.5, 0.0][..]));
        assert!(entries[1].op == Op::Mark && !entries[1].no_grad);
    }

    #[test]
    fn every_truncation_and_every_bad_word_is_an_error_and_ends_the_stream() {
        let words = [f64::from(Op::Add as u16), 1.0, 5.0, 1.0, 9.0, 1.0, 2.5];
        for end in 1..words.len() {
            let results: Vec<_> = Entries::new(&words[..end]).collect();
            assert!(results.len() == 1 && results[0].is_err(), "cut at {end}");
        }
        for (position, bad) in (0..5).flat_map(|position| [-1.0, 0.5, f64::NAN, f64::INFINITY, 1e300].map(|bad| (position, bad))) {
            let mut words = words;
            words[position] = bad;
            assert!(Entries::new(&words).next().unwrap().is_err(), "{bad} at {position}");
        }
        assert!(Entries::new(&[4095.0, 0.0, 0.0, 0.0]).next().unwrap().is_err());
    }
}
