//! Columns as they are built: numbers, or text one cell after another.
use crate::error::Fault;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Float64,
    Float32,
    /// Milliseconds since 1970 as float64.
    Date,
    Text,
}

impl Kind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Float64 => "float64",
            Self::Float32 => "float32",
            Self::Date => "date",
            Self::Text => "text",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Float64, Self::Float32, Self::Date, Self::Text].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The values of a column. Missing numbers are NaN.
#[derive(Debug, PartialEq)]
pub enum Values {
    Float64(Vec<f64>),
    Float32(Vec<f32>),
    Text(Text),
}

/// Cells of UTF-8, one after another: cell k ends at `ends[k]`, where cell k + 1 begins.
#[derive(Debug, Default, PartialEq)]
pub struct Text {
    pub bytes: Vec<u8>,
    pub ends: Vec<u32>,
}

impl Text {
    pub fn cell(&self, k: usize) -> &[u8] {
        let start = if k == 0 { 0 } else { self.ends[k - 1] as usize };
        &self.bytes[start..self.ends[k] as usize]
    }

    /// Adds a cell; false where 4 GiB do not hold it.
    pub fn push(&mut self, cell: &[u8]) -> bool {
        self.bytes.extend_from_slice(cell);
        u32::try_from(self.bytes.len()).map(|end| self.ends.push(end)).is_ok()
    }
}

impl Values {
    pub fn new(kind: Kind, rows: usize) -> Self {
        match kind {
            Kind::Float64 | Kind::Date => Self::Float64(Vec::with_capacity(rows)),
            Kind::Float32 => Self::Float32(Vec::with_capacity(rows)),
            Kind::Text => Self::Text(Text { bytes: Vec::new(), ends: Vec::with_capacity(rows) }),
        }
    }

    /// Adds a number; a column of text takes none.
    #[inline]
    pub fn push(&mut self, value: f64) {
        match self {
            Self::Float64(values) => values.push(value),
            Self::Float32(values) => values.push(value as f32),
            Self::Text(_) => {}
        }
    }

    /// The parts of a column, one after another.
    pub fn concatenate(kind: Kind, name: &str, rows: usize, parts: Vec<Self>) -> Result<Self, Fault> {
        let mut whole = Self::new(kind, rows);
        for part in parts {
            match (&mut whole, part) {
                (Self::Float64(whole), Self::Float64(part)) => whole.extend_from_slice(&part),
                (Self::Float32(whole), Self::Float32(part)) => whole.extend_from_slice(&part),
                (Self::Text(whole), Self::Text(part)) => {
                    let before = whole.bytes.len();
                    whole.bytes.extend_from_slice(&part.bytes);
                    if u32::try_from(whole.bytes.len()).is_err() {
                        return Err(Fault::argument(format!("{name} holds more than 4 GiB of text; leave it out with columns")));
                    }
                    whole.ends.extend(part.ends.iter().map(|end| before as u32 + end));
                }
                _ => return Err(Fault::argument(format!("{name} changes its type"))),
            }
        }
        Ok(whole)
    }
}
