//! Products and decompositions of matrices.
use crate::call::{Call, Outputs};
use crate::error::Fault;
use crate::kernels::few_rows;
use tch::Tensor;

/// `matmul`: batched, with broadcasting of the leading dimensions.
pub fn matmul(call: &Call) -> Outputs {
    Ok(vec![call.input(0)?.f_matmul(call.input(1)?)?])
}

/// `linear`: x · weightᵀ + bias.
pub fn linear(call: &Call) -> Outputs {
    let (x, weight, bias) = (call.input(0)?, call.input(1)?, call.optional(2));
    Ok(vec![match few_rows::linear(x, weight, bias)? {
        Some(y) => y,
        None => x.f_linear(weight, bias)?,
    }])
}

/// `einsum`: the equation comes as the codes of its characters.
pub fn einsum(call: &mut Call) -> Outputs {
    let codes = call.attributes.list()?;
    let equation: Option<String> = codes.into_iter().map(|code| u32::try_from(code).ok().and_then(char::from_u32)).collect();
    let equation = equation.ok_or_else(|| Fault::engine("the equation is not text"))?;
    Ok(vec![Tensor::f_einsum(&equation, &call.all()?, None::<&[i64]>)?])
}

/// `qr`: the reduced form.
pub fn qr(call: &Call) -> Outputs {
    let (q, r) = Tensor::f_linalg_qr(call.input(0)?, "reduced")?;
    Ok(vec![q, r])
}

/// `svd`: the reduced form u, s, vᵀ.
pub fn svd(call: &Call) -> Outputs {
    // Not `linalg_svd`: tch names it a driver, which only CUDA has.
    let (u, s, v) = call.input(0)?.f_svd(true, true)?;
    Ok(vec![u, s, v.f_transpose(-2, -1)?])
}

/// `solve`: the x of a·x = b.
pub fn solve(call: &Call) -> Outputs {
    Ok(vec![Tensor::f_linalg_solve(call.input(0)?, call.input(1)?, true)?])
}
