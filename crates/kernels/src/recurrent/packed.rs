//! Weights in torch's layout, and their packed forms.

use super::layout::Layout;
use super::{Cell, Layer, Shape};
use crate::gemm::Block;
use crate::gemm::pack::{Blocks, FromColumns, FromRows, parts};
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
    made_from: Option<(&'static str, u64, [usize; 2], Isa)>,
    ih: Blocks,
    hh: Blocks,
    /// One row in the layout of gates. Forward only.
    pub(super) bias: Buffer,
}

impl Packed {
    /// Makes sure that the form for the products W·x and W·h is that of `version`.
    pub(super) fn prepare_forward<C: Cell>(&mut self, context: &Context, layer: &Layer) {
        let Layer { shape, weights, version, .. } = layer;
        let key = Some((C::NAME, *version, sizes(shape), context.isa()));
        if self.forward.made_from == key {
            return;
        }
        let layout = Layout::new::<C>(shape);
        let per_gate = shape.hidden.div_ceil(context.isa().lanes());
        let form = Form {
            made_from: key,
            ih: Blocks::new(context, C::gates() * per_gate, shape.input),
            hh: Blocks::new(context, C::gates() * per_gate, shape.hidden),
            bias: bias_row::<C>(context, shape, &layout, weights),
        };
        let source = Source { weights, form: &form };
        let per_matrix = C::gates() * per_gate;
        context.parallel().run(parts(context, 2 * per_matrix), &|part| {
            for index in crate::parallel::share(2 * per_matrix, parts(context, 2 * per_matrix), part) {
                let (to, matrix, k) = source.pick(index / per_matrix == 0, shape);
                let (gate, block) = (index % per_matrix / per_gate, index % per_gate);
                let unit = block * context.isa().lanes();
                let from = matrix[(gate * shape.hidden + unit) * k..].as_ptr();
                // SAFETY: the matrix was checked to hold all its rows; each index fills its own block.
                unsafe { context.isa().run(FromRows { from, rows: shape.hidden - unit, k, to: to.block(index % per_matrix) }) };
            }
        });
        self.forward = form;
    }

    /// Makes sure that the form for the products dgates·W is that of `version`.
    pub(super) fn prepare_backward<C: Cell>(&mut self, context: &Context, layer: &Layer) {
        let Layer { shape, weights, version, .. } = layer;
        let key = Some((C::NAME, *version, sizes(shape), context.isa()));
        if self.backward.made_from == key {
            return;
        }
        let layout = Layout::new::<C>(shape);
        let lanes = context.isa().lanes();
        let (input_blocks, hidden_blocks) = (shape.input.div_ceil(lanes), shape.hidden.div_ceil(lanes));
        let k = C::gates() * layout.column;
        let form = Form {
            made_from: key,
            ih: Blocks::new(context, input_blocks, k),
            hh: Blocks::new(context, hidden_blocks, k),
            bias: Buffer::default(),
        };
        let source = Source { weights, form: &form };
        let count = input_blocks + hidden_blocks;
        context.parallel().run(parts(context, count), &|part| {
            for index in crate::parallel::share(count, parts(context, count), part) {
                let is_input = index < input_blocks;
                let (to, matrix, columns) = source.pick(is_input, shape);
                let block = if is_input { index } else { index - input_blocks };
                let gates = C::COLUMNS.iter().filter_map(|column| if is_input { column.input } else { column.hidden });
                for (place, gate) in gates.enumerate() {
                    let kernel = FromColumns {
                        from: matrix[gate * shape.hidden * columns + block * lanes..].as_ptr(),
                        stride: columns,
                        columns: columns - block * lanes,
                        k: shape.hidden,
                        zeros: layout.column - shape.hidden,
                        to: to.block(block).wrapping_add(place * layout.column * lanes),
                    };
                    // SAFETY: as in `prepare_forward`; each index fills its own block.
                    unsafe { context.isa().run(kernel) };
                }
            }
        });
        self.backward = form;
    }
}

/// The sizes that the packed forms depend on.
fn sizes(shape: &Shape) -> [usize; 2] {
    [shape.input, shape.hidden]
}

/// What the packing tasks share.
#[derive(Clone, Copy)]
struct Source<'a> {
    weights: &'a Weights<'a>,
    form: &'a Form,
}

impl<'a> Source<'a> {
    /// Blocks to fill, the matrix to fill them from, and its columns.
    fn pick(&self, is_input: bool, shape: &Shape) -> (&'a Blocks, &'a [f32], usize) {
        if is_input {
            (&self.form.ih, self.weights.weight_ih, shape.input)
        } else {
            (&self.form.hh, self.weights.weight_hh, shape.hidden)
        }
    }
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
    /// Blocks of the forward form for units from `blocks`: unit by unit, each with all its gates, at their places in a row of gates.
    pub(super) fn gate_blocks<C: Cell>(&self, is_input: bool, layout: &Layout, hidden: usize, blocks: std::ops::Range<usize>) -> Vec<Block> {
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
