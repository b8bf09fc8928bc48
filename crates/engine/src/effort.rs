//! The rule of small work: what is quicker on one thread than with a team that may have to be woken first. Nothing else depends on it.
use crate::call::Call;
use crate::op::Op;
use crate::threads::Alone;
use crate::{crew, shim, threads};
use quarterturn_kernels::few_rows::MOST;
use std::cell::Cell;
use tch::Tensor;

/// Multiply-adds below which a product runs on one thread. About 20 µs of one; waking a thread takes 40 to 100. Measurements: docs/log.md.
const PRODUCT: usize = 1 << 20;
/// Elements up to which libtorch's loops stay on one thread by themselves.
const ELEMENTS: usize = 32 << 10;

thread_local! {
    /// Whether something large was recorded for gradients: since the last backward pass, and between that one and the one before.
    static LARGE: Cell<[bool; 2]> = const { Cell::new([false; 2]) };
    /// Whether a team was wanted since someone began to watch; absent while nobody does.
    static WANTED: Cell<Option<bool>> = const { Cell::new(None) };
}

/// One thread for an operation that is small, as long as it is held. A backward pass is small if nothing recorded for this one or the one
/// before was large: a graph may have been kept.
pub fn alone(call: &Call) -> Option<Alone> {
    if threads::current() == 1 || crew::is_open() {
        return None;
    }
    let small = match call.op {
        Op::Matmul | Op::Linear => is_small(call),
        Op::Grad => {
            let [now, before] = LARGE.get();
            LARGE.set([false, now]);
            !now && !before
        }
        _ => false,
    };
    small.then(Alone::new)
}

/// Remembers what a backward pass will go through.
pub fn note(call: &Call) {
    if threads::current() > 1 && shim::grad_enabled() && !is_small(call) {
        LARGE.set([true, LARGE.get()[1]]);
    }
}

/// Runs a body, and says whether anything in it would have been quicker with libtorch's team.
pub fn watched<T>(body: impl FnOnce() -> T) -> (T, bool) {
    let before = WANTED.replace(Some(false));
    let made = body();
    (made, WANTED.replace(before) == Some(true))
}

/// Takes note of an operation, if someone watches.
pub fn watch(call: &Call) {
    if WANTED.get() == Some(false) && wants_team(call) {
        WANTED.set(Some(true));
    }
}

/// Whether several threads would do the operation quicker without a crew: what is neither small nor ours for a few rows is libtorch's.
fn wants_team(call: &Call) -> bool {
    let rows = |x: &Tensor, after: usize| x.size().iter().rev().skip(after).product::<i64>() <= MOST as i64;
    match (call.op, call.optional(0)) {
        (Op::Linear, Some(x)) if rows(x, 1) => false,
        (Op::Lstm | Op::Gru | Op::Rnn, Some(x)) if rows(x, 1) => false,
        // By what is read of the table.
        (Op::Embedding, Some(weight)) => {
            call.optional(1).is_none_or(|index| index.numel() * weight.size().last().map_or(0, |width| *width as usize) > ELEMENTS)
        }
        _ => !is_small(call),
    }
}

fn is_small(call: &Call) -> bool {
    let length = |x: &Tensor, from_last: usize| x.size().iter().rev().nth(from_last).map_or(1, |size| usize::try_from(*size).unwrap_or(0));
    match (call.op, call.optional(0), call.optional(1)) {
        (Op::Linear, Some(x), Some(weight)) => x.numel() * length(weight, 1) < PRODUCT,
        // Leading axes are broadcast, so either may be the one that has them.
        (Op::Matmul, Some(a), Some(b)) => {
            let (rows, columns) = (if a.dim() > 1 { length(a, 1) } else { 1 }, if b.dim() > 1 { length(b, 0) } else { 1 });
            (a.numel() * columns).max(b.numel() * rows) < PRODUCT
        }
        // Their work is not seen from sizes alone.
        (
            Op::Einsum
            | Op::Qr
            | Op::Svd
            | Op::Solve
            | Op::ScaledDotProductAttention
            | Op::Conv1d
            | Op::Conv2d
            | Op::ConvTranspose1d
            | Op::ConvTranspose2d
            | Op::CtcLoss
            | Op::Lstm
            | Op::Gru
            | Op::Rnn
            | Op::LstmStack
            | Op::GruStack
            | Op::Highway
            | Op::ResidualMlp
            | Op::Checkpoint
            | Op::CustomGrad
            | Op::Scan,
            ..,
        ) => false,
        _ => call.inputs.iter().flatten().all(|x| x.numel() <= ELEMENTS),
    }
}
