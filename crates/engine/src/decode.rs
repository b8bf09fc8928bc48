//! The stream of words: entries, and a reader of their attributes. Nothing here knows what an operation does.
use crate::error::{Code, Fault};
use crate::op::Op;
use tch::{Device, Kind};

const FLAG_BASE: u64 = 4096;
const NO_GRAD: u64 = 1;
const LARGEST: f64 = 9_007_199_254_740_992.0;

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
        let entry = Entry {
            op,
            no_grad: (head / FLAG_BASE) & NO_GRAD != 0,
            inputs: self.run()?,
            outputs: self.run()?,
            attributes: self.run()?,
        };
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
    let value = (word >= 0.0 && word < LARGEST && word.fract() == 0.0).then_some(word as u64);
    value
}

/// An id that decoding has found to be an integer.
#[must_use]
pub fn id(word: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked by Entries")]
    let id = word as u64;
    id
}

/// Reads attributes in order.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    words: &'a [f64],
    position: usize,
}

impl<'a> Attributes<'a> {
    #[must_use]
    pub fn new(words: &'a [f64]) -> Self {
        Self { words, position: 0 }
    }

    /// The next word.
    pub fn number(&mut self) -> Result<f64, Fault> {
        let word = self.words.get(self.position).copied();
        self.position += 1;
        word.ok_or_else(|| Fault::engine(format!("attribute {} is missing", self.position)))
    }

    /// The next word, which is an integer of either sign.
    pub fn integer(&mut self) -> Result<i64, Fault> {
        let word = self.number()?;
        if word.fract() != 0.0 || word.abs() > LARGEST {
            return Err(Fault::engine(format!("attribute {} must be an integer, got {word}", self.position)));
        }
        #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
        Ok(word as i64)
    }

    /// The next word as a count, an id or an index.
    pub fn index(&mut self) -> Result<u64, Fault> {
        let value = self.integer()?;
        u64::try_from(value).map_err(|_| Fault::engine(format!("attribute {} is negative: {value}", self.position)))
    }

    /// The next word as a length in memory.
    pub fn length(&mut self) -> Result<usize, Fault> {
        let value = self.index()?;
        usize::try_from(value).map_err(|_| Fault::engine(format!("attribute {} is too large", self.position)))
    }

    /// The next word as 32 bits.
    pub fn bits(&mut self) -> Result<u32, Fault> {
        let value = self.index()?;
        u32::try_from(value).map_err(|_| Fault::engine(format!("attribute {} exceeds 32 bits: {value}", self.position)))
    }

    /// The next word as a flag, 0 or 1.
    pub fn flag(&mut self) -> Result<bool, Fault> {
        match self.number()? {
            0.0 => Ok(false),
            1.0 => Ok(true),
            other => Err(Fault::engine(format!("attribute {} must be 0 or 1, got {other}", self.position))),
        }
    }

    /// A length and so many integers.
    pub fn list(&mut self) -> Result<Vec<i64>, Fault> {
        let length = self.length()?;
        if length > self.words.len() {
            return Err(Fault::engine(format!("a list of {length} is longer than its entry")));
        }
        (0..length).map(|_| self.integer()).collect()
    }

    /// A length and so many numbers.
    pub fn numbers(&mut self) -> Result<&'a [f64], Fault> {
        let length = self.length()?;
        let run = self.position.checked_add(length).and_then(|end| self.words.get(self.position..end));
        self.position += length;
        run.ok_or_else(|| Fault::engine(format!("a list of {length} is longer than its entry")))
    }

    /// Two integers: height and width.
    pub fn pair(&mut self) -> Result<[i64; 2], Fault> {
        Ok([self.integer()?, self.integer()?])
    }

    /// A dtype code.
    pub fn kind(&mut self) -> Result<Kind, Fault> {
        match self.integer()? {
            0 => Ok(Kind::Float),
            1 => Ok(Kind::Double),
            2 => Ok(Kind::BFloat16),
            3 => Ok(Kind::Int64),
            4 => Ok(Kind::Bool),
            other => Err(Fault::new(Code::Dtype, format!("unknown dtype code {other}"))),
        }
    }

    /// A device code.
    pub fn device(&mut self) -> Result<Device, Fault> {
        match self.integer()? {
            -1 => Ok(Device::Cpu),
            index => usize::try_from(index).map(Device::Cuda).map_err(|_| Fault::new(Code::Device, format!("unknown device code {index}"))),
        }
    }

    /// All that has not been read.
    pub fn rest(&mut self) -> &'a [f64] {
        let rest = self.words.get(self.position..).unwrap_or_default();
        self.position = self.words.len();
        rest
    }

    /// Fails if something was left unread: then the two sides mean different things by this operation.
    pub fn finish(&self) -> Result<(), Fault> {
        if self.position >= self.words.len() {
            return Ok(());
        }
        Err(Fault::engine(format!("{} attributes were sent, {} are known", self.words.len(), self.position)))
    }
}

/// The name of a dtype as users write it.
#[must_use]
pub fn dtype_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Float => "float32",
        Kind::Double => "float64",
        Kind::BFloat16 => "bfloat16",
        Kind::Int64 => "int64",
        Kind::Bool => "bool",
        _ => "another dtype",
    }
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

    #[test]
    fn attributes_are_read_in_order_and_leftovers_are_noticed() {
        let mut attributes = Attributes::new(&[3.0, -1.0, 2.0, 7.0, 8.0, 1.0, 0.5]);
        assert_eq!(attributes.kind().unwrap(), Kind::Int64);
        assert_eq!(attributes.device().unwrap(), Device::Cpu);
        assert_eq!(attributes.list().unwrap(), [7, 8]);
        assert!(attributes.flag().unwrap());
        assert!(attributes.finish().is_err());
        assert!(attributes.clone().integer().is_err());
        attributes.number().unwrap();
        assert!(attributes.finish().is_ok() && attributes.number().is_err());
        assert!(Attributes::new(&[9.0]).list().is_err());
        assert!(Attributes::new(&[1e15]).numbers().is_err());
        assert!(Attributes::new(&[2.0]).flag().is_err());
        assert!(Attributes::new(&[5_000_000_000.0]).bits().is_err());
    }
}
