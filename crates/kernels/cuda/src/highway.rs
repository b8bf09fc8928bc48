//! The stack of highway layers: how its kernels (`highway.cu`) are launched, and for which sizes.
//!
//! | | |
//! |---|---|
//! | forward | everything, with the bias; training saves h and t [K, N, 2·D] and x_1 … x_(K-1) [K-1, N, D], of the call's type |
//! | before backward, by libtorch | `weight_t`, each layer's weights transposed, contiguous |
//! | backward | `dx`, and `da`, the gradient of W x + b, in the place of h and t |
//! | after backward, by libtorch | of layer k `dweight = da_kᵀ · x_k` and `dbias = Σ da_k` over the rows |
//!
//! What runs here is what [`Plan::new`] has a plan for: rows of D whole multiples of 16 bytes (D of 8 in bfloat16, of 4 in float32) that fit, 16 of
//! them at a time, into the shared memory of a block; views begin at multiples of 16 bytes, as whole tensors of libtorch do. On an H200 that is D up to
//! some 3300 in bfloat16 and 1600 in float32, backward, and twice that without it; all else is libtorch's.

use crate::{Arguments, Card, Dtype, Error, Launch, Launcher, Shared, View};

/// N, D, K. Any of them may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub rows: usize,
    pub width: usize,
    pub layers: usize,
}

/// Which way through the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    Forward,
    Backward,
}

/// The buffers of a forward pass, of the plan's type unless said otherwise. None may overlap.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forward {
    /// [N, D], read.
    pub x: View,
    /// [K, 2·D, D], read.
    pub weight: View,
    /// [K, 2·D], read; absent means zeros.
    pub bias: View,
    /// [N, D], written.
    pub y: View,
    /// [K, N, 2·D], written where training wants it: h and t.
    pub gates: View,
    /// With `gates` [K-1, N, D], written and kept for backward: x_1 … x_(K-1). Without, [2, N, D], scratch.
    pub between: View,
    /// [`Plan::workspace_len`] words of 32 bits, zeros.
    pub workspace: View,
}

/// The buffers of a backward pass. None may overlap.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backward {
    /// As given to forward, read.
    pub x: View,
    /// [K, D, 2·D], read: each layer's weights transposed.
    pub weight_t: View,
    /// As forward wrote it; becomes the gradients of `W x + b`.
    pub gates: View,
    /// As forward wrote it, read.
    pub between: View,
    /// [N, D], read.
    pub dy: View,
    /// [N, D], written.
    pub dx: View,
    /// [`Plan::workspace_len`] words of 32 bits, zeros.
    pub workspace: View,
}

/// How a pass is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pass: Pass,
    dtype: Dtype,
    shape: Shape,
    relu: bool,
    /// Whether blocks meet over a cooperative launch rather than in clusters.
    grid: bool,
    /// Rows that a group has at a time: 16 or 64.
    tall: bool,
    /// Blocks that share the units of the same rows, and how many such groups there are.
    blocks: usize,
    groups: usize,
}

const NAME: &str = "highway";

// As in highway.cu.
const THREADS: usize = 256;
const WARPS: usize = THREADS / 32;
const TILE: usize = 16;
const LINE: usize = 32;

impl Plan {
    /// The cheapest plan that the card can carry out, or `None`: then the stack is libtorch's to compute. A forward pass that trains needs the plan
    /// of its backward pass as well.
    pub fn new(launcher: &dyn Launcher, pass: Pass, dtype: Dtype, shape: Shape, relu: bool) -> Result<Option<Plan>, Error> {
        let Card { multiprocessors, shared_bytes, max_cluster, .. } = launcher.card();
        if !(shape.width * dtype.size()).is_multiple_of(16) {
            return Ok(None);
        }
        let pairs = shape.width.div_ceil(2 * TILE).max(1);
        let mut plans: Vec<Plan> = Vec::new();
        for tall in [false, true] {
            for blocks in 1..=pairs.min(multiprocessors) {
                let plan = Plan { pass, dtype, shape, relu, grid: false, tall, blocks, groups: 1 };
                let plan = Plan { groups: (multiprocessors / blocks).min(shape.rows.div_ceil(plan.rows())).max(1), ..plan };
                // Blocks without units would only wait.
                if (blocks - 1) * plan.units() >= shape.width.max(1) || plan.shared() > shared_bytes {
                    continue;
                }
                if blocks <= max_cluster {
                    plans.push(plan);
                }
                if blocks > 1 {
                    plans.push(Plan { grid: true, ..plan });
                }
            }
        }
        plans.sort_by(|a, b| a.cycles().total_cmp(&b.cycles()));
        for plan in plans {
            if launcher.fits(&plan.launch())? {
                return Ok(Some(plan));
            }
        }
        Ok(None)
    }

