//! The XML parser, and what its errors mean.

use super::attributes::Attributes;
use crate::error::{ImportError, Location, XmlDamage};
use crate::format::TO_UTF8;
use crate::metered::{MAX_FEATURE_TEXT, Meter, Metered};
use crate::packing::Content;
use crate::source::Source;
use quick_xml::Reader;
use quick_xml::errors::{Error, IllFormedError};
use quick_xml::events::{BytesDecl, Event};
use std::borrow::Cow;
use std::io::{self, BufRead, BufReader};

/// A piece of XML.
pub(super) enum Token<'a> {
    /// A tag that opens. One that closes itself comes as two.
    Start(Attributes<'a>),
    End,
    /// Text, that is not just white space; or a part of it.
    Text(Cow<'a, str>),
    /// Of no meaning here.
    Other,
    EndOfFile,
}

/// Reads tokens. Counts what it has consumed in the meter, byte by byte.
pub(super) struct Xml<'m> {
    reader: Reader<Metered<'m, BufReader<Content>>>,
    buffer: Vec<u8>,
}

/// Why there is no next token.
pub(super) enum Fault {
    Damage(XmlDamage),
    Read(io::Error),
    /// The text ends in the middle of something.
    Truncated,
    Encoding(String),
}

impl From<XmlDamage> for Fault {
    fn from(damage: XmlDamage) -> Self {
        Fault::Damage(damage)
    }
}

impl<'m> Xml<'m> {
    pub fn new(content: Content, meter: &'m Meter) -> Self {
        let inner = BufReader::with_capacity(1 << 18, content);
        let mut reader = Reader::from_reader(Metered { inner, meter });
        reader.config_mut().expand_empty_elements = true;
        Xml { reader, buffer: Vec::new() }
    }

    pub fn next(&mut self) -> Result<Token<'_>, Fault> {
        self.buffer.clear();
        let event = match self.reader.read_event_into(&mut self.buffer) {
            Ok(event) => event,
            Err(error) => return Err(fault(error, self.reader.get_mut())),
        };
        Ok(match event {
            Event::Start(tag) | Event::Empty(tag) => Token::Start(Attributes(tag)),
            Event::End(_) => Token::End,
            Event::Text(text) if text.trim_ascii().is_empty() => Token::Other,
            Event::Text(text) => Token::Text(text.into_inner()),
            Event::CData(text) => Token::Text(text.into_inner()),
            Event::GeneralRef(name) => Token::Text(name.into_inner()),
            Event::Decl(declaration) => check_encoding(&declaration).map(|()| Token::Other)?,
            // Entities that a document type declares are not known afterwards.
            Event::Comment(_) | Event::PI(_) | Event::DocType(_) => Token::Other,
            Event::Eof => Token::EndOfFile,
        })
    }
}

/// What an error means, with what is left to read.
fn fault(error: Error, rest: &mut impl BufRead) -> Fault {
    let unclosed = matches!(error, Error::Syntax(_) | Error::IllFormed(IllFormedError::UnclosedReference));
    match error {
        Error::Io(source) => Fault::Read(source.kind().into()),
        // Half a character, too, if nothing follows.
        Error::Encoding(_) if !is_at_end(rest) => XmlDamage::NotText.into(),
        Error::Encoding(_) => Fault::Truncated,
        _ if unclosed && is_at_end(rest) => Fault::Truncated,
        other => XmlDamage::Syntax { reason: other.to_string() }.into(),
    }
}

fn is_at_end(rest: &mut impl BufRead) -> bool {
    rest.fill_buf().is_ok_and(<[u8]>::is_empty)
}

fn check_encoding(declaration: &BytesDecl<'_>) -> Result<(), Fault> {
    let syntax = |e: quick_xml::events::attributes::AttrError| XmlDamage::Syntax { reason: e.to_string() };
    match declaration.encoding().transpose().map_err(syntax)? {
        Some(name) if !["utf-8", "utf8", "us-ascii"].contains(&name.to_ascii_lowercase().as_str()) => {
            Err(Fault::Encoding(format!("the text encoding {name}")))
        }
        _ => Ok(()),
    }
}

/// Where a token starts.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// From 1.
    pub line: u64,
    /// Bytes before it, of what the file unpacks to.
    pub offset: u64,
}

impl Place {
    pub fn of(meter: &Meter) -> Place {
        Place { line: meter.lines.get() + 1, offset: meter.bytes.get() }
    }

    pub fn location(self) -> Location {
        Location::Text { line: self.line, offset: self.offset }
    }
}

/// What a fault means for the file: it is at `place`, in `element`.
pub(super) fn explain(
    source: &Source,
    meter: &Meter,
    place: Place,
    element: Option<String>,
    fault: Fault,
) -> ImportError {
    let (path, line) = (source.path.clone(), place.line);
    match fault {
        Fault::Read(_) if meter.is_spent() => {
            ImportError::FeatureTooLong { path, line, limit: MAX_FEATURE_TEXT }
        }
        Fault::Read(error) => source.unreadable(error),
        Fault::Truncated => source.truncated("its XML"),
        Fault::Encoding(encoding) => source.unsupported(encoding, TO_UTF8),
        Fault::Damage(damage) => ImportError::NotXml { path, line, offset: place.offset, element, damage },
    }
}
