//! Property 2: after a question, the asker's own answer is that over the union of what both hold.

use crate::fixture::Fixture;
use crate::histories::{CHANNELS, feed, histories};
use crate::model::{Model, NOWS};
use kappadb_chat::{FLAGS, StateKey, flags_in, members_of, profile_of};
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_query::Selector;
use kappadb_view::Arrived;
use kappadb_view_chat::{Ask, ChatIndex, PageQuery, Place};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What three replicas hold: the asker, and two peers that are sparse themselves.
fn held() -> impl Strategy<Value = (Vec<Arrived>, [u64; 3])> {
    (histories(40), any::<u64>(), any::<u64>(), prop_oneof![Just(u64::MAX), any::<u64>()])
        .prop_map(|(history, asker, peer, other)| (history, [asker & peer.rotate_left(7), peer, other]))
}

fn part(history: &[Arrived], mask: u64) -> Vec<&Arrived> {
    history.iter().enumerate().filter(|(n, _)| mask >> (n % 64) & 1 == 1).map(|(_, a)| a).collect()
}

struct World {
    history: BTreeMap<EntryId, Arrived>,
    asker: BTreeSet<EntryId>,
    peers: Vec<Fixture>,
    union: Fixture,
    /// Feeds that the asker dropped.
    dropped: BTreeSet<FeedKey>,
}

impl World {
    fn new(history: &[Arrived], masks: [u64; 3]) -> World {
        World::without(history, masks, BTreeSet::new())
    }

    fn without(history: &[Arrived], masks: [u64; 3], dropped: BTreeSet<FeedKey>) -> World {
        let kept =
            |mask| part(history, mask).into_iter().filter(|arrived| !dropped.contains(&arrived.id.feed));
        let all: BTreeSet<EntryId> = masks.into_iter().flat_map(kept).map(|arrived| arrived.id).collect();
        World {
            history: history.iter().map(|arrived| (arrived.id, arrived.clone())).collect(),
            asker: kept(masks[0]).map(|arrived| arrived.id).collect(),
            peers: masks[1..].iter().map(|mask| Fixture::of(part(history, *mask))).collect(),
            union: Fixture::of(history.iter().filter(|arrived| all.contains(&arrived.id))),
            dropped,
        }
    }

    /// Asks all peers.
    fn ask(&mut self, selector: &Selector) {
        for peer in &self.peers {
            self.asker.extend(peer.matches_without(selector, &self.dropped));
        }
    }

    /// Asks for what these call themselves.
    fn ask_names(&mut self, feeds: impl Iterator<Item = FeedKey>) {
        self.ask(&Selector::keys(feeds.map(|feed| StateKey::Profile { feed, field: "nick" }.encode())));
    }

    fn view(&self) -> Fixture {
        Fixture::of(self.asker.iter().map(|id| &self.history[id]))
    }

    /// Asks, and compares what the asker's view says with what the union's says.
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, selector: &Selector, look: impl Fn(&ChatIndex) -> T) {
        self.ask(selector);
        assert_eq!(look(&self.view().index), look(&self.union.index), "{selector:?}");
    }
}

fn winners(index: &ChatIndex, prefix: &[u8]) -> Vec<Vec<(Vec<u8>, EntryId)>> {
    let at = |now| index.winners(prefix, now).unwrap().into_iter().map(|(key, v)| (key, v.id)).collect();
    NOWS.into_iter().map(at).collect()
}

fn winner(index: &ChatIndex, key: StateKey<'_>) -> Vec<Option<EntryId>> {
    NOWS.into_iter().map(|now| index.winner(&key.encode(), now).unwrap().map(|v| v.id)).collect()
}

fn about(index: &ChatIndex, channel: &str) -> impl PartialEq + std::fmt::Debug + use<> {
    let said = [StateKey::Topic(channel), StateKey::Archive(channel)].map(|key| winner(index, key));
    (said, winners(index, &flags_in("")), winners(index, &flags_in(channel)))
}

fn nick(index: &ChatIndex, feed: FeedKey) -> Vec<Option<EntryId>> {
    winner(index, StateKey::Profile { feed, field: "nick" })
}

