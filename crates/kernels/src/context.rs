//! Where and how a kernel runs.

use crate::{Error, Isa, Parallel, Pool};

/// The instruction set, the executor and the memory of a call. Made once per call or kept; it holds nothing of the call itself.
#[derive(Clone)]
pub struct Context<'a> {
    isa: Isa,
    parallel: &'a dyn Parallel,
    pool: &'a Pool,
}

impl<'a> Context<'a> {
    /// The detected instruction set, the global pool, and `parallel` for the threads.
    #[must_use]
    pub fn new(parallel: &'a dyn Parallel) -> Self {
        Context { isa: Isa::detected(), parallel, pool: Pool::global() }
    }

    /// The same with another instruction set; an error if this CPU lacks it.
    pub fn with_isa(self, isa: Isa) -> Result<Self, Error> {
        if !isa.is_supported() {
            return Err(Error::new("isa", format!("this CPU has no {isa}")));
        }
        Ok(Context { isa, ..self })
    }

    /// The same with another pool.
    #[must_use]
    pub fn with_pool(self, pool: &'a Pool) -> Self {
        Context { pool, ..self }
    }

    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    #[must_use]
    pub fn parallel(&self) -> &'a dyn Parallel {
        self.parallel
    }

    #[must_use]
    pub fn pool(&self) -> &'a Pool {
        self.pool
    }
}
