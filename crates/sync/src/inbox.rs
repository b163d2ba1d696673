//! What came and waits for storage: carried out in the order of the stream, one at a time.

use crate::command::{Command, CommandId};
use crate::frame::{Change, Lengths};
use crate::outbox::Outbox;
use crate::words::Words;
use kappadb_core::{FeedDefinition, FeedKey};
use kappadb_entry::Bundle;
use kappadb_merkle::ForkEvidence;
use std::collections::VecDeque;

/// Something for storage.
#[derive(Debug)]
pub(crate) enum Work {
    Define(FeedDefinition),
    Fork(Box<ForkEvidence>),
    Put(Put, Bundle, Lengths),
    /// Make durable what was put, and then end this query, if any.
    Settle(Option<Settle>),
}

/// Where blocks came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Put {
    pub query: u32,
    pub feed: FeedKey,
    /// How many blocks.
    pub blocks: u64,
    /// Length of the frame.
    pub bytes: usize,
    /// How often the ledger had been forgotten when it came.
    pub epoch: u64,
}

/// A query whose answer is all there, or, if it is live, all that there is for now.
#[derive(Debug)]
pub(crate) struct Settle {
    pub query: u32,
    pub stated: Vec<Change>,
    /// On whose word that rests.
    pub words: Words,
    /// Of a live query: where to go on.
    pub token: Option<Vec<u8>>,
}

/// The work that storage is doing.
#[derive(Debug)]
pub(crate) enum Doing {
    Define,
    Fork,
    Put(Put),
    Sync(Option<Settle>),
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    queue: VecDeque<Work>,
    doing: Option<(CommandId, Doing, usize)>,
    bytes: usize,
    /// Something was put since the last sync.
    dirty: bool,
    /// Fork evidence that is not durable yet.
    forks: usize,
}

fn weight(work: &Work) -> usize {
    let more = match work {
        Work::Define(_) => size_of::<FeedDefinition>(),
        Work::Fork(evidence) => {
            size_of_val(&evidence.a) * 2 + (evidence.a.proof.len() + evidence.b.proof.len()) * 40
        }
        Work::Put(put, ..) => put.bytes,
        Work::Settle(settle) => settle.as_ref().map_or(0, |settle| settle.stated.len() * size_of::<Change>()),
    };
    size_of::<Work>() + more
}

impl Inbox {
    pub fn push(&mut self, work: Work) {
        self.bytes += weight(&work);
        self.forks += usize::from(matches!(work, Work::Fork(_)));
        self.queue.push_back(work);
    }

    /// True while there is fork evidence that is not durable yet.
    pub fn owes_forks(&self) -> bool {
        self.forks > 0
    }

    /// Bytes held, those being stored included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.doing.is_none()
    }

    /// Starts the next work if none is under way. Gives back a query that is settled without any work.
    pub fn start(&mut self, out: &mut Outbox) -> Option<Settle> {
        while self.doing.is_none() {
            let work = self.queue.pop_front()?;
            let weight = weight(&work);
            let (command, doing) = match work {
                Work::Define(definition) => (Command::Define(definition), Doing::Define),
                Work::Fork(evidence) => (Command::Fork(*evidence), Doing::Fork),
                Work::Put(put, bundle, lengths) => (Command::Put(bundle, lengths), Doing::Put(put)),
                Work::Settle(settle) if self.dirty => (Command::Sync, Doing::Sync(settle)),
                Work::Settle(settle) => {
                    self.bytes -= weight;
                    match settle {
                        Some(settle) => return Some(settle),
                        None => continue,
                    }
                }
            };
            self.dirty = !matches!(doing, Doing::Sync(_));
            self.doing = Some((out.command(command), doing, weight));
        }
        None
    }

    /// The work that this command was for.
    pub fn finish(&mut self, id: CommandId) -> Option<Doing> {
        let (_, doing, weight) = self.doing.take_if(|(command, ..)| *command == id)?;
        self.bytes -= weight;
        if matches!(doing, Doing::Sync(_)) {
            self.forks = self.queue.iter().filter(|work| matches!(work, Work::Fork(_))).count();
        }
        Some(doing)
    }

    /// Drops all that waits. True if what was stored so far has yet to be made durable.
    pub fn abandon(&mut self) -> bool {
        self.queue.clear();
        self.bytes = 0;
        std::mem::take(&mut self.dirty) || self.doing.take().is_some()
    }
}
