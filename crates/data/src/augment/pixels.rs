//! One image: its bytes to float32 planes in one pass. Where colours stay as they are, a pixel costs one look into the table of its channel.
use super::draws::Drawn;
use super::{Layout, Plan};
use std::mem::MaybeUninit;
use std::ops::Range;

/// (v/255 − mean)/std for each byte v, by channel.
pub struct Tables(Vec<[f32; 256]>);

impl Tables {
    pub fn new(plan: &Plan) -> Self {
        Self(plan.mean.iter().zip(&plan.std).map(|(mean, std)| std::array::from_fn(|v| ((v as f64 / 255.0 - mean) / std) as f32)).collect())
    }
}

/// Memory of a task, used again for each image whose colours change: [C, h, w], numbers from 0 to 1.
#[derive(Default)]
pub struct Scratch(Vec<f64>);

/// Writes each element of `out`: [C, h, w].
pub fn image(
    bytes: &[u8],
    layout: Layout,
    plan: &Plan,
    tables: &Tables,
    drawn: &Drawn,
    Scratch(scratch): &mut Scratch,
    out: &mut [MaybeUninit<f32>],
) {
    let [height, width] = plan.crop;
    if plan.jitter == [0.0; 3] {
        crop(bytes, layout, plan, drawn, out, |channel, byte| tables.0[channel][usize::from(byte)]);
    } else {
        scratch.clear();
        scratch.reserve(out.len());
        let values = &mut scratch.spare_capacity_mut()[..out.len()];
        crop(bytes, layout, plan, drawn, values, |_, byte| f64::from(byte) / 255.0);
        // SAFETY: `crop` has written each of them.
        unsafe { scratch.set_len(out.len()) };
        recolour(scratch, layout.channels, drawn.factors);
        let planes = out.chunks_exact_mut(height * width).zip(scratch.chunks_exact(height * width));
        for ((out, values), (mean, std)) in planes.zip(plan.mean.iter().zip(&plan.std)) {
            for (out, value) in out.iter_mut().zip(values) {
                out.write(((value - mean) / std) as f32);
            }
        }
    }
    for [rows, columns] in drawn.holes.iter().flatten() {
        for plane in out.chunks_exact_mut(height * width) {
            for row in plane.chunks_exact_mut(width).skip(rows.start).take(rows.len()) {
                row[columns.clone()].fill(MaybeUninit::new(0.0));
            }
        }
    }
}

/// The crop, mirrored or not: writes each element of `out`, black where the image ends.
fn crop<T: Copy>(bytes: &[u8], layout: Layout, plan: &Plan, drawn: &Drawn, out: &mut [MaybeUninit<T>], value: impl Fn(usize, u8) -> T) {
    let [height, width] = plan.crop;
    let rows = inside(drawn.top, plan.padding, layout.height, height);
    let columns = inside(drawn.left, plan.padding, layout.width, width);
    // The same columns as the mirror shows them.
    let shown = if drawn.mirrored { width - columns.end..width - columns.start } else { columns.clone() };
    let (down, across) = (drawn.top + rows.start, drawn.left + columns.start);
    for (channel, plane) in out.chunks_exact_mut(height * width).enumerate() {
        let black = MaybeUninit::new(value(channel, 0));
        for (y, row) in plane.chunks_exact_mut(width).enumerate() {
            if !rows.contains(&y) || columns.is_empty() {
                row.fill(black);
                continue;
            }
            let from = Place { row: down - plan.padding + y - rows.start, column: across - plan.padding, channel, count: columns.len() };
            row[..shown.start].fill(black);
            row[shown.end..].fill(black);
            let row = &mut row[shown.clone()];
            match (from.of(bytes, layout), drawn.mirrored) {
                (Line::Whole(line), false) => write(row.iter_mut(), line.iter(), |byte| value(channel, byte)),
                (Line::Whole(line), true) => write(row.iter_mut().rev(), line.iter(), |byte| value(channel, byte)),
                (Line::Spread(line, step), false) => write(row.iter_mut(), line.iter().step_by(step), |byte| value(channel, byte)),
                (Line::Spread(line, step), true) => write(row.iter_mut().rev(), line.iter().step_by(step), |byte| value(channel, byte)),
            }
        }
    }
}

fn write<'a, T: 'a>(out: impl Iterator<Item = &'a mut MaybeUninit<T>>, bytes: impl Iterator<Item = &'a u8>, value: impl Fn(u8) -> T) {
    for (out, byte) in out.zip(bytes) {
        out.write(value(*byte));
    }
}

/// Which of `count` places of a crop that starts at `start` in the padded image lie in the image.
fn inside(start: usize, padding: usize, length: usize, count: usize) -> Range<usize> {
    let first = padding.saturating_sub(start).min(count);
    first..(length + padding).saturating_sub(start).min(count).max(first)
}

/// Some pixels of a row of the image.
struct Place {
    row: usize,
    column: usize,
    channel: usize,
    count: usize,
}

enum Line<'a> {
    Whole(&'a [u8]),
    /// Each so-manieth byte.
    Spread(&'a [u8], usize),
}

impl Place {
    fn of(self, bytes: &[u8], layout: Layout) -> Line<'_> {
        let Self { row, column, channel, count } = self;
        if layout.channels_last && layout.channels > 1 {
            let start = (row * layout.width + column) * layout.channels + channel;
            return Line::Spread(&bytes[start..=start + (count - 1) * layout.channels], layout.channels);
        }
        let start = (channel * layout.height + row) * layout.width + column;
        Line::Whole(&bytes[start..start + count])
    }
}

/// Brightness, contrast and saturation of planes of numbers from 0 to 1; what leaves that range is clamped after each. One plane is grey, three are red, green
/// and blue.
fn recolour(values: &mut [f64], channels: usize, [brightness, contrast, saturation]: [f64; 3]) {
    let clamped = |x: f64| x.clamp(0.0, 1.0);
    for value in values.iter_mut() {
        *value = clamped(*value * brightness);
    }
    let size = values.len() / channels;
    let grey = |values: &[f64], k: usize| {
        if channels == 3 { 0.2989 * values[k] + 0.587 * values[k + size] + 0.114 * values[k + 2 * size] } else { values[k] }
    };
    if contrast != 1.0 {
        let mean = (0..size).map(|k| grey(values, k)).sum::<f64>() / size as f64;
        for value in values.iter_mut() {
            *value = clamped(contrast * *value + (1.0 - contrast) * mean);
        }
    }
    if saturation != 1.0 && channels == 3 {
        for k in 0..size {
            let own = grey(values, k);
            for value in values.iter_mut().skip(k).step_by(size) {
                *value = clamped(saturation * *value + (1.0 - saturation) * own);
            }
        }
    }
}
