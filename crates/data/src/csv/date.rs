//! Dates that read the same everywhere: ISO 8601, year first.

/// Milliseconds since 1970-01-01T00:00Z of `2024-02-29`, `2024/02/29 12:30`, `2024-02-29T12:30:15.250Z` or `…+02:00`; without a zone it is UTC.
pub fn parse(cell: &[u8]) -> Option<f64> {
    let mut rest = cell;
    let year = digits(&mut rest, 4)?;
    let separator = take(&mut rest, b"-/")?;
    let month = digits(&mut rest, 2)?;
    take(&mut rest, &[separator])?;
    let day = digits(&mut rest, 2)?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    let midnight = days_since_1970(year, month, day) as f64 * 86_400_000.0;
    if rest.is_empty() {
        return Some(midnight);
    }
    take(&mut rest, b"T ")?;
    let time = time_of_day(&mut rest)?;
    let zone = zone(rest)?;
    Some(midnight + time - zone)
}

fn time_of_day(rest: &mut &[u8]) -> Option<f64> {
    let hour = digits(rest, 2)?;
    take(rest, b":")?;
    let minute = digits(rest, 2)?;
    let mut second = 0.0;
    if take(rest, b":").is_some() {
        second = digits(rest, 2)? as f64;
        if take(rest, b".").is_some() {
            let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let text = std::str::from_utf8(&rest[..count]).ok()?;
            second += format!("0.{text}").parse::<f64>().ok()?;
            *rest = &rest[count..];
        }
    }
    if hour > 23 || minute > 59 || second >= 60.0 {
        return None;
    }
    Some(((hour * 60 + minute) * 60_000) as f64 + (second * 1000.0).round())
}

/// Milliseconds east of Greenwich.
fn zone(mut rest: &[u8]) -> Option<f64> {
    match rest {
        [] | [b'Z'] => return Some(0.0),
        _ => {}
    }
    let sign = if take(&mut rest, b"+-")? == b'-' { -1.0 } else { 1.0 };
    let hour = digits(&mut rest, 2)?;
    let minute = match rest {
        [] => 0,
        [b':', tail @ ..] => digits(&mut { tail }, 2).filter(|_| tail.len() == 2)?,
        _ => digits(&mut { rest }, 2).filter(|_| rest.len() == 2)?,
    };
    if hour > 23 || minute > 59 {
        return None;
    }
    Some(sign * ((hour * 60 + minute) * 60_000) as f64)
}

fn digits(rest: &mut &[u8], count: usize) -> Option<i64> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    head.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

fn take(rest: &mut &[u8], any: &[u8]) -> Option<u8> {
    let first = *rest.first()?;
    any.contains(&first).then(|| {
        *rest = &rest[1..];
        first
    })
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Years are counted from March, so that the leap day comes last; the eras of 400 years have equally many days.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let from_march = (month + 9) % 12;
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_milliseconds_since_1970_in_utc() {
        let cases = [
            ("1970-01-01", 0.0),
            ("1969-12-31", -86_400_000.0),
            ("2000-02-29", 951_782_400_000.0),
            ("2024/02/29 12:30", 1_709_209_800_000.0),
            ("2024-02-29T12:30:15.250Z", 1_709_209_815_250.0),
            ("2024-02-29T12:30:15+02:00", 1_709_202_615_000.0),
            ("2024-02-29 12:30-0130", 1_709_215_200_000.0),
            ("1900-03-01", -2_203_891_200_000.0),
            ("0001-01-01", -62_135_596_800_000.0),
        ];
        for (text, value) in cases {
            assert_eq!(parse(text.as_bytes()), Some(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        let cases = [
            "",
            "2023",
            "2023-02-29",
            "1900-02-29",
            "2023-13-01",
            "2023-1-01",
            "2023-01/01",
            "2023-01-01T",
            "2023-01-01T24:00",
            "2023-01-01 12:60",
            "2023-01-01 12:30 Z",
            "2023-01-01T12:30+5",
            "2023-01-01T12:30+05:0",
            "2023-01-01x",
            "12.5",
        ];
        for text in cases {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
