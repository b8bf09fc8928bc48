//! Our kernels as libtorch operations: which there are, how the interpreter runs them, and (in [`face`]) how the shim reaches them.
mod batch_norm;
mod cross_entropy;
mod delta_rule;
mod dense;
mod diagonal;
mod face;
pub mod few_rows;
mod linear;
mod residual;
mod slstm;
mod stack;
mod view;

use crate::call::Outputs;
use crate::error::Fault;
use crate::{crew, shim};
use quarterturn_kernels::{Context, Parallel, recurrent, residual_mlp};
use std::ffi::c_char;
use std::ptr::{null, null_mut};
use tch::Tensor;
use torch_sys::C_tensor;
use view::View;

/// A kernel, numbered as in `shim/kernels.cpp`, where the inputs and attributes of each are written as a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    Lstm,
    Gru,
    Rnn,
    Scan,
    MinGru,
    MinLstm,
    Highway,
    ResidualNorm,
    ResidualMlp,
    LstmStack,
    GruStack,
    CrossEntropy,
    BatchNorm,
    DeltaRule,
    ParaGru,
    ParaLstm,
    Slstm,
}

const KERNELS: [Kernel; 17] = [
    Kernel::Lstm,
    Kernel::Gru,
    Kernel::Rnn,
    Kernel::Scan,
    Kernel::MinGru,
    Kernel::MinLstm,
    Kernel::Highway,
    Kernel::ResidualNorm,
    Kernel::ResidualMlp,
    Kernel::LstmStack,
    Kernel::GruStack,
    Kernel::CrossEntropy,
    Kernel::BatchNorm,
    Kernel::DeltaRule,
    Kernel::ParaGru,
    Kernel::ParaLstm,
    Kernel::Slstm,
];

/// The most outputs that a kernel has.
const MOST_OUTPUTS: usize = 3;

impl Kernel {
    /// As in the schema.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::Lstm => "lstm",
            Kernel::Gru => "gru",
            Kernel::Rnn => "rnn",
            Kernel::Scan => "scan",
            Kernel::MinGru => "mingru",
            Kernel::MinLstm => "minlstm",
            Kernel::Highway => "highway",
            Kernel::ResidualNorm => "residual_norm",
            Kernel::ResidualMlp => "residual_mlp",
            Kernel::LstmStack => "lstm_stack",
            Kernel::GruStack => "gru_stack",
            Kernel::CrossEntropy => "cross_entropy",
            Kernel::BatchNorm => "batch_norm",
            Kernel::DeltaRule => "delta_rule",
            Kernel::ParaGru => "paragru",
            Kernel::ParaLstm => "paralstm",
            Kernel::Slstm => "slstm",
        }
    }

    /// By its number in `shim/kernels.cpp`.
    pub fn numbered(number: i64) -> Option<Kernel> {
        usize::try_from(number).ok().and_then(|number| KERNELS.get(number)).copied()
    }

    pub fn outputs(self) -> usize {
        match self {
            Kernel::Lstm | Kernel::LstmStack | Kernel::ParaLstm => 3,
            Kernel::Highway | Kernel::ResidualMlp | Kernel::CrossEntropy => 1,
            _ => 2,
        }
    }
}

unsafe extern "C" {
    fn qt_kernel(
        kernel: i64,
        inputs: *const *const C_tensor,
        inputs_count: usize,
        attributes: *const f64,
        attributes_count: usize,
        outputs: *mut *mut C_tensor,
    ) -> *mut c_char;
}

