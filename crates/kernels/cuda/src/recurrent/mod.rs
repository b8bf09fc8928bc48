//! The dense recurrences (LSTM, GRU, Elman): how their persistent kernels (`recurrent.cuh`) are launched, and for which sizes.
//!
//! Who computes what of a layer:
//!
//! | | |
//! |---|---|
//! | before, by libtorch | `pre = x · W_ihᵀ + b_ih + b_hh` for all steps (the GRU: without `b_hn`, which is [`Forward::bias`]) |
//! | here | everything that goes step by step, forward and backward, with lengths and direction |
//! | after backward, by libtorch | `dx = d_pre · W_ih`, `dW_ih = d_preᵀ · x`, `db_ih = Σ d_pre`, `dW_hh = d_preᵀ · h_before`, `db_hh = Σ d_pre`, summed over B and T; for the GRU the last third of `dW_hh` and `db_hh` is that of [`Backward::d_hidden`] |
//!
//! `h_before` is y moved on by one step, with h_0 first; after a row's length `d_pre` is zero, so nothing there counts.
//!
//! What runs here is what [`Plan::new`] has a plan for: W_hh, cut into at least 16 units a block, must fit into the shared memory of blocks that can
//! all be on the card at once. At any B and T, forward and backward, that is up to this H:
//!
//! | | LSTM float32 | bfloat16 | GRU float32 | bfloat16 |
//! |---|---|---|---|---|
//! | H200, H100 SXM | 768 | 1600 | 1088 | 2112 |
//! | A100 | 512 | 1088 | 768 | 1536 |
//!
//! Anything larger is libtorch's. Sums are in float32; for float32 the factors on tensor cores are split in two, so that the result is a float32 one.

mod buffers;
mod plan;

pub use buffers::{Backward, Forward};
pub use plan::Plan;

/// A recurrence with kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub op: &'static str,
    /// Gates, G.
    pub gates: usize,
    /// Whether a second state, c, goes along.
    pub has_c: bool,
    /// Whether training keeps [`Forward::kept`].
    pub keeps: bool,
    /// Whether the gradient of the last gate's hidden share is another than that of its input's share ([`Backward::d_hidden`]).
    pub has_d_hidden: bool,
    kernels: Kernels,
}

/// Names by pass, by way, by type.
type Kernels = [[[&'static str; 2]; 2]; 2];

macro_rules! kernels {
    ($name:literal) => {
        [
            [
                [concat!($name, "_forward_cluster_float32"), concat!($name, "_forward_cluster_bfloat16")],
                [concat!($name, "_forward_grid_float32"), concat!($name, "_forward_grid_bfloat16")],
            ],
            [
                [concat!($name, "_backward_cluster_float32"), concat!($name, "_backward_cluster_bfloat16")],
                [concat!($name, "_backward_grid_float32"), concat!($name, "_backward_grid_bfloat16")],
            ],
        ]
    };
}

impl Cell {
    /// Gates i, f, g, o; keeps c.
    pub const LSTM: Cell = Cell { op: "lstm", gates: 4, has_c: true, keeps: true, has_d_hidden: false, kernels: kernels!("lstm") };
    /// Gates r, z, n; keeps m, the hidden share of n.
    pub const GRU: Cell = Cell { op: "gru", gates: 3, has_c: false, keeps: true, has_d_hidden: true, kernels: kernels!("gru") };
    /// Its one activated gate is y: training saves nothing, and backward takes y for [`Backward::gates`].
    pub const ELMAN_TANH: Cell =
        Cell { op: "elman", gates: 1, has_c: false, keeps: false, has_d_hidden: false, kernels: kernels!("elman_tanh") };
    /// As [`Cell::ELMAN_TANH`].
    pub const ELMAN_RELU: Cell = Cell { kernels: kernels!("elman_relu"), ..Cell::ELMAN_TANH };
}

/// Which way through time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    Forward,
    Backward,
}

/// B, T, H. Any of them may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub batch: usize,
    pub time: usize,
    pub hidden: usize,
}
