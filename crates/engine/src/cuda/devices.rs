//! The devices that our kernels are on: each made ready when a tensor of it first reaches a kernel, once.
use crate::error::{Code, Fault};
use quarterturn_cuda::device::{Device, Driver, Error};
use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const DRIVER: &str = "libcuda.so.1";

/// What came of making each device ready. A device that was refused stays so, except for want of memory.
static OPENED: Mutex<BTreeMap<usize, Result<&'static Device, Error>>> = Mutex::new(BTreeMap::new());

/// The device with our kernels on it, or why it does not run them.
pub fn ready(ordinal: usize) -> Result<&'static Device, Error> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = opened.get(&ordinal) {
        return known.clone();
    }
    let made = open(ordinal);
    if !matches!(made, Err(Error::OutOfMemory(_))) {
        opened.insert(ordinal, made.clone());
    }
    made
}

fn open(ordinal: usize) -> Result<&'static Device, Error> {
    let image = image()?;
    let device = Device::open(Driver::open(DRIVER)?, ordinal, &image)?;
    Ok(Box::leak(Box::new(device)))
}

fn image() -> Result<Vec<u8>, Error> {
    let path = beside_this_library().ok_or_else(|| Error::Image("where this library lies is unknown".to_owned()))?;
    if !path.exists() {
        return Err(Error::Image(format!("{} is not there: it was built without nvcc", path.display())));
    }
    std::fs::read(&path).map_err(|error| Error::Image(format!("{}: {error}", path.display())))
}

/// `quarterturn.….fatbin` beside `quarterturn.….node`.
fn beside_this_library() -> Option<PathBuf> {
    // SAFETY: a struct of pointers and addresses.
    let mut found: libc::Dl_info = unsafe { std::mem::zeroed() };
    let here = beside_this_library as *const c_void;
    // SAFETY: both pointers are valid; the name lives as long as the library is open, which it is while this runs.
    let name = unsafe {
        if libc::dladdr(here, &raw mut found) == 0 || found.dli_fname.is_null() {
            return None;
        }
        CStr::from_ptr(found.dli_fname)
    };
    Some(Path::new(OsStr::from_bytes(name.to_bytes())).with_extension("fatbin"))
}

/// Whether the first device is ready for our kernels, and what it is or why not.
pub fn status() -> (bool, String) {
    match ready(0) {
        Ok(device) => (true, format!("{}, compute capability {:.1}", device.name(), f64::from(device.card().compute_capability) / 10.0)),
        Err(error) => (false, error.to_string()),
    }
}

impl From<quarterturn_cuda::Error> for Fault {
    fn from(error: quarterturn_cuda::Error) -> Self {
        let code = match error {
            quarterturn_cuda::Error::Device(Error::OutOfMemory(_)) => Code::OutOfMemory,
            quarterturn_cuda::Error::Device(_) => Code::Device,
            quarterturn_cuda::Error::Shape { .. } => Code::Shape,
            quarterturn_cuda::Error::Launch { .. } => Code::Engine,
        };
        Fault::new(code, error.to_string())
    }
}
