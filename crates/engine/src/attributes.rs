//! Reads the attributes of an entry in order, each as what the operation says it is.
use crate::decode::LARGEST;
use crate::error::{Code, Fault};
use tch::{Device, Kind};

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

    /// A dtype code.
    pub fn kind(&mut self) -> Result<Kind, Fault> {
        match self.integer()? {
            0 => Ok(Kind::Float),
            1 => Ok(Kind::Double),
            2 => Ok(Kind::BFloat16),
            3 => Ok(Kind::Int64),
            4 => Ok(Kind::Bool),
            5 => Ok(Kind::Int),
            6 => Ok(Kind::Uint8),
            7 => Ok(Kind::Half),
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
        Kind::Int => "int32",
        Kind::Uint8 => "uint8",
        Kind::Half => "float16",
        _ => "another dtype",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
