//! Merging segments, in the background: their messages get new numbers, and the lists of each word are joined.

use super::lexicon::{Gone, load_gone};
use super::segment::{Segment, read_numbers, read_part, write_list};
use crate::rows::{BAD, DOCS, WORDS};
use kappadb_store::Tree;
use kappadb_view::ViewError;
use kappadb_view::packed::{Cursor, Run, Writer};
use std::sync::Arc;

/// Messages, and parts of lists, that are read in one piece of the work.
const MESSAGES: usize = 16_384;
const PARTS: usize = 16_384;
/// No number of a message.
const LEFT_OUT: u32 = u32::MAX;

pub struct MergeWords {
    tree: Arc<dyn Tree>,
    number: u64,
    /// The segments it is made of.
    pub origins: Vec<Segment>,
    /// It is made of all that there is, and without the words of what was deleted: so these are nowhere any more.
    pub forgets: bool,
    /// What is left out then.
    pub gone: Gone,
    /// For each of them, the new numbers of its messages, or [`LEFT_OUT`].
    renumbered: Vec<Vec<u32>>,
    step: Step,
    /// It is done; else there was no room on the disk.
    pub done: bool,
    /// What came of it; none if no message is left.
    pub segment: Option<Segment>,
}

enum Step {
    Begin,
    Messages(Messages),
    Lists { docs: Option<Run>, heads: Vec<(usize, Cursor)>, writer: Writer },
    End,
}

struct Messages {
    /// The next message of each segment that has one.
    heads: Vec<(Vec<u8>, usize, Cursor)>,
    /// The last message written.
    last: Vec<u8>,
    writer: Writer,
    count: u32,
}

impl MergeWords {
    pub fn new(tree: Arc<dyn Tree>, number: u64, origins: Vec<Segment>) -> MergeWords {
        MergeWords {
            tree,
            number,
            renumbered: vec![Vec::new(); origins.len()],
            origins,
            forgets: false,
            gone: Gone::new(),
            step: Step::Begin,
            done: false,
            segment: None,
        }
    }

    /// The same without the words of what was deleted. The origins are all that there is.
    pub fn forgetting(self) -> MergeWords {
        MergeWords { forgets: true, ..self }
    }

    /// Does a piece of the work. True if there is more.
    pub fn work(&mut self) -> Result<bool, ViewError> {
        self.step = match std::mem::replace(&mut self.step, Step::End) {
            Step::Begin => Step::Messages(self.begin()?),
            Step::Messages(messages) => self.messages(messages)?,
            Step::Lists { docs, heads, writer } => self.lists(docs, heads, writer)?,
            Step::End => return Ok(false),
        };
        Ok(!matches!(self.step, Step::End))
    }

    fn begin(&mut self) -> Result<Messages, ViewError> {
        if self.forgets {
            self.gone = load_gone(&*self.tree)?;
        }
        let mut heads = Vec::new();
        for (n, origin) in self.origins.iter().enumerate() {
            let mut docs = origin.docs.range(&[], None, false)?;
            if docs.advance()? {
                heads.push((docs.value()?.to_vec(), n, docs));
            }
        }
        let writer = Writer::new(&*self.tree, DOCS, self.number)?;
        Ok(Messages { heads, last: Vec::new(), writer, count: 0 })
    }

    /// Goes on with the messages.
    fn messages(&mut self, mut messages: Messages) -> Result<Step, ViewError> {
        let Messages { heads, last, writer, count } = &mut messages;
        for _ in 0..MESSAGES {
            let first = heads.iter().enumerate().min_by(|(_, a), (_, b)| a.0.cmp(&b.0)).map(|(at, _)| at);
            let Some(at) = first else {
                let docs = messages.writer.finish()?;
                return self.begin_lists(docs);
            };
            let Some((doc, n, docs)) = heads.get_mut(at) else { return Err(BAD) };
            let number = if self.gone.contains(doc) {
                LEFT_OUT
            } else {
                if doc != last {
                    writer.push(&count.to_be_bytes(), doc)?;
                    last.clone_from(doc);
                    *count = count.checked_add(1).filter(|count| *count < LEFT_OUT).ok_or(BAD)?;
                }
                count.checked_sub(1).ok_or(BAD)?
            };
            self.renumbered.get_mut(*n).ok_or(BAD)?.push(number);
            if docs.advance()? {
                doc.clear();
                doc.extend_from_slice(docs.value()?);
            } else {
                heads.swap_remove(at);
            }
        }
        Ok(Step::Messages(messages))
    }

    fn begin_lists(&self, docs: Option<Run>) -> Result<Step, ViewError> {
        let mut heads = Vec::new();
        for (n, origin) in self.origins.iter().enumerate() {
            let Some(words) = &origin.words else { continue };
            let mut parts = words.range(&[], None, false)?;
            if parts.advance()? {
                heads.push((n, parts));
            }
        }
        Ok(Step::Lists { docs, heads, writer: Writer::new(&*self.tree, WORDS, self.number)? })
    }

    /// Goes on with the lists.
    fn lists(
        &mut self,
        docs: Option<Run>,
        mut heads: Vec<(usize, Cursor)>,
        mut writer: Writer,
    ) -> Result<Step, ViewError> {
        let mut read = 0;
        while read < PARTS {
            let mut word: Option<&[u8]> = None;
            for (_, parts) in &heads {
                let (other, _) = read_part(parts.key())?;
                word = Some(word.map_or(other, |word| word.min(other)));
            }
            let Some(word) = word.map(<[u8]>::to_vec) else {
                let words = writer.finish()?;
                self.segment = docs.map(|docs| Segment { docs, words });
                self.done = true;
                return Ok(Step::End);
            };
            let mut numbers = Vec::new();
            let mut at = 0;
            while let Some((n, parts)) = heads.get_mut(at) {
                let renumbered = self.renumbered.get(*n).ok_or(BAD)?;
                let ended = loop {
                    let (other, first) = read_part(parts.key())?;
                    if other != word {
                        break false;
                    }
                    let mut old = Vec::new();
                    read_numbers(first, parts.value()?, &mut old)?;
                    for number in old {
                        let number = usize::try_from(number).ok().and_then(|n| renumbered.get(n));
                        numbers.extend(Some(*number.ok_or(BAD)?).filter(|number| *number != LEFT_OUT));
                    }
                    read += 1;
                    if !parts.advance()? {
                        break true;
                    }
                };
                if ended {
                    heads.remove(at);
                } else {
                    at += 1;
                }
            }
            numbers.sort_unstable();
            numbers.dedup();
            write_list(&mut writer, &word, &numbers)?;
        }
        Ok(Step::Lists { docs, heads, writer })
    }
}