    /// Words of 32 bits, zeros, that a run needs for itself.
    pub fn workspace_len(&self) -> usize {
        if self.grid { self.groups * LINE } else { 0 }
    }

    /// Elements of `between`.
    pub fn between_len(&self, training: bool) -> usize {
        let Shape { rows, width, layers } = self.shape;
        rows * width * if training { layers.saturating_sub(1) } else { 2 }
    }

    /// Runs a forward plan.
    ///
    /// # Safety
    /// The views are memory of the launcher that lives until the launch is done.
    pub unsafe fn forward(&self, launcher: &dyn Launcher, buffers: &Forward) -> Result<(), Error> {
        let &Forward { x, weight, bias, y, gates, between, workspace } = buffers;
        let Shape { rows, width, layers } = self.shape;
        self.check(Pass::Forward, x, between, workspace, self.between_len(!gates.is_absent()))?;
        Error::check(NAME, "weight", "K*2*D*D", layers * 2 * width * width, weight.len as usize)?;
        Error::check(NAME, "y", "N*D", rows * width, y.len as usize)?;
        for (name, letters, expected, view) in
            [("bias", "K*2*D", layers * 2 * width, bias), ("gates", "K*N*2*D", layers * rows * 2 * width, gates)]
        {
            if !view.is_absent() {
                Error::check(NAME, name, letters, expected, view.len as usize)?;
            }
        }
        aligned(&[("x", x), ("weight", weight), ("between", between)])?;
        let arguments = ForwardArguments { x, weight, bias, y, gates, between, counters: workspace, sizes: self.sizes() };
        // SAFETY: passed on from the caller.
        unsafe { launcher.launch(&self.launch(), arguments.bytes()) }
    }

    /// Runs a backward plan.
    ///
    /// # Safety
    /// As for [`Plan::forward`].
    pub unsafe fn backward(&self, launcher: &dyn Launcher, buffers: &Backward) -> Result<(), Error> {
        let &Backward { x, weight_t, gates, between, dy, dx, workspace } = buffers;
        let Shape { rows, width, layers } = self.shape;
        self.check(Pass::Backward, x, between, workspace, self.between_len(true))?;
        Error::check(NAME, "weight_t", "K*D*2*D", layers * 2 * width * width, weight_t.len as usize)?;
        Error::check(NAME, "gates", "K*N*2*D", layers * rows * 2 * width, gates.len as usize)?;
        for (name, view) in [("dy", dy), ("dx", dx)] {
            Error::check(NAME, name, "N*D", rows * width, view.len as usize)?;
        }
        aligned(&[("weight_t", weight_t), ("gates", gates)])?;
        let arguments = BackwardArguments { x, weight_t, gates, between, dy, dx, counters: workspace, sizes: self.sizes() };
        // SAFETY: passed on from the caller.
        unsafe { launcher.launch(&self.launch(), arguments.bytes()) }
    }

    fn check(&self, pass: Pass, x: View, between: View, workspace: View, between_len: usize) -> Result<(), Error> {
        if self.pass != pass {
            return Err(Error::Shape { op: NAME, message: format!("a plan of the pass {:?} was run as {pass:?}", self.pass) });
        }
        Error::check(NAME, "x", "N*D", self.shape.rows * self.shape.width, x.len as usize)?;
        Error::check(NAME, "between", "what lies between layers", between_len, between.len as usize)?;
        Error::check(NAME, "workspace", "workspace_len", self.workspace_len(), workspace.len as usize)
    }

    /// The launch; with no row and no unit, none.
    pub fn launch(&self) -> Launch {
        let some = self.shape.rows > 0 && self.shape.width > 0;
        Launch {
            kernel: self.kernel(),
            grid: if some { (self.groups * self.blocks) as u32 } else { 0 },
            block: THREADS as u32,
            cluster: if self.grid { 1 } else { self.blocks as u32 },
            cooperative: self.grid,
            shared: self.shared(),
        }
    }

