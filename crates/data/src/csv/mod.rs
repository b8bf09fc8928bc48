//! CSV (RFC 4180) to typed columns: the pieces of a block are parsed at the same time, while the next block is read.
mod cell;
mod chunk;
mod column;
mod date;
mod infer;
mod number;
#[cfg(target_arch = "x86_64")]
mod short;
mod split;

pub use column::{Kind, Text, Values};

use crate::error::Fault;
use cell::Marks;
use chunk::{Chunk, Column, Layout};
use column::Sink;
use rayon::prelude::*;
use split::Piece;
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

/// Reads a table. Blank lines are passed over; a byte order mark too. `size` says how many bytes will come, as far as is known: columns get their room at once.
pub fn read(source: impl Read + Send, size: Option<u64>, options: &Options) -> Result<Table, Fault> {
    read_in_blocks(source, size, options, BLOCK, SAMPLE)
}

fn read_in_blocks(mut source: impl Read + Send, size: Option<u64>, options: &Options, block: usize, sample: usize) -> Result<Table, Fault> {
    check(options)?;
    let marks = Marks { delimiter: options.delimiter, quote: options.quote };
    let mut building: Option<Building> = None;
    let mut buffer = Vec::new();
    let mut next = Vec::new();
    let mut lines = 0;
    let mut wanted = block;
    let mut last = fill(&mut source, &mut buffer, wanted)?;
    loop {
        let mut begin = 0;
        if building.is_none() {
            begin = if buffer.starts_with(BOM) { BOM.len() } else { 0 };
            let end = split::first_records(&buffer[begin..], marks.quote, sample + 1).map(|end| begin + end);
            if end.is_none() && !last && buffer.len() < LONGEST {
                wanted = (buffer.len() * 2).max(BOM.len());
                last = fill(&mut source, &mut buffer, wanted)?;
                continue;
            }
            let end = end.unwrap_or(if last { buffer.len() } else { whole_records(&buffer, marks.quote) });
            if buffer.starts_with(b"\xff\xfe") || buffer.starts_with(b"\xfe\xff") {
                return Err(Fault::data(1, None, "this is UTF-16; save it as UTF-8"));
            }
            let (layout, after, used) = start(&buffer[..end], begin, marks, options)?;
            (begin, lines) = (after, used);
            building = Some(Building::new(layout));
        }
        let Some(building) = &mut building else { continue };
        let pieces = split::split(&buffer[begin..], marks.quote, 4 * rayon::current_num_threads(), last);
        let done = begin + pieces.last().map_or(0, |piece| piece.range.end);
        wanted = block.max((buffer.len() - done) * 2);
        next.clear();
        next.extend_from_slice(&buffer[done..]);
        let (parsed, ended) = rayon::join(
            || building.parse(&buffer[begin..], &pieces, size, &mut lines),
            || if last { Ok(true) } else { fill(&mut source, &mut next, wanted) },
        );
        parsed?;
        if last {
            return Ok(building.finish(options));
        }
        if buffer.len() - done >= LONGEST {
            return Err(Fault::data(
                lines + 1,
                None,
                format!("a record of more than {} MB begins here: is a quote never closed?", LONGEST >> 20),
            ));
        }
        last = ended?;
        std::mem::swap(&mut buffer, &mut next);
    }
}

/// Reads on until the buffer holds `wanted` bytes; whether the source ended before.
fn fill(source: &mut impl Read, buffer: &mut Vec<u8>, wanted: usize) -> Result<bool, Fault> {
    let room = (wanted - buffer.len()) as u64;
    Ok((source.take(room).read_to_end(buffer)? as u64) < room)
}

/// The table so far.
struct Building {
    layout: Layout,
    /// The wanted columns, in the order of the file.
    columns: Vec<Values>,
    rows: usize,
    /// Bytes that these rows took.
    bytes: u64,
}

impl Building {
    fn new(layout: Layout) -> Self {
        let columns = layout.columns.iter().filter_map(|column| column.kind).map(Values::new).collect();
        Self { layout, columns, rows: 0, bytes: 0 }
    }

