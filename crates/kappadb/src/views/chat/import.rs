//! Importing what was said elsewhere: each author gets a feed of its own here, which is nobody's who imports. `design/chat.md`, "Export and import".

use super::ChatError;
use super::authors::{Author, Authors};
use super::lines::{BadLine, FIELDS, Line, LineAuthor, SaidLine, Says};
use crate::error::{ReadError, WriteError};
use crate::lines::{LineError, Lines, Next, Object};
use crate::views::chat::ChatParts;
use kappadb_chat::{Content, Extras, Pair, Prepared, PrivateText, code, prepare_with};
use kappadb_core::{EntryId, FeedKey, Hash, blake2b256};
use kappadb_entry::rules::{self, Version};
use kappadb_entry::{Header, Kind, encode_block, space};
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
    /// Entries appended.
    pub imported: u64,
    /// What was here already, or was here and was deleted: nothing was appended for it.
    pub known: u64,
    /// Lines left out.
    pub damaged: u64,
    /// Authors met.
    pub authors: u64,
}

/// Takes all lines of an input: [`Chat::import`](super::Chat::import). May block.
pub(super) fn import(
    parts: &ChatParts,
    input: impl BufRead,
    damaged: impl FnMut(u64, &BadLine),
) -> Result<ChatImportReport, ChatError> {
    Import::new(parts, damaged).run(Lines::new(input, FIELDS))
}

struct Import<'a, T> {
    parts: &'a ChatParts,
    told: T,
    authors: Authors<'a>,
    /// The input is an export of this database: what it has is here, or at peers.
    is_ours: bool,
    flushed: Instant,
    /// All lines up to this one are durable, and the last that was taken.
    safe: u64,
    taken: u64,
    report: ChatImportReport,
}

impl<'a, T: FnMut(u64, &BadLine)> Import<'a, T> {
    fn new(parts: &'a ChatParts, told: T) -> Self {
        let report = ChatImportReport::default();
        let authors = Authors::new(parts);
        Import { parts, told, authors, is_ours: false, flushed: Instant::now(), safe: 0, taken: 0, report }
    }

    fn run(mut self, mut lines: Lines<impl BufRead>) -> Result<ChatImportReport, ChatError> {
        let taken = self.take_and_keep(&mut lines);
        taken.map_err(|source| ChatError::BrokenOff { lines: self.safe, source: Box::new(source) })?;
        self.report.authors = self.authors.len();
        Ok(self.report)
    }

