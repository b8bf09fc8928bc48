//! The driver's library, opened when it is first wanted: nothing of CUDA is linked. Types and numbers are those of NVIDIA's `cuda.h`.
use super::error::Error;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;

/// `CUresult`.
pub type Status = c_int;
pub const OUT_OF_MEMORY: Status = 2;
const NO_DEVICE: Status = 100;

/// Opaque handles of the driver.
pub type Context = *mut c_void;
pub type Module = *mut c_void;
pub type Function = *mut c_void;
pub type Stream = *mut c_void;

/// `CUdevice_attribute`, as far as wanted.
#[derive(Clone, Copy)]
pub enum Attribute {
    Multiprocessors = 16,
    Major = 75,
    Minor = 76,
    SharedPerBlock = 97,
    ClusterLaunch = 120,
}

/// `CUfunction_attribute`, as far as wanted.
#[derive(Clone, Copy)]
pub enum FunctionAttribute {
    MaxDynamicShared = 8,
    NonPortableCluster = 14,
}

/// `CUlaunchAttribute`: an id and a union of 64 bytes.
#[repr(C)]
pub struct LaunchAttribute {
    id: c_uint,
    padding: c_uint,
    value: [c_uint; 16],
}

impl LaunchAttribute {
    fn new(id: c_uint, words: [c_uint; 3]) -> Self {
        let mut value = [0; 16];
        value[..3].copy_from_slice(&words);
        Self { id, padding: 0, value }
    }

    /// All blocks of the grid are on the device at once, so that they may wait for one another.
    pub fn cooperative() -> Self {
        Self::new(2, [1, 0, 0])
    }

    /// So many blocks side by side, which share memory and barriers.
    pub fn cluster(blocks: c_uint) -> Self {
        Self::new(4, [blocks, 1, 1])
    }
}

/// `CUlaunchConfig`.
#[repr(C)]
pub struct LaunchConfig {
    pub grid: [c_uint; 3],
    pub block: [c_uint; 3],
    pub shared: c_uint,
    pub stream: Stream,
    pub attributes: *mut LaunchAttribute,
    pub attribute_count: c_uint,
}

macro_rules! functions {
    ($($name:ident = $symbol:literal ($($argument:ty),*);)*) => {
        /// The functions of the library that are used.
        struct Functions {
            $($name: unsafe extern "C" fn($($argument),*) -> Status,)*
        }

        impl Functions {
            fn find(library: *mut c_void) -> Result<Self, Error> {
                // SAFETY: each has the signature that cuda.h gives it.
                Ok(unsafe { Self { $($name: std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($argument),*) -> Status>(symbol(library, $symbol)?),)* } })
            }
        }
    };
}

functions! {
    init = c"cuInit" (c_uint);
    driver_version = c"cuDriverGetVersion" (*mut c_int);
    error_string = c"cuGetErrorString" (Status, *mut *const c_char);
    device_get = c"cuDeviceGet" (*mut c_int, c_int);
    device_name = c"cuDeviceGetName" (*mut c_char, c_int, c_int);
    device_attribute = c"cuDeviceGetAttribute" (*mut c_int, c_int, c_int);
    primary_context = c"cuDevicePrimaryCtxRetain" (*mut Context, c_int);
    context = c"cuCtxGetCurrent" (*mut Context);
    set_context = c"cuCtxSetCurrent" (Context);
    load_module = c"cuModuleLoadData" (*mut Module, *const c_void);
    module_function = c"cuModuleGetFunction" (*mut Function, Module, *const c_char);
    set_function_attribute = c"cuFuncSetAttribute" (Function, c_int, c_int);
    active_blocks = c"cuOccupancyMaxActiveBlocksPerMultiprocessor" (*mut c_int, Function, c_int, usize);
    active_clusters = c"cuOccupancyMaxActiveClusters" (*mut c_int, Function, *const LaunchConfig);
    launch = c"cuLaunchKernelEx" (*const LaunchConfig, Function, *mut *mut c_void, *mut *mut c_void);
}

