//! Kernels on a device, by the driver: the fat binary is loaded once per device, each kernel found by its name and launched on the caller's stream.
//! Compiled, and tested against a stand-in for the driver's library; not yet run on a device.
mod driver;
mod error;

pub use driver::{Driver, Stream};
pub use error::Error;

use crate::{Card, Launch, Launcher};
use driver::{Attribute, Context, Function, FunctionAttribute, LaunchAttribute, LaunchConfig, Module};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// More shared memory than this a kernel has to ask for.
const SHARED_UNASKED: usize = 48 << 10;

/// Clusters of more blocks than this are not portable, and have to be asked for.
const PORTABLE_CLUSTER: u32 = 8;

/// A device with our kernels on it.
pub struct Device {
    driver: Driver,
    context: Context,
    module: Module,
    name: String,
    card: Card,
    /// The functions that were asked for, with the bytes of shared memory that they may have.
    functions: Mutex<HashMap<&'static str, (usize, usize)>>,
    /// Whether launches fit, as far as it was asked.
    fitting: Mutex<Vec<(Launch, bool)>>,
}

// SAFETY: the driver may be called from any thread; its handles are addresses which nothing here dereferences.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl Device {
    /// Makes the device ready: looks whether the card is new enough, and loads the kernels. Nothing of this is ever undone.
    pub fn open(driver: Driver, ordinal: usize, image: &[u8]) -> Result<Self, Error> {
        let handle = driver.device(ordinal)?;
        let name = driver.name(handle)?;
        let (major, minor) = (driver.attribute(handle, Attribute::Major)?, driver.attribute(handle, Attribute::Minor)?);
        if major < 8 {
            return Err(Error::CardTooOld { name, major, minor });
        }
        let clusters = driver.attribute(handle, Attribute::ClusterLaunch)? != 0;
        let card = Card {
            compute_capability: (10 * major + minor) as u32,
            multiprocessors: driver.attribute(handle, Attribute::Multiprocessors)?,
            shared_bytes: driver.attribute(handle, Attribute::SharedPerBlock)?,
            // Hopper and the large Blackwells allow clusters that are not portable.
            max_cluster: if !clusters {
                1
            } else if major < 12 {
                16
            } else {
                PORTABLE_CLUSTER as usize
            },
        };
        check_image(image)?;
        let context = driver.primary_context(handle)?;
        let module = driver.during(context, || driver.load(image))?;
        Ok(Self { driver, context, module, name, card, functions: Mutex::default(), fitting: Mutex::default() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn card(&self) -> Card {
        self.card
    }

    /// A launcher that queues kernels on a stream of this device: libtorch's, so that they run in order with its own.
    pub fn on(&self, stream: Stream) -> Queue<'_> {
        Queue { device: self, stream }
    }

    /// [`Launcher::fits`], remembered.
    fn fits(&self, launch: &Launch) -> Result<bool, Error> {
        let known = |fitting: &Vec<(Launch, bool)>| fitting.iter().find(|(known, _)| known == launch).map(|&(_, fits)| fits);
        if let Some(known) = known(&self.fitting.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(known);
        }
        let fits = self.look_whether_fits(launch)?;
        self.fitting.lock().unwrap_or_else(PoisonError::into_inner).push((*launch, fits));
        Ok(fits)
    }

    fn look_whether_fits(&self, launch: &Launch) -> Result<bool, Error> {
        if launch.shared > self.card.shared_bytes || launch.cluster as usize > self.card.max_cluster {
            return Ok(false);
        }
        self.driver.during(self.context, || {
            let function = self.function(launch)?;
            // SAFETY: the function is of the current context.
            unsafe {
                if launch.cluster > 1 {
                    let mut attributes = attributes(launch);
                    let clusters = self.driver.active_clusters(function, &config(launch, std::ptr::null_mut(), &mut attributes))?;
                    return Ok(clusters >= if launch.cooperative { launch.grid.div_ceil(launch.cluster) as usize } else { 1 });
                }
                let blocks = self.driver.active_blocks(function, launch.block as usize, launch.shared)?;
                Ok(if launch.cooperative { blocks * self.card.multiprocessors >= launch.grid as usize } else { blocks > 0 })
            }
        })
    }

    /// [`Launcher::launch`] on a stream.
    unsafe fn launch(&self, stream: Stream, launch: &Launch, arguments: &[u8]) -> Result<(), Error> {
        if launch.grid == 0 {
            return Ok(()); // the driver refuses such a grid
        }
        self.driver.during(self.context, || {
            let function = self.function(launch)?;
            let mut attributes = attributes(launch);
            let mut pointers = [arguments.as_ptr().cast_mut().cast()];
            // SAFETY: the function is of the current context and takes one struct, which the driver copies before it returns; the rest by the contract.
            unsafe { self.driver.launch(function, &config(launch, stream, &mut attributes), &mut pointers, launch.kernel) }
        })
    }

    /// The function of a launch, allowed what the launch needs. The context of this device is current.
    fn function(&self, launch: &Launch) -> Result<Function, Error> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the module and its functions are of the current context and live for ever.
        unsafe {
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

/// The device as plans see it, with the stream that kernels are queued on.
#[derive(Clone, Copy)]
pub struct Queue<'a> {
    device: &'a Device,
    stream: Stream,
}

impl Launcher for Queue<'_> {
    fn card(&self) -> Card {
        self.device.card
    }

    fn fits(&self, launch: &Launch) -> Result<bool, crate::Error> {
        Ok(self.device.fits(launch)?)
    }

    unsafe fn launch(&self, launch: &Launch, arguments: &[u8]) -> Result<(), crate::Error> {
        // SAFETY: by the contract.
        unsafe { self.device.launch(self.stream, launch, arguments) }.map_err(crate::Error::from)
    }
}

fn attributes(launch: &Launch) -> Vec<LaunchAttribute> {
    let mut attributes = Vec::new();
    if launch.cooperative {
        attributes.push(LaunchAttribute::cooperative());
    }
    if launch.cluster > 1 {
        attributes.push(LaunchAttribute::cluster(launch.cluster));
    }
    attributes
}

fn config(launch: &Launch, stream: Stream, attributes: &mut [LaunchAttribute]) -> LaunchConfig {
    LaunchConfig {
        grid: [launch.grid, 1, 1],
        block: [launch.block, 1, 1],
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
