use bincode::{Decode, Encode};
use std::fmt;
use std::str::FromStr;

/// Milliseconds since the Unix epoch, set by writers: a hint, never an authority. As text it is ISO 8601 in UTC, such as
/// `2026-11-23T02:10:21.250Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct Timestamp(pub i64);

/// Where "now" comes from. Passed in everywhere, so that a test can run a year in a second.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// A text that is no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no point in time: write it as 2026-11-23T02:10:21Z, or in milliseconds since 1970")]
pub struct TimestampError(String);

/// Years beyond 9999, which only a careless or hostile writer gives, are written as the number that they are.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => time.fmt(f),
            Err(_) => self.0.fmt(f),
        }
    }
}

/// ISO 8601 with a zone, to the millisecond (what is finer is cut off), or milliseconds since the Unix epoch.
impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Timestamp, TimestampError> {
        if let Ok(millis) = text.parse() {
            return Ok(Timestamp(millis));
        }
        let time: jiff::Timestamp = text.parse().map_err(|_| TimestampError(text.to_owned()))?;
        Ok(Timestamp(time.as_nanosecond().div_euclid(1_000_000).try_into().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799_000),
            ("2026-11-23T02:10:21.25Z", 1_795_399_821_250),
            ("2026-11-23T04:10:21+02:00", 1_795_399_821_000),
            ("1969-12-31T23:59:59.9999Z", -1),
            ("-5", -5),
        ] {
            assert_eq!(text.parse(), Ok(Timestamp(millis)), "{text}");
        }
        for text in
            ["", "now", "1970-01-01", "1970-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "1970-01-01T24:00:00Z"]
        {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        assert_eq!(Timestamp(1_795_399_821_250).to_string(), "2026-11-23T02:10:21.25Z");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(millis in any::<i64>()) {
            let time = Timestamp(millis);
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }

        #[test]
        fn noise_never_panics(text in "[0-9TZ:+.é-]{0,30}") {
            let _ = text.parse::<Timestamp>();
        }
    }
}
