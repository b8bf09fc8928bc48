//! The specification: each step of an augmentation by itself, on whole images [C, H, W] of numbers from 0 to 1 in f64.
use super::draws::Drawn;
use super::{Layout, Plan};

#[derive(Clone, Debug)]
struct Image {
    channels: usize,
    height: usize,
    width: usize,
    values: Vec<f64>,
}

impl Image {
    fn map(channels: usize, height: usize, width: usize, value: impl Fn(usize, usize, usize) -> f64) -> Self {
        let mut values = Vec::new();
        for c in 0..channels {
            for y in 0..height {
                for x in 0..width {
                    values.push(value(c, y, x));
                }
            }
        }
        Self { channels, height, width, values }
    }

    fn each(&self, value: impl Fn(f64, usize, usize, usize) -> f64) -> Self {
        Self::map(self.channels, self.height, self.width, |c, y, x| value(self.at(c, y, x), c, y, x))
    }

    fn at(&self, c: usize, y: usize, x: usize) -> f64 {
        self.values[(c * self.height + y) * self.width + x]
    }

    /// 0.2989 R + 0.587 G + 0.114 B.
    fn grey(&self, y: usize, x: usize) -> f64 {
        if self.channels == 3 { 0.2989 * self.at(0, y, x) + 0.587 * self.at(1, y, x) + 0.114 * self.at(2, y, x) } else { self.at(0, y, x) }
    }
}

/// x = v/255.
fn decode(bytes: &[u8], layout: Layout) -> Image {
    let Layout { channels, height, width, channels_last } = layout;
    Image::map(channels, height, width, |c, y, x| {
        let at = if channels_last { (y * width + x) * channels + c } else { (c * height + y) * width + x };
        f64::from(bytes[at]) / 255.0
    })
}

/// y[c, i + p, j + p] = x[c, i, j], zero elsewhere.
fn pad(image: &Image, p: usize) -> Image {
    Image::map(image.channels, image.height + 2 * p, image.width + 2 * p, |c, y, x| {
        let inside = (p..p + image.height).contains(&y) && (p..p + image.width).contains(&x);
        if inside { image.at(c, y - p, x - p) } else { 0.0 }
    })
}

/// y[c, i, j] = x[c, top + i, left + j].
fn crop(image: &Image, [height, width]: [usize; 2], top: usize, left: usize) -> Image {
    Image::map(image.channels, height, width, |c, y, x| image.at(c, top + y, left + x))
}

/// y[c, i, j] = x[c, i, W − 1 − j].
fn mirror(image: &Image) -> Image {
    Image::map(image.channels, image.height, image.width, |c, y, x| image.at(c, y, image.width - 1 - x))
}

/// Brightness b·x, contrast k·x + (1 − k)·mean(grey), saturation s·x + (1 − s)·grey, each clamped to 0 … 1. Grey images have no saturation.
fn recolour(image: &Image, [b, k, s]: [f64; 3]) -> Image {
    let bright = image.each(|v, _, _, _| (b * v).clamp(0.0, 1.0));
    let greys = Image::map(1, bright.height, bright.width, |_, y, x| bright.grey(y, x));
    let mean = greys.values.iter().sum::<f64>() / greys.values.len() as f64;
    let contrasted = bright.each(|v, _, _, _| (k * v + (1.0 - k) * mean).clamp(0.0, 1.0));
    if image.channels == 1 {
        return contrasted;
    }
    contrasted.each(|v, _, y, x| (s * v + (1.0 - s) * contrasted.grey(y, x)).clamp(0.0, 1.0))
}

/// All steps with what was drawn, to float32 at the end.
pub fn image(bytes: &[u8], layout: Layout, plan: &Plan, drawn: &Drawn) -> Vec<f32> {
    let mut image = crop(&pad(&decode(bytes, layout), plan.padding), plan.crop, drawn.top, drawn.left);
    if drawn.mirrored {
        image = mirror(&image);
    }
    if plan.jitter != [0.0; 3] {
        image = recolour(&image, drawn.factors);
    }
    image = image.each(|v, c, _, _| (v - plan.mean[c]) / plan.std[c]);
    for [rows, columns] in drawn.holes.iter().flatten() {
        image = image.each(|v, _, y, x| if rows.contains(&y) && columns.contains(&x) { 0.0 } else { v });
    }
    image.values.iter().map(|v| *v as f32).collect()
}