    /// Adds the pieces of a block to the columns; `lines` are those above the block, then those above the next.
    fn parse(&mut self, bytes: &[u8], pieces: &[Piece], size: Option<u64>, lines: &mut u64) -> Result<(), Fault> {
        let Self { layout, columns, .. } = self;
        let needed = self.rows + pieces.iter().map(|piece| piece.records).sum::<usize>();
        self.bytes += pieces.last().map_or(0, |piece| piece.range.end) as u64;
        // As many rows per byte as up to here, and one in a hundred more; without a size, half as many more.
        let share = size.map_or(1.5, |size| size as f64 / self.bytes.max(1) as f64 * 1.01);
        for values in columns.iter_mut() {
            values.reserve(needed, (needed as f64 * share) as usize)?;
        }
        let mut sinks: Vec<Vec<Sink>> = pieces.iter().map(|_| Vec::with_capacity(layout.columns.len())).collect();
        let mut wanted = columns.iter_mut();
        for column in &layout.columns {
            let target =
                column.kind.and_then(|kind| wanted.next().map(|values| values.sinks(kind, pieces.iter().map(|piece| piece.records))));
            let mut target = target.into_iter().flatten();
            for sinks in &mut sinks {
                sinks.push(target.next().unwrap_or(Sink::None));
            }
        }
        let parsed: Vec<Result<Chunk, Fault>> =
            pieces.par_iter().zip(sinks).map(|(piece, sinks)| layout.parse(&bytes[piece.range.clone()], sinks)).collect();
        let mut chunks = Vec::with_capacity(parsed.len());
        for chunk in parsed {
            let chunk = chunk.map_err(|fault| fault.below(*lines))?;
            *lines += chunk.lines;
            chunks.push(chunk);
        }
        self.keep(pieces, chunks)
    }

    fn keep(&mut self, pieces: &[Piece], chunks: Vec<Chunk>) -> Result<(), Fault> {
        let rows: Vec<usize> = chunks.iter().map(|chunk| chunk.rows).collect();
        self.rows += rows.iter().sum::<usize>();
        let mut texts: Vec<_> = chunks.into_iter().map(|chunk| chunk.texts.into_iter()).collect();
        let columns = self.layout.columns.iter().map(|column| {
            let texts: Vec<Text> = texts.iter_mut().filter_map(Iterator::next).flatten().collect();
            (column, texts)
        });
        let kept: Vec<_> = columns.filter(|(column, _)| column.kind.is_some()).collect();
        self.columns.par_iter_mut().zip(kept).try_for_each(|(values, (column, texts))| {
            let written = pieces.iter().map(|piece| piece.records).zip(rows.iter().copied());
            // SAFETY: each piece has been parsed without a fault, so each of its rows was written to each of its sinks.
            unsafe { values.keep(&column.name, written, &texts) }
        })
    }

    fn finish(&mut self, options: &Options) -> Table {
        let kept = self.layout.columns.iter().filter_map(|column| column.kind.map(|kind| (&column.name, kind)));
        let columns = kept.zip(std::mem::take(&mut self.columns));
        let mut columns: Vec<NamedColumn> = columns
            .map(|((name, kind), mut values)| {
                values.fit();
                NamedColumn { name: name.clone(), kind, values }
            })
            .collect();
        if let Some(order) = &options.columns {
            columns.sort_by_key(|column| order.iter().position(|name| *name == column.name));
        }
        Table { rows: self.rows, columns }
    }
}

/// Where the last whole record ends.
fn whole_records(buffer: &[u8], quote: Option<u8>) -> usize {
    split::split(buffer, quote, 1, false).last().map_or(0, |piece| piece.range.end)
}

fn check(options: &Options) -> Result<(), Fault> {
    let marks = [Some(options.delimiter), options.quote, Some(options.decimal), Some(b'\n'), Some(b'\r')];
    let marks: Vec<u8> = marks.into_iter().flatten().collect();
    if marks.iter().any(|mark| !mark.is_ascii() || mark.is_ascii_alphanumeric() || b"+-".contains(mark))
        || marks.iter().collect::<HashSet<_>>().len() < marks.len()
    {
        return Err(Fault::argument(
            "delimiter, quote and decimal must be different ASCII characters other than letters, digits, signs and line ends",
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

#[cfg(test)]
mod tests;
