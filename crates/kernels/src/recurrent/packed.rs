//! Weights in torch's layout, and their packed forms.

use super::layout::Layout;
use super::{Cell, Column, Layer, Shape};
use crate::bfloat16::{Number, Widened, pairs};
use crate::gemm::Block;
use crate::gemm::pack::{Blocks, FromColumns, FromRows};
use crate::pool::Buffer;
use crate::{Context, Error, Isa};

/// The weights of one layer and direction, as torch lays them out: G gates (LSTM `i, f, g, o`; GRU `r, z, n`; one for Elman) one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a, F = f32> {
    /// [G·H, I]
    pub weight_ih: &'a [F],
    /// [G·H, H]
    pub weight_hh: &'a [F],
    /// [G·H]; absent means zeros.
    pub bias_ih: Option<&'a [F]>,
    /// [G·H]; absent means zeros.
    pub bias_hh: Option<&'a [F]>,
}

impl<F> Weights<'_, F> {
    pub(crate) fn check(&self, op: &'static str, gates: usize, shape: &Shape) -> Result<(), Error> {
        let rows = gates * shape.hidden;
        Error::check(op, "weight_ih", &format!("{gates}*H*I"), rows * shape.input, self.weight_ih.len())?;
        Error::check(op, "weight_hh", &format!("{gates}*H*H"), rows * shape.hidden, self.weight_hh.len())?;
        for (name, bias) in [("bias_ih", self.bias_ih), ("bias_hh", self.bias_hh)] {
            if let Some(bias) = bias {
                Error::check(op, name, &format!("{gates}*H"), rows, bias.len())?;
            }
        }
        Ok(())
    }
}

/// Packed forms of one layer's weights, for inference kept as long as the weights stay the same.
///
/// Each form is made when a pass first needs it and again only when the caller's version, the sizes or the instruction set changed.
/// Two different weights must not come with the same version.
#[derive(Debug, Default)]
pub struct Packed {
    pub(super) forward: Form,
    pub(super) backward: Form,
}

/// `weight_ih` and `weight_hh` in blocks, and the sums of the biases.
#[derive(Debug, Default)]
pub(super) struct Form {
    made_from: Option<Key>,
    ih: Blocks,
    hh: Blocks,
    /// One row in the layout of gates. Forward only.
    pub(super) bias: Buffer,
}

impl Packed {
    /// Makes sure that the form for the products W·x and W·h is that of the layer's version.
    pub(super) fn prepare_forward<C: Cell, F: Number>(&mut self, context: &Context, layer: &Layer<F>) {
        let key = key::<C, F>(context, layer);
        if self.forward.made_from.as_ref() != Some(&key) {
            let widened = layer.weights.widened(context);
            self.forward =
                Form { made_from: Some(key), ..Form::forward::<C>(context, &layer.shape, &widened.as_weights(), pairs::<F>(context)) };
        }
    }

    /// Makes sure that the form for the products dgates·W is that of the layer's version.
    pub(super) fn prepare_backward<C: Cell, F: Number>(&mut self, context: &Context, layer: &Layer<F>) {
        let key = key::<C, F>(context, layer);
        if self.backward.made_from.as_ref() != Some(&key) {
            let widened = layer.weights.widened(context);
            self.backward =
                Form { made_from: Some(key), ..Form::backward::<C>(context, &layer.shape, &widened.as_weights(), pairs::<F>(context)) };
        }
    }
}

/// Weights as float32.
struct WidenedWeights<'a> {
    weight_ih: Widened<'a>,
    weight_hh: Widened<'a>,
    bias_ih: Option<Widened<'a>>,
    bias_hh: Option<Widened<'a>>,
}

impl<'a, F: Number> Weights<'a, F> {
    fn widened(&self, context: &Context) -> WidenedWeights<'a> {
        let of = |weight: &'a [F]| Widened::new(context, weight);
        WidenedWeights {
            weight_ih: of(self.weight_ih),
            weight_hh: of(self.weight_hh),
            bias_ih: self.bias_ih.map(of),
            bias_hh: self.bias_hh.map(of),
        }
    }
}

impl WidenedWeights<'_> {
    fn as_weights(&self) -> Weights<'_> {
        let WidenedWeights { weight_ih, weight_hh, bias_ih, bias_hh } = self;
        Weights { weight_ih, weight_hh, bias_ih: bias_ih.as_deref(), bias_hh: bias_hh.as_deref() }
    }
}

