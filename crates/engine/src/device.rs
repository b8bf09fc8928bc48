//! Devices: what there is, and the checks that only an accelerator needs.
use crate::error::{Code, Fault};
use tch::{Device, Tensor};

/// Fails if libtorch cannot reach the device.
pub fn available(device: Device) -> Result<Device, Fault> {
    match device {
        Device::Cuda(index) => {
            let count = cuda_devices();
            if i64::try_from(index).is_ok_and(|index| index < count) {
                return Ok(device);
            }
            let got = if count == 0 { "no CUDA device is available".to_owned() } else { format!("{count} CUDA devices are available") };
            let message = format!("cuda:{index} was asked for, but {got}");
            Err(Fault { got: Some(got), expected: Some(format!("cuda:{index}")), ..Fault::new(Code::Device, message) })
        }
        _ => Ok(device),
    }
}

/// How many CUDA devices libtorch sees.
#[must_use]
pub fn cuda_devices() -> i64 {
    if tch::Cuda::is_available() { tch::Cuda::device_count() } else { 0 }
}

/// On the CPU libtorch checks indices itself. On CUDA an index out of range is an assertion of the device, after
/// which the process cannot use it any more; so it is checked here, at the price of one synchronisation.
pub fn check_range(index: &Tensor, length: i64) -> Result<(), Fault> {
    if index.device() == Device::Cpu || index.numel() == 0 {
        return Ok(());
    }
    let (low, high) = (index.f_min()?.f_int64_value(&[])?, index.f_max()?.f_int64_value(&[])?);
    if low >= 0 && high < length {
        return Ok(());
    }
    let worst = if low < 0 { low } else { high };
    Err(Fault::mismatch(Code::Range, "index", format!("0 to {}", length - 1), worst.to_string()))
}
