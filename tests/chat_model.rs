//! Chat against a plain model of it, through what everybody calls: three writers whose clocks are apart, two replicas that fetch everything and one
//! that fetches what it asks for, at random.

use kappadb::{
    Chat, ChatFlag, Clock, Conversation, Database, EntryId, FeedKey, FlagChange, Marks, ReadOptions,
    SearchOptions, Server, Trusted,
};
use kappadb_sim::{Random, seeds};
use kappadb_tests::house::{Hand, House, serve};
use std::collections::{BTreeMap, BTreeSet};

const STEPS: u64 = 110;
const CHANNELS: [&str; 3] = ["tea", "coffee", "milk"];
const WORDS: [&str; 5] = ["black", "green", "white", "@anna", "@bert"];
const NICKS: [&str; 3] = ["anna", "bert", "carl"];
/// This one fetches what it asks for. The first knows all others, and they know it alone.
const SPARSE: usize = 2;

/// What somebody wrote.
#[derive(Debug, Clone)]
enum What {
    Post { order: i64, text: String },
    Delete { target: EntryId },
    Edit { target: EntryId, text: String },
    Join,
    Leave,
}

#[derive(Debug, Clone)]
struct Event {
    id: EntryId,
    channel: usize,
    what: What,
}

/// A replica, and what the model knows of it.
struct Side {
    database: Database,
    server: Server,
    clock: Hand,
    me: FeedKey,
    /// Which of all events are held.
    held: BTreeSet<usize>,
    /// Messages marked as read.
    read: BTreeSet<EntryId>,
    /// Whom it hides, where.
    hides: BTreeSet<(FeedKey, usize)>,
}

struct World {
    sides: Vec<Side>,
    events: Vec<Event>,
    random: Random,
    _house: House,
}

/// A message as the model shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Shown {
    order: i64,
    id: EntryId,
    text: String,
}

impl World {
    async fn new(seed: u64) -> World {
        let house = House::new();
        let mut sides: Vec<Side> = Vec::new();
        for (n, nick) in NICKS.into_iter().enumerate() {
            let clock = Hand::default();
            clock.at(10_000_000 + 3_000_000 * n as i64);
            let builder = Database::builder(house.path(nick)).clock(clock.clone());
            let database = match sides.first() {
                None => builder.create().await,
                Some(first) => builder.join(&first.server.ticket()).await,
            };
            let database = database.unwrap();
            database.chat().set_profile("nick", nick).await.unwrap();
            // Here each hides for itself alone; by default who founded the database is an admin.
            database.chat().set_trusted(Trusted::default()).await.unwrap();
            let (server, me) = (serve(&database).await, database.writer().await.unwrap());
            if let Some(first) = sides.first() {
                first.database.add_peer(&server.ticket(), None).await.unwrap();
            }
            let (held, read, hides) = Default::default();
            sides.push(Side { database, server, clock, me, held, read, hides });
        }
        World { sides, events: Vec::new(), random: Random::new(seed), _house: house }
    }

    fn chat(&self, who: usize) -> Chat {
        self.sides[who].database.chat()
    }

    fn now(&self, who: usize) -> i64 {
        self.sides[who].clock.now().0
    }

    /// What a replica knows once it has asked: the sparse one all that the first holds, and its own.
    fn known(&self, who: usize) -> BTreeSet<usize> {
        let own = &self.sides[who].held;
        if who == SPARSE { own.union(&self.sides[0].held).copied().collect() } else { own.clone() }
    }

    fn events(&self, known: &BTreeSet<usize>, channel: usize) -> Vec<&Event> {
        known.iter().map(|n| &self.events[*n]).filter(|event| event.channel == channel).collect()
    }

