//! Augmentation of images: bytes come in, float32 planes go out, cropped, flipped, coloured, normalised, cut and mixed in one pass over each image.
//! What each step computes stands in `reference.rs`; what is drawn for it, in `draws.rs`.
mod draws;
mod pixels;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

pub use draws::{Block, Draws};

use crate::error::Fault;
use crate::memory::filled;
use draws::Drawn;
use pixels::{Scratch, Tables, image};
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Images that one task makes: enough that the switch between tasks does not show.
const IMAGES_PER_TASK: usize = 8;

/// The sizes of images, and how their bytes lie.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    /// [H, W, C] instead of [C, H, W].
    pub channels_last: bool,
}

/// What is done to an image, in this order. Sizes of zero and probabilities of zero do nothing.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Black pixels added on each side before the crop.
    pub padding: usize,
    /// The size of the crop: [h, w].
    pub crop: [usize; 2],
    /// The probability of a mirror image.
    pub flip: f64,
    /// How far factors of brightness, contrast and saturation lie from 1 at most.
    pub jitter: [f64; 3],
    /// By channel.
    pub mean: Vec<f64>,
    pub std: Vec<f64>,
    /// The side of the square that is set to 0.
    pub cut: usize,
    /// A rectangle set to 0: its probability, its share of the image, its height over its width.
    pub erase: Option<Erase>,
    /// α of the Beta distribution of shares in mixtures.
    pub mixup: f64,
}

#[derive(Clone, Copy, Debug)]
pub struct Erase {
    pub probability: f64,
    pub area: [f64; 2],
    pub ratio: [f64; 2],
}

/// Images as bytes, one after another.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    pub bytes: &'a [u8],
    pub layout: Layout,
    /// Only those of the rows asked for, in their order, instead of all.
    pub gathered: bool,
}

/// A batch of images.
#[derive(Debug)]
pub struct Batch {
    /// The float32 elements of [B, C, h, w], aligned for a tensor, are those in `range`.
    pub bytes: Vec<u8>,
    pub range: Range<usize>,
    /// The share of each row in its mixture; empty without mixing.
    pub shares: Vec<f64>,
}

impl Layout {
    /// Elements of an image.
    fn size(self) -> Option<usize> {
        self.channels.checked_mul(self.height)?.checked_mul(self.width)
    }
}

impl Plan {
    fn check(&self, layout: Layout) -> Result<usize, Fault> {
        let [height, width] = self.crop;
        let fits = height <= layout.height + 2 * self.padding && width <= layout.width + 2 * self.padding;
        if !fits || self.mean.len() != layout.channels || self.std.len() != layout.channels {
            return Err(Fault::argument("the crop must fit the padded image, mean and std its channels"));
        }
        if self.jitter != [0.0; 3] && ![1, 3].contains(&layout.channels) {
            return Err(Fault::argument("only grey images and those of red, green and blue have colours to change"));
        }
        let out = Layout { height, width, ..layout };
        out.size().ok_or_else(|| Fault::argument("such images cannot be addressed"))
    }
}

/// Makes the images of `rows`. What is drawn for a row depends on the draws and its number alone, not on its place in the batch or on threads.
pub fn augment(images: Images, rows: &[u32], plan: &Plan, draws: &Draws) -> Result<Batch, Fault> {
    let layout = images.layout;
    let out_size = plan.check(layout)?;
    let size = layout.size().ok_or_else(|| Fault::argument("such images cannot be addressed"))?;
    let too_much = || Fault::argument(format!("memory does not hold {} images of {out_size} elements", rows.len()));
    let total = rows.len().checked_mul(out_size).ok_or_else(too_much)?;
    let start = |place: usize, row: u32| (if images.gathered { place } else { row as usize }).checked_mul(size);
    let inside =
        |(place, row): (usize, &u32)| start(place, *row).and_then(|at| at.checked_add(size)).is_some_and(|end| end <= images.bytes.len());
    if size == 0 || out_size == 0 || !rows.iter().enumerate().all(inside) {
        return Err(Fault::argument("rows must be among those of the images, and images have pixels"));
    }
    let tables = Tables::new(plan);
    let make = |places: &mut [MaybeUninit<f32>]| {
        let tasks = places.par_chunks_mut(out_size * IMAGES_PER_TASK).zip(rows.par_chunks(IMAGES_PER_TASK)).enumerate();
        tasks.for_each_init(Scratch::default, |scratch, (task, (places, rows))| {
            for (k, (out, row)) in places.chunks_exact_mut(out_size).zip(rows).enumerate() {
                let at = start(task * IMAGES_PER_TASK + k, *row).unwrap_or(0);
                let drawn = Drawn::of(plan, layout, draws, *row);
                image(&images.bytes[at..at + size], layout, plan, &tables, &drawn, scratch, out);
            }
        });
    };
    // SAFETY: `image` writes each element of each image.
    let (bytes, range) = unsafe { filled::<f32>(total, make) }.ok_or_else(too_much)?;
    if plan.mixup == 0.0 {
        return Ok(Batch { bytes, range, shares: Vec::new() });
    }
    let shares: Vec<f64> = rows.par_iter().map(|row| draws.share(plan.mixup, *row)).collect();
    let (bytes, range) = mix(&bytes[range], out_size, &shares).ok_or_else(too_much)?;
    Ok(Batch { bytes, range, shares })
}

/// Each image mixed with the one before it in the batch, the first one with the last: λ·x + (1 − λ)·x′.
fn mix(images: &[u8], size: usize, shares: &[f64]) -> Option<(Vec<u8>, Range<usize>)> {
    // SAFETY: the bytes are those of aligned float32 elements, which any bits are.
    let (_, images, _) = unsafe { images.align_to::<f32>() };
    let image = |row: usize| &images[row * size..(row + 1) * size];
    let make = |places: &mut [MaybeUninit<f32>]| {
        places.par_chunks_exact_mut(size).zip(shares).enumerate().for_each(|(row, (out, share))| {
            let other = image(if row == 0 { shares.len() - 1 } else { row - 1 });
            for ((out, x), y) in out.iter_mut().zip(image(row)).zip(other) {
                out.write((share * f64::from(*x) + (1.0 - share) * f64::from(*y)) as f32);
            }
        });
    };
    // SAFETY: there are as many shares as images, so that each element is written.
    unsafe { filled::<f32>(images.len(), make) }
}
