//! How the recurrences without hidden products are launched: scan.cu, mingru.cu, minlstm.cu, all over linear.cuh.
//!
//! Supported: every size, float32 and bfloat16, forward and backward, with lengths and in either direction. Training saves nothing but what is there anyway, the
//! inputs and y: gates are activated again on the way back. The linear map that makes the pre-activations of minGRU and minLSTM, with its
//! bias, and its gradients are libtorch's.
//!
//! A thread has two units where H is even, tensors lie so that both can be read at once, and threads are plenty; time is split into parts, which
//! costs a second reading, where they are few. Where the product of a over a part leaves float32's range, so does the state, whatever it was.

use crate::{Arguments, Card, Dtype, Error, Launch, Launcher, Shared, View};

/// Which recurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// `y_t = a_t ⊙ y_(t-1) + b_t`
    Scan,
    /// The same over complex numbers, real and imaginary part side by side.
    ScanComplex,
    MinGru(Candidate),
    MinLstm(Candidate),
}

/// g, what makes the candidate of its pre-activation; as in `quarterturn_kernels::mingru`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Candidate {
    #[default]
    Linear,
    Positive,
}

/// One call: everything but its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub cell: Cell,
    pub dtype: Dtype,
    /// B
    pub batch: usize,
    /// T
    pub time: usize,
    /// H, in numbers
    pub hidden: usize,
    pub reverse: bool,
    /// [B] of int64, each within 0..=T, which the caller has checked; absent: T each.
    pub lengths: View,
}

/// The buffers of a forward pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forward<'a> {
    /// Read. For a scan a and b, each [B, T, H]; for the others one tensor [B, T, G·H].
    pub inputs: &'a [View],
    /// [B, H], read; absent means zeros.
    pub y_0: View,
    /// [B, T, H], written.
    pub y: View,
    /// [B, H], written where it is there.
    pub y_n: View,
    /// [`workspace_len`] floats.
    pub workspace: View,
}

/// The buffers of a backward pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backward<'a> {
    /// As given to forward, read.
    pub inputs: &'a [View],
    /// As given to forward, read.
    pub y_0: View,
    /// As forward wrote it, read.
    pub y: View,
    /// [B, T, H], read; absent means zeros.
    pub dy: View,
    /// [B, H], read; absent means zeros.
    pub dy_n: View,
    /// As `inputs`, written.
    pub dinputs: &'a [View],
    /// [B, H], written where it is there.
    pub dy_0: View,
    /// [`workspace_len`] floats.
    pub workspace: View,
}

/// Floats that either pass needs while it runs.
pub fn workspace_len(card: &Card, call: &Call) -> usize {
    (Split::new(card, call, 1).parts - 1) * call.channels() * 2 * call.cell.parts()
}

/// Runs over all steps.
///
/// # Safety
/// The views are memory of the launcher, of the call's type, that outlives the launch; [`Call::lengths`] are within 0..=T.
pub unsafe fn forward(launcher: &dyn Launcher, call: &Call, buffers: &Forward) -> Result<(), Error> {
    // SAFETY: passed on from the caller.
    unsafe {
        match call.cell.inputs() {
            2 => forward_of::<2>(launcher, call, buffers),
            _ => forward_of::<3>(launcher, call, buffers),
        }
    }
}

/// The gradients of the inputs and of the initial state.
///
/// # Safety
/// As [`forward`].
pub unsafe fn backward(launcher: &dyn Launcher, call: &Call, buffers: &Backward) -> Result<(), Error> {
    // SAFETY: passed on from the caller.
    unsafe {
        match call.cell.inputs() {
            2 => backward_of::<2>(launcher, call, buffers),
            _ => backward_of::<3>(launcher, call, buffers),
        }
    }
}

