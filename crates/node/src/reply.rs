//! Replies of the engine as the arguments of the JavaScript callback.
use napi::bindgen_prelude::{ArrayBuffer, Env, FnArgs, Object, ToNapiValue, Unknown};
use quarterturn_engine::{Failure, LoadedFile, LoadedTensor, Payload, Reply};

/// A reply on its way to the JavaScript thread.
pub struct Message(pub Reply);

#[expect(clippy::cast_precision_loss, reason = "ids and counts are below 2^53")]
fn number(value: u64) -> f64 {
    value as f64
}

fn unknown<T: ToNapiValue>(env: Env, value: T) -> napi::Result<Unknown<'static>> {
    // SAFETY: called on the JavaScript thread within a callback, whose handle scope outlives the value.
    unsafe { Ok(Unknown::from_raw_unchecked(env.raw(), T::to_napi_value(env.raw(), value)?)) }
}

impl Message {
    /// kind, request, payload.
    pub fn into_arguments(self, env: Env) -> napi::Result<FnArgs<(&'static str, f64, Unknown<'static>)>> {
        let arguments = match self.0 {
            Reply::Value { request, payload } => ("value", number(request), value(env, payload)?),
            Reply::Error { request, failure: data } => ("error", number(request), failure(env, &data)?),
            Reply::Failure(data) => ("failure", 0.0, failure(env, &data)?),
        };
        Ok(arguments.into())
    }
}

fn value(env: Env, payload: Payload) -> napi::Result<Unknown<'static>> {
    match payload {
        Payload::Nothing => unknown(env, ()),
        // Copied into memory of V8's own: the engine's tensor may change at any time.
        Payload::Bytes(bytes) => unknown(env, ArrayBuffer::copy_from(&env, bytes)?),
        Payload::File(contents) => file(env, contents),
    }
}

fn failure(env: Env, failure: &Failure) -> napi::Result<Unknown<'static>> {
    let mut object = Object::new(&env)?;
    object.set("id", number(failure.id))?;
    object.set("code", failure.code.as_str())?;
    object.set("op", failure.op.as_str())?;
    object.set("message", failure.message.as_str())?;
    object.set("expected", failure.expected.as_deref())?;
    object.set("got", failure.got.as_deref())?;
    object.set("sequence", number(failure.sequence))?;
    object.set("slot", failure.slot.map(number))?;
    unknown(env, object)
}

fn file(env: Env, contents: LoadedFile) -> napi::Result<Unknown<'static>> {
    let mut metadata = Object::new(&env)?;
    for (key, value) in &contents.metadata {
        metadata.set(key, value.as_str())?;
    }
    let tensors = contents.tensors.into_iter().map(|tensor| entry(&env, tensor)).collect::<napi::Result<Vec<_>>>()?;
    let mut object = Object::new(&env)?;
    object.set("metadata", metadata)?;
    object.set("tensors", tensors)?;
    unknown(env, object)
}

fn entry(env: &Env, tensor: LoadedTensor) -> napi::Result<Object<'_>> {
    let mut object = Object::new(env)?;
    object.set("name", tensor.name)?;
    object.set("dtype", tensor.dtype)?;
    object.set("shape", tensor.shape)?;
    object.set("staging", number(tensor.staging))?;
    Ok(object)
}
