//! Byte-pair encoding: trained on a thread of Node's pool and on rayon's; single texts are encoded at once.
use crate::environment::contained;
use napi::bindgen_prelude::{AsyncTask, Env, Uint8Array, Uint32Array};
use napi::{Error, Status, Task};
use napi_derive::napi;
use quarterturn_text::{BytePairs, Fault, Training};
use std::sync::Arc;

/// Texts, one after another in UTF-8, and where each ends.
#[napi(object)]
pub struct TextBlock {
    pub bytes: Uint8Array,
    pub ends: Uint32Array,
}

/// Numbers of the pieces of texts, one after another, and where those of each text end.
#[napi(object)]
pub struct IdBlock {
    pub ids: Uint32Array,
    pub ends: Uint32Array,
}

/// How byte pairs are trained.
#[napi(object)]
pub struct BytePairTraining {
    pub size: u32,
    pub min_count: u32,
    pub lowercase: bool,
}

/// A text block that belongs to Rust.
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Texts {
    fn all(blocks: &[TextBlock]) -> Vec<Self> {
        blocks.iter().map(|block| Self { bytes: block.bytes.to_vec(), ends: block.ends.to_vec() }).collect()
    }

    fn texts(&self) -> napi::Result<Vec<&str>> {
        let mut from = 0;
        let texts = self.ends.iter().map(|end| {
            let text = self.bytes.get(from..*end as usize).and_then(|bytes| std::str::from_utf8(bytes).ok());
            from = *end as usize;
            text.ok_or_else(|| Error::new(Status::InvalidArg, "ERR_ARGUMENT: this is no block of texts"))
        });
        texts.collect()
    }
}

fn error(fault: &Fault) -> Error {
    Error::new(Status::GenericFailure, format!("{}: {fault}", fault.code.as_str()))
}

/// A byte-pair encoding.
#[napi]
pub struct BytePairEncoder {
    pairs: Arc<BytePairs>,
}

#[napi]
impl BytePairEncoder {
    /// From the contents of a tokenizer.json. Throws with `CODE: message`, as all functions here.
    #[napi(factory)]
    #[allow(clippy::needless_pass_by_value, reason = "an argument of JavaScript")]
    pub fn from_json(json: String) -> napi::Result<Self> {
        contained(|| Ok(Self { pairs: Arc::new(BytePairs::from_json(&json).map_err(|fault| error(&fault))?) }))
    }

    /// The contents of a tokenizer.json.
    #[napi(js_name = "toJson")]
    pub fn to_json(&self) -> napi::Result<String> {
        contained(|| self.pairs.to_json().map_err(|fault| error(&fault)))
    }

    /// The pieces in the order of their numbers.
    #[napi]
    pub fn pieces(&self) -> napi::Result<Vec<String>> {
        contained(|| Ok(self.pairs.pieces()))
    }

    /// The numbers of the pieces of a text.
    #[napi]
    #[allow(clippy::needless_pass_by_value, reason = "an argument of JavaScript")]
    pub fn encode(&self, text: String) -> napi::Result<Uint32Array> {
        contained(|| Ok(self.pairs.encode(&text).map_err(|fault| error(&fault))?.into()))
    }

    /// The text of pieces.
    #[napi]
    pub fn decode(&self, ids: &[u32]) -> napi::Result<String> {
        contained(|| self.pairs.decode(ids).map_err(|fault| error(&fault)))
    }

    /// `encode` for all texts of a block, off the JavaScript thread.
    #[napi(ts_return_type = "Promise<IdBlock>")]
    #[allow(clippy::needless_pass_by_value, reason = "an argument of JavaScript")]
    pub fn encode_all(&self, block: TextBlock) -> napi::Result<AsyncTask<EncodeAll>> {
        contained(|| {
            let texts = Texts { bytes: block.bytes.to_vec(), ends: block.ends.to_vec() };
            Ok(AsyncTask::new(EncodeAll { pairs: Arc::clone(&self.pairs), texts }))
        })
    }
}

pub struct EncodeAll {
    pairs: Arc<BytePairs>,
    texts: Texts,
}

impl Task for EncodeAll {
    type Output = (Vec<u32>, Vec<u32>);
    type JsValue = IdBlock;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        contained(|| {
            let all = self.pairs.encode_all(&self.texts.texts()?).map_err(|fault| error(&fault))?;
            let mut end = 0;
            let ends = all.iter().map(|ids| {
                end += ids.len() as u32;
                end
            });
            let ends = ends.collect();
            Ok((all.concat(), ends))
        })
    }

    fn resolve(&mut self, _env: Env, (ids, ends): Self::Output) -> napi::Result<IdBlock> {
        Ok(IdBlock { ids: ids.into(), ends: ends.into() })
    }
}

pub struct TrainBytePairs {
    blocks: Vec<Texts>,
    training: Training,
}

/// Learns byte pairs from texts.
#[napi(ts_return_type = "Promise<BytePairEncoder>")]
#[allow(clippy::needless_pass_by_value, reason = "arguments of JavaScript")]
pub fn train_byte_pairs(blocks: Vec<TextBlock>, training: BytePairTraining) -> napi::Result<AsyncTask<TrainBytePairs>> {
    contained(|| {
        let BytePairTraining { size, min_count, lowercase } = training;
        let training = Training { size: size as usize, min_count: min_count.into(), lowercase };
        Ok(AsyncTask::new(TrainBytePairs { blocks: Texts::all(&blocks), training }))
    })
}

impl Task for TrainBytePairs {
    type Output = BytePairs;
    type JsValue = BytePairEncoder;

    fn compute(&mut self) -> napi::Result<BytePairs> {
        contained(|| {
            let mut texts = Vec::new();
            for block in &self.blocks {
                texts.extend(block.texts()?);
            }
            BytePairs::train(&texts, self.training).map_err(|fault| error(&fault))
        })
    }

    fn resolve(&mut self, _env: Env, pairs: BytePairs) -> napi::Result<BytePairEncoder> {
        Ok(BytePairEncoder { pairs: Arc::new(pairs) })
    }
}
