//! Importing messages: each author becomes a writer of this replica.

use super::lines::{BadLine, FIELDS, Line};
use super::{Chat, ChatError};
use crate::database::{Database, Parts};
use crate::error::{WriteError, WriterError};
use crate::lines::{LineError, Lines, Next, Object};
use bytes::Bytes;
use kappadb_chat::{Channel, Content, Prepared, prepare};
use kappadb_core::{FeedKey, Timestamp, blake2b256};
use kappadb_entry::{Header, encode_block};
use kappadb_feed::Append;
use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead};
use std::time::{Duration, Instant};

/// Messages in one durable batch of an author, and in all that are gathered, at most.
const BATCH: usize = 1_000;
const GATHERED: usize = 20_000;
/// What came is made durable after so long, however little it is.
const FLUSH: Duration = Duration::from_secs(1);

/// What came of an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChatImportReport {
    /// Messages appended.
    pub imported: u64,
    /// Messages that were here already: same author, channel, time and text.
    pub known: u64,
    /// Lines left out.
    pub damaged: u64,
    /// Authors met.
    pub authors: u64,
}

/// A message by what makes it the same: folded channel, time, and a hash of kind and text.
type Fingerprint = (i64, [u8; 32]);

/// What is gathered of an author.
struct Author {
    feed: FeedKey,
    /// What it has posted, here or in this import.
    posted: HashSet<Fingerprint>,
    blocks: Vec<Bytes>,
}

impl Chat {
    /// Imports lines `{"author","channel","timestamp","text"}`, the timestamp in ms. Each author becomes a writer of this replica
    /// with that name, which is also its nickname; each message keeps its time, as order time too. Damaged lines are told and
    /// left out: `damaged` is told their number, from 1, and why. Batches are durable one after the other, after a second at the latest if
    /// `input` says [`io::ErrorKind::TimedOut`] rather than let one wait: it is asked again then. After a crash, importing again goes
    /// on, for a message that the author has posted already (same channel, time and text) is not posted again.
    ///
    /// # Errors
    /// [`ChatError::BrokenOff`], which says how far it came: because of a [`ChatError::Import`] if `input` cannot be read on, or of what
    /// appending can fail with.
    pub async fn import(
        &self,
        input: impl BufRead + Send + 'static,
        damaged: impl FnMut(u64, &BadLine) + Send + 'static,
    ) -> Result<ChatImportReport, ChatError> {
        let database = Database { parts: self.parts.root() };
        self.run_writing(move |_| Import::new(&database.parts, damaged).run(Lines::new(input, FIELDS)))
            .await?
    }
}

struct Import<'a, T> {
    parts: &'a Parts,
    told: T,
    authors: HashMap<String, Author>,
    gathered: usize,
    flushed: Instant,
    /// All lines up to this one are durable, and the last that was taken.
    safe: u64,
    taken: u64,
    report: ChatImportReport,
}

impl<'a, T: FnMut(u64, &BadLine)> Import<'a, T> {
    fn new(parts: &'a Parts, told: T) -> Self {
        let report = ChatImportReport::default();
        let (authors, flushed) = (HashMap::new(), Instant::now());
        Import { parts, told, authors, gathered: 0, flushed, safe: 0, taken: 0, report }
    }

    fn run(mut self, mut lines: Lines<impl BufRead>) -> Result<ChatImportReport, ChatError> {
        let taken = self.take_and_keep(&mut lines);
        taken.map_err(|source| ChatError::BrokenOff { lines: self.safe, source: Box::new(source) })?;
        self.report.authors = self.authors.len() as u64;
        Ok(self.report)
    }

    fn take_and_keep(&mut self, lines: &mut Lines<impl BufRead>) -> Result<(), ChatError> {
        self.parts.chat.ready()?;
        let read = self.take_all(lines)?;
        self.flush()?;
        read.map_err(ChatError::Import)
    }

    /// Gathers all that can be read. The inner error is the input's: what came before is kept.
    fn take_all(&mut self, lines: &mut Lines<impl BufRead>) -> Result<io::Result<()>, ChatError> {
        loop {
            match lines.next_line() {
                Ok(Next::Line(line)) => {
                    self.take_line(lines.number(), line)?;
                    self.taken = lines.number();
                }
                Ok(Next::Idle) => {}
                Ok(Next::End) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            }
            if self.gathered >= GATHERED || self.flushed.elapsed() >= FLUSH {
                self.flush()?;
            }
        }
    }

