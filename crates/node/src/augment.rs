//! Augmentation of images as a promise: the work is done on a thread of Node's pool and on rayon's.
use crate::environment::{contained, current};
use napi::bindgen_prelude::{AsyncTask, Env, Float64Array, Uint8Array, Uint32Array};
use napi::{Error, Status, Task};
use napi_derive::napi;
use quarterturn_data::augment::{Batch, Draws, Erase, Images, Layout, Plan, augment};
use quarterturn_engine::{Bytes, philox_block};
use std::sync::Arc;

/// How images lie in their bytes, and what is done to them: see `quarterturn_data::augment::Plan`.
#[napi(object)]
pub struct Augmenting {
    pub channels: u32,
    pub height: u32,
    pub width: u32,
    pub channels_last: bool,
    /// Whether the bytes are those of the rows alone, in their order.
    pub gathered: bool,
    pub padding: u32,
    pub crop_height: u32,
    pub crop_width: u32,
    pub flip: f64,
    pub brightness: f64,
    pub contrast: f64,
    pub saturation: f64,
    pub mean: Vec<f64>,
    pub std: Vec<f64>,
    pub cut: u32,
    /// Probability, least and greatest area, least and greatest ratio; absent or empty: nothing is erased.
    pub erase: Vec<f64>,
    pub mixup: f64,
}

/// What random numbers follow from.
#[napi(object)]
pub struct Drawing {
    pub key_low: u32,
    pub key_high: u32,
    pub epoch: u32,
}

/// A batch: its float32 elements are staged.
#[napi(object)]
pub struct AugmentedBatch {
    pub staging: f64,
    /// The share of each row in its mixture; empty without mixing.
    pub shares: Float64Array,
}

pub struct Augment {
    pixels: Uint8Array,
    rows: Vec<u32>,
    layout: Layout,
    gathered: bool,
    plan: Plan,
    draws: Draws,
}

/// Makes the images of rows. The bytes must not change before the promise is settled.
#[napi(ts_return_type = "Promise<AugmentedBatch>")]
#[allow(clippy::needless_pass_by_value, reason = "arguments of JavaScript")]
pub fn stage_augmented(pixels: Uint8Array, rows: Uint32Array, given: Augmenting, drawing: Drawing) -> napi::Result<AsyncTask<Augment>> {
    contained(|| {
        let [channels, height, width] = [given.channels, given.height, given.width].map(|size| size as usize);
        let erase = match given.erase.as_slice() {
            &[probability, smallest, largest, low, high] => Some(Erase { probability, area: [smallest, largest], ratio: [low, high] }),
            _ => None,
        };
        let plan = Plan {
            padding: given.padding as usize,
            crop: [given.crop_height as usize, given.crop_width as usize],
            flip: given.flip,
            jitter: [given.brightness, given.contrast, given.saturation],
            mean: given.mean,
            std: given.std,
            cut: given.cut as usize,
            erase,
            mixup: given.mixup,
        };
        Ok(AsyncTask::new(Augment {
            pixels,
            rows: rows.to_vec(),
            layout: Layout { channels, height, width, channels_last: given.channels_last },
            gathered: given.gathered,
            plan,
            draws: Draws { key: [drawing.key_low, drawing.key_high], epoch: drawing.epoch, block: philox_block },
        }))
    })
}

impl Task for Augment {
    type Output = Batch;
    type JsValue = AugmentedBatch;

    fn compute(&mut self) -> napi::Result<Batch> {
        contained(|| {
            let images = Images { bytes: &self.pixels, layout: self.layout, gathered: self.gathered };
            let batch = augment(images, &self.rows, &self.plan, &self.draws);
            batch.map_err(|fault| Error::new(Status::GenericFailure, format!("{}: {fault}", fault.code.as_str())))
        })
    }

    fn resolve(&mut self, _env: Env, batch: Batch) -> napi::Result<AugmentedBatch> {
        contained(|| {
            let staging = current()?.stage(Bytes::part(&Arc::new(batch.bytes), batch.range)) as f64;
            Ok(AugmentedBatch { staging, shares: batch.shares.into() })
        })
    }
}
