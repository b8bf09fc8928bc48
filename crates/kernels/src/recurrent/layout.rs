//! Sizes, options and the layout of what a pass saves.

use std::ops::Range;

use super::{Cell, Weights};
use crate::bfloat16::{Number, Numbers};
use crate::gemm::outer::SLACK;
use crate::pool::Buffer;
use crate::{Context, Error};

/// The sizes of one layer and direction. Any of them may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// B
    pub batch: usize,
    /// T
    pub time: usize,
    /// I
    pub input: usize,
    /// H
    pub hidden: usize,
}

/// How the sequence is read; the same in forward and backward.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Runs from the last step to the first; `y[:, t]` is still the state after reading `x[:, t]`.
    pub reverse: bool,
    /// [B], each within 0..=T: row b has this many steps. Later steps give y = 0, touch no state and no gradient, whatever x holds there.
    /// A reversed pass starts at the row's own last step.
    pub lengths: Option<&'a [i64]>,
    /// Saves memory in training: forward keeps only c after every that many steps (for cells without c, nothing), and backward runs each
    /// such stretch forward once more. At least 1; about the root of T is best. Dense recurrences only.
    pub recompute: Option<usize>,
}

/// One layer in one direction: everything about a call but its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a, F = f32> {
    pub shape: Shape,
    pub options: Options<'a>,
    pub weights: Weights<'a, F>,
    /// Stands for the weights: whoever changes them changes it, and then they are packed again.
    pub version: u64,
}

impl<F> Layer<'_, F> {
    /// Steps that are saved, or computed again, at a time.
    pub(crate) fn stretch(&self) -> usize {
        self.options.recompute.unwrap_or(self.shape.time).min(self.shape.time)
    }

    pub(crate) fn check(&self, op: &'static str, gates: usize) -> Result<(), Error> {
        self.options.check(op, &self.shape)?;
        self.weights.check(op, gates, &self.shape)
    }
}

impl Shape {
    pub(crate) fn x_len(&self) -> usize {
        self.batch * self.time * self.input
    }

    pub(crate) fn y_len(&self) -> usize {
        self.batch * self.time * self.hidden
    }

    pub(crate) fn state_len(&self) -> usize {
        self.batch * self.hidden
    }
}

impl Options<'_> {
    pub(crate) fn check(&self, op: &'static str, shape: &Shape) -> Result<(), Error> {
        if self.recompute == Some(0) {
            return Err(Error::new(op, "recompute must be at least 1, got 0"));
        }
        let Some(lengths) = self.lengths else { return Ok(()) };
        Error::check(op, "lengths", "B", shape.batch, lengths.len())?;
        match lengths.iter().find(|&&len| usize::try_from(len).map_or(true, |len| len > shape.time)) {
            None => Ok(()),
            Some(len) => Err(Error::new(op, format!("lengths must lie within 0..={}, got {len}", shape.time))),
        }
    }
}

/// The order of steps: `s` counts them as they are computed, `t` is their place in x and y.
#[derive(Clone, Copy)]
pub(crate) struct Steps<'a> {
    pub(crate) time: usize,
    options: Options<'a>,
}

impl<'a> Steps<'a> {
    pub(crate) fn new(time: usize, options: Options<'a>) -> Self {
        Steps { time, options }
    }

    pub(crate) fn t(&self, s: usize) -> usize {
        if self.options.reverse { self.time - 1 - s } else { s }
    }

    /// The places in x and y of some steps.
    pub(crate) fn times(&self, steps: &Range<usize>) -> Range<usize> {
        if self.options.reverse { self.time - steps.end..self.time - steps.start } else { steps.clone() }
    }

    /// The steps that row `b` takes part in.
    pub(crate) fn of_row(&self, b: usize) -> Range<usize> {
        let len = self.options.lengths.map_or(self.time, |lengths| usize::try_from(lengths[b]).unwrap_or(0));
        if self.options.reverse { self.time - len..self.time } else { 0..len }
    }

    /// The rows among `rows`, and the steps among `steps`, that are real: by row, then by step.
    pub(crate) fn active(&self, rows: Range<usize>, steps: Range<usize>) -> Vec<(usize, usize)> {
        let mut active = Vec::with_capacity(rows.len() * steps.len());
        for b in rows {
            let own = self.of_row(b);
            active.extend((own.start.max(steps.start)..own.end.min(steps.end)).map(|s| (b, s)));
        }
        active
    }
}

