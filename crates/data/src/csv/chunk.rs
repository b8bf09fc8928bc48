//! Parses a piece of whole records into columns.
use super::cell::{Cell, Marks, line_ends, shown};
use super::column::{Kind, Sink, Text};
#[cfg(target_arch = "x86_64")]
use super::short::Short;
use super::{date, number};
use crate::error::Fault;

/// How the cells of a record are understood.
pub struct Layout {
    pub marks: Marks,
    pub decimal: u8,
    /// Texts that stand for no value in columns of numbers and dates; an empty cell always does.
    pub missing: Vec<Vec<u8>>,
    /// The columns of the file, in order.
    pub columns: Vec<Column>,
}

pub struct Column {
    pub name: String,
    /// None: not wanted.
    pub kind: Option<Kind>,
}

/// What a piece held; its numbers are in the sinks that were given.
pub struct Chunk {
    /// Of each sink of text, its cells.
    pub texts: Vec<Option<Text>>,
    pub rows: usize,
    pub lines: u64,
}

impl Layout {
    /// The cells of the record at `at` as text, and the place after it; the place of a fault counts lines from the record.
    pub fn record(marks: Marks, bytes: &[u8], mut at: usize) -> Result<(Vec<String>, usize, u64), Fault> {
        let mut cells = Vec::new();
        let mut lines = 1;
        loop {
            let Cell { text, end, feeds } = marks.cell(bytes, at).map_err(|fault| fault.below(lines))?;
            let text = std::str::from_utf8(&text).map_err(|_| Fault::data(lines, Some(cells.len() + 1), "this is not UTF-8"))?;
            cells.push(text.to_owned());
            lines += feeds;
            if bytes.get(end) != Some(&marks.delimiter) {
                return Ok((cells, next_line(bytes, end), lines));
            }
            at = end + 1;
        }
    }

    /// Parses a piece into `sinks`, one for each column of the file. Lines of a fault are counted from its start.
    pub fn parse(&self, bytes: &[u8], sinks: Vec<Sink>) -> Result<Chunk, Fault> {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") {
            // SAFETY: the instructions are there.
            return unsafe { self.parse_short(bytes, sinks) };
        }
        self.records(bytes, sinks, |_| None)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1")]
    fn parse_short(&self, bytes: &[u8], sinks: Vec<Sink>) -> Result<Chunk, Fault> {
        let short = Short::new(self.marks.delimiter, self.decimal);
        self.records(bytes, sinks, |at| short.parse(bytes, at))
    }

    /// `short` is tried first where a number is expected: it gives the number and the place where its cell ends, or None for no verdict.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "only within a function that is compiled for its instructions can `short` use them")]
    fn records(&self, bytes: &[u8], mut sinks: Vec<Sink>, short: impl Fn(usize) -> Option<(f64, usize)>) -> Result<Chunk, Fault> {
        let missing: Vec<f64> = self.missing.iter().filter_map(|text| number::whole_cell(text, self.decimal)).collect();
        let number = |at: usize| {
            let (value, end) = short(at).filter(|(_, end)| self.ends(bytes, *end)).or_else(|| self.plain_number(bytes, at))?;
            Some((if missing.contains(&value) { f64::NAN } else { value }, end))
        };
        let mut rows = 0;
        let mut lines = 0;
        let mut at = 0;
        while at < bytes.len() {
            if line_ends(&bytes[at..]) {
                at = next_line(bytes, at);
                lines += 1;
                continue;
            }
            let mut last = None;
            for (field, sink) in sinks.iter_mut().enumerate() {
                let plain = if matches!(sink, Sink::Float64(_) | Sink::Float32(_)) { number(at) } else { None };
                at = if let Some((value, end)) = plain {
                    match sink {
                        Sink::Float64(values) => {
                            values[rows].write(value);
                        }
                        Sink::Float32(values) => {
                            values[rows].write(value as f32);
                        }
                        _ => {}
                    }
                    end
                } else {
                    let cell = self.cell(bytes, at, sink, rows, &missing);
                    let (end, feeds) = cell.map_err(|fault| self.placed(fault, lines + 1, field))?;
                    lines += feeds;
                    end
                };
                if bytes.get(at) != Some(&self.marks.delimiter) {
                    last = Some(field);
                    break;
                }
                at += 1;
            }
            if last.is_none_or(|last| last + 1 != self.columns.len()) {
                return Err(Fault::data(lines + 1, None, self.miscounted(last.unwrap_or(self.columns.len()))));
            }
            at = next_line(bytes, at);
            lines += 1;
            rows += 1;
        }
        let texts = sinks.into_iter().map(|sink| if let Sink::Text(text) = sink { Some(text) } else { None }).collect();
        Ok(Chunk { texts, rows, lines })
    }

