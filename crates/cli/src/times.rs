//! Times as people write and read them: by the clock on their wall, or in UTC if they say so.

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use kappadb::Timestamp;
use std::str::FromStr;

/// By which clock times are shown, and those without a zone are read.
#[derive(Debug, Clone, Default)]
pub struct Times {
    /// All of them in UTC.
    pub utc: bool,
    /// The zone of whoever called, if that is not known to be this process's.
    pub zone: Option<TimeZone>,
}

impl Times {
    fn zone(&self) -> TimeZone {
        if self.utc { TimeZone::UTC } else { self.zone.clone().unwrap_or_else(TimeZone::system) }
    }

    /// A time for people: on a terminal by the clock on their wall, elsewhere in UTC.
    pub fn shown(&self, time: Timestamp, on_terminal: bool) -> String {
        if on_terminal && !self.utc { by_wall(time, self.zone()) } else { time.to_string() }
    }

    /// The moment that somebody means. An hour that comes twice is the first, one that is left out is what a clock shows that was not put forward.
    ///
    /// # Errors
    /// Of years that no clock shows.
    pub fn moment(&self, when: When) -> anyhow::Result<Timestamp> {
        when.in_zone(self.zone())
    }
}

/// What this process calls its zone: a name of the zone database, or what `TZ` says. None if it is the machine's, which may have no name.
pub fn name_of_zone() -> Option<String> {
    let name = TimeZone::system().iana_name().map(str::to_owned);
    name.or_else(|| std::env::var("TZ").ok())
}

/// The zone of that name; none if it is the machine's.
pub fn zone_of_name(name: Option<&str>) -> Option<TimeZone> {
    let name = name?;
    Some(TimeZone::get(name).or_else(|_| TimeZone::posix(name)).unwrap_or(TimeZone::UTC))
}

fn by_wall(time: Timestamp, zone: TimeZone) -> String {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(instant) => instant.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => time.to_string(),
    }
}

/// A point in time as somebody writes it: with a zone or in milliseconds, or by the clock on the wall. A day is its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Whatever the zone.
    At(Timestamp),
    /// By the clock on the wall.
    Wall(DateTime),
}

impl When {
    fn in_zone(self, zone: TimeZone) -> anyhow::Result<Timestamp> {
        match self {
            When::At(time) => Ok(time),
            When::Wall(time) => Ok(Timestamp(time.to_zoned(zone)?.timestamp().as_millisecond())),
        }
    }
}

/// Forms without a zone, beside those of ISO 8601.
const FORMS: [&str; 3] = ["%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%Y-%m-%d %H:%M"];
const DAYS: [&str; 2] = ["%d.%m.%Y", "%Y/%m/%d"];

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<When, String> {
        let text = text.trim();
        if let Ok(time) = text.parse() {
            return Ok(When::At(time));
        }
        let midnight = |day: jiff::civil::Date| day.to_datetime(Time::midnight());
        let day = text
            .parse()
            .ok()
            .or_else(|| DAYS.iter().find_map(|form| jiff::civil::Date::strptime(form, text).ok()));
        let with_hour = || FORMS.iter().find_map(|form| DateTime::strptime(form, text).ok());
        // A day alone is read as a time, too; one with a zone is none of these.
        let wall = text.parse::<DateTime>().ok().or_else(with_hour).or_else(|| day.map(midnight));
        wall.filter(|_| !text.ends_with(['Z', 'z'])).map(When::Wall).ok_or_else(|| {
            format!(
                "{text:?} is no point in time: write a day as 2026-11-29, a time of it as 2026-11-29 14:30, one with its zone as \
                 2026-11-29T14:30:00Z, or milliseconds since 1970"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    /// What somebody in Berlin writes, and which moment it is in UTC.
    #[test]
    fn dates_as_people_write_them() {
        for (text, utc) in [
            ("2026-11-29", "2026-11-28T23:00:00Z"),
            ("29.11.2026", "2026-11-28T23:00:00Z"),
            ("2026/11/29", "2026-11-28T23:00:00Z"),
            ("2026-07-01", "2026-06-30T22:00:00Z"),
            ("2026-11-29 14:30", "2026-11-29T13:30:00Z"),
            ("2026-11-29T14:30", "2026-11-29T13:30:00Z"),
            (" 2026-11-29 14:30:05 ", "2026-11-29T13:30:05Z"),
            ("29.11.2026 14:30", "2026-11-29T13:30:00Z"),
            ("2026-11-29T14:30:00Z", "2026-11-29T14:30:00Z"),
            ("2026-11-29T14:30:00+05:00", "2026-11-29T09:30:00Z"),
            ("1795399821250", "2026-11-23T02:10:21.25Z"),
            // The hour that comes twice, and the one that is left out.
            ("2026-10-25 02:30", "2026-10-25T00:30:00Z"),
            ("2026-03-29 02:30", "2026-03-29T01:30:00Z"),
        ] {
            let when: When = text.parse().unwrap();
            assert_eq!(when.in_zone(zone()).unwrap().to_string(), utc, "{text}");
        }
        for text in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-02-29",
            "29/11/2026",
            "11/29/2026",
            "14:30",
            "2026-11-29Z",
            "x",
        ] {
            assert!(text.parse::<When>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_as_the_same_second() {
        for millis in [0, 1_795_399_821_000, 951_868_799_000] {
            let text = by_wall(Timestamp(millis), zone());
            let when: When = text.parse().unwrap();
            assert_eq!(when.in_zone(zone()).unwrap(), Timestamp(millis), "{text}");
        }
        assert_eq!(by_wall(Timestamp(1_795_399_821_250), zone()), "2026-11-23 03:10:21");
        assert_eq!(by_wall(Timestamp(i64::MAX), zone()), i64::MAX.to_string());
    }
}
