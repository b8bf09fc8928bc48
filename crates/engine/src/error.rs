//! Errors as data. Operations make a `Fault`; the interpreter adds where it happened and makes a `Failure`.
use std::sync::atomic::{AtomicU64, Ordering};
use tch::TchError;

/// The stable code of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Shape,
    Dtype,
    Device,
    Range,
    OutOfMemory,
    Unused,
    NotFinite,
    Checkpoint,
    Io,
    Panic,
    Aborted,
    Engine,
}

impl Code {
    const ALL: &'static [Code] = &[
        Code::Shape,
        Code::Dtype,
        Code::Device,
        Code::Range,
        Code::OutOfMemory,
        Code::Unused,
        Code::NotFinite,
        Code::Checkpoint,
        Code::Io,
        Code::Panic,
        Code::Aborted,
        Code::Engine,
    ];

    /// The spelling that users see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Shape => "ERR_SHAPE",
            Code::Dtype => "ERR_DTYPE",
            Code::Device => "ERR_DEVICE",
            Code::Range => "ERR_RANGE",
            Code::OutOfMemory => "ERR_OUT_OF_MEMORY",
            Code::Unused => "ERR_UNUSED",
            Code::NotFinite => "ERR_NOT_FINITE",
            Code::Checkpoint => "ERR_CHECKPOINT",
            Code::Io => "ERR_IO",
            Code::Panic => "ERR_PANIC",
            Code::Aborted => "ERR_ABORTED",
            Code::Engine => "ERR_ENGINE",
        }
    }
}

/// What went wrong, before it is known which entry of which environment it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: Code,
    /// One line, without the name of the operation.
    pub message: String,
    /// The operation, where it is not the entry itself (an operation inside a program).
    pub op: Option<String>,
    pub expected: Option<String>,
    pub got: Option<String>,
    /// The slot that is to blame: a variable, a parameter.
    pub slot: Option<u64>,
}

/// An error of one entry, as it is stored in slots and sent to TypeScript.
#[derive(Clone, Debug)]
pub struct Failure {
    pub id: u64,
    pub code: Code,
    pub op: String,
    /// One line, opening with the name of the operation.
    pub message: String,
    pub expected: Option<String>,
    pub got: Option<String>,
    /// The sequence number of the entry, 0 where there is none.
    pub sequence: u64,
    pub slot: Option<u64>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Fault {
    /// A fault with a code and a message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), op: None, expected: None, got: None, slot: None }
    }

    /// A fault of the machinery: the two sides of the wire disagree, or an invariant is broken.
    pub fn engine(message: impl Into<String>) -> Self {
        Self::new(Code::Engine, message)
    }

    /// A fault that says what was expected and what came.
    pub fn mismatch(code: Code, what: &str, expected: impl Into<String>, got: impl Into<String>) -> Self {
        let (expected, got) = (expected.into(), got.into());
        let message = format!("{what} must be {expected}, got {got}");
        Self { expected: Some(expected), got: Some(got), ..Self::new(code, message) }
    }

    /// The same fault, blamed on a slot.
    #[must_use]
    pub fn at(mut self, slot: u64) -> Self {
        self.slot = Some(slot);
        self
    }

    /// The same fault, inside the named operation unless it already names one.
    #[must_use]
    pub fn inside(mut self, op: &str) -> Self {
        self.op.get_or_insert_with(|| op.to_owned());
        self
    }

    /// Gives the fault its place.
    #[must_use]
    pub fn into_failure(self, op: &str, sequence: u64) -> Failure {
        let op = self.op.unwrap_or_else(|| op.to_owned());
        Failure {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            code: self.code,
            message: format!("{op}: {}", self.message),
            op,
            expected: self.expected,
            got: self.got,
            sequence,
            slot: self.slot,
        }
    }

    /// Text that survives the way through a C++ exception; `Fault::from_text` reads it back.
    #[must_use]
    pub fn to_text(&self) -> String {
        let field = |value: &Option<String>| value.clone().unwrap_or_default();
        let slot = self.slot.map(|slot| slot.to_string()).unwrap_or_default();
        [MARK, self.code.as_str(), &field(&self.op), &slot, &field(&self.expected), &field(&self.got), &self.message]
            .map(|part| part.replace(SEPARATOR, " "))
            .join(&SEPARATOR.to_string())
    }

