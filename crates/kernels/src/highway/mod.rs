//! A stack of highway layers: the coupled gates of a recurrence, along depth.
//!
//! ```text
//! h = φ(W_h x_k + b_h)      t = σ(W_t x_k + b_t)      x_(k+1) = t ⊙ h + (1 - t) ⊙ x_k      k = 0 … K-1
//! ```
//! x_0 and x_K [N, D]; weights [K, 2·D, D] and biases [K, 2·D], of each layer first those of h, then those of t; φ is tanh or max(0, ·).
//! float32, sums in float32; float64 through [`reference`].
//!
//! A layer has D² weights for few rows, so reading them is most of the work: they are read in place, never packed. Forward computes
//! (W xᵀ)ᵀ, with the rows of x side by side; backward dx = da·W, where W is the packed operand as it stands. Some rows go through all layers
//! together; where rows are few, threads share the units of a layer and meet once a layer.
//! Source: Srivastava et al. 2015, equation 3.

mod backward;
mod forward;
mod plan;
pub mod reference;

pub use backward::{Backward, backward};
pub use forward::{Forward, forward};

use crate::Error;
pub use crate::activation::Nonlinearity;
use crate::gemm::outer::SLACK;

/// The sizes. Any of them may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// N
    pub rows: usize,
    /// D
    pub width: usize,
    /// K
    pub layers: usize,
}

/// One stack: everything about a call but its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Stack<'a, F = f32> {
    pub shape: Shape,
    pub nonlinearity: Nonlinearity,
    /// [K, 2·D, D]
    pub weight: &'a [F],
    /// [K, 2·D]; absent means zeros.
    pub bias: Option<&'a [F]>,
}

const NAME: &str = "highway";

/// The most rows that go through the stack together: as many as the columns of the widest panel of a product.
const ROWS: usize = 64;

impl<F> Stack<'_, F> {
    fn check(&self) -> Result<(), Error> {
        let Shape { width, layers, .. } = self.shape;
        Error::check(NAME, "weight", "K*2*D*D", layers * 2 * width * width, self.weight.len())?;
        self.bias.map_or(Ok(()), |bias| Error::check(NAME, "bias", "K*2*D", layers * 2 * width, bias.len()))
    }
}

/// Where things lie in what a pass saves: h and t of each layer [K, N, `gates`], some slack, then x_1 … x_(K-1) [K-1, N, `column`].
#[derive(Clone, Copy)]
struct Layout {
    /// D rounded up to whole vectors. Units past D hold nothing of meaning.
    column: usize,
    /// From a row of gates, D of h and then D of t, to the next.
    gates: usize,
    rows: usize,
    layers: usize,
}

const WIDEST: usize = 16;
// The slack after the gates is a whole vector.
const _: () = assert!(SLACK <= WIDEST);

impl Layout {
    fn new(shape: &Shape) -> Layout {
        let Shape { rows, width, layers } = *shape;
        Layout { column: width.next_multiple_of(WIDEST), gates: (2 * width).next_multiple_of(WIDEST), rows, layers }
    }

    fn gates(&self, layer: usize, row: usize) -> usize {
        (layer * self.rows + row) * self.gates
    }

    /// The input of `layer`, 1 at least.
    fn x(&self, layer: usize, row: usize) -> usize {
        self.gates(self.layers, 0) + WIDEST + ((layer - 1) * self.rows + row) * self.column
    }

    fn len(&self) -> usize {
        if self.layers == 0 { 0 } else { self.x(self.layers, 0) }
    }
}

/// Floats that [`forward`] saves for [`backward`]: 12 bytes per layer, row and unit (h, t and the layer's input), with D rounded up to 16.
#[must_use]
pub fn reserve_len(shape: &Shape) -> usize {
    Layout::new(shape).len()
}

#[cfg(test)]
mod tests;
