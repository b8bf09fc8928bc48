//! CSV (RFC 4180) to typed columns: blocks are read one after another, and the pieces of a block parsed at the same time.
mod cell;
mod chunk;
mod column;
mod date;
mod infer;
mod number;
mod split;

pub use column::{Kind, Text, Values};

use crate::error::Fault;
use cell::Marks;
use chunk::{Chunk, Column, Layout};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::io::Read;

/// So much is read at once; a single record may be longer, up to `LONGEST`.
const BLOCK: usize = 16 << 20;
const LONGEST: usize = 256 << 20;
/// Records whose cells tell what the columns hold.
const SAMPLE: usize = 1000;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Where the names of the columns come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    FirstRecord,
    /// `column1`, `column2`, …
    None,
    Names(Vec<String>),
}

#[derive(Clone, Debug)]
pub struct Options {
    pub delimiter: u8,
    /// None: quotes are ordinary characters.
    pub quote: Option<u8>,
    /// The decimal point.
    pub decimal: u8,
    pub header: Header,
    /// The columns that are wanted, in the order in which they are given back; None: all.
    pub columns: Option<Vec<String>>,
    /// What columns hold, by name; the others are inferred from the first thousand records.
    pub kinds: HashMap<String, Kind>,
    /// What columns of numbers are given back as.
    pub number: Kind,
    /// Texts that stand for no value in columns of numbers and dates, beside the empty cell.
    pub missing: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            decimal: b'.',
            header: Header::FirstRecord,
            columns: None,
            kinds: HashMap::new(),
            number: Kind::Float64,
            missing: ["NA", "N/A", "NaN", "nan", "null", "NULL"].map(str::to_owned).into(),
        }
    }
}

#[derive(Debug, PartialEq)]
pub struct NamedColumn {
    pub name: String,
    pub kind: Kind,
    pub values: Values,
}

#[derive(Debug, PartialEq)]
pub struct Table {
    pub rows: usize,
    pub columns: Vec<NamedColumn>,
}

/// Reads a table. Blank lines are passed over; a byte order mark too.
pub fn read(source: impl Read, options: &Options) -> Result<Table, Fault> {
    read_in_blocks(source, options, BLOCK, SAMPLE)
}

fn read_in_blocks(mut source: impl Read, options: &Options, block: usize, sample: usize) -> Result<Table, Fault> {
    check(options)?;
    let marks = Marks { delimiter: options.delimiter, quote: options.quote };
    let mut layout: Option<Layout> = None;
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut buffer = Vec::new();
    let mut lines = 0;
    let mut wanted = block;
    loop {
        let before = buffer.len();
        let room = (wanted - before) as u64;
        let last = (source.by_ref().take(room).read_to_end(&mut buffer)? as u64) < room;
        let mut begin = 0;
        if layout.is_none() {
            begin = if buffer.starts_with(BOM) { BOM.len() } else { 0 };
            let end = split::first_records(&buffer[begin..], marks.quote, sample + 1).map(|end| begin + end);
            if end.is_none() && !last && buffer.len() < LONGEST {
                wanted = (buffer.len() * 2).max(BOM.len());
                continue;
            }
            let end = end.unwrap_or(if last { buffer.len() } else { whole_records(&buffer, marks.quote) });
            if buffer.starts_with(b"\xff\xfe") || buffer.starts_with(b"\xfe\xff") {
                return Err(Fault::data(1, None, "this is UTF-16; save it as UTF-8"));
            }
            let (found, after, used) = start(&buffer[..end], begin, marks, options)?;
            (begin, lines) = (after, used);
            layout = Some(found);
        }
        let Some(layout) = &layout else { continue };
        let pieces = split::split(&buffer[begin..], marks.quote, 4 * rayon::current_num_threads(), last);
        let parsed: Vec<Result<Chunk, Fault>> =
            pieces.par_iter().map(|piece| layout.parse(&buffer[begin + piece.start..begin + piece.end])).collect();
        for chunk in parsed {
            let chunk = chunk.map_err(|fault| fault.below(lines))?;
            lines += chunk.lines;
            chunks.push(chunk);
        }
        let done = begin + pieces.last().map_or(0, |piece| piece.end);
        buffer.drain(..done);
        if last {
            return finish(layout, chunks, options);
        }
        if buffer.len() >= LONGEST {
            return Err(Fault::data(
                lines + 1,
                None,
                format!("a record of more than {} MB begins here: is a quote never closed?", LONGEST >> 20),
            ));
        }
        wanted = block.max(buffer.len() * 2);
    }
}

