//! What must be so once all are connected and nothing happens any more.

use super::ground::Pair;
use super::{AREA, About, CHANNELS, Member, PREFIX, Said, Seen, Swarm};
use kappadb::{
    Completeness, Database, EntryId, FeedKey, Interest, KeyRange, PeerConnection, PeerState, ReadOptions,
    ScanOptions, Source,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// Blocks of one feed that a replica may have without following them: each links two heads of it, or would show a fork (`design/protocol.md`,
/// "Finding one").
const LINKS: usize = 3;

/// A question that some follow, and some only ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    Keys,
    Channel,
    Area,
}

pub(super) const TOPICS: [Topic; 3] = [Topic::Keys, Topic::Channel, Topic::Area];

/// What a replica shows of a topic.
#[derive(Debug)]
pub(super) struct Shown {
    pub completeness: Completeness,
    /// All known peers answered, and nothing that was found is kept back for its date.
    pub all_answered: bool,
    /// The values of keys, where they are held.
    values: BTreeMap<String, Option<String>>,
    posts: BTreeSet<EntryId>,
    features: BTreeSet<String>,
}

impl Topic {
    fn is_followed_by(self, interest: &Interest) -> bool {
        match interest {
            Interest::Everything => true,
            Interest::Prefix(_) => self == Topic::Keys,
            Interest::Channel(_) => self == Topic::Channel,
            Interest::Area(_) => self == Topic::Area,
            _ => false,
        }
    }

    pub async fn of(self, database: &Database, source: Source) -> Shown {
        let mut shown = Shown {
            completeness: Completeness::Partial,
            all_answered: false,
            values: BTreeMap::new(),
            posts: BTreeSet::new(),
            features: BTreeSet::new(),
        };
        match self {
            Topic::Keys => {
                let all = KeyRange::prefix(PREFIX);
                let answer =
                    database.kv().scan(&all, &ScanOptions::default()).from(source).await.expect("scan");
                // Contents may have been cleared.
                shown.completeness = match answer.asked.missing {
                    0 => answer.completeness,
                    _ => Completeness::Partial,
                };
                shown.all_answered = answer.asked.failures.is_empty();
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let items = answer.items.iter();
                shown.values =
                    items.map(|item| (text(&item.key), item.value.text().map(str::to_owned))).collect();
            }
            Topic::Channel => {
                let options = ReadOptions::latest(10_000);
                let page = database.chat().read(CHANNELS[0], &options).from(source).await.expect("read");
                shown.completeness = page.completeness;
                shown.all_answered = page.asked.failures.is_empty() && page.ahead == 0;
                shown.posts = page.messages.iter().map(|message| message.id).collect();
            }
            Topic::Area => {
                let area = AREA.parse().expect("box");
                let answer = database.map().query(&area, None).from(source).await.expect("query");
                shown.completeness = answer.completeness;
                shown.all_answered = answer.asked.failures.is_empty();
                shown.features = answer.items.into_iter().map(|hit| hit.id).collect();
            }
        }
        shown
    }
}

impl Shown {
    /// What is wrong with it as to what one replica wrote, if anything.
    pub fn fault(&self, topic: Topic, said: &Said, cleared: bool) -> Option<String> {
        match topic {
            Topic::Keys => {
                said.values.iter().filter(|(key, _)| key.starts_with(PREFIX)).find_map(|(key, value)| {
                    let right = match (value, self.values.get(key)) {
                        (Some(value), Some(Some(shown))) => value == shown,
                        (Some(_), Some(None)) => cleared,
                        (None, None) => true,
                        _ => false,
                    };
                    (!right).then(|| format!("{key} is {:?} and not {value:?}", self.values.get(key)))
                })
            }
            Topic::Channel => {
                let mut posts = said.posts.iter().filter(|(_, channel)| **channel == 0).map(|(id, _)| *id);
                let lacking = posts.find(|id| !self.posts.contains(id)).map(|id| format!("no message {id}"));
                let left = || said.deleted.iter().find(|id| self.posts.contains(id));
                lacking.or_else(|| left().map(|id| format!("message {id} was deleted")))
            }
            Topic::Area => {
                let wrong = |(id, inside): &(&String, &bool)| self.features.contains(*id) != **inside;
                said.features.iter().find(wrong).map(|(id, inside)| format!("{id}: inside is {inside}"))
            }
        }
    }
}

