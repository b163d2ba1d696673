//! Random histories of keys and values: several replicas that write, gossip, ask, restart and rebuild; some lie.

use crate::model::Entries;
use crate::replica::Replica;
use crate::world::Mix;
use kappadb_core::{EntryId, FeedKey, RangeSet, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_entry::{Context, Header, Kind, Places, space};
use kappadb_query::Selector;
use kappadb_sim::Random;
use kappadb_view_kv::{KeyRange, ScanOptions};

/// What entries are about.
pub const KEYS: [&[u8]; 7] = [b"a", b"a/1", b"a/2", b"b", b"b\xff", b"b\xff\xff", b"c"];

/// A key among those known, or near them.
fn any_key(random: &mut Random) -> Vec<u8> {
    let mut key = random.pick(&KEYS).to_vec();
    match random.below(4) {
        0 => key.push(0),
        1 => drop(key.pop()),
        _ => {}
    }
    key
}

/// Several replicas of one database, each with a writer feed.
pub struct KvWorld {
    /// The replicas.
    pub replicas: Vec<Replica>,
    /// Their feeds.
    pub feeds: Vec<FeedKey>,
    /// Its choices.
    pub random: Random,
}

impl KvWorld {
    /// `count` replicas after `steps` steps.
    pub fn new(seed: u64, count: u64, steps: u64, mix: Mix) -> KvWorld {
        let replicas: Vec<Replica> = (0..count).map(|i| Replica::new(seed * 64 + i)).collect();
        let feeds = replicas.iter().map(Replica::writer).collect();
        let mut world = KvWorld { replicas, feeds, random: Random::new(seed) };
        (0..steps).for_each(|_| world.advance(mix));
        world
    }

    /// One of the replicas.
    pub fn pick(&mut self) -> usize {
        self.random.below(self.replicas.len() as u64) as usize
    }

    /// Some keys in a row, perhaps none.
    pub fn range(&mut self) -> KeyRange {
        let (a, b) = (any_key(&mut self.random), any_key(&mut self.random));
        match self.random.below(5) {
            0 => KeyRange::prefix(a),
            1 => KeyRange { from: a, to: None },
            2 => KeyRange::ALL,
            _ => KeyRange { to: Some(a.clone().max(b.clone())), from: a.min(b) },
        }
    }

    /// A question about keys, and whether a key is in it.
    pub fn question(&mut self) -> Selector {
        match self.random.below(3) {
            0 => Selector::keys(
                (0..self.random.below(4)).map(|_| any_key(&mut self.random)).collect::<Vec<_>>(),
            ),
            1 => Selector::Prefix(any_key(&mut self.random)),
            _ => self.range().selector(),
        }
    }

    fn advance(&mut self, mix: Mix) {
        let who = self.pick();
        match self.random.below(100) {
            n if n < mix.restarts => {
                if self.random.chance(50) {
                    self.replicas[who].reopen()
                } else {
                    self.replicas[who].rebuild()
                }
            }
            n if n < 60 => self.write(who, mix),
            n if n < 80 => self.gossip(who),
            n if n < 90 => {
                let (peer, question) = (self.pick(), self.question());
                self.replicas[who].ask_kv(&self.replicas[peer], &question);
            }
            _ => {
                let (peer, range) = (self.pick(), self.range());
                let (limit, backwards) = (1 + self.random.below(4) as u32, self.random.chance(50));
                ask_first(&self.replicas[who], &self.replicas[peer], &range, limit, backwards);
            }
        }
    }

    /// `who` takes some random blocks of a random feed from somebody: holes, children before parents.
    fn gossip(&mut self, who: usize) {
        let (peer, feed) = (self.pick(), *self.random.pick(&self.feeds));
        let held = self.replicas[peer].feeds().held(&feed);
        let some: RangeSet = held.iter().filter(|_| self.random.chance(40)).collect();
        if who != peer && !some.is_empty() {
            self.replicas[who].fetch(&self.replicas[peer], feed, &some);
        }
    }

    fn write(&mut self, who: usize, mix: Mix) {
        let key = self.random.pick(&KEYS).to_vec();
        let feed = self.feeds[who];
        let replica = &self.replicas[who];
        replica.kv().ready().expect("ready");
        let versions = replica.kv().read(|index| index.read().history(&key)).expect("view").expect("history");
        // Now and then a code that nobody knows: it takes part in what replaces what.
        let code = if self.random.chance(mix.deletes) { 1 } else { u8::from(self.random.chance(3)) * 7 };
        let time = Timestamp(self.random.below(50) as i64);
        let mut header = Header { key: Some(key), ..Header::new(Kind { space: space::KV, code }, time) };
        if self.random.chance(mix.hostile) {
            self.lie(&mut header, &versions);
        } else {
            self.link(&mut header, &versions, feed, mix);
        }
        if self.random.chance(10) {
            self.know_a_crowd(&mut header.context);
        }
        self.replicas[who].append(feed, &header, b"value");
    }

    fn link(&mut self, header: &mut Header, versions: &[Version], feed: FeedKey, mix: Mix) {
        let heads = rules::heads(versions).into_iter().map(|v| v.id);
        let picked: Vec<_> = heads.filter(|_| !self.random.chance(mix.careless)).collect();
        let links = match self.random.chance(mix.careless) {
            true => rules::succeed_explicit(versions, &picked),
            false => rules::succeed(versions, &picked, &feed),
        };
        links.apply_to(header);
    }

    /// Names two hundred feeds of which nobody here holds anything: of a key that a crowd writes.
    fn know_a_crowd(&mut self, context: &mut Context) {
        for n in 0..200 {
            let (name, seq) = (FeedKey([n; 32]).name(), self.random.below(3));
            match context.vector.binary_search_by_key(&name, |(feed, _)| *feed) {
                Ok(at) => context.vector[at].1 = seq.max(context.vector[at].1),
                Err(at) => context.vector.insert(at, (name, seq)),
            }
        }
    }

    fn lie(&mut self, header: &mut Header, versions: &[Version]) {
        let mut vector: Vec<_> = self
            .feeds
            .clone()
            .into_iter()
            .map(|feed| (feed.name(), *self.random.pick(&[0, 3, 1_000_000_000])))
            .collect();
        vector.retain(|_| self.random.chance(60));
        vector.sort_unstable();
        let mut ids: Vec<EntryId> = versions.iter().map(|v| v.id).collect();
        ids.retain(|_| self.random.chance(30));
        header.context = Context { vector, ids, ..Context::NOTHING };
        header.depth = self.random.below(12) as u32;
        if self.random.chance(20) {
            // A place, which keys do not have: what has none in its past does not replace it.
            let world = Places::on_map(&kappadb_core::GeoBox::WORLD.into());
            if self.random.chance(50) { header.places = world } else { header.past = world }
        }
    }
}

/// Asks `peer` for the first keys of a range as the library does: by a limited question, then for all as far as the answer goes
/// by the asker's own lights, until that does not move any more.
pub fn ask_first(asker: &Replica, peer: &Replica, range: &KeyRange, limit: u32, backwards: bool) {
    let KeyRange { from, to } = range.clone();
    asker.ask_kv(peer, &Selector::Scan { from, to, limit, backwards });
    let options = ScanOptions { limit: Some(limit as usize), backwards, after: None };
    loop {
        let covered = first(asker, range, &options);
        asker.ask_kv(peer, &covered.selector());
        if covered == *range || first(asker, range, &options) == covered {
            return;
        }
    }
}

fn first(asker: &Replica, range: &KeyRange, options: &ScanOptions) -> KeyRange {
    let found = asker.scan(range, options, usize::MAX);
    match found.last() {
        Some((key, _)) if Some(found.len()) == options.limit => match options.backwards {
            true => KeyRange { from: key.clone(), ..range.clone() },
            false => KeyRange { to: Some([&key[..], &[0]].concat()), ..range.clone() },
        },
        _ => range.clone(),
    }
}

/// Those of the map are none of these.
pub fn kv_entries(replica: &Replica) -> Entries {
    let mut entries = replica.entries();
    entries.retain(|_, header| header.kind.space == space::KV);
    entries
}