/// Where the last whole record ends.
fn whole_records(buffer: &[u8], quote: Option<u8>) -> usize {
    split::split(buffer, quote, 1, false).last().map_or(0, |piece| piece.end)
}

fn check(options: &Options) -> Result<(), Fault> {
    let marks = [Some(options.delimiter), options.quote, Some(options.decimal), Some(b'\n'), Some(b'\r')];
    let marks: Vec<u8> = marks.into_iter().flatten().collect();
    if marks.iter().any(|mark| !mark.is_ascii() || mark.is_ascii_alphanumeric()) || marks.iter().collect::<HashSet<_>>().len() < marks.len()
    {
        return Err(Fault::argument(
            "delimiter, quote and decimal must be different ASCII characters other than letters, digits and line ends",
        ));
    }
    Ok(())
}

/// The layout of a file from its first records, all of which are looked at; where the data begin, and how many lines are above them.
fn start(buffer: &[u8], mut at: usize, marks: Marks, options: &Options) -> Result<(Layout, usize, u64), Fault> {
    let mut lines = 0;
    while at < buffer.len() && cell::line_ends(&buffer[at..]) {
        at += if buffer[at] == b'\r' { 2 } else { 1 };
        lines += 1;
    }
    at = at.min(buffer.len());
    if at == buffer.len() && options.header == Header::FirstRecord {
        return Err(Fault::data(1, None, "the file is empty"));
    }
    let (first, after, used) = Layout::record(marks, buffer, at).map_err(|fault| fault.below(lines))?;
    let names = match &options.header {
        Header::Names(names) => unique(names),
        Header::None => unique(&vec![String::new(); first.len()]),
        Header::FirstRecord => {
            at = after;
            lines += used;
            unique(&first)
        }
    };
    let kept: Option<HashSet<&String>> = options.columns.as_ref().map(|columns| columns.iter().collect());
    for name in options.columns.iter().flatten().chain(options.kinds.keys()) {
        if !names.contains(name) {
            return Err(Fault::argument(format!("there is no column {name}; the columns are {}", names.join(", "))));
        }
    }
    let open: Vec<bool> = names.iter().map(|name| !options.kinds.contains_key(name)).collect();
    let columns = names
        .into_iter()
        .map(|name| {
            let kind = options.kinds.get(&name).copied().unwrap_or(Kind::Text);
            Column { name, kind: Some(kind) }
        })
        .collect();
    let missing = options.missing.iter().map(|text| text.trim().as_bytes().to_vec()).collect();
    let mut layout = Layout { marks, decimal: options.decimal, missing, columns };
    infer::infer(&mut layout, &buffer[at..], &open, options.number).map_err(|fault| fault.below(lines))?;
    for column in &mut layout.columns {
        if kept.as_ref().is_some_and(|kept| !kept.contains(&column.name)) {
            column.kind = None;
        }
    }
    Ok((layout, at, lines))
}

/// Names that differ: the empty ones become `column3`, the second `x` becomes `x_2`.
fn unique(names: &[String]) -> Vec<String> {
    let mut taken: HashSet<String> = HashSet::new();
    let named = names.iter().enumerate().map(|(k, name)| {
        let name = name.trim();
        let base = if name.is_empty() { format!("column{}", k + 1) } else { name.to_owned() };
        let mut own = base.clone();
        let mut count = 1;
        while !taken.insert(own.clone()) {
            count += 1;
            own = format!("{base}_{count}");
        }
        own
    });
    named.collect()
}

fn finish(layout: &Layout, chunks: Vec<Chunk>, options: &Options) -> Result<Table, Fault> {
    let rows = chunks.iter().map(|chunk| chunk.rows).sum();
    let kept: Vec<(&str, Kind)> = layout.columns.iter().filter_map(|column| column.kind.map(|kind| (column.name.as_str(), kind))).collect();
    let mut parts: Vec<Vec<Values>> = kept.iter().map(|_| Vec::with_capacity(chunks.len())).collect();
    for chunk in chunks {
        for (parts, values) in parts.iter_mut().zip(chunk.values) {
            parts.push(values);
        }
    }
    let columns = kept.par_iter().zip(parts).map(|(&(name, kind), parts)| {
        let values = Values::concatenate(kind, name, rows, parts)?;
        Ok(NamedColumn { name: name.to_owned(), kind, values })
    });
    let mut columns = columns.collect::<Result<Vec<_>, Fault>>()?;
    if let Some(order) = &options.columns {
        columns.sort_by_key(|column| order.iter().position(|name| *name == column.name));
    }
    Ok(Table { rows, columns })
}

#[cfg(test)]
mod tests;
