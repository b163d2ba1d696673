//! Authors of an import: their feeds here, what they said in earlier imports, and what of this one is not durable yet.

use super::ChatError;
use super::import::origin_of;
use super::lines::{BadLine, LineAuthor};
use crate::error::{WriteError, WriterError};
use crate::folder::writers::IMPORTED;
use crate::views::chat::ChatParts;
use bytes::Bytes;
use kappadb_chat::{Content, Prepared, check_nick, prepare};
use kappadb_core::{EntryId, FeedKey, Hash, RangeSet, Seq, blake2b256};
use kappadb_entry::{Header, decode_block, encode_block};
use kappadb_feed::Append;
use std::collections::{HashMap, HashSet};

/// Blocks of a feed that are looked at together.
const LOOK: usize = 1_024;

/// What is known of an author.
pub(super) struct Author {
    /// Its feed here.
    feed: FeedKey,
    /// What was imported of it, deleted since or not: by origin.
    held: HashMap<Hash, Seq>,
    /// How many lines of this import said the same.
    said: HashMap<Hash, u64>,
    blocks: Vec<Bytes>,
    /// The origins of these.
    pending: Vec<Hash>,
}

impl Author {
    /// How many lines of this import said this before.
    pub fn said_before(&mut self, words: Hash) -> u64 {
        let count = self.said.entry(words).or_default();
        *count += 1;
        *count - 1
    }

    /// True if this was imported before, or is about to be.
    pub fn has(&self, origin: &Hash) -> bool {
        self.held.contains_key(origin)
    }
}

pub(super) struct Authors<'a> {
    parts: &'a ChatParts,
    known: HashMap<LineAuthor, Author>,
    /// What is not durable yet.
    pending: HashSet<Hash>,
}

impl<'a> Authors<'a> {
    pub fn new(parts: &'a ChatParts) -> Self {
        Authors { parts, known: HashMap::new(), pending: HashSet::new() }
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.known.len() as u64
    }

    /// Entries that are not durable yet.
    pub fn gathered(&self) -> usize {
        self.pending.len()
    }

    /// An author, with a feed here if it had none. The inner error is that of its name.
    pub fn find(&mut self, who: &LineAuthor) -> Result<Result<&mut Author, BadLine>, ChatError> {
        if !self.known.contains_key(who) {
            if let LineAuthor::Name(name) = who
                && let Err(bad) = check_nick(name)
            {
                return Ok(Err(bad.into()));
            }
            let author = match self.load(who) {
                Err(ChatError::Writer(bad @ WriterError::Name(_))) => return Ok(Err(BadLine::Author(bad))),
                loaded => loaded?,
            };
            self.known.insert(who.clone(), author);
        }
        let unknown = || BadLine::Author(WriterError::Unknown(writer_of(who)));
        Ok(self.known.get_mut(who).ok_or_else(unknown))
    }

    /// The feed of an author that was found before.
    pub fn feed(&self, who: &LineAuthor) -> Result<FeedKey, ChatError> {
        let unknown = || ChatError::Writer(WriterError::Unknown(writer_of(who)));
        self.known.get(who).map(|author| author.feed).ok_or_else(unknown)
    }

    /// Who stands here for the feed of another database: itself if it is known here too, else the feed that was made for it.
    pub fn as_here(&mut self, feed: &FeedKey) -> Result<FeedKey, ChatError> {
        if self.parts.feeds.definition(feed).is_some() {
            return Ok(*feed);
        }
        let who = LineAuthor::Feed(*feed);
        self.find(&who)?.map(|author| author.feed).map_err(|_| WriterError::Unknown(writer_of(&who)).into())
    }

    /// True if what this entry became is not durable yet.
    pub fn is_pending(&self, was: &EntryId) -> bool {
        self.pending.contains(&origin_of(was))
    }

    /// What an entry became here, by this import or another; none if it was not imported.
    pub fn imported(&mut self, was: &EntryId) -> Result<Option<EntryId>, ChatError> {
        let who = LineAuthor::Feed(was.feed);
        if !self.known.contains_key(&who) && self.parts.feed_of(&writer_of(&who)).is_none() {
            return Ok(None);
        }
        let Ok(author) = self.find(&who)? else { return Ok(None) };
        let seq = author.held.get(&origin_of(was));
        Ok(seq.map(|seq| EntryId { feed: author.feed, seq: *seq }))
    }