pub(super) async fn held(database: &Database, feed: FeedKey) -> BTreeSet<EntryId> {
    let page = database.entries(feed, 0, 100_000).await.expect("entries");
    page.items.into_iter().map(|(id, _)| id).collect()
}

impl Swarm {
    /// Two have a session, or one can call the other.
    fn linked(&self, one: usize, other: usize) -> bool {
        let calls =
            |from: &Member, to: usize| from.keeps() && from.knows.contains(&to) && self.members[to].serves;
        calls(&self.members[one], other) || calls(&self.members[other], one)
    }

    /// Those to whom a replica's writes must come, or through whom they go on: over followers of everything that did not drop them.
    fn hearers(&self, writer: usize) -> BTreeSet<usize> {
        let (mut hearers, mut through) = (BTreeSet::from([writer]), vec![writer]);
        while let Some(from) = through.pop() {
            for to in 0..self.members.len() {
                let member = &self.members[to];
                if !self.linked(from, to) || member.dropped.contains(&writer) || !hearers.insert(to) {
                    continue;
                }
                if member.follows_all() {
                    through.push(to);
                }
            }
        }
        hearers
    }

    /// All serve who ever did, and everything has come where it must; else what has not.
    ///
    /// # Errors
    /// What is not so.
    pub async fn settle(&mut self) -> Result<Seen, String> {
        let settled = self.come_to_rest().await;
        if settled.is_err() {
            for n in 0..self.members.len() {
                let found = self.members[n].database().verify().await;
                let status = self.members[n].database().status().await.map(|s| s.views);
                let peers = self.members[n].database().peers().states();
                self.note(n, format_args!("in the end {found:?} {status:?} {peers:#?}"));
            }
        }
        settled
    }

    async fn come_to_rest(&mut self) -> Result<Seen, String> {
        self.calm().await;
        for member in &mut self.members {
            member.serve().await;
        }
        let (patience, pause) = self.ground.patience();
        let (begun, mut nudged) = (Instant::now(), Instant::now());
        loop {
            let unsettled = match self.unsettled().await {
                None => self.surplus_sessions(),
                some => some,
            };
            match unsettled {
                None => break,
                Some(why) if begun.elapsed() > patience => return Err(why),
                Some(_) => tokio::time::sleep(pause).await,
            }
            if self.ground.is_real() && nudged.elapsed() > Duration::from_secs(1) {
                nudged = Instant::now();
                self.nudge().await;
            }
        }
        self.nothing_more().await?;
        let seen = self.answers().await?;
        for (n, member) in self.members.iter().enumerate() {
            let found = member.database().verify().await.expect("verify");
            if !found.is_empty() {
                return Err(format!("{n}: {found:?}"));
            }
        }
        Ok(seen)
    }

    /// Has those called at once who would be called after a wait.
    async fn nudge(&self) {
        for member in &self.members {
            let peers = member.database().peers();
            for state in peers.states().into_iter().filter(|state| state.known.is_some()) {
                let ticket =
                    self.members.iter().filter_map(|m| m.ticket.as_ref()).find(|t| t.peer == state.key);
                if let (PeerConnection::Closed { .. }, Some(ticket)) = (state.connection, ticket) {
                    peers.remove(state.key).await.expect("remove");
                    peers.add(ticket, None).await.expect("add");
                }
            }
        }
    }

    /// What has not come yet.
    async fn unsettled(&self) -> Option<String> {
        for (writer, wrote) in self.members.iter().enumerate() {
            for to in self.hearers(writer) {
                let member = &self.members[to];
                let Some(interest) = &member.interest else { continue };
                if member.follows_all() {
                    let held = held(member.database(), wrote.feed).await;
                    if let Some(id) = wrote.said.entries.keys().find(|id| !held.contains(id)) {
                        return Some(format!("{to} follows everything and has not {} of {writer}", id.seq));
                    }
                }
                for topic in TOPICS.into_iter().filter(|topic| topic.is_followed_by(interest)) {
                    let shown = topic.of(member.database(), Source::Local).await;
                    if let Some(fault) = shown.fault(topic, &wrote.said, self.cleared) {
                        return Some(format!("{to} follows {topic:?} and of {writer}: {fault}"));
                    }
                }
            }
        }
        None
    }

