//! Making a segment of texts, in the background.

use super::lexicon::{Gone, load_gone, texts_key};
use super::segment::{Segment, doc, write_list};
use super::texts::Texts;
use super::tokens::Folded;
use crate::rows::{BAD, DOCS, WORDS};
use kappadb_store::Tree;
use kappadb_view::ViewError;
use kappadb_view::packed::{Run, Writer};
use std::collections::HashMap;
use std::sync::Arc;

/// Messages whose words are looked at, and words that are written, in one piece of the work.
const MESSAGES: usize = 2_048;
const LISTS: usize = 16_384;

pub struct Build {
    tree: Arc<dyn Tree>,
    number: u64,
    /// The texts it is made of.
    pub rows: Vec<u64>,
    /// The words of what was deleted are left out.
    forgets: bool,
    step: Step,
    docs: Option<Run>,
    /// It is done; else there was no room on the disk.
    pub done: bool,
    /// What came of it; none if no message is left.
    pub segment: Option<Segment>,
}

enum Step {
    Read,
    Words { texts: Vec<String>, at: usize, lists: HashMap<Box<str>, Vec<u32>> },
    Write { lists: std::vec::IntoIter<(Box<str>, Vec<u32>)>, writer: Option<Writer> },
}

impl Build {
    pub fn new(tree: Arc<dyn Tree>, number: u64, rows: Vec<u64>, forgets: bool) -> Build {
        Build { tree, number, rows, forgets, step: Step::Read, docs: None, done: false, segment: None }
    }

    /// Does a piece of the work. True if there is more.
    pub fn work(&mut self) -> Result<bool, ViewError> {
        match &mut self.step {
            Step::Read => {
                let texts = self.read()?;
                self.step = Step::Words { texts, at: 0, lists: HashMap::new() };
                Ok(true)
            }
            Step::Words { texts, at, lists } => {
                for text in texts.iter().skip(*at).take(MESSAGES) {
                    note(u32::try_from(*at).map_err(|_| BAD)?, text, lists);
                    *at += 1;
                }
                if *at >= texts.len() {
                    let mut lists: Vec<_> = std::mem::take(lists).into_iter().collect();
                    lists.sort_unstable();
                    let writer = Some(Writer::new(&*self.tree, WORDS, self.number)?);
                    self.step = Step::Write { lists: lists.into_iter(), writer };
                }
                Ok(true)
            }
            Step::Write { lists, writer } => {
                let Some(mut words) = writer.take() else { return Ok(false) };
                for (word, numbers) in lists.by_ref().take(LISTS) {
                    write_list(&mut words, word.as_bytes(), &numbers)?;
                }
                if lists.len() > 0 {
                    *writer = Some(words);
                    return Ok(true);
                }
                let words = words.finish()?;
                self.segment = self.docs.take().map(|docs| Segment { docs, words });
                self.done = true;
                Ok(false)
            }
        }
    }

    /// Reads the texts, the latest first, and writes down which messages they are.
    fn read(&mut self) -> Result<Vec<String>, ViewError> {
        let gone = if self.forgets { load_gone(&*self.tree)? } else { Gone::new() };
        let mut all: Vec<(Vec<u8>, String)> = Vec::new();
        for number in &self.rows {
            let row = self.tree.get(&texts_key(*number))?.ok_or(BAD)?;
            for text in Texts(&row) {
                let text = text?;
                let doc = doc(text.channel, &text.place);
                all.extend((!gone.contains(&doc)).then(|| (doc, text.text.to_owned())));
            }
        }
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        // What a message said and says now are found as one.
        all.dedup_by(|later, first| {
            let same = later.0 == first.0;
            if same && later.1 != first.1 {
                first.1.push('\n');
                first.1.push_str(&later.1);
            }
            same
        });
        let mut writer = Writer::new(&*self.tree, DOCS, self.number)?;
        for (number, (doc, _)) in (0u32..).zip(&all) {
            writer.push(&number.to_be_bytes(), doc)?;
        }
        self.docs = writer.finish()?;
        Ok(all.into_iter().map(|(_, text)| text).collect())
    }
}

/// Adds the words of a message to their lists. Messages come in the order of their numbers.
fn note(number: u32, text: &str, lists: &mut HashMap<Box<str>, Vec<u32>>) {
    for word in Folded::new(text).words() {
        match lists.get_mut(word) {
            Some(list) if list.last() == Some(&number) => {}
            Some(list) => list.push(number),
            None => drop(lists.insert(word.into(), vec![number])),
        }
    }
}
