//! Our recurrent kernels behind a C face, for `shim/recurrent.cpp`: pointers become slices, panics and refusals become text.
use crate::call::Outputs;
use crate::panics;
use crate::shim;
use quarterturn_kernels::elman::{self, Nonlinearity};
use quarterturn_kernels::recurrent::{Backward, Forward, Layer, Options, Packed, Shape, WeightGradients, Weights};
use quarterturn_kernels::{Context, Parallel, gru, lstm};
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{null, null_mut};
use std::slice;
use tch::Tensor;
use torch_sys::C_tensor;

/// libtorch's own pool: a region costs a microsecond, and no second pool fights for the cores.
struct LibtorchPool;

impl Parallel for LibtorchPool {
    fn threads(&self) -> usize {
        shim::threads()
    }

    fn run(&self, tasks: usize, body: &(dyn Fn(usize) + Sync)) {
        if tasks == 1 {
            return body(0);
        }
        let done = shim::parallel(tasks, 1, |from: usize, to: usize| (from..to).for_each(body));
        if let Err(fault) = done {
            std::panic::resume_unwind(Box::new(fault.message));
        }
    }
}

/// Which recurrence.
#[derive(Clone, Copy)]
pub enum Cell {
    Lstm,
    Gru,
    Rnn(Nonlinearity),
}

impl Cell {
    /// As `shim/recurrent.cpp` numbers them.
    fn number(self) -> i64 {
        match self {
            Cell::Lstm => 0,
            Cell::Gru => 1,
            Cell::Rnn(Nonlinearity::Tanh) => 2,
            Cell::Rnn(Nonlinearity::Relu) => 3,
        }
    }
}

unsafe extern "C" {
    fn qt_recurrent(cell: i64, reverse: bool, inputs: *const *const C_tensor, outputs: *mut *mut C_tensor) -> *mut c_char;
}

/// One layer and direction by our kernels, as a node of the graph: y, h and, for the LSTM, c.
pub fn run(
    cell: Cell,
    reverse: bool,
    [x, h_0]: [&Tensor; 2],
    c_0: Option<&Tensor>,
    [ih, hh]: [&Tensor; 2],
    biases: [Option<&Tensor>; 2],
) -> Outputs {
    let optional = |tensor: Option<&Tensor>| tensor.map_or(null(), Tensor::as_ptr);
    let inputs = [x.as_ptr(), h_0.as_ptr(), optional(c_0), ih.as_ptr(), hh.as_ptr(), optional(biases[0]), optional(biases[1])];
    let mut outputs = [null_mut(); 3];
    // SAFETY: inputs are tensors or null where that is allowed; there is room for three outputs.
    shim::check(unsafe { qt_recurrent(cell.number(), reverse, inputs.as_ptr(), outputs.as_mut_ptr()) })?;
    let count = if matches!(cell, Cell::Lstm) { 3 } else { 2 };
    outputs.into_iter().take(count).map(shim::made).collect()
}

/// `qt_layer` of `shim/recurrent.cpp`.
#[repr(C)]
pub struct CLayer {
    cell: i64,
    batch: i64,
    time: i64,
    input: i64,
    hidden: i64,
    reverse: bool,
    weight_ih: *const f32,
    weight_hh: *const f32,
    bias_ih: *const f32,
    bias_hh: *const f32,
    version: u64,
    packed: *mut Packed,
}

/// `qt_forward` of `shim/recurrent.cpp`.
#[repr(C)]
pub struct CForward {
    x: *const f32,
    h_0: *const f32,
    c_0: *const f32,
    y: *mut f32,
    h_n: *mut f32,
    c_n: *mut f32,
    reserve: *mut f32,
}