    fn take_and_keep(&mut self, lines: &mut Lines<impl BufRead>) -> Result<(), ChatError> {
        self.parts.chat.ready()?;
        let read = self.take_all(lines)?;
        self.flush()?;
        // A process that asks one question would not come to it, and would have to make do without.
        self.parts.chat.rest().map_err(ReadError::from)?;
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
            if self.authors.gathered() >= GATHERED || self.flushed.elapsed() >= FLUSH {
                self.flush()?;
            }
        }
    }

    fn take_line(&mut self, number: u64, line: Result<Object, LineError>) -> Result<(), ChatError> {
        let taken = match line.map_err(BadLine::from).and_then(Line::try_from) {
            Ok(Line::Export(database)) => {
                self.is_ours = database == self.parts.id;
                Ok(())
            }
            Ok(Line::Said(line)) => self.take(*line)?,
            Err(bad) => Err(bad),
        };
        if let Err(bad) = taken {
            self.report.damaged += 1;
            (self.told)(number, &bad);
        }
        Ok(())
    }

    /// Gathers what a line says. The inner error is the line's.
    fn take(&mut self, line: SaidLine) -> Result<Result<(), BadLine>, ChatError> {
        let is_known = |id: &EntryId| self.is_ours || self.parts.feeds.definition(&id.feed).is_some();
        if line.id.as_ref().is_some_and(is_known) {
            self.report.known += 1;
            return Ok(Ok(()));
        }
        // Checked before its author is made.
        if let Err(bad) = line.check() {
            return Ok(Err(bad));
        }
        let author = match self.authors.find(&line.author)? {
            Ok(author) => author,
            Err(bad) => return Ok(Err(bad)),
        };
        let origin = author.origin(&line);
        if author.has(&origin) {
            self.report.known += 1;
            return Ok(Ok(()));
        }
        if let Says::Delete(was) = &line.says
            && self.imported(was)?.is_none()
        {
            return self.note_deleted(&line, was);
        }
        let prepared = match self.prepare(&line)? {
            Ok(Some(prepared)) => prepared,
            Ok(None) => {
                self.report.known += 1;
                return Ok(Ok(()));
            }
            Err(bad) => return Ok(Err(bad)),
        };
        self.append(&line, prepared, &origin)?;
        self.report.imported += 1;
        Ok(Ok(()))
    }

    /// What was taken back and is not here is not to come from an older export: an entry that says nothing stands where it would.
    fn note_deleted(&mut self, line: &SaidLine, was: &EntryId) -> Result<Result<(), BadLine>, ChatError> {
        if line.author != LineAuthor::Feed(was.feed) {
            return Ok(Err(BadLine::NotTheirs(*was)));
        }
        let kind = Kind { space: space::CHAT, code: code::DELETE };
        self.push(&line.author, Header::new(kind, line.written), &[], &origin_of(was))?;
        self.report.imported += 1;
        Ok(Ok(()))
    }

    /// What the author is to say; none if it takes back what is not here.
    fn prepare(&mut self, line: &SaidLine) -> Result<Result<Option<Prepared>, BadLine>, ChatError> {
        let by = self.authors.feed(&line.author)?;
        let (channel, order) = (line.channel.as_ref(), line.order);
        let content = match &line.says {
            Says::Plain(content) => content.clone(),
            Says::Flags { target, flags, reason } => {
                let (target, scope) = (self.authors.as_here(target)?, line.channel.clone());
                Content::Flags { scope, target, flags: flags.clone(), reason: reason.clone() }
            }
            Says::Private { to, text } => {
                let (pair, salt) = self.pair(&by, to)?;
                let Extras { reply_to, .. } = self.extras_here(&line.extras)?;
                let says = PrivateText { text: text.clone(), reply_to };
                return Ok(pair.prepare(&says, order, salt).map(Some).map_err(BadLine::from));
            }
            Says::Delete(was) => {
                let Some(target) = self.was_here(was)? else { return Ok(Ok(None)) };
                if target.feed != by {
                    return Ok(Err(BadLine::NotTheirs(*was)));
                }
                return Ok(Ok(Some(self.parts.chat_taking_back(target, &by)?)));
            }
            Says::Edit { target: was, text, to } => {
                let Some(target) = self.was_here(was)? else { return Ok(Ok(None)) };
                if target.feed != by {
                    return Ok(Err(BadLine::NotTheirs(*was)));
                }
                if let Some(to) = to {
                    let (pair, salt) = self.pair(&by, to)?;
                    let edit = pair.prepare_edit(target, &text[..].into(), order, salt);
                    return Ok(edit.map(Some).map_err(BadLine::from));
                }
                Content::Edit { target, text: text.clone() }
            }
        };
        let extras = self.extras_here(&line.extras)?;
        Ok(prepare_with(&by, &content, &extras, channel, order).map(Some).map_err(BadLine::from))
    }

    /// What an author shares with who was this feed, and a salt to seal with.
    fn pair(&mut self, by: &FeedKey, to: &FeedKey) -> Result<(Pair, [u8; 16]), ChatError> {
        let to = self.authors.as_here(to)?;
        Ok((self.parts.pair(by, &to)?, self.parts.salt()))
    }

    /// What a message answers is what that became here, if it was imported. Blobs are no part of an export, so theirs stay what they were.
    fn extras_here(&mut self, were: &Extras) -> Result<Extras, ChatError> {
        let reply_to = match &were.reply_to {
            Some(was) => Some(self.imported(was)?.unwrap_or(*was)),
            None => None,
        };
        Ok(Extras { reply_to, blobs: were.blobs.clone() })
    }

    fn append(&mut self, line: &SaidLine, prepared: Prepared, origin: &Hash) -> Result<(), ChatError> {
        let Prepared { kind, key, context, places, payload } = prepared;
        let mut header = Header { key, context, places, ..Header::new(kind, line.written) };
        let mut replaced = Vec::new();
        for was in &line.replaces {
            let version =
                self.imported(was)?.map(|id| Ok::<_, ReadError>((id, self.parts.entry(id)?))).transpose()?;
            let version = version.and_then(|(id, entry)| Some(Version::from_header(id, &entry?.header)));
            replaced.extend(version);
        }
        let ids: Vec<EntryId> = replaced.iter().map(|version| version.id).collect();
        if !ids.is_empty() {
            rules::succeed_explicit(&replaced, &ids).apply_to(&mut header);
        }
        self.push(&line.author, header, &payload, origin)
    }

    /// Gathers an entry that is known by this origin.
    fn push(
        &mut self,
        author: &LineAuthor,
        mut header: Header,
        payload: &[u8],
        origin: &Hash,
    ) -> Result<(), ChatError> {
        header.set_origin(origin);
        let block = encode_block(&header, payload).map_err(WriteError::from)?;
        if self.authors.push(author, block, *origin) >= BATCH { self.flush() } else { Ok(()) }
    }

    /// What an entry of an export became here. It is durable then.
    fn imported(&mut self, was: &EntryId) -> Result<Option<EntryId>, ChatError> {
        if self.authors.is_pending(was) {
            self.flush()?;
        }
        self.authors.imported(was)
    }

    /// The same; none also if all that is known of it is that it was taken back.
    fn was_here(&mut self, was: &EntryId) -> Result<Option<EntryId>, ChatError> {
        let Some(id) = self.imported(was)? else { return Ok(None) };
        let entry = self.parts.entry(id)?;
        Ok(Some(id).filter(|_| entry.is_none_or(|entry| entry.header.kind.code != code::DELETE)))
    }

    /// Makes durable what was gathered, of all authors at once.
    fn flush(&mut self) -> Result<(), ChatError> {
        self.authors.flush()?;
        self.flushed = Instant::now();
        self.safe = self.taken;
        Ok(())
    }
}

