//! Selections whose size depends on the values. Each fills a tensor of the largest size possible from the front and says how much of it counts.
use crate::call::{Call, Outputs};
use crate::error::{Code, Fault};
use tch::{Kind, Tensor};

/// Rows up to `rows`, the added ones zero.
fn filled_up(x: &Tensor, rows: i64) -> Result<Tensor, Fault> {
    let missing = rows - x.size().first().copied().unwrap_or(0);
    let mut padding = vec![0; 2 * x.dim()];
    if let Some(after) = padding.last_mut() {
        *after = missing;
    }
    Ok(x.f_constant_pad_nd(padding)?)
}

fn number(value: i64, like: &Tensor) -> Result<Tensor, Fault> {
    Ok(Tensor::f_full([], value, (Kind::Int64, like.device()))?)
}

fn rows(x: &Tensor) -> i64 {
    x.size().first().copied().unwrap_or(0)
}

fn elements(x: &Tensor) -> Result<i64, Fault> {
    i64::try_from(x.numel()).map_err(|_| Fault::new(Code::Shape, "there are too many elements"))
}

/// `nonzero`: the positions of the elements that are not zero, in row-major order.
pub fn nonzero(call: &Call) -> Outputs {
    let x = call.input(0)?;
    let found = x.f_nonzero()?;
    Ok(vec![filled_up(&found, elements(x)?)?, number(rows(&found), x)?])
}

/// `maskedSelect`: the elements where the mask holds, in row-major order.
pub fn masked_select(call: &Call) -> Outputs {
    let (x, mask) = (call.input(0)?, call.input(1)?);
    let found = x.f_masked_select(mask)?;
    Ok(vec![filled_up(&found, elements(x)?)?, number(rows(&found), x)?])
}

/// `unique`: the distinct values in ascending order, where each element is among them, and how often each occurs.
pub fn unique(call: &Call) -> Outputs {
    let x = call.input(0)?;
    let (values, inverse, counts) = x.f_detach()?.f_internal_unique2(true, true, true)?;
    let most = elements(x)?;
    Ok(vec![filled_up(&values, most)?, inverse, filled_up(&counts, most)?, number(rows(&values), x)?])
}
