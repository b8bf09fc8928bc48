//! Kernels on a device, by the driver: the fat binary is loaded once per device, each kernel found by its name and launched on the caller's stream.
//! Compiled, and tested against a stand-in for the driver's library; not yet run on a device.
mod driver;
mod error;

pub use driver::{Driver, Stream};
pub use error::Error;

use driver::{Attribute, Context, Function, FunctionAttribute, LaunchAttribute, LaunchConfig, Module};
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

/// More shared memory than this a kernel has to ask for.
const SHARED_UNASKED: usize = 48 << 10;

/// Clusters of more blocks than this are not portable, and have to be asked for.
const PORTABLE_CLUSTER: usize = 8;

/// What a device has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub name: String,
    /// The compute capability.
    pub major: usize,
    pub minor: usize,
    pub multiprocessors: usize,
    /// Bytes of shared memory that one block may have.
    pub shared_per_block: usize,
    /// Whether blocks can be launched in clusters.
    pub clusters: bool,
}

/// How a kernel is launched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Launch {
    pub kernel: &'static str,
    pub grid: usize,
    pub block: usize,
    /// Blocks in a cluster; 1 without clusters.
    pub cluster: usize,
    /// Whether all blocks have to be on the device at once.
    pub cooperative: bool,
    /// Bytes of dynamic shared memory.
    pub shared: usize,
}

/// A device with our kernels on it.
pub struct Device {
    driver: Driver,
    context: Context,
    module: Module,
    facts: Facts,
    /// The functions that were asked for, with the bytes of shared memory that they may have.
    functions: Mutex<HashMap<&'static str, (usize, usize)>>,
    /// Whether launches fit, as far as it was asked.
    fitting: Mutex<HashMap<Launch, bool>>,
}

// SAFETY: the driver may be called from any thread; its handles are addresses which nothing here dereferences.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl Device {
    /// Makes the device ready: looks whether its driver and the card are new enough, and loads the kernels.
    pub fn open(driver: Driver, ordinal: usize, image: &[u8]) -> Result<Self, Error> {
        let handle = driver.device(ordinal)?;
        let facts = Facts {
            name: driver.name(handle)?,
            major: driver.attribute(handle, Attribute::Major)?,
            minor: driver.attribute(handle, Attribute::Minor)?,
            multiprocessors: driver.attribute(handle, Attribute::Multiprocessors)?,
            shared_per_block: driver.attribute(handle, Attribute::SharedPerBlock)?,
            clusters: driver.attribute(handle, Attribute::ClusterLaunch)? != 0,
        };
        if facts.major < 8 {
            return Err(Error::CardTooOld { name: facts.name, major: facts.major, minor: facts.minor });
        }
        check_image(image)?;
        let context = driver.primary_context(handle)?;
        // SAFETY: the context is the driver's.
        unsafe { driver.set_context(context)? };
        let module = driver.load(image)?;
        Ok(Self { driver, context, module, facts, functions: Mutex::default(), fitting: Mutex::default() })
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Whether all blocks of a cooperative launch, or one cluster of any other, fit on the device. What does not fit is libtorch's to compute.
    pub fn fits(&self, launch: &Launch) -> Result<bool, Error> {
        if let Some(&known) = self.fitting.lock().unwrap_or_else(PoisonError::into_inner).get(launch) {
            return Ok(known);
        }
        let fits = self.look_whether_fits(launch)?;
        self.fitting.lock().unwrap_or_else(PoisonError::into_inner).insert(launch.clone(), fits);
        Ok(fits)
    }

    fn look_whether_fits(&self, launch: &Launch) -> Result<bool, Error> {
        if launch.shared > self.facts.shared_per_block || (launch.cluster > 1 && !self.facts.clusters) {
            return Ok(false);
        }
        let function = self.function(launch)?;
        // SAFETY: the function is of the current context.
        unsafe {
            if launch.cluster > 1 {
                let mut attributes = attributes(launch);
                let clusters = self.driver.active_clusters(function, &config(launch, std::ptr::null_mut(), &mut attributes))?;
                return Ok(clusters >= if launch.cooperative { launch.grid.div_ceil(launch.cluster) } else { 1 });
            }
            let blocks = self.driver.active_blocks(function, launch.block, launch.shared)?;
            Ok(if launch.cooperative { blocks * self.facts.multiprocessors >= launch.grid } else { blocks > 0 })
        }
    }

    /// Queues a kernel on a stream of libtorch.
    ///
    /// # Safety
    /// The stream is of this device; the arguments point to as many values as the kernel takes, each of its type, and pointers among the values
    /// are to memory of this device, as large as the kernel expects, that lives until the stream has come there.
    pub unsafe fn launch(&self, stream: Stream, launch: &Launch, arguments: &mut [*mut c_void]) -> Result<(), Error> {
        if launch.grid == 0 {
            return Ok(()); // nothing to compute; the driver refuses such a grid
        }
        let function = self.function(launch)?;
        let mut attributes = attributes(launch);
        // SAFETY: the function is of the current context; the rest by the contract.
        unsafe { self.driver.launch(function, &config(launch, stream, &mut attributes), arguments, launch.kernel) }
    }

    /// The function of a launch, allowed what the launch needs, with the context of this device current.
    fn function(&self, launch: &Launch) -> Result<Function, Error> {
        // SAFETY: the context and the module are the driver's and live for ever.
        unsafe {
            self.driver.set_context(self.context)?;
            let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
            let (function, allowed) = match functions.get(launch.kernel) {
                Some(&(function, allowed)) => (function as Function, allowed),
                None => (self.driver.function(self.module, launch.kernel)?, SHARED_UNASKED),
            };
            if launch.cluster > PORTABLE_CLUSTER {
                self.driver.set_function_attribute(function, FunctionAttribute::NonPortableCluster, 1)?;
            }
            if launch.shared > allowed {
                self.driver.set_function_attribute(function, FunctionAttribute::MaxDynamicShared, launch.shared)?;
            }
            functions.insert(launch.kernel, (function as usize, allowed.max(launch.shared)));
            Ok(function)
        }
    }
}

fn attributes(launch: &Launch) -> Vec<LaunchAttribute> {
    let mut attributes = Vec::new();
    if launch.cooperative {
        attributes.push(LaunchAttribute::cooperative());
    }
    if launch.cluster > 1 {
        attributes.push(LaunchAttribute::cluster(launch.cluster as u32));
    }
    attributes
}

fn config(launch: &Launch, stream: Stream, attributes: &mut [LaunchAttribute]) -> LaunchConfig {
    LaunchConfig {
        grid: [launch.grid as u32, 1, 1],
        block: [launch.block as u32, 1, 1],
        shared: launch.shared as u32,
        stream,
        attributes: attributes.as_mut_ptr(),
        attribute_count: attributes.len() as u32,
    }
}

/// A fat binary says how long it is, and the driver believes it: a file that was cut short must not reach it.
fn check_image(image: &[u8]) -> Result<(), Error> {
    const MAGIC: [u8; 4] = 0xba55_ed50_u32.to_le_bytes();
    let length = || {
        let header = u16::from_le_bytes(image.get(6..8)?.try_into().ok()?);
        let content = u64::from_le_bytes(image.get(8..16)?.try_into().ok()?);
        Some(content.saturating_add(header.into()))
    };
    match length() {
        Some(length) if image.starts_with(&MAGIC) && length <= image.len() as u64 => Ok(()),
        Some(_) if image.starts_with(&MAGIC) => Err(Error::Image("the fat binary is cut short".to_owned())),
        _ => Err(Error::Image("this is no fat binary".to_owned())),
    }
}