    /// Gathers an entry of an author that was found before. How many of its are gathered.
    pub fn push(&mut self, who: &LineAuthor, block: Bytes, origin: Hash) -> usize {
        let Some(author) = self.known.get_mut(who) else { return 0 };
        self.pending.insert(origin);
        author.push(block, origin);
        author.blocks.len()
    }

    /// Makes durable what was gathered, of all at once.
    pub fn flush(&mut self) -> Result<(), ChatError> {
        let mut full: Vec<&mut Author> = self.known.values_mut().filter(|a| !a.blocks.is_empty()).collect();
        let append = |author: &mut &mut Author| Append {
            feed: author.feed,
            blocks: std::mem::take(&mut author.blocks),
        };
        let batch: Vec<Append> = full.iter_mut().map(append).collect();
        self.pending.clear();
        if batch.is_empty() {
            return Ok(());
        }
        let _turn = self.parts.take_turn()?;
        let ranges = self.parts.feeds.append(batch).map_err(WriteError::from)?;
        for (author, seqs) in full.into_iter().zip(ranges) {
            author.held.extend(author.pending.drain(..).zip(seqs));
        }
        Ok(())
    }

    fn load(&self, who: &LineAuthor) -> Result<Author, ChatError> {
        let (parts, name) = (self.parts, writer_of(who));
        let known = parts.feed_of(&name).is_some();
        let feed = {
            let _turn = parts.take_turn()?;
            parts.writer_named(&name)?
        };
        let mut author = Author {
            feed,
            held: if known { origins(parts, &feed)? } else { HashMap::new() },
            said: HashMap::new(),
            blocks: Vec::new(),
            pending: Vec::new(),
        };
        if let LineAuthor::Name(name) = who {
            author.take_name(parts, name)?;
        }
        Ok(author)
    }
}

impl Author {
    fn push(&mut self, block: Bytes, origin: Hash) {
        self.blocks.push(block);
        self.pending.push(origin);
        // Its number is not known yet: nobody looks for that while it is pending.
        self.held.insert(origin, Seq::MAX);
    }

    /// Takes its name as nickname, the first time that anything of it is imported.
    fn take_name(&mut self, parts: &ChatParts, name: &str) -> Result<(), ChatError> {
        let origin = blake2b256(&[b"kappadb chat nick", name.as_bytes()]);
        if self.has(&origin) {
            return Ok(());
        }
        let nick = Content::Profile { field: "nick".to_owned(), value: name.to_owned() };
        let now = parts.clock.now();
        let Prepared { kind, key, payload, .. } = prepare(&self.feed, &nick, None, now)?;
        let mut header = Header { key, ..Header::new(kind, now) };
        header.set_origin(&origin);
        self.push(encode_block(&header, &payload).map_err(WriteError::from)?, origin);
        Ok(())
    }
}

/// The name of an author among the writers of this replica: no name that anybody writes under without saying so.
fn writer_of(who: &LineAuthor) -> String {
    match who {
        LineAuthor::Feed(feed) => format!("{IMPORTED}{feed}"),
        LineAuthor::Name(name) => format!("{IMPORTED}{name}"),
    }
}

/// What the entries of a feed that is written here say again, with their numbers.
fn origins(parts: &ChatParts, feed: &FeedKey) -> Result<HashMap<Hash, Seq>, ChatError> {
    let mut origins = HashMap::new();
    let held = parts.feeds.held(feed);
    let mut seqs = held.iter();
    loop {
        let part: RangeSet = seqs.by_ref().take(LOOK).collect();
        if part.is_empty() {
            return Ok(origins);
        }
        for (seq, block) in parts.feeds.blocks(feed, &part).map_err(crate::error::ReadError::from)? {
            let origin = decode_block(&block).ok().and_then(|entry| entry.header.origin());
            origins.extend(origin.map(|origin| (origin, seq)));
        }
    }
}
