//! The pre-norm residual block of two linear maps.
//!
//! ```text
//! n = LN(x) = (x - mean(x)) / sqrt(var(x) + eps) ⊙ norm_weight + norm_bias
//! u = W_1 n + b_1      y = x + W_2 gelu(u) + b_2      gelu(u) = u/2 (1 + tanh(sqrt(2/π) (u + 0.044715 u³)))
//! ```
//! x and y [N, D], u [N, F]; weights as PyTorch's `Linear` has them. float32, sums in float32; float64 through [`reference`].
//!
//! Rows go through the whole block some tens at a time, so that u never leaves L2 in inference. Sources: He et al. 2016 (the identity
//! shortcut), Xiong et al. 2020 (the norm before the branch), Hendrycks and Gimpel 2016 (GELU).

mod backward;
mod forward;
pub mod reference;

pub use backward::{Backward, backward};
pub use forward::{Forward, forward};

use crate::gemm::outer::SLACK;
use crate::gemm::pack::Blocks;
use crate::{Context, Error, Isa};

/// The sizes. Any of them may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// N
    pub rows: usize,
    /// D
    pub width: usize,
    /// F
    pub hidden: usize,
}

/// The parameters of one block.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a, F = f32> {
    /// [D]; absent means ones.
    pub norm_weight: Option<&'a [F]>,
    /// [D]; absent means zeros.
    pub norm_bias: Option<&'a [F]>,
    /// [F, D]
    pub weight_1: &'a [F],
    /// [F]; absent means zeros.
    pub bias_1: Option<&'a [F]>,
    /// [D, F]
    pub weight_2: &'a [F],
    /// [D]; absent means zeros.
    pub bias_2: Option<&'a [F]>,
}

/// One block: everything about a call but its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a, F = f32> {
    pub shape: Shape,
    pub weights: Weights<'a, F>,
    pub eps: f64,
    /// Stands for the weights: whoever changes them changes it, and then they are packed again.
    pub version: u64,
}

/// Packed forms of one block's weights, kept by the caller; made when first needed and when the version changes.
#[derive(Debug, Default)]
pub struct Packed {
    forward: Form,
    backward: Form,
}

#[derive(Debug, Default)]
struct Form {
    made_from: Option<(u64, [usize; 2], Isa)>,
    /// W_1ᵀ [D, F] forward, W_1 [F, D] backward.
    weight_1: Blocks,
    /// W_2ᵀ [F, D] forward, W_2 [D, F] backward.
    weight_2: Blocks,
}

const NAME: &str = "residual_mlp";

/// Rows that go through a block together: eight tiles.
const ROWS: usize = 48;

impl<F> Block<'_, F> {
    fn check(&self) -> Result<(), Error> {
        let Shape { width, hidden, .. } = self.shape;
        let w = &self.weights;
        for (name, letters, expected, len) in [
            ("norm_weight", "D", width, w.norm_weight.map(<[F]>::len)),
            ("norm_bias", "D", width, w.norm_bias.map(<[F]>::len)),
            ("weight_1", "F*D", hidden * width, Some(w.weight_1.len())),
            ("bias_1", "F", hidden, w.bias_1.map(<[F]>::len)),
            ("weight_2", "D*F", width * hidden, Some(w.weight_2.len())),
            ("bias_2", "D", width, w.bias_2.map(<[F]>::len)),
        ] {
            if let Some(len) = len {
                Error::check(NAME, name, letters, expected, len)?;
            }
        }
        Ok(())
    }
}

impl Block<'_> {
    fn key(&self, context: &Context) -> (u64, [usize; 2], Isa) {
        (self.version, [self.shape.width, self.shape.hidden], context.isa())
    }
}

impl Packed {
    fn prepare_forward(&mut self, context: &Context, block: &Block) {
        let key = Some(block.key(context));
        if self.forward.made_from != key {
            let Shape { width, hidden, .. } = block.shape;
            let weight_1 = Blocks::from_rows(context, block.weights.weight_1, hidden, width);
            let weight_2 = Blocks::from_rows(context, block.weights.weight_2, width, hidden);
            self.forward = Form { made_from: key, weight_1, weight_2 };
        }
    }

    fn prepare_backward(&mut self, context: &Context, block: &Block) {
        let key = Some(block.key(context));
        if self.backward.made_from != key {
            let Shape { width, hidden, .. } = block.shape;
            let weight_1 = Blocks::from_columns(context, block.weights.weight_1, hidden, width);
            let weight_2 = Blocks::from_columns(context, block.weights.weight_2, width, hidden);
            self.backward = Form { made_from: key, weight_1, weight_2 };
        }
    }
}

/// Where things lie in what a pass saves: u [N, `stride`], some slack, then mean and ρ of each row [N, 2].
#[derive(Clone, Copy)]
struct Layout {
    /// F rounded up, so that every vector is whole.
    stride: usize,
    rows: usize,
}

const WIDEST: usize = 16;
// The slack after u is a whole vector.
const _: () = assert!(SLACK <= WIDEST);

impl Layout {
    fn new(shape: &Shape) -> Layout {
        Layout { stride: shape.hidden.next_multiple_of(WIDEST), rows: shape.rows }
    }

    fn statistics(&self) -> usize {
        self.rows * self.stride + WIDEST
    }

    fn len(&self) -> usize {
        self.statistics() + 2 * self.rows
    }
}

/// Floats that [`forward`] saves for [`backward`]: 4 bytes per row and hidden unit (u), with F rounded up to 16, and 8 per row.
#[must_use]
pub fn reserve_len(shape: &Shape) -> usize {
    Layout::new(shape).len()
}

#[cfg(test)]
mod tests;
