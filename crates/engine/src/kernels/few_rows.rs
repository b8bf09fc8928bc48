//! Products of a few rows, and the step of a stream made of one: without gradients, in float32 on the CPU, past libtorch's dispatch.
//! What does not fit here gets `None`, and is libtorch's.
use super::{Kernel, refused};
use crate::error::Fault;
use crate::{crew, shim};
use quarterturn_kernels::attention;
use quarterturn_kernels::few_rows::{self, MOST, Shape};
use quarterturn_kernels::mingru::{self, Candidate};
use quarterturn_kernels::recurrent::Options;
use quarterturn_kernels::residual_norm::{self, Norm};
use quarterturn_kernels::{Context, Pool, Serial, minlstm, scan};
use std::slice;
use tch::{Device, Kind, Tensor};

/// Numbers of a tensor, contiguous.
struct Floats(Tensor);

impl Floats {
    /// `None` where a kernel cannot read them.
    fn of(x: &Tensor) -> Option<Floats> {
        let here = x.device() == Device::Cpu && x.f_kind().is_ok_and(|kind| kind == Kind::Float);
        if !here || (x.requires_grad() && shim::grad_enabled()) {
            return None;
        }
        let x = if x.is_contiguous() { x.shallow_clone() } else { x.f_contiguous().ok()? };
        Some(Floats(x))
    }

    #[expect(clippy::option_option, reason = "whether a kernel can read it, and whether it is there")]
    fn optional(x: Option<&Tensor>) -> Option<Option<Floats>> {
        x.map_or(Some(None), |x| Floats::of(x).map(Some))
    }

    fn read(&self) -> &[f32] {
        let len = self.0.numel();
        // SAFETY: contiguous float32 on the CPU, and nothing writes to it before the engine's next operation.
        if len == 0 { &[] } else { unsafe { slice::from_raw_parts(self.0.data_ptr().cast(), len) } }
    }
}

/// A fresh tensor and the memory to be written.
fn fresh(sizes: &[i64]) -> Result<Tensor, Fault> {
    Ok(Tensor::f_empty(sizes, (Kind::Float, Device::Cpu))?)
}

fn write(x: &mut Tensor) -> &mut [f32] {
    let len = x.numel();
    // SAFETY: made by `fresh` just now, so contiguous float32 that nobody else has.
    if len == 0 { &mut [] } else { unsafe { slice::from_raw_parts_mut(x.data_ptr().cast(), len) } }
}

fn usizes<const N: usize>(x: &Tensor) -> Option<[usize; N]> {
    let sizes: Vec<usize> = x.size().into_iter().map(|size| usize::try_from(size).unwrap_or(0)).collect();
    sizes.try_into().ok()
}

/// Threads that need not be woken: the crew of a walk, or the one thread that is here.
fn awake() -> Context<'static> {
    if crew::is_open() { super::context() } else { Context::new(&Serial) }
}

/// x · weightᵀ + bias for x […, I] of at most [`MOST`] rows.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Option<Tensor>, Fault> {
    let mut sizes = x.size();
    let Some((last, [output, input])) = sizes.last_mut().zip(usizes(weight)) else { return Ok(None) };
    let rows = x.numel() / input.max(1);
    if rows > MOST || rows == 0 {
        return Ok(None);
    }
    let Some(((x, weight), bias)) = Floats::of(x).zip(Floats::of(weight)).zip(Floats::optional(bias)) else { return Ok(None) };
    *last = i64::try_from(output).unwrap_or(0);
    let mut y = fresh(&sizes)?;
    let buffers = few_rows::Forward { x: x.read(), weight: weight.read(), bias: bias.as_ref().map(Floats::read), y: write(&mut y) };
    few_rows::forward(&awake(), &Shape { rows, input, output }, buffers).map_err(fault)?;
    Ok(Some(y))
}

