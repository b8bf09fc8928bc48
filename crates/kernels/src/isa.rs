//! Instruction sets: which one the CPU has, which one a caller forces, and the one door through which vector code is entered.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use crate::Error;
use crate::denormal::Flush;
#[cfg(target_arch = "x86_64")]
use crate::vector::{Avx2, Avx512};
use crate::vector::{Kernel, Portable, Vector};

/// The environment variable that forces an instruction set: `avx512bf16`, `avx512`, `avx2` or `portable`.
pub const ISA_VARIABLE: &str = "QUARTERTURN_ISA";

/// An instruction set that the kernels are compiled for. All are in the binary; one is chosen at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// AVX-512 with products of pairs of bfloat16, where tensors are bfloat16; otherwise the same. Chosen where such products are faster
    /// than those of float32: see [`Isa::detected`].
    Avx512Bf16,
    /// 16 lanes, 32 registers: x86-64 with AVX-512 F, VL, DQ and BW.
    Avx512,
    /// 8 lanes, 16 registers: x86-64 with AVX2 and FMA.
    Avx2,
    /// Plain arithmetic on four floats that the compiler vectorises for whatever it is built for.
    Portable,
}

impl Isa {
    /// Every instruction set, the widest first.
    pub const ALL: [Isa; 4] = [Isa::Avx512Bf16, Isa::Avx512, Isa::Avx2, Isa::Portable];

    /// Whether this CPU can run it.
    #[must_use]
    pub fn is_supported(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => Isa::Avx512.is_supported() && is_x86_feature_detected!("avx512bf16"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                Isa::Avx2.is_supported()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx512Bf16 | Isa::Avx512 | Isa::Avx2 => false,
            Isa::Portable => true,
        }
    }

    /// The instruction sets that this CPU can run, the widest first.
    pub fn supported() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_supported())
    }

    /// What the kernels use unless told otherwise: the one that [`ISA_VARIABLE`] names, if this CPU has it, else the widest that is worth it.
    /// Read once.
    ///
    /// Products of pairs are worth it on AMD's CPUs, which begin one a cycle: twice the rate of float32 (233 against 117 GF/s a core of Zen 4).
    /// Intel's begin one in two cycles: half the rate of float32 (61 against 122 GF/s a core of Emerald Rapids), and have their fast ones
    /// in AMX, whose intrinsics stable Rust does not have.
    #[must_use]
    pub fn detected() -> Isa {
        static DETECTED: OnceLock<Isa> = OnceLock::new();
        *DETECTED.get_or_init(|| {
            let forced = std::env::var(ISA_VARIABLE).ok().and_then(|name| name.parse().ok());
            let worth_it = |isa: &Isa| *isa != Isa::Avx512Bf16 || is_amd();
            forced.filter(|isa: &Isa| isa.is_supported()).or_else(|| Isa::supported().find(worth_it)).unwrap_or(Isa::Portable)
        })
    }

    /// Floats in one vector.
    #[must_use]
    pub fn lanes(self) -> usize {
        match self {
            Isa::Avx512Bf16 | Isa::Avx512 => 16,
            Isa::Avx2 => 8,
            Isa::Portable => 4,
        }
    }

    /// Runs `kernel` compiled for this instruction set; denormal numbers are zeros to it.
    ///
    /// # Safety
    /// This CPU must support the set, and whatever the kernel itself asks for must hold.
    pub(crate) unsafe fn run<K: Kernel>(self, kernel: K) -> K::Output {
        let _flush = Flush::begin();
        // SAFETY: the caller vouches for both.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512Bf16 | Isa::Avx512 => Avx512::call(kernel),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => Avx2::call(kernel),
                _ => Portable::call(kernel),
            }
        }
    }
}

/// Whether AMD made this CPU.
fn is_amd() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        let vendor = std::arch::x86_64::__cpuid(0);
        [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat() == b"AuthenticAMD"
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isa::Avx512Bf16 => "avx512bf16",
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Portable => "portable",
        })
    }
}

impl FromStr for Isa {
    type Err = Error;

    fn from_str(name: &str) -> Result<Isa, Error> {
        Isa::ALL
            .into_iter()
            .find(|isa| isa.to_string() == name)
            .ok_or_else(|| Error::new("isa", format!("must be avx512bf16, avx512, avx2 or portable, got {name}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_the_default_runs_here() {
        for isa in Isa::ALL {
            assert_eq!(isa.to_string().parse::<Isa>().unwrap(), isa);
        }
        assert!("sse9".parse::<Isa>().is_err());
        assert!(Isa::detected().is_supported());
    }
}
