//! Checkpoint files: safetensors with a checksum of our own, written whole or not at all, verified when read.
mod read;
mod write;

use crate::error::{Code, Fault};
use std::io;
use std::path::Path;

pub use read::load;
pub use write::{collect, save_later};

/// The digest of the whole file, its own digits taken as zeros.
const CHECKSUM: &str = "quarterturn.sha256";
/// Says that a checksum belongs into this file, so that its loss is noticed.
const FORMAT: &str = "quarterturn.format";
const FORMAT_VERSION: &str = "1";
const DIGITS: usize = 64;
const LENGTH_BYTES: usize = 8;

fn find_digits(head: &[u8], value: &str) -> Option<usize> {
    let field = format!("\"{CHECKSUM}\":\"{value}\"");
    let at = head.windows(field.len()).position(|window| window == field.as_bytes())?;
    Some(at + field.len() - 1 - value.len())
}

fn hex(digest: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// Names of the errors that files meet most.
fn errno_name(number: i32) -> &'static str {
    match number {
        libc::ENOENT => "ENOENT",
        libc::EACCES => "EACCES",
        libc::EPERM => "EPERM",
        libc::ENOSPC => "ENOSPC",
        libc::EDQUOT => "EDQUOT",
        libc::EROFS => "EROFS",
        libc::EISDIR => "EISDIR",
        libc::ENOTDIR => "ENOTDIR",
        libc::EEXIST => "EEXIST",
        libc::EMFILE => "EMFILE",
        libc::ENAMETOOLONG => "ENAMETOOLONG",
        libc::EFBIG => "EFBIG",
        libc::EIO => "EIO",
        _ => "errno",
    }
}

fn io_fault(what: &str, path: &Path, error: &io::Error) -> Fault {
    let system = error.raw_os_error().map_or_else(|| error.kind().to_string(), |number| format!("{} {number}", errno_name(number)));
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    Fault { got: Some(system.clone()), ..Fault::new(Code::Io, format!("{what} {}: {text} ({system})", path.display())) }
}

#[cfg(test)]
mod tests;
