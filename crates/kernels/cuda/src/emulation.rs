//! Runs kernels on the CPU, thread by thread, as `emulation/emulation.h` says: to try their logic where there is no device.

use std::ffi::{CStr, CString, c_char, c_int, c_void};

use crate::{Card, Error, Launch, Launcher};

unsafe extern "C" {
    fn quarterturn_emulate(
        name: *const c_char,
        grid: u32,
        block: u32,
        cluster: u32,
        cooperative: c_int,
        shared: usize,
        arguments: *const c_void,
        arguments_size: usize,
        order: u64,
        message: *mut c_char,
        message_size: usize,
    ) -> c_int;
}

/// A launcher whose memory is that of the process: an address in a [`crate::View`] is a pointer.
#[derive(Clone, Copy, Debug)]
pub struct Emulation {
    /// What the plans are told: a card with little shared memory splits small problems as a real one splits large ones.
    pub card: Card,
    /// The order in which threads run between two meetings: 0 forwards, 1 backwards, else turned round by chance. A kernel whose results
    /// depend on it lacks a barrier.
    pub order: u64,
}

impl Emulation {
    pub fn new(card: Card) -> Emulation {
        Emulation { card, order: 0 }
    }
}

impl Launcher for Emulation {
    fn card(&self) -> Card {
        self.card
    }

    fn fits(&self, launch: &Launch) -> Result<bool, Error> {
        let Card { multiprocessors, shared_bytes, max_cluster, .. } = self.card;
        let blocks = if launch.cooperative { launch.grid } else { launch.cluster };
        Ok(launch.shared <= shared_bytes && launch.cluster as usize <= max_cluster && blocks as usize <= multiprocessors)
    }

    unsafe fn launch(&self, launch: &Launch, arguments: &[u8]) -> Result<(), Error> {
        let refuse = |message: String| Error::Launch { kernel: launch.kernel, message };
        if launch.grid == 0 {
            return Ok(());
        }
        if !self.fits(launch)? {
            return Err(refuse(format!("{launch:?} does not fit {:?}", self.card)));
        }
        // An address in the middle of a byte buffer may be odd; a kernel's arguments hold pointers.
        let mut aligned = vec![0u64; arguments.len().div_ceil(8)];
        let name = CString::new(launch.kernel).map_err(|error| refuse(error.to_string()))?;
        let mut message = [0u8; 512];
        // SAFETY: the caller vouches for the arguments; the emulation writes a message that ends in 0.
        let failed = unsafe {
            aligned.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(arguments.as_ptr(), arguments.len());
            quarterturn_emulate(
                name.as_ptr(),
                launch.grid,
                launch.block,
                launch.cluster,
                c_int::from(launch.cooperative),
                launch.shared,
                aligned.as_ptr().cast(),
                arguments.len(),
                self.order,
                message.as_mut_ptr().cast(),
                message.len(),
            )
        };
        if failed == 0 {
            return Ok(());
        }
        let text = CStr::from_bytes_until_nul(&message).map_or_else(|error| error.to_string(), |text| text.to_string_lossy().into_owned());
        Err(refuse(text.strip_prefix(&format!("{}: ", launch.kernel)).unwrap_or(&text).to_owned()))
    }
}
