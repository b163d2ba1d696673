//! Points in time as OSM writes them: `2026-11-23T02:10:21Z`, also with fractions of a second and another zone.

use kappadb_core::Timestamp;

/// Days from the first of January of the year 1 to that of 1970.
const EPOCH: i64 = 719_162;

/// None if the text is no point in time of the years 1 to 9999.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_once('T')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let zone = rest.find(['Z', '+', '-'])?;
    let (time, zone) = rest.split_at_checked(zone)?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let minutes = (days(year, month, day)? * 24 + hour) * 60 + minute - offset(zone)?;
    Some(Timestamp((minutes * 60 + second) * 1000 + milliseconds(fraction)?))
}

/// Numbers of so many digits each.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut out = [0; N];
    for (number, digits) in out.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits)?;
        *number = digits_of(part)?;
    }
    parts.next().is_none().then_some(out)
}

/// A number without a sign.
fn digits_of(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Minutes east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, time) = match zone.strip_prefix('-') {
        Some(time) => (-1, time),
        None => (1, zone.strip_prefix('+')?),
    };
    let [hours, minutes] = numbers(time, ':', [2, 2])?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

fn milliseconds(fraction: &str) -> Option<i64> {
    digits_of(fraction)?;
    let first_three: String = fraction.chars().chain("00".chars()).take(3).collect();
    first_three.parse().ok()
}

/// Days since the epoch.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month - 1).ok()?;
    if year < 1 || !(1..=*lengths.get(before)?).contains(&day) {
        return None;
    }
    let years = year - 1;
    let leap_days = years / 4 - years / 100 + years / 400;
    Some(years * 365 + leap_days + lengths.iter().take(before).sum::<i64>() + day - 1 - EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2026-11-23T02:10:21Z", 1_795_399_821),
            ("2026-11-23T04:10:21+02:00", 1_795_399_821),
            ("2026-11-22T20:40:21-05:30", 1_795_399_821),
            ("1969-12-31T23:59:59Z", -1),
            ("0001-01-01T00:00:00Z", -EPOCH * 86_400),
        ] {
            assert_eq!(parse(text), Some(Timestamp(seconds * 1000)), "{text}");
        }
        assert_eq!(parse("1970-01-01T00:00:00.25Z"), Some(Timestamp(250)));
        assert_eq!(parse("1970-01-01T00:00:00.1239Z"), Some(Timestamp(123)));
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "now",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01 00:00:00Z",
            "1970-1-1T00:00:00Z",
            "1970-13-01T00:00:00Z",
            "1970-00-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:60:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00Zz",
            "1970-01-01T00:00:00+2",
            "0000-01-01T00:00:00Z",
            "+970-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn noise_never_panics(text in "[0-9TZ:+.é-]{0,30}") {
            let _ = parse(&text);
        }

        #[test]
        fn a_day_later_is_a_day_more(year in 1i64..9999, month in 1i64..=12, day in 1i64..=31) {
            let next = match (days(year, month, day + 1), days(year, month + 1, 1)) {
                (Some(next), _) | (None, Some(next)) => next,
                (None, None) => days(year + 1, 1, 1).unwrap(),
            };
            if let Some(this) = days(year, month, day) {
                prop_assert_eq!(next, this + 1);
            }
        }
    }
}
