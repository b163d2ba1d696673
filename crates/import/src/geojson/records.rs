//! Features one after the other.

use super::{Place, Sink, collection};
use crate::error::{ImportError, Reason};
use crate::metered::MAX_FEATURE_TEXT;
use crate::source::Source;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::io::{self, BufRead, BufReader, Read};

/// The record separator of RFC 8142.
pub(super) const RS: u8 = 0x1e;

/// Reads values that may run over several lines.
pub(super) fn read_values(
    source: &Source,
    reader: impl Read,
    sink: &mut Sink<'_>,
) -> Result<(), ImportError> {
    let meter = sink.meter;
    let mut values = serde_json::Deserializer::from_reader(reader).into_iter::<Box<RawValue>>();
    loop {
        meter.allow_one_more();
        match values.next() {
            None => return Ok(()),
            Some(Ok(raw)) => {
                let place = sink.place_of(raw.get());
                take_value(raw.get(), place, sink).map_err(|e| sink.unspooled(e))?;
            }
            Some(Err(e)) => return Err(sink.explain(source, &e, "a Feature")),
        }
    }
}

/// Reads one value between each two separators. A bad one is skipped, since the next separator ends it; but a bad one
/// that no separator ends is the rest of a file that was cut.
pub(super) fn read_lines(
    source: &Source,
    reader: impl Read,
    separator: u8,
    sink: &mut Sink<'_>,
) -> Result<(), ImportError> {
    let mut reader = BufReader::new(reader);
    let mut next = Place { line: 1, offset: 0 };
    let mut record = Vec::new();
    loop {
        record.clear();
        sink.meter.allow_one_more();
        let read = reader.by_ref().take(MAX_FEATURE_TEXT).read_until(separator, &mut record);
        let len = read.map_err(|e| source.unreadable(e))?;
        if len == 0 {
            return Ok(());
        }
        let blank = record.iter().take_while(|byte| is_blank(byte));
        let offset = next.offset + blank.clone().count() as u64;
        let place = Place { line: next.line + count_lines(blank), offset };
        next = Place { line: next.line + count_lines(record.iter()), offset: next.offset + len as u64 };
        let ended = matches!(record.last(), Some(&b'\n' | &RS));
        if len as u64 == MAX_FEATURE_TEXT && !ended {
            return Err(ImportError::FeatureTooLong {
                path: source.path.clone(),
                line: place.line,
                limit: MAX_FEATURE_TEXT,
            });
        }
        match take(&record, place, sink) {
            Ok(true) => {}
            Ok(false) if ended => {}
            Ok(false) => return Err(source.truncated("a Feature")),
            Err(e) => return Err(sink.unspooled(e)),
        }
    }
}

/// Takes one record; false if it is not JSON at all.
fn take(record: &[u8], place: Place, sink: &mut Sink<'_>) -> io::Result<bool> {
    let Ok(text) = std::str::from_utf8(record) else {
        sink.found += 1;
        sink.counts.free += 1;
        sink.skip(place, None, Reason::NotText);
        return Ok(false);
    };
    let text = text.trim_matches(|c: char| u8::try_from(c).is_ok_and(|byte| is_blank(&byte)));
    if text.is_empty() {
        return Ok(true);
    }
    let before = sink.recognised;
    take_value(text, place, sink)?;
    // What is a Feature is JSON.
    Ok(sink.recognised > before || serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// Takes what stands by itself: a Feature, a geometry or a collection of Features.
fn take_value(text: &str, place: Place, sink: &mut Sink<'_>) -> io::Result<()> {
    // Mostly it is none, and then the word is not there.
    if text.contains("FeatureCollection") && kind_of(text).as_deref() == Some("FeatureCollection") {
        collection::take(text, place, sink)
    } else {
        sink.take(text, place)
    }
}

fn kind_of(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Kind {
        r#type: String,
    }
    serde_json::from_str::<Kind>(text).ok().map(|kind| kind.r#type)
}

fn is_blank(byte: &u8) -> bool {
    byte.is_ascii_whitespace() || *byte == RS
}

fn count_lines<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    bytes.filter(|byte| **byte == b'\n').count() as u64
}
