//! What an operation sees of the world: its inputs, its attributes, and the little context that some need.
use crate::attributes::{Attributes, dtype_name};
use crate::decode::id;
use crate::error::{Code, Fault};
use crate::op::Op;
use crate::program::Programs;
use crate::staging::Staging;
use tch::{Kind, Tensor};

/// The outputs of an operation, in order.
pub type Outputs = Result<Vec<Tensor>, Fault>;

/// What surrounds an entry.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The programs it may name.
    pub programs: &'a Programs,
    /// Bytes set aside by the caller; absent inside a program.
    pub staging: Option<&'a Staging>,
    pub setting: Setting,
}

/// How what surrounds an entry is being run.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The iteration of the enclosing scan, and of the scan around that one.
    pub iteration: [u32; 2],
    /// Whether gradients are recorded around it.
    pub grad: bool,
    /// Whether this is a second run for the backward pass, so that what the first one left behind must not happen again.
    pub again: bool,
}

/// One operation about to run.
pub struct Call<'a> {
    pub op: Op,
    pub inputs: Vec<Option<&'a Tensor>>,
    pub ids: &'a [f64],
    pub attributes: Attributes<'a>,
    pub context: Context<'a>,
}

impl<'a> Call<'a> {
    /// The input at a position.
    pub fn input(&self, position: usize) -> Result<&'a Tensor, Fault> {
        self.optional(position).ok_or_else(|| Fault::engine(format!("input {position} is missing")))
    }

    /// The input at a position, or nothing.
    #[must_use]
    pub fn optional(&self, position: usize) -> Option<&'a Tensor> {
        self.inputs.get(position).copied().flatten()
    }

    /// The input at a position as an int64 index.
    pub fn index(&self, position: usize) -> Result<Tensor, Fault> {
        Ok(self.input(position)?.f_to_kind(Kind::Int64)?)
    }

    /// Every input; none may be absent.
    pub fn all(&self) -> Result<Vec<&'a Tensor>, Fault> {
        self.range(0, self.inputs.len())
    }

    /// Inputs from `start`, `count` of them; none may be absent.
    pub fn range(&self, start: usize, count: usize) -> Result<Vec<&'a Tensor>, Fault> {
        (start..start + count).map(|position| self.input(position)).collect()
    }

    /// The id of the input at a position.
    #[must_use]
    pub fn id(&self, position: usize) -> u64 {
        self.ids.get(position).map_or(0, |word| id(*word))
    }
}

/// The dtype of a tensor.
pub fn kind(tensor: &Tensor) -> Result<Kind, Fault> {
    Ok(tensor.f_kind()?)
}

/// Whether a dtype is of whole numbers.
#[must_use]
pub fn is_integer(kind: Kind) -> bool {
    matches!(kind, Kind::Int64 | Kind::Int | Kind::Uint8)
}

/// Whether a dtype can carry gradients.
#[must_use]
pub fn is_float(kind: Kind) -> bool {
    matches!(kind, Kind::Float | Kind::Double | Kind::BFloat16 | Kind::Half)
}

/// Fails unless two tensors have the same dtype.
pub fn same_kind(what: &str, expected: &Tensor, got: &Tensor) -> Result<(), Fault> {
    let (expected, got) = (kind(expected)?, kind(got)?);
    if expected == got {
        return Ok(());
    }
    Err(Fault::mismatch(Code::Dtype, what, dtype_name(expected), dtype_name(got)))
}

/// Fails unless two tensors have the same shape.
pub fn same_shape(what: &str, expected: &Tensor, got: &Tensor) -> Result<(), Fault> {
    let (expected, got) = (expected.size(), got.size());
    if expected == got {
        return Ok(());
    }
    Err(Fault::mismatch(Code::Shape, what, format!("{expected:?}"), format!("{got:?}")))
}

/// The length of a dimension, counted from 0.
pub fn size(x: &Tensor, dim: i64) -> Result<i64, Fault> {
    let sizes = x.size();
    let length = usize::try_from(dim).ok().and_then(|dim| sizes.get(dim)).copied();
    length.ok_or_else(|| Fault::new(Code::Shape, format!("{sizes:?} has no dimension {dim}")))
}
