//! How a pass of some size is launched.

use super::buffers::{Backward, BackwardArguments, Forward, ForwardArguments, Sizes};
use super::{Cell, Pass, Shape};
use crate::{Arguments, Dtype, Error, Launch, Launcher, Shared, View};

/// How values pass between the blocks of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Within a cluster, from shared memory to shared memory. Without clusters, a group of one block.
    Cluster,
    /// Over a cooperative launch, by way of global memory.
    Grid,
}

/// The launch of one pass of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    cell: Cell,
    pass: Pass,
    dtype: Dtype,
    shape: Shape,
    way: Way,
    /// Blocks that share the units of the same rows, and how many such groups there are.
    pub blocks: usize,
    pub groups: usize,
    /// Units of a block, and rows of the batch that a group has at a time.
    pub units: usize,
    pub rows: usize,
}

// As in walk.cuh, tile.cuh and group.cuh.
const THREADS: usize = 256;
const WARPS: usize = THREADS / 32;
const TILE: usize = 16;
const SUM_ROW: usize = TILE + 4;
const LINE: usize = 32;
/// Rows of the batch in one mma.
const MMA_ROWS: usize = 8;

impl Plan {
    /// The cheapest plan that the card can carry out, or `None`: then the layer is libtorch's to compute. A forward pass that trains needs
    /// the plan of its backward pass as well.
    pub fn new(launcher: &dyn Launcher, cell: Cell, pass: Pass, dtype: Dtype, shape: Shape) -> Result<Option<Plan>, Error> {
        let card = launcher.card();
        let mut plans: Vec<Plan> = Vec::new();
        let tiles = shape.hidden.div_ceil(TILE).max(1);
        for rows in [8, 16, 32, 64] {
            // Units that make the same number of blocks are but padding: the fewest of each.
            for tiles_of_block in (1..=tiles).filter(|&n| n == 1 || tiles.div_ceil(n) < tiles.div_ceil(n - 1)) {
                let units = tiles_of_block * TILE;
                let blocks = tiles.div_ceil(tiles_of_block);
                let groups = (card.multiprocessors / blocks).min(shape.batch.div_ceil(rows)).max(1);
                let plan = Plan { cell, pass, dtype, shape, way: Way::Cluster, blocks, groups, units, rows };
                if blocks <= card.max_cluster {
                    plans.push(plan);
                }
                if blocks > 1 {
                    plans.push(Plan { way: Way::Grid, ..plan });
                }
            }
        }
        plans.retain(|plan| plan.shared() <= card.shared_bytes && plan.blocks * plan.groups <= card.multiprocessors);
        plans.sort_by(|a, b| a.cycles().total_cmp(&b.cycles()));
        let mut best: Option<Plan> = None;
        for plan in plans {
            if best.is_some_and(|best| best.cycles() <= plan.cycles()) {
                break;
            }
            let resident = plan.resident(launcher)?;
            best = [best, resident].into_iter().flatten().min_by(|a, b| a.cycles().total_cmp(&b.cycles()));
        }
        Ok(best)
    }

    /// The same with no more groups than the card can have at once; `None` if it cannot have even one.
    fn resident(self, launcher: &dyn Launcher) -> Result<Option<Plan>, Error> {
        for groups in (1..=self.groups).rev() {
            let plan = Plan { groups, ..self };
            if launcher.fits(&Launch { cooperative: true, ..plan.launch() })? {
                return Ok(Some(plan));
            }
        }
        Ok(None)
    }

    /// Words of 32 bits, zeros, that a run needs for itself.
    pub fn workspace_len(&self) -> usize {
        match self.way {
            Way::Cluster => 0,
            Way::Grid => self.counters_len() + self.passed_len(),
        }
    }

