//! The one error of this crate.
use std::fmt;

/// The stable codes, as JavaScript knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// An option or number that cannot be used.
    Argument,
    /// A tokenizer.json that is malformed, or of another kind.
    Data,
    /// The library refused for a reason of its own.
    Engine,
}

impl Code {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Argument => "ERR_ARGUMENT",
            Self::Data => "ERR_DATA",
            Self::Engine => "ERR_ENGINE",
        }
    }
}

/// What was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: Code,
    pub message: String,
}

impl Fault {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}
