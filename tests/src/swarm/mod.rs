//! Replicas that keep sessions while they write, go away and come back, and a plain model of what each must hold in the end.

mod check;
mod ground;
mod steps;
mod trouble;

use check::Topic;
use ground::{Ground, builder};
use kappadb::{Builder, Database, EntryId, FeedKey, Following, Interest, Server, Ticket};
use kappadb_sim::{Machine, Random, World};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The keys that some follow, the channel and the part of the map.
const PREFIX: &str = "a/";
const CHANNELS: [&str; 2] = ["tea", "rum"];
const AREA: &str = "0,0,10,10";

/// What an entry is about, for those who follow little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Key {
        followed: bool,
    },
    Channel {
        followed: bool,
    },
    /// Whether the feature is, or was before, in the part of the map that some follow.
    Map {
        followed: bool,
    },
}

/// What one replica wrote, and what that comes to. Nobody else writes of these keys, messages and features.
#[derive(Debug, Default)]
struct Said {
    entries: BTreeMap<EntryId, About>,
    values: BTreeMap<String, Option<String>>,
    /// The channel of each message that was not deleted, and those that were.
    posts: BTreeMap<EntryId, usize>,
    deleted: BTreeSet<EntryId>,
    /// Whether a feature is in the part of the map that some follow.
    features: BTreeMap<String, bool>,
    /// Those that ever were.
    were_inside: BTreeSet<String>,
}

struct Member {
    dir: PathBuf,
    /// What it stands on, in a simulation.
    machine: Option<Machine>,
    database: Option<Database>,
    feed: FeedKey,
    interest: Option<Interest>,
    following: Option<Following>,
    serves: bool,
    server: Option<Server>,
    address: SocketAddr,
    ticket: Option<Ticket>,
    /// Whom it calls.
    knows: BTreeSet<usize>,
    dropped: BTreeSet<usize>,
    /// What it asked its peers for.
    asked: BTreeSet<Topic>,
    /// Its disk takes nothing any more, until it is opened anew.
    fails: bool,
    said: Said,
}

/// Several replicas of one database, some of which serve.
pub struct Swarm {
    members: Vec<Member>,
    random: Random,
    /// Payloads were cleared somewhere, and may be passed on without.
    cleared: bool,
    history: Vec<String>,
    ground: Ground,
}

/// What came of a history.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// Questions that were put to peers at the end.
    pub asked: u64,
    /// Those whose answers said that they are complete.
    pub complete: u64,
    /// Pairs of a writer and one who must hold what it wrote of what it follows.
    pub pairs: u64,
}

impl Member {
    fn database(&self) -> &Database {
        self.database.as_ref().expect("open")
    }

    fn follows_all(&self) -> bool {
        self.interest == Some(Interest::Everything)
    }

    /// It keeps sessions to those whom it calls.
    fn keeps(&self) -> bool {
        self.serves || self.interest.is_some()
    }

    fn key(&self) -> Option<FeedKey> {
        self.ticket.as_ref().map(|ticket| ticket.peer)
    }

    fn builder(&self) -> Builder {
        builder(&self.dir, self.machine.as_ref())
    }

    async fn open(&mut self) {
        self.database = Some(self.builder().open().await.expect("open"));
        self.follow();
        self.serve().await;
    }

    /// Who serves follows what is in its folder.
    fn follow(&mut self) {
        let alone = self.interest.as_ref().filter(|_| !self.serves);
        self.following = alone.map(|interest| self.database().follow(interest));
    }

    async fn serve(&mut self) {
        if self.serves && self.server.is_none() {
            let server = self.database().serve(self.address).await.expect("serve");
            (self.address, self.ticket) = (server.address(), Some(server.ticket()));
            self.server = Some(server);
        }
    }

    /// Its power is gone: what it would still do fails.
    async fn abandon(&mut self) {
        self.following = None;
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
        if let Some(database) = self.database.take() {
            let _ = database.close().await;
        }
    }

    async fn close(&mut self) {
        self.following = None;
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
        if let Some(database) = self.database.take() {
            database.close().await.expect("close");
        }
    }
}

