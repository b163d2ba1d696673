//! What may stand in what.

use super::attributes::Attributes;
use super::element::{Known, Mark, Parsed, kind_of};
use super::reader::{Fault, Place, Token};
use crate::error::XmlDamage;

/// Elements in elements; OSM needs four.
const MAX_DEPTH: usize = 64;
/// Characters of a remark that are told.
const TOLD: usize = 200;

/// What an open element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// `osm`, or what `osmChange` has: elements are in it.
    Elements(Mark),
    /// `osmChange`: it has `create`, `modify` and `delete`.
    Actions,
    /// A node, way or relation.
    Element,
    /// What a server has to say of a map that it made.
    Remark,
    /// The format lets readers pass over it.
    Ignored,
}

/// Follows a document, token by token.
#[derive(Default)]
pub(super) struct Levels {
    open: Vec<Level>,
    /// The node, way or relation that is open.
    pub element: Option<Box<Parsed>>,
    /// True if the document is an osmChange.
    pub change: bool,
    /// True after the outermost element.
    ended: bool,
}

/// What came of a token.
pub(super) enum Step {
    /// Nothing yet.
    On,
    /// An element is whole.
    Element(Box<Parsed>),
    /// The document is of another format.
    Foreign,
    /// All of it was read.
    Done,
}

impl Levels {
    /// Takes a token, which starts at `place`.
    pub fn step(&mut self, token: Token<'_>, place: Place) -> Result<Step, Fault> {
        match token {
            Token::Start(tag) => return self.start(&tag, place),
            Token::End => return Ok(self.end()),
            Token::Text(_) if self.open.is_empty() => return Err(XmlDamage::Outside.into()),
            // A server that runs out of time ends its answer like this, and it looks whole.
            Token::Text(text) if self.open.last() == Some(&Level::Remark) && text.contains("error") => {
                return Err(XmlDamage::Incomplete { remark: text.trim().chars().take(TOLD).collect() }.into());
            }
            Token::EndOfFile if self.ended => return Ok(Step::Done),
            Token::EndOfFile => return Err(Fault::Truncated),
            Token::Text(_) | Token::Other => {}
        }
        Ok(Step::On)
    }

    fn start(&mut self, tag: &Attributes<'_>, place: Place) -> Result<Step, Fault> {
        if self.ended {
            return Err(XmlDamage::Outside.into());
        }
        if self.open.len() == MAX_DEPTH {
            return Err(XmlDamage::TooDeep { limit: MAX_DEPTH }.into());
        }
        let level = match self.open.last() {
            None => match tag.name() {
                "osm" => Level::Elements(Mark::None),
                "osmChange" => {
                    self.change = true;
                    Level::Actions
                }
                _ => return Ok(Step::Foreign),
            },
            Some(level) => self.inner(*level, tag, place)?,
        };
        self.open.push(level);
        Ok(Step::On)
    }

    /// What a tag opens in an element.
    fn inner(&mut self, outer: Level, tag: &Attributes<'_>, place: Place) -> Result<Level, XmlDamage> {
        let misplaced = || XmlDamage::Misplaced { name: tag.name().to_owned() };
        match (outer, tag.name()) {
            (Level::Actions, "create") => Ok(Level::Elements(Mark::None)),
            (Level::Actions, "modify") => Ok(Level::Elements(Mark::Edit)),
            (Level::Actions, "delete") => Ok(Level::Elements(Mark::Gone)),
            (Level::Elements(mark), name) if let Some(kind) = kind_of(name) => {
                self.element = Some(Box::new(Parsed::new(kind, place, mark, tag)?));
                Ok(Level::Element)
            }
            // Elsewhere they would be lost without a word.
            (_, name) if kind_of(name).is_some() => Err(misplaced()),
            (Level::Actions | Level::Elements(_), "tag" | "nd" | "member") => Err(misplaced()),
            (Level::Element, _) => match self.element.as_mut().map_or(Ok(Known::No), |e| e.part(tag))? {
                Known::Yes | Known::No => Ok(Level::Ignored),
                Known::Misplaced => Err(misplaced()),
            },
            (Level::Elements(_), "action") => Err(XmlDamage::Augmented),
            (Level::Elements(_), "remark") => Ok(Level::Remark),
            _ => Ok(Level::Ignored),
        }
    }

    fn end(&mut self) -> Step {
        let closed = self.open.pop();
        self.ended = self.open.is_empty();
        match self.element.take_if(|_| closed == Some(Level::Element)) {
            Some(element) => Step::Element(element),
            None => Step::On,
        }
    }
}
