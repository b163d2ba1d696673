//! Backends: what a session does is real, what it stores is made up.

use bytes::Bytes;
use kappadb_core::{
    DatabaseId, FeedDefinition, FeedKey, Hash, Head, RangeSet, SecretKey, SignedHead, StoredBlock, Timestamp,
};
use kappadb_entry::Bundle;
use kappadb_net::Backend;
use kappadb_sync::{Answer, AnswerError, Command, Coverage, Reply, Stored};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

/// Views: `empty`, whose answer is empty; `feed`, which has `blocks`; `slow`, which answers when `gate` gives way;
/// `broken`, which panics.
pub struct Storage {
    blocks: Vec<StoredBlock>,
    /// What was put here.
    pub kept: Mutex<Vec<StoredBlock>>,
    gate: Mutex<Option<Receiver<()>>>,
}

impl Storage {
    pub fn new(blocks: Vec<Vec<u8>>) -> Self {
        let blocks = blocks.into_iter().map(|b| StoredBlock::whole(Bytes::from(b))).collect();
        Storage { blocks, kept: Mutex::default(), gate: Mutex::default() }
    }

    /// Storage whose `slow` view answers when the sender is dropped.
    pub fn gated() -> (Self, std::sync::mpsc::Sender<()>) {
        let (gate, wait) = channel();
        (Storage { gate: Mutex::new(Some(wait)), ..Storage::new(Vec::new()) }, gate)
    }

    pub fn blocks(&self) -> &[StoredBlock] {
        &self.blocks
    }

    fn answer(&self, view: &str) -> Result<Answer, AnswerError> {
        match view {
            "empty" => Ok(Answer::default()),
            "feed" => Ok(self.everything()),
            "slow" => {
                // All wait for the one gate, each for those before it.
                let gate = self.gate.lock().unwrap();
                let _ = gate.as_ref().map(|gate| gate.recv());
                Ok(Answer::default())
            }
            "broken" => panic!("a bug in a view"),
            other => Err(AnswerError::UnknownView(other.to_owned())),
        }
    }

    fn everything(&self) -> Answer {
        let length = self.blocks.len() as u64;
        let definition = FeedDefinition::sign(&DatabaseId([7; 32]), &secret(), Timestamp(1), None);
        Answer {
            matches: vec![(feed(), RangeSet::below(length))],
            coverage: vec![Coverage { definition, claimed: length, length, at: 0, root: [0; 16] }],
            ..Answer::default()
        }
    }

    /// As many blocks as fit; the proof is left out, as nobody here checks it.
    fn read(&self, ranges: &RangeSet, max_bytes: usize) -> Bundle {
        let (mut blocks, mut taken, mut bytes) = (Vec::new(), RangeSet::new(), 0);
        for seq in ranges.iter() {
            let block = self.blocks[usize::try_from(seq).unwrap()].clone();
            bytes += block.bytes.len();
            if !blocks.is_empty() && bytes > max_bytes {
                break;
            }
            taken.insert(seq..seq + 1);
            blocks.push(block);
        }
        Bundle {
            feed: feed(),
            head: self.head(),
            ranges: taken,
            blocks,
            known: Default::default(),
            proof: vec![],
        }
    }

    fn head(&self) -> SignedHead {
        let head = Head { length: self.blocks.len() as u64, byte_length: 0, root_hash: Hash([0; 32]) };
        head.sign(&DatabaseId([7; 32]), &secret())
    }

    fn put(&self, bundle: Bundle) -> Stored {
        let blocks = bundle.blocks.len() as u64;
        let bytes = bundle.blocks.iter().map(|b| b.bytes.len() as u64).sum();
        self.kept.lock().unwrap().extend(bundle.blocks);
        Stored { blocks, bytes, ..Stored::default() }
    }
}

fn secret() -> SecretKey {
    SecretKey::from_seed(&[77; 32])
}

pub fn feed() -> FeedKey {
    secret().public()
}

impl Backend for Storage {
    fn run(&self, command: Command) -> Reply {
        match command {
            Command::Answer { view, .. } => Reply::Answer(self.answer(&view)),
            Command::Locate { .. } => Reply::Answer(Ok(self.everything())),
            Command::Read { ranges, known, max_bytes, .. } => {
                Reply::Read(Ok((Bundle { known, ..self.read(&ranges, max_bytes) }, vec![])))
            }
            Command::Define(_) => Reply::Defined(Ok(())),
            Command::Put(bundle, _) => Reply::Put(Ok(self.put(bundle))),
            Command::Fork(_) => Reply::Forked(Ok(())),
            Command::Sync => Reply::Synced(Ok(())),
            _ => panic!("a command that this test does not know"),
        }
    }
}
