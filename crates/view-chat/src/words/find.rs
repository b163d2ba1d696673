//! Finding messages by their words, the latest first.

use super::lexicon::{Lexicon, texts_key};
use super::segment::{Common, List, Numbers, Segment, read_doc, with_prefix};
use super::texts::Texts;
use super::tokens::{Term, Terms};
use crate::people::Row;
use crate::rows::BAD;
use kappadb_view::ViewError;
use kappadb_view::packed::Cursor;
use std::cmp::Reverse;

/// Messages that have all words, the latest first, each once; whether they count is not looked at.
pub struct Finder<'a> {
    parts: Vec<Part<'a>>,
    last: Option<Row>,
}

/// What one segment, or the texts, gives; with the message that is next.
struct Part<'a> {
    head: Row,
    rest: Rest<'a>,
}

enum Rest<'a> {
    Segment(Found<'a>),
    Texts(std::vec::IntoIter<Row>),
}

struct Found<'a> {
    segment: &'a Segment,
    numbers: Common,
    /// Reads along, for as long as what is wanted is near.
    docs: Option<Cursor>,
}

impl Lexicon {
    pub fn find(&self, terms: &Terms) -> Result<Finder<'_>, ViewError> {
        let mut finder = Finder { parts: Vec::new(), last: None };
        if terms.is_empty() {
            return Ok(finder);
        }
        for segment in &self.segments {
            let list = |term: &Term| numbers(segment, term);
            let numbers = Common(terms.iter().map(list).collect::<Result<_, _>>()?);
            let found = Found { segment, numbers, docs: None };
            finder.add(Rest::Segment(found))?;
        }
        finder.add(Rest::Texts(self.in_texts(terms)?.into_iter()))?;
        Ok(finder)
    }

    fn in_texts(&self, terms: &Terms) -> Result<Vec<Row>, ViewError> {
        let mut found = Vec::new();
        for (number, _) in &self.texts {
            let row = self.tree.get(&texts_key(*number))?.ok_or(BAD)?;
            for text in Texts(&row) {
                let text = text?;
                if terms.found_in(text.text)
                    && let Ok(channel) = std::str::from_utf8(text.channel)
                {
                    found.push(Row { channel: channel.to_owned(), place: text.place });
                }
            }
        }
        found.sort_unstable_by_key(|row| Reverse(row.place));
        Ok(found)
    }
}

fn numbers(segment: &Segment, term: &Term) -> Result<Numbers, ViewError> {
    Ok(match term.prefix {
        true => Numbers::Known(with_prefix(segment, &term.word)?.into_iter()),
        false => Numbers::List(List::of_word(segment, &term.word)?),
    })
}

impl<'a> Finder<'a> {
    fn add(&mut self, mut rest: Rest<'a>) -> Result<(), ViewError> {
        if let Some(head) = rest.next()? {
            self.parts.push(Part { head, rest });
        }
        Ok(())
    }

    /// The next message.
    pub fn next(&mut self) -> Result<Option<Row>, ViewError> {
        loop {
            let latest = self.parts.iter().enumerate().max_by_key(|(_, part)| part.head.place);
            let Some(at) = latest.map(|(at, _)| at) else { return Ok(None) };
            let Some(part) = self.parts.get_mut(at) else { return Ok(None) };
            let found = match part.rest.next()? {
                Some(next) => std::mem::replace(&mut part.head, next),
                None => self.parts.swap_remove(at).head,
            };
            if self.last.as_ref() != Some(&found) {
                self.last = Some(found.clone());
                return Ok(Some(found));
            }
        }
    }
}

impl Rest<'_> {
    fn next(&mut self) -> Result<Option<Row>, ViewError> {
        match self {
            Rest::Segment(found) => found.next(),
            Rest::Texts(rows) => Ok(rows.next()),
        }
    }
}

/// Rows read on to reach a message, before it is looked up instead.
const NEAR: u32 = 64;

impl Found<'_> {
    fn next(&mut self) -> Result<Option<Row>, ViewError> {
        while let Some(number) = self.numbers.next()? {
            if let Some(row) = self.doc(number)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    fn doc(&mut self, number: u32) -> Result<Option<Row>, ViewError> {
        let key = number.to_be_bytes();
        let near = |reader: &Cursor| {
            let at = reader.key().first_chunk().copied().map(u32::from_be_bytes);
            at.is_some_and(|at| number.saturating_sub(at) < NEAR)
        };
        let mut docs = match self.docs.take().filter(near) {
            Some(docs) => docs,
            None => self.segment.docs.range(&key, None, false)?,
        };
        while docs.key() < &key[..] {
            if !docs.advance()? {
                return Err(BAD);
            }
        }
        if docs.key() != key {
            return Err(BAD);
        }
        let row = read_doc(docs.value()?)?;
        self.docs = Some(docs);
        Ok(row)
    }
}
