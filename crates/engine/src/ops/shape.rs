//! Views, rearrangements and selections by index.
use crate::call::{Call, Outputs, size};
use crate::device::check_range;
use crate::error::Fault;
use crate::op::Op;
use tch::Tensor;

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

/// `gather`: y[…, i, …] = x[…, index[…, i, …], …] along one dimension.
pub fn gather(call: &mut Call) -> Outputs {
    let dim = call.attributes.integer()?;
    let (x, index) = (call.input(0)?, call.input(1)?);
    check_range(index, size(x, dim)?)?;
    Ok(vec![x.f_gather(dim, index, false)?])
}

/// `indexSelect`: whole slices by a one-dimensional index.
pub fn index_select(call: &mut Call) -> Outputs {
    let dim = call.attributes.integer()?;
    let (x, index) = (call.input(0)?, call.input(1)?);
    check_range(index, size(x, dim)?)?;
    Ok(vec![x.f_index_select(dim, index)?])
}
