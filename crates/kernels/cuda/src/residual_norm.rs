//! How the residual addition with the norm that follows it is launched: residual_norm.cu.
//!
//! Supported: float32 and bfloat16, rows that fit into the shared memory of a block (see [`supports`]): D up to some 14 000 on an H200 and 10 000 on
//! an A100. A thread has four columns at once where D is a multiple of four and tensors lie so that it can.

use crate::{Arguments, Card, Dtype, Error, Launch, Launcher, Shared, View};

/// One call: everything but its tensors. As `quarterturn_kernels::residual_norm`.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub dtype: Dtype,
    /// N
    pub rows: usize,
    /// D
    pub width: usize,
    pub rms: bool,
    pub eps: f32,
}

/// The buffers of a forward pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forward {
    /// [N, D], read.
    pub x: View,
    /// [N, D], read; absent means zeros.
    pub residual: View,
    /// [D], read; absent means ones.
    pub weight: View,
    /// [D], read; absent means zeros.
    pub bias: View,
    /// [N, D], written where it is there: s, which backward reads. May be `x` or `residual`.
    pub sum: View,
    /// [N, D], written.
    pub y: View,
    /// [N, 2] floats, written where they are there: mean (0 for rms) and ρ of each row, for backward.
    pub statistics: View,
}

/// The buffers of a backward pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backward {
    /// [N, D], read: s as forward wrote it.
    pub sum: View,
    /// [D], read; absent means ones.
    pub weight: View,
    /// [N, 2] floats as forward wrote them, read.
    pub statistics: View,
    /// [N, D], read; absent means zeros.
    pub dy: View,
    /// [N, D], read: what comes to s from the stream; absent means zeros.
    pub dsum: View,
    /// [N, D], written: the gradient of x, and of the residual. May be `dy` or `dsum`.
    pub dx: View,
    /// [D], written where they are there.
    pub dweight: View,
    pub dbias: View,
    /// [`workspace_len`] floats; absent where neither `dweight` nor `dbias` is wanted.
    pub workspace: View,
}

const NAME: &str = "residual_norm";
const WARP: usize = 32;
const MOST_WARPS: usize = 16;

/// Whether a row fits; otherwise libtorch's operations are to be used.
pub fn supports(card: &Card, call: &Call) -> bool {
    call.backward_shared(true) <= card.shared_bytes
}

/// Floats that a backward pass needs for `dweight` and `dbias` while it runs.
pub fn workspace_len(card: &Card, call: &Call) -> usize {
    call.backward_blocks(card) * 2 * call.width
}

/// Adds and normalises every row.
///
/// # Safety
/// The views are memory of the launcher, of the call's type, that outlives the launch.
pub unsafe fn forward(launcher: &dyn Launcher, call: &Call, buffers: &Forward) -> Result<(), Error> {
    let &Forward { x, residual, weight, bias, sum, y, statistics } = buffers;
    call.check(&[("x", x), ("y", y)], &[("residual", residual), ("sum", sum)], &[("weight", weight), ("bias", bias)])?;
    if !statistics.is_absent() {
        Error::check(NAME, "statistics", "N*2", 2 * call.rows, statistics.len as usize)?;
    }
    let wide = call.is_wide(&[x, residual, weight, bias, sum, y]);
    let kernel = match (call.dtype, wide) {
        (Dtype::Float32, false) => "residual_norm_forward_float32",
        (Dtype::Float32, true) => "residual_norm_forward_float32x4",
        (Dtype::BFloat16, false) => "residual_norm_forward_bfloat16",
        (Dtype::BFloat16, true) => "residual_norm_forward_bfloat16x4",
    };
    let warps = call.warps(wide);
    // As many blocks as the card can hold, each with its rows.
    let blocks = call.rows.min(launcher.card().multiprocessors * (2048 / (WARP * warps)).min(32));
    let arguments = ForwardArguments { norm: call.arguments(), x, residual, weight, bias, sum, y, statistics };
    let launch = call.launch(kernel, blocks, warps, Shared::default().with(4 * WARP, 4).with(call.width, 4));
    // SAFETY: the arguments are of this kernel; the caller vouches for the memory.
    unsafe { launcher.launch(&launch, arguments.bytes()) }
}

