//! The view as plainly as it can be said: lists that are looked through.

use crate::histories::{CHANNELS, WRITERS, feed};
use kappadb_chat::{Content, StateKey, code, decode};
use kappadb_core::{EntryId, FeedKey, Lseq, Timestamp};
use kappadb_entry::Header;
use kappadb_entry::rules::{self, Version};
use kappadb_view::Arrived;
use kappadb_view_chat::{ChatIndex, PageQuery, Place, Row, Search, Terms};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Entries that are held.
#[derive(Debug, Clone, Default)]
pub struct Model(pub BTreeMap<EntryId, Arrived>);

struct Message {
    lseq: Lseq,
    channel: String,
    place: Place,
    text: Option<String>,
    deleted: bool,
}

fn moment(header: &Header) -> Option<(String, Timestamp)> {
    let moment = header.places.moments.first()?;
    Some((String::from_utf8(moment.channel.clone()).unwrap(), Timestamp(moment.from)))
}

fn counts(key: &[u8], arrived: &Arrived) -> bool {
    StateKey::decode(key).is_some_and(|key| key.may_be_written_by(&arrived.id.feed))
}

impl Model {
    pub fn of<'a>(held: impl IntoIterator<Item = &'a Arrived>) -> Model {
        Model(held.into_iter().map(|arrived| (arrived.id, arrived.clone())).collect())
    }

    fn deletes(&self) -> impl Iterator<Item = (&Arrived, EntryId)> {
        self.0.values().filter_map(|arrived| {
            let header = &arrived.entry.header;
            let [target] = header.context.ids[..] else { return None };
            (header.kind.code == code::DELETE && target.feed == arrived.id.feed).then_some((arrived, target))
        })
    }

    /// The edits of a message, as they stand at its place.
    fn edits(&self, channel: &str, place: Place) -> Vec<&Arrived> {
        let edits = self.0.values().filter(|arrived| {
            let header = &arrived.entry.header;
            header.kind.code == code::EDIT
                && header.context.ids == [place.id]
                && arrived.id.feed == place.id.feed
                && moment(header) == Some((channel.to_owned(), place.order))
        });
        edits.collect()
    }

    fn messages(&self) -> Vec<Message> {
        let mut messages = Vec::new();
        for arrived in self.0.values() {
            let header = &arrived.entry.header;
            let Some((channel, order)) = moment(header) else { continue };
            if header.key.is_some() || matches!(header.kind.code, code::DELETE | code::EDIT) {
                continue;
            }
            let deleted = self.deletes().any(|(delete, target)| {
                let at = moment(&delete.entry.header);
                target == arrived.id
                    && at == Some((channel.clone(), order))
                    && delete.entry.header.key.is_none()
            });
            let said = arrived.entry.payload.as_deref().map(|payload| decode(header, Some(payload)));
            let text = match said {
                Some(Ok(post)) => match post.content {
                    Content::Text(text) | Content::Emote(text) => Some(text),
                    _ => None,
                },
                _ => None,
            };
            messages.push(Message {
                lseq: arrived.lseq,
                channel,
                place: Place { order, id: arrived.id },
                text,
                deleted,
            });
        }
        messages.sort_by_key(|message| message.place);
        messages
    }

    pub fn page(&self, query: &PageQuery<'_>) -> Vec<Place> {
        let messages = self.messages().into_iter().filter(|m| m.channel == query.channel && !m.deleted);
        let within = |place: &Place| {
            let after = query.after.is_none_or(|after| match query.backwards {
                true => *place < after,
                false => *place > after,
            });
            after
                && (query.from..=query.to).contains(&place.order.0)
                && !query.except.contains(&place.id.feed)
        };
        let mut places: Vec<Place> = messages.map(|m| m.place).filter(within).collect();
        if query.backwards {
            places.reverse();
        }
        places.truncate(query.limit);
        places
    }

    /// What is due before what is not, then by place.
    fn last_posted(&self, channel: &str, now: Timestamp) -> Option<Place> {
        let places = self.messages().into_iter().filter(|m| m.channel == channel).map(|m| m.place);
        places.max_by_key(|place| (place.order <= now, *place))
    }

    fn posted(&self, channel: &str, now: Timestamp) -> Vec<Place> {
        let mut last: BTreeMap<FeedKey, Place> = BTreeMap::new();
        let mut places: Vec<Place> =
            self.messages().into_iter().filter(|m| m.channel == channel).map(|m| m.place).collect();
        places.sort_by_key(|place| (place.order <= now, *place));
        for place in places {
            last.insert(place.id.feed, place);
        }
        last.into_values().collect()
    }

    fn rows(&self, to: Timestamp, wanted: impl Fn(&Message) -> bool) -> Vec<Row> {
        let there = |m: &Message| !m.deleted && m.place.order <= to && wanted(m);
        let rows = self.messages().into_iter().filter(there);
        let mut rows: Vec<Row> = rows.map(|m| Row { channel: m.channel, place: m.place }).collect();
        rows.sort_by_key(|row| Reverse(row.place));
        rows
    }

    /// Every version of the keys that may be said, with what its author left of it.
    pub fn keys(&self) -> BTreeMap<Vec<u8>, Vec<Version>> {
        let mut keys: BTreeMap<Vec<u8>, Vec<Version>> = BTreeMap::new();
        for arrived in self.0.values() {
            let header = &arrived.entry.header;
            let Some(key) = &header.key else { continue };
            let kind_fits = StateKey::decode(key).is_some_and(|key| key.is_of(header.kind.code));
            if counts(key, arrived) && kind_fits {
                let taken = self.deletes().any(|(delete, target)| {
                    target == arrived.id && delete.entry.header.key.as_ref() == Some(key)
                });
                let versions = keys.entry(key.clone()).or_default();
                if !taken {
                    versions.push(Version::from_header(arrived.id, header));
                }
            }
        }
        keys
    }

    fn winner(&self, key: &[u8], now: Timestamp) -> Option<EntryId> {
        let mut active = Vec::new();
        for version in self.keys().remove(key).unwrap_or_default() {
            rules::insert(&mut active, version);
        }
        rules::winner(&rules::heads(&active), now).map(|version| version.id)
    }

    fn channels(&self) -> BTreeSet<String> {
        let posted = self.messages().into_iter().map(|m| m.channel);
        let keys = self.keys();
        let joined = keys.keys().filter_map(|key| match StateKey::decode(key) {
            Some(StateKey::Member { channel, .. }) => Some(channel.to_owned()),
            _ => None,
        });
        posted.chain(joined).collect()
    }
}

