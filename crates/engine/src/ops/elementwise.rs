//! Operations on each element: unary maths, arithmetic with broadcasting, comparison, selection.
use crate::call::{Call, Outputs, is_float, kind};
use crate::error::Fault;
use crate::op::Op;
use crate::shim;
use tch::{Device, Kind, Scalar, Tensor};

/// x → y, without attributes.
pub fn unary(call: &Call) -> Outputs {
    let x = call.input(0)?;
    let y = match call.op {
        Op::Neg => x.f_neg(),
        Op::Abs => x.f_abs(),
        Op::Exp => x.f_exp(),
        Op::Log => x.f_log(),
        Op::Log1p => x.f_log1p(),
        Op::Expm1 => x.f_expm1(),
        Op::Sqrt => x.f_sqrt(),
        Op::Rsqrt => x.f_rsqrt(),
        Op::Reciprocal => x.f_reciprocal(),
        Op::Square => x.f_square(),
        Op::Sign => x.f_sign(),
        Op::Sin => x.f_sin(),
        Op::Cos => x.f_cos(),
        Op::Tanh => x.f_tanh(),
        Op::Sigmoid => x.f_sigmoid(),
        Op::Relu => x.f_relu(),
        Op::Silu => x.f_silu(),
        Op::Softplus => x.f_softplus(),
        Op::Erf => x.f_erf(),
        Op::Floor => x.f_floor(),
        Op::Ceil => x.f_ceil(),
        Op::Round => x.f_round(),
        Op::LogicalNot => x.f_logical_not(),
        Op::IsNan => x.f_isnan(),
        Op::IsFinite => x.f_isfinite(),
        other => return Err(Fault::engine(format!("{} is not unary", other.name()))),
    };
    Ok(vec![y?])
}

/// `gelu`: exact, or by tanh.
pub fn gelu(call: &mut Call) -> Outputs {
    let approximate = if call.attributes.flag()? { "tanh" } else { "none" };
    Ok(vec![call.input(0)?.f_gelu(approximate)?])
}

/// `leakyRelu`: x, or slope · x below zero.
pub fn leaky_relu(call: &mut Call) -> Outputs {
    let slope = call.attributes.number()?;
    Ok(vec![shim::leaky_relu(call.input(0)?, slope)?])
}

fn scalar(value: f64, integer: bool) -> Scalar {
    #[expect(clippy::cast_possible_truncation, reason = "the caller says that it is an integer")]
    if integer { Scalar::int(value as i64) } else { Scalar::float(value) }
}

/// A scalar operand as a tensor without dimensions that takes part in promotion as a Python number would:
/// it keeps the dtype of the other operand unless it is of a higher category.
fn scalar_tensor(value: f64, integer: bool, other: Kind) -> Result<Tensor, Fault> {
    let kind = match (integer, other) {
        (false, other) if !is_float(other) => Kind::Float,
        (true, Kind::Bool) => Kind::Int64,
        (_, other) => other,
    };
    Ok(Tensor::f_full([], scalar(value, integer), (kind, Device::Cpu))?)
}

/// a?, b? → y: of two operands one may be a number.
pub fn binary(call: &mut Call) -> Outputs {
    let (a, b) = (call.optional(0), call.optional(1));
    let y = match (a, b) {
        (Some(a), Some(b)) => tensors(call.op, a, b)?,
        (Some(a), None) => {
            let (value, integer) = (call.attributes.number()?, call.attributes.flag()?);
            with_number(call.op, a, value, integer)?
        }
        (None, Some(b)) => {
            let (value, integer) = (call.attributes.number()?, call.attributes.flag()?);
            if call.op == Op::Pow {
                Tensor::f_pow_scalar(scalar(value, integer), b)?
            } else {
                tensors(call.op, &scalar_tensor(value, integer, kind(b)?)?, b)?
            }
        }
        (None, None) => return Err(Fault::engine("both operands are missing")),
    };
    // With two tensors the number is sent as well, and means nothing.
    call.attributes.rest();
    Ok(vec![y])
}