impl Form {
    fn forward<C: Cell>(context: &Context, shape: &Shape, weights: &Weights, pairs: bool) -> Form {
        let (lanes, hidden) = (context.isa().lanes(), shape.hidden);
        let per_gate = hidden.div_ceil(lanes);
        let pack = |matrix: &[f32], k: usize| {
            let blocks = Blocks::new(context, C::gates() * per_gate, k, |index, to| {
                let (gate, unit) = (index / per_gate, index % per_gate * lanes);
                let from = matrix[(gate * hidden + unit) * k..].as_ptr();
                // SAFETY: the matrix was checked to hold all its rows.
                unsafe { context.isa().run(FromRows { from, rows: hidden - unit, k, to }) };
            });
            if pairs { blocks.into_pairs(context) } else { blocks }
        };
        let bias = bias_row::<C>(context, shape, &Layout::new::<C>(shape, 0), weights);
        Form { made_from: None, ih: pack(weights.weight_ih, shape.input), hh: pack(weights.weight_hh, hidden), bias }
    }

    fn backward<C: Cell>(context: &Context, shape: &Shape, weights: &Weights, pairs: bool) -> Form {
        let (lanes, hidden, column) = (context.isa().lanes(), shape.hidden, Layout::new::<C>(shape, 0).column);
        let pack = |matrix: &[f32], columns: usize, gate: fn(&Column) -> Option<usize>| {
            let blocks = Blocks::new(context, columns.div_ceil(lanes), C::gates() * column, |index, to| {
                for (place, gate) in C::COLUMNS.iter().filter_map(gate).enumerate() {
                    let kernel = FromColumns {
                        from: matrix[gate * hidden * columns + index * lanes..].as_ptr(),
                        stride: columns,
                        columns: columns - index * lanes,
                        k: hidden,
                        zeros: column - hidden,
                        to: to.wrapping_add(place * column * lanes),
                    };
                    // SAFETY: as in `prepare_forward`.
                    unsafe { context.isa().run(kernel) };
                }
            });
            if pairs { blocks.into_pairs(context) } else { blocks }
        };
        let (ih, hh) =
            (pack(weights.weight_ih, shape.input, |column| column.input), pack(weights.weight_hh, hidden, |column| column.hidden));
        Form { made_from: None, ih, hh, bias: Buffer::default() }
    }
}

/// What the packed forms depend on.
type Key = (&'static str, u64, [usize; 2], Isa, bool);

fn key<C: Cell, F: Number>(context: &Context, layer: &Layer<F>) -> Key {
    (C::NAME, layer.version, [layer.shape.input, layer.shape.hidden], context.isa(), F::HALF)
}

/// bias_ih + bias_hh in the layout of a row of gates.
fn bias_row<C: Cell>(context: &Context, shape: &Shape, layout: &Layout, weights: &Weights) -> Buffer {
    let mut row = context.pool().take(layout.gates_stride);
    row.fill(0.0);
    for (place, column) in C::COLUMNS.iter().enumerate() {
        for (gate, bias) in [(column.input, weights.bias_ih), (column.hidden, weights.bias_hh)] {
            let (Some(gate), Some(bias)) = (gate, bias) else { continue };
            for unit in 0..shape.hidden {
                row[place * layout.column + unit] += bias[gate * shape.hidden + unit];
            }
        }
    }
    row
}

impl Form {
    /// Whether the products are of pairs of bfloat16.
    pub(super) fn are_pairs(&self) -> bool {
        self.hh.are_pairs()
    }

    /// Factors of a sum of a product with `weight_ih` or `weight_hh`.
    pub(super) fn rows(&self, is_input: bool) -> usize {
        if is_input { self.ih.rows() } else { self.hh.rows() }
    }

    /// Blocks of the forward form for units from `blocks`: unit by unit, each with all its gates, at their places in a row of gates.
    pub(super) fn gate_blocks<C: Cell>(
        &self,
        is_input: bool,
        layout: &Layout,
        hidden: usize,
        blocks: std::ops::Range<usize>,
    ) -> Vec<Block> {
        let matrix = if is_input { &self.ih } else { &self.hh };
        let per_gate = hidden.div_ceil(matrix.lanes().max(1));
        let places: Vec<(usize, usize)> = C::COLUMNS
            .iter()
            .enumerate()
            .filter_map(|(place, column)| if is_input { column.input } else { column.hidden }.map(|gate| (place, gate)))
            .collect();
        blocks
            .flat_map(|block| {
                places.iter().map(move |&(place, gate)| Block {
                    b: matrix.block(gate * per_gate + block),
                    stride: matrix.lanes(),
                    offset: place * layout.column + block * matrix.lanes(),
                    columns: matrix.lanes(),
                })
            })
            .collect()
    }

    /// Blocks of the backward form: columns of dx (whose rows have `columns` of them) or of dh (which is padded).
    pub(super) fn plain_blocks(&self, is_input: bool, columns: usize, blocks: std::ops::Range<usize>) -> Vec<Block> {
        let matrix = if is_input { &self.ih } else { &self.hh };
        blocks.map(|block| matrix.plain(block, columns)).collect()
    }
}
