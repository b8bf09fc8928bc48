//! Whether this thread records gradients, switched only when it changes and put back at the end.
use crate::shim;

/// The mode while it is held; dropping it restores what was before.
pub struct GradMode {
    before: bool,
    now: bool,
}

impl GradMode {
    /// Begins with what holds now.
    #[must_use]
    pub fn hold() -> Self {
        let before = shim::grad_enabled();
        Self { before, now: before }
    }

    pub fn set(&mut self, enabled: bool) {
        if enabled != self.now {
            // SAFETY: sets a thread-local flag of libtorch.
            unsafe { torch_sys::at_grad_set_enabled(i32::from(enabled)) };
            self.now = enabled;
        }
    }
}

impl Drop for GradMode {
    fn drop(&mut self) {
        self.set(self.before);
    }
}
