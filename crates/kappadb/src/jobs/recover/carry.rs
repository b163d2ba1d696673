//! Appending again, in another feed, what an entry says.

use super::survey::Survey;
use super::{NotRecovered, Recovered};
use crate::engine::payload::{APPENDED, CHUNK, Content, chunks_in_batch};
use crate::error::{RecoverError, WriteError};
use crate::network::ask::view_of;
use crate::views::Parts;
use crate::views::again::{Carry, Refused};
use bytes::Bytes;
use kappadb_core::{EntryId, FeedKey, RangeSet, Seq, StoredBlock};
use kappadb_entry::{Detached, Entry, EntryError, Header, decode_block, encode_block, origin_of};
use std::collections::BTreeMap;

/// Blocks that are appended together, at most.
const TOGETHER: usize = 1_000;

/// Appends entries of one feed to another, in their order.
pub(super) struct Carrier<'a> {
    parts: &'a Parts,
    survey: &'a Survey,
    to: FeedKey,
    /// What is to be appended next, and what it says again.
    next: Vec<(Seq, Bytes)>,
    bytes: usize,
    done: BTreeMap<Seq, EntryId>,
    left_out: Vec<(EntryId, NotRecovered)>,
}

impl<'a> Carrier<'a> {
    pub fn new(parts: &'a Parts, survey: &'a Survey, to: FeedKey) -> Self {
        Carrier { parts, survey, to, next: Vec::new(), bytes: 0, done: BTreeMap::new(), left_out: Vec::new() }
    }

    /// Appends what is left to append.
    pub fn finish(mut self) -> Result<Recovered, RecoverError> {
        self.flush()?;
        let feed = self.survey.fork.feed;
        let entries = self.done.into_iter().map(|(seq, again)| (EntryId { feed, seq }, again)).collect();
        Ok(Recovered { entries, left_out: self.left_out })
    }

    /// Appends an entry again, soon; what cannot be is noted with the reason.
    pub fn carry(&mut self, id: EntryId, block: &StoredBlock) -> Result<(), RecoverError> {
        match self.block_again(id, block) {
            Ok(again) => {
                self.bytes += again.len();
                self.next.push((id.seq, again));
            }
            Err(Refused::Entry(why)) => self.left_out.push((id, why)),
            Err(Refused::All(error)) => return Err(error),
        }
        if self.bytes >= APPENDED || self.next.len() >= TOGETHER { Ok(self.flush()?) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        if self.next.is_empty() {
            return Ok(());
        }
        let (seqs, blocks): (Vec<Seq>, Vec<Bytes>) = std::mem::take(&mut self.next).into_iter().unzip();
        self.bytes = 0;
        let appended = self.parts.append(self.to, blocks)?;
        self.done.extend(seqs.into_iter().zip(appended));
        Ok(())
    }

    fn block_again(&mut self, id: EntryId, block: &StoredBlock) -> Result<Bytes, Refused> {
        let entry = decode_block(block)?;
        let mut header = entry.header.clone();
        let mut before = Vec::new();
        for seq in self.survey.replaces.get(&id.seq).into_iter().flatten() {
            before.extend(self.again(*seq)?);
        }
        header.context = header.context.beyond_fork(&self.survey.fork, &before);
        header.set_origin(&origin_of(&id, block)?);
        let payload = self.say_again(id, &entry, &mut header)?;
        Ok(encode_block(&header, &payload)?)
    }

    /// As what an entry beyond the fork was appended again, now or before.
    fn again(&mut self, seq: Seq) -> Result<Option<EntryId>, WriteError> {
        if self.next.iter().any(|(next, _)| *next == seq) {
            self.flush()?;
        }
        Ok(self.done.get(&seq).copied().or_else(|| self.survey.recovered(seq)))
    }

    /// The payload, with the header made to fit where it would say something else of another feed.
    fn say_again(&mut self, id: EntryId, entry: &Entry, header: &mut Header) -> Result<Bytes, Refused> {
        let (space, parts) = (header.kind.space, self.parts);
        match (parts.of_space(space), view_of(space)) {
            (Some(view), _) => {
                let (fork, to) = (self.survey.fork, self.to);
                let mut carry = Carry { fork, to, again: &mut |seq| self.again(seq) };
                if let Some(payload) = view.say_again(id, entry, header, &mut carry)? {
                    return Ok(payload);
                }
            }
            (None, Some(view)) => return Err(Refused::Entry(NotRecovered::NoView(view))),
            (None, None) => {}
        }
        match Content::of(id, entry)? {
            Content::Inline(payload) => Ok(payload),
            Content::Detached(detached) => {
                header.set_detached(&self.append_content(id, &detached)?);
                Ok(Bytes::new())
            }
        }
    }

    /// Writes a content in blocks of its own again.
    fn append_content(&self, id: EntryId, detached: &Detached) -> Result<Detached, Refused> {
        if !self.parts.missing_chunks(id, detached, &(0..detached.bytes())).is_empty() {
            return Err(Refused::Entry(NotRecovered::NotHeld));
        }
        let (mut chunks, mut bytes) = (RangeSet::new(), Vec::new());
        let (count, at_a_time) = (detached.chunks().count(), chunks_in_batch(detached) as u64);
        let mut from = 0;
        while from < count || !bytes.is_empty() {
            let to = count.min(from.saturating_add(at_a_time));
            for chunk in self.parts.read_chunks(id, detached, from..to)? {
                bytes.extend_from_slice(&chunk);
            }
            from = to;
            // All but the last lot have a whole number of chunks.
            if bytes.len() >= APPENDED || from == count {
                let rest = bytes.split_off(bytes.len().min(APPENDED));
                chunks.insert(self.parts.append_chunks(self.to, &std::mem::replace(&mut bytes, rest))?);
            }
        }
        Ok(Detached::new(detached.bytes(), CHUNK, chunks).map_err(EntryError::from)?)
    }
}