    /// All messages of a channel that are not deleted, whatever the time, as they say now.
    fn messages(&self, known: &BTreeSet<usize>, channel: usize) -> Vec<Shown> {
        let events = self.events(known, channel);
        let mut messages = Vec::new();
        for event in &events {
            let What::Post { order, text } = &event.what else { continue };
            let id = event.id;
            if events.iter().any(|other| matches!(&other.what, What::Delete { target } if *target == id)) {
                continue;
            }
            let edits = events.iter().filter_map(|other| match &other.what {
                What::Edit { target, text } if *target == id => Some((other.id.seq, text)),
                _ => None,
            });
            let text = edits.max().map_or(text, |(_, text)| text).clone();
            messages.push(Shown { order: *order, id, text });
        }
        messages.sort();
        messages
    }

    /// What is shown of a channel, the latest first.
    fn page(&self, who: usize, channel: usize) -> Vec<Shown> {
        let (now, hides) = (self.now(who), &self.sides[who].hides);
        let mut shown = self.messages(&self.known(who), channel);
        shown.retain(|message| message.order <= now && !hides.contains(&(message.id.feed, channel)));
        shown.reverse();
        shown
    }

    fn members(&self, known: &BTreeSet<usize>, channel: usize) -> BTreeSet<FeedKey> {
        // What each said last of being there, in the order of its feed.
        let mut last: BTreeMap<FeedKey, (u64, bool)> = BTreeMap::new();
        for event in self.events(known, channel) {
            let there = match event.what {
                What::Post { .. } | What::Join => true,
                What::Leave => false,
                What::Delete { .. } | What::Edit { .. } => continue,
            };
            let said = last.entry(event.id.feed).or_insert((event.id.seq, there));
            *said = (*said).max((event.id.seq, there));
        }
        last.into_iter().filter(|(_, (_, there))| *there).map(|(feed, _)| feed).collect()
    }

    /// A channel is there while it has a message, or somebody who joined.
    fn is_live(&self, known: &BTreeSet<usize>, channel: usize) -> bool {
        let mut joined: BTreeMap<FeedKey, (u64, bool)> = BTreeMap::new();
        for event in self.events(known, channel) {
            if let What::Join | What::Leave = event.what {
                let said = (event.id.seq, matches!(event.what, What::Join));
                let last = joined.entry(event.id.feed).or_insert(said);
                *last = said.max(*last);
            }
        }
        !self.messages(known, channel).is_empty() || joined.values().any(|(_, joined)| *joined)
    }

    /// Messages and mentions that are unread.
    fn unread(&self, who: usize, channel: usize) -> (u64, u64) {
        let Side { me, read, .. } = &self.sides[who];
        let mut messages = self.page(who, channel);
        messages.retain(|message| message.id.feed != *me && !read.contains(&message.id));
        let name = format!("@{}", NICKS[who]);
        let mentions =
            messages.iter().filter(|message| message.text.split(' ').any(|word| word == name)).count();
        (messages.len() as u64, mentions as u64)
    }

    fn note(&mut self, who: usize, id: EntryId, channel: usize, what: What) {
        self.events.push(Event { id, channel, what });
        self.sides[who].held.insert(self.events.len() - 1);
    }

    fn text(&mut self) -> String {
        let count = 1 + self.random.index(3);
        (0..count).map(|_| *self.random.pick(&WORDS)).collect::<Vec<_>>().join(" ")
    }

    /// A message of its own that is there, if there is one.
    fn own(&mut self, who: usize, channel: usize) -> Option<EntryId> {
        let (me, held) = (self.sides[who].me, self.sides[who].held.clone());
        let own: Vec<EntryId> = self
            .messages(&held, channel)
            .iter()
            .map(|message| message.id)
            .filter(|id| id.feed == me)
            .collect();
        (!own.is_empty()).then(|| *self.random.pick(&own))
    }