    /// Runs a forward plan.
    ///
    /// # Safety
    /// The views are memory of the launcher that lives until the launch is done.
    pub unsafe fn forward(&self, launcher: &dyn Launcher, reverse: bool, buffers: &Forward) -> Result<(), Error> {
        self.is(Pass::Forward)?;
        let b = buffers;
        let (of_gates, of_y, of_state) = self.lens();
        self.check("pre", "B*T*G*H", of_gates, b.pre, true)?;
        self.check("weight_hh", "G*H*H", self.weight_len(), b.weight_hh, true)?;
        self.check("bias", "H", if self.cell.has_d_hidden { self.shape.hidden } else { 0 }, b.bias, false)?;
        self.check("lengths", "B", self.shape.batch, b.lengths, false)?;
        self.check("y", "B*T*H", of_y, b.y, true)?;
        for (name, view) in [("h_0", b.h_0), ("h_n", b.h_n)] {
            self.check(name, "B*H", of_state, view, false)?;
        }
        for (name, view) in [("c_0", b.c_0), ("c_n", b.c_n)] {
            self.check(name, "B*H", if self.cell.has_c { of_state } else { 0 }, view, false)?;
        }
        self.check("gates", "B*T*G*H", of_gates, b.gates, false)?;
        self.check("kept", "B*T*H", if self.cell.keeps { of_y } else { 0 }, b.kept, false)?;
        let (counters, passed) = self.workspace(b.workspace)?;
        let arguments = ForwardArguments {
            pre: b.pre,
            weight_hh: b.weight_hh,
            bias: b.bias,
            h_0: b.h_0,
            c_0: b.c_0,
            lengths: b.lengths,
            y: b.y,
            h_n: b.h_n,
            c_n: b.c_n,
            gates: b.gates,
            kept: b.kept,
            passed,
            counters,
            sizes: self.sizes(reverse),
        };
        // SAFETY: passed on from the caller.
        unsafe { launcher.launch(&self.launch(), arguments.bytes()) }
    }

    /// Runs a backward plan.
    ///
    /// # Safety
    /// As for [`Plan::forward`].
    pub unsafe fn backward(&self, launcher: &dyn Launcher, reverse: bool, buffers: &Backward) -> Result<(), Error> {
        self.is(Pass::Backward)?;
        let b = buffers;
        let (of_gates, of_y, of_state) = self.lens();
        self.check("gates", "B*T*G*H", of_gates, b.gates, true)?;
        self.check("kept", "B*T*H", if self.cell.keeps { of_y } else { 0 }, b.kept, self.cell.keeps)?;
        self.check("weight_hh", "G*H*H", self.weight_len(), b.weight_hh, true)?;
        self.check("y", "B*T*H", of_y, b.y, self.cell.has_d_hidden)?;
        self.check("lengths", "B", self.shape.batch, b.lengths, false)?;
        self.check("dy", "B*T*H", of_y, b.dy, false)?;
        for (name, view) in [("h_0", b.h_0), ("dh_n", b.dh_n), ("dh_0", b.dh_0)] {
            self.check(name, "B*H", of_state, view, false)?;
        }
        for (name, view) in [("c_0", b.c_0), ("dc_n", b.dc_n), ("dc_0", b.dc_0)] {
            self.check(name, "B*H", if self.cell.has_c { of_state } else { 0 }, view, false)?;
        }
        self.check("d_pre", "B*T*G*H", of_gates, b.d_pre, true)?;
        self.check("d_hidden", "B*T*H", if self.cell.has_d_hidden { of_y } else { 0 }, b.d_hidden, self.cell.has_d_hidden)?;
        let (counters, passed) = self.workspace(b.workspace)?;
        let arguments = BackwardArguments {
            gates: b.gates,
            kept: b.kept,
            weight_hh: b.weight_hh,
            y: b.y,
            h_0: b.h_0,
            c_0: b.c_0,
            lengths: b.lengths,
            dy: b.dy,
            dh_n: b.dh_n,
            dc_n: b.dc_n,
            d_pre: b.d_pre,
            d_hidden: b.d_hidden,
            dh_0: b.dh_0,
            dc_0: b.dc_0,
            passed,
            counters,
            sizes: self.sizes(reverse),
        };
        // SAFETY: passed on from the caller.
        unsafe { launcher.launch(&self.launch(), arguments.bytes()) }
    }

    /// The launch; with no row and no unit, none.
    pub fn launch(&self) -> Launch {
        let some = self.shape.batch > 0 && self.shape.hidden > 0;
        let grid = if some { self.groups * self.blocks } else { 0 };
        let way = self.way == Way::Grid;
        Launch {
            kernel: self.cell.kernels[usize::from(self.pass == Pass::Backward)][usize::from(way)]
                [usize::from(self.dtype == Dtype::BFloat16)],
            grid: grid as u32,
            block: THREADS as u32,
            cluster: if way { 1 } else { self.blocks as u32 },
            cooperative: way,
            shared: self.shared(),
        }
    }

    /// Rows of the resident matrix for each unit, and its fragments along K.
    fn matrix(&self) -> (usize, usize) {
        let depth = self.words_of_gate() / 8;
        match self.pass {
            Pass::Forward => (self.cell.gates, depth),
            Pass::Backward => (1, self.cell.gates * depth),
        }
    }

