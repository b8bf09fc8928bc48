//! Numbers of up to fifteen characters, which fill most files: sixteen bytes at a time, without a loop or a branch that depends on the digits.
//!
//! The end of the cell, the point and the digits come from comparisons of all bytes at once; a shuffle moves the digits to the right end and closes the gap
//! of the point; three multiply-and-adds make one whole number of them (Muła, "SIMD-ized parsing of unsigned integers", 2014). With at most fifteen digits
//! it is below 2⁵³ and the power of ten at most 10¹⁵, so both are exact and the quotient is correctly rounded (Clinger 1990).
use super::number::POWERS;
use std::arch::x86_64::{
    __m128i, _mm_and_si128, _mm_cmpeq_epi8, _mm_cvtsi128_si64, _mm_loadu_si128, _mm_madd_epi16, _mm_maddubs_epi16, _mm_min_epu8,
    _mm_movemask_epi8, _mm_or_si128, _mm_packus_epi32, _mm_set1_epi8, _mm_setr_epi8, _mm_setr_epi16, _mm_shuffle_epi8, _mm_sub_epi8,
};

const BYTES: usize = 16;

/// For a cell of `length` characters with its point at `point` (or `length`): from where each of sixteen places, the last of which is that of the ones,
/// takes its digit; 0x80 says from nowhere.
static PLACES: [[[u8; BYTES]; BYTES]; BYTES] = places();

const fn places() -> [[[u8; BYTES]; BYTES]; BYTES] {
    let mut table = [[[0x80; BYTES]; BYTES]; BYTES];
    let mut length = 0;
    while length < BYTES {
        let mut point = 0;
        while point < BYTES {
            let mut from = length;
            let mut place = BYTES;
            while place > 0 && from > 0 {
                from -= 1;
                if from != point {
                    place -= 1;
                    table[length][point][place] = from as u8;
                }
            }
            point += 1;
        }
        length += 1;
    }
    table
}

/// What a cell is searched for.
#[derive(Clone, Copy)]
pub struct Short {
    delimiter: __m128i,
    decimal: __m128i,
}

impl Short {
    #[target_feature(enable = "avx2,bmi1")]
    pub fn new(delimiter: u8, decimal: u8) -> Self {
        Self { delimiter: _mm_set1_epi8(delimiter as i8), decimal: _mm_set1_epi8(decimal as i8) }
    }

    /// The number that stands in `bytes` from `at` to the next delimiter or line end, and where that is. None is no verdict: the cell may hold an exponent, be
    /// longer, or end with the text.
    #[inline]
    #[target_feature(enable = "avx2,bmi1")]
    pub fn parse(self, bytes: &[u8], at: usize) -> Option<(f64, usize)> {
        let window: &[u8; BYTES] = bytes.get(at..)?.first_chunk()?;
        // SAFETY: the sixteen bytes that are loaded are those of `window`; no alignment is asked for.
        let text = unsafe { _mm_loadu_si128(window.as_ptr().cast()) };
        let lines = _mm_or_si128(_mm_cmpeq_epi8(text, _mm_set1_epi8(10)), _mm_cmpeq_epi8(text, _mm_set1_epi8(13)));
        let ends = mask(_mm_or_si128(lines, _mm_cmpeq_epi8(text, self.delimiter)));
        let length = ends.trailing_zeros() as usize;
        if length >= BYTES {
            return None;
        }
        let cell = (1_u32 << length) - 1;
        let values = _mm_sub_epi8(text, _mm_set1_epi8(48));
        let digits = _mm_cmpeq_epi8(_mm_min_epu8(values, _mm_set1_epi8(9)), values);
        let points = mask(_mm_cmpeq_epi8(text, self.decimal)) & cell;
        let first_point = points & points.wrapping_neg();
        let point = (first_point | (1 << length)).trailing_zeros() as usize;
        // Bits, not a comparison of the first byte: signs are as good as random, and a branch would be guessed wrong every second time.
        let minus = mask(_mm_cmpeq_epi8(text, _mm_set1_epi8(45))) & 1;
        let plus = mask(_mm_cmpeq_epi8(text, _mm_set1_epi8(43))) & 1;
        let known = mask(digits) & cell;
        if known == 0 || known | first_point | minus | plus != cell {
            return None;
        }
        // SAFETY: an entry of the table has sixteen bytes.
        let places = unsafe { _mm_loadu_si128(PLACES[length % BYTES][point % BYTES].as_ptr().cast()) };
        let whole = join(_mm_shuffle_epi8(_mm_and_si128(values, digits), places));
        let fraction = length.saturating_sub(point + 1);
        let value = whole as i64 as f64 / POWERS[fraction % BYTES];
        Some((f64::from_bits(value.to_bits() | u64::from(minus) << 63), at + length))
    }
}

