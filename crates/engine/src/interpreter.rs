//! One entry at a time: which function an operation is. The match is exhaustive, so an operation without an arm does not compile.
use crate::call::{Call, Outputs};
use crate::effort;
use crate::error::Fault;
use crate::kernels::Kernel;
use crate::op::Op;
use crate::ops::{
    attention, control, convolution, create, elementwise, gradient, linalg, loss, nn, optimizer, random, recurrent, reduce, select, shape,
};

impl Op {
    /// Whether the operation itself never records gradients: it changes values in place.
    #[must_use]
    pub fn without_gradient(self) -> bool {
        matches!(self, Op::Assign | Op::Sgd | Op::Adam | Op::AdamW | Op::NAdam | Op::RmsProp | Op::Lion | Op::Adafactor | Op::Average)
    }
}

/// Runs an operation and checks that both sides of the wire agree on its attributes and outputs.
pub fn run(call: &mut Call, outputs: usize) -> Outputs {
    effort::watch(call);
    let alone = effort::alone(call);
    let made = dispatch(call)?;
    drop(alone);
    effort::note(call);
    call.attributes.finish()?;
    if made.len() != outputs {
        return Err(Fault::engine(format!("{} outputs were made, {outputs} were expected", made.len())));
    }
    Ok(made)
}