impl Seen {
    /// What came of this history, too.
    pub fn add(&mut self, Seen { asked, complete, pairs }: Seen) {
        self.asked += asked;
        self.complete += complete;
        self.pairs += pairs;
    }

    /// True if it shows what it is to show.
    pub fn is_much(&self) -> bool {
        self.pairs > 100 && self.complete > self.asked / 4
    }
}

/// Steps of a history.
const STEPS: u64 = 60;

impl Swarm {
    /// Lives its history to the end.
    ///
    /// # Panics
    /// If that does not end as it must.
    pub async fn live(mut self) -> Seen {
        for _ in 0..STEPS {
            self.advance().await;
        }
        let seen = match self.settle().await {
            Ok(seen) => seen,
            Err(why) => panic!("{}: {why}", self.history[0]),
        };
        self.close().await;
        seen
    }

    /// Two to eight replicas, each of which joined one before it, over TCP.
    pub async fn over_tcp(seed: u64) -> Swarm {
        Swarm::on(Ground::real(), seed).await
    }

    /// The same in a world of their own.
    pub async fn in_world(world: World, seed: u64) -> Swarm {
        Swarm::on(Ground::Simulated(world), seed).await
    }

    async fn on(ground: Ground, seed: u64) -> Swarm {
        let mut random = Random::new(seed);
        let most = if ground.is_real() || random.chance(80) { 9 } else { 21 };
        let count = random.between(2, most) as usize;
        let mut swarm = Swarm {
            members: Vec::new(),
            random: random.clone(),
            cleared: false,
            history: Vec::new(),
            ground,
        };
        swarm.history.push(format!("seed {seed}"));
        for n in 0..count {
            let member = swarm.newcomer(n, &mut random).await;
            swarm.members.push(member);
        }
        swarm.random = random;
        swarm
    }

    async fn newcomer(&mut self, n: usize, random: &mut Random) -> Member {
        let (dir, machine) = self.ground.place(n);
        let servers: Vec<usize> = (0..n).filter(|i| self.members[*i].serves).collect();
        let (database, knows) = match self.members.first() {
            None => (builder(&dir, machine.as_ref()).create().await.expect("create"), BTreeSet::new()),
            Some(_) => {
                let host = *random.pick(&servers);
                let ticket = self.members[host].ticket.clone().expect("it serves");
                let joining = builder(&dir, machine.as_ref()).join(&ticket);
                (joining.await.expect("join"), BTreeSet::from([host]))
            }
        };
        let interest = match random.below(9) {
            0..5 => Some(Interest::Everything),
            5 => Some(Interest::Prefix(PREFIX.to_owned())),
            6 => Some(Interest::Channel(CHANNELS[0].to_owned())),
            7 => Some(Interest::Area(AREA.parse().expect("box"))),
            _ => None,
        };
        let feed = database.writer().await.expect("feed");
        let serves = n == 0 || random.chance(50);
        let address = self.ground.address(machine.as_ref());
        let mut member = Member {
            dir,
            machine,
            database: Some(database),
            feed,
            interest,
            following: None,
            serves,
            server: None,
            address,
            ticket: None,
            knows,
            dropped: BTreeSet::new(),
            asked: BTreeSet::new(),
            fails: false,
            said: Said::default(),
        };
        if let Some(interest) = member.interest.clone().filter(|_| serves) {
            member.database().add_follow(interest).await.expect("follow");
        }
        member.follow();
        member.serve().await;
        let (interest, knows) = (&member.interest, &member.knows);
        self.history.push(format!("{n}: serves {serves}, follows {interest:?}, knows {knows:?}"));
        member
    }

    fn note(&mut self, who: usize, what: impl Display) {
        self.history.push(format!("{who}: {what}"));
    }

    /// Ends all.
    pub async fn close(mut self) {
        for member in &mut self.members {
            member.close().await;
        }
    }
}

impl Drop for Swarm {
    /// Whoever fails shows what happened.
    #[expect(clippy::print_stderr, reason = "a test that fails says why")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.history.join("\n"));
        }
    }
}
