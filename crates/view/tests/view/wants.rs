//! What a view does not want it is not given, and nobody decodes it.
use crate::common::*;
use crate::engine::memory;
use bytes::Bytes;
use kappadb_core::{EntryId, FeedKey, Lseq, StoredBlock, Timestamp};
use kappadb_entry::{Header, Kind, encode_block, kind_of, space};
use kappadb_query::Selector;
use kappadb_store::{Overlay, Tree};
use kappadb_view::*;
use std::collections::BTreeSet;
use std::sync::Arc;

const WANTED: Kind = Kind { space: space::RAW, code: 2 };

/// Notes what it is given: blocks of one kind, of each feed the last of a run.
struct Last;

struct Given(Vec<Lseq>);

impl View for Last {
    type Index = Given;

    fn name(&self) -> &str {
        "last"
    }

    fn version(&self) -> u32 {
        1
    }

    fn wants(&self, arrival: &Arrival, next: Option<&Arrival>) -> bool {
        let is_wanted = kind_of(&arrival.block).is_none_or(|kind| kind == WANTED);
        is_wanted && next.is_none_or(|next| next.id.feed != arrival.id.feed)
    }

    fn open(&self, _: Arc<dyn Tree>) -> Result<Given, ViewError> {
        Ok(Given(Vec::new()))
    }
}

impl Index for Given {
    fn apply(&mut self, changes: &[Change<'_>], _: &mut Overlay<'_>) -> Result<Vec<Notice>, ViewError> {
        self.0.extend(changes.iter().map(|change| change.arrived().lseq));
        Ok(Vec::new())
    }

    fn matches(&self, _: &Selector, _: &BTreeSet<FeedKey>) -> Result<Vec<EntryId>, ViewError> {
        Err(ViewError::Unsupported)
    }
}

fn block(kind: Kind) -> StoredBlock {
    StoredBlock::whole(encode_block(&Header::new(kind, Timestamp(1)), b"payload").unwrap())
}

/// Begins as a block of this kind, and is none.
fn broken(kind: Kind) -> StoredBlock {
    StoredBlock::whole(Bytes::from(vec![4, 1, u8::try_from(kind.space).unwrap(), kind.code, 0]))
}

#[test]
fn a_view_is_given_what_it_wants_and_blocks_of_other_kinds_are_not_looked_into() {
    let (log, other) = (Log::new(), Kind { space: space::MAP, code: 0 });
    for (n, block) in [block(WANTED), block(other), block(WANTED), block(WANTED)].into_iter().enumerate() {
        log.arrive(id(u8::try_from(n / 2).unwrap(), n as u64), block);
    }
    log.arrive(id(2, 0), broken(other));
    log.arrive(id(3, 0), broken(WANTED));
    log.arrive(id(4, 0), block(WANTED));
    let views = Views::new(log, memory());
    let handle = views.register(Last).unwrap();
    handle.ready().unwrap();
    assert_eq!(handle.read(|given| given.0.clone()).unwrap(), [3, 6]);
    assert_eq!(views.status()[0].skipped, 1, "the one that it wanted and that is none");
}