/// Searches as a person would: words lie between spaces.
fn has(text: &str, query: &str) -> bool {
    query.split(' ').all(|part| match part.strip_suffix('*') {
        Some(prefix) => text.split(' ').any(|word| word.starts_with(prefix)),
        None => text.split(' ').any(|word| word == part),
    })
}

pub const QUERIES: [&str; 7] = ["tea", "te*", "té", "日", "hot te*", "tea hot teapot", "cold"];
pub const NOWS: [Timestamp; 3] = [Timestamp(0), Timestamp(5), Timestamp(i64::MAX)];

/// Asks the index all that it can be asked, and compares.
pub fn compare(index: &ChatIndex, model: &Model) {
    assert_eq!(index.channels().unwrap(), model.channels());
    for now in NOWS {
        for channel in CHANNELS {
            compare_channel(index, model, channel, now);
        }
        for writer in 0..WRITERS {
            let feed = feed(writer);
            let expected = model.rows(now, |m| m.place.id.feed == feed);
            assert_eq!(index.by_author(&feed, now, usize::MAX).unwrap(), expected, "by {writer}");
            assert_eq!(index.by_author(&feed, now, 2).unwrap(), expected[..expected.len().min(2)]);
        }
        for key in model.keys().keys() {
            let winner = index.winner(key, now).unwrap().map(|version| version.id);
            assert_eq!(winner, model.winner(key, now), "{key:?} by {now:?}");
        }
        compare_prefixes(index, model, now);
        for query in QUERIES {
            compare_search(index, model, query, now);
        }
    }
}

