//! Columns side by side: the rows of a matrix from the columns of a table.
use crate::error::Fault;
use crate::memory::filled;
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ops::Range;

/// A column of numbers.
#[derive(Clone, Copy, Debug)]
pub enum Numbers<'a> {
    Float64(&'a [f64]),
    Float32(&'a [f32]),
}

/// An element of the matrix.
pub trait Element: Copy + Send {
    fn of(value: f64) -> Self;
}

impl Element for f64 {
    fn of(value: f64) -> Self {
        value
    }
}

impl Element for f32 {
    fn of(value: f64) -> Self {
        value as f32
    }
}

/// Rows of the matrix must fit the cache while column after column is written to them.
const PART: usize = 32 * 1024;

impl Numbers<'_> {
    fn len(self) -> usize {
        match self {
            Self::Float64(values) => values.len(),
            Self::Float32(values) => values.len(),
        }
    }
}

/// The bytes of the matrix [rows, columns], and where among those given back it stands. Numbers are rounded to the nearest of type `T`.
pub fn interleave<T: Element>(columns: &[Numbers]) -> Result<(Vec<u8>, Range<usize>), Fault> {
    let width = columns.len();
    let rows = columns.first().map_or(0, |column| column.len());
    if columns.iter().any(|column| column.len() != rows) {
        return Err(Fault::argument("columns must be equally long"));
    }
    let too_much = || Fault::argument(format!("memory does not hold a matrix of {rows} rows and {width} columns"));
    let size = rows.checked_mul(width * size_of::<T>()).ok_or_else(too_much)?;
    let make = |places: &mut [MaybeUninit<T>]| {
        let height = (PART / (width * size_of::<T>())).max(1);
        places.par_chunks_mut(height * width).enumerate().for_each(|(part, places)| {
            let from = part * height;
            let range = from..from + places.len() / width;
            for (k, column) in columns.iter().enumerate() {
                match column {
                    Numbers::Float64(values) => write(places, k, width, values[range.clone()].iter().copied()),
                    Numbers::Float32(values) => write(places, k, width, values[range.clone()].iter().copied().map(f64::from)),
                }
            }
        });
    };
    // SAFETY: each element of each row is written.
    unsafe { filled::<T>(size / size_of::<T>(), make) }.ok_or_else(too_much)
}

fn write<T: Element>(places: &mut [MaybeUninit<T>], column: usize, width: usize, values: impl Iterator<Item = f64>) {
    for (row, value) in places.chunks_exact_mut(width).zip(values) {
        row[column].write(T::of(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::ALIGN;

    fn matrix<const N: usize>((bytes, range): (Vec<u8>, Range<usize>)) -> Vec<[u8; N]> {
        assert_eq!(bytes[range.clone()].as_ptr().align_offset(ALIGN), 0);
        bytes[range].chunks_exact(N).map(|bytes| bytes.try_into().unwrap()).collect()
    }

    #[test]
    fn rows_stand_one_after_another_whatever_the_columns_hold() {
        let wide: Vec<f64> = (0..10_007).map(|k| f64::from(k) + 0.1).collect();
        let narrow: Vec<f32> = (0..10_007).map(|k| k as f32 * 0.5).collect();
        let columns = [Numbers::Float64(&wide), Numbers::Float32(&narrow), Numbers::Float64(&wide)];
        let expected: Vec<f64> = (0..10_007).flat_map(|k| [wide[k], f64::from(narrow[k]), wide[k]]).collect();
        let doubles: Vec<f64> = matrix(interleave::<f64>(&columns).unwrap()).into_iter().map(f64::from_ne_bytes).collect();
        assert_eq!(doubles, expected);
        let singles: Vec<f32> = matrix(interleave::<f32>(&columns).unwrap()).into_iter().map(f32::from_ne_bytes).collect();
        assert_eq!(singles, expected.iter().map(|value| *value as f32).collect::<Vec<_>>());
    }

    #[test]
    fn no_rows_make_an_empty_matrix_and_unequal_columns_none() {
        assert_eq!(interleave::<f64>(&[Numbers::Float64(&[])]).unwrap().1.len(), 0);
        assert_eq!(interleave::<f32>(&[]).unwrap().1.len(), 0);
        assert!(interleave::<f64>(&[Numbers::Float64(&[1.0]), Numbers::Float32(&[])]).is_err());
    }
}
