//! Random histories of a few writers in a few channels: what honest writers write, and what others might.

use bytes::Bytes;
use kappadb_chat::{Channel, Content, Flag, Prepared, StateKey, code, prepare};
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_entry::{Entry, Header, Kind, Moment, Places, space};
use kappadb_view::Arrived;
use proptest::prelude::*;

/// One name is the beginning of the other, and both could be part of a path.
pub const CHANNELS: [&str; 3] = ["a", "a/b", "größe"];
pub const WORDS: [&str; 6] = ["tea", "teapot", "té", "日", "hot", "@anna"];
/// The edges of time, some moments, and what is not due.
pub const TIMES: [i64; 8] = [i64::MIN, i64::MIN + 1, -1, 0, 1, 5, 9, i64::MAX];
pub const WRITERS: u8 = 4;

pub fn feed(n: u8) -> FeedKey {
    // The last is above all other bytes: what lies after its rows is nothing of its.
    FeedKey([if n + 1 == WRITERS { 0xff } else { n + 1 }; 32])
}

#[derive(Debug, Clone)]
pub struct Step {
    writer: u8,
    channel: usize,
    order: i64,
    what: What,
    /// Which of the versions of a key are known to the writer.
    sees: u64,
}

#[derive(Debug, Clone)]
enum What {
    Say {
        words: Vec<usize>,
        emote: bool,
    },
    Topic(usize),
    Join,
    Leave,
    Profile(bool),
    Archive(bool),
    Flags(u8),
    /// Takes back an earlier entry, or one that is still to come.
    Delete {
        target: prop::sample::Index,
        lie: Lie,
    },
    /// Says something else in one: it may mention somebody.
    Edit {
        target: prop::sample::Index,
        lie: Lie,
        calls: bool,
    },
    /// A kind that nobody knows, with a moment or without anything.
    Unknown(bool),
    /// A text whose payload is noise, or cleared.
    Damaged(bool),
    /// A key that is another's, or none at all.
    Foreign(u8),
}

#[derive(Debug, Clone, Copy)]
enum Lie {
    None,
    Author,
    Channel,
    Time,
    Two,
}

