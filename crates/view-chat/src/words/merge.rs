//! Merging segments, in the background: their messages get new numbers, and the lists of each word are joined.

use super::lexicon::{Gone, load_gone};
use super::segment::{docs_of, read_numbers, read_part, words_of, write_list};
use crate::rows::BAD;
use kappadb_store::{Batch, Tree};
use kappadb_view::ViewError;
use kappadb_view::packed::{Reader, Writer};
use std::sync::Arc;

/// Messages, and parts of lists, that are read in one piece of the work.
const MESSAGES: usize = 16_384;
const PARTS: usize = 16_384;
/// No number of a message.
const LEFT_OUT: u32 = u32::MAX;

pub struct MergeWords {
    tree: Arc<dyn Tree>,
    pub segment: u64,
    /// The segments it is made of.
    pub origins: Vec<u64>,
    /// It is made of all that there is, and without the words of what was deleted: so these are nowhere any more.
    pub forgets: bool,
    /// What is left out then, once it is looked up.
    pub gone: Option<Gone>,
    /// For each of them, the new numbers of its messages, or [`LEFT_OUT`].
    renumbered: Vec<Vec<u32>>,
    /// The last message written.
    last: Vec<u8>,
    docs: Writer,
    count: u32,
    /// The last word written, once the messages are.
    at: Option<Vec<u8>>,
    words: Writer,
}

impl MergeWords {
    pub fn new(tree: Arc<dyn Tree>, segment: u64, origins: Vec<u64>) -> MergeWords {
        MergeWords {
            tree,
            segment,
            forgets: false,
            gone: None,
            renumbered: vec![Vec::new(); origins.len()],
            origins,
            last: Vec::new(),
            docs: Writer::new(docs_of(segment)),
            count: 0,
            at: None,
            words: Writer::new(words_of(segment)),
        }
    }

    /// The same without the words of what was deleted. The origins are all that there is.
    pub fn forgetting(self) -> MergeWords {
        MergeWords { forgets: true, ..self }
    }

    /// Messages in it.
    pub fn docs(&self) -> u64 {
        u64::from(self.count)
    }

    /// Does a piece of the work. True if there is more.
    pub fn work(&mut self) -> Result<bool, ViewError> {
        let mut batch = Batch::new();
        let tree = self.tree.clone();
        let put = &mut |key: Vec<u8>, page: Vec<u8>| batch.put(key, page);
        if self.forgets && self.gone.is_none() {
            self.gone = Some(load_gone(&*tree)?);
        }
        let more = if self.at.is_none() {
            if !self.messages(&*tree, put)? {
                self.at = Some(Vec::new());
            }
            true
        } else {
            self.lists(&*tree, put)?
        };
        self.tree.apply(&batch)?;
        Ok(more)
    }

    /// Goes on with the messages. True if there are more.
    fn messages(
        &mut self,
        tree: &dyn Tree,
        put: &mut dyn FnMut(Vec<u8>, Vec<u8>),
    ) -> Result<bool, ViewError> {
        let mut heads = Vec::new();
        for (n, origin) in self.origins.iter().enumerate() {
            let next = self.renumbered.get(n).map_or(0, Vec::len);
            let next = u32::try_from(next).map_err(|_| BAD)?.to_be_bytes();
            let mut reader = Reader::new(tree, docs_of(*origin), &next, None, false)?;
            if reader.advance()? {
                heads.push((reader.value()?.to_vec(), n, reader));
            }
        }
        for _ in 0..MESSAGES {
            let first = heads.iter().enumerate().min_by(|(_, a), (_, b)| a.0.cmp(&b.0)).map(|(at, _)| at);
            let Some(at) = first else {
                self.docs.finish(put);
                return Ok(false);
            };
            let Some((doc, n, reader)) = heads.get_mut(at) else { return Err(BAD) };
            let number = if self.gone.as_ref().is_some_and(|gone| gone.contains(doc)) {
                LEFT_OUT
            } else {
                if *doc != self.last {
                    self.docs.push(&self.count.to_be_bytes(), doc, put)?;
                    self.last.clone_from(doc);
                    self.count = self.count.checked_add(1).filter(|count| *count < LEFT_OUT).ok_or(BAD)?;
                }
                self.count.checked_sub(1).ok_or(BAD)?
            };
            self.renumbered.get_mut(*n).ok_or(BAD)?.push(number);
            if reader.advance()? {
                doc.clear();
                doc.extend_from_slice(reader.value()?);
            } else {
                heads.swap_remove(at);
            }
        }
        Ok(true)
    }

    /// Goes on with the lists. True if there are more.
    fn lists(&mut self, tree: &dyn Tree, put: &mut dyn FnMut(Vec<u8>, Vec<u8>)) -> Result<bool, ViewError> {
        let from = self.at.as_ref().filter(|at| !at.is_empty()).map(|at| [at, &[1][..]].concat());
        let from = from.unwrap_or_default();
        let mut heads = Vec::new();
        for (n, origin) in self.origins.iter().enumerate() {
            let mut reader = Reader::new(tree, words_of(*origin), &from, None, false)?;
            if reader.advance()? {
                heads.push((n, reader));
            }
        }
        let mut read = 0;
        while read < PARTS {
            let mut word: Option<&[u8]> = None;
            for (_, reader) in &heads {
                let (other, _) = read_part(reader.key())?;
                word = Some(word.map_or(other, |word| word.min(other)));
            }
            let Some(word) = word.map(<[u8]>::to_vec) else {
                self.words.finish(put);
                return Ok(false);
            };
            let mut numbers = Vec::new();
            let mut at = 0;
            while let Some((n, reader)) = heads.get_mut(at) {
                let renumbered = self.renumbered.get(*n).ok_or(BAD)?;
                let ended = loop {
                    let (other, first) = read_part(reader.key())?;
                    if other != word {
                        break false;
                    }
                    let mut old = Vec::new();
                    read_numbers(first, reader.value()?, &mut old)?;
                    for number in old {
                        let number = usize::try_from(number).ok().and_then(|n| renumbered.get(n));
                        numbers.extend(Some(*number.ok_or(BAD)?).filter(|number| *number != LEFT_OUT));
                    }
                    read += 1;
                    if !reader.advance()? {
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
            write_list(&mut self.words, &word, &numbers, put)?;
            self.at = Some(word);
        }
        Ok(true)
    }
}