fn symbol(library: *mut c_void, name: &CStr) -> Result<*mut c_void, Error> {
    // SAFETY: a library that is open, and a string.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    if found.is_null() { Err(Error::DriverTooOld { found: format!("without {}", name.to_string_lossy()) }) } else { Ok(found) }
}

/// The library of the driver. It stays open for the life of the process.
pub struct Driver {
    functions: Functions,
}

impl Driver {
    /// The release of CUDA whose nvcc makes the kernels: the driver has to know it, as libtorch's own kernels want it to.
    pub const NEEDED: c_int = 13_000;

    /// Opens the library of this name and asks it to start.
    pub fn open(name: &str) -> Result<Self, Error> {
        let path = CString::new(name).map_err(|_| Error::NoDriver(format!("{name:?} is no path")))?;
        // SAFETY: opens the driver, whose initialisers NVIDIA answers for.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            return Err(Error::NoDriver(open_error()));
        }
        let driver = Self { functions: Functions::find(library)? };
        let version = driver.version()?;
        if version < Self::NEEDED {
            return Err(Error::DriverTooOld { found: format!("for CUDA {}.{}", version / 1000, version % 1000 / 10) });
        }
        // SAFETY: no pointers.
        match unsafe { (driver.functions.init)(0) } {
            NO_DEVICE => Err(Error::NoDriver("it sees no device".to_owned())),
            status => driver.check(status, "cuInit").map(|()| driver),
        }
    }

    fn version(&self) -> Result<c_int, Error> {
        let mut version = 0;
        // SAFETY: a valid pointer.
        self.check(unsafe { (self.functions.driver_version)(&raw mut version) }, "cuDriverGetVersion")?;
        Ok(version)
    }

    pub(super) fn device(&self, ordinal: usize) -> Result<c_int, Error> {
        let mut device = 0;
        // SAFETY: a valid pointer.
        self.check(unsafe { (self.functions.device_get)(&raw mut device, c_int::try_from(ordinal).unwrap_or(c_int::MAX)) }, "cuDeviceGet")?;
        Ok(device)
    }

    pub(super) fn name(&self, device: c_int) -> Result<String, Error> {
        let mut name = [0; 256];
        // SAFETY: room for 256 bytes, the last of which stays zero.
        self.check(unsafe { (self.functions.device_name)(name.as_mut_ptr(), 255, device) }, "cuDeviceGetName")?;
        // SAFETY: ends with a zero.
        Ok(unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned())
    }

    pub(super) fn attribute(&self, device: c_int, attribute: Attribute) -> Result<usize, Error> {
        let mut value = 0;
        // SAFETY: a valid pointer.
        let status = unsafe { (self.functions.device_attribute)(&raw mut value, attribute as c_int, device) };
        self.check(status, "cuDeviceGetAttribute")?;
        Ok(usize::try_from(value).unwrap_or(0))
    }

    /// The context that libtorch uses too. Kept for the life of the process.
    pub(super) fn primary_context(&self, device: c_int) -> Result<Context, Error> {
        let mut context = null_mut();
        // SAFETY: a valid pointer.
        self.check(unsafe { (self.functions.primary_context)(&raw mut context, device) }, "cuDevicePrimaryCtxRetain")?;
        Ok(context)
    }

    /// Runs a body with this context current on this thread, and puts back the one before: libtorch has its own idea of the current device.
    pub(super) fn during<T>(&self, context: Context, body: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let mut before = null_mut();
        // SAFETY: a valid pointer.
        self.check(unsafe { (self.functions.context)(&raw mut before) }, "cuCtxGetCurrent")?;
        if before == context {
            return body();
        }
        // SAFETY: contexts of the driver.
        self.check(unsafe { (self.functions.set_context)(context) }, "cuCtxSetCurrent")?;
        let done = body();
        // SAFETY: as above.
        self.check(unsafe { (self.functions.set_context)(before) }, "cuCtxSetCurrent")?;
        done
    }

    /// Loads a fat binary into the current context.
    pub(super) fn load(&self, image: &[u8]) -> Result<Module, Error> {
        let mut module = null_mut();
        // SAFETY: the driver reads as far as the header of the image says; `Device::open` looks at that header.
        match unsafe { (self.functions.load_module)(&raw mut module, image.as_ptr().cast()) } {
            0 => Ok(module),
            OUT_OF_MEMORY => Err(Error::OutOfMemory("loading the kernels".to_owned())),
            status => Err(Error::Image(self.text(status))),
        }
    }

    /// # Safety
    /// A module of the current context.
    pub(super) unsafe fn function(&self, module: Module, name: &str) -> Result<Function, Error> {
        let (mut function, symbol) = (null_mut(), CString::new(name).unwrap_or_default());
        // SAFETY: by the contract.
        match unsafe { (self.functions.module_function)(&raw mut function, module, symbol.as_ptr()) } {
            0 => Ok(function),
            status => Err(Error::Image(format!("{name}: {}", self.text(status)))),
        }
    }

    /// # Safety
    /// A function of the current context.
    pub(super) unsafe fn set_function_attribute(
        &self,
        function: Function,
        attribute: FunctionAttribute,
        value: usize,
    ) -> Result<(), Error> {
        let value = c_int::try_from(value).unwrap_or(c_int::MAX);
        // SAFETY: by the contract.
        self.check(unsafe { (self.functions.set_function_attribute)(function, attribute as c_int, value) }, "cuFuncSetAttribute")
    }

    /// How many blocks of a kernel a multiprocessor holds at once.
    ///
    /// # Safety
    /// A function of the current context.
    pub(super) unsafe fn active_blocks(&self, function: Function, threads: usize, shared: usize) -> Result<usize, Error> {
        let (mut blocks, threads) = (0, c_int::try_from(threads).unwrap_or(c_int::MAX));
        // SAFETY: by the contract.
        let status = unsafe { (self.functions.active_blocks)(&raw mut blocks, function, threads, shared) };
        self.check(status, "cuOccupancyMaxActiveBlocksPerMultiprocessor")?;
        Ok(usize::try_from(blocks).unwrap_or(0))
    }

    /// How many clusters of a launch the device holds at once.
    ///
    /// # Safety
    /// A function of the current context; the attributes of the configuration are there.
    pub(super) unsafe fn active_clusters(&self, function: Function, config: &LaunchConfig) -> Result<usize, Error> {
        let mut clusters = 0;
        // SAFETY: by the contract.
        let status = unsafe { (self.functions.active_clusters)(&raw mut clusters, function, config) };
        self.check(status, "cuOccupancyMaxActiveClusters")?;
        Ok(usize::try_from(clusters).unwrap_or(0))
    }

    /// Queues a kernel on the stream of the configuration.
    ///
    /// # Safety
    /// A function of the current context, and pointers to as many arguments as it has, each of its type.
    pub(super) unsafe fn launch(
        &self,
        function: Function,
        config: &LaunchConfig,
        arguments: &mut [*mut c_void],
        name: &str,
    ) -> Result<(), Error> {
        // SAFETY: by the contract.
        self.check(unsafe { (self.functions.launch)(config, function, arguments.as_mut_ptr(), null_mut()) }, name)
    }

    fn check(&self, status: Status, what: &str) -> Result<(), Error> {
        match status {
            0 => Ok(()),
            OUT_OF_MEMORY => Err(Error::OutOfMemory(what.to_owned())),
            _ => Err(Error::Driver(format!("{what}: {}", self.text(status)))),
        }
    }

    fn text(&self, status: Status) -> String {
        let mut text: *const c_char = std::ptr::null();
        // SAFETY: a valid pointer; the driver's texts live for ever.
        let known = unsafe { (self.functions.error_string)(status, &raw mut text) } == 0 && !text.is_null();
        // SAFETY: as above.
        let text = if known { unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned() } else { "unknown error".to_owned() };
        format!("{text} (error {status} of the driver)")
    }
}

fn open_error() -> String {
    // SAFETY: null, or a text that lives until the next call on this thread.
    let text = unsafe { libc::dlerror() };
    // SAFETY: as above; copied at once.
    if text.is_null() { "unknown failure of dlopen".to_owned() } else { unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned() }
}
