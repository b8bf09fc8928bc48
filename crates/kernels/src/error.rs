//! The one error of this crate: a buffer or an option that does not fit, found before any work was done.

use std::fmt;

/// What was wrong, in the form `lstm: x must hold B*T*I = 280 numbers, got 281`. Callers give it the code `ERR_SHAPE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The kernel that refused.
    pub op: &'static str,
    /// What it expected and what it got.
    pub message: String,
}

impl Error {
    pub(crate) fn new(op: &'static str, message: impl Into<String>) -> Error {
        Error { op, message: message.into() }
    }

    /// Refuses a buffer that does not hold exactly `expected` numbers.
    pub(crate) fn check(op: &'static str, name: &str, letters: &str, expected: usize, got: usize) -> Result<(), Error> {
        if expected == got {
            return Ok(());
        }
        Err(Error::new(op, format!("{name} must hold {letters} = {expected} numbers, got {got}")))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.op, self.message)
    }
}

impl std::error::Error for Error {}