/// `qt_backward` of `shim/recurrent.cpp`.
#[repr(C)]
pub struct CBackward {
    x: *const f32,
    h_0: *const f32,
    c_0: *const f32,
    y: *const f32,
    reserve: *mut f32,
    dy: *const f32,
    dh_n: *const f32,
    dc_n: *const f32,
    dx: *mut f32,
    dh_0: *mut f32,
    dc_0: *mut f32,
    dweight_ih: *mut f32,
    dweight_hh: *mut f32,
    dbias_ih: *mut f32,
    dbias_hh: *mut f32,
}

unsafe fn read<'a>(pointer: *const f32, len: usize) -> Option<&'a [f32]> {
    // SAFETY: the caller passes tensors of this length, or null.
    (!pointer.is_null()).then(|| unsafe { slice::from_raw_parts(pointer, len) })
}

unsafe fn write<'a>(pointer: *mut f32, len: usize) -> Option<&'a mut [f32]> {
    // SAFETY: as above; outputs are fresh tensors that nothing else refers to.
    (!pointer.is_null()).then(|| unsafe { slice::from_raw_parts_mut(pointer, len) })
}

impl CLayer {
    fn cell(&self) -> Cell {
        match self.cell {
            0 => Cell::Lstm,
            1 => Cell::Gru,
            2 => Cell::Rnn(Nonlinearity::Tanh),
            _ => Cell::Rnn(Nonlinearity::Relu),
        }
    }

    fn shape(&self) -> Shape {
        let size = |value: i64| usize::try_from(value).unwrap_or(0);
        Shape { batch: size(self.batch), time: size(self.time), input: size(self.input), hidden: size(self.hidden) }
    }

    /// Rows of the weights: G·H.
    fn rows(&self) -> usize {
        let gates = match self.cell() {
            Cell::Lstm => lstm::GATES.len(),
            Cell::Gru => gru::GATES.len(),
            Cell::Rnn(_) => 1,
        };
        gates * self.shape().hidden
    }

    fn options(&self) -> Options<'_> {
        Options { reverse: self.reverse, lengths: None, recompute: None }
    }

    unsafe fn layer(&self) -> Layer<'_> {
        let (shape, rows) = (self.shape(), self.rows());
        // SAFETY: `shim/recurrent.cpp` has checked the sizes of the weights.
        let weights = unsafe {
            Weights {
                weight_ih: read(self.weight_ih, rows * shape.input).unwrap_or_default(),
                weight_hh: read(self.weight_hh, rows * shape.hidden).unwrap_or_default(),
                bias_ih: read(self.bias_ih, rows),
                bias_hh: read(self.bias_hh, rows),
            }
        };
        Layer { shape, options: self.options(), weights, version: self.version }
    }
}

/// Runs a body; a refusal or panic becomes text that the caller frees.
fn contained(body: impl FnOnce() -> Result<(), quarterturn_kernels::Error>) -> *mut c_char {
    let message = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return null_mut(),
        Ok(Err(error)) => error.to_string(),
        Err(payload) => format!("panic in a kernel: {}", panics::text(payload.as_ref())),
    };
    let text = CString::new(message.replace('\0', " ")).unwrap_or_default();
    // SAFETY: strdup copies the text into memory of the C library, which `free` takes back.
    unsafe { libc::strdup(text.as_ptr()) }
}

/// Empty packed forms.
#[unsafe(no_mangle)]
pub extern "C" fn qt_packed_new() -> *mut Packed {
    Box::into_raw(Box::default())
}

/// # Safety
/// `packed` comes from `qt_packed_new` and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qt_packed_free(packed: *mut Packed) {
    // SAFETY: by the contract.
    drop(unsafe { Box::from_raw(packed) });
}

/// Floats that a training pass saves.
///
/// # Safety
/// `layer` is valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qt_recurrent_reserve(layer: *const CLayer) -> i64 {
    // SAFETY: by the contract.
    let layer = unsafe { &*layer };
    let shape = layer.shape();
    let len = match layer.cell() {
        Cell::Lstm => lstm::reserve_len(&shape, layer.options()),
        Cell::Gru => gru::reserve_len(&shape, layer.options()),
        Cell::Rnn(_) => elman::reserve_len(&shape, layer.options()),
    };
    i64::try_from(len).unwrap_or(i64::MAX)
}