#[expect(clippy::too_many_lines, reason = "a line for each operation")]
fn dispatch(call: &mut Call) -> Outputs {
    match call.op {
        Op::Free | Op::Read | Op::Mark | Op::Save | Op::Threads | Op::Define | Op::Undefine | Op::Search => {
            Err(Fault::engine(format!("{} acts on an environment", call.op.name())))
        }
        Op::Assign => create::assign(call),
        Op::Variable => create::variable(call),
        Op::RequireGrad => create::require_grad(call),
        Op::Detach => create::detach(call),
        Op::Clone => create::clone(call),
        Op::To => create::to(call),
        Op::FromBytes => create::from_bytes(call),
        Op::Full => create::full(call),
        Op::Arange => create::arange(call),
        Op::Uniform => random::uniform(call),
        Op::Normal => random::normal(call),
        Op::Randint => random::randint(call),
        Op::Permutation => random::permutation(call),
        Op::Dropout => random::dropout(call),
        Op::Neg
        | Op::Abs
        | Op::Exp
        | Op::Log
        | Op::Log1p
        | Op::Expm1
        | Op::Sqrt
        | Op::Rsqrt
        | Op::Reciprocal
        | Op::Square
        | Op::Sign
        | Op::Sin
        | Op::Cos
        | Op::Tanh
        | Op::Sigmoid
        | Op::Relu
        | Op::Silu
        | Op::Softplus
        | Op::Erf
        | Op::Floor
        | Op::Ceil
        | Op::Round
        | Op::LogicalNot
        | Op::IsNan
        | Op::IsFinite => elementwise::unary(call),
        Op::Gelu => elementwise::gelu(call),
        Op::LeakyRelu => elementwise::leaky_relu(call),
        Op::Add
        | Op::Sub
        | Op::Mul
        | Op::Div
        | Op::Pow
        | Op::Maximum
        | Op::Minimum
        | Op::Eq
        | Op::Ne
        | Op::Lt
        | Op::Le
        | Op::Gt
        | Op::Ge
        | Op::LogicalAnd
        | Op::LogicalOr => elementwise::binary(call),
        Op::Where => elementwise::choose(call),
        Op::Clamp => elementwise::clamp(call),
        Op::Sum | Op::Mean | Op::Amax | Op::Amin | Op::Any | Op::All => reduce::over_dims(call),
        Op::Prod => reduce::prod(call),
        Op::Variance => reduce::variance(call),
        Op::Argmax | Op::Argmin => reduce::arg(call),
        Op::Cumsum | Op::Cumprod => reduce::cumulative(call),
        Op::LogSumExp => reduce::log_sum_exp(call),
        Op::Norm => reduce::norm(call),
        Op::Topk => reduce::topk(call),
        Op::Sort => reduce::sort(call),
        Op::Matmul => linalg::matmul(call),
        Op::Linear => linalg::linear(call),
        Op::Einsum => linalg::einsum(call),
        Op::Qr => linalg::qr(call),
        Op::Svd => linalg::svd(call),
        Op::Solve => linalg::solve(call),
        Op::Reshape | Op::Expand | Op::Permute | Op::Flip => shape::by_list(call),
        Op::Slice => shape::slice(call),
        Op::Cat => shape::cat(call),
        Op::Stack => shape::stack(call),
        Op::Roll => shape::roll(call),
        Op::Tril | Op::Triu => shape::triangle(call),
        Op::Pad => shape::pad(call),
        Op::Gather => shape::gather(call),
        Op::IndexSelect => shape::index_select(call),
        Op::Scatter | Op::ScatterAdd => shape::scatter(call),
        Op::OneHot => shape::one_hot(call),
        Op::Nonzero => select::nonzero(call),
        Op::MaskedSelect => select::masked_select(call),
        Op::Unique => select::unique(call),
        Op::Softmax | Op::LogSoftmax => nn::softmax(call),
        Op::Embedding => nn::embedding(call),
        Op::LayerNorm => nn::layer_norm(call),
        Op::BatchNorm => nn::batch_norm(call),
        Op::GroupNorm => nn::group_norm(call),
        Op::RmsNorm => nn::rms_norm(call),
        Op::ScaledDotProductAttention => attention::scaled_dot_product(call),
        Op::Conv1d => convolution::conv1d(call),
        Op::Conv2d => convolution::conv2d(call),
        Op::ConvTranspose1d => convolution::conv_transpose1d(call),
        Op::ConvTranspose2d => convolution::conv_transpose2d(call),
        Op::MaxPool1d | Op::AvgPool1d => convolution::pool1d(call),
        Op::MaxPool2d | Op::AvgPool2d => convolution::pool2d(call),
        Op::AdaptiveAvgPool1d | Op::AdaptiveMaxPool1d => convolution::adaptive_pool1d(call),
        Op::AdaptiveAvgPool2d | Op::AdaptiveMaxPool2d => convolution::adaptive_pool2d(call),
        Op::Interpolate => convolution::interpolate(call),
        Op::CrossEntropy | Op::NllLoss => loss::by_class(call),
        Op::MseLoss | Op::L1Loss | Op::HuberLoss | Op::SmoothL1Loss | Op::KlDiv => loss::by_element(call),
        Op::BceWithLogits => loss::bce_with_logits(call),
        Op::CtcLoss => loss::ctc(call),
        Op::CosineEmbeddingLoss => loss::cosine_embedding(call),
        Op::TripletMarginLoss => loss::triplet_margin(call),
        Op::Lstm => recurrent::lstm(call),
        Op::Gru => recurrent::gru(call),
        Op::Rnn => recurrent::rnn(call),
        Op::LstmStack => recurrent::kernel(call, Kernel::LstmStack),
        Op::GruStack => recurrent::kernel(call, Kernel::GruStack),
        Op::GatedScan => recurrent::kernel(call, Kernel::Scan),
        Op::MinGru => recurrent::kernel(call, Kernel::MinGru),
        Op::MinLstm => recurrent::kernel(call, Kernel::MinLstm),
        Op::MinGruCell => recurrent::minimal_cell(call, Kernel::MinGru),
        Op::MinLstmCell => recurrent::minimal_cell(call, Kernel::MinLstm),
        Op::DeltaRule => recurrent::kernel(call, Kernel::DeltaRule),
        Op::ParaGru => recurrent::kernel(call, Kernel::ParaGru),
        Op::ParaLstm => recurrent::kernel(call, Kernel::ParaLstm),
        Op::SLstm => recurrent::kernel(call, Kernel::Slstm),
        Op::Highway => recurrent::kernel(call, Kernel::Highway),
        Op::ResidualNorm => recurrent::kernel(call, Kernel::ResidualNorm),
        Op::ResidualMlp => recurrent::kernel(call, Kernel::ResidualMlp),
        Op::Grad => gradient::grad(call),
        Op::ForeachAdd => gradient::foreach_add(call),
        Op::ForeachScale => gradient::foreach_scale(call),
        Op::ForeachNorm => gradient::foreach_norm(call),
        Op::ForeachClip => gradient::foreach_clip(call),
        Op::Sgd => optimizer::sgd(call),
        Op::Adam => optimizer::adam(call, false),
        Op::AdamW => optimizer::adam(call, true),
        Op::NAdam => optimizer::nadam(call),
        Op::RmsProp => optimizer::rmsprop(call),
        Op::Lion => optimizer::lion(call),
        Op::Adafactor => optimizer::adafactor(call),
        Op::Average => optimizer::average(call),
        Op::Checkpoint => control::checkpoint(call),
        Op::CustomGrad => control::custom_grad(call),
        Op::Scan => control::scan(call),
    }
}
