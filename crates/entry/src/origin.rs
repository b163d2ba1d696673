//! What an entry says again, that another feed of its writer said where it does not count any more: beyond a fork.
//!
//! A number names one block of a feed until the feed forks, and two from then on. So what is said again is named by a hash.

use crate::block::payload_digest;
use crate::{Context, EntryError, Header, Places, decode_block, leaf_data};
use kappadb_core::limits::{MAX_CONTEXT_FEEDS, MAX_CONTEXT_IDS};
use kappadb_core::{EntryId, Hash, StoredBlock, Timestamp, blake2b256, codec};

/// The kind of the header extension.
pub const ORIGIN: u16 = 4;

/// The name of a block for whoever says it again: blake2b256(feed | seq u64 little-endian | leaf data). It stays when the payload is cleared.
pub fn origin_of(id: &EntryId, block: &StoredBlock) -> Result<Hash, EntryError> {
    Ok(blake2b256(&[&id.feed.0, &id.seq.to_le_bytes(), &leaf_data(block)?]))
}

/// A hash of what an entry says, whoever says it, when, and in the place of what. It stays when the payload is cleared. A content in blocks of its own
/// counts by their numbers: two such entries hardly ever say the same.
pub fn words_of(block: &StoredBlock) -> Result<Hash, EntryError> {
    let mut header = decode_block(block)?.header;
    header.time = Timestamp(0);
    header.context = Context::NOTHING;
    header.depth = 0;
    header.past = Places::NOWHERE;
    header.set_extension(ORIGIN, None);
    Ok(blake2b256(&[&codec::encode(&header), &payload_digest(block)?]))
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Hash, EntryError> {
    Ok(Hash(bytes.try_into().map_err(|_| EntryError::BadOrigin(bytes.len()))?))
}

impl Header {
    /// Which block this entry says again, as its writer says: [`origin_of`].
    pub fn origin(&self) -> Option<Hash> {
        let extension = self.extensions.iter().find(|extension| extension.kind == ORIGIN)?;
        decode(&extension.bytes).ok()
    }

    /// Says which block this entry says again.
    pub fn set_origin(&mut self, origin: &Hash) {
        self.set_extension(ORIGIN, Some(origin.0.to_vec()));
    }
}

impl Context {
    /// What an entry with this context, of the feed that forked at `fork`, names when another feed says it again: what it named that counts, and
    /// `again`, the new names of those beyond the fork that it replaced. What the old feed has from the fork on is not named, for two
    /// histories have other entries there.
    pub fn beyond_fork(&self, fork: &EntryId, again: &[EntryId]) -> Context {
        let EntryId { feed, seq: fork } = *fork;
        let mut vector = self.vector.clone();
        vector.retain(|(of, _)| *of != feed.name());
        let last = fork.checked_sub(1).and_then(|last| Some(last.min(self.up_to(&feed, &feed)?)));
        if let Some(last) = last {
            // What does not fit is not named, and so not replaced: a conflict to be seen.
            vector.truncate(MAX_CONTEXT_FEEDS - 1);
            vector.push((feed.name(), last));
            vector.sort_unstable();
        }
        let counts = |id: &&EntryId| id.feed != feed || id.seq < fork;
        let mut ids: Vec<EntryId> = again.iter().chain(self.ids.iter().filter(counts)).copied().collect();
        ids.truncate(MAX_CONTEXT_IDS);
        ids.sort_unstable();
        ids.dedup();
        Context { own: None, vector, ids }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, decode_block, encode_block, space};
    use kappadb_core::{FeedKey, FeedName, Form, Timestamp};

    fn id(feed: u8, seq: u64) -> EntryId {
        EntryId { feed: FeedKey([feed; 32]), seq }
    }

    fn name(feed: u8) -> FeedName {
        FeedKey([feed; 32]).name()
    }

    #[test]
    fn what_counts_is_named_as_before_and_nothing_from_the_fork_on() {
        let context = Context {
            own: Some(9),
            vector: vec![(name(1), 4), (name(3), 7)],
            ids: vec![id(1, 1), id(2, 4), id(2, 6)],
        };
        let again = context.beyond_fork(&id(2, 5), &[id(5, 0)]);
        assert_eq!(again.vector, [(name(1), 4), (name(2), 4), (name(3), 7)]);
        assert_eq!(again.ids, [id(1, 1), id(2, 4), id(5, 0)]);
        let new = FeedKey([5; 32]);
        assert!(again.names(&new, &id(2, 4)) && again.names(&new, &id(1, 4)) && again.names(&new, &id(5, 0)));
        assert!(!again.names(&new, &id(2, 5)) && !again.names(&new, &id(2, 6)));
        assert!(context.beyond_fork(&id(2, 0), &[]).vector.iter().all(|(feed, _)| *feed != name(2)));
    }

    #[test]
    fn contexts_at_their_limits_keep_to_them() {
        let named = |n: usize| {
            FeedName([[0; 4].as_slice(), &(n as u64 + 1).to_be_bytes()].concat().try_into().unwrap())
        };
        let vector = (0..MAX_CONTEXT_FEEDS).map(|n| (named(n), 1)).collect();
        let ids = (0..MAX_CONTEXT_IDS).map(|n| id(200, n as u64)).collect();
        let context = Context { own: Some(9), vector, ids };
        let again = context.beyond_fork(&id(199, 5), &[id(0, 3), id(0, 4)]);
        assert!(again.check().is_ok());
        assert!(
            again.ids.contains(&id(0, 3)) && again.up_to(&FeedKey([0; 32]), &FeedKey([199; 32])) == Some(4)
        );
    }

    #[test]
    fn words_are_the_same_whoever_says_them_when_and_in_the_place_of_what() {
        let block = |header: &Header, payload: &[u8]| StoredBlock {
            form: Form::Whole,
            bytes: encode_block(header, payload).unwrap(),
        };
        let mut header = Header {
            key: Some(b"k".to_vec()),
            ..Header::new(Kind { space: space::KV, code: 1 }, Timestamp(1))
        };
        let first = block(&header, &[7; 100]);
        let words = words_of(&first).unwrap();
        assert_eq!(words_of(&crate::clear_block(&first).unwrap()).unwrap(), words);
        header.set_origin(&origin_of(&id(1, 2), &first).unwrap());
        (header.time, header.depth) = (Timestamp(9), 4);
        header.context = Context { own: Some(9), vector: Vec::new(), ids: vec![id(1, 1)] };
        assert_eq!(words_of(&block(&header, &[7; 100])).unwrap(), words);
        assert_ne!(words_of(&block(&header, &[8; 100])).unwrap(), words);
        header.key = Some(b"l".to_vec());
        assert_ne!(words_of(&block(&header, &[7; 100])).unwrap(), words);
    }

    #[test]
    fn an_origin_is_read_as_it_was_written_and_names_one_block_in_either_form() {
        let mut header = Header::new(Kind { space: space::RAW, code: 0 }, Timestamp(1));
        let whole = StoredBlock { form: Form::Whole, bytes: encode_block(&header, &[7; 100]).unwrap() };
        let origin = origin_of(&id(1, 2), &whole).unwrap();
        let cleared = crate::clear_block(&whole).unwrap();
        assert_eq!(origin_of(&id(1, 2), &cleared).unwrap(), origin);
        assert_ne!(origin_of(&id(1, 3), &whole).unwrap(), origin);
        header.set_origin(&origin);
        let block = StoredBlock { form: Form::Whole, bytes: encode_block(&header, &[]).unwrap() };
        assert_eq!(decode_block(&block).unwrap().header.origin(), Some(origin));
        header.set_extension(ORIGIN, Some(vec![1; 31]));
        assert_eq!(encode_block(&header, &[]), Err(EntryError::BadOrigin(31)));
    }
}
