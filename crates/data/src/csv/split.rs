//! Cuts a block of text into pieces of whole records, so that they can be parsed at the same time.
use memchr::{memchr, memchr_iter, memchr2_iter, memrchr};
use rayon::prelude::*;
use std::ops::Range;

/// No piece is smaller than this, if the block is not.
const LEAST: usize = 64 * 1024;

/// Whole records, and the most that they can be: blank lines and a last line without a line feed count too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub range: Range<usize>,
    pub records: usize,
}

/// The ends of records found in one part of the block, were its first byte outside (0) or inside (1) of quotes.
#[derive(Clone, Copy, Default)]
struct Ends {
    first: [Option<usize>; 2],
    last: [Option<usize>; 2],
    count: [usize; 2],
    odd: bool,
}

/// Pieces of whole records, in order, from the start of `bytes`. What follows the last end of a record is left out, unless `last` says that nothing will
/// follow. A line feed ends a record where it is outside of quotes: where an even number of them stands before it.
pub fn split(bytes: &[u8], quote: Option<u8>, parts: usize, last: bool) -> Vec<Piece> {
    let size = bytes.len().div_ceil(parts.max(1)).max(LEAST);
    let ends: Vec<Ends> = bytes.par_chunks(size).enumerate().map(|(k, part)| ends(part, quote, k * size)).collect();
    let mut pieces = Vec::with_capacity(ends.len());
    let mut inside = false;
    let mut start = 0;
    let mut end = 0;
    let mut records = 0;
    for (k, part) in ends.iter().enumerate() {
        let parity = usize::from(inside);
        records += part.count[parity];
        if k > 0
            && let Some(first) = part.first[parity]
        {
            let after = part.count[parity] - 1;
            pieces.push(Piece { range: start..first, records: records - after });
            (start, records) = (first, after);
        }
        end = part.last[parity].unwrap_or(end);
        inside ^= part.odd;
    }
    pieces.push(Piece { range: start..if last { bytes.len() } else { end }, records: records + usize::from(last) });
    pieces.retain(|piece| !piece.range.is_empty());
    pieces
}

/// Where the first `count` records end; None where there are fewer.
pub fn first_records(bytes: &[u8], quote: Option<u8>, count: usize) -> Option<usize> {
    let mut inside = false;
    let mut found = 0;
    for at in feeds_and_quotes(bytes, quote) {
        if bytes[at] != b'\n' {
            inside = !inside;
        } else if !inside {
            found += 1;
            if found == count {
                return Some(at + 1);
            }
        }
    }
    None
}

fn ends(part: &[u8], quote: Option<u8>, offset: usize) -> Ends {
    let mut found = Ends::default();
    if quote.is_none_or(|quote| memchr(quote, part).is_none()) {
        let (first, last) = (memchr(b'\n', part), memrchr(b'\n', part));
        // Were all of it inside of quotes, no record would end here.
        return Ends {
            first: [first.map(|at| offset + at + 1), None],
            last: [last.map(|at| offset + at + 1), None],
            count: [memchr_iter(b'\n', part).count(), 0],
            odd: false,
        };
    }
    for at in feeds_and_quotes(part, quote) {
        if part[at] == b'\n' {
            let end = offset + at + 1;
            let parity = usize::from(found.odd);
            found.first[parity].get_or_insert(end);
            found.last[parity] = Some(end);
            found.count[parity] += 1;
        } else {
            found.odd = !found.odd;
        }
    }
    found
}

fn feeds_and_quotes(bytes: &[u8], quote: Option<u8>) -> Box<dyn Iterator<Item = usize> + '_> {
    match quote {
        Some(quote) => Box::new(memchr2_iter(quote, b'\n', bytes)),
        None => Box::new(memchr_iter(b'\n', bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ends of records, by going through the text once.
    fn plain(bytes: &[u8]) -> Vec<usize> {
        let mut inside = false;
        let mut ends = Vec::new();
        for (at, byte) in bytes.iter().enumerate() {
            inside ^= *byte == b'"';
            if *byte == b'\n' && !inside {
                ends.push(at + 1);
            }
        }
        ends
    }

    #[test]
    fn pieces_are_whole_records_wherever_quotes_and_line_feeds_fall() {
        let mut state = 1_u64;
        for round in 0..30 {
            let mut text = Vec::new();
            while text.len() < LEAST * 5 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                match (state >> 33) % 5 {
                    0 => text.extend(b"\"a\nb\"\"\n\n\""),
                    1 => text.extend(vec![b'"'; 2]),
                    2 => text.extend(std::iter::repeat_n(b'7', 500)),
                    _ => text.push(b'\n'),
                }
            }
            if round % 2 == 0 {
                text.push(b'"');
            }
            let ends = plain(&text);
            let pieces = split(&text, Some(b'"'), 4, false);
            assert!(pieces.len() > 1);
            let mut at = 0;
            for piece in &pieces {
                assert_eq!(piece.range.start, at);
                assert!(ends.contains(&piece.range.end));
                assert_eq!(piece.records, ends.iter().filter(|end| piece.range.contains(&(*end - 1))).count());
                at = piece.range.end;
            }
            assert_eq!(at, ends.last().copied().unwrap_or(0));
            assert_eq!(split(&text, Some(b'"'), 4, true).last().map(|piece| piece.range.end), Some(text.len()));
        }
    }

    #[test]
    fn without_quoting_each_line_feed_ends_a_record() {
        assert_eq!(split(b"a\"\nb\nc", None, 3, false).last(), Some(&Piece { range: 0..5, records: 2 }));
        assert_eq!(split(b"a\"\nb\nc", Some(b'"'), 3, false), []);
        assert_eq!(first_records(b"a\"\nb\nc", None, 1), Some(3));
        assert_eq!(first_records(b"\"\n\"\nb\nc", Some(b'"'), 1), Some(4));
        assert_eq!(first_records(b"b\n", None, 2), None);
    }
}