    async fn advance(&mut self) {
        let (who, channel) = (self.random.index(3), self.random.index(3));
        let (chat, name) = (self.chat(who), CHANNELS[channel]);
        match self.random.below(100) {
            0..30 => self.post(who, channel).await,
            30..38 => {
                if let Some(target) = self.own(who, channel) {
                    let id = chat.delete(target).await.unwrap();
                    self.note(who, id, channel, What::Delete { target });
                }
            }
            38..46 => {
                if let Some(target) = self.own(who, channel) {
                    let text = self.text();
                    let id = chat.edit(target, &text, None).await.unwrap();
                    self.note(who, id, channel, What::Edit { target, text });
                }
            }
            46..52 => {
                let id = chat.join(name).await.unwrap();
                self.note(who, id, channel, What::Join);
            }
            52..56 => self.leave(who, channel).await,
            56..62 => self.hide(who, channel).await,
            62..75 => {
                let by = self.random.between(0, 400_000) as i64 - 100_000;
                let clock = &self.sides[who].clock;
                clock.at(clock.now().0 + by);
            }
            75..90 => {
                let full = self.random.index(SPARSE);
                self.fetch(full).await;
            }
            _ => self.mark(who, channel).await,
        }
    }

    /// Its order time is after all that is due and held here.
    async fn post(&mut self, who: usize, channel: usize) {
        let text = self.text();
        let now = self.now(who);
        let chat = self.chat(who);
        if who == SPARSE {
            // So that what it can see is known.
            chat.ask(CHANNELS[channel], &ReadOptions::latest(1)).await.unwrap();
            self.sides[who].held = self.known(who);
        }
        let before = self.messages(&self.sides[who].held, channel);
        let latest = before.iter().map(|message| message.order).filter(|order| *order <= now).max();
        let order = latest.map_or(now, |latest| now.max(latest + 1));
        let id = chat.post(CHANNELS[channel], &text).await.unwrap();
        self.note(who, id, channel, What::Post { order, text });
    }

    async fn leave(&mut self, who: usize, channel: usize) {
        let left = self.chat(who).leave(CHANNELS[channel]).await;
        let held = &self.sides[who].held;
        // The sparse one may have fetched more than is noted of it.
        assert!(left.is_ok() || !self.is_live(held, channel), "{left:?}");
        if let Ok(id) = left {
            self.note(who, id, channel, What::Leave);
        }
    }

    async fn hide(&mut self, who: usize, channel: usize) {
        let target = self.sides[(who + 1 + self.random.index(2)) % 3].me;
        let hide = self.random.chance(60);
        let flags = if hide { vec![ChatFlag::Hide] } else { Vec::new() };
        self.chat(who).flag(Some(CHANNELS[channel]), target, FlagChange::Set(flags), "").await.unwrap();
        match hide {
            true => self.sides[who].hides.insert((target, channel)),
            false => self.sides[who].hides.remove(&(target, channel)),
        };
    }

    /// Fetches all that the peers hold.
    async fn fetch(&mut self, who: usize) {
        let asked = self.chat(who).ask_everything().await.unwrap();
        assert!(asked.failures.is_empty(), "{asked:?}");
        let peers = if who == 0 { vec![1, SPARSE] } else { vec![0] };
        for peer in peers {
            let theirs = self.sides[peer].held.clone();
            self.sides[who].held.extend(theirs);
        }
    }

    async fn mark(&mut self, who: usize, channel: usize) {
        let chat = self.chat(who);
        if who == SPARSE {
            chat.ask(CHANNELS[channel], &ReadOptions::default()).await.unwrap();
        }
        let shown = if self.random.chance(50) {
            let limit = 1 + self.random.index(4);
            let page = chat.read(CHANNELS[channel], &ReadOptions::latest(limit)).await.unwrap();
            let mut marks = Marks::default();
            page.messages.iter().for_each(|message| marks.add(message));
            chat.mark_shown(marks).await.unwrap();
            page.messages.iter().map(|message| message.id).collect::<Vec<_>>()
        } else {
            chat.mark_read(CHANNELS[channel], None).await.unwrap();
            let all = self.messages(&self.known(who), channel);
            let now = self.now(who);
            all.iter().filter(|message| message.order <= now).map(|message| message.id).collect()
        };
        self.sides[who].read.extend(shown);
    }

    async fn check(&mut self) {
        let (who, channel) = (self.random.index(3), self.random.index(3));
        self.check_pages(who, channel).await;
        self.check_search(who, channel).await;
        self.check_channels(who, channel).await;
        self.check_unread(who).await;
    }