    /// H in whole fragments, in words of 32 bits.
    fn words_of_gate(&self) -> usize {
        self.shape.hidden.div_ceil(32 / self.dtype.size()) * 8
    }

    /// Words of a row of what a group shares.
    fn words(&self) -> usize {
        self.matrix().1 * 8
    }

    /// Warps that share a tile.
    fn parts(&self) -> usize {
        (WARPS / (self.units / TILE)).clamp(1, self.matrix().1.max(1))
    }

    /// The pieces of shared memory in the order of the kernel.
    fn shared(&self) -> usize {
        let (gates, depth) = self.matrix();
        let tiles = self.units / TILE;
        let exchange = match self.way {
            Way::Cluster => self.rows * ((self.words() / 8) | 1) * 8,
            Way::Grid => 0,
        };
        Shared::default()
            .with(tiles * depth * gates * 32, 16)
            .with(tiles * self.parts() * gates * self.rows.min(TILE) * SUM_ROW, 4)
            .with(self.rows * self.units, 4)
            .with(self.rows * self.units, 4)
            .with(2 * exchange, 4)
            .bytes()
    }

    fn counters_len(&self) -> usize {
        self.groups * LINE
    }

    fn passed_len(&self) -> usize {
        self.groups * 2 * self.rows * self.words()
    }

    /// What a step takes, times the rounds that the batch needs. Estimated from the throughputs that NVIDIA gives for tensor cores and shared memory,
    /// and from times for barriers found in the literature; none of it measured here yet.
    fn cycles(&self) -> f64 {
        /// bytes per cycle of a multiprocessor: from its shared memory, from another's, from L2
        const SHARED: f64 = 128.0;
        const REMOTE: f64 = 32.0;
        const L2: f64 = 48.0;
        /// of one mma on one of the four tensor cores
        const MMA: f64 = 8.0;
        let (gates, depth) = self.matrix();
        let fragments = (self.units / TILE * gates * depth) as f64;
        let mmas = self.rows.div_ceil(MMA_ROWS) as f64 * if self.dtype == Dtype::Float32 { 3.0 } else { 1.0 };
        let product = (fragments * mmas * MMA / 4.0).max(fragments * 512.0 * self.rows.div_ceil(TILE) as f64 / SHARED);
        let bytes = (self.rows * self.words() * 4) as f64;
        let exchange = match self.way {
            _ if self.blocks == 1 => 0.0,
            Way::Cluster => 500.0 + bytes / REMOTE,
            Way::Grid => 2000.0 + bytes / L2,
        };
        let rounds = self.shape.batch.div_ceil(self.rows * self.groups) as f64;
        rounds * (product + exchange)
    }

    fn sizes(&self, reverse: bool) -> Sizes {
        let Shape { batch, time, hidden } = self.shape;
        Sizes {
            dims: [batch as u64, time as u64, hidden as u64],
            groups: self.groups as u32,
            blocks: self.blocks as u32,
            units: self.units as u32,
            rows: self.rows as u32,
            parts: self.parts() as u32,
            reverse: u32::from(reverse),
        }
    }

    /// Numbers in [B, T, G·H], [B, T, H], [B, H].
    fn lens(&self) -> (usize, usize, usize) {
        let Shape { batch, time, hidden } = self.shape;
        (batch * time * self.cell.gates * hidden, batch * time * hidden, batch * hidden)
    }

    fn weight_len(&self) -> usize {
        self.cell.gates * self.shape.hidden * self.shape.hidden
    }

    fn workspace(&self, workspace: View) -> Result<(View, View), Error> {
        self.check("workspace", "workspace_len", self.workspace_len(), workspace, true)?;
        if self.way == Way::Cluster {
            return Ok((View::default(), View::default()));
        }
        let counters = View { len: self.counters_len() as u64, ..workspace };
        let passed = View { address: workspace.address + (self.counters_len() * size_of::<u32>()) as u64, len: self.passed_len() as u64 };
        Ok((counters, passed))
    }

    fn check(&self, name: &str, letters: &str, expected: usize, view: View, required: bool) -> Result<(), Error> {
        if view.is_absent() && !required {
            return Ok(());
        }
        Error::check(self.cell.op, name, letters, expected, view.len as usize)
    }

    fn is(&self, pass: Pass) -> Result<(), Error> {
        if self.pass == pass {
            return Ok(());
        }
        Err(Error::Shape { op: self.cell.op, message: format!("the plan is for {:?}, not {pass:?}", self.pass) })
    }
}
