//! Reductions and orderings.
use crate::call::{Call, Outputs};
use crate::error::Fault;
use crate::op::Op;
use tch::{Kind, Tensor};

fn every_dim(x: &Tensor) -> Vec<i64> {
    (0..).take(x.dim()).collect()
}

/// `sum mean amax amin any all`: over the listed dimensions, or all of them.
pub fn over_dims(call: &mut Call) -> Outputs {
    let x = call.input(0)?;
    let mut dims = call.attributes.list()?;
    let keep = call.attributes.flag()?;
    if dims.is_empty() {
        dims = every_dim(x);
    }
    let y = match call.op {
        Op::Sum => x.f_sum_dim_intlist(dims.as_slice(), keep, None),
        Op::Mean => x.f_mean_dim(dims.as_slice(), keep, None),
        Op::Amax => x.f_amax(dims.as_slice(), keep),
        Op::Amin => x.f_amin(dims.as_slice(), keep),
        // Of uint8 libtorch makes uint8.
        Op::Any => x.f_any_dims(dims.as_slice(), keep)?.f_to_kind(Kind::Bool),
        Op::All => x.f_all_dims(dims.as_slice(), keep)?.f_to_kind(Kind::Bool),
        other => return Err(Fault::engine(format!("{} does not reduce", other.name()))),
    };
    Ok(vec![y?])
}

/// `prod`: over one dimension, or over all of them (−1).
pub fn prod(call: &mut Call) -> Outputs {
    let x = call.input(0)?;
    let (dim, keep) = (call.attributes.integer()?, call.attributes.flag()?);
    if dim >= 0 {
        return Ok(vec![x.f_prod_dim_int(dim, keep, None)?]);
    }
    let y = x.f_prod(None)?;
    Ok(vec![if keep { y.f_reshape(vec![1; x.dim()])? } else { y }])
}

/// `variance`: the mean squared distance from the mean, divided by n − correction.
pub fn variance(call: &mut Call) -> Outputs {
    let x = call.input(0)?;
    let (mut dims, keep, correction) = (call.attributes.list()?, call.attributes.flag()?, call.attributes.number()?);
    if dims.is_empty() {
        dims = every_dim(x);
    }
    Ok(vec![x.f_var_correction(dims.as_slice(), correction, keep)?])
}

/// `argmax argmin`: the first index of the largest, of the smallest.
pub fn arg(call: &mut Call) -> Outputs {
    let x = call.input(0)?;
    let (dim, keep) = (call.attributes.integer()?, call.attributes.flag()?);
    let dim = (dim >= 0).then_some(dim);
    Ok(vec![if call.op == Op::Argmax { x.f_argmax(dim, keep)? } else { x.f_argmin(dim, keep)? }])
}

/// `cumsum cumprod` along one dimension.
pub fn cumulative(call: &mut Call) -> Outputs {
    let x = call.input(0)?;
    let dim = call.attributes.integer()?;
    Ok(vec![if call.op == Op::Cumsum { x.f_cumsum(dim, None)? } else { x.f_cumprod(dim, None)? }])
}

/// `norm`: (Σ |x|ᵖ)^(1/p) over the listed dimensions, or all of them.
pub fn norm(call: &mut Call) -> Outputs {
    let x = call.input(0)?;
    let (mut dims, keep, p) = (call.attributes.list()?, call.attributes.flag()?, call.attributes.number()?);
    if dims.is_empty() {
        dims = every_dim(x);
    }
    Ok(vec![x.f_norm_scalaropt_dim(p, dims.as_slice(), keep)?])
}

/// `logSumExp` over the listed dimensions, or all of them.
pub fn log_sum_exp(call: &mut Call) -> Outputs {
    let x = call.input(0)?;
    let (mut dims, keep) = (call.attributes.list()?, call.attributes.flag()?);
    if dims.is_empty() {
        dims = every_dim(x);
    }
    Ok(vec![x.f_logsumexp(dims.as_slice(), keep)?])
}

/// `topk`: the k largest or smallest along one dimension, in order.
pub fn topk(call: &mut Call) -> Outputs {
    let (k, dim, largest) = (call.attributes.integer()?, call.attributes.integer()?, call.attributes.flag()?);
    let (values, indices) = call.input(0)?.f_topk(k, dim, largest, true)?;
    Ok(vec![values, indices])
}

/// `sort` along one dimension; equal elements keep their order.
pub fn sort(call: &mut Call) -> Outputs {
    let (dim, descending) = (call.attributes.integer()?, call.attributes.flag()?);
    let (values, indices) = call.input(0)?.f_sort_stable(true, dim, descending)?;
    Ok(vec![values, indices])
}