fn what() -> impl Strategy<Value = What> {
    let lies = [Lie::None, Lie::None, Lie::None, Lie::Author, Lie::Channel, Lie::Time, Lie::Two];
    prop_oneof![
        8 => (prop::collection::vec(0..WORDS.len(), 1..4), any::<bool>()).prop_map(|(words, emote)| What::Say { words, emote }),
        2 => (0..3usize).prop_map(What::Topic),
        2 => Just(What::Join),
        2 => Just(What::Leave),
        1 => any::<bool>().prop_map(What::Profile),
        1 => any::<bool>().prop_map(What::Archive),
        1 => (0..WRITERS).prop_map(What::Flags),
        5 => (any::<prop::sample::Index>(), prop::sample::select(lies.to_vec())).prop_map(|(target, lie)| What::Delete { target, lie }),
        3 => (any::<prop::sample::Index>(), prop::sample::select(lies.to_vec()), any::<bool>()).prop_map(|(target, lie, calls)| What::Edit { target, lie, calls }),
        1 => any::<bool>().prop_map(What::Unknown),
        1 => any::<bool>().prop_map(What::Damaged),
        1 => (0..4u8).prop_map(What::Foreign),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    (0..WRITERS, 0..CHANNELS.len(), prop::sample::select(&TIMES[..]), what(), any::<u64>())
        .prop_map(|(writer, channel, order, what, sees)| Step { writer, channel, order, what, sees })
}

/// The entries of a history, in the order of writing.
pub fn histories(most: usize) -> impl Strategy<Value = Vec<Arrived>> {
    prop::collection::vec(step(), 1..most).prop_map(|steps| {
        // Targets are places in the history, so deletes are written last; they keep their numbers.
        let mut seqs = [0u64; WRITERS as usize];
        let ids: Vec<EntryId> = steps
            .iter()
            .map(|step| {
                let seq = &mut seqs[usize::from(step.writer)];
                *seq += 1;
                EntryId { feed: feed(step.writer), seq: *seq - 1 }
            })
            .collect();
        let mut written: Vec<Option<Arrived>> = vec![None; steps.len()];
        for last in [false, true] {
            for (at, step) in steps.iter().enumerate() {
                if matches!(step.what, What::Delete { .. } | What::Edit { .. }) == last {
                    written[at] = write(step, ids[at], &written, &ids);
                }
            }
        }
        let arrived = (0..).zip(written.into_iter().flatten());
        arrived.map(|(lseq, arrived)| Arrived { lseq, ..arrived }).collect()
    })
}

fn channel(n: usize) -> Channel {
    Channel::new(CHANNELS[n % CHANNELS.len()]).unwrap()
}

fn write(step: &Step, id: EntryId, written: &[Option<Arrived>], ids: &[EntryId]) -> Option<Arrived> {
    let (here, order) = (channel(step.channel), Timestamp(step.order));
    let say = |content: Content| prepare(&id.feed, &content, Some(&here), order).unwrap();
    let text = |words: &[usize]| words.iter().map(|n| WORDS[*n]).collect::<Vec<_>>().join(" ");
    let prepared = match &step.what {
        What::Say { words, emote: false } => say(Content::Text(text(words))),
        What::Say { words, emote: true } => say(Content::Emote(text(words))),
        What::Topic(n) => say(Content::Topic(["", "tea", "hot"][*n].to_owned())),
        What::Join => say(Content::Join),
        What::Leave => say(Content::Leave),
        What::Profile(nick) => {
            let field = if *nick { "nick" } else { "a/b" };
            say(Content::Profile { field: field.to_owned(), value: format!("w{}", id.seq) })
        }
        What::Archive(true) => say(Content::Archive { reason: String::new() }),
        What::Archive(false) => say(Content::Unarchive { reason: "again".to_owned() }),
        What::Flags(target) => {
            let scope = Some(here.clone()).filter(|_| step.sees & 1 == 1);
            say(Content::Flags {
                scope,
                target: feed(*target),
                flags: vec![Flag::Hide],
                reason: String::new(),
            })
        }
        What::Delete { target, lie } => delete(step, id, target.index(written.len()), *lie, written, ids)?,
        What::Edit { target, lie, calls } => {
            // Words that no query has: what is found does not depend on what lies in one segment.
            let text = if *calls { "hello @anna" } else { "hello" };
            let said = say(Content::Edit { target: id, text: text.to_owned() });
            let place = delete(step, id, target.index(written.len()), *lie, written, ids)?;
            Prepared { key: None, context: place.context, places: place.places, ..said }
        }
        What::Unknown(placed) => {
            let mut unknown = say(Content::Text("new".to_owned()));
            unknown.kind.code = 99;
            unknown.places = if *placed { unknown.places } else { Places::NOWHERE };
            unknown
        }
        What::Damaged(_) => say(Content::Text("lost".to_owned())),
        What::Foreign(n) => foreign(*n, id, &here, order),
    };
    let payload = match &step.what {
        What::Damaged(true) => Some(Bytes::from_static(b"noise")),
        What::Damaged(false) => None,
        _ => Some(Bytes::from(prepared.payload)),
    };
    let mut header =
        Header { key: prepared.key, places: prepared.places, ..Header::new(prepared.kind, order) };
    header.context = prepared.context;
    if let Some(key) = &header.key
        && header.kind.code != code::DELETE
    {
        let versions = versions(written, key, step.sees, &id.feed);
        let heads: Vec<EntryId> = rules::heads(&versions).iter().map(|v| v.id).collect();
        rules::succeed(&versions, &heads, &id.feed).apply_to(&mut header);
    }
    Some(Arrived { lseq: 0, id, entry: Entry { header, payload } })
}

/// What a writer knows of a key: its own, and some of the others'.
fn versions(written: &[Option<Arrived>], key: &[u8], sees: u64, writer: &FeedKey) -> Vec<Version> {
    let mut active = Vec::new();
    for (n, arrived) in written.iter().enumerate() {
        let Some(Arrived { id, entry, .. }) = arrived else { continue };
        let seen = sees >> (n % 64) & 1 == 1 || id.feed == *writer;
        if seen && entry.header.key.as_deref() == Some(key) {
            rules::insert(&mut active, Version::from_header(*id, &entry.header));
        }
    }
    active
}

fn delete(
    step: &Step,
    id: EntryId,
    at: usize,
    lie: Lie,
    written: &[Option<Arrived>],
    ids: &[EntryId],
) -> Option<Prepared> {
    // One's own nearest entry, for others' are not worth a try every time.
    let own = |n: &usize| ids[*n].feed == id.feed && ids[*n] != id && written[*n].is_some();
    let at = (at..ids.len()).chain(0..at).find(|n| own(n))?;
    let target = written[at].as_ref()?;
    let moment = target.entry.header.places.moments.first();
    let order = moment.map_or(target.entry.header.time, |moment| Timestamp(moment.from));
    let name = moment.map_or(CHANNELS[0], |moment| std::str::from_utf8(&moment.channel).unwrap());
    let (mut here, mut order) = (Channel::new(name).unwrap(), order);
    match lie {
        Lie::Channel => here = channel(step.channel),
        Lie::Time => order = Timestamp(step.order),
        _ => {}
    }
    let content = Content::Delete { target: target.id, key: target.entry.header.key.clone(), order };
    let mut prepared = prepare(&id.feed, &content, Some(&here), order).unwrap();
    match lie {
        Lie::Author => prepared.context.ids = vec![EntryId { feed: feed(step.writer ^ 1), ..target.id }],
        Lie::Two => prepared.context.ids.push(EntryId { seq: target.id.seq + 1, ..target.id }),
        _ => {}
    }
    Some(prepared)
}

/// What does not belong: it must be sent to those who ask for everything, and change nothing.
fn foreign(n: u8, id: EntryId, here: &Channel, order: Timestamp) -> Prepared {
    let other = FeedKey([0x77; 32]);
    let said = prepare(&id.feed, &Content::Join, Some(here), order).unwrap();
    let (key, code) = match n {
        0 => (StateKey::Member { channel: &here.folded, feed: other }.encode(), code::JOIN),
        1 => (StateKey::Profile { feed: other, field: "nick" }.encode(), code::PROFILE),
        // A kind that cannot be about this.
        2 => (StateKey::Topic(&here.folded).encode(), code::JOIN),
        _ => (b"t\0not a name".to_vec(), code::TOPIC),
    };
    // With a moment, to look like a message.
    let from = order.0;
    let moment = Moment { channel: here.folded.as_bytes().to_vec(), from, to: from };
    let places = Places::new(Vec::new(), vec![moment]);
    Prepared { kind: Kind { space: space::CHAT, code }, key: Some(key), places, ..said }
}