fn with_number(op: Op, a: &Tensor, value: f64, integer: bool) -> Result<Tensor, Fault> {
    let number = scalar(value, integer);
    Ok(match op {
        Op::Add => a.f_add_scalar(number)?,
        Op::Sub => a.f_sub_scalar(number)?,
        Op::Mul => a.f_mul_scalar(number)?,
        Op::Div => a.f_div_scalar(number)?,
        Op::Pow => a.f_pow_tensor_scalar(number)?,
        Op::Eq => a.f_eq(number)?,
        Op::Ne => a.f_ne(number)?,
        Op::Lt => a.f_lt(number)?,
        Op::Le => a.f_le(number)?,
        Op::Gt => a.f_gt(number)?,
        Op::Ge => a.f_ge(number)?,
        other => tensors(other, a, &scalar_tensor(value, integer, kind(a)?)?)?,
    })
}

fn tensors(op: Op, a: &Tensor, b: &Tensor) -> Result<Tensor, Fault> {
    let y = match op {
        Op::Add => a.f_add(b),
        Op::Sub => a.f_sub(b),
        Op::Mul => a.f_mul(b),
        Op::Div => a.f_div(b),
        Op::Pow => a.f_pow(b),
        Op::Maximum => a.f_maximum(b),
        Op::Minimum => a.f_minimum(b),
        Op::Eq => a.f_eq_tensor(b),
        Op::Ne => a.f_ne_tensor(b),
        Op::Lt => a.f_lt_tensor(b),
        Op::Le => a.f_le_tensor(b),
        Op::Gt => a.f_gt_tensor(b),
        Op::Ge => a.f_ge_tensor(b),
        Op::LogicalAnd => a.f_logical_and(b),
        Op::LogicalOr => a.f_logical_or(b),
        other => return Err(Fault::engine(format!("{} is not binary", other.name()))),
    };
    Ok(y?)
}

/// `where`: a where the condition holds, b elsewhere.
pub fn choose(call: &mut Call) -> Outputs {
    let condition = call.input(0)?;
    let (a, b) = (call.optional(1), call.optional(2));
    let mut numbers = [(0.0, false); 2];
    for number in &mut numbers {
        *number = (call.attributes.number()?, call.attributes.flag()?);
    }
    let [(low, low_integer), (high, high_integer)] = numbers;
    let other = match (a, b) {
        (Some(tensor), _) | (None, Some(tensor)) => kind(tensor)?,
        (None, None) if low_integer && high_integer => Kind::Int64,
        (None, None) => Kind::Float,
    };
    let made_a = if a.is_none() { Some(scalar_tensor(low, low_integer, other)?) } else { None };
    let made_b = if b.is_none() { Some(scalar_tensor(high, high_integer, other)?) } else { None };
    match (a.or(made_a.as_ref()), b.or(made_b.as_ref())) {
        (Some(a), Some(b)) => Ok(vec![a.f_where_self(condition, b)?]),
        _ => Err(Fault::engine("an operand is missing")),
    }
}

/// `clamp`: an infinite bound is no bound. Integer tensors stay integer.
pub fn clamp(call: &mut Call) -> Outputs {
    let x = call.input(0)?;
    let (low, high) = (call.attributes.number()?, call.attributes.number()?);
    let integer = !is_float(kind(x)?) && [low, high].iter().all(|bound| bound.is_infinite() || bound.fract() == 0.0);
    let y = match (low == f64::NEG_INFINITY, high == f64::INFINITY) {
        (false, false) => x.f_clamp(scalar(low, integer), scalar(high, integer))?,
        (false, true) => x.f_clamp_min(scalar(low, integer))?,
        (true, false) => x.f_clamp_max(scalar(high, integer))?,
        (true, true) => shim::copy(x)?,
    };
    Ok(vec![y])
}
