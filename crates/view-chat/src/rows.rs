//! Keys of rows, and of what is packed. `design/views.md` has them all.

use kappadb_chat::Lane;
use kappadb_core::{EntryId, FeedKey, Lseq, Timestamp};
use kappadb_view::ViewError;
use kappadb_view::packed::Area;

/// Keyed entries ([`kappadb_view::keyed`]).
pub const KEYED: u8 = 1;
/// What is packed ([`kappadb_view::packed`]).
pub const PACKED: u8 = 2;
/// key length u16, key, feed, seq, seq of the delete: nothing. A version that its author took back.
pub const TAKEN: u8 = 3;
/// number u64: texts whose words are in no segment yet.
pub const TEXTS: u8 = 4;

/// feed, seq: nothing. An entry that a delete names, or an edit, until it was seen to that it is erased if it must be.
pub const NAMED: u8 = 5;
/// A message as segments of words have it: nothing. It was deleted, and its words may still be known.
pub const FORGET: u8 = 6;

/// What is packed of entries.
pub const ENTRIES: Area = Area { prefix: PACKED, sort: 0 };
/// The messages of a segment of words.
pub const DOCS: Area = Area { prefix: PACKED, sort: 1 };
/// Its words.
pub const WORDS: Area = Area { prefix: PACKED, sort: 2 };

/// What cannot be read: the view is made anew.
pub const BAD: ViewError = ViewError::Inconsistent("a row of the chat index cannot be read");

/// channel length u16, channel, order, feed, seq, [`Mark`]: a message, a delete or an edit of it.
const MESSAGE: u8 = 1;
/// feed, channel length u16, channel, order, seq, [`Mark`]: the same by author.
const AUTHOR: u8 = 2;
/// channel length u16, channel, feed, 0: who posted there. The same with 1: who deleted or edited something.
const POSTER: u8 = 3;
/// feed, seq: an entry that is neither of a channel nor of a key that it may write.
const OTHER: u8 = 4;

/// channel length u16, channel, 2, lseq, place, 1 if it may mention somebody: a message that came. channel length u16, channel, 0, lseq, place
/// of the target, seq, 0: a delete that came; 1 in place of the 0 before: an edit, with 1 at the end if it may mention somebody.
const CAME: u8 = 5;

/// Of what came to a channel: deletes, edits, messages.
const DELETES: u8 = 0;
const EDITS: u8 = 1;
const POSTS: u8 = 2;

const POSTED: u8 = 0;
const DELETED: u8 = 1;
const EDITED: u8 = 2;

/// What a packed row says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    /// It is there.
    Posted,
    /// Its author deleted it with the entry of this number.
    Deleted(u64),
    /// Its author said something else in its place with the entry of this number.
    Edited(u64),
}

impl Mark {
    /// The entry that says so of the message at a place.
    pub fn by(self, place: &Place) -> EntryId {
        match self {
            Mark::Posted => place.id,
            Mark::Deleted(seq) | Mark::Edited(seq) => EntryId { seq, ..place.id },
        }
    }

    fn push(self, key: &mut Vec<u8>) {
        let (tag, by) = match self {
            Mark::Posted => return key.push(POSTED),
            Mark::Deleted(by) => (DELETED, by),
            Mark::Edited(by) => (EDITED, by),
        };
        key.push(tag);
        key.extend_from_slice(&by.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Mark> {
        match bytes.split_first()? {
            (&POSTED, []) => Some(Mark::Posted),
            (&DELETED, by) => Some(Mark::Deleted(u64::from_be_bytes(by.try_into().ok()?))),
            (&EDITED, by) => Some(Mark::Edited(u64::from_be_bytes(by.try_into().ok()?))),
            _ => None,
        }
    }
}

/// A place in the reading order: order time, feed, seq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Order time.
    pub order: Timestamp,
    /// The message.
    pub id: EntryId,
}

/// A place's bytes, in the order of places.
pub const PLACE_LEN: usize = 48;

impl Place {
    pub(crate) fn bytes(&self) -> [u8; PLACE_LEN] {
        let mut out = [0; PLACE_LEN];
        let parts = time(self.order.0).into_iter().chain(self.id.feed.0).chain(self.id.seq.to_be_bytes());
        out.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        out
    }