fn compare_channel(index: &ChatIndex, model: &Model, channel: &str, now: Timestamp) {
    let (nobody, some) = (BTreeSet::new(), BTreeSet::from([feed(0), feed(3)]));
    let windows =
        [(i64::MIN, now.0), (0, now.0), (-1, 5), (i64::MIN, i64::MIN), (i64::MAX, i64::MAX), (5, -1)];
    for (from, to) in windows {
        for (backwards, except) in [(true, &nobody), (false, &nobody), (true, &some)] {
            let all = PageQuery { channel, from, to, backwards, after: None, limit: usize::MAX, except };
            let expected = model.page(&all);
            assert_eq!(index.page(&all).unwrap(), expected, "{all:?}");
            if backwards {
                assert_eq!(index.by_others(&all).unwrap(), expected, "by others {all:?}");
                let few = PageQuery { limit: 2, ..all.clone() };
                assert_eq!(index.by_others(&few).unwrap(), expected[..expected.len().min(2)]);
            }
            // By pages of two, from place to place.
            let (mut pages, mut query) = (Vec::new(), PageQuery { limit: 2, ..all.clone() });
            loop {
                let page = index.page(&query).unwrap();
                pages.extend(page.iter().copied());
                let Some(last) = page.last().filter(|_| page.len() == 2) else { break };
                query.after = Some(*last);
            }
            assert_eq!(pages, expected, "by pages: {all:?}");
        }
    }
    assert_eq!(index.last_posted(channel, now).unwrap(), model.last_posted(channel, now));
    assert_eq!(index.posted(channel, now).unwrap(), model.posted(channel, now), "{channel} by {now:?}");
    compare_what_came(index, model, channel);
    for message in model.messages() {
        let edits: Vec<EntryId> = model.edits(channel, message.place).iter().map(|edit| edit.id).collect();
        assert_eq!(index.edits(channel, &message.place).unwrap(), edits, "{:?}", message.place);
        let there = message.channel == channel && !message.deleted;
        assert_eq!(index.is_there(channel, &message.place).unwrap(), there, "{:?}", message.place);
    }
}

fn calls(edit: &Arrived) -> bool {
    let said = decode(&edit.entry.header, edit.entry.payload.as_deref());
    matches!(said.map(|post| post.content), Ok(Content::Edit { text, .. }) if text.contains('@'))
}

fn compare_what_came(index: &ChatIndex, model: &Model, channel: &str) {
    let mut expected: Vec<Message> = model.messages().into_iter().filter(|m| m.channel == channel).collect();
    expected.sort_by_key(|message| message.lseq);
    for from in [0, 3, 10] {
        let mut came = Vec::new();
        index.came(channel, from, |one| came.push((one.lseq, one.place, one.calls))).unwrap();
        let there = expected.iter().filter(|m| m.lseq >= from && !m.deleted);
        let edited = |m: &Message| model.edits(channel, m.place).iter().any(|edit| calls(edit));
        let calls = |m: &Message| m.text.as_ref().is_some_and(|text| text.contains('@')) || edited(m);
        assert_eq!(
            came,
            there.map(|m| (m.lseq, m.place, calls(m))).collect::<Vec<_>>(),
            "{channel} from {from}"
        );
    }
}

fn compare_prefixes(index: &ChatIndex, model: &Model, now: Timestamp) {
    let mut prefixes = vec![Vec::new(), b"t".to_vec(), b"f".to_vec(), kappadb_chat::flags_in("")];
    prefixes.extend(CHANNELS.map(kappadb_chat::members_of));
    prefixes.extend((0..WRITERS).map(|n| kappadb_chat::profile_of(&feed(n))));
    for prefix in prefixes {
        let winners = index.winners(&prefix, now).unwrap();
        let found: BTreeMap<Vec<u8>, EntryId> = winners.into_iter().map(|(key, v)| (key, v.id)).collect();
        let keys = model.keys();
        let expected = keys.keys().filter(|key| key.starts_with(&prefix));
        let expected = expected.filter_map(|key| Some((key.clone(), model.winner(key, now)?)));
        assert_eq!(found, expected.collect(), "{prefix:?}");
    }
}

fn compare_search(index: &ChatIndex, model: &Model, query: &str, now: Timestamp) {
    let terms = Terms::parse(query);
    for channel in [None, Some("a/b")] {
        let expected = model.rows(now, |m| {
            m.text.as_ref().is_some_and(|text| has(text, query)) && channel.is_none_or(|c| c == m.channel)
        });
        let all = Search { terms: &terms, channel, to: now, after: None, limit: usize::MAX };
        assert_eq!(index.search(&all).unwrap(), expected, "{query:?}");
        let first = Search { limit: 1, ..all.clone() };
        let first = index.search(&first).unwrap();
        assert_eq!(first, expected[..expected.len().min(1)]);
        let rest = Search { after: first.first().map(|row| row.place), ..all };
        let skipped =
            expected.iter().take_while(|row| rest.after.is_some_and(|after| row.place >= after)).count();
        assert_eq!(index.search(&rest).unwrap(), expected[skipped..]);
    }
}