/// The gradients of everything that [`forward`] read.
///
/// # Safety
/// As [`forward`].
pub unsafe fn backward(launcher: &dyn Launcher, call: &Call, buffers: &Backward) -> Result<(), Error> {
    let &Backward { sum, weight, statistics, dy, dsum, dx, dweight, dbias, workspace } = buffers;
    let card = launcher.card();
    call.check(&[("sum", sum), ("dx", dx)], &[("dy", dy), ("dsum", dsum)], &[("weight", weight), ("dweight", dweight), ("dbias", dbias)])?;
    Error::check(NAME, "statistics", "N*2", 2 * call.rows, statistics.len as usize)?;
    let columns = !(dweight.is_absent() && dbias.is_absent());
    if columns {
        Error::check(NAME, "workspace", "workspace_len", workspace_len(&card, call), workspace.len as usize)?;
    }
    let parts = if columns { workspace } else { View::default() };
    let wide = call.is_wide(&[sum, weight, dy, dsum, dx, parts]);
    let (kernel, columns_kernel) = match (call.dtype, wide) {
        (Dtype::Float32, false) => ("residual_norm_backward_float32", "residual_norm_columns_float32"),
        (Dtype::Float32, true) => ("residual_norm_backward_float32x4", "residual_norm_columns_float32"),
        (Dtype::BFloat16, false) => ("residual_norm_backward_bfloat16", "residual_norm_columns_bfloat16"),
        (Dtype::BFloat16, true) => ("residual_norm_backward_bfloat16x4", "residual_norm_columns_bfloat16"),
    };
    let blocks = call.backward_blocks(&card);
    let arguments = BackwardArguments { norm: call.arguments(), sum, weight, statistics, dy, dsum, dx, parts };
    let mut launch = call.launch(kernel, blocks, call.warps(wide), Shared::default());
    launch.shared = call.backward_shared(columns);
    // SAFETY: the arguments are of this kernel; the caller vouches for the memory.
    unsafe { launcher.launch(&launch, arguments.bytes())? };
    if !columns {
        return Ok(());
    }
    let arguments = ColumnsArguments { width: call.width as u64, parts_count: blocks as u64, parts, dweight, dbias };
    let grid = call.width.div_ceil(WARP) as u32;
    let shared = Shared::default().with(2 * MOST_WARPS * WARP, 4).bytes();
    let launch = Launch { kernel: columns_kernel, grid, block: (MOST_WARPS * WARP) as u32, cluster: 1, cooperative: false, shared };
    // SAFETY: as above.
    unsafe { launcher.launch(&launch, arguments.bytes()) }
}

impl Call {
    fn check(&self, needed: &[(&str, View)], rows: &[(&str, View)], columns: &[(&str, View)]) -> Result<(), Error> {
        for (name, view) in needed {
            Error::check(NAME, name, "N*D", self.rows * self.width, view.len as usize)?;
        }
        for (views, letters, expected) in [(rows, "N*D", self.rows * self.width), (columns, "D", self.width)] {
            for (name, view) in views.iter().filter(|(_, view)| !view.is_absent()) {
                Error::check(NAME, name, letters, expected, view.len as usize)?;
            }
        }
        Ok(())
    }

    fn is_wide(&self, views: &[View]) -> bool {
        self.width.is_multiple_of(4) && views.iter().all(|view| view.address.is_multiple_of(4 * self.dtype.size() as u64))
    }

    /// Warps for a row: as many as have something to do.
    fn warps(&self, wide: bool) -> usize {
        self.width.div_ceil(WARP * if wide { 4 } else { 1 }).clamp(1, MOST_WARPS)
    }

    /// Each leaves sums of its own for the weights, so no more than keep the card busy.
    fn backward_blocks(&self, card: &Card) -> usize {
        let held = (card.shared_bytes / self.backward_shared(true).max(1))
            .clamp(1, 2048 / (WARP * self.warps(self.width.is_multiple_of(4))))
            .min(16);
        self.rows.min(card.multiprocessors * held)
    }

    fn backward_shared(&self, columns: bool) -> usize {
        let sums = if columns { self.width } else { 0 };
        Shared::default().with(4 * WARP, 4).with(self.width, 4).with(self.width, 4).with(sums, 4).with(sums, 4).bytes()
    }

    fn launch(&self, kernel: &'static str, blocks: usize, warps: usize, shared: Shared) -> Launch {
        let grid = if self.width == 0 { 0 } else { blocks as u32 };
        Launch { kernel, grid, block: (warps * WARP) as u32, cluster: 1, cooperative: false, shared: shared.bytes() }
    }

    fn arguments(&self) -> Norm {
        Norm { rows: self.rows as u64, width: self.width as u64, eps: self.eps, rms: u32::from(self.rms) }
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Norm {
    rows: u64,
    width: u64,
    eps: f32,
    rms: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct ForwardArguments {
    norm: Norm,
    x: View,
    residual: View,
    weight: View,
    bias: View,
    sum: View,
    y: View,
    statistics: View,
}

// SAFETY: plain, whole words, as `Forward` of residual_norm.cu.
unsafe impl Arguments for ForwardArguments {}

#[repr(C)]
#[derive(Clone, Copy)]
struct BackwardArguments {
    norm: Norm,
    sum: View,
    weight: View,
    statistics: View,
    dy: View,
    dsum: View,
    dx: View,
    parts: View,
}

// SAFETY: plain, whole words, as `Backward` of residual_norm.cu.
unsafe impl Arguments for BackwardArguments {}

#[repr(C)]
#[derive(Clone, Copy)]
struct ColumnsArguments {
    width: u64,
    parts_count: u64,
    parts: View,
    dweight: View,
    dbias: View,
}

// SAFETY: plain, whole words, as `Columns` of residual_norm.cu.
unsafe impl Arguments for ColumnsArguments {}