    pub(crate) fn read(bytes: &[u8; PLACE_LEN]) -> Option<Place> {
        let (order, id) = bytes.split_first_chunk::<8>()?;
        Some(Place { order: Timestamp(untime(*order)), id: read_id(id)? })
    }
}

/// Times so that they sort.
fn time(order: i64) -> [u8; 8] {
    (order ^ i64::MIN).to_be_bytes()
}

fn untime(bytes: [u8; 8]) -> i64 {
    i64::from_be_bytes(bytes) ^ i64::MIN
}

fn read_id(bytes: &[u8]) -> Option<EntryId> {
    let (feed, seq) = bytes.split_first_chunk::<32>()?;
    Some(EntryId { feed: FeedKey(*feed), seq: u64::from_be_bytes(seq.try_into().ok()?) })
}

fn counted(bytes: &[u8]) -> [u8; 2] {
    // Names and keys are far shorter: what is longer was refused when it was decoded.
    u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes()
}

fn read_counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

fn of_channel(tag: u8, channel: &[u8], room: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(3 + channel.len() + room);
    key.push(tag);
    key.extend_from_slice(&counted(channel));
    key.extend_from_slice(channel);
    key
}

/// Messages of all channels.
pub const MESSAGES: [u8; 1] = [MESSAGE];

/// All messages of a channel begin so.
pub fn messages(channel: &[u8]) -> Vec<u8> {
    of_channel(MESSAGE, channel, PLACE_LEN + 9)
}

/// The messages of a channel from a time on.
pub fn messages_from(channel: &[u8], order: i64) -> Vec<u8> {
    let mut key = messages(channel);
    key.extend_from_slice(&time(order));
    key
}

/// All that is said of a message begins so.
pub fn message_at(channel: &[u8], place: &Place) -> Vec<u8> {
    let mut key = messages(channel);
    key.extend_from_slice(&place.bytes());
    key
}

pub fn message(channel: &[u8], place: &Place, mark: Mark) -> Vec<u8> {
    let mut key = message_at(channel, place);
    mark.push(&mut key);
    key
}

/// What a row of a channel's messages says; `head` is the length of [`messages`].
pub fn read_message(key: &[u8], head: usize) -> Option<(Place, Mark)> {
    let (place, mark) = key.get(head..)?.split_first_chunk::<PLACE_LEN>()?;
    Some((Place::read(place)?, Mark::read(mark)?))
}

/// The same with its channel.
pub fn read_in_channel(key: &[u8]) -> Option<(&[u8], Place, Mark)> {
    let (channel, rest) = read_counted(key.get(1..)?)?;
    let (place, mark) = read_message(rest, 0)?;
    Some((channel, place, mark))
}

/// All messages of a feed begin so.
pub fn author(feed: &FeedKey) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.push(AUTHOR);
    key.extend_from_slice(&feed.0);
    key
}

/// Those of all feeds.
pub const AUTHORS: [u8; 1] = [AUTHOR];

/// Those in a channel.
pub fn author_in(feed: &FeedKey, channel: &[u8]) -> Vec<u8> {
    let mut key = author(feed);
    key.extend_from_slice(&counted(channel));
    key.extend_from_slice(channel);
    key
}

pub fn author_from(feed: &FeedKey, channel: &[u8], order: i64) -> Vec<u8> {
    let mut key = author_in(feed, channel);
    key.extend_from_slice(&time(order));
    key
}

pub fn authored(channel: &[u8], place: &Place, mark: Mark) -> Vec<u8> {
    let mut key = author_from(&place.id.feed, channel, place.order.0);
    key.extend_from_slice(&place.id.seq.to_be_bytes());
    mark.push(&mut key);
    key
}

/// What a row by author says, with its channel.
pub fn read_authored(key: &[u8]) -> Option<(&[u8], Place, Mark)> {
    let (feed, rest) = key.get(1..)?.split_first_chunk::<32>()?;
    let (channel, rest) = read_counted(rest)?;
    let (order, rest) = rest.split_first_chunk::<8>()?;
    let (seq, mark) = rest.split_first_chunk::<8>()?;
    let id = EntryId { feed: FeedKey(*feed), seq: u64::from_be_bytes(*seq) };
    Some((channel, Place { order: Timestamp(untime(*order)), id }, Mark::read(mark)?))
}

