//! Decimal numbers: a short exact way for those that nearly all files hold, the standard library's for the rest.

/// Powers of ten that are exact in f64.
pub const POWERS: [f64; 23] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22];
/// So many decimal digits always fit a u64.
const DIGITS: usize = 19;

/// The number at the start of `bytes` and its length: `-12.5e3`, with `decimal` for the point. Correctly rounded.
///
/// With at most 53 bits of digits and a power of ten within ±22, both factors are exact, so one rounding is left (Clinger 1990).
#[inline]
pub fn parse(bytes: &[u8], decimal: u8) -> Option<(f64, usize)> {
    let signed = matches!(bytes.first()?, b'-' | b'+');
    let mut at = usize::from(signed);
    let mut mantissa = 0_u64;
    let mut digits = |at: &mut usize| {
        let from = *at;
        while let Some(eight) = bytes.get(*at..).and_then(<[u8]>::first_chunk).and_then(|text| eight_digits(*text)) {
            mantissa = mantissa.wrapping_mul(100_000_000).wrapping_add(eight);
            *at += 8;
        }
        while let Some(digit) = bytes.get(*at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            *at += 1;
        }
        *at - from
    };
    let whole = digits(&mut at);
    let mut fraction = 0;
    if bytes.get(at) == Some(&decimal) {
        at += 1;
        fraction = digits(&mut at);
    }
    if whole + fraction == 0 {
        return None;
    }
    let (exponent, length) = exponent(&bytes[at..]);
    at += length;
    let power = exponent - i64::try_from(fraction).unwrap_or(i64::MAX / 2);
    if whole + fraction > DIGITS || mantissa > 1 << 53 || power.unsigned_abs() > 22 {
        return slowly(&bytes[..at], decimal).map(|value| (value, at));
    }
    let factor = POWERS[power.unsigned_abs() as usize];
    let value = if power < 0 { mantissa as f64 / factor } else { mantissa as f64 * factor };
    Some((if bytes[0] == b'-' { -value } else { value }, at))
}

/// The number of eight digits; None where one of the bytes is something else. The digits are joined in pairs, then fours, then all, within one word.
#[inline]
fn eight_digits(text: [u8; 8]) -> Option<u64> {
    let word = u64::from_le_bytes(text);
    let digits = word.wrapping_sub(0x3030_3030_3030_3030);
    // A byte below '0' borrows and one above '9' carries into its high half.
    if (word & 0xf0f0_f0f0_f0f0_f0f0) != 0x3030_3030_3030_3030 || (digits.wrapping_add(0x0606_0606_0606_0606) & 0xf0f0_f0f0_f0f0_f0f0) != 0
    {
        return None;
    }
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

/// `e-12` and its length; 0 and no length where there is none.
#[inline]
fn exponent(bytes: &[u8]) -> (i64, usize) {
    if !matches!(bytes.first(), Some(b'e' | b'E')) {
        return (0, 0);
    }
    let signed = matches!(bytes.get(1), Some(b'-' | b'+'));
    let from = 1 + usize::from(signed);
    let digits = bytes[from.min(bytes.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return (0, 0);
    }
    // More than nine digits without leading zeros say infinity or zero as surely as nine do.
    let value =
        bytes[from..from + digits].iter().skip_while(|byte| **byte == b'0').take(9).fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
    (if bytes[1] == b'-' { -value } else { value }, from + digits)
}

#[cold]
fn slowly(bytes: &[u8], decimal: u8) -> Option<f64> {
    if decimal == b'.' {
        return std::str::from_utf8(bytes).ok()?.parse().ok();
    }
    let text: String = bytes.iter().map(|byte| char::from(if *byte == decimal { b'.' } else { *byte })).collect();
    text.parse().ok()
}

/// The number that a whole cell is: also `inf`, `-Infinity`.
pub fn whole_cell(cell: &[u8], decimal: u8) -> Option<f64> {
    match parse(cell, decimal) {
        Some((value, length)) if length == cell.len() => Some(value),
        Some(_) => None,
        None => {
            let text = std::str::from_utf8(cell).ok()?;
            let name = text.trim_start_matches(['-', '+']);
            let known = name.eq_ignore_ascii_case("inf") || name.eq_ignore_ascii_case("infinity");
            if known { text.parse().ok() } else { None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_gives_the_double_that_the_standard_library_gives() {
        let forms = [
            "0",
            "-0",
            "7",
            "+7",
            "-12.5",
            ".5",
            "5.",
            "0.1",
            "0.30000000000000004",
            "1e22",
            "1e23",
            "-1.5E-7",
            "123456789012345678",
            "9007199254740993",
            "0.000000000000000000000123",
            "1e-320",
            "1e400",
            "179769313486231570000000000000000000000",
            "2.2250738585072011e-308",
            "1e0000000000000000000001",
            "123456.789012345678901234567890",
        ];
        for text in forms {
            let (value, length) = parse(text.as_bytes(), b'.').unwrap();
            assert_eq!((value.to_bits(), length), (text.parse::<f64>().unwrap().to_bits(), text.len()), "{text}");
        }
    }

    #[test]
    fn random_numbers_round_trip() {
        let mut state = 88_172_645_463_325_252_u64;
        for _ in 0..200_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let value = f64::from_bits(state);
            for text in [format!("{value:e}"), format!("{:.6}", (state >> 40) as f64 / 1000.0)] {
                if let Some((got, length)) = parse(text.as_bytes(), b'.') {
                    assert_eq!((got.to_bits(), length), (text.parse::<f64>().unwrap().to_bits(), text.len()), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_number_ends_where_its_characters_end() {
        assert_eq!(parse(b"12,5", b'.'), Some((12.0, 2)));
        assert_eq!(parse(b"12,5;", b','), Some((12.5, 4)));
        assert_eq!(parse(b"3e", b'.'), Some((3.0, 1)));
        assert_eq!(parse(b"3e+x", b'.'), Some((3.0, 1)));
        for none in ["", "-", ".", "e5", "x1", "-.e1"] {
            assert_eq!(parse(none.as_bytes(), b'.'), None, "{none}");
        }
    }

    #[test]
    fn a_whole_cell_may_be_infinite_but_not_a_word() {
        assert_eq!(whole_cell(b"-Infinity", b'.'), Some(f64::NEG_INFINITY));
        assert_eq!(whole_cell(b"12.5", b'.'), Some(12.5));
        for none in ["12x", "nan", "x", "info", ""] {
            assert_eq!(whole_cell(none.as_bytes(), b'.'), None, "{none}");
        }
    }
}