    /// Two who are to be connected are, by one connection.
    fn surplus_sessions(&self) -> Option<String> {
        let count = self.members.len();
        let pairs = (0..count).flat_map(|one| (one + 1..count).map(move |other| (one, other)));
        let states = pairs.map(|(one, other)| {
            // Those who keep no sessions have one while they ask.
            let knows = |a: usize, b: usize| self.members[a].knows.contains(&b) && self.members[b].serves;
            let linked = self.linked(one, other);
            Pair { one, other, least: linked.into(), most: (knows(one, other) || knows(other, one)).into() }
        });
        let pairs: Vec<Pair> = states.collect();
        let mut linked = pairs.iter().filter(|pair| pair.least > 0);
        let apart = linked
            .find(|pair| !self.has_session(pair.one, pair.other) || !self.has_session(pair.other, pair.one));
        let apart = apart.map(|Pair { one, other, .. }| format!("{one} and {other} have no session"));
        apart.or_else(|| self.ground.surplus(&self.members, &pairs))
    }

    fn has_session(&self, one: usize, other: usize) -> bool {
        let key = self.members[other].database().ticket().expect("ticket").peer;
        let is_open = |state: &PeerState| matches!(state.connection, PeerConnection::Open { .. });
        self.members[one].database().peers().states().iter().any(|state| state.key == key && is_open(state))
    }

    /// Who follows little has fetched nothing else.
    async fn nothing_more(&self) -> Result<(), String> {
        for (n, member) in self.members.iter().enumerate().filter(|(_, member)| !member.follows_all()) {
            for (writer, wrote) in self.members.iter().enumerate().filter(|(writer, _)| *writer != n) {
                let held = held(member.database(), wrote.feed).await;
                let wants = |topic: Topic| {
                    let follows = |interest| topic.is_followed_by(interest);
                    member.asked.contains(&topic) || member.interest.as_ref().is_some_and(follows)
                };
                let is_wanted = |id: &EntryId| match wrote.said.entries.get(id) {
                    Some(About::Key { followed }) => *followed && wants(Topic::Keys),
                    Some(About::Channel { followed }) => *followed && wants(Topic::Channel),
                    Some(About::Map { followed }) => *followed && wants(Topic::Area),
                    None => false,
                };
                let more: Vec<u64> = held.iter().filter(|id| !is_wanted(id)).map(|id| id.seq).collect();
                let links = if held.len() > more.len() { LINKS } else { 0 };
                if more.len() > links {
                    return Err(format!("{n} has {more:?} of {writer}, which it does not follow"));
                }
            }
        }
        Ok(())
    }

    /// Every replica asks its peers about everything: what says that it is complete has all that those knew who were asked.
    async fn answers(&self) -> Result<Seen, String> {
        let mut seen = Seen::default();
        for (n, member) in self.members.iter().enumerate() {
            let members = (0..self.members.len()).filter(|writer| !member.dropped.contains(writer));
            let known: Vec<usize> = members.filter(|writer| self.is_known_around(n, *writer)).collect();
            seen.pairs += known.len() as u64;
            if let Some(named) =
                member.database().peers().states().into_iter().find(|state| state.omitted.is_some())
            {
                return Err(format!("{n} says that an honest peer left something out: {named:?}"));
            }
            for topic in TOPICS {
                let asked = topic.of(member.database(), Source::Peers).await;
                let later = topic.of(member.database(), Source::Local).await;
                seen.asked += 1;
                seen.complete += u64::from(asked.completeness.is_complete());
                let was = (asked.completeness.is_complete(), &later.completeness);
                if matches!(was, (true, Completeness::Partial)) && !self.cleared {
                    return Err(format!(
                        "{n} had a complete answer to {topic:?}, and a moment later has none"
                    ));
                }
                for shown in
                    [asked, later].into_iter().filter(|shown| shown.completeness != Completeness::Partial)
                {
                    let said = |writer: &usize| &self.members[*writer].said;
                    let fault = |w: &usize| Some((*w, shown.fault(topic, said(w), self.cleared)?));
                    if let Some((writer, fault)) = known.iter().find_map(fault) {
                        let how = &shown.completeness;
                        return Err(format!("{n} says {how:?} of {topic:?}, and of {writer}: {fault}"));
                    }
                }
            }
        }
        Ok(seen)
    }

    /// A replica, or one that it asks, holds all that was written by this one.
    fn is_known_around(&self, n: usize, writer: usize) -> bool {
        let hearers = self.hearers(writer);
        let has_all = |who: usize| who == writer || hearers.contains(&who) && self.members[who].follows_all();
        let asks = |who: usize| self.members[n].knows.contains(&who) && self.members[who].key().is_some();
        (0..self.members.len()).any(|who| has_all(who) && (who == n || asks(who) || self.linked(n, who)))
    }
}