const WINDOWS: [(i64, i64); 4] = [(i64::MIN, i64::MAX), (0, 5), (i64::MIN, -1), (9, 9)];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_window((history, masks) in held()) {
        for (channel, (from, to)) in CHANNELS.into_iter().zip(WINDOWS) {
            let selector = Selector::Window { channel: channel.as_bytes().to_vec(), from, to };
            World::new(&history, masks).same(&selector, |index| {
                let all = PageQuery::latest(channel, Timestamp(to), usize::MAX);
                index.page(&PageQuery { from, ..all }).unwrap()
            });
        }
    }

    #[test]
    fn the_latest_of_a_channel(
        (history, masks) in held(), channel in prop::sample::select(&CHANNELS[..]), (from, to) in prop::sample::select(&WINDOWS[..]),
        wanted in 1..5u32, backwards: bool, dropped: bool,
    ) {
        let dropped = Some(feed(1)).into_iter().filter(|_| dropped).collect();
        let mut world = World::without(&history, masks, dropped);
        let page = |index: &ChatIndex, limit: u32| {
            let all = PageQuery::latest(channel, Timestamp(to), limit as usize);
            index.page(&PageQuery { from, backwards, ..all }).unwrap()
        };
        // As long as the asker's own deletes leave fewer, more is asked for.
        let mut limit = wanted;
        loop {
            let ask = Ask::Screen { channel: channel.to_owned(), from, to, limit, backwards, ahead: 0 };
            world.ask(&ask.selector());
            let there = page(&world.view().index, limit).len();
            if there >= wanted as usize {
                break;
            }
            prop_assert!(limit < 1_000, "the asker never ends");
            if there < limit as usize && limit > 64 {
                break;
            }
            limit *= 2;
        }
        // Peers know the names of the authors of what they hold themselves.
        let shown = page(&world.view().index, wanted);
        world.ask_names(shown.iter().map(|place| place.id.feed));
        let (view, union) = (world.view(), &world.union);
        prop_assert_eq!(&shown, &page(&union.index, wanted));
        prop_assert_eq!(about(&view.index, channel), about(&union.index, channel));
        for Place { id, .. } in shown {
            prop_assert_eq!(nick(&view.index, id.feed), nick(&union.index, id.feed));
        }
    }

    #[test]
    fn what_is_ahead_of_the_askers_clock(
        (history, masks) in held(), channel in prop::sample::select(&CHANNELS[..]), now in prop::sample::select(&NOWS[..]),
        limit in 1..4u32, wanted in 0..6u32,
    ) {
        let ask = Ask::Screen {
            channel: channel.to_owned(), from: i64::MIN, to: now.0, limit, backwards: true, ahead: wanted,
        };
        // Whoever holds nothing learns from a peer as much of it as there is, up to what was wanted.
        World::new(&history, [0, masks[1], 0]).same(&ask.selector(), |index| {
            let all = PageQuery::latest(channel, Timestamp(i64::MAX), wanted as usize);
            let from = now.0.checked_add(1);
            from.map(|from| index.page(&PageQuery { from, backwards: false, ..all }).unwrap())
        });
    }

    #[test]
    fn the_state_of_a_channel((history, masks) in held(), channel in prop::sample::select(&CHANNELS[..])) {
        for now in NOWS {
            let selector = Ask::State { channel: channel.to_owned(), to: now.0 }.selector();
            let mut world = World::new(&history, masks);
            world.ask(&selector);
            let view = world.view().index;
            let posted = view.posted(channel, now).unwrap().into_iter().map(|place| place.id.feed);
            let joined = winners(&view, &members_of(channel)).into_iter().flatten().map(|(_, id)| id.feed);
            let feeds: BTreeSet<FeedKey> = posted.chain(joined).collect();
            world.ask_names(feeds.iter().copied());
            world.same(&selector, |index| {
                let posted = index.posted(channel, now).unwrap();
                let names: Vec<_> = feeds.iter().map(|feed| nick(index, *feed)).collect();
                (posted, winners(index, &members_of(channel)), names, about(index, channel))
            });
        }
    }

    #[test]
    fn which_channels_there_are((history, masks) in held()) {
        for now in NOWS {
            World::new(&history, masks).same(&Ask::Channels { to: now.0 }.selector(), |index| {
                let names = index.channels().unwrap();
                let said = |name| [StateKey::Topic(name), StateKey::Archive(name)].map(|key| winner(index, key));
                let about: Vec<_> = names.iter().map(|name| said(name)).collect();
                let last: Vec<_> = names.iter().map(|name| index.last_posted(name, now).unwrap()).collect();
                let joined = |name: &String| index.first_member(name).unwrap();
                let joined: Vec<_> = names.iter().map(joined).collect();
                let spelled = |name: &String| index.first_joined(name, now).unwrap();
                let spelled: Vec<_> = names.iter().map(spelled).collect();
                (names, about, last, joined, spelled)
            });
        }
    }

    #[test]
    fn what_one_wrote_what_it_says_of_itself_and_all_flags((history, masks) in held(), writer in 0..4u8) {
        let feed = feed(writer);
        World::new(&history, masks).same(&Ask::Author(feed).selector(), |index| {
            NOWS.map(|now| index.by_author(&feed, now, usize::MAX).unwrap())
        });
        World::new(&history, masks).same(&Ask::Profile(feed).selector(), |index| winners(index, &profile_of(&feed)));
        World::new(&history, masks).same(&Ask::Flags.selector(), |index| winners(index, FLAGS));
        let prefix = members_of(CHANNELS[1]);
        World::new(&history, masks).same(&Selector::Prefix(prefix.clone()), |index| winners(index, &prefix));
        let keys = [StateKey::Topic(CHANNELS[0]), StateKey::Archive(CHANNELS[1])];
        let selector = Selector::keys(keys.map(|key| key.encode()));
        World::new(&history, masks).same(&selector, |index| keys.map(|key| winner(index, key)));
    }

    #[test]
    fn everything((history, masks) in held()) {
        let mut world = World::new(&history, masks);
        world.ask(&Selector::Everything);
        prop_assert_eq!(world.asker, Model::of(&history).0.into_keys().filter(|id| {
            masks.iter().any(|mask| part(&history, *mask).iter().any(|arrived| arrived.id == *id))
        }).collect());
    }

    #[test]
    fn what_is_sent_is_little(history in histories(40), channel in prop::sample::select(&CHANNELS[..]), limit in 1..4u32) {
        // Messages: those of the window down to the last that is wanted, and what deletes them; nothing beyond it.
        let peer = Fixture::of(&history);
        let page = peer.index.page(&PageQuery::latest(channel, Timestamp(9), limit as usize)).unwrap();
        let ask = Ask::Screen { channel: channel.to_owned(), from: i64::MIN, to: 9, limit, backwards: true, ahead: 0 };
        let sent = peer.matches(&ask.selector());
        let bound = page.last().filter(|_| page.len() == limit as usize).map_or(i64::MIN, |place| place.order.0);
        let sent = history.iter().filter(|arrived| sent.contains(&arrived.id) && arrived.entry.header.key.is_none());
        for arrived in sent {
            let moment = &arrived.entry.header.places.moments[0];
            prop_assert!((bound..=9).contains(&moment.from), "{} is beyond {bound}", moment.from);
            prop_assert_eq!(&moment.channel[..], channel.as_bytes());
        }
    }
}