/// Runs a kernel as a node of the graph; inputs and attributes in the order of its schema.
pub fn run(kernel: Kernel, inputs: &[Option<&Tensor>], attributes: &[f64]) -> Outputs {
    let inputs: Vec<*const C_tensor> = inputs.iter().map(|tensor| tensor.map_or(null(), Tensor::as_ptr)).collect();
    let mut outputs = [null_mut(); MOST_OUTPUTS];
    // SAFETY: inputs are tensors or null, and there is room for the outputs.
    shim::check(unsafe {
        qt_kernel(kernel as i64, inputs.as_ptr(), inputs.len(), attributes.as_ptr(), attributes.len(), outputs.as_mut_ptr())
    })
    .map_err(unnamed)?;
    outputs.into_iter().take(kernel.outputs()).map(shim::made).collect()
}

/// Without the kernel's own name, which comes first: the interpreter says which operation it was.
fn unnamed(fault: Fault) -> Fault {
    match fault.message.split_once(": ") {
        Some((name, rest)) if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') => {
            Fault { message: rest.to_owned(), ..fault }
        }
        _ => fault,
    }
}

/// libtorch's own pool: a region costs a microsecond, and no second pool fights for the cores. On a walk, the crew that it lends.
struct LibtorchPool;

impl Parallel for LibtorchPool {
    fn threads(&self) -> usize {
        crew::current().map_or_else(shim::threads, Parallel::threads)
    }

    fn run(&self, tasks: usize, body: &(dyn Fn(usize) + Sync)) {
        if tasks == 1 {
            return body(0);
        }
        if let Some(crew) = crew::current() {
            return crew.run(tasks, body);
        }
        let done = shim::parallel(tasks, 1, |from: usize, to: usize| (from..to).for_each(body));
        if let Err(fault) = done {
            std::panic::resume_unwind(Box::new(fault.message));
        }
    }
}

/// Where and how our kernels run in the engine.
pub fn context() -> Context<'static> {
    Context::new(&LibtorchPool)
}

/// Packed weights of whichever kernel they belong to.
#[derive(Default)]
pub struct Packed {
    recurrent: recurrent::Packed,
    stack: Vec<recurrent::Packed>,
    residual_mlp: residual_mlp::Packed,
}

/// What a kernel refuses, as text.
type Refused<T = ()> = Result<T, String>;

/// One call as a kernel sees it.
struct Call<'a> {
    kernel: Kernel,
    float64: bool,
    bfloat16: bool,
    attributes: &'a [f64],
    inputs: &'a [View],
    version: u64,
}

/// The sizes of the outputs, `None` for those of the first input, and how many floats a training pass saves.
struct Plan {
    outputs: Vec<Option<Vec<usize>>>,
    reserve: usize,
}

impl<'a> Call<'a> {
    /// The number of an attribute that is one.
    fn number(&self, place: usize) -> f64 {
        self.attributes.get(place).copied().unwrap_or_default()
    }

    fn flag(&self, place: usize) -> bool {
        self.number(place) != 0.0
    }

