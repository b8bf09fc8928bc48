//! Why a kernel did not run.

use std::fmt;

/// Nothing was written when one of these is returned, except by a launch that failed on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A buffer that does not fit the sizes, in the form `lstm: y must hold B*T*H = 280 numbers, got 281`.
    Shape { op: &'static str, message: String },
    /// The launcher refused, or the kernel failed.
    Launch { kernel: &'static str, message: String },
    /// The device does not run our kernels.
    Device(crate::device::Error),
}

impl Error {
    /// Refuses a buffer that does not hold exactly `expected` numbers.
    pub fn check(op: &'static str, name: &str, letters: &str, expected: usize, got: usize) -> Result<(), Error> {
        if expected == got {
            return Ok(());
        }
        Err(Error::Shape { op, message: format!("{name} must hold {letters} = {expected} numbers, got {got}") })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Shape { op, message } => write!(f, "{op}: {message}"),
            Error::Launch { kernel, message } => write!(f, "{kernel}: {message}"),
            Error::Device(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<crate::device::Error> for Error {
    fn from(error: crate::device::Error) -> Error {
        Error::Device(error)
    }
}
