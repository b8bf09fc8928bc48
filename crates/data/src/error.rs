//! The one error of this crate: what is wrong with a file, and where.
use std::fmt;

/// The stable codes, as JavaScript knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The system refused to read.
    Io,
    /// The contents are malformed.
    Data,
    /// An option that cannot be used.
    Argument,
}

impl Code {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Io => "ERR_IO",
            Self::Data => "ERR_DATA",
            Self::Argument => "ERR_ARGUMENT",
        }
    }
}

/// A place in a text, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: u64,
    pub column: Option<usize>,
}

/// What was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: Code,
    pub message: String,
    pub place: Option<Place>,
}

impl Fault {
    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self { code: Code::Argument, message: message.into(), place: None }
    }

    pub(crate) fn data(line: u64, column: Option<usize>, message: impl Into<String>) -> Self {
        Self { code: Code::Data, message: message.into(), place: Some(Place { line, column }) }
    }

    /// The same fault in a text that begins `lines` further down.
    pub(crate) fn below(mut self, lines: u64) -> Self {
        if let Some(place) = &mut self.place {
            place.line += lines;
        }
        self
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self { code: Code::Io, message: error.to_string(), place: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(Place { line, column: Some(column) }) => write!(f, "line {line}, column {column}: {}", self.message),
            Some(Place { line, column: None }) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Fault {}