/// Where the state before a step is found, null where absent.
pub(crate) struct Before<'a> {
    shape: Shape,
    steps: Steps<'a>,
    /// [B, T, `y_stride`], of which H are this layer's.
    y: Numbers,
    y_stride: usize,
    /// [B, H]
    h_0: Numbers,
    /// Rows of c before the first step of the pass, `c_stride` numbers apart.
    c: Numbers,
    c_stride: usize,
    /// [H], in place of a state that is absent.
    zeros: Buffer,
}

impl<'a> Before<'a> {
    /// For a pass from the first step; rows of y are `y_stride` floats apart.
    pub(crate) fn new<F: Number>(
        context: &Context,
        layer: &Layer<'a, F>,
        (y, y_stride): (*const F, usize),
        h_0: Option<&[F]>,
        c_0: Option<&[F]>,
    ) -> Self {
        let Layer { shape, options, .. } = *layer;
        let mut zeros = context.pool().take(shape.hidden);
        zeros.fill(0.0);
        Before {
            shape,
            steps: Steps::new(shape.time, options),
            y: y.into(),
            y_stride,
            h_0: Numbers::of(h_0),
            c: Numbers::of(c_0),
            c_stride: shape.hidden,
            zeros,
        }
    }

    /// The same for a pass that starts later, where rows of c are at `c`.
    pub(crate) fn with_c(self, c: *const f32, c_stride: usize) -> Self {
        Before { c: c.into(), c_stride, ..self }
    }

    /// The H numbers of h of row `b` before its step `s`.
    pub(crate) fn h(&self, s: usize, b: usize) -> Numbers {
        if s > self.steps.of_row(b).start {
            self.y.at((b * self.shape.time + self.steps.t(s - 1)) * self.y_stride)
        } else {
            self.or_zeros(self.h_0, b * self.shape.hidden)
        }
    }

    /// The H numbers of c of row `b` before the pass.
    pub(crate) fn c(&self, b: usize) -> Numbers {
        self.or_zeros(self.c, b * self.c_stride)
    }

    fn or_zeros(&self, state: Numbers, at: usize) -> Numbers {
        if state.is_null() { self.zeros.as_ptr().into() } else { state.at(at) }
    }
}

/// Where things lie in rows of padded units.
///
/// What backward needs of each step, as computed: gates [T, B, `gates_stride`], then for cells with c: c after each [T, B, `state_stride`].
/// Where steps are recomputed, T is that of one stretch; forward saves only c after each but the last, [stretches - 1, B, `state_stride`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// From one column of gates to the next: H rounded up, so that every vector is whole. Units past H hold nothing of meaning.
    pub(crate) column: usize,
    pub(crate) gates_stride: usize,
    pub(crate) state_stride: usize,
    batch: usize,
    time: usize,
    has_c: bool,
}

/// Units are padded to the widest vector, so that the layout does not depend on the instruction set.
const WIDEST: usize = 16;
// The slack after the gates is a whole vector, so that c after it stays aligned.
const _: () = assert!(SLACK <= WIDEST);

impl Layout {
    /// For `time` steps.
    pub(crate) fn new<C: Cell>(shape: &Shape, time: usize) -> Layout {
        let column = shape.hidden.next_multiple_of(WIDEST);
        Layout {
            column,
            gates_stride: spread(C::COLUMNS.len() * column),
            state_stride: spread(column),
            batch: shape.batch,
            time,
            has_c: C::HAS_C,
        }
    }

    /// Floats in the saved gates of all steps; one vector more, since tiles read a little past the last unit.
    pub(crate) fn gates_len(&self) -> usize {
        self.time * self.batch * self.gates_stride + WIDEST
    }

    pub(crate) fn len(&self) -> usize {
        self.gates_len() + if self.has_c { self.time * self.batch * self.state_stride } else { 0 }
    }

    pub(crate) fn gates(&self, s: usize, b: usize) -> usize {
        (s * self.batch + b) * self.gates_stride
    }

    pub(crate) fn c(&self, s: usize, b: usize) -> usize {
        self.gates_len() + (s * self.batch + b) * self.state_stride
    }
}

/// Rows a multiple of 2 KB apart would all fall into the same few lines of L1; one cache line more spreads them.
fn spread(len: usize) -> usize {
    if len > 0 && len.is_multiple_of(512) { len + WIDEST } else { len }
}

/// Floats that a forward pass saves for its backward pass.
pub(crate) fn reserve_len<C: Cell>(shape: &Shape, options: Options) -> usize {
    let layout = Layout::new::<C>(shape, shape.time);
    match options.recompute {
        None => layout.len(),
        Some(_) if !C::HAS_C || shape.time == 0 => 0,
        Some(stretch) => (shape.time.div_ceil(stretch.max(1)) - 1) * shape.batch * layout.state_stride,
    }
}