    fn take_line(&mut self, number: u64, line: Result<Object, LineError>) -> Result<(), ChatError> {
        let taken = match line.and_then(Line::try_from) {
            Ok(line) => self.take(line)?,
            Err(bad) => Err(bad.into()),
        };
        if let Err(bad) = taken {
            self.report.damaged += 1;
            (self.told)(number, &bad);
        }
        Ok(())
    }

    /// Gathers a message. The inner error is the line's.
    fn take(&mut self, line: Line) -> Result<Result<(), BadLine>, ChatError> {
        let time = line.time;
        let channel = match Channel::new(&line.channel) {
            Ok(channel) => channel,
            Err(bad) => return Ok(Err(bad.into())),
        };
        let print = fingerprint(&channel.folded, time.0, &line.text);
        let content = Content::Text(line.text);
        // Checked before its author is made.
        if let Err(bad) = prepare(&FeedKey([0; 32]), &content, Some(&channel), time) {
            return Ok(Err(bad.into()));
        }
        let author = match self.author(&line.author)? {
            Ok(author) => author,
            Err(bad) => return Ok(Err(bad)),
        };
        let prepared = prepare(&author.feed, &content, Some(&channel), time)?;
        if !author.posted.insert(print) {
            self.report.known += 1;
            return Ok(Ok(()));
        }
        let Prepared { kind, places, payload, .. } = prepared;
        let header = Header { places, ..Header::new(kind, time) };
        author.blocks.push(encode_block(&header, &payload).map_err(WriteError::from)?);
        let full = author.blocks.len() >= BATCH;
        self.gathered += 1;
        self.report.imported += 1;
        if full { self.flush().map(Ok) } else { Ok(Ok(())) }
    }
}

impl<T> Import<'_, T> {
    /// The author of this name, with what it has posted here.
    fn author(&mut self, name: &str) -> Result<Result<&mut Author, BadLine>, ChatError> {
        if !self.authors.contains_key(name) {
            let author = match self.parts.chat_author(name) {
                Ok(author) => author,
                Err(ChatError::Writer(bad @ WriterError::Name(_))) => return Ok(Err(BadLine::Author(bad))),
                Err(ChatError::Model(bad)) => return Ok(Err(BadLine::Message(bad))),
                Err(error) => return Err(error),
            };
            self.authors.insert(name.to_owned(), author);
        }
        let author = self.authors.get_mut(name);
        Ok(author.ok_or(BadLine::Author(WriterError::Unknown(name.to_owned()))))
    }

    /// Makes durable what was gathered, of all authors at once.
    fn flush(&mut self) -> Result<(), ChatError> {
        let full = self.authors.values_mut().filter(|author| !author.blocks.is_empty());
        let batch: Vec<Append> = full
            .map(|author| Append { feed: author.feed, blocks: std::mem::take(&mut author.blocks) })
            .collect();
        self.gathered = 0;
        self.flushed = Instant::now();
        if !batch.is_empty() {
            self.parts.feeds.append(batch).map_err(WriteError::from)?;
        }
        self.safe = self.taken;
        Ok(())
    }
}

fn fingerprint(folded: &str, time: i64, text: &str) -> Fingerprint {
    (time, blake2b256(&[folded.as_bytes(), &[0], text.as_bytes()]).0)
}

impl Parts {
    /// The writer of an author, made if there is none, with that name as its nickname.
    fn chat_author(&self, name: &str) -> Result<Author, ChatError> {
        let nick = Content::Profile { field: "nick".to_owned(), value: name.to_owned() };
        prepare(&FeedKey([0; 32]), &nick, None, self.clock.now())?;
        let known = self.writers().contains_key(name);
        if !known {
            self.new_writer(name)?;
        }
        let feed = {
            let _guard = self.writing();
            self.writer_named(name)?
        };
        let mut posted = HashSet::new();
        if known {
            for row in self.chat.read(|index| index.by_author(&feed, Timestamp(i64::MAX), usize::MAX))?? {
                if let Some(Content::Text(text)) = self.chat_post(row.place.id)?.map(|post| post.content) {
                    posted.insert(fingerprint(&row.channel, row.place.order.0, &text));
                }
            }
        }
        if self.chat_nick(&feed)?.is_none() {
            let _guard = self.writing();
            let prepared = prepare(&feed, &nick, None, self.clock.now())?;
            self.chat_append(feed, prepared)?;
        }
        Ok(Author { feed, posted, blocks: Vec::new() })
    }
}
