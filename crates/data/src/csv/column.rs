//! Columns as they are built: each piece of a block writes its rows to a place of its own in the whole column.
use crate::error::Fault;
use crate::memory::in_huge_pages;
use std::mem::{MaybeUninit, take};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Float64,
    Float32,
    /// Milliseconds since 1970 as float64.
    Date,
    Text,
}

impl Kind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Float64 => "float64",
            Self::Float32 => "float32",
            Self::Date => "date",
            Self::Text => "text",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Float64, Self::Float32, Self::Date, Self::Text].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The values of a column. Missing numbers are NaN.
#[derive(Debug, PartialEq)]
pub enum Values {
    Float64(Vec<f64>),
    Float32(Vec<f32>),
    Text(Text),
}

/// Cells of UTF-8, one after another: cell k ends at `ends[k]`, where cell k + 1 begins.
#[derive(Debug, Default, PartialEq)]
pub struct Text {
    pub bytes: Vec<u8>,
    pub ends: Vec<u32>,
}

/// Where a piece puts the cells of one column, by row.
pub enum Sink<'a> {
    /// The column is not wanted.
    None,
    Float64(&'a mut [MaybeUninit<f64>]),
    Float32(&'a mut [MaybeUninit<f32>]),
    Date(&'a mut [MaybeUninit<f64>]),
    Text(Text),
}

impl Text {
    pub fn cell(&self, k: usize) -> &[u8] {
        let start = if k == 0 { 0 } else { self.ends[k - 1] as usize };
        &self.bytes[start..self.ends[k] as usize]
    }

    /// Adds a cell; false where 4 GiB do not hold it.
    pub fn push(&mut self, cell: &[u8]) -> bool {
        self.bytes.extend_from_slice(cell);
        u32::try_from(self.bytes.len()).map(|end| self.ends.push(end)).is_ok()
    }

    /// Adds the cells of a later piece; false where 4 GiB do not hold them.
    fn append(&mut self, part: &Self) -> bool {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(&part.bytes);
        let fits = u32::try_from(self.bytes.len()).is_ok();
        if fits {
            self.ends.extend(part.ends.iter().map(|end| before as u32 + end));
        }
        fits
    }
}

impl Values {
    pub fn new(kind: Kind) -> Self {
        match kind {
            Kind::Float64 | Kind::Date => Self::Float64(Vec::new()),
            Kind::Float32 => Self::Float32(Vec::new()),
            Kind::Text => Self::Text(Text::default()),
        }
    }

    /// Room for `needed` rows in all; where there is not enough, for as many as are `expected` in the end, if memory holds them.
    pub fn reserve(&mut self, needed: usize, expected: usize) -> Result<(), Fault> {
        match self {
            Self::Float64(values) => reserve(values, needed, expected),
            Self::Float32(values) => reserve(values, needed, expected),
            Self::Text(text) => reserve(&mut text.ends, needed, expected),
        }
    }

    /// One place after another for pieces of so many records, in what `reserve` made room for.
    pub fn sinks(&mut self, kind: Kind, records: impl Iterator<Item = usize>) -> Vec<Sink<'_>> {
        match self {
            Self::Float64(values) => {
                let sink = if kind == Kind::Date { Sink::Date } else { Sink::Float64 };
                parts(values.spare_capacity_mut(), records).map(sink).collect()
            }
            Self::Float32(values) => parts(values.spare_capacity_mut(), records).map(Sink::Float32).collect(),
            Self::Text(_) => records.map(|_| Sink::Text(Text::default())).collect(),
        }
    }

    /// Takes over what pieces wrote: (records of its place, rows that it wrote) of each, and the texts of a column of text.
    ///
    /// # Safety
    /// After the last `reserve` the sinks of these pieces have been written, each from its start, in so many rows.
    pub unsafe fn keep(&mut self, name: &str, pieces: impl Iterator<Item = (usize, usize)>, texts: &[Text]) -> Result<(), Fault> {
        match self {
            // SAFETY: handed on to the caller.
            Self::Float64(values) => unsafe { keep(values, pieces) },
            // SAFETY: handed on to the caller.
            Self::Float32(values) => unsafe { keep(values, pieces) },
            Self::Text(whole) => {
                if !texts.iter().all(|text| whole.append(text)) {
                    return Err(Fault::argument(format!("{name} holds more than 4 GiB of text; leave it out with columns")));
                }
            }
        }
        Ok(())
    }

    /// Gives back the room that was not needed.
    pub fn fit(&mut self) {
        match self {
            Self::Float64(values) => values.shrink_to_fit(),
            Self::Float32(values) => values.shrink_to_fit(),
            Self::Text(text) => {
                text.bytes.shrink_to_fit();
                text.ends.shrink_to_fit();
            }
        }
    }
}

fn reserve<T>(values: &mut Vec<T>, needed: usize, expected: usize) -> Result<(), Fault> {
    if values.capacity() >= needed {
        return Ok(());
    }
    let more = |rows: usize| rows.saturating_sub(values.len());
    let (needed, expected) = (more(needed), more(expected.max(needed)));
    let room = values.try_reserve_exact(expected).or_else(|_| values.try_reserve_exact(needed));
    room.map_err(|_| Fault::argument("memory does not hold the table; leave columns out with columns"))?;
    in_huge_pages(values.spare_capacity_mut());
    Ok(())
}

/// Cuts a slice into pieces of these lengths.
fn parts<T>(mut slice: &mut [T], lengths: impl Iterator<Item = usize>) -> impl Iterator<Item = &mut [T]> {
    lengths.map(move |length| {
        let (head, tail) = take(&mut slice).split_at_mut(length);
        slice = tail;
        head
    })
}

/// # Safety
/// As `Values::keep`.
unsafe fn keep<T: Copy>(values: &mut Vec<T>, pieces: impl Iterator<Item = (usize, usize)>) {
    let before = values.len();
    let spare = values.spare_capacity_mut();
    let (mut from, mut to) = (0, 0);
    for (records, rows) in pieces {
        // Blank lines leave a gap at the end of a piece.
        if from != to {
            spare.copy_within(from..from + rows, to);
        }
        from += records;
        to += rows;
    }
    // SAFETY: `to` values have been written, one after another, and moved together.
    unsafe { values.set_len(before + to) };
}
