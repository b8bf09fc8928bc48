//! Reading: all of a file is verified before anything of it is used.
use super::{CHECKSUM, DIGITS, FORMAT, LENGTH_BYTES, find_digits, hex, io_fault};
use crate::environment::{LoadedFile, LoadedTensor};
use crate::error::{Code, Fault};
use crate::staging::{Bytes, Staging};
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// A file that was read and found whole.
pub struct Read {
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) tensors: Vec<(String, &'static str, Vec<i64>, Bytes)>,
}

fn damaged(path: &Path, why: impl std::fmt::Display) -> Fault {
    Fault::new(Code::Checkpoint, format!("{}: {why}", path.display()))
}

/// Reads a file and verifies all of it before anything of it is used.
pub fn load(path: &Path) -> Result<Read, Fault> {
    let bytes = fs::read(path).map_err(|error| io_fault("cannot read", path, &error))?;
    let (length, header) =
        SafeTensors::read_metadata(&bytes).map_err(|error| damaged(path, format!("it is not a whole safetensors file: {error}")))?;
    let metadata: BTreeMap<String, String> = header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    let start = LENGTH_BYTES + length;
    verify(path, &bytes, start, &metadata)?;
    let mut infos: Vec<_> = header.tensors().into_iter().collect();
    infos.sort_by(|a, b| (a.1.data_offsets, &a.0).cmp(&(b.1.data_offsets, &b.0)));
    let whole = Arc::new(bytes);
    let mut tensors = Vec::with_capacity(infos.len());
    for (name, info) in infos {
        let part = Bytes::part(&whole, start + info.data_offsets.0..start + info.data_offsets.1);
        let (dtype, part) = convert(info.dtype, part)
            .ok_or_else(|| damaged(path, format!("{name} has dtype {:?}, which is not read, or values it cannot have", info.dtype)))?;
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
        Dtype::I32 => ("int32", bytes),
        Dtype::U8 => ("uint8", bytes),
        Dtype::BOOL => ("bool", Some(bytes).filter(|bytes| bytes.as_slice().iter().all(|byte| *byte < 2))?),
        Dtype::F16 => {
            let values = bytes.as_slice().as_chunks().0.iter().flat_map(|chunk| half(u16::from_le_bytes(*chunk)).to_le_bytes());
            ("float32", Bytes::from(values.collect::<Vec<u8>>()))
        }
        Dtype::I16 => integers(&bytes, |chunk| i16::from_le_bytes(chunk).into()),
        Dtype::I8 => integers(&bytes, |chunk| i8::from_le_bytes(chunk).into()),
        Dtype::U32 => integers(&bytes, |chunk| u32::from_le_bytes(chunk).into()),
        Dtype::U16 => integers(&bytes, |chunk| u16::from_le_bytes(chunk).into()),
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
        let tensors =
            self.tensors.into_iter().map(|(name, dtype, shape, bytes)| LoadedTensor { name, dtype, shape, staging: staging.put(bytes) });
        LoadedFile { tensors: tensors.collect(), metadata: self.metadata }
    }
}