/// softmax(scale · query · keyᵀ + mask) · value for one query [B, 1, E] each, key and value [B, S, E], mask [B, 1, S].
pub fn single_queries(query: &Tensor, key: &Tensor, value: &Tensor, mask: Option<&Tensor>, scale: f64) -> Result<Option<Tensor>, Fault> {
    let (Some([rows, 1, width]), Some([_, positions, _]), Some([_, _, values])) = (usizes(query), usizes(key), usizes(value)) else {
        return Ok(None);
    };
    let fits = usizes(key) == Some([rows, positions, width])
        && usizes(value) == Some([rows, positions, values])
        && mask.is_none_or(|mask| usizes(mask) == Some([rows, 1, positions]));
    if !fits {
        return Ok(None);
    }
    let Some((((query, key), value), mask)) = Floats::of(query).zip(Floats::of(key)).zip(Floats::of(value)).zip(Floats::optional(mask))
    else {
        return Ok(None);
    };
    let size = |size: usize| i64::try_from(size).unwrap_or(0);
    let mut y = fresh(&[size(rows), 1, size(values)])?;
    let shape = attention::Shape { rows, positions, width, values, scale: scale as f32 };
    let mask = mask.as_ref().map(Floats::read);
    let buffers = attention::Forward { query: query.read(), key: key.read(), value: value.read(), mask, y: write(&mut y) };
    attention::forward(&if rows > MOST { super::context() } else { awake() }, &shape, buffers).map_err(fault)?;
    Ok(Some(y))
}

/// What a step of a minGRU or minLSTM reads beside x [B, I] and h [B, H].
pub struct Cell<'a> {
    /// `MinGru` or `MinLstm`.
    pub kernel: Kernel,
    /// [G·H, I]
    pub weight: &'a Tensor,
    pub bias: Option<&'a Tensor>,
    pub candidate: Candidate,
    /// What x is normalised by first.
    pub norm: Option<residual_norm::Kind>,
    /// Absent: the step of the dtype at 1.
    pub eps: Option<f64>,
    pub norm_weight: Option<&'a Tensor>,
    pub norm_bias: Option<&'a Tensor>,
}

/// The next h.
pub fn minimal_step(x: &Tensor, h: &Tensor, cell: &Cell) -> Result<Option<Tensor>, Fault> {
    let (Some([rows, input]), Some([_, hidden]), Some([output, _])) = (usizes(x), usizes(h), usizes(cell.weight)) else {
        return Ok(None);
    };
    if rows > MOST || rows == 0 {
        return Ok(None);
    }
    let Some((((x, h), weight), bias)) = Floats::of(x).zip(Floats::of(h)).zip(Floats::of(cell.weight)).zip(Floats::optional(cell.bias))
    else {
        return Ok(None);
    };
    let Some((norm_weight, norm_bias)) = Floats::optional(cell.norm_weight).zip(Floats::optional(cell.norm_bias)) else {
        return Ok(None);
    };
    let context = awake();
    let mut scratch = Pool::global().take(rows * (input + output));
    let (normalised, p) = scratch.split_at_mut(rows * input);
    let read = if let Some(kind) = cell.norm {
        let norm = Norm { kind, eps: cell.eps.unwrap_or(f64::from(f32::EPSILON)) };
        let buffers = residual_norm::Forward {
            x: x.read(),
            weight: norm_weight.as_ref().map(Floats::read),
            bias: norm_bias.as_ref().map(Floats::read),
            y: &mut *normalised,
            ..Default::default()
        };
        residual_norm::forward(&context, &residual_norm::Shape { rows, width: input }, norm, buffers).map_err(fault)?;
        &*normalised
    } else {
        x.read()
    };
    let product = few_rows::Forward { x: read, weight: weight.read(), bias: bias.as_ref().map(Floats::read), y: p };
    few_rows::forward(&context, &Shape { rows, input, output }, product).map_err(fault)?;
    let mut next = fresh(&h.0.size())?;
    let shape = scan::Shape { batch: rows, time: 1, hidden };
    let step = scan::Forward { inputs: [&*p], y_0: Some(h.read()), y: write(&mut next), y_n: None };
    match cell.kernel {
        Kernel::MinGru => mingru::forward(&context, &shape, Options::default(), cell.candidate, step),
        _ => minlstm::forward(&context, &shape, Options::default(), cell.candidate, step),
    }
    .map_err(fault)?;
    Ok(Some(next))
}

fn fault(error: quarterturn_kernels::Error) -> Fault {
    super::unnamed(Fault::from_text(&refused(error)))
}