/// All who posted or deleted something somewhere.
pub const POSTERS: [u8; 1] = [POSTER];

/// Those in a channel.
pub fn posters(channel: &[u8]) -> Vec<u8> {
    of_channel(POSTER, channel, 33)
}

/// Those who posted in lanes of private messages.
pub fn lane_posters() -> Vec<u8> {
    up_to_mark(posters(Lane([0; 16]).channel().as_bytes()), 1)
}

/// What a feed posted in lanes.
pub fn author_in_lanes(feed: &FeedKey) -> Vec<u8> {
    up_to_mark(author_in(feed, Lane([0; 16]).channel().as_bytes()), 1 + feed.0.len())
}

/// A key as far as all lanes are the same: the length of their names is, and the first character.
fn up_to_mark(mut key: Vec<u8>, before: usize) -> Vec<u8> {
    key.truncate(before + 2 + Lane::MARK.len());
    key
}

pub fn poster(channel: &[u8], feed: &FeedKey, mark: Mark) -> Vec<u8> {
    let mut key = posters(channel);
    key.extend_from_slice(&feed.0);
    key.push(u8::from(mark != Mark::Posted));
    key
}

/// Who is there, and whether because of a message.
pub fn read_poster(key: &[u8]) -> Option<(&[u8], FeedKey, bool)> {
    let (channel, rest) = read_counted(key.get(1..)?)?;
    let (feed, changed) = rest.split_first_chunk::<32>()?;
    let &[changed] = changed else { return None };
    Some((channel, FeedKey(*feed), changed == 0))
}

/// All others.
pub const OTHERS: [u8; 1] = [OTHER];

/// The others of a feed.
pub fn others(feed: &FeedKey) -> Vec<u8> {
    [&[OTHER], &feed.0[..]].concat()
}

pub fn other(id: &EntryId) -> Vec<u8> {
    [&[OTHER], &id.feed.0[..], &id.seq.to_be_bytes()].concat()
}

pub fn read_other(key: &[u8]) -> Option<EntryId> {
    read_id(key.get(1..)?)
}

/// The messages that came to a channel begin so, or the deletes.
fn came(channel: &[u8], sort: u8) -> Vec<u8> {
    let mut key = of_channel(CAME, channel, PLACE_LEN + 18);
    key.push(sort);
    key
}

/// The messages that came to a channel from an arrival on.
pub fn messages_that_came(channel: &[u8], from: Lseq) -> Vec<u8> {
    [&came(channel, POSTS)[..], &from.to_be_bytes()].concat()
}

/// The deletes that came to a channel.
pub fn deletes_that_came(channel: &[u8]) -> Vec<u8> {
    came(channel, DELETES)
}

/// The edits that came to a channel.
pub fn edits_that_came(channel: &[u8]) -> Vec<u8> {
    came(channel, EDITS)
}

/// A message that came; `calls` says that it may call somebody by name.
pub fn message_came(channel: &[u8], lseq: Lseq, place: &Place, calls: bool) -> Vec<u8> {
    let mut key = messages_that_came(channel, lseq);
    key.extend_from_slice(&place.bytes());
    key.push(u8::from(calls));
    key
}

/// A delete that came, of what is at a place, by the entry of this number.
pub fn delete_came(channel: &[u8], lseq: Lseq, place: &Place, by: u64) -> Vec<u8> {
    change_came(deletes_that_came(channel), lseq, place, by, false)
}

/// The same for an edit; `calls` says that it may call somebody by name.
pub fn edit_came(channel: &[u8], lseq: Lseq, place: &Place, by: u64, calls: bool) -> Vec<u8> {
    change_came(edits_that_came(channel), lseq, place, by, calls)
}

fn change_came(mut key: Vec<u8>, lseq: Lseq, place: &Place, by: u64, calls: bool) -> Vec<u8> {
    key.extend_from_slice(&lseq.to_be_bytes());
    key.extend_from_slice(&place.bytes());
    key.extend_from_slice(&by.to_be_bytes());
    key.push(u8::from(calls));
    key
}

/// A message that came, its number, and whether it may call somebody.
pub fn read_message_came(key: &[u8]) -> Option<(Lseq, Place, bool)> {
    let (_, rest) = read_counted(key.get(1..)?)?;
    let (lseq, rest) = rest.get(1..)?.split_first_chunk::<8>()?;
    let (place, calls) = rest.split_first_chunk::<PLACE_LEN>()?;
    let &[calls] = calls else { return None };
    Some((u64::from_be_bytes(*lseq), Place::read(place)?, calls != 0))
}

