//! Making a segment of texts, in the background.

use super::lexicon::{Gone, load_gone, texts_key};
use super::segment::{doc, docs_of, words_of, write_list};
use super::texts::Texts;
use super::tokens::Folded;
use crate::rows::BAD;
use kappadb_store::{Batch, Tree};
use kappadb_view::ViewError;
use kappadb_view::packed::Writer;
use std::collections::HashMap;
use std::sync::Arc;

/// Messages whose words are looked at, and words that are written, in one piece of the work.
const MESSAGES: usize = 2_048;
const LISTS: usize = 16_384;

pub struct Build {
    tree: Arc<dyn Tree>,
    pub segment: u64,
    /// The texts it is made of.
    pub rows: Vec<u64>,
    /// The words of what was deleted are left out.
    forgets: bool,
    step: Step,
    docs: u64,
}

enum Step {
    Read,
    Words { texts: Vec<String>, at: usize, lists: HashMap<Box<str>, Vec<u32>> },
    Write { lists: std::vec::IntoIter<(Box<str>, Vec<u32>)>, writer: Writer },
}

impl Build {
    pub fn new(tree: Arc<dyn Tree>, segment: u64, rows: Vec<u64>, forgets: bool) -> Build {
        Build { tree, segment, rows, forgets, step: Step::Read, docs: 0 }
    }

    /// Messages in it.
    pub fn docs(&self) -> u64 {
        self.docs
    }

    /// Does a piece of the work. True if there is more.
    pub fn work(&mut self) -> Result<bool, ViewError> {
        let mut batch = Batch::new();
        let (segment, put) = (self.segment, &mut |key: Vec<u8>, page: Vec<u8>| batch.put(key, page));
        let more = match &mut self.step {
            Step::Read => {
                let texts = self.read(put)?;
                self.step = Step::Words { texts, at: 0, lists: HashMap::new() };
                true
            }
            Step::Words { texts, at, lists } => {
                for text in texts.iter().skip(*at).take(MESSAGES) {
                    note(u32::try_from(*at).map_err(|_| BAD)?, text, lists);
                    *at += 1;
                }
                if *at >= texts.len() {
                    let mut lists: Vec<_> = std::mem::take(lists).into_iter().collect();
                    lists.sort_unstable();
                    self.step =
                        Step::Write { lists: lists.into_iter(), writer: Writer::new(words_of(segment)) };
                }
                true
            }
            Step::Write { lists, writer } => {
                for (word, numbers) in lists.by_ref().take(LISTS) {
                    write_list(writer, word.as_bytes(), &numbers, put)?;
                }
                let more = lists.len() > 0;
                if !more {
                    writer.finish(put);
                }
                more
            }
        };
        self.tree.apply(&batch)?;
        Ok(more)
    }

    /// Reads the texts, the latest first, and writes down which messages they are.
    fn read(&mut self, put: &mut dyn FnMut(Vec<u8>, Vec<u8>)) -> Result<Vec<String>, ViewError> {
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
        let mut writer = Writer::new(docs_of(self.segment));
        for (number, (doc, _)) in (0u32..).zip(&all) {
            writer.push(&number.to_be_bytes(), doc, put)?;
        }
        self.docs = writer.finish(put);
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