impl SaidLine {
    /// Checks what can be checked without knowing its author's feed here.
    fn check(&self) -> Result<(), BadLine> {
        match &self.says {
            Says::Plain(content) => self.check_says(content)?,
            Says::Edit { target, text, .. } => {
                self.check_says(&Content::Edit { target: *target, text: text.clone() })?;
            }
            Says::Private { text, to } => Pair::check(to, text)?,
            Says::Flags { .. } | Says::Delete(_) => {}
        }
        Ok(())
    }

    fn check_says(&self, content: &Content) -> Result<(), BadLine> {
        let nobody = FeedKey([0; 32]);
        prepare_with(&nobody, content, &self.extras, self.channel.as_ref(), self.order)?;
        Ok(())
    }
}

impl Author {
    /// What the entry that this line becomes is known by, here and at each import: the entry that it was; or what it says, and how many lines before it
    /// said the same.
    fn origin(&mut self, line: &SaidLine) -> Hash {
        if let Some(id) = &line.id {
            return origin_of(id);
        }
        let channel = line.channel.as_ref().map(|channel| channel.folded.as_str()).unwrap_or_default();
        let (time, says) = (line.order.0.to_le_bytes(), line.says.words());
        let said = blake2b256(&[b"kappadb chat line", &time, channel.as_bytes(), &[0], &says]);
        let before = self.said_before(said).to_le_bytes();
        blake2b256(&[b"kappadb chat line number", &said.0, &before])
    }
}

/// What an entry of an export is known by.
pub(super) fn origin_of(id: &EntryId) -> Hash {
    blake2b256(&[b"kappadb chat export", &id.feed.0, &id.seq.to_le_bytes()])
}
