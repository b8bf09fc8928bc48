//! Opens a shared library by its path, before the addon that needs it: the dynamic linker then finds the library by its name among those that
//! are open, wherever a package manager has put it. Not linked to libtorch, so that it loads where libtorch is missing and can say what is wrong.

use std::sync::OnceLock;

/// The first library that was opened: a process has one libtorch, whatever its workers ask for.
static OPENED: OnceLock<String> = OnceLock::new();

/// The path that this process, in whichever thread, has opened libtorch by.
#[napi_derive::napi]
pub fn opened() -> Option<&'static str> {
    OPENED.get().map(String::as_str)
}

/// Opens the library at `path` for the rest of the process's life; returns why it could not be, or nothing.
///
/// Everything is resolved at once (`RTLD_NOW`): a symbol that is missing is reported here, instead of ending the process at its first use.
#[cfg(unix)]
#[napi_derive::napi]
#[allow(clippy::needless_pass_by_value, reason = "an argument of JavaScript")]
pub fn open(path: String) -> Option<String> {
    use std::ffi::{CStr, CString};

    let Ok(name) = CString::new(path.as_str()) else { return Some("the path holds a zero byte".to_owned()) };
    // SAFETY: dlopen copies the path; the initialisers that run are those of a library which the user chose to compute with.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if !handle.is_null() {
        OPENED.get_or_init(|| path);
        return None; // never closed: the addon refers to it
    }
    // SAFETY: dlerror gives null or a text that lives until the next call on this thread.
    let message = unsafe { libc::dlerror() };
    if message.is_null() {
        return Some("unknown failure of dlopen".to_owned());
    }
    // SAFETY: as above; the text is copied at once.
    Some(unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned())
}

/// Windows finds libraries by the folder of the addon; there is nothing to open first.
#[cfg(not(unix))]
#[napi_derive::napi]
pub fn open(_path: String) -> Option<String> {
    None
}
