//! What a launch is, whoever carries it out.

use crate::Error;

/// How tensors are stored; all arithmetic and the state carried along time are float32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    Float32,
    BFloat16,
}

impl Dtype {
    pub fn size(self) -> usize {
        match self {
            Dtype::Float32 => 4,
            Dtype::BFloat16 => 2,
        }
    }
}

/// A tensor as kernels get it (`View` of device.cuh): the address of its first element in the launcher's memory, and how many there are.
/// Contiguous; of the type that the kernel's arguments say. The default, no elements, means absent.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub address: u64,
    pub len: u64,
}

impl View {
    pub fn is_absent(&self) -> bool {
        self.len == 0
    }
}

/// The struct that a kernel takes.
///
/// # Safety
/// `#[repr(C)]`, plain, without padding, the same as the struct in the .cu file.
pub unsafe trait Arguments: Copy {
    /// The struct as it lies in memory.
    fn bytes(&self) -> &[u8] {
        // SAFETY: plain, without padding.
        unsafe { std::slice::from_raw_parts(std::ptr::from_ref(self).cast(), size_of::<Self>()) }
    }
}

/// One launch of a kernel: a row of blocks, each a row of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The name of the entry in the .cu file.
    pub kernel: &'static str,
    /// Blocks; 0 means that there is nothing to do.
    pub grid: u32,
    /// Threads of a block, whole warps.
    pub block: u32,
    /// Blocks of a cluster, 1 for none; from 2 on only where [`Card::max_cluster`] allows it.
    pub cluster: u32,
    /// All blocks must run at the same time, since they wait for each other.
    pub cooperative: bool,
    /// Bytes of dynamic shared memory ([`Shared`]).
    pub shared: usize,
}

/// What plans must know of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Card {
    /// Major and minor, as 80 or 90.
    pub compute_capability: u32,
    pub multiprocessors: usize,
    /// The most shared memory that one block may ask for.
    pub shared_bytes: usize,
    /// The most blocks of a cluster; 1 where there are none.
    pub max_cluster: usize,
}

impl Card {
    /// The H200 and H100 SXM.
    pub const H200: Card = Card { compute_capability: 90, multiprocessors: 132, shared_bytes: 227 << 10, max_cluster: 16 };
    /// The A100.
    pub const A100: Card = Card { compute_capability: 80, multiprocessors: 108, shared_bytes: 163 << 10, max_cluster: 1 };
}

/// Whoever can run kernels.
pub trait Launcher {
    fn card(&self) -> Card;

    /// Whether all blocks of a cooperative launch, or one cluster of any other, can be on the card at once.
    fn fits(&self, launch: &Launch) -> Result<bool, Error>;

    /// Runs a launch, in order with those before. A device returns at once; the emulation when it is done.
    ///
    /// # Safety
    /// `arguments` are those of the kernel, and its views are memory of this launcher that outlives the launch.
    unsafe fn launch(&self, launch: &Launch, arguments: &[u8]) -> Result<(), Error>;
}

/// Adds up the pieces that a kernel takes of its shared memory, in the same way as `Shared` of device.cuh.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shared(usize);

impl Shared {
    /// `count` elements of `size` bytes more.
    #[must_use]
    pub fn with(self, count: usize, size: usize) -> Shared {
        Shared(self.0 + (count * size).next_multiple_of(16))
    }

    pub fn bytes(self) -> usize {
        self.0
    }
}
