//! Chat against a plain model of it, through what everybody calls: three writers whose clocks are apart, two replicas that fetch everything and one
//! that fetches what it asks for, at random.

use kappadb::{
    Chat, ChatFlag, Clock, Conversation, Database, EntryId, FeedKey, FlagChange, Marks, Message, ReadOptions,
    Said, SearchOptions, Server, Source, Trusted,
};
use kappadb_sim::{Random, seeds};
use kappadb_tests::chat::{Event, Model, PRIVATE, Seen, Shown, What};
use kappadb_tests::house::{Hand, House, serve};
use std::collections::{BTreeMap, BTreeSet};

const STEPS: u64 = 110;
const CHANNELS: [&str; 3] = ["tea", "coffee", "milk"];
const WORDS: [&str; 5] = ["black", "green", "white", "@anna", "@bert"];
const NICKS: [&str; 3] = ["anna", "bert", "carl"];
/// This one fetches what it asks for. The first knows all others, and they know it alone.
const SPARSE: usize = 2;

/// A replica, and what the model knows of it.
struct Side {
    database: Database,
    server: Server,
    clock: Hand,
    seen: Seen,
}

struct World {
    sides: Vec<Side>,
    model: Model,
    random: Random,
    _house: House,
}

impl World {
    async fn new(seed: u64) -> World {
        let house = House::new();
        let mut sides: Vec<Side> = Vec::new();
        for (n, nick) in NICKS.into_iter().enumerate() {
            let clock = Hand::default();
            clock.at(10_000_000 + 3_000_000 * n as i64);
            // Who knows whom is the model's own business.
            let builder = Database::builder(house.path(nick)).introductions(false).clock(clock.clone());
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
                first.database.peers().add(&server.ticket(), None).await.unwrap();
            }
            sides.push(Side { database, server, clock, seen: Seen::new(me) });
        }
        World { sides, model: Model::default(), random: Random::new(seed), _house: house }
    }

    fn chat(&self, who: usize) -> Chat {
        self.sides[who].database.chat()
    }

    fn now(&self, who: usize) -> i64 {
        self.sides[who].clock.now().0
    }

    fn seen(&self, who: usize) -> &Seen {
        &self.sides[who].seen
    }

    /// What a replica knows once it has asked: the sparse one all that the first holds, and its own.
    fn known(&self, who: usize) -> BTreeSet<usize> {
        let own = &self.seen(who).held;
        if who == SPARSE { own.union(&self.seen(0).held).copied().collect() } else { own.clone() }
    }

    /// What is shown of a channel, the latest first.
    fn page(&self, who: usize, channel: usize) -> Vec<Shown> {
        self.model.page(self.seen(who), &self.known(who), channel, self.now(who))
    }

    fn unread(&self, who: usize, channel: usize) -> Vec<Shown> {
        self.model.unread(self.seen(who), &self.known(who), channel, self.now(who))
    }

    fn note(&mut self, who: usize, id: EntryId, channel: usize, what: What) {
        self.model.0.push(Event { id, channel, what });
        self.sides[who].seen.held.insert(self.model.0.len() - 1);
    }

    fn text(&mut self) -> String {
        let count = 1 + self.random.index(3);
        (0..count).map(|_| *self.random.pick(&WORDS)).collect::<Vec<_>>().join(" ")
    }

    /// A message of its own that is there, if there is one.
    fn own(&mut self, who: usize, channel: usize) -> Option<EntryId> {
        let Seen { me, held, .. } = self.seen(who);
        let all = self.model.messages(held, channel);
        let own: Vec<EntryId> = all.iter().map(|message| message.id).filter(|id| id.feed == *me).collect();
        (!own.is_empty()).then(|| *self.random.pick(&own))
    }

    async fn advance(&mut self) {
        let (who, channel) = (self.random.index(3), self.random.index(3));
        let (chat, name) = (self.chat(who), CHANNELS[channel]);
        match self.random.below(112) {
            0..30 => self.post(who, channel).await,
            100..108 => self.send(who).await,
            108..112 => self.mark_private(who).await,
            30..38 => {
                // Of private ones, too.
                let channel = if self.random.chance(25) { PRIVATE } else { channel };
                if let Some(target) = self.own(who, channel) {
                    let id = chat.delete(target).await.unwrap();
                    self.note(who, id, channel, What::Delete { target });
                }
            }
            38..46 => {
                let channel = if self.random.chance(25) { PRIVATE } else { channel };
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
            let _ = chat.read(CHANNELS[channel], &ReadOptions::latest(1)).from(Source::Peers).await.unwrap();
            self.sides[who].seen.held = self.known(who);
        }
        let order = order(&self.model.messages(&self.seen(who).held, channel), now);
        let id = chat.post(CHANNELS[channel], &text).await.unwrap();
        self.note(who, id, channel, What::Post { order, text, to: None });
    }

    /// In private: after all that either of the two wrote to the other.
    async fn send(&mut self, who: usize) {
        let (text, to) = (self.text(), self.sides[(who + 1 + self.random.index(2)) % 3].seen.me);
        let (chat, now, me) = (self.chat(who), self.now(who), self.seen(who).me);
        if who == SPARSE {
            let _ = chat.private(None, &ReadOptions::default()).from(Source::Peers).await.unwrap();
            self.sides[who].seen.held = self.known(who);
        }
        let mut between = self.model.messages(&self.seen(who).held, PRIVATE);
        between.retain(|m| [(me, Some(to)), (to, Some(me))].contains(&(m.id.feed, m.to)));
        let order = order(&between, now);
        let id = chat.send_private(to, &text).await.unwrap();
        self.note(who, id, PRIVATE, What::Post { order, text, to: Some(to) });
    }

    async fn mark_private(&mut self, who: usize) {
        let (chat, limit) = (self.chat(who), 1 + self.random.index(4));
        if who == SPARSE {
            let _ = chat.private(None, &ReadOptions::default()).from(Source::Peers).await.unwrap();
        }
        let page = chat.private(None, &ReadOptions::latest(limit)).await.unwrap();
        let mut marks = Marks::default();
        page.messages.iter().for_each(|message| marks.add(message));
        chat.mark_shown(marks).await.unwrap();
        self.sides[who].seen.read.extend(page.messages.iter().map(|message| message.id));
    }

    async fn leave(&mut self, who: usize, channel: usize) {
        let left = self.chat(who).leave(CHANNELS[channel]).await;
        // The sparse one may have fetched more than is noted of it.
        assert!(left.is_ok() || !self.model.is_live(&self.seen(who).held, channel), "{left:?}");
        if let Ok(id) = left {
            self.note(who, id, channel, What::Leave);
        }
    }

    async fn hide(&mut self, who: usize, channel: usize) {
        let target = self.sides[(who + 1 + self.random.index(2)) % 3].seen.me;
        let hide = self.random.chance(60);
        let flags = if hide { vec![ChatFlag::Hide] } else { Vec::new() };
        self.chat(who).flag(Some(CHANNELS[channel]), target, FlagChange::Set(flags), "").await.unwrap();
        match hide {
            true => self.sides[who].seen.hides.insert((target, channel)),
            false => self.sides[who].seen.hides.remove(&(target, channel)),
        };
    }

    /// Fetches all that the peers hold.
    async fn fetch(&mut self, who: usize) {
        let answer = self.chat(who).search("", &SearchOptions::default()).from(Source::Peers).await.unwrap();
        assert!(answer.asked.failures.is_empty(), "{answer:?}");
        let peers = if who == 0 { vec![1, SPARSE] } else { vec![0] };
        for peer in peers {
            let theirs = self.seen(peer).held.clone();
            self.sides[who].seen.held.extend(theirs);
        }
    }

    async fn mark(&mut self, who: usize, channel: usize) {
        let chat = self.chat(who);
        if who == SPARSE {
            let _ = chat.read(CHANNELS[channel], &ReadOptions::default()).from(Source::Peers).await.unwrap();
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
            let all = self.model.messages(&self.known(who), channel);
            let now = self.now(who);
            all.iter().filter(|message| message.order <= now).map(|message| message.id).collect()
        };
        self.sides[who].seen.read.extend(shown);
    }

    async fn check(&mut self) {
        let (who, channel) = (self.random.index(3), self.random.index(3));
        self.check_pages(who, channel).await;
        self.check_private(who).await;
        self.check_search(who, channel).await;
        self.check_channels(who, channel).await;
        self.check_unread(who).await;
    }

    async fn check_pages(&mut self, who: usize, channel: usize) {
        let (chat, limit) = (self.chat(who), 1 + self.random.index(5));
        let (mut pages, mut options) = (Vec::new(), ReadOptions::latest(limit));
        loop {
            if who == SPARSE {
                assert!(
                    chat.read(CHANNELS[channel], &options).from(Source::Peers).await.unwrap().is_complete()
                );
            }
            let page = chat.read(CHANNELS[channel], &options).await.unwrap();
            assert!(page.messages.len() == limit || page.next.is_none());
            pages.extend(page.messages.iter().map(shown));
            options.after = page.next;
            if page.next.is_none() {
                break;
            }
        }
        assert_eq!(pages, self.page(who, channel), "{channel} of {who} by pages of {limit}");
    }

    async fn check_private(&mut self, who: usize) {
        let (chat, limit) = (self.chat(who), 1 + self.random.index(5));
        let (mut pages, mut options) = (Vec::new(), ReadOptions::latest(limit));
        if who == SPARSE {
            assert!(chat.private(None, &options).from(Source::Peers).await.unwrap().is_complete());
        }
        loop {
            let page = chat.private(None, &options).await.unwrap();
            pages.extend(page.messages.iter().map(shown));
            options.after = page.next;
            if page.next.is_none() {
                break;
            }
        }
        assert_eq!(pages, self.page(who, PRIVATE), "private to {who} by pages of {limit}");
    }

    async fn check_search(&mut self, who: usize, channel: usize) {
        let (chat, word) = (self.chat(who), *self.random.pick(&WORDS[..3]));
        let options =
            SearchOptions { channel: Some(CHANNELS[channel].to_owned()), ..SearchOptions::default() };
        if who == SPARSE {
            assert!(chat.search("", &options).from(Source::Peers).await.unwrap().is_complete());
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
            assert!(chat.channels().from(Source::Peers).await.unwrap().is_complete());
            assert!(chat.members(CHANNELS[channel]).from(Source::Peers).await.unwrap().is_complete());
        }
        let listed: BTreeSet<String> =
            chat.channels().await.unwrap().into_iter().map(|info| info.name).collect();
        let live =
            (0..3).filter(|channel| self.model.is_live(&known, *channel)).map(|n| CHANNELS[n].to_owned());
        assert_eq!(listed, live.collect(), "channels of {who}");
        let members = chat.members(CHANNELS[channel]).await.unwrap().items;
        let members: BTreeSet<FeedKey> = members.into_iter().map(|member| member.feed).collect();
        assert_eq!(members, self.model.members(&known, channel), "members of {channel} by {who}");
    }

    async fn check_unread(&mut self, who: usize) {
        let chat = self.chat(who);
        if who == SPARSE {
            assert!(chat.unread().from(Source::Peers).await.unwrap().is_complete());
        }
        let (mut counted, mut private) = (BTreeMap::new(), BTreeMap::new());
        for unread in chat.unread().await.unwrap().items {
            match unread.of {
                Conversation::Channel(name) => drop(counted.insert(name, (unread.messages, unread.mentions))),
                Conversation::Private { with, .. } => drop(private.insert(with, unread.messages)),
            }
        }
        let mut expected = BTreeMap::new();
        let Seen { me, held, .. } = self.seen(who);
        let name = format!("@{}", NICKS[who]);
        for (channel, spelled) in CHANNELS.into_iter().enumerate() {
            let unread = self.unread(who, channel);
            let calls = unread.iter().filter(|m| m.text.split(' ').any(|word| word == name)).count();
            if self.model.members(held, channel).contains(me) && !unread.is_empty() {
                expected.insert(spelled.to_owned(), (unread.len() as u64, calls as u64));
            }
        }
        assert_eq!(counted, expected, "unread of {who}");
        let mut expected: BTreeMap<FeedKey, u64> = BTreeMap::new();
        for message in self.unread(who, PRIVATE) {
            *expected.entry(message.id.feed).or_default() += 1;
        }
        assert_eq!(private, expected, "unread in private of {who}");
    }

    async fn end(self) {
        for side in self.sides {
            side.server.stop().await;
            side.database.close().await.unwrap();
        }
    }
}

/// After the latest of these that is due.
fn order(before: &[Shown], now: i64) -> i64 {
    let latest = before.iter().map(|message| message.order).filter(|order| *order <= now).max();
    latest.map_or(now, |latest| now.max(latest + 1))
}

fn shown(message: &Message) -> Shown {
    let to = match &message.said {
        Said::Private { to, .. } => Some(*to),
        _ => None,
    };
    let text = message.said.text().unwrap().to_owned();
    Shown { order: message.time.0, id: message.id, text, to }
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
