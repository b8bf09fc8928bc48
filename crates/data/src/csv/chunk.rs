//! Parses a piece of whole records into columns.
use super::cell::{Cell, Marks, line_ends, shown};
use super::column::{Kind, Values};
use super::{date, number};
use crate::error::Fault;
use memchr::memchr_iter;

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

/// What a piece holds: the values of the wanted columns, in the order of the file.
pub struct Chunk {
    pub values: Vec<Values>,
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

    /// The columns of a piece. Lines of a fault are counted from its start.
    pub fn parse(&self, bytes: &[u8]) -> Result<Chunk, Fault> {
        let numbers: Vec<f64> = self.missing.iter().filter_map(|text| number::whole_cell(text, self.decimal)).collect();
        let expected = memchr_iter(b'\n', bytes).count() + 1;
        let mut values: Vec<Values> =
            self.columns.iter().filter_map(|column| column.kind.map(|kind| Values::new(kind, expected))).collect();
        let mut rows = 0;
        let mut lines = 0;
        let mut at = 0;
        while at < bytes.len() {
            if line_ends(&bytes[at..]) {
                at = next_line(bytes, at);
                lines += 1;
                continue;
            }
            let mut slot = 0;
            let mut field = 0;
            let last = loop {
                let Some(column) = self.columns.get(field) else { break field };
                let fault = |fault: Fault| self.placed(fault, lines + 1, field);
                let target = column.kind.and_then(|kind| values.get_mut(slot).map(|values| (kind, values)));
                slot += usize::from(column.kind.is_some());
                let plain = self.plain_number(bytes, at, target.as_ref().map(|(kind, _)| *kind));
                at = if let Some((value, end)) = plain {
                    if let Some((_, values)) = target {
                        values.push(if numbers.contains(&value) { f64::NAN } else { value });
                    }
                    end
                } else {
                    let Cell { text, end, feeds } = self.marks.cell(bytes, at).map_err(fault)?;
                    if let Some((kind, values)) = target {
                        self.store(kind, values, &text, &numbers).map_err(|message| fault(Fault::data(0, None, message)))?;
                    }
                    lines += feeds;
                    end
                };
                if bytes.get(at) != Some(&self.marks.delimiter) {
                    break field;
                }
                at += 1;
                field += 1;
            };
            if last + 1 != self.columns.len() {
                return Err(Fault::data(lines + 1, None, self.miscounted(last)));
            }
            at = next_line(bytes, at);
            lines += 1;
            rows += 1;
        }
        Ok(Chunk { values, rows, lines })
    }

    /// The short way: a number that fills its cell, in a column of numbers.
    #[inline]
    fn plain_number(&self, bytes: &[u8], at: usize, kind: Option<Kind>) -> Option<(f64, usize)> {
        if !matches!(kind, Some(Kind::Float64 | Kind::Float32)) {
            return None;
        }
        let (value, length) = number::parse(&bytes[at..], self.decimal)?;
        let end = at + length;
        (bytes.get(end) == Some(&self.marks.delimiter) || line_ends(&bytes[end..])).then_some((value, end))
    }

    fn store(&self, kind: Kind, values: &mut Values, text: &[u8], missing: &[f64]) -> Result<(), String> {
        if let Values::Text(values) = values {
            if std::str::from_utf8(text).is_err() {
                return Err(format!("{} is not UTF-8", shown(text)));
            }
            return if values.push(text) {
                Ok(())
            } else {
                Err("the column holds more than 4 GiB of text; leave it out with columns".into())
            };
        }
        let cell = text.trim_ascii();
        let value = if self.is_missing(cell) {
            f64::NAN
        } else {
            self.value(kind, cell).map(|value| if missing.contains(&value) { f64::NAN } else { value }).ok_or_else(|| {
                let what = if kind == Kind::Date { "a date (2024-02-29T12:30)" } else { "a number" };
                format!(
                    "{} is not {what}; pass missing: […] if it stands for no value, types: {{ … }} if the column holds text",
                    shown(text)
                )
            })?
        };
        values.push(value);
        Ok(())
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