impl Cell {
    fn name(self) -> &'static str {
        match self {
            Cell::Scan | Cell::ScanComplex => "scan",
            Cell::MinGru(_) => "mingru",
            Cell::MinLstm(_) => "minlstm",
        }
    }

    /// Inputs per unit and step.
    fn inputs(self) -> usize {
        if matches!(self, Cell::MinLstm(_)) { 3 } else { 2 }
    }

    /// Elements of a number.
    fn parts(self) -> usize {
        if self == Cell::ScanComplex { 2 } else { 1 }
    }

    fn positive(self) -> bool {
        matches!(self, Cell::MinGru(Candidate::Positive) | Cell::MinLstm(Candidate::Positive))
    }
}

/// The kernels of a cell, a type and a width: forward, its totals, backward, its totals.
type Names = [&'static str; 4];

macro_rules! names {
    ($name:literal, $suffix:literal) => {
        [
            concat!($name, "_forward_", $suffix),
            concat!($name, "_forward_totals_", $suffix),
            concat!($name, "_backward_", $suffix),
            concat!($name, "_backward_totals_", $suffix),
        ]
    };
}

fn names(cell: Cell, dtype: Dtype, wide: bool) -> Names {
    match (cell, dtype, wide) {
        (Cell::Scan, Dtype::Float32, false) => names!("scan", "float32"),
        (Cell::Scan, Dtype::Float32, true) => names!("scan", "float32x2"),
        (Cell::Scan, Dtype::BFloat16, false) => names!("scan", "bfloat16"),
        (Cell::Scan, Dtype::BFloat16, true) => names!("scan", "bfloat16x2"),
        (Cell::ScanComplex, Dtype::Float32, _) => names!("scan_complex", "float32"),
        (Cell::ScanComplex, Dtype::BFloat16, _) => names!("scan_complex", "bfloat16"),
        (Cell::MinGru(_), Dtype::Float32, false) => names!("mingru", "float32"),
        (Cell::MinGru(_), Dtype::Float32, true) => names!("mingru", "float32x2"),
        (Cell::MinGru(_), Dtype::BFloat16, false) => names!("mingru", "bfloat16"),
        (Cell::MinGru(_), Dtype::BFloat16, true) => names!("mingru", "bfloat16x2"),
        (Cell::MinLstm(_), Dtype::Float32, false) => names!("minlstm", "float32"),
        (Cell::MinLstm(_), Dtype::Float32, true) => names!("minlstm", "float32x2"),
        (Cell::MinLstm(_), Dtype::BFloat16, false) => names!("minlstm", "bfloat16"),
        (Cell::MinLstm(_), Dtype::BFloat16, true) => names!("minlstm", "bfloat16x2"),
    }
}

impl Call {
    fn channels(&self) -> usize {
        self.batch * self.hidden
    }

    /// Elements of [B, T, H].
    fn len(&self) -> usize {
        self.channels() * self.time * self.cell.parts()
    }

    fn state_len(&self) -> usize {
        self.channels() * self.cell.parts()
    }

    fn check(&self, views: &[(&str, View)], states: &[(&str, View)]) -> Result<(), Error> {
        let op = self.cell.name();
        for (what, letters, expected) in [(views, "B*T*H", self.len()), (states, "B*H", self.state_len())] {
            for (name, view) in what {
                if !view.is_absent() {
                    Error::check(op, name, letters, expected, view.len as usize)?;
                }
            }
        }
        if self.lengths.is_absent() { Ok(()) } else { Error::check(op, "lengths", "B", self.batch, self.lengths.len as usize) }
    }

    /// Each input of unit 0 at the first step, and from a step to the next.
    fn inputs<const N: usize>(&self, given: &[View]) -> Result<([View; N], usize), Error> {
        let op = self.cell.name();
        if given.len() == N {
            for view in given {
                Error::check(op, "each input", "B*T*H", self.len(), view.len as usize)?;
            }
            return Ok((std::array::from_fn(|i| given[i]), self.hidden * self.cell.parts()));
        }
        let [whole] = given else {
            return Err(Error::Shape { op, message: format!("there must be 1 or {N} inputs, got {}", given.len()) });
        };
        Error::check(op, "the input", &format!("B*T*{N}*H"), self.len() * N, whole.len as usize)?;
        let columns = |i: usize| {
            let before = if self.len() == 0 { 0 } else { i * self.hidden };
            View { address: whole.address + (before * self.dtype.size()) as u64, len: whole.len - before as u64 }
        };
        Ok((std::array::from_fn(columns), N * self.hidden))
    }

    /// Whether a thread can have two units: two elements of each tensor can be read at once. Those of a complex number always are.
    fn is_even(&self, views: &[View]) -> Result<bool, Error> {
        let pair = 2 * self.dtype.size() as u64;
        let aligned = views.iter().all(|view| view.address.is_multiple_of(pair));
        match self.cell {
            Cell::ScanComplex if !aligned => {
                Err(Error::Shape { op: self.cell.name(), message: format!("complex tensors must begin at multiples of {pair} bytes") })
            }
            Cell::ScanComplex => Ok(false),
            _ => Ok(aligned && self.hidden.is_multiple_of(2)),
        }
    }
}

const WARP: usize = 32;
const MOST_WARPS: usize = 16;
/// A part of time shorter than this is not worth the second time that it is read.
const SHORTEST_PART: usize = 128;

/// How channels and time are dealt out.
struct Split {
    /// Channels of a thread.
    wide: usize,
    channel_blocks: usize,
    parts: usize,
    part: usize,
    warps: usize,
}

impl Split {
    fn new(card: &Card, call: &Call, wide: usize) -> Split {
        let narrow = call.channels().div_ceil(WARP).max(1);
        // With parts everything is read twice: only where not even half of the card would be used.
        let wanted = if 2 * narrow <= card.multiprocessors { 2 * card.multiprocessors / narrow } else { 1 };
        let parts = wanted.min(call.time / SHORTEST_PART).max(1);
        let part = call.time.div_ceil(parts).max(1);
        let parts = call.time.div_ceil(part).max(1);
        let channel_blocks = call.channels().div_ceil(WARP * wide);
        let steps = if wide * call.cell.parts() > 1 { 4 } else { 8 };
        // A block that has its multiprocessor to itself is as large as can be.
        let most = if channel_blocks * parts <= card.multiprocessors { MOST_WARPS } else { MOST_WARPS / 2 };
        Split { wide, channel_blocks, parts, part, warps: part.div_ceil(steps).min(most) }
    }

    /// The widest that suits the card and `even` views.
    fn of(card: &Card, call: &Call, even: bool) -> Split {
        let plenty = call.channels() >= 4 * WARP * card.multiprocessors;
        Split::new(card, call, if even && plenty { 2 } else { 1 })
    }

    /// The totals of all parts but the last, then the pass.
    unsafe fn launch<A: Arguments>(
        &self,
        launcher: &dyn Launcher,
        call: &Call,
        [pass, totals]: [&'static str; 2],
        arguments: &A,
    ) -> Result<(), Error> {
        if call.channels() == 0 {
            return Ok(());
        }
        let maps = self.warps * WARP * self.wide;
        let size = 2 * size_of::<f32>() * call.cell.parts();
        let launch = |kernel, parts: usize, maps: usize| Launch {
            kernel,
            grid: (self.channel_blocks * parts) as u32,
            block: (self.warps * WARP) as u32,
            cluster: 1,
            cooperative: false,
            shared: Shared::default().with(maps, size).bytes(),
        };
        // SAFETY: passed on from the caller.
        unsafe {
            launcher.launch(&launch(totals, self.parts - 1, maps), arguments.bytes())?;
            launcher.launch(&launch(pass, self.parts, 2 * maps), arguments.bytes())
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct ShapeArguments {
    batch: u64,
    time: u64,
    hidden: u64,
    lengths: View,
    part: u64,
    channel_blocks: u32,
    reverse: u16,
    positive: u16,
}

impl ShapeArguments {
    fn new(call: &Call, split: &Split) -> ShapeArguments {
        ShapeArguments {
            batch: call.batch as u64,
            time: call.time as u64,
            hidden: call.hidden as u64,
            lengths: call.lengths,
            part: split.part as u64,
            channel_blocks: split.channel_blocks as u32,
            reverse: u16::from(call.reverse),
            positive: u16::from(call.cell.positive()),
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct ForwardArguments<const N: usize> {
    shape: ShapeArguments,
    stride: u64,
    inputs: [View; N],
    y_0: View,
    y: View,
    y_n: View,
    maps: View,
}

// SAFETY: plain, whole words, as `Forward` of linear.cuh.
unsafe impl<const N: usize> Arguments for ForwardArguments<N> {}

#[repr(C)]
#[derive(Clone, Copy)]
struct BackwardArguments<const N: usize> {
    shape: ShapeArguments,
    stride: u64,
    inputs: [View; N],
    y_0: View,
    y: View,
    dy: View,
    dy_n: View,
    dinputs: [View; N],
    dy_0: View,
    maps: View,
}

// SAFETY: plain, whole words, as `Backward` of linear.cuh.
unsafe impl<const N: usize> Arguments for BackwardArguments<N> {}

unsafe fn forward_of<const N: usize>(launcher: &dyn Launcher, call: &Call, buffers: &Forward) -> Result<(), Error> {
    let card = launcher.card();
    let &Forward { inputs, y_0, y, y_n, workspace } = buffers;
    Error::check(call.cell.name(), "y", "B*T*H", call.len(), y.len as usize)?;
    call.check(&[], &[("y_0", y_0), ("y_n", y_n)])?;
    check_workspace(&card, call, workspace)?;
    let (inputs, stride) = call.inputs::<N>(inputs)?;
    let split = Split::of(&card, call, call.is_even(&[&inputs[..], &[y_0, y, y_n]].concat())?);
    let [pass, totals, ..] = names(call.cell, call.dtype, split.wide > 1);
    let shape = ShapeArguments::new(call, &split);
    let arguments = ForwardArguments { shape, stride: stride as u64, inputs, y_0, y, y_n, maps: workspace };
    // SAFETY: the arguments are of these kernels; the caller vouches for the memory.
    unsafe { split.launch(launcher, call, [pass, totals], &arguments) }
}

unsafe fn backward_of<const N: usize>(launcher: &dyn Launcher, call: &Call, buffers: &Backward) -> Result<(), Error> {
    let card = launcher.card();
    let &Backward { inputs, y_0, y, dy, dy_n, dinputs, dy_0, workspace } = buffers;
    Error::check(call.cell.name(), "y", "B*T*H", call.len(), y.len as usize)?;
    call.check(&[("dy", dy)], &[("y_0", y_0), ("dy_n", dy_n), ("dy_0", dy_0)])?;
    check_workspace(&card, call, workspace)?;
    let (inputs, stride) = call.inputs::<N>(inputs)?;
    let (dinputs, dstride) = call.inputs::<N>(dinputs)?;
    if stride != dstride {
        return Err(Error::Shape { op: call.cell.name(), message: "the gradients of the inputs must lie as the inputs do".to_owned() });
    }
    let split = Split::of(&card, call, call.is_even(&[&inputs[..], &dinputs[..], &[y_0, y, dy, dy_n, dy_0]].concat())?);
    let [.., pass, totals] = names(call.cell, call.dtype, split.wide > 1);
    let shape = ShapeArguments::new(call, &split);
    let arguments = BackwardArguments { shape, stride: stride as u64, inputs, y_0, y, dy, dy_n, dinputs, dy_0, maps: workspace };
    // SAFETY: the arguments are of these kernels; the caller vouches for the memory.
    unsafe { split.launch(launcher, call, [pass, totals], &arguments) }
}

fn check_workspace(card: &Card, call: &Call, workspace: View) -> Result<(), Error> {
    Error::check(call.cell.name(), "workspace", "workspace_len", workspace_len(card, call), workspace.len as usize)
}
