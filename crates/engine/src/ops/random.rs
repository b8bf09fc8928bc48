//! Random tensors. Every element has its own place in the stream of `philox`, so neither threads nor devices matter.
use crate::attributes::{Attributes, dtype_name};
use crate::call::{Call, Outputs, is_float, kind};
use crate::device::available;
use crate::error::{Code, Fault};
use crate::philox::{Philox, below, unit32, unit64, word64};
use crate::shim;
use std::f64::consts::TAU;
use tch::{Device, Kind, Tensor};

const PER_BLOCK_32: usize = 4;
const PER_BLOCK_64: usize = 2;
const GRAIN: usize = 4096;

/// The place in the stream that the next attributes name.
pub fn stream(call: &mut Call) -> Result<Philox, Fault> {
    let attributes = &mut call.attributes;
    Ok(Philox { key: [attributes.bits()?, attributes.bits()?], offset: attributes.index()?, iteration: call.context.setting.iteration })
}

/// A slice that several threads fill, each its own part.
struct Shared<T>(*mut T, usize);
// SAFETY: `fill` hands out disjoint parts only.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// # Safety
    /// No two calls may overlap.
    #[expect(clippy::mut_from_ref, reason = "disjoint parts")]
    unsafe fn part(&self, begin: usize, end: usize) -> &mut [T] {
        let end = end.min(self.1);
        // SAFETY: begin ≤ end ≤ length, and the caller keeps parts disjoint.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(begin.min(end)), end - begin.min(end)) }
    }
}

/// Fills a slice block by block; the last block may be cut short.
fn fill<T: Send, const N: usize>(values: &mut [T], philox: Philox, make: impl Fn([u32; 4]) -> [T; N] + Sync) -> Result<(), Fault> {
    let blocks = values.len().div_ceil(N);
    let shared = Shared(values.as_mut_ptr(), values.len());
    shim::parallel(blocks, GRAIN, |begin, end| {
        // SAFETY: the regions of a parallel loop are disjoint.
        let part = unsafe { shared.part(begin * N, end * N) };
        for (index, group) in (begin as u64..).zip(part.chunks_mut(N)) {
            for (value, made) in group.iter_mut().zip(make(philox.at(index))) {
                *value = made;
            }
        }
    })
}

/// An uninitialised CPU tensor, filled through its memory.
fn filled<T: Send + Copy, const N: usize>(
    shape: &[i64],
    kind: Kind,
    philox: Philox,
    make: impl Fn([u32; 4]) -> [T; N] + Sync,
) -> Result<Tensor, Fault> {
    let x = Tensor::f_empty(shape, (kind, Device::Cpu))?;
    if kind.elt_size_in_bytes() != size_of::<T>() {
        return Err(Fault::engine("the elements have another size"));
    }
    if x.numel() > 0 {
        // SAFETY: a fresh contiguous tensor of that many elements of that size, known to nobody else.
        fill(unsafe { std::slice::from_raw_parts_mut(x.data_ptr().cast::<T>(), x.numel()) }, philox, make)?;
    }
    Ok(x)
}

fn placed(x: &Tensor, kind: Kind, device: Device) -> Result<Tensor, Fault> {
    Ok(x.f_to_device_(device, kind, false, false)?)
}

/// Elements of a float dtype; bfloat16 and float16 are rounded from float32.
fn floats(
    attributes: &mut Attributes,
    philox: Philox,
    make32: impl Fn([u32; 4]) -> [f32; PER_BLOCK_32] + Sync,
    make64: impl Fn([u32; 4]) -> [f64; PER_BLOCK_64] + Sync,
) -> Outputs {
    let (kind, device, shape) = (attributes.kind()?, available(attributes.device()?)?, attributes.list()?);
    let x = match kind {
        Kind::Float | Kind::BFloat16 | Kind::Half => filled(&shape, Kind::Float, philox, make32)?,
        Kind::Double => filled(&shape, Kind::Double, philox, make64)?,
        other => {
            return Err(Fault::mismatch(Code::Dtype, "the dtype", "a float dtype", dtype_name(other)));
        }
    };
    Ok(vec![placed(&x, kind, device)?])
}

/// `uniform`: low + u · (high − low), u in [0, 1).
pub fn uniform(call: &mut Call) -> Outputs {
    let philox = stream(call)?;
    let (low, high) = (call.attributes.number()?, call.attributes.number()?);
    #[expect(clippy::cast_possible_truncation, reason = "float32 was asked for")]
    let (low32, range32) = (low as f32, (high - low) as f32);
    floats(
        &mut call.attributes,
        philox,
        |bits| bits.map(|bits| low32 + unit32(bits) * range32),
        |[a, b, c, d]| [unit64(a, b), unit64(c, d)].map(|unit| low + unit * (high - low)),
    )
}

