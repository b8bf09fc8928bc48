//! Panics of the engine become errors; they are not printed.
use std::any::Any;
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

/// What a panic said.
#[must_use]
pub fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| payload.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| "a panic without a message".to_owned());
    text.lines().next().unwrap_or_default().to_owned()
}
