//! Views, rearrangements and selections by index.
use crate::call::{Call, Outputs, size};
use crate::device::check_range;
use crate::error::Fault;
use crate::op::Op;
use tch::{Kind, Tensor};

/// `reshape expand permute flip`: one list says it all.
pub fn by_list(call: &mut Call) -> Outputs {
    let x = call.input(0)?;
    let list = call.attributes.list()?;
    let y = match call.op {
        Op::Reshape => x.f_reshape(list.as_slice()),
        Op::Expand => x.f_expand(list.as_slice(), false),
        Op::Permute => x.f_permute(list.as_slice()),
        Op::Flip => x.f_flip(list.as_slice()),
        other => {
            return Err(Fault::engine(format!("{} takes more than a list", other.name())));
        }
    };
    Ok(vec![y?])
}

/// `slice`: start to end (excluded) by step along one dimension.
pub fn slice(call: &mut Call) -> Outputs {
    let attributes = &mut call.attributes;
    let (dim, start, end, step) = (attributes.integer()?, attributes.integer()?, attributes.integer()?, attributes.integer()?);
    Ok(vec![call.input(0)?.f_slice(dim, start, end, step)?])
}

/// `cat`: along an existing dimension.
pub fn cat(call: &mut Call) -> Outputs {
    let dim = call.attributes.integer()?;
    Ok(vec![Tensor::f_cat(&call.all()?, dim)?])
}

/// `stack`: along a new dimension.
pub fn stack(call: &mut Call) -> Outputs {
    let dim = call.attributes.integer()?;
    Ok(vec![Tensor::f_stack(&call.all()?, dim)?])
}

/// `roll`: every dimension turned by its shift.
pub fn roll(call: &mut Call) -> Outputs {
    let (shifts, dims) = (call.attributes.list()?, call.attributes.list()?);
    Ok(vec![call.input(0)?.f_roll(shifts.as_slice(), dims.as_slice())?])
}

/// `tril triu`: the triangle of the last two dimensions on and below, on and above a diagonal.
pub fn triangle(call: &mut Call) -> Outputs {
    let x = call.input(0)?;
    let diagonal = call.attributes.integer()?;
    Ok(vec![if call.op == Op::Tril { x.f_tril(diagonal)? } else { x.f_triu(diagonal)? }])
}

/// `pad`: before and after, from the last dimension.
pub fn pad(call: &mut Call) -> Outputs {
    let attributes = &mut call.attributes;
    let (mode, value, padding) = (attributes.integer()?, attributes.number()?, attributes.list()?);
    let mode = match mode {
        0 => "constant",
        1 => "reflect",
        2 => "replicate",
        3 => "circular",
        other => return Err(Fault::engine(format!("unknown padding mode {other}"))),
    };
    Ok(vec![call.input(0)?.f_pad(padding.as_slice(), mode, (mode == "constant").then_some(value))?])
}

/// `gather`: y[…, i, …] = x[…, index[…, i, …], …] along one dimension.
pub fn gather(call: &mut Call) -> Outputs {
    let dim = call.attributes.integer()?;
    let (x, index) = (call.input(0)?, call.index(1)?);
    check_range(&index, size(x, dim)?)?;
    Ok(vec![x.f_gather(dim, &index, false)?])
}

/// `indexSelect`: whole slices by a one-dimensional index.
pub fn index_select(call: &mut Call) -> Outputs {
    let dim = call.attributes.integer()?;
    let (x, index) = (call.input(0)?, call.index(1)?);
    check_range(&index, size(x, dim)?)?;
    Ok(vec![x.f_index_select(dim, &index)?])
}

/// `scatter scatterAdd`: y = x but for y[…, index[…, i, …], …] ← source[…, i, …], or added to it.
pub fn scatter(call: &mut Call) -> Outputs {
    let dim = call.attributes.integer()?;
    let (x, index, source) = (call.input(0)?, call.index(1)?, call.input(2)?);
    check_range(&index, size(x, dim)?)?;
    Ok(vec![if call.op == Op::Scatter { x.f_scatter(dim, &index, source)? } else { x.f_scatter_add(dim, &index, source)? }])
}

/// `oneHot`: 1 at the index, 0 elsewhere, along a new last dimension.
pub fn one_hot(call: &mut Call) -> Outputs {
    let classes = call.attributes.integer()?;
    let index = call.index(0)?;
    let mut shape = index.size();
    shape.push(classes);
    let zeros = Tensor::f_zeros(shape, (Kind::Int64, index.device()))?;
    check_range(&index, classes)?;
    Ok(vec![zeros.f_scatter_value(-1, &index.f_unsqueeze(-1)?, 1)?])
}