/// One bit for each byte.
#[inline]
#[target_feature(enable = "avx2,bmi1")]
fn mask(bytes: __m128i) -> u32 {
    _mm_movemask_epi8(bytes) as u32
}

/// The number of sixteen decimal digits.
#[inline]
#[target_feature(enable = "avx2,bmi1")]
fn join(digits: __m128i) -> u64 {
    let pairs = _mm_maddubs_epi16(digits, _mm_setr_epi8(10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1));
    let fours = _mm_madd_epi16(pairs, _mm_setr_epi16(100, 1, 100, 1, 100, 1, 100, 1));
    let eights = _mm_madd_epi16(_mm_packus_epi32(fours, fours), _mm_setr_epi16(10_000, 1, 10_000, 1, 10_000, 1, 10_000, 1));
    let both = _mm_cvtsi128_si64(eights) as u64;
    (both & 0xffff_ffff) * 100_000_000 + (both >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cell alone, followed by `end` and what may come after it.
    fn parse(cell: &str, end: char, decimal: u8) -> Option<(f64, usize)> {
        let text = format!("{cell}{end}7.5,8.25,9.125,1,2,3\n");
        // SAFETY: the caller has asked whether the instructions are there.
        unsafe { Short::new(b',', decimal).parse(text.as_bytes(), 0) }
    }

    fn can() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1")
    }

    #[test]
    fn every_short_number_is_the_double_that_the_standard_library_gives() {
        let mut state = 88_172_645_463_325_252_u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        for _ in 0..if can() { 1_000_000 } else { 0 } {
            let sign = ["", "-", "+"][random(3) as usize];
            let room = 15 - sign.len() as u64;
            let count = 1 + random(room);
            let mut cell: String = (0..count).map(|_| char::from(b'0' + random(10) as u8)).collect();
            if count < room && random(4) > 0 {
                cell.insert(random(count + 1) as usize, '.');
            }
            cell.insert_str(0, sign);
            let end = [',', '\n', '\r'][random(3) as usize];
            let (value, length) = parse(&cell, end, b'.').unwrap();
            assert_eq!((value.to_bits(), length), (cell.parse::<f64>().unwrap().to_bits(), cell.len()), "{cell}");
        }
    }

    #[test]
    fn what_is_not_a_short_number_is_left_to_the_others() {
        let cells =
            ["", "-", ".", "-.", "+-1", "1-", "1.2.3", "1e5", "1 ", " 1", "x", "1x", "1234567890123456", "0.12345678901234", "/", ":"];
        for cell in if can() { &cells[..] } else { &[] } {
            assert_eq!(parse(cell, ',', b'.'), None, "{cell:?}");
        }
        if can() {
            assert_eq!(parse("-1;5", ',', b';'), Some((-1.5, 4)));
            assert_eq!(parse("-1.5", ',', b';'), None);
            // SAFETY: see can().
            assert_eq!(unsafe { Short::new(b',', b'.').parse(b"12,3", 0) }, None, "fewer than sixteen bytes are left");
        }
    }
}