    /// An input that has to be there; the shim checks that it is.
    fn input<F>(&self, place: usize) -> &'a [F] {
        self.optional(place).unwrap_or_default()
    }

    fn optional<F>(&self, place: usize) -> Option<&'a [F]> {
        self.inputs.get(place).and_then(View::read)
    }

    fn sizes<const N: usize>(&self, place: usize, name: &str, letters: &str) -> Refused<[usize; N]> {
        let sizes = self.inputs.get(place).map(View::sizes).unwrap_or_default();
        <[usize; N]>::try_from(sizes.as_slice()).map_err(|_| format!("{}: {name} must be {letters}, got {sizes:?}", self.kernel.name()))
    }

    /// Refuses an input, if it is there, whose sizes are others.
    fn expect(&self, place: usize, name: &str, expected: &[usize]) -> Refused {
        let sizes = self.inputs.get(place).filter(|view| view.is_there()).map(View::sizes);
        match sizes {
            Some(sizes) if sizes != expected => Err(format!("{}: {name} must be {expected:?}, got {sizes:?}", self.kernel.name())),
            _ => Ok(()),
        }
    }

    fn plan(&self) -> Refused<Plan> {
        match self.kernel {
            Kernel::Lstm | Kernel::Gru | Kernel::Rnn => dense::plan(self),
            Kernel::Scan | Kernel::MinGru | Kernel::MinLstm => linear::plan(self),
            Kernel::Highway => residual::highway::plan(self),
            Kernel::ResidualNorm => residual::norm::plan(self),
            Kernel::ResidualMlp => residual::mlp::plan(self),
            Kernel::LstmStack | Kernel::GruStack => stack::plan(self),
            Kernel::CrossEntropy => cross_entropy::plan(self),
            Kernel::BatchNorm => batch_norm::plan(self),
            Kernel::DeltaRule => delta_rule::plan(self),
            Kernel::ParaGru | Kernel::ParaLstm => diagonal::plan(self),
            Kernel::Slstm => slstm::plan(self),
        }
    }

    fn forward(&self, packed: &mut Packed, outputs: &mut [View; MOST_OUTPUTS], reserve: Option<&mut [f32]>) -> Refused {
        match self.kernel {
            Kernel::Lstm | Kernel::Gru | Kernel::Rnn => dense::forward(self, packed, outputs, reserve),
            Kernel::Scan | Kernel::MinGru | Kernel::MinLstm => linear::forward(self, outputs),
            Kernel::Highway => residual::highway::forward(self, outputs, reserve),
            Kernel::ResidualNorm => residual::norm::forward(self, outputs, reserve),
            Kernel::ResidualMlp => residual::mlp::forward(self, packed, outputs, reserve),
            Kernel::LstmStack | Kernel::GruStack => stack::forward(self, packed, outputs, reserve),
            Kernel::CrossEntropy => cross_entropy::forward(self, outputs, reserve),
            Kernel::BatchNorm => batch_norm::forward(self, outputs, reserve),
            Kernel::DeltaRule => delta_rule::forward(self, outputs, reserve),
            Kernel::ParaGru | Kernel::ParaLstm => diagonal::forward(self, outputs, reserve),
            Kernel::Slstm => slstm::forward(self, outputs, reserve),
        }
    }

    /// `doutputs` and `dinputs`: gradients, absent where there are none and where none is wanted.
    fn backward(&self, packed: &mut Packed, outputs: &[View], doutputs: &[View], reserve: &mut [f32], dinputs: &mut [View]) -> Refused {
        match self.kernel {
            Kernel::Lstm | Kernel::Gru | Kernel::Rnn => dense::backward(self, packed, outputs, doutputs, reserve, dinputs),
            Kernel::Scan | Kernel::MinGru | Kernel::MinLstm => linear::backward(self, outputs, doutputs, dinputs),
            Kernel::Highway => residual::highway::backward(self, doutputs, reserve, dinputs),
            Kernel::ResidualNorm => residual::norm::backward(self, outputs, doutputs, reserve, dinputs),
            Kernel::ResidualMlp => residual::mlp::backward(self, packed, doutputs, reserve, dinputs),
            Kernel::LstmStack | Kernel::GruStack => stack::backward(self, packed, outputs, doutputs, reserve, dinputs),
            Kernel::CrossEntropy => cross_entropy::backward(self, doutputs, reserve, dinputs),
            Kernel::BatchNorm => batch_norm::backward(self, outputs, doutputs, reserve, dinputs),
            Kernel::DeltaRule => delta_rule::backward(self, doutputs, reserve, dinputs),
            Kernel::ParaGru | Kernel::ParaLstm => diagonal::backward(self, outputs, doutputs, reserve, dinputs),
            Kernel::Slstm => slstm::backward(self, outputs, doutputs, reserve, dinputs),
        }
    }
}

/// Writes the numbers of a float64 result to where they are wanted.
fn copy<'a>(to: &mut View, from: impl IntoIterator<Item = &'a f64>) {
    if let Some(to) = to.write::<f64>() {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn refused(error: quarterturn_kernels::Error) -> String {
    error.to_string()
}
