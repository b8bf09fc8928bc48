//! Scaled-dot-product attention: libtorch's, ours for single queries, or, with dropout and for empty tensors, spelled out.
use crate::call::{Call, Outputs, kind};
use crate::error::Fault;
use crate::kernels::few_rows;
use crate::ops::random;
use tch::{Kind, Tensor};

/// `scaledDotProductAttention`: softmax(scale · query · keyᵀ + mask) · value.
pub fn scaled_dot_product(call: &mut Call) -> Outputs {
    let (causal, grouped, scale) = (call.attributes.flag()?, call.attributes.flag()?, call.attributes.number()?);
    let philox = random::stream(call)?;
    let p = call.attributes.number()?;
    let (query, key, value, mask) = (call.input(0)?, call.input(1)?, call.input(2)?, call.optional(3));
    let scale = if scale.is_nan() { 1.0 / (query.size().last().copied().unwrap_or(1) as f64).sqrt() } else { scale };
    if !causal
        && !grouped
        && p == 0.0
        && let Some(y) = few_rows::single_queries(query, key, value, mask, scale)?
    {
        return Ok(vec![y]);
    }
    // The fused form divides by the sizes of what is empty, and that ends the process; its dropout is not ours.
    let fused = p == 0.0 && ![query, key, value].iter().any(|x| x.size().contains(&0));
    // libtorch takes either a mask or `causal`, and its fused form a mask of the query's rank only.
    let mask = match mask {
        mask if causal && (mask.is_some() || !fused) => Some(seen(query, key, mask)?),
        Some(mask) => Some(mask.shallow_clone()),
        None => None,
    };
    let causal = causal && mask.is_none();
    let mask = mask.map(|mask| ranked(&mask, query.dim())).transpose()?;
    if fused {
        let y = Tensor::f_scaled_dot_product_attention(query, key, value, mask.as_ref(), 0.0, causal, scale, grouped)?;
        return Ok(vec![y]);
    }
    let [key, value] =
        if grouped { [repeated(key, query)?, repeated(value, query)?] } else { [key.shallow_clone(), value.shallow_clone()] };
    let mut products = query.f_matmul(&key.f_transpose(-2, -1)?)?.f_mul_scalar(scale)?;
    if let Some(mask) = mask {
        products = if kind(&mask)? == Kind::Bool {
            products.f_masked_fill(&mask.f_logical_not()?, f64::NEG_INFINITY)?
        } else {
            products.f_add(&mask)?
        };
    }
    // A row without any finite product gives 0 instead of NaN.
    let weights = products.f_internal_safe_softmax(-1, None)?;
    let weights = if p > 0.0 { random::dropped(&weights, philox, p)? } else { weights };
    Ok(vec![weights.f_matmul(&value)?])
}

/// A mask that is also causal.
fn seen(query: &Tensor, key: &Tensor, mask: Option<&Tensor>) -> Result<Tensor, Fault> {
    let sizes = [query, key].map(|x| x.size().iter().rev().nth(1).copied().unwrap_or(0));
    let past = Tensor::f_ones(sizes, (Kind::Bool, query.device()))?.f_tril(0)?;
    Ok(match mask {
        None => past,
        Some(mask) if kind(mask)? == Kind::Bool => mask.f_logical_and(&past)?,
        Some(mask) => mask.f_masked_fill(&past.f_logical_not()?, f64::NEG_INFINITY)?,
    })
}

/// Every head as often as it takes to have those of the query.
fn repeated(x: &Tensor, query: &Tensor) -> Result<Tensor, Fault> {
    let [heads, own] = [query, x].map(|x| x.size().iter().rev().nth(2).copied().unwrap_or(1));
    Ok(x.f_repeat_interleave_self_int(heads / own.max(1), -3, heads)?)
}

/// The same with leading axes of size 1.
fn ranked(x: &Tensor, rank: usize) -> Result<Tensor, Fault> {
    let mut shape = vec![1; rank.saturating_sub(x.dim())];
    shape.extend(x.size());
    Ok(x.f_reshape(shape)?)
}
