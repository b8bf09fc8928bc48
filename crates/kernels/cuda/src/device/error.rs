//! Why a device does not run our kernels.
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no library of the driver, or it sees no device.
    NoDriver(String),
    /// The driver knows less than the kernels were made for.
    DriverTooOld { found: String },
    /// The device is older than the oldest that there is code for.
    CardTooOld { name: String, major: usize, minor: usize },
    /// There is no fat binary, or the driver takes no image out of it.
    Image(String),
    /// The device has no memory left for what was to be done.
    OutOfMemory(String),
    /// Whatever else the driver refuses.
    Driver(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoDriver(why) => write!(f, "no CUDA driver: {why}"),
            Error::DriverTooOld { found } => {
                let (major, minor) = (super::Driver::NEEDED / 1000, super::Driver::NEEDED % 1000 / 10);
                write!(f, "the CUDA driver is too old: {found}, and CUDA {major}.{minor} is needed (driver 580 or newer)")
            }
            Error::CardTooOld { name, major, minor } => {
                write!(f, "{name} has compute capability {major}.{minor}, and the kernels need 8.0 or newer")
            }
            Error::Image(why) => write!(f, "the CUDA kernels cannot be loaded: {why}"),
            Error::OutOfMemory(what) => write!(f, "CUDA out of memory: {what}"),
            Error::Driver(text) => write!(f, "CUDA: {text}"),
        }
    }
}

impl std::error::Error for Error {}
