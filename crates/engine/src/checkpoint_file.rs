//! Checkpoint files: safetensors with a checksum of our own, written whole or not at all, verified when read.
use crate::call::kind;
use crate::environment::{Environment, LoadedFile, LoadedTensor, Payload};
use crate::error::{Code, Fault};
use crate::shim;
use crate::staging::{Bytes, Staging};
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use tch::{Kind, Tensor};

/// The digest of the whole file, its own digits taken as zeros.
const CHECKSUM: &str = "quarterturn.sha256";
/// Says that a checksum belongs into this file, so that its loss is noticed.
const FORMAT: &str = "quarterturn.format";
const FORMAT_VERSION: &str = "1";
const DIGITS: usize = 64;
const LENGTH_BYTES: usize = 8;

/// A file to be written.
pub struct Contents {
    path: PathBuf,
    /// Length, header and padding; the checksum's digits are zeros.
    head: Vec<u8>,
    /// Where the digits are.
    digits: usize,
    payload: Vec<Vec<u8>>,
}

/// A file that was read and found whole.
pub struct Read {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, &'static str, Vec<i64>, Bytes)>,
}

fn safetensors_name(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Float => Some("F32"),
        Kind::Double => Some("F64"),
        Kind::BFloat16 => Some("BF16"),
        Kind::Int64 => Some("I64"),
        Kind::Bool => Some("BOOL"),
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
        let dtype = safetensors_name(kind(tensor)?).ok_or_else(|| Fault::new(Code::Dtype, format!("{name} has a dtype that is not written")))?;
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

fn find_digits(head: &[u8], value: &str) -> Option<usize> {
    let field = format!("\"{CHECKSUM}\":\"{value}\"");
    let at = head.windows(field.len()).position(|window| window == field.as_bytes())?;
    Some(at + field.len() - 1 - value.len())
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
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

fn damaged(path: &Path, why: impl std::fmt::Display) -> Fault {
    Fault::new(Code::Checkpoint, format!("{}: {why}", path.display()))
}

/// Reads a file and verifies all of it before anything of it is used.
pub fn load(path: &Path) -> Result<Read, Fault> {
    let bytes = fs::read(path).map_err(|error| io_fault("cannot read", path, &error))?;
    let (length, header) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(path, format!("it is not a whole safetensors file: {error}")))?;
    let metadata: BTreeMap<String, String> = header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    let start = LENGTH_BYTES + length;
    verify(path, &bytes, start, &metadata)?;
    let mut infos: Vec<_> = header.tensors().into_iter().collect();
    infos.sort_by(|a, b| (a.1.data_offsets, &a.0).cmp(&(b.1.data_offsets, &b.0)));
    let whole = Arc::new(bytes);
    let mut tensors = Vec::with_capacity(infos.len());
    for (name, info) in infos {
        let part = Bytes::part(&whole, start + info.data_offsets.0..start + info.data_offsets.1);
        let (dtype, part) = convert(info.dtype, part).ok_or_else(|| damaged(path, format!("{name} has dtype {:?}, which is not read, or values it cannot have", info.dtype)))?;
        let shape = info.shape.iter().map(|size| i64::try_from(*size)).collect::<Result<_, _>>();
        tensors.push((name, dtype, shape.map_err(|_| damaged(path, "a shape is too large"))?, part));
    }
    Ok(Read { metadata, tensors })
}

fn verify(path: &Path, bytes: &[u8], start: usize, metadata: &BTreeMap<String, String>) -> Result<(), Fault> {
    let Some(value) = metadata.get(CHECKSUM) else {
        // A file of another program has none. In one of ours it can only have been lost.
        return if metadata.contains_key(FORMAT) { Err(damaged(path, "its checksum is missing")) } else { Ok(()) };
    };
    let head = bytes.get(..start).unwrap_or_default();
    let digits = find_digits(head, value).filter(|_| value.len() == DIGITS).ok_or_else(|| damaged(path, "its checksum is malformed"))?;
    let mut digest = Sha256::new();
    digest.update(&bytes[..digits]);
    digest.update([b'0'; DIGITS]);
    digest.update(&bytes[digits + DIGITS..]);
    let found = hex(&digest.finalize());
    if found == *value {
        return Ok(());
    }
    Err(Fault { expected: Some(value.clone()), got: Some(found), ..damaged(path, "its contents do not match its checksum") })
}

/// Dtypes that we have are taken as they are; float16 becomes float32, and other integers int64.
fn convert(dtype: Dtype, bytes: Bytes) -> Option<(&'static str, Bytes)> {
    fn integers<const N: usize>(bytes: &Bytes, read: impl Fn([u8; N]) -> i64) -> (&'static str, Bytes) {
        let values = bytes.as_slice().as_chunks().0.iter().flat_map(|chunk| read(*chunk).to_le_bytes());
        ("int64", Bytes::from(values.collect::<Vec<u8>>()))
    }
    Some(match dtype {
        Dtype::F32 => ("float32", bytes),
        Dtype::F64 => ("float64", bytes),
        Dtype::BF16 => ("bfloat16", bytes),
        Dtype::I64 => ("int64", bytes),
        Dtype::BOOL => ("bool", Some(bytes).filter(|bytes| bytes.as_slice().iter().all(|byte| *byte < 2))?),
        Dtype::F16 => {
            let values = bytes.as_slice().as_chunks().0.iter().flat_map(|chunk| half(u16::from_le_bytes(*chunk)).to_le_bytes());
            ("float32", Bytes::from(values.collect::<Vec<u8>>()))
        }
        Dtype::I32 => integers(&bytes, |chunk| i32::from_le_bytes(chunk).into()),
        Dtype::I16 => integers(&bytes, |chunk| i16::from_le_bytes(chunk).into()),
        Dtype::I8 => integers(&bytes, |chunk| i8::from_le_bytes(chunk).into()),
        Dtype::U32 => integers(&bytes, |chunk| u32::from_le_bytes(chunk).into()),
        Dtype::U16 => integers(&bytes, |chunk| u16::from_le_bytes(chunk).into()),
        Dtype::U8 => integers(&bytes, |[byte]| byte.into()),
        _ => return None,
    })
}

/// A float16 as a float32, exactly.
fn half(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (f32::from(1 - 2 * i16::from(bits >> 15 == 1)), (bits >> 10) & 31, bits & 1023);
    sign * match exponent {
        0 => f32::from(fraction) * 2f32.powi(-24),
        31 if fraction == 0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (f32::from(fraction) / 1024.0 + 1.0) * 2f32.powi(i32::from(exponent) - 15),
    }
}

impl Read {
    /// Puts the tensors' bytes aside for `fromBytes`.
    #[must_use]
    pub fn stage(self, staging: &Staging) -> LoadedFile {
        let tensors = self.tensors.into_iter().map(|(name, dtype, shape, bytes)| LoadedTensor { name, dtype, shape, staging: staging.put(bytes) });
        LoadedFile { tensors: tensors.collect(), metadata: self.metadata }
    }
}
