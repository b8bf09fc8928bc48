//! A stack of highway layers: the coupled gates of a recurrence, along depth.
//!
//! ```text
//! h = φ(W_h x_k + b_h)      t = σ(W_t x_k + b_t)      x_(k+1) = t ⊙ h + (1 - t) ⊙ x_k      k = 0 … K-1
//! ```
//! x_0 and x_K [N, D]; weights [K, 2·D, D] and biases [K, 2·D], of each layer first those of h, then those of t; φ is tanh or max(0, ·).
//! float32, sums in float32; float64 through [`reference`]. Rows go through all layers some tens at a time, so that they stay in L2.
//! Source: Srivastava et al. 2015, equation 3.

mod backward;
mod forward;
pub mod reference;

pub use backward::{Backward, backward};
pub use forward::{Forward, forward};

pub use crate::activation::Nonlinearity;
use crate::gemm::outer::SLACK;
use crate::gemm::pack::{Blocks, FromColumns, FromRows};
use crate::{Context, Error, Isa};

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
    /// Stands for the weights: whoever changes them changes it, and then they are packed again.
    pub version: u64,
}

/// Packed forms of one stack's weights, kept by the caller; made when first needed and when the version changes.
#[derive(Debug, Default)]
pub struct Packed {
    forward: Option<(Key, Blocks)>,
    backward: Option<(Key, Blocks)>,
}

type Key = (u64, Shape, Isa);

const NAME: &str = "highway";

/// Rows that go through the stack together: eight tiles.
const ROWS: usize = 48;

impl<F> Stack<'_, F> {
    fn check(&self) -> Result<(), Error> {
        let Shape { width, layers, .. } = self.shape;
        Error::check(NAME, "weight", "K*2*D*D", layers * 2 * width * width, self.weight.len())?;
        self.bias.map_or(Ok(()), |bias| Error::check(NAME, "bias", "K*2*D", layers * 2 * width, bias.len()))
    }
}

impl Packed {
    /// For each layer the blocks of W_hᵀ, then those of W_tᵀ.
    fn forward(&mut self, context: &Context, stack: &Stack) -> &Blocks {
        let key = key(context, stack);
        let kept = self.forward.take().filter(|(made_from, _)| *made_from == key);
        let make = || {
            let (width, lanes) = (stack.shape.width, context.isa().lanes());
            let per_gate = width.div_ceil(lanes);
            Blocks::new(context, stack.shape.layers * 2 * per_gate, width, |index, to| {
                let unit = index % per_gate * lanes;
                let from = stack.weight[(index / per_gate * width + unit) * width..].as_ptr();
                // SAFETY: the weight was checked to hold all its rows.
                unsafe { context.isa().run(FromRows { from, rows: width - unit, k: width, to }) };
            })
        };
        &self.forward.insert(kept.unwrap_or_else(|| (key, make()))).1
    }

    /// For each layer the blocks of W [2·D, D], each gate's rows padded as in a row of gates.
    fn backward(&mut self, context: &Context, stack: &Stack) -> &Blocks {
        let key = key(context, stack);
        let kept = self.backward.take().filter(|(made_from, _)| *made_from == key);
        let make = || {
            let (width, lanes) = (stack.shape.width, context.isa().lanes());
            let (per_layer, column) = (width.div_ceil(lanes), Layout::new(&stack.shape).column);
            Blocks::new(context, stack.shape.layers * per_layer, 2 * column, |index, to| {
                for gate in 0..2 {
                    let (row, unit) = ((index / per_layer * 2 + gate) * width, index % per_layer * lanes);
                    let kernel = FromColumns {
                        from: stack.weight[row * width + unit..].as_ptr(),
                        stride: width,
                        columns: width - unit,
                        k: width,
                        zeros: column - width,
                        to: to.wrapping_add(gate * column * lanes),
                    };
                    // SAFETY: as in `forward`.
                    unsafe { context.isa().run(kernel) };
                }
            })
        };
        &self.backward.insert(kept.unwrap_or_else(|| (key, make()))).1
    }
}

fn key(context: &Context, stack: &Stack) -> Key {
    (stack.version, stack.shape, context.isa())
}

/// Where things lie in what a pass saves: h and t of each layer [K, N, 2·`column`], some slack, then x_1 … x_(K-1) [K-1, N, `column`].
#[derive(Clone, Copy)]
struct Layout {
    /// D rounded up, so that every vector is whole. Units past D hold nothing of meaning.
    column: usize,
    rows: usize,
    layers: usize,
}

const WIDEST: usize = 16;
// The slack after the gates is a whole vector.
const _: () = assert!(SLACK <= WIDEST);

impl Layout {
    fn new(shape: &Shape) -> Layout {
        Layout { column: shape.width.next_multiple_of(WIDEST), rows: shape.rows, layers: shape.layers }
    }

    fn gates(&self, layer: usize, row: usize) -> usize {
        (layer * self.rows + row) * 2 * self.column
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
