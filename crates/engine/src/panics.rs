//! Panics of the engine become errors; they are not printed.
use crate::error::{Code, Fault};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// Threads whose panics are contained have names that open with this.
pub const THREAD: &str = "quarterturn";

/// Keeps contained panics off stderr. The hook that was there goes on serving every other thread.
pub fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !std::thread::current().name().is_some_and(|name| name.starts_with(THREAD)) {
                before(info);
            }
        }));
    });
}

/// Runs a body; a panic becomes a fault.
pub fn contained<T, E: From<Fault>>(body: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| Err(fault(payload.as_ref()).into()))
}

/// What a panic means. tch frees a scalar argument before it looks for libtorch's error, and that free is what finds the
/// error and panics: then it is libtorch's error all the same.
#[must_use]
pub fn fault(payload: &(dyn Any + Send)) -> Fault {
    let text = text(payload);
    match text.split_once("Err` value: Torch(\"") {
        Some((_, inner)) => {
            let end = inner.find("\\n").or_else(|| inner.rfind("\")")).unwrap_or(inner.len());
            Fault::from_text(&inner[..end].replace("\\\"", "\"").replace("\\'", "'"))
        }
        None => Fault::new(Code::Panic, text),
    }
}

/// The first line of what a panic said.
#[must_use]
pub fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| payload.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| "a panic without a message".to_owned());
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    fn run(body: impl FnOnce() -> Result<Tensor, Fault> + Send + 'static) -> Fault {
        quiet();
        let thread = std::thread::Builder::new().name(THREAD.to_owned());
        thread.spawn(|| contained(body).unwrap_err()).unwrap().join().unwrap()
    }

    #[test]
    fn an_error_of_libtorch_that_tch_turns_into_a_panic_is_still_that_error() {
        let fault = run(|| Ok(Tensor::f_full([1 << 25, 1 << 25], 1.0, (Kind::Float, Device::Cpu))?));
        assert_eq!(fault.code, Code::OutOfMemory);
        assert!(fault.message.starts_with("DefaultCPUAllocator") && !fault.message.contains('\n'), "{}", fault.message);
    }

    #[test]
    fn a_panic_is_a_fault_with_its_first_line() {
        let fault = run(|| panic!("first\nsecond"));
        assert_eq!((fault.code, fault.message.as_str()), (Code::Panic, "first"));
    }
}
