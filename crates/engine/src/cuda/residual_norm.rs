//! `residual_norm`: all of it by `crates/kernels/cuda/src/residual_norm.rs`. Backward has the sum and the weights, not x.
use super::{Call, Gradients, Made, dtype, view};
use crate::error::Fault;
use quarterturn_cuda::residual_norm::{self, Backward, Forward};
use tch::{Kind, Tensor};

/// How rows are normalised; `x` or the sum gives the sizes.
fn norm(call: &Call, like: &Tensor) -> Result<residual_norm::Call, Fault> {
    let sizes = like.size();
    let (width, rows) = sizes.split_last().ok_or_else(|| Fault::engine("residual_norm: x is a scalar"))?;
    Ok(residual_norm::Call {
        dtype: dtype(like)?,
        rows: usize::try_from(rows.iter().product::<i64>()).unwrap_or(0),
        width: usize::try_from(*width).unwrap_or(0),
        rms: call.flag(0),
        eps: call.attributes.get(1).copied().unwrap_or_default() as f32,
    })
}

pub fn reaches(call: &Call) -> Result<bool, Fault> {
    Ok(residual_norm::supports(&call.launcher.card(), &norm(call, call.input(0)?)?))
}

pub fn forward(call: &Call, training: bool) -> Result<Made, Fault> {
    let x = call.input(0)?;
    let norm = norm(call, x)?;
    let (y, sum) = (x.f_empty_like()?, x.f_empty_like()?);
    let statistics = if training { Some(Tensor::f_empty([norm.rows as i64, 2], (Kind::Float, x.device()))?) } else { None };
    let buffers = Forward {
        x: view(Some(x)),
        residual: view(call.optional(1)),
        weight: view(call.optional(2)),
        bias: view(call.optional(3)),
        sum: view(Some(&sum)),
        y: view(Some(&y)),
        statistics: view(statistics.as_ref()),
    };
    // SAFETY: tensors of the device, which libtorch keeps for this stream until the kernel is done.
    unsafe { residual_norm::forward(call.launcher, &norm, &buffers)? };
    Ok(Made { outputs: vec![y, sum], reserve: statistics.into_iter().collect() })
}

pub fn backward(call: &Call, given: &Gradients) -> Result<Vec<Option<Tensor>>, Fault> {
    let sum = given.output(1)?;
    let norm = norm(call, sum)?;
    let [Some(statistics)] = given.reserve else { return Err(Fault::engine("what forward kept is missing")) };
    let like = |place: usize| match call.optional(place) {
        Some(weight) if given.wants(place) => Ok::<_, Fault>(Some(weight.f_empty_like()?)),
        _ => Ok(None),
    };
    let (dx, dweight, dbias) = (sum.f_empty_like()?, like(2)?, like(3)?);
    let columns = dweight.is_some() || dbias.is_some();
    let len = if columns { residual_norm::workspace_len(&call.launcher.card(), &norm) } else { 0 };
    let workspace = Tensor::f_empty([len as i64], (Kind::Float, sum.device()))?;
    let buffers = Backward {
        sum: view(Some(sum)),
        weight: view(call.optional(2)),
        statistics: view(Some(statistics)),
        dy: view(given.grad(0)),
        dsum: view(given.grad(1)),
        dx: view(Some(&dx)),
        dweight: view(dweight.as_ref()),
        dbias: view(dbias.as_ref()),
        workspace: view(Some(&workspace)),
    };
    // SAFETY: as in forward.
    unsafe { residual_norm::backward(call.launcher, &norm, &buffers)? };
    let shared = |place: usize| given.wants(place).then(|| dx.shallow_clone());
    Ok(vec![shared(0), shared(1), dweight, dbias])
}