/// Two normal numbers of two uniform ones (Box and Muller, 1958).
fn pair32(a: u32, b: u32) -> [f32; 2] {
    // In (0, 1], so that the logarithm is finite.
    let radius = (-2.0 * (unit32(a) + 1.0 / 16_777_216.0).ln()).sqrt();
    let (sin, cos) = (std::f32::consts::TAU * unit32(b)).sin_cos();
    [radius * cos, radius * sin]
}

fn pair64([a, b, c, d]: [u32; 4]) -> [f64; 2] {
    let radius = (-2.0 * (unit64(a, b) + 1.0 / 9_007_199_254_740_992.0).ln()).sqrt();
    let (sin, cos) = (TAU * unit64(c, d)).sin_cos();
    [radius * cos, radius * sin]
}

/// `normal`: mean + std · z.
pub fn normal(call: &mut Call) -> Outputs {
    let philox = stream(call)?;
    let (mean, std) = (call.attributes.number()?, call.attributes.number()?);
    #[expect(clippy::cast_possible_truncation, reason = "float32 was asked for")]
    let (mean32, std32) = (mean as f32, std as f32);
    floats(
        &mut call.attributes,
        philox,
        |[a, b, c, d]| {
            let ([x, y], [z, w]) = (pair32(a, b), pair32(c, d));
            [x, y, z, w].map(|z| mean32 + std32 * z)
        },
        |bits| pair64(bits).map(|z| mean + std * z),
    )
}

/// `randint`: int64 in [low, high).
pub fn randint(call: &mut Call) -> Outputs {
    let philox = stream(call)?;
    let attributes = &mut call.attributes;
    let (low, high, device, shape) = (attributes.integer()?, attributes.integer()?, available(attributes.device()?)?, attributes.list()?);
    let range = high.checked_sub(low).and_then(|range| u64::try_from(range).ok()).filter(|range| *range > 0);
    let range = range.ok_or_else(|| Fault::new(Code::Range, format!("there is no integer in [{low}, {high})")))?;
    let x = filled(&shape, Kind::Int64, philox, |[a, b, c, d]| {
        [word64(a, b), word64(c, d)].map(|bits| low.wrapping_add_unsigned(below(bits, range)))
    })?;
    Ok(vec![placed(&x, Kind::Int64, device)?])
}

/// `permutation`: the integers below n, shuffled (Durstenfeld, 1964).
pub fn permutation(call: &mut Call) -> Outputs {
    let philox = stream(call)?;
    let (n, device) = (call.attributes.length()?, available(call.attributes.device()?)?);
    let mut bits = vec![0u64; n];
    fill(&mut bits, philox, |[a, b, c, d]| [word64(a, b), word64(c, d)])?;
    let mut order: Vec<i64> = (0..).take(n).collect();
    for last in (1..n).rev() {
        let other = below(bits[last], last as u64 + 1);
        order.swap(last, usize::try_from(other).unwrap_or(last));
    }
    Ok(vec![placed(&Tensor::f_from_slice(&order)?, Kind::Int64, device)?])
}

/// `dropout`: x / (1 − p) where a uniform u ≥ p, zero elsewhere.
pub fn dropout(call: &mut Call) -> Outputs {
    let philox = stream(call)?;
    let p = call.attributes.number()?;
    Ok(vec![dropped(call.input(0)?, philox, p)?])
}

/// x / (1 − p) where a uniform u ≥ p, zero elsewhere.
pub fn dropped(x: &Tensor, philox: Philox, p: f64) -> Result<Tensor, Fault> {
    let dtype = kind(x)?;
    if !is_float(dtype) {
        return Err(Fault::mismatch(Code::Dtype, "the input", "a float dtype", dtype_name(dtype)));
    }
    let scale = if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, reason = "uniforms and most masks are float32")]
    let (threshold, scale32) = (p as f32, scale as f32);
    let kept = |bits| unit32(bits) >= threshold;
    let mask = if dtype == Kind::Double {
        filled(&x.size(), Kind::Double, philox, |bits| bits.map(|bits| if kept(bits) { scale } else { 0.0 }))?
    } else {
        filled(&x.size(), Kind::Float, philox, |bits| bits.map(|bits| if kept(bits) { scale32 } else { 0.0 }))?
    };
    Ok(x.f_mul(&placed(&mask, dtype, x.device())?)?)
}
