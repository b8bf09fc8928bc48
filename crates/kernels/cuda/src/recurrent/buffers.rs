//! The buffers of the passes, as a caller gives them and as the kernels take them (`walk.cuh`).

use crate::{Arguments, View};

/// The buffers of a forward pass, of the plan's type unless said otherwise. None may overlap, except as said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forward {
    /// [B, T, G·H], read: the input's share of all gates, with the biases.
    pub pre: View,
    /// [G·H, H], read.
    pub weight_hh: View,
    /// [H], read, the GRU only: b_hn; absent means zeros.
    pub bias: View,
    /// [B, H], read; absent means zeros. c_0: LSTM only.
    pub h_0: View,
    pub c_0: View,
    /// [B] int64, read, each within 0..=T (other lengths count as the nearest); absent means T. A row ends, and in reverse begins, at its own last step.
    pub lengths: View,
    /// [B, T, H], written; zeros after a row's length.
    pub y: View,
    /// [B, H], written where wanted: the state after each row's last step. c_n: LSTM only.
    pub h_n: View,
    pub c_n: View,
    /// [B, T, G·H], written for backward where wanted: the activated gates. May be `pre`. Not after a row's length.
    pub gates: View,
    /// [B, T, H] float32, written for backward where wanted and the cell keeps something. Not after a row's length.
    pub kept: View,
    /// Words of 32 bits, as many as [`Plan::workspace_len`] says, zeros.
    pub workspace: View,
}

/// The buffers of a backward pass, of the plan's type unless said otherwise. None may overlap, except as said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backward {
    /// As forward left them, read; for the Elman network `gates` is y.
    pub gates: View,
    pub kept: View,
    /// As forward read and wrote them, read. y: not for the LSTM.
    pub weight_hh: View,
    pub y: View,
    pub h_0: View,
    pub c_0: View,
    pub lengths: View,
    /// [B, T, H], [B, H], read; absent means zeros. dc_n: LSTM only.
    pub dy: View,
    pub dh_n: View,
    pub dc_n: View,
    /// [B, T, G·H], written: the gradient of `pre`. May be `gates`, except for the Elman network, if gates are not wanted again.
    pub d_pre: View,
    /// [B, T, H], written: the gradient of the hidden share of n. The GRU only.
    pub d_hidden: View,
    /// [B, H], written where wanted. dc_0: LSTM only.
    pub dh_0: View,
    pub dc_0: View,
    /// As for forward, of the backward plan.
    pub workspace: View,
}

/// `recurrent::Sizes`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    /// B, T, H
    pub(super) dims: [u64; 3],
    pub(super) groups: u32,
    pub(super) blocks: u32,
    pub(super) units: u32,
    pub(super) rows: u32,
    pub(super) parts: u32,
    pub(super) reverse: u32,
}

/// `recurrent::Forward`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ForwardArguments {
    pub(super) pre: View,
    pub(super) weight_hh: View,
    pub(super) bias: View,
    pub(super) h_0: View,
    pub(super) c_0: View,
    pub(super) lengths: View,
    pub(super) y: View,
    pub(super) h_n: View,
    pub(super) c_n: View,
    pub(super) gates: View,
    pub(super) kept: View,
    pub(super) passed: View,
    pub(super) counters: View,
    pub(super) sizes: Sizes,
}

/// `recurrent::Backward`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct BackwardArguments {
    pub(super) gates: View,
    pub(super) kept: View,
    pub(super) weight_hh: View,
    pub(super) y: View,
    pub(super) h_0: View,
    pub(super) c_0: View,
    pub(super) lengths: View,
    pub(super) dy: View,
    pub(super) dh_n: View,
    pub(super) dc_n: View,
    pub(super) d_pre: View,
    pub(super) d_hidden: View,
    pub(super) dh_0: View,
    pub(super) dc_0: View,
    pub(super) passed: View,
    pub(super) counters: View,
    pub(super) sizes: Sizes,
}

// SAFETY: views and sizes in the order of walk.cuh, all of 8 bytes but the last six, which are of 4.
unsafe impl Arguments for ForwardArguments {}
// SAFETY: as above.
unsafe impl Arguments for BackwardArguments {}
