//! Readers of data files, as promises: the work is done on a thread of Node's pool and on rayon's.
use crate::environment::{contained, current};
use napi::bindgen_prelude::{AsyncTask, Env, Float32Array, Float64Array, Uint8Array, Uint32Array};
use napi::{Error, Status, Task};
use napi_derive::napi;
use quarterturn_data::csv::{self, Header, Kind, Options, Table, Values};
use quarterturn_data::{Fault, Numbers, Place, interleave, read_rows};
use quarterturn_engine::Bytes;
use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

/// How a CSV file is read.
#[napi(object)]
pub struct CsvOptions {
    /// The file; absent where bytes are given.
    pub path: Option<String>,
    pub bytes: Option<Uint8Array>,
    pub delimiter: String,
    /// Absent: quotes are ordinary characters.
    pub quote: Option<String>,
    pub decimal: String,
    /// Whether the first record names the columns.
    pub header: bool,
    /// The names of the columns, where no record does.
    pub names: Option<Vec<String>>,
    pub columns: Option<Vec<String>>,
    /// float64, float32, date or text by column.
    pub types: HashMap<String, String>,
    /// What inferred columns of numbers are: float64 or float32.
    pub numbers: String,
    pub missing: Option<Vec<String>>,
}

/// A column; of its arrays those of its type are there.
#[napi(object)]
pub struct CsvColumn {
    pub name: String,
    #[napi(js_name = "type")]
    pub kind: String,
    pub float64: Option<Float64Array>,
    pub float32: Option<Float32Array>,
    /// The cells of a column of text, one after another in UTF-8, and where each ends.
    pub bytes: Option<Uint8Array>,
    pub ends: Option<Uint32Array>,
}

/// A table.
#[napi(object)]
pub struct CsvTable {
    pub rows: f64,
    pub columns: Vec<CsvColumn>,
}

enum Source {
    Path(String),
    Bytes(Vec<u8>),
}

pub struct ReadCsv {
    source: Source,
    options: Options,
}

/// Reads a CSV file into typed columns. Rejects with `CODE:line:column: message`.
#[napi(ts_return_type = "Promise<CsvTable>")]
pub fn read_csv(options: CsvOptions) -> napi::Result<AsyncTask<ReadCsv>> {
    contained(|| {
        let source = match (options.path, options.bytes) {
            (Some(path), _) => Source::Path(path),
            (None, bytes) => Source::Bytes(bytes.map(|bytes| bytes.to_vec()).unwrap_or_default()),
        };
        let header = match (options.names, options.header) {
            (Some(names), _) => Header::Names(names),
            (None, true) => Header::FirstRecord,
            (None, false) => Header::None,
        };
        let types = options.types.into_iter().map(|(name, kind)| Ok((name, kind_of(&kind)?)));
        let defaults = Options::default();
        let options = Options {
            delimiter: byte(&options.delimiter),
            quote: options.quote.as_deref().map(byte),
            decimal: byte(&options.decimal),
            header,
            columns: options.columns,
            kinds: types.collect::<napi::Result<_>>()?,
            number: kind_of(&options.numbers)?,
            missing: options.missing.unwrap_or(defaults.missing),
        };
        Ok(AsyncTask::new(ReadCsv { source, options }))
    })
}

/// The byte of a one-character text; one that cannot be used where there are more.
fn byte(text: &str) -> u8 {
    match text.as_bytes() {
        [byte] => *byte,
        _ => b'\n',
    }
}

fn kind_of(name: &str) -> napi::Result<Kind> {
    Kind::from_name(name).ok_or_else(|| Error::new(Status::InvalidArg, format!("ERR_ARGUMENT::: there is no type {name}")))
}

fn error(fault: &Fault) -> Error {
    let (line, column) = match fault.place {
        Some(Place { line, column }) => (line.to_string(), column.map(|column| column.to_string()).unwrap_or_default()),
        None => Default::default(),
    };
    Error::new(Status::GenericFailure, format!("{}:{line}:{column}: {fault}", fault.code.as_str()))
}

impl Task for ReadCsv {
    type Output = Table;
    type JsValue = CsvTable;

    fn compute(&mut self) -> napi::Result<Table> {
        contained(|| {
            let table = match &self.source {
                Source::Path(path) => File::open(path).map_err(Fault::from).and_then(|file| {
                    let size = file.metadata()?.len();
                    csv::read(file, Some(size), &self.options)
                }),
                Source::Bytes(bytes) => csv::read(bytes.as_slice(), Some(bytes.len() as u64), &self.options),
            };
            table.map_err(|fault| error(&fault))
        })
    }

    fn resolve(&mut self, _env: Env, table: Table) -> napi::Result<CsvTable> {
        let columns = table.columns.into_iter().map(|column| {
            let kind = column.kind.as_str().to_owned();
            let mut out = CsvColumn { name: column.name, kind, float64: None, float32: None, bytes: None, ends: None };
            match column.values {
                Values::Float64(values) => out.float64 = Some(values.into()),
                Values::Float32(values) => out.float32 = Some(values.into()),
                Values::Text(text) => {
                    out.bytes = Some(text.bytes.into());
                    out.ends = Some(text.ends.into());
                }
            }
            out
        });
        Ok(CsvTable { rows: table.rows as f64, columns: columns.collect() })
    }
}

/// A column of numbers; one of its arrays is there.
#[napi(object)]
pub struct NumberColumn {
    pub float64: Option<Float64Array>,
    pub float32: Option<Float32Array>,
}

/// Stages equally long columns side by side: the elements of a matrix [rows, columns] of float64, or of float32.
#[napi]
#[allow(clippy::needless_pass_by_value, reason = "an argument of JavaScript")]
pub fn stage_columns(columns: Vec<NumberColumn>, float64: bool) -> napi::Result<f64> {
    contained(|| {
        let columns: Vec<Numbers> = columns
            .iter()
            .map(|column| match (&column.float64, &column.float32) {
                (Some(values), _) => Numbers::Float64(values),
                (None, Some(values)) => Numbers::Float32(values),
                (None, None) => Numbers::Float64(&[]),
            })
            .collect();
        let made = if float64 { interleave::<f64>(&columns) } else { interleave::<f32>(&columns) };
        let (bytes, range) = made.map_err(|fault| error(&fault))?;
        Ok(current()?.stage(Bytes::part(&Arc::new(bytes), range)) as f64)
    })
}

pub struct StageRows {
    path: String,
    offset: u64,
    size: usize,
    rows: Vec<u64>,
}

/// Reads rows of `size` bytes from a file, by their positions after `offset`, and stages them one after another.
#[napi(ts_return_type = "Promise<number>")]
pub fn stage_rows(path: String, offset: f64, size: f64, rows: &[f64]) -> napi::Result<AsyncTask<StageRows>> {
    contained(|| {
        let rows = rows.iter().map(|row| *row as u64).collect();
        Ok(AsyncTask::new(StageRows { path, offset: offset as u64, size: size as usize, rows }))
    })
}

impl Task for StageRows {
    type Output = Vec<u8>;
    type JsValue = f64;

    fn compute(&mut self) -> napi::Result<Vec<u8>> {
        contained(|| {
            let rows = File::open(&self.path).map_err(Fault::from).and_then(|file| read_rows(&file, self.offset, self.size, &self.rows));
            rows.map_err(|fault| error(&fault))
        })
    }

    fn resolve(&mut self, _env: Env, bytes: Vec<u8>) -> napi::Result<f64> {
        contained(|| Ok(current()?.stage(bytes) as f64))
    }
}
