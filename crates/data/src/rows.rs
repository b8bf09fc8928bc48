//! Rows of equal size read from a file by their positions: what a batch of a dataset larger than memory needs.
use crate::error::Fault;
use rayon::prelude::*;
use std::fs::File;
use std::io;

/// Rows that one task reads: enough that the switch between tasks does not show.
const ROWS_PER_TASK: usize = 64;

/// Reads rows of `size` bytes that begin at `offset` in the file; rows that follow one another are read at once. The rows come in the order asked for.
/// Memory is that of the result: the file is read by position, not mapped.
pub fn read_rows(file: &File, offset: u64, size: usize, rows: &[u64]) -> Result<Vec<u8>, Fault> {
    let too_much = || Fault::argument(format!("{} rows of {size} bytes cannot be addressed", rows.len()));
    let total = rows.len().checked_mul(size).ok_or_else(too_much)?;
    let mut out = vec![0; total];
    if size == 0 {
        return Ok(out);
    }
    out.par_chunks_mut(size * ROWS_PER_TASK).zip(rows.par_chunks(ROWS_PER_TASK)).try_for_each(|(out, rows)| {
        let mut done = 0;
        while done < rows.len() {
            let first = rows[done];
            let run = rows[done..].iter().zip(first..=u64::MAX).take_while(|(row, next)| *row == next).count();
            let at = first.checked_mul(size as u64).and_then(|bytes| bytes.checked_add(offset)).ok_or_else(too_much)?;
            read_at(file, &mut out[done * size..(done + run) * size], at)?;
            done += run;
        }
        Ok::<(), Fault>(())
    })?;
    Ok(out)
}

#[cfg(unix)]
fn read_at(file: &File, out: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, at)
}

#[cfg(windows)]
fn read_at(file: &File, mut out: &mut [u8], mut at: u64) -> io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                out = &mut out[count..];
                at += count as u64;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn rows_come_in_the_order_asked_for_whatever_their_runs() {
        let bytes: Vec<u8> = (0..=255).collect();
        let file = file(&bytes);
        let rows: Vec<u64> = (0..200).map(|i| (i * 7 + i / 3) % 80).chain(10..80).collect();
        let read = read_rows(&file, 4, 3, &rows).unwrap();
        let expected: Vec<u8> = rows.iter().flat_map(|row| (0..3).map(move |k| (4 + row * 3 + k) as u8)).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn a_row_beyond_the_end_is_an_error_and_not_zeros() {
        let fault = read_rows(&file(&[1, 2, 3, 4]), 0, 2, &[0, 2]).unwrap_err();
        assert_eq!(fault.code, Code::Io);
        assert_eq!(read_rows(&file(&[1]), 0, 8, &[u64::MAX]).unwrap_err().code, Code::Argument);
    }
}
