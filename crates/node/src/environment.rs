//! The environment of this JavaScript thread: begun by `start`, ended by Node's clean-up hook.
use crate::reply::Message;
use napi::bindgen_prelude::{Env, FnArgs, Function, Unknown};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Error, Status};
use quarterturn_engine::{self as engine, Environment, Fault};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Environment>>> = const { RefCell::new(None) };
}

pub type Arguments = FnArgs<(&'static str, f64, Unknown<'static>)>;
/// Weak: it does not keep the event loop alive. napi-rs marks it as aborted when the environment ends, under a lock that
/// the engine holds while it calls.
type Replies = ThreadsafeFunction<Message, (), Arguments, Status, false, true>;

/// Begins the environment of this thread.
pub fn start(env: Env, reply: &Function<Arguments, ()>) -> napi::Result<()> {
    if started().is_some() {
        return Err(Error::new(Status::GenericFailure, "start: this thread has started already"));
    }
    let builder = reply.build_threadsafe_function::<Message>().weak::<true>();
    let replies: Replies = builder.build_callback(|context| context.value.into_arguments(context.env))?;
    let sink = move |reply| {
        // A closing environment refuses; then nobody is left to hear it.
        let _ = replies.call(Message(reply), ThreadsafeFunctionCallMode::NonBlocking);
    };
    let environment = Environment::start(Box::new(sink)).map_err(|fault| error(&fault))?;
    CURRENT.set(Some(Arc::clone(&environment)));
    env.add_env_cleanup_hook(environment, |environment| {
        environment.close();
        // The thread's storage may be gone already, and that is as good.
        let _ = CURRENT.try_with(|current| current.replace(None));
    })?;
    Ok(())
}

/// The environment of this thread, if it has started.
pub fn started() -> Option<Arc<Environment>> {
    CURRENT.with_borrow(Clone::clone)
}

/// The environment of this thread.
pub fn current() -> napi::Result<Arc<Environment>> {
    started().ok_or_else(|| Error::new(Status::GenericFailure, "this thread has not started: call start first"))
}

/// A fault as an exception; one that belongs to an operation travels as data instead.
pub fn error(fault: &Fault) -> Error {
    Error::new(Status::GenericFailure, format!("{}: {}", fault.code.as_str(), fault.message))
}

/// Runs the body of an entry point; a panic becomes an exception.
pub fn contained<T>(body: impl FnOnce() -> napi::Result<T>) -> napi::Result<T> {
    catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|payload| Err(Error::new(Status::GenericFailure, format!("ERR_PANIC: {}", engine::panic_text(payload.as_ref())))))
}