    /// Reads libtorch's message, or text made by `to_text`.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        if let Some(fault) = text.find(MARK).and_then(|start| decode(&text[start..])) {
            return fault;
        }
        let line = first_line(text);
        Self::new(classify(&line), line)
    }
}

const MARK: &str = "quarterturn-fault";
const SEPARATOR: char = '\u{1f}';

fn decode(text: &str) -> Option<Fault> {
    let line = text.lines().next()?;
    let mut parts = line.split(SEPARATOR).skip(1);
    let code = parts.next()?;
    let mut next = || parts.next().map(|part| (!part.is_empty()).then(|| part.to_owned()));
    let (op, slot, expected, got, message) = (next()?, next()?, next()?, next()?, next()?);
    Some(Fault {
        code: *Code::ALL.iter().find(|candidate| candidate.as_str() == code)?,
        op,
        slot: slot.and_then(|slot| slot.parse().ok()),
        expected,
        got,
        message: message.unwrap_or_default(),
    })
}

impl From<TchError> for Fault {
    fn from(error: TchError) -> Self {
        match error {
            TchError::Torch(text) => Self::from_text(&text),
            TchError::Kind(text) => Self::new(Code::Dtype, first_line(&text)),
            TchError::Shape(text) => Self::new(Code::Shape, first_line(&text)),
            other => Self::engine(first_line(&other.to_string())),
        }
    }
}

/// libtorch's own sentence, without the C++ frames and without where in its sources it was written.
fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("unknown error");
    let line = match line.split_once(" == 0. ") {
        Some((head, rest)) if head.starts_with("[enforce fail") => rest,
        _ => line,
    };
    let end = line.find("Exception raised from").unwrap_or(line.len());
    line[..end].trim().to_owned()
}

const WORDS: &[(Code, &[&str])] = &[
    (Code::Panic, &["panic in a kernel"]),
    (Code::OutOfMemory, &["out of memory", "not enough memory", "can't allocate", "bad_alloc", "cannot allocate"]),
    (Code::Range, &["out of range", "out of bounds", "must lie within"]),
    (
        Code::Engine,
        &["through the graph a second time", "modified by an inplace", "does not require grad", "derivative for", "is not differentiable"],
    ),
    (Code::Device, &["same device", "cuda", "device type"]),
    (Code::Dtype, &["not implemented for", "scalar type", "dtype", "data type", "same type"]),
    (Code::Shape, &["shape", "size", "dimension", "broadcast", "numel", "only for scalar outputs"]),
];

fn classify(line: &str) -> Code {
    let line = line.to_lowercase();
    let known = WORDS.iter().find(|(_, words)| words.iter().any(|word| line.contains(word)));
    known.map_or(Code::Engine, |(code, _)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtorch_messages_are_classified_by_their_first_line() {
        let cases = [
            ("index out of range in self\nException raised from embedding at x.cpp:1", Code::Range, "index out of range in self"),
            ("Target 7 is out of bounds.", Code::Range, "Target 7 is out of bounds."),
            (
                "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes.",
                Code::OutOfMemory,
                "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes.",
            ),
            (
                "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)",
                Code::Shape,
                "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)",
            ),
            ("\"addmm_impl_cpu_\" not implemented for 'Bool'", Code::Dtype, "\"addmm_impl_cpu_\" not implemented for 'Bool'"),
            (
                "Trying to backward through the graph a second time (or",
                Code::Engine,
                "Trying to backward through the graph a second time (or",
            ),
            ("the weather", Code::Engine, "the weather"),
        ];
        for (text, code, message) in cases {
            let fault = Fault::from_text(text);
            assert_eq!((fault.code, fault.message.as_str()), (code, message), "{text}");
        }
    }

    #[test]
    fn a_fault_survives_the_way_through_a_cpp_exception() {
        let fault = Fault::mismatch(Code::Shape, "input", "[2]", "[3]").at(7).inside("add");
        let text = format!("{}\nException raised from x", fault.to_text());
        assert_eq!(Fault::from_text(&text), fault);
        let bare = Fault::new(Code::Range, "index 3 is out of range");
        assert_eq!(Fault::from_text(&bare.to_text()), bare);
    }
}
