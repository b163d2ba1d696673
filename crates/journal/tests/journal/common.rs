//! Histories to write, and short ways to write and read them.

use bytes::Bytes;
use kappadb_core::{
    FeedDefinition, FeedKey, Form, Hash, Head, Predecessor, RangeSet, Signature, SignedHead, StoredBlock,
    Timestamp,
};
use kappadb_journal::fault::FaultDisk;
use kappadb_journal::{Journal, Located, Options, Position, Record, Recovery};
use kappadb_merkle::{Branch, ForkEvidence, Node};
use proptest::prelude::*;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a segment header, of a record before its body, and of a new segment: header and incarnation.
pub const HEADER: u64 = 48;
pub const HEAD: u64 = 36;
pub const BIRTH: u64 = HEADER + HEAD + 17;

/// Sixteen bytes that were not given before.
pub fn fresh() -> [u8; 16] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut out = [0x5a; 16];
    out[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    out
}

pub fn small(segment_bytes: u64) -> Options {
    Options { segment_bytes, open_files: 4 }
}

pub fn open_from(disk: &FaultDisk, options: &Options, start: Option<Position>) -> (Journal, Recovery) {
    Journal::open_on(Arc::new(disk.clone()), options, start, &mut fresh, &mut |_, _| ()).expect("opens")
}

pub fn open(disk: &FaultDisk, options: &Options) -> (Journal, Recovery) {
    open_from(disk, options, None)
}

/// A record of `sizes.len()` blocks with content that tells them apart.
pub fn blocks(first: u64, sizes: &[usize]) -> Record {
    let block = |(i, &len): (usize, &usize)| StoredBlock::whole(vec![(first as usize * 31 + i) as u8; len]);
    Record::Blocks { feed: FeedKey([1; 32]), first, blocks: sizes.iter().enumerate().map(block).collect() }
}

pub fn is_own(record: &Record) -> bool {
    matches!(record, Record::Incarnation(_) | Record::Closed | Record::Rewritten(_))
}

/// Everything that can be read, but for what the journal writes for itself; and what cannot.
pub fn contents(journal: &Journal) -> (Vec<Located>, Vec<kappadb_journal::Damage>) {
    let (mut records, mut damage) = (Vec::new(), Vec::new());
    for item in journal.reader().scan(Position::START) {
        match item {
            Ok(located) if is_own(&located.record) => {}
            Ok(located) => records.push(located),
            Err(place) => damage.push(place),
        }
    }
    (records, damage)
}

pub fn lseqs(located: &Located) -> Range<u64> {
    located.first_lseq..located.first_lseq + located.record.block_count()
}

fn feed() -> impl Strategy<Value = FeedKey> {
    (0u8..4).prop_map(|n| FeedKey([n; 32]))
}

fn node() -> impl Strategy<Value = Node> {
    (any::<[u8; 32]>(), any::<u64>()).prop_map(|(hash, size)| Node { hash: Hash(hash), size })
}

fn head() -> impl Strategy<Value = SignedHead> {
    (any::<u64>(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(length, byte_length, hash)| SignedHead {
        head: Head { length, byte_length, root_hash: Hash(hash) },
        signature: Signature([9; 64]),
    })
}

fn stored() -> impl Strategy<Value = Vec<StoredBlock>> {
    let block = (any::<bool>(), prop::collection::vec(any::<u8>(), 0..120)).prop_map(|(cleared, bytes)| {
        StoredBlock { form: if cleared { Form::Cleared } else { Form::Whole }, bytes: Bytes::from(bytes) }
    });
    prop::collection::vec(block, 0..6)
}

fn ranges_of(count: u64, gap: u64) -> RangeSet {
    (0..count).map(|n| n * gap).collect()
}

fn branch() -> impl Strategy<Value = Branch> {
    (head(), node(), prop::collection::vec(node(), 0..4)).prop_map(|(head, node, proof)| Branch {
        head,
        node,
        proof,
    })
}

/// Any record that a caller may append.
pub fn record() -> impl Strategy<Value = Record> {
    let definition = (feed(), any::<i64>(), prop::option::of((feed(), any::<bool>()))).prop_map(
        |(feed, created, before)| {
            let continues = before
                .map(|(feed, agreed)| Predecessor { feed, consent: agreed.then_some(Signature([9; 64])) });
            FeedDefinition { feed, created: Timestamp(created), continues, signature: Signature([7; 64]) }
        },
    );
    let fork = (feed(), any::<u64>(), branch(), branch()).prop_map(|(feed, index, a, b)| ForkEvidence {
        feed,
        index,
        a,
        b,
    });
    let nodes = prop::collection::vec((any::<u64>(), node()), 0..4);
    prop_oneof![
        4 => (feed(), 0u64..1 << 40, stored())
            .prop_map(|(feed, first, blocks)| Record::Blocks { feed, first, blocks }),
        2 => (feed(), head()).prop_map(|(feed, head)| Record::Head { feed, head }),
        3 => (feed(), head(), nodes, 1u64..4, stored()).prop_map(|(feed, head, nodes, gap, blocks)| {
            Record::Fetched { feed, head, ranges: ranges_of(blocks.len() as u64, gap), nodes, blocks }
        }),
        1 => definition.prop_map(Record::Definition),
        1 => fork.prop_map(Record::Fork),
        1 => (feed(), 0u64..9, 1u64..4)
            .prop_map(|(feed, count, gap)| Record::Clear { feed, ranges: ranges_of(count, gap), freed: 5 - count as i64 }),
        1 => feed().prop_map(Record::Drop),
        1 => feed().prop_map(Record::Allow),
        1 => (feed(), 0u64..5).prop_map(|(feed, blocks)| Record::Gone { feed, blocks }),
        1 => (feed(), 1u64..4, stored())
            .prop_map(|(feed, gap, blocks)| Record::Filled { feed, ranges: ranges_of(blocks.len() as u64, gap), blocks }),
        1 => (prop::collection::vec(any::<(u32, u64, u64)>(), 0..3), prop::collection::vec(feed(), 0..3))
            .prop_map(|(damage, given_up)| Record::Settled { damage, given_up }),
    ]
}
