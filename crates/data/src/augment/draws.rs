//! What is drawn for an image: a function of the key, the epoch and the number of its row.
use super::{Erase, Layout, Plan};

/// A block of random words for a key and a counter.
pub type Block = fn(key: [u32; 2], counter: [u32; 4]) -> [u32; 4];

/// The last word of each counter: those of other draws with the same key have zero or a small number there.
const MARK: u32 = 0x4175_676d;
/// The first words of counters. A rectangle and a share may take several attempts.
const PLACE: u32 = 0;
const COLOUR: u32 = 1;
const CUT: u32 = 2;
const ERASE: u32 = 16;
const SHARE: u32 = 32;
/// Attempts at a rectangle that fits; then there is none.
const ATTEMPTS: u32 = 10;

/// Where random words come from.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    pub key: [u32; 2],
    pub epoch: u32,
    pub block: Block,
}

/// A rectangle of the image: rows and columns.
pub type Rectangle = [std::ops::Range<usize>; 2];

#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// Where the crop starts in the padded image.
    pub top: usize,
    pub left: usize,
    pub mirrored: bool,
    /// Factors of brightness, contrast and saturation.
    pub factors: [f64; 3],
    /// What is set to 0.
    pub holes: [Option<Rectangle>; 2],
}

/// A number in [0, 1).
fn unit(word: u32) -> f64 {
    f64::from(word) / 4_294_967_296.0
}

/// A whole number in [0, count).
fn below(word: u32, count: usize) -> usize {
    ((u64::from(word) * count as u64) >> 32) as usize
}

fn between(word: u32, [low, high]: [f64; 2]) -> f64 {
    low + unit(word) * (high - low)
}

impl Draws {
    fn at(&self, step: u32, row: u32) -> [u32; 4] {
        (self.block)(self.key, [step, self.epoch, row, MARK])
    }

    /// λ ~ Beta(α, α), symmetric about 1/2. Above 1/2 by Ulrich's polar method (1984), below by Jöhnk's (1964), both in Devroye, "Non-Uniform Random Variate
    /// Generation", chapter IX.
    pub(super) fn share(&self, alpha: f64, row: u32) -> f64 {
        let mut step = SHARE;
        loop {
            let [a, b, c, d] = self.at(step, row);
            // In (0, 1): logarithms are finite.
            let u = (f64::from(a) * 4_294_967_296.0 + f64::from(b) + 0.5) / 18_446_744_073_709_551_616.0;
            let v = (f64::from(c) * 4_294_967_296.0 + f64::from(d) + 0.5) / 18_446_744_073_709_551_616.0;
            if alpha > 0.5 {
                let radius = (1.0 - u.powf(2.0 / (2.0 * alpha - 1.0))).max(0.0).sqrt();
                return 0.5 + 0.5 * radius * (2.0 * std::f64::consts::PI * v).cos();
            }
            if u.powf(1.0 / alpha) + v.powf(1.0 / alpha) <= 1.0 {
                // x / (x + y) for x = u^(1/α), y = v^(1/α), which may both be too small for a float64.
                return 1.0 / (1.0 + ((v.ln() - u.ln()) / alpha).exp());
            }
            step += 1;
        }
    }
}

impl Drawn {
    pub fn of(plan: &Plan, layout: Layout, draws: &Draws, row: u32) -> Self {
        let [height, width] = plan.crop;
        let [y, x, side, _] = draws.at(PLACE, row);
        let mut drawn = Self {
            top: below(y, layout.height + 2 * plan.padding - height + 1),
            left: below(x, layout.width + 2 * plan.padding - width + 1),
            mirrored: unit(side) < plan.flip,
            factors: [1.0; 3],
            holes: [None, None],
        };
        if plan.jitter != [0.0; 3] {
            let words = draws.at(COLOUR, row);
            drawn.factors = std::array::from_fn(|k| between(words[k], [(1.0 - plan.jitter[k]).max(0.0), 1.0 + plan.jitter[k]]));
        }
        if plan.cut > 0 || plan.erase.is_some() {
            let [y, x, wanted, _] = draws.at(CUT, row);
            let span = |centre: usize, length: usize| centre.saturating_sub(plan.cut / 2)..(centre + plan.cut.div_ceil(2)).min(length);
            drawn.holes[0] = (plan.cut > 0).then(|| [span(below(y, height), height), span(below(x, width), width)]);
            let erase = plan.erase.as_ref().filter(|erase| unit(wanted) < erase.probability);
            drawn.holes[1] = erase.and_then(|erase| (0..ATTEMPTS).find_map(|k| rectangle(erase, plan.crop, draws.at(ERASE + k, row))));
        }
        drawn
    }
}

/// A rectangle of the area and ratio drawn, unless it is as high or as wide as the image.
fn rectangle(erase: &Erase, [height, width]: [usize; 2], [area, ratio, y, x]: [u32; 4]) -> Option<Rectangle> {
    let area = (height * width) as f64 * between(area, erase.area);
    let ratio = between(ratio, erase.ratio.map(f64::ln)).exp();
    let high = (area * ratio).sqrt().round_ties_even() as usize;
    let wide = (area / ratio).sqrt().round_ties_even() as usize;
    (high < height && wide < width).then(|| {
        let [top, left] = [below(y, height - high + 1), below(x, width - wide + 1)];
        [top..top + high, left..left + wide]
    })
}
