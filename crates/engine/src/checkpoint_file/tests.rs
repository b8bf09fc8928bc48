//! Damage of every kind is found, and what was written comes back.
use super::read::load;
use super::write::{collect, save};
use crate::error::Code;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("quarterturn-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write_sample(path: &Path) {
    let order = json!({ "path": path, "names": ["flag", "weight", "empty", "half"], "metadata": { "step": "12" } });
    let tensors = [
        Tensor::from_slice(&[true, false, true]),
        Tensor::from_slice(&[1.5f32, -2.0, 3.25, f32::NAN]).reshape([2, 2]).transpose(0, 1),
        Tensor::zeros([0, 3], (Kind::Double, Device::Cpu)),
        Tensor::from_slice(&[1.0f32, 2.0]).to_kind(Kind::BFloat16),
    ];
    let contents = collect(order.to_string().as_bytes(), &tensors.iter().collect::<Vec<_>>()).unwrap();
    save(&contents).unwrap();
}

#[test]
fn a_file_comes_back_as_it_was_written_and_nothing_is_left_beside_it() {
    let folder = Folder::new("whole");
    let path = folder.0.join("model.safetensors");
    write_sample(&path);
    write_sample(&path);
    let read = load(&path).unwrap();
    assert_eq!(read.metadata.get("step").unwrap(), "12");
    let weight = read.tensors.iter().find(|tensor| tensor.0 == "weight").unwrap();
    assert_eq!((weight.1, weight.2.as_slice()), ("float32", &[2, 2][..]));
    let expected: Vec<u8> = [1.5f32, 3.25, -2.0, f32::NAN].iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(weight.3.as_slice(), expected);
    let shapes: Vec<_> = read.tensors.iter().map(|tensor| (tensor.0.as_str(), tensor.1, tensor.3.as_slice().len())).collect();
    assert!(
        shapes.contains(&("flag", "bool", 3)) && shapes.contains(&("empty", "float64", 0)) && shapes.contains(&("half", "bfloat16", 4))
    );
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
}

#[test]
fn every_changed_bit_and_every_truncation_is_found() {
    let folder = Folder::new("damage");
    let path = folder.0.join("model.safetensors");
    write_sample(&path);
    let whole = fs::read(&path).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        let Err(fault) = load(&path) else { panic!("{what} was not found") };
        assert_eq!(fault.code, Code::Checkpoint, "{what}");
        assert!(fault.message.contains("model.safetensors"), "{}", fault.message);
    };
    for position in 0..whole.len() {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[position] ^= 1 << bit;
            refused(&damaged, &format!("bit {bit} of byte {position}"));
        }
    }
    for length in 0..whole.len() {
        refused(&whole[..length], &format!("a cut at {length}"));
    }
    refused(&[whole.as_slice(), b"x"].concat(), "a byte too many");
}

#[test]
fn what_the_file_system_refuses_names_the_path_and_its_code() {
    let folder = Folder::new("refused");
    let missing = folder.0.join("none").join("model.safetensors");
    let Err(fault) = load(&missing) else { panic!() };
    assert_eq!((fault.code, fault.got.as_deref()), (Code::Io, Some("ENOENT 2")));
    assert!(fault.message.contains("none/model.safetensors") && fault.message.contains("ENOENT 2"), "{}", fault.message);
    let order = json!({ "path": missing, "names": [], "metadata": {} });
    let contents = collect(order.to_string().as_bytes(), &[]).unwrap();
    assert_eq!(save(&contents).unwrap_err().code, Code::Io);
    assert_eq!(load(&folder.0).err().unwrap().code, Code::Io);
}

#[test]
fn files_of_other_programs_are_read_and_their_dtypes_converted() {
    let folder = Folder::new("other");
    let path = folder.0.join("other.safetensors");
    let header = br#"{"h":{"dtype":"F16","shape":[3],"data_offsets":[0,6]},"i":{"dtype":"I32","shape":[1],"data_offsets":[6,10]},"s":{"dtype":"I16","shape":[1],"data_offsets":[10,12]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend([0x00, 0x3e, 0x01, 0x00, 0x00, 0xfc, 0xfe, 0xff, 0xff, 0xff, 0xfd, 0xff]);
    fs::write(&path, bytes).unwrap();
    let read = load(&path).unwrap();
    let floats: Vec<f32> = read.tensors[0].3.as_slice().as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
    assert_eq!((read.tensors[0].1, floats.as_slice()), ("float32", &[1.5, 5.960_464_5e-8, f32::NEG_INFINITY][..]));
    assert_eq!((read.tensors[1].1, read.tensors[1].3.as_slice()), ("int32", &(-2i32).to_le_bytes()[..]));
    assert_eq!((read.tensors[2].1, read.tensors[2].3.as_slice()), ("int64", &(-3i64).to_le_bytes()[..]));
}