/// # Safety
/// Pointers are valid for the sizes of the layer, and nobody else uses `packed` meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qt_recurrent_forward(c_layer: *const CLayer, buffers: *const CForward) -> *mut c_char {
    contained(|| {
        // SAFETY: by the contract.
        let (c_layer, buffers) = unsafe { (&*c_layer, &*buffers) };
        let shape = c_layer.shape();
        let state = shape.batch * shape.hidden;
        // SAFETY: by the contract.
        let (layer, packed) = unsafe { (c_layer.layer(), &mut *c_layer.packed) };
        // SAFETY: by the contract.
        let reserve = unsafe { usize::try_from(qt_recurrent_reserve(c_layer)).unwrap_or(0) };
        // SAFETY: by the contract.
        let forward = unsafe {
            Forward {
                x: read(buffers.x, shape.batch * shape.time * shape.input).unwrap_or_default(),
                h_0: read(buffers.h_0, state),
                c_0: read(buffers.c_0, state),
                y: write(buffers.y, state * shape.time).unwrap_or_default(),
                h_n: write(buffers.h_n, state),
                c_n: write(buffers.c_n, state),
                reserve: write(buffers.reserve, reserve),
            }
        };
        let context = Context::new(&LibtorchPool);
        match c_layer.cell() {
            Cell::Lstm => lstm::forward(&context, &layer, packed, forward),
            Cell::Gru => gru::forward(&context, &layer, packed, forward),
            Cell::Rnn(nonlinearity) => elman::forward(&context, &layer, nonlinearity, packed, forward),
        }
    })
}

/// # Safety
/// As for `qt_recurrent_forward`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qt_recurrent_backward(c_layer: *const CLayer, buffers: *const CBackward) -> *mut c_char {
    contained(|| {
        // SAFETY: by the contract.
        let (c_layer, buffers) = unsafe { (&*c_layer, &*buffers) };
        let (shape, rows) = (c_layer.shape(), c_layer.rows());
        let state = shape.batch * shape.hidden;
        let (x_len, y_len) = (shape.batch * shape.time * shape.input, state * shape.time);
        // SAFETY: by the contract.
        let (layer, packed) = unsafe { (c_layer.layer(), &mut *c_layer.packed) };
        // SAFETY: by the contract.
        let reserve = unsafe { usize::try_from(qt_recurrent_reserve(c_layer)).unwrap_or(0) };
        // SAFETY: by the contract.
        let backward = unsafe {
            Backward {
                x: read(buffers.x, x_len).unwrap_or_default(),
                h_0: read(buffers.h_0, state),
                c_0: read(buffers.c_0, state),
                y: read(buffers.y, y_len).unwrap_or_default(),
                reserve: write(buffers.reserve, reserve).unwrap_or_default(),
                dy: read(buffers.dy, y_len),
                dh_n: read(buffers.dh_n, state),
                dc_n: read(buffers.dc_n, state),
                dx: write(buffers.dx, x_len),
                dh_0: write(buffers.dh_0, state),
                dc_0: write(buffers.dc_0, state),
                dweights: write(buffers.dweight_ih, rows * shape.input).zip(write(buffers.dweight_hh, rows * shape.hidden)).map(
                    |(weight_ih, weight_hh)| WeightGradients {
                        weight_ih,
                        weight_hh,
                        bias_ih: write(buffers.dbias_ih, rows),
                        bias_hh: write(buffers.dbias_hh, rows),
                    },
                ),
            }
        };
        let context = Context::new(&LibtorchPool);
        match c_layer.cell() {
            Cell::Lstm => lstm::backward(&context, &layer, packed, backward),
            Cell::Gru => gru::backward(&context, &layer, packed, backward),
            Cell::Rnn(nonlinearity) => elman::backward(&context, &layer, nonlinearity, packed, backward),
        }
    })
}
