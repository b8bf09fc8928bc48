//! The table of operations: one enum, its names, and nothing else. The arms are in `interpreter.rs`.

macro_rules! ops {
    ($($variant:ident $name:literal),+ $(,)?) => {
        /// An operation that TypeScript can record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Op { $($variant),+ }

        impl Op {
            /// Every operation; the position of one is its code on the wire.
            pub const ALL: &'static [Op] = &[$(Op::$variant),+];

            /// The name both sides agree on.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Op::$variant => $name),+ }
            }
        }
    };
}

ops! {
    Free "free", Read "read", Mark "mark", Save "save", Threads "threads",
    Assign "assign", Variable "variable", RequireGrad "requireGrad", Detach "detach", Clone "clone", To "to",
    FromBytes "fromBytes", Full "full", Arange "arange",
    Uniform "uniform", Normal "normal", Randint "randint", Permutation "permutation", Dropout "dropout",
    Neg "neg", Abs "abs", Exp "exp", Log "log", Log1p "log1p", Expm1 "expm1", Sqrt "sqrt", Rsqrt "rsqrt",
    Reciprocal "reciprocal", Square "square", Sign "sign", Sin "sin", Cos "cos", Tanh "tanh",
    Sigmoid "sigmoid", Relu "relu", Silu "silu", Softplus "softplus", Erf "erf", Floor "floor", Ceil "ceil",
    Round "round", LogicalNot "logicalNot", IsNan "isNaN", IsFinite "isFinite",
    Gelu "gelu", LeakyRelu "leakyRelu",
    Add "add", Sub "sub", Mul "mul", Div "div", Pow "pow", Maximum "maximum", Minimum "minimum",
    Eq "eq", Ne "ne", Lt "lt", Le "le", Gt "gt", Ge "ge", LogicalAnd "logicalAnd", LogicalOr "logicalOr",
    Where "where", Clamp "clamp",
    Sum "sum", Mean "mean", Amax "amax", Amin "amin", Any "any", All "all", Prod "prod",
    Variance "variance", Argmax "argmax", Argmin "argmin", Cumsum "cumsum", Cumprod "cumprod",
    LogSumExp "logSumExp", Norm "norm", Topk "topk", Sort "sort",
    Matmul "matmul", Linear "linear", Einsum "einsum", Qr "qr", Svd "svd", Solve "solve",
    Reshape "reshape", Expand "expand", Permute "permute", Flip "flip", Slice "slice", Cat "cat", Stack "stack",
    Roll "roll", Tril "tril", Triu "triu", Pad "pad",
    Gather "gather", IndexSelect "indexSelect", Scatter "scatter", ScatterAdd "scatterAdd", OneHot "oneHot",
    Nonzero "nonzero", MaskedSelect "maskedSelect", Unique "unique",
    Softmax "softmax", LogSoftmax "logSoftmax", Embedding "embedding", LayerNorm "layerNorm",
    BatchNorm "batchNorm", GroupNorm "groupNorm", RmsNorm "rmsNorm",
    ScaledDotProductAttention "scaledDotProductAttention",
    Conv1d "conv1d", Conv2d "conv2d", ConvTranspose1d "convTranspose1d", ConvTranspose2d "convTranspose2d",
    MaxPool1d "maxPool1d", AvgPool1d "avgPool1d", MaxPool2d "maxPool2d", AvgPool2d "avgPool2d",
    AdaptiveAvgPool1d "adaptiveAvgPool1d", AdaptiveAvgPool2d "adaptiveAvgPool2d",
    AdaptiveMaxPool1d "adaptiveMaxPool1d", AdaptiveMaxPool2d "adaptiveMaxPool2d", Interpolate "interpolate",
    CrossEntropy "crossEntropy", NllLoss "nllLoss", MseLoss "mseLoss", L1Loss "l1Loss", HuberLoss "huberLoss",
    SmoothL1Loss "smoothL1Loss", KlDiv "klDiv", BceWithLogits "binaryCrossEntropyWithLogits", CtcLoss "ctcLoss",
    CosineEmbeddingLoss "cosineEmbeddingLoss", TripletMarginLoss "tripletMarginLoss",
    Lstm "lstm", Gru "gru", Rnn "rnn", LstmStack "lstmStack", GruStack "gruStack",
    GatedScan "gatedScan", MinGru "minGRU", MinLstm "minLSTM", MinGruCell "minGRUCell", MinLstmCell "minLSTMCell",
    DeltaRule "deltaRule", ParaGru "paraGRU", ParaLstm "paraLSTM", SLstm "sLSTM",
    Highway "highway", ResidualNorm "residualNorm", ResidualMlp "residualMLP",
    Grad "grad", ForeachAdd "foreachAdd", ForeachScale "foreachScale", ForeachNorm "foreachNorm",
    ForeachClip "foreachClip", Sgd "sgd", Adam "adam", AdamW "adamw",
    NAdam "nadam", RmsProp "rmsprop", Lion "lion", Adafactor "adafactor", Average "average",
    Define "define", Undefine "undefine", Checkpoint "checkpoint", CustomGrad "customGrad", Scan "scan",
    Search "search",
}

impl Op {
    /// The operation with this code, if there is one.
    #[must_use]
    pub fn from_code(code: usize) -> Option<Op> {
        Op::ALL.get(code).copied()
    }

    /// Whether the operation always produces exactly one reply.
    #[must_use]
    pub fn is_request(self) -> bool {
        matches!(self, Op::Read | Op::Mark | Op::Save)
    }

    /// Whether the operation acts on the environment and so has no place in a program.
    #[must_use]
    pub fn is_control(self) -> bool {
        matches!(self, Op::Free | Op::Read | Op::Mark | Op::Save | Op::Threads | Op::Define | Op::Undefine | Op::Search)
    }

    /// Whether the result depends on the inputs alone, so that equal inputs need it once.
    #[must_use]
    pub fn is_pure(self) -> bool {
        // Those that draw random numbers, may run programs that do, have state, or make what is changed in place.
        !(self.is_control()
            || matches!(
                self,
                Op::Uniform
                    | Op::Normal
                    | Op::Randint
                    | Op::Permutation
                    | Op::Dropout
                    | Op::ScaledDotProductAttention
                    | Op::BatchNorm
                    | Op::Variable
                    | Op::RequireGrad
                    | Op::FromBytes
                    | Op::Grad
                    | Op::Checkpoint
                    | Op::CustomGrad
                    | Op::Scan
            ))
    }
}

/// The names in the order of their codes.
#[must_use]
pub fn names() -> Vec<&'static str> {
    Op::ALL.iter().map(|op| op.name()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_code_is_the_position_of_its_operation_and_names_are_unique() {
        for (code, op) in Op::ALL.iter().enumerate() {
            assert_eq!(*op as usize, code);
            assert_eq!(Op::from_code(code), Some(*op));
        }
        assert_eq!(Op::from_code(Op::ALL.len()), None);
        assert_eq!(names().into_iter().collect::<HashSet<_>>().len(), Op::ALL.len());
    }
}