/// The place of what was deleted or edited, by which entry, and whether that may call somebody.
pub fn read_change_came(key: &[u8]) -> Option<(Place, EntryId, bool)> {
    let (_, rest) = read_counted(key.get(1..)?)?;
    let (place, by) = rest.get(9..)?.split_first_chunk::<PLACE_LEN>()?;
    let (by, calls) = by.split_first_chunk::<8>()?;
    let &[calls] = calls else { return None };
    let place = Place::read(place)?;
    Some((place, Mark::Deleted(u64::from_be_bytes(*by)).by(&place), calls != 0))
}

/// An entry that a delete names.
pub fn named(id: &EntryId) -> Vec<u8> {
    [&[NAMED], &id.feed.0[..], &id.seq.to_be_bytes()].concat()
}

pub fn read_named(key: &[u8]) -> Option<EntryId> {
    read_id(key.get(1..)?)
}

/// A message whose words are to be forgotten, as segments have it.
pub fn forget(doc: &[u8]) -> Vec<u8> {
    [&[FORGET], doc].concat()
}

/// The deletes of versions of a key.
pub fn taken(key: &[u8]) -> Vec<u8> {
    [&[TAKEN], &counted(key)[..], key].concat()
}

pub fn taken_by(key: &[u8], target: &EntryId, delete: u64) -> Vec<u8> {
    [&taken(key)[..], &target.feed.0, &target.seq.to_be_bytes(), &delete.to_be_bytes()].concat()
}

/// What was taken back, and by which entry.
pub fn read_taken(key: &[u8]) -> Option<(EntryId, EntryId)> {
    let at = key.len().checked_sub(48)?;
    let (target, by) = key.get(at..)?.split_at_checked(40)?;
    let target = read_id(target)?;
    Some((target, EntryId { seq: u64::from_be_bytes(by.try_into().ok()?), ..target }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn places() -> impl Strategy<Value = Place> {
        let edges = prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), -3i64..3];
        (edges, any::<[u8; 32]>(), any::<u64>()).prop_map(|(order, feed, seq)| Place {
            order: Timestamp(order),
            id: EntryId { feed: FeedKey(feed), seq },
        })
    }

    proptest! {
        #[test]
        fn rows_are_read_as_written_and_sort_as_places(
            a in places(), b in places(), channel: Vec<u8>, by in prop::option::of(any::<u64>()),
        ) {
            let mark = by.map_or(Mark::Posted, if a.id.seq % 2 == 0 { Mark::Deleted } else { Mark::Edited });
            let (row, head) = (message(&channel, &a, mark), messages(&channel).len());
            prop_assert_eq!(read_message(&row, head), Some((a, mark)));
            prop_assert_eq!(read_in_channel(&row), Some((&channel[..], a, mark)));
            let (by_author, by_poster) = (authored(&channel, &a, mark), poster(&channel, &a.id.feed, mark));
            prop_assert_eq!(read_authored(&by_author), Some((&channel[..], a, mark)));
            prop_assert_eq!(read_poster(&by_poster), Some((&channel[..], a.id.feed, mark == Mark::Posted)));
            prop_assert_eq!(read_other(&other(&a.id)), Some(a.id));
            let by = EntryId { feed: a.id.feed, seq: b.id.seq };
            let arrival = b.id.seq;
            prop_assert_eq!(read_message_came(&message_came(&channel, arrival, &a, true)), Some((arrival, a, true)));
            prop_assert_eq!(read_change_came(&delete_came(&channel, arrival, &a, by.seq)), Some((a, by, false)));
            prop_assert_eq!(read_change_came(&edit_came(&channel, arrival, &a, by.seq, true)), Some((a, by, true)));
            prop_assert_eq!(read_named(&named(&a.id)), Some(a.id));
            prop_assert_eq!(read_taken(&taken_by(&channel, &a.id, by.seq)), Some((a.id, by)));
            prop_assert_eq!(message_at(&channel, &a).cmp(&message_at(&channel, &b)), a.cmp(&b));
        }
    }
}
