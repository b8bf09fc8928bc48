//! Windows that move over signals [B, C, L] and images [B, C, H, W]: convolutions, pooling, resampling.
use super::nn::finished;
use crate::call::{Call, Outputs};
use crate::error::Fault;
use crate::op::Op;
use crate::shim;
use std::ffi::c_char;
use std::ptr::{null, null_mut};
use tch::Tensor;
use torch_sys::C_tensor;

unsafe extern "C" {
    fn qt_conv2d(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        residual: *const C_tensor,
        sizes: *const i64,
        relu: bool,
        y: *mut *mut C_tensor,
    ) -> *mut c_char;
}

fn sizes<const N: usize>(call: &mut Call) -> Result<[i64; N], Fault> {
    let mut sizes = [0; N];
    for size in &mut sizes {
        *size = call.attributes.integer()?;
    }
    Ok(sizes)
}

/// Stride, padding, dilation, groups.
struct Convolution<const N: usize> {
    stride: [i64; N],
    padding: [i64; N],
    dilation: [i64; N],
    groups: i64,
}

fn convolution<const N: usize>(call: &mut Call) -> Result<Convolution<N>, Fault> {
    Ok(Convolution { stride: sizes(call)?, padding: sizes(call)?, dilation: sizes(call)?, groups: call.attributes.integer()? })
}

/// `conv1d`: [B, C, L].
pub fn conv1d(call: &mut Call) -> Outputs {
    let Convolution { stride, padding, dilation, groups } = convolution::<1>(call)?;
    Ok(vec![call.input(0)?.f_conv1d(call.input(1)?, call.optional(2), stride, padding, dilation, groups)?])
}

/// `conv2d`: [B, C, H, W]; then a residual is added and a `ReLU` taken, where asked for.
pub fn conv2d(call: &mut Call) -> Outputs {
    let given = convolution::<2>(call)?;
    let relu = call.attributes.flag()?;
    let residual = call.optional(3);
    if let Some(y) = at_once(call, &given, residual, relu)? {
        return Ok(vec![y]);
    }
    let Convolution { stride, padding, dilation, groups } = given;
    let y = call.input(0)?.f_conv2d(call.input(1)?, call.optional(2), stride, padding, dilation, groups)?;
    Ok(vec![finished(y, residual, relu)?])
}

/// As one operation of oneDNN, with a weight that was reordered before: in inference on the CPU, where channels lie last in memory.
fn at_once(call: &Call, given: &Convolution<2>, residual: Option<&Tensor>, relu: bool) -> Result<Option<Tensor>, Fault> {
    let Convolution { stride: [s, t], padding: [p, q], dilation: [d, e], groups } = *given;
    let sizes = [s, t, p, q, d, e, groups];
    let handle = |tensor: Option<&Tensor>| tensor.map_or(null(), Tensor::as_ptr);
    let mut y = null_mut();
    // SAFETY: the tensors are valid for the call or null where they may be, and the sizes are as many as it reads.
    shim::check(unsafe {
        qt_conv2d(
            call.input(0)?.as_ptr(),
            call.input(1)?.as_ptr(),
            handle(call.optional(2)),
            handle(residual),
            sizes.as_ptr(),
            relu,
            &raw mut y,
        )
    })?;
    if y.is_null() { Ok(None) } else { shim::made(y).map(Some) }
}

/// `convTranspose1d`: the transpose of `conv1d`.
pub fn conv_transpose1d(call: &mut Call) -> Outputs {
    let Convolution { stride, padding, dilation, groups } = convolution::<1>(call)?;
    let extra = sizes::<1>(call)?;
    Ok(vec![call.input(0)?.f_conv_transpose1d(call.input(1)?, call.optional(2), stride, padding, extra, groups, dilation)?])
}

/// `convTranspose2d`: the transpose of `conv2d`.
pub fn conv_transpose2d(call: &mut Call) -> Outputs {
    let Convolution { stride, padding, dilation, groups } = convolution::<2>(call)?;
    let extra = sizes::<2>(call)?;
    Ok(vec![call.input(0)?.f_conv_transpose2d(call.input(1)?, call.optional(2), stride, padding, extra, groups, dilation)?])
}

/// `maxPool1d avgPool1d`.
pub fn pool1d(call: &mut Call) -> Outputs {
    let (kernel, stride, padding) = (sizes::<1>(call)?, sizes::<1>(call)?, sizes::<1>(call)?);
    let x = call.input(0)?;
    let y = if call.op == Op::MaxPool1d {
        x.f_max_pool1d(kernel, stride, padding, [1], false)?
    } else {
        x.f_avg_pool1d(kernel, stride, padding, false, true)?
    };
    Ok(vec![y])
}

/// `maxPool2d avgPool2d`.
pub fn pool2d(call: &mut Call) -> Outputs {
    let (kernel, stride, padding) = (sizes::<2>(call)?, sizes::<2>(call)?, sizes::<2>(call)?);
    let x = call.input(0)?;
    let y = if call.op == Op::MaxPool2d {
        x.f_max_pool2d(kernel, stride, padding, [1, 1], false)?
    } else {
        x.f_avg_pool2d(kernel, stride, padding, false, true, None)?
    };
    Ok(vec![y])
}

/// `adaptiveAvgPool1d adaptiveMaxPool1d` to a given length.
pub fn adaptive_pool1d(call: &mut Call) -> Outputs {
    let size = sizes::<1>(call)?;
    let x = call.input(0)?;
    Ok(vec![if call.op == Op::AdaptiveAvgPool1d { x.f_adaptive_avg_pool1d(size)? } else { x.f_adaptive_max_pool1d(size)?.0 }])
}

/// `adaptiveAvgPool2d adaptiveMaxPool2d` to a given height and width.
pub fn adaptive_pool2d(call: &mut Call) -> Outputs {
    let size = sizes::<2>(call)?;
    let x = call.input(0)?;
    Ok(vec![if call.op == Op::AdaptiveAvgPool2d { x.f_adaptive_avg_pool2d(size)? } else { x.f_adaptive_max_pool2d(size)?.0 }])
}

/// `interpolate` to a given length, or height and width. A scale of 0 is none: it follows from the sizes.
pub fn interpolate(call: &mut Call) -> Outputs {
    let attributes = &mut call.attributes;
    let (mode, align, size) = (attributes.integer()?, attributes.flag()?, attributes.list()?);
    let scales: Vec<_> = attributes.numbers()?.iter().map(|scale| (*scale > 0.0).then_some(*scale)).collect();
    let x = call.input(0)?;
    let y = match (mode, scales.as_slice()) {
        (0, &[scale]) => x.f_upsample_nearest1d(size.as_slice(), scale),
        (1, &[scale]) => x.f_upsample_linear1d(size.as_slice(), align, scale),
        (0, &[height, width]) => x.f_upsample_nearest2d(size.as_slice(), height, width),
        (1, &[height, width]) => x.f_upsample_bilinear2d(size.as_slice(), align, height, width),
        (2, &[height, width]) => x.f_upsample_bicubic2d(size.as_slice(), align, height, width),
        _ => return Err(Fault::engine(format!("unknown interpolation {mode} over {} dimensions", scales.len()))),
    };
    Ok(vec![y?])
}