    async fn check_pages(&mut self, who: usize, channel: usize) {
        let (chat, limit) = (self.chat(who), 1 + self.random.index(5));
        let (mut pages, mut options) = (Vec::new(), ReadOptions::latest(limit));
        loop {
            if who == SPARSE {
                assert!(chat.ask(CHANNELS[channel], &options).await.unwrap().complete);
            }
            let page = chat.read(CHANNELS[channel], &options).await.unwrap();
            assert!(page.messages.len() == limit || page.next.is_none());
            for message in &page.messages {
                let text = message.said.text().unwrap().to_owned();
                pages.push(Shown { order: message.time.0, id: message.id, text });
            }
            options.after = page.next;
            if page.next.is_none() {
                break;
            }
        }
        assert_eq!(pages, self.page(who, channel), "{channel} of {who} by pages of {limit}");
    }

    async fn check_search(&mut self, who: usize, channel: usize) {
        let (chat, word) = (self.chat(who), *self.random.pick(&WORDS[..3]));
        let options =
            SearchOptions { channel: Some(CHANNELS[channel].to_owned()), ..SearchOptions::default() };
        if who == SPARSE {
            assert!(chat.ask_search(&options).await.unwrap().complete);
        }
        let found = chat.search(&word.to_uppercase(), &options).await.unwrap().messages;
        let found: Vec<EntryId> = found.iter().map(|message| message.id).collect();
        let shown =
            self.page(who, channel).into_iter().filter(|m| m.text.split(' ').any(|other| other == word));
        assert_eq!(
            found,
            shown.map(|message| message.id).collect::<Vec<_>>(),
            "{word} in {channel} of {who}"
        );
    }

    async fn check_channels(&mut self, who: usize, channel: usize) {
        let (chat, known) = (self.chat(who), self.known(who));
        if who == SPARSE {
            assert!(chat.ask_channels().await.unwrap().complete);
            assert!(chat.ask_state(CHANNELS[channel]).await.unwrap().complete);
        }
        let listed: BTreeSet<String> =
            chat.channels().await.unwrap().into_iter().map(|info| info.name).collect();
        let live = (0..3).filter(|channel| self.is_live(&known, *channel)).map(|n| CHANNELS[n].to_owned());
        assert_eq!(listed, live.collect(), "channels of {who}");
        let members = chat.members(CHANNELS[channel]).await.unwrap();
        let members: BTreeSet<FeedKey> = members.into_iter().map(|member| member.feed).collect();
        assert_eq!(members, self.members(&known, channel), "members of {channel} by {who}");
    }

    async fn check_unread(&mut self, who: usize) {
        let chat = self.chat(who);
        if who == SPARSE {
            assert!(chat.ask_unread().await.unwrap().complete);
        }
        let mut counted = BTreeMap::new();
        for unread in chat.unread().await.unwrap() {
            let Conversation::Channel(name) = unread.of else { panic!("nobody wrote privately") };
            counted.insert(name, (unread.messages, unread.mentions));
        }
        let mut expected = BTreeMap::new();
        for (channel, name) in CHANNELS.into_iter().enumerate() {
            let unread = self.unread(who, channel);
            let is_in = self.members(&self.sides[who].held, channel).contains(&self.sides[who].me);
            if is_in && unread.0 > 0 {
                expected.insert(name.to_owned(), unread);
            }
        }
        assert_eq!(counted, expected, "unread of {who}");
    }

    async fn end(self) {
        for side in self.sides {
            side.server.stop().await;
            side.database.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn chat_is_as_a_plain_model_says_on_full_and_sparse_replicas() {
    for seed in seeds(0..4) {
        let mut world = World::new(seed).await;
        for step in 0..STEPS {
            world.advance().await;
            if step % 3 == 0 {
                world.check().await;
            }
        }
        for _ in 0..6 {
            world.check().await;
        }
        world.end().await;
        println!("history {seed} holds");
    }
}
