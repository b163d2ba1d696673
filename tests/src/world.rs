//! Random histories: several replicas that write, gossip, ask, restart and rebuild.

use crate::replica::Replica;
use kappadb_core::{Coord, Extent, FeedKey, GeoBox, RangeSet, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_entry::{Context, Header, Kind, Places, space};
use kappadb_sim::Random;

/// What entries say: long enough that a block without it is smaller.
const SAID: &[u8] = b"what it says, at such a length that clearing it gives back some room";

/// What a history may contain, in per cent of its steps.
#[derive(Debug, Clone, Copy)]
pub struct Mix {
    /// Writers that lie about context, depth and past.
    pub hostile: u64,
    /// Writers that replace only some of the heads that they see.
    pub careless: u64,
    /// Deletes among writes.
    pub deletes: u64,
    /// Restarts and rebuilds.
    pub restarts: u64,
    /// Clears of payloads, half of them with a compaction after.
    pub clears: u64,
    /// Copies of replicas, which go on writing to the same feed.
    pub copies: u64,
    /// Payloads in blocks of their own, among writes.
    pub detached: u64,
}

/// Several replicas of one database, each with a writer feed.
pub struct World {
    /// The replicas.
    pub replicas: Vec<Replica>,
    /// The feeds that they write.
    pub feeds: Vec<FeedKey>,
    /// All feeds that there ever were.
    pub known: Vec<FeedKey>,
    /// How many payloads were cleared.
    pub cleared: u64,
    random: Random,
}

/// What entries are about, and refer to.
pub const KEYS: [&str; 4] = ["n1", "w1", "r1", "g"];

impl World {
    /// `count` empty replicas.
    pub fn new(seed: u64, count: u64) -> World {
        let replicas: Vec<Replica> = (0..count).map(|i| Replica::new(seed * 64 + i)).collect();
        let feeds: Vec<FeedKey> = replicas.iter().map(Replica::writer).collect();
        World { replicas, known: feeds.clone(), feeds, cleared: 0, random: Random::new(seed) }
    }

    /// Its choices.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// One of the replicas.
    pub fn pick_replica(&mut self) -> usize {
        self.random.below(self.replicas.len() as u64) as usize
    }

    /// A box, often small, sometimes across the antimeridian or without area.
    pub fn extent(&mut self) -> Extent {
        let lon = |r: &mut Random| (r.below(101) as i64 * 36_000_000 - 1_800_000_000) as i32;
        let (west, lat) =
            (lon(&mut self.random), (self.random.below(51) as i64 * 36_000_000 - 900_000_000) as i32);
        let east = if self.random.chance(20) {
            lon(&mut self.random)
        } else {
            west.saturating_add(self.step()).min(1_800_000_000)
        };
        let north = lat.saturating_add(self.step()).min(900_000_000);
        Extent::from_corners(Coord { lon: west, lat }, Coord { lon: east, lat: north })
    }

    fn step(&mut self) -> i32 {
        self.random.below(12) as i32 * 36_000_000
    }

    /// One step of the history.
    pub fn advance(&mut self, mix: Mix) {
        let who = self.pick_replica();
        match self.random.below(100) {
            n if n < mix.restarts => self.restart(who),
            n if n < mix.restarts + mix.clears => self.clear(who),
            n if n < mix.restarts + mix.clears + mix.copies => self.copy(who),
            n if n < 55 => self.write(who, mix),
            n if n < 80 => self.gossip(who),
            _ => {
                let peer = self.pick_replica();
                let extent = self.extent();
                self.replicas[who].ask(&self.replicas[peer], &extent);
            }
        }
    }

    fn restart(&mut self, who: usize) {
        if self.random.chance(50) { self.replicas[who].reopen() } else { self.replicas[who].rebuild() }
    }

    /// Somebody restores `who` elsewhere, and both go on writing.
    fn copy(&mut self, who: usize) {
        if self.replicas.len() < 6 {
            let copy = self.replicas[who].copy(self.random.below(u64::MAX));
            self.replicas.push(copy);
            self.feeds.push(self.feeds[who]);
        }
    }

    /// `who` clears some of what it holds of a random feed, and may give the disk back.
    fn clear(&mut self, who: usize) {
        let feed = *self.random.pick(&self.known);
        let held = self.replicas[who].feeds().held(&feed);
        let some: RangeSet = held.iter().filter(|_| self.random.chance(50)).collect();
        if !some.is_empty() {
            self.cleared += self.replicas[who].feeds().clear(&feed, &some).expect("clear").blocks;
        }
        if self.random.chance(50) {
            self.replicas[who].compact();
        }
    }

    /// `who` takes some random blocks of a random feed from somebody: holes, children before parents.
    fn gossip(&mut self, who: usize) {
        let peer = self.pick_replica();
        let feed = *self.random.pick(&self.known);
        let held = self.replicas[peer].feeds().held(&feed);
        let some: RangeSet = held.iter().filter(|_| self.random.chance(40)).collect();
        if who != peer && !some.is_empty() {
            let (who, peer) = (&self.replicas[who], &self.replicas[peer]);
            who.fetch(peer, feed, &some);
            if self.random.chance(40) {
                peer.tell(who);
            }
            if self.random.chance(80) {
                who.compare(peer);
            }
        }
    }

    fn write(&mut self, who: usize, mix: Mix) {
        let key = self.random.pick(&KEYS).as_bytes().to_vec();
        let feed = self.feed_of(who);
        let replica = &self.replicas[who];
        replica.map().ready().expect("ready");
        let active = replica.map().read(|index| index.active(&key)).expect("view").expect("active");
        let delete = self.random.chance(mix.deletes);
        let places = if delete { Places::NOWHERE } else { Places::on_map(&self.extent()) };
        let kind = Kind { space: space::MAP, code: u8::from(delete) };
        let mut header =
            Header { key: Some(key), places, ..Header::new(kind, Timestamp(self.random.below(50) as i64)) };
        if self.random.chance(50) {
            let refs: Vec<&str> = KEYS.into_iter().filter(|_| self.random.chance(40)).collect();
            header.set_refs(refs.into_iter().map(|key| key.as_bytes().to_vec()));
        }
        if self.random.chance(mix.hostile) {
            self.lie(&mut header)
        } else {
            self.link(&mut header, &active, feed, mix)
        }
        if self.random.chance(mix.detached) {
            let bytes = 1 + self.random.below(4_000);
            self.replicas[who].append_detached(feed, header, bytes);
        } else {
            self.replicas[who].append(feed, &header, SAID);
        }
    }

    /// The feed that `who` writes: a new one once it has heard that another copy of it writes to its own.
    fn feed_of(&mut self, who: usize) -> FeedKey {
        let (feed, feeds) = (self.feeds[who], self.replicas[who].feeds());
        if !feeds.list().iter().any(|info| info.feed == feed && info.writable) {
            self.feeds[who] = feeds.create(Timestamp(1), Some(feed)).expect("create");
            self.known.push(self.feeds[who]);
        }
        self.feeds[who]
    }

    fn link(&mut self, header: &mut Header, active: &[Version], feed: FeedKey, mix: Mix) {
        let heads = rules::heads(active).into_iter().map(|v| v.id);
        let picked: Vec<_> = heads.filter(|_| !self.random.chance(mix.careless)).collect();
        rules::succeed(active, &picked, &feed).apply_to(header);
    }

    fn lie(&mut self, header: &mut Header) {
        let mut vector: Vec<_> = self
            .known
            .clone()
            .into_iter()
            .map(|feed| (feed.name(), *self.random.pick(&[0, 3, 1_000_000_000])))
            .collect();
        vector.retain(|_| self.random.chance(60));
        vector.sort_unstable();
        header.context = Context { vector, ..Context::NOTHING };
        header.depth = self.random.below(12) as u32;
        header.past = match self.random.below(3) {
            0 => Places::NOWHERE,
            1 => Places::on_map(&self.extent()),
            _ => Places::on_map(&Extent::from(GeoBox::WORLD)),
        };
    }
}