    /// Whether a cell ends here.
    #[inline]
    fn ends(&self, bytes: &[u8], at: usize) -> bool {
        bytes.get(at) == Some(&self.marks.delimiter) || line_ends(&bytes[at..])
    }

    /// The usual cell of a column of numbers: a number that fills it, or nothing.
    fn plain_number(&self, bytes: &[u8], at: usize) -> Option<(f64, usize)> {
        if self.ends(bytes, at) {
            return Some((f64::NAN, at));
        }
        let (value, length) = number::parse(&bytes[at..], self.decimal)?;
        self.ends(bytes, at + length).then_some((value, at + length))
    }

    /// Any cell: puts it where it belongs; the place of its end, and the line feeds within. The place of a fault counts lines from the record.
    fn cell(&self, bytes: &[u8], at: usize, sink: &mut Sink, row: usize, missing: &[f64]) -> Result<(usize, u64), Fault> {
        let Cell { text, end, feeds } = self.marks.cell(bytes, at)?;
        let wrong = |message| Fault::data(0, None, message);
        match sink {
            Sink::None => {}
            Sink::Float64(values) => {
                values[row].write(self.number(Kind::Float64, &text, missing).map_err(wrong)?);
            }
            Sink::Float32(values) => {
                values[row].write(self.number(Kind::Float32, &text, missing).map_err(wrong)? as f32);
            }
            Sink::Date(values) => {
                values[row].write(self.number(Kind::Date, &text, missing).map_err(wrong)?);
            }
            Sink::Text(values) => {
                if std::str::from_utf8(&text).is_err() {
                    return Err(wrong(format!("{} is not UTF-8", shown(&text))));
                }
                if !values.push(&text) {
                    return Err(wrong("the column holds more than 4 GiB of text; leave it out with columns".into()));
                }
            }
        }
        Ok((end, feeds))
    }

    fn number(&self, kind: Kind, text: &[u8], missing: &[f64]) -> Result<f64, String> {
        let cell = text.trim_ascii();
        if self.is_missing(cell) {
            return Ok(f64::NAN);
        }
        let value = self.value(kind, cell).ok_or_else(|| {
            let what = if kind == Kind::Date { "a date (2024-02-29T12:30)" } else { "a number" };
            format!("{} is not {what}; pass missing: […] if it stands for no value, types: {{ … }} if the column holds text", shown(text))
        })?;
        Ok(if missing.contains(&value) { f64::NAN } else { value })
    }

    pub fn is_missing(&self, cell: &[u8]) -> bool {
        cell.is_empty() || self.missing.iter().any(|text| text == cell)
    }

    /// The value of a trimmed cell of a column of numbers or dates.
    pub fn value(&self, kind: Kind, cell: &[u8]) -> Option<f64> {
        match kind {
            Kind::Date => date::parse(cell),
            _ => number::whole_cell(cell, self.decimal),
        }
    }

    /// A fault of a cell, with the name of its column.
    fn placed(&self, fault: Fault, line: u64, field: usize) -> Fault {
        let name = self.columns.get(field).map_or("", |column| column.name.as_str());
        let mut fault = fault.below(line);
        if let Some(place) = &mut fault.place {
            place.column = Some(field + 1);
        }
        fault.message = format!("{name}: {}", fault.message);
        fault
    }

    fn miscounted(&self, last: usize) -> String {
        let expected = self.columns.len();
        if last < expected { format!("{} cells, expected {expected}", last + 1) } else { format!("more than {expected} cells") }
    }
}

/// The place after the end of this line.
#[inline]
fn next_line(bytes: &[u8], at: usize) -> usize {
    let at = at + usize::from(bytes.get(at) == Some(&b'\r'));
    at + usize::from(bytes.get(at) == Some(&b'\n'))
}
