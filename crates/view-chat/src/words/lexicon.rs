//! What there is of words, and what is to be done with it.

use super::build::Build;
use super::merge::MergeWords;
use super::segment::{Segment, doc};
use crate::rows::BAD;
use crate::rows::{self, DOCS, FORGET, Place, TEXTS, WORDS};
use crate::view::Sizes;
use bytes::Bytes;
use kappadb_store::{Overlay, StoreError, Tree, prefix_range};
use kappadb_view::packed::{Run, load_runs, remove_others};
use kappadb_view::{ViewError, tiers};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many times less is enough when nothing arrives, and how many times more is made into one segment at once.
const FACTOR: usize = 8;

pub struct Lexicon {
    pub(super) tree: Arc<dyn Tree>,
    sizes: Sizes,
    pub(super) segments: Vec<Segment>,
    next: u64,
    /// Rows of texts, ascending, with their bytes.
    pub(super) texts: Vec<(u64, usize)>,
    next_text: u64,
    /// The words of what was deleted are to go.
    forgetting: AtomicBool,
    /// There was no room on the disk for a segment: not again before something comes.
    is_full: bool,
}

/// Messages whose words are to go, as segments have them.
pub type Gone = BTreeSet<Vec<u8>>;

/// Those that there are now.
pub fn load_gone(tree: &dyn Tree) -> Result<Gone, ViewError> {
    let doc = |row: Result<(Bytes, Bytes), StoreError>| Ok(row?.0.get(1..).unwrap_or_default().to_vec());
    prefix_range(tree, &[FORGET]).map(doc).collect()
}

pub fn texts_key(number: u64) -> Vec<u8> {
    [&[TEXTS], &number.to_be_bytes()[..]].concat()
}

impl Lexicon {
    pub fn load(tree: Arc<dyn Tree>, sizes: Sizes) -> Result<Lexicon, ViewError> {
        let (docs, next) = load_runs(&*tree, DOCS)?;
        let (words, next_words) = load_runs(&*tree, WORDS)?;
        remove_others(&*tree, DOCS, docs.iter().map(|run| run.number))?;
        remove_others(&*tree, WORDS, words.iter().map(|run| run.number))?;
        let words_of = |docs: &Run| words.iter().find(|words| words.number == docs.number).cloned();
        let segments = docs.into_iter().map(|docs| Segment { words: words_of(&docs), docs }).collect();
        let mut texts = Vec::new();
        for row in prefix_range(&*tree, &[TEXTS]) {
            let (key, value) = row?;
            let number = key.get(1..).and_then(|n| n.try_into().ok()).map(u64::from_be_bytes).ok_or(BAD)?;
            texts.push((number, value.len()));
        }
        let next_text = texts.last().map_or(0, |(number, _)| number + 1);
        let (next, forgetting) = (next.max(next_words), AtomicBool::new(false));
        Ok(Lexicon { tree, sizes, segments, next, texts, next_text, forgetting, is_full: false })
    }

    /// Takes in the texts of a batch, written down.
    pub fn add(&mut self, row: Vec<u8>, rows: &mut Overlay<'_>) {
        if row.is_empty() {
            return;
        }
        self.texts.push((self.next_text, row.len()));
        rows.put(texts_key(self.next_text), row);
        self.next_text += 1;
        self.is_full = false;
    }

    /// Notes that a message was deleted, or counts again: its words are to go, or to stay.
    pub fn forget(&mut self, channel: &[u8], place: &Place, deleted: bool, rows: &mut Overlay<'_>) {
        let row = rows::forget(&doc(channel, place));
        if deleted { rows.put(row, Vec::new()) } else { rows.delete(row) }
    }

    /// Has the words of all that was deleted go with the next upkeep. False if there is nothing of the sort.
    pub fn forget_all(&self) -> Result<bool, ViewError> {
        let any = prefix_range(&*self.tree, &[FORGET]).next().transpose()?.is_some();
        self.forgetting.store(any, Ordering::Release);
        Ok(any)
    }

    fn is_forgetting(&self) -> bool {
        self.forgetting.load(Ordering::Acquire)
    }

    /// The segment to be made of texts, if there are enough.
    pub fn build(&mut self, idle: bool) -> Option<Build> {
        let waiting: usize = self.texts.iter().map(|(_, bytes)| bytes).sum();
        let enough = match idle {
            _ if self.is_forgetting() => 0,
            true => self.sizes.texts / FACTOR,
            false => self.sizes.texts,
        };
        if self.is_full || self.texts.is_empty() || waiting < enough {
            return None;
        }
        let mut bytes = 0;
        let fits = |(number, len): &(u64, usize)| {
            let room = bytes < self.sizes.texts.saturating_mul(FACTOR);
            bytes += len;
            room.then_some(*number)
        };
        let rows = self.texts.iter().map_while(fits).collect();
        Some(Build::new(self.tree.clone(), self.number(), rows, self.is_forgetting()))
    }

    /// The segments to be merged, if any.
    pub fn merge(&mut self, idle: bool) -> Option<MergeWords> {
        if self.is_full {
            return None;
        }
        if self.is_forgetting() && self.texts.is_empty() {
            let all = self.segments.clone();
            return Some(MergeWords::new(self.tree.clone(), self.number(), all).forgetting());
        }
        let sizes = self.segments.iter().map(|segment| (segment.items(), segment.number()));
        let due = tiers::due(&sizes.collect::<Vec<(u64, u64)>>(), self.sizes.few, idle);
        let origins = self.segments.iter().filter(|segment| due.contains(&segment.number()));
        let origins: Vec<Segment> = origins.cloned().collect();
        (!origins.is_empty()).then(|| MergeWords::new(self.tree.clone(), self.number(), origins))
    }

    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next = number.saturating_add(1);
        number
    }

    /// Puts a finished segment in the place of the texts it was made of.
    pub fn built(&mut self, build: Build, rows: &mut Overlay<'_>) {
        self.is_full = !build.done;
        if build.done {
            build.rows.iter().for_each(|number| rows.delete(texts_key(*number)));
            self.texts.retain(|(number, _)| !build.rows.contains(number));
            self.install(build.segment, rows);
        }
    }

    /// Puts a finished segment in the place of those it was made of.
    pub fn merged(&mut self, merge: MergeWords, rows: &mut Overlay<'_>) {
        self.is_full = !merge.done;
        if !merge.done {
            return;
        }
        merge.origins.iter().for_each(|origin| origin.remove(rows));
        self.segments.retain(|old| merge.origins.iter().all(|origin| origin.number() != old.number()));
        if merge.forgets {
            // A text that came meanwhile may be of what was deleted before: it is looked at the next time.
            if self.texts.is_empty() {
                merge.gone.iter().for_each(|doc| rows.delete(rows::forget(doc)));
            }
            self.forgetting.store(false, Ordering::Release);
        }
        self.install(merge.segment, rows);
    }

    fn install(&mut self, segment: Option<Segment>, rows: &mut Overlay<'_>) {
        if let Some(segment) = segment {
            segment.write(rows);
            self.segments.push(segment);
        }
    }
}
