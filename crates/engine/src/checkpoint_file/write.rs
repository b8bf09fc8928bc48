//! Writing: aside, flushed, renamed.
use super::{CHECKSUM, DIGITS, FORMAT, FORMAT_VERSION, LENGTH_BYTES, find_digits, hex, io_fault};
use crate::call::kind;
use crate::environment::{Environment, Payload};
use crate::error::{Code, Fault};
use crate::shim;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use tch::{Kind, Tensor};

/// A file to be written.
pub struct Contents {
    path: PathBuf,
    /// Length, header and padding; the checksum's digits are zeros.
    head: Vec<u8>,
    /// Where the digits are.
    digits: usize,
    payload: Vec<Vec<u8>>,
}

fn safetensors_name(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Float => Some("F32"),
        Kind::Double => Some("F64"),
        Kind::BFloat16 => Some("BF16"),
        Kind::Int64 => Some("I64"),
        Kind::Bool => Some("BOOL"),
        Kind::Int => Some("I32"),
        Kind::Uint8 => Some("U8"),
        Kind::Half => Some("F16"),
        _ => None,
    }
}

/// Collects what `save` asks for: `order` is JSON `{path, names, metadata}`.
pub fn collect(order: &[u8], tensors: &[&Tensor]) -> Result<Contents, Fault> {
    let order: Value = serde_json::from_slice(order).map_err(|error| Fault::engine(format!("the order is not JSON: {error}")))?;
    let path = order.get("path").and_then(Value::as_str).ok_or_else(|| Fault::engine("the order has no path"))?;
    let names = order.get("names").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
    if names.len() != tensors.len() {
        return Err(Fault::engine(format!("{} names for {} tensors", names.len(), tensors.len())));
    }
    let mut parts = Vec::with_capacity(names.len());
    for (name, tensor) in names.into_iter().zip(tensors) {
        let dtype =
            safetensors_name(kind(tensor)?).ok_or_else(|| Fault::new(Code::Dtype, format!("{name} has a dtype that is not written")))?;
        parts.push((name, dtype, tensor.size(), kind(tensor)?.elt_size_in_bytes(), shim::bytes(tensor)?));
    }
    // Wider elements first, so that every element is aligned.
    parts.sort_by_key(|part| std::cmp::Reverse(part.3));
    let mut metadata = order.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    metadata.insert(FORMAT.to_owned(), json!(FORMAT_VERSION));
    metadata.insert(CHECKSUM.to_owned(), json!("0".repeat(DIGITS)));
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), Value::Object(metadata));
    let (mut payload, mut offset) = (Vec::with_capacity(parts.len()), 0);
    for (name, dtype, shape, _, bytes) in parts {
        let end = offset + bytes.len();
        if header.insert(name.to_owned(), json!({ "dtype": dtype, "shape": shape, "data_offsets": [offset, end] })).is_some() {
            return Err(Fault::new(Code::Checkpoint, format!("the name {name} is taken twice")));
        }
        offset = end;
        payload.push(bytes);
    }
    let mut text = serde_json::to_vec(&header).map_err(|error| Fault::engine(error.to_string()))?;
    text.resize(text.len().next_multiple_of(LENGTH_BYTES), b' ');
    let mut head = (text.len() as u64).to_le_bytes().to_vec();
    head.extend(text);
    let digits = find_digits(&head, &"0".repeat(DIGITS)).ok_or_else(|| Fault::engine("the checksum has no place"))?;
    Ok(Contents { path: PathBuf::from(path), head, digits, payload })
}

/// Writes a file on the thread for that, in the order of the calls; the reply comes when it is on the disk.
pub fn save_later(contents: Contents, environment: Arc<Environment>, request: u64) -> Result<(), Fault> {
    type Job = (Contents, Arc<Environment>, u64);
    static WRITER: Mutex<Option<Sender<Job>>> = Mutex::new(None);
    let mut writer = WRITER.lock().unwrap_or_else(PoisonError::into_inner);
    if writer.is_none() {
        let (sender, jobs) = channel::<Job>();
        let run = move || {
            for (contents, environment, request) in jobs {
                let result = save(&contents).map(|()| Payload::Nothing);
                environment.answer(request, result.map_err(|fault| fault.into_failure("save", 0)));
            }
        };
        let thread = std::thread::Builder::new().name(format!("{}-save", crate::panics::THREAD)).spawn(run);
        thread.map_err(|error| Fault::engine(format!("cannot start a thread: {error}")))?;
        *writer = Some(sender);
    }
    let sent = writer.as_ref().is_some_and(|writer| writer.send((contents, environment, request)).is_ok());
    if sent { Ok(()) } else { Err(Fault::engine("the thread that writes files is gone")) }
}

/// Writes aside in the same folder, flushes, renames, flushes the folder: at the path is the old file or the new one.
pub fn save(contents: &Contents) -> Result<(), Fault> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let path = &contents.path;
    let name = path.file_name().ok_or_else(|| Fault::new(Code::Io, format!("{} is not the path of a file", path.display())))?;
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let aside = path.with_file_name(format!(".{}.{}-{number}.tmp", name.to_string_lossy(), std::process::id()));
    let result = write(contents, &aside).and_then(|()| fs::rename(&aside, path)).and_then(|()| flush_folder(path));
    result.map_err(|error| {
        let _ = fs::remove_file(&aside);
        io_fault("cannot write", path, &error)
    })
}

fn write(contents: &Contents, path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let mut digest = Sha256::new();
    for part in std::iter::once(&contents.head).chain(&contents.payload) {
        digest.update(part);
        file.write_all(part)?;
    }
    file.seek(SeekFrom::Start(contents.digits as u64))?;
    file.write_all(hex(&digest.finalize()).as_bytes())?;
    file.sync_all()
}

fn flush_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