    fn kernel(&self) -> &'static str {
        macro_rules! names {
            ($pass:literal) => {
                match (self.dtype, self.grid, self.tall) {
                    (Dtype::Float32, false, false) => concat!("highway_", $pass, "_cluster16_float32"),
                    (Dtype::Float32, false, true) => concat!("highway_", $pass, "_cluster64_float32"),
                    (Dtype::Float32, true, false) => concat!("highway_", $pass, "_grid16_float32"),
                    (Dtype::Float32, true, true) => concat!("highway_", $pass, "_grid64_float32"),
                    (Dtype::BFloat16, false, false) => concat!("highway_", $pass, "_cluster16_bfloat16"),
                    (Dtype::BFloat16, false, true) => concat!("highway_", $pass, "_cluster64_bfloat16"),
                    (Dtype::BFloat16, true, false) => concat!("highway_", $pass, "_grid16_bfloat16"),
                    (Dtype::BFloat16, true, true) => concat!("highway_", $pass, "_grid64_bfloat16"),
                }
            };
        }
        match self.pass {
            Pass::Forward => names!("forward"),
            Pass::Backward => names!("backward"),
        }
    }

    /// Rows that a group has at a time.
    fn rows(&self) -> usize {
        if self.tall { 64 } else { 16 }
    }

    /// Units of a block, in whole pairs of tiles.
    fn units(&self) -> usize {
        self.shape.width.div_ceil(self.blocks).next_multiple_of(2 * TILE)
    }

    /// K of the products in chunks of 16 words.
    fn chunks(&self) -> usize {
        let elements = if self.pass == Pass::Forward { self.shape.width } else { 2 * self.shape.width };
        (elements * self.dtype.size()).div_ceil(64)
    }

    /// Pairs of tiles of a block: forward one tile of both gates each, backward two tiles.
    fn pairs(&self) -> usize {
        self.units() / if self.pass == Pass::Forward { TILE } else { 2 * TILE }
    }

    /// Warps that share the sums of a pair of tiles: where there are fewer pairs than warps, all have something to do.
    fn parts(&self) -> usize {
        [8, 4, 2].into_iter().find(|parts| parts * self.pairs() <= WARPS && *parts <= self.chunks()).unwrap_or(1)
    }

    fn shared(&self) -> usize {
        let rows = self.rows();
        let sums = if self.parts() > 1 { THREADS * rows } else { 0 };
        Shared::default().with(rows * (self.chunks() | 1) * 16, 4).with(sums, 4).with(rows * (self.units() + 4), 4).bytes()
    }

    /// What a pass costs, an estimate by which plans are only compared: in every round of rows each block reads its share of the weights from L2 and
    /// multiplies, whichever takes longer, and then the blocks of a group meet.
    fn cycles(&self) -> f64 {
        let Shape { rows, width, layers } = self.shape;
        // Rows of the weights, in whole tiles, that a block multiplies with; of those that hold anything it reads all.
        let products = 2 * self.units().max(1) * width;
        let rate = if self.dtype == Dtype::BFloat16 { 1024.0 } else { 170.0 };
        let read = (products * self.dtype.size()) as f64 / 24.0;
        let multiply = (products * self.rows()) as f64 / rate;
        let meeting = match (self.blocks, self.grid) {
            (1, _) => 100.0,
            (_, false) => 800.0,
            (_, true) => 2500.0,
        };
        let rounds = rows.div_ceil(self.rows()).div_ceil(self.groups);
        // The latency of the first words, of the rows and of the sums.
        (rounds * layers) as f64 * (read.max(multiply) + meeting + 2000.0)
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            rows: self.shape.rows as u64,
            width: self.shape.width as u64,
            layers: self.shape.layers as u64,
            groups: self.groups as u32,
            blocks: self.blocks as u32,
            units: self.units() as u32,
            parts: self.parts() as u32,
            relu: u32::from(self.relu),
            unused: 0,
        }
    }
}

/// Refuses a view that 16 bytes at once cannot be read from.
fn aligned(views: &[(&str, View)]) -> Result<(), Error> {
    match views.iter().find(|(_, view)| !view.address.is_multiple_of(16)) {
        Some((name, _)) => Err(Error::Shape { op: NAME, message: format!("{name} must begin at a multiple of 16 bytes") }),
        None => Ok(()),
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Sizes {
    rows: u64,
    width: u64,
    layers: u64,
    groups: u32,
    blocks: u32,
    units: u32,
    parts: u32,
    relu: u32,
    unused: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct ForwardArguments {
    x: View,
    weight: View,
    bias: View,
    y: View,
    gates: View,
    between: View,
    counters: View,
    sizes: Sizes,
}

// SAFETY: plain, whole words, as `Forward` of highway.cu.
unsafe impl Arguments for ForwardArguments {}

#[repr(C)]
#[derive(Clone, Copy)]
struct BackwardArguments {
    x: View,
    weight_t: View,
    gates: View,
    between: View,
    dy: View,
    dx: View,
    counters: View,
    sizes: Sizes,
}

// SAFETY: plain, whole words, as `Backward` of highway.cu.
unsafe impl Arguments for BackwardArguments {}
