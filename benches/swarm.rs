//! What it costs to take part as a swarm grows: whole replicas in a simulated world, up to a thousand in one database.
//!
//! `cargo bench -p kappadb-benches --bench swarm [-- PEERS ...]`. Every tenth replica follows everything, as a seed does, the others one channel of ten and
//! nothing else. Each knows three others, a seed among them, and keeps sessions to them. Time, network and disks are simulated: bytes, messages and the time
//! that passes in the world are measured, not what the machine takes.

use kappadb::{Database, Durability, Interest, ReadOptions, Server, Source};
use kappadb_sim::{Machine, Traffic, World};
use std::time::{Duration, Instant};

const CHANNELS: usize = 10;
/// Of so many one follows everything.
const SEEDS: usize = 10;
/// How many others each knows.
const KNOWN: usize = 3;
/// Edits that are averaged.
const EDITS: usize = 10;
/// For so long nothing is done before something is measured.
const REST: Duration = Duration::from_secs(600);
/// Idle time that is measured.
const IDLE: Duration = Duration::from_secs(600);

struct Replica {
    database: Database,
    server: Server,
    channel: String,
    machine: Machine,
}

fn channel(n: usize) -> String {
    format!("channel {}", n % CHANNELS)
}

impl Replica {
    /// The `n`-th of a swarm.
    async fn new(world: &mut World, n: usize, swarm: &[Replica]) -> Replica {
        let machine = world.machine(n);
        let builder = Database::builder(&machine.dir)
            .threads(machine.threads.clone())
            .store(machine.store.clone())
            .disk(machine.disk.clone())
            .transport(machine.host.clone())
            .clock(world.clock())
            .random(machine.chance())
            .state(machine.dir.with_extension("state"));
        let seeds: Vec<&Replica> = swarm.iter().step_by(SEEDS).collect();
        let mut others = Vec::new();
        if n > 0 {
            others.push(world.random().pick(&seeds).server.ticket());
            others.extend((1..KNOWN.min(n)).map(|_| world.random().pick(swarm).server.ticket()));
        }
        let database = match others.first() {
            None => builder.create().await.expect("a database"),
            Some(ticket) => builder.join(ticket).await.expect("joined"),
        };
        for ticket in others.iter().skip(1) {
            database.peers().add(ticket, None).await.expect("a peer");
        }
        let interest = match n % SEEDS {
            0 => Interest::Everything,
            _ => Interest::Channel(channel(n)),
        };
        database.add_follow(interest).await.expect("followed");
        let server = database.serve((machine.ip, 0).into()).await.expect("served");
        Replica { database, server, channel: channel(n), machine }
    }

    /// Bytes of all of its sessions.
    fn bytes(&self) -> u64 {
        self.database.peers().states().iter().map(|peer| peer.bytes_received + peer.bytes_sent).sum()
    }

    async fn post(&self, text: &str) -> String {
        let said = format!("{text} by {}", self.machine.ip);
        self.database.chat().post(&self.channel, &said).await.expect("posted");
        said
    }

    async fn shows(&self, channel: &str, said: &str) -> bool {
        let page = self.database.chat().read(channel, &ReadOptions::latest(5)).await.expect("read");
        page.messages.iter().any(|message| message.said.text() == Some(said))
    }
}

/// What went over the network since.
fn since(world: &World, before: Traffic) -> (f64, f64) {
    let now = world.network().traffic();
    ((now.bytes - before.bytes) as f64, (now.pieces - before.pieces) as f64)
}

async fn swarm(mut world: World, count: usize) {
    let begun = Instant::now();
    let mut all: Vec<Replica> = Vec::new();
    for n in 0..count {
        let replica = Replica::new(&mut world, n, &all).await;
        replica.post("hello").await;
        all.push(replica);
    }
    tokio::time::sleep(REST).await;
    let whole = world.network().traffic();
    println!("{count} peers: {:.0} kB each so far", whole.bytes as f64 / count as f64 / 1e3);

    let before = world.network().traffic();
    tokio::time::sleep(IDLE).await;
    let (bytes, pieces) = since(&world, before);
    let minutes = IDLE.as_secs_f64() / 60.0 * count as f64;
    println!("  idle: {:.0} B and {:.1} messages a peer and minute", bytes / minutes, pieces / minutes);

    let (mut took, mut reached, before) = (Duration::ZERO, 0, world.network().traffic());
    for n in 0..EDITS {
        let writer = &all[(n * 7 + 1) % count];
        let (said, at) = (writer.post(&format!("news {n}")).await, world.age());
        let mut waiting: Vec<&Replica> = all
            .iter()
            .enumerate()
            .filter(|(n, r)| n % SEEDS == 0 || r.channel == writer.channel)
            .map(|(_, r)| r)
            .collect();
        reached += waiting.len();
        while !waiting.is_empty() && world.age() < at + Duration::from_secs(120) {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let mut left = Vec::new();
            for replica in waiting {
                if !replica.shows(&writer.channel, &said).await {
                    left.push(replica);
                }
            }
            waiting = left;
        }
        assert!(waiting.is_empty(), "{} of {count} never heard {said}", waiting.len());
        took += world.age() - at;
    }
    let (bytes, pieces) = since(&world, before);
    println!(
        "  an edit: {:.0} B and {:.1} messages for each of {:.0} who follow it, at all of them after {:.0} ms",
        bytes / reached as f64,
        pieces / reached as f64,
        reached as f64 / EDITS as f64,
        took.as_secs_f64() * 1e3 / EDITS as f64
    );

    question(&world, &all[count - 1]).await;
    join(&mut world, &all).await;
    println!("  (simulated in {:.0} s)", begun.elapsed().as_secs_f64());
}

/// For a key that nobody has, in sessions that are open.
async fn question(world: &World, asker: &Replica) {
    let (before, at) = (asker.bytes(), world.age());
    let answer = asker.database.kv().get("no such key").from(Source::Peers).await.expect("asked");
    println!(
        "  an absent key: {} B with {} peers in {:.0} ms, complete: {}",
        asker.bytes() - before,
        answer.asked.peers,
        (world.age() - at).as_secs_f64() * 1e3,
        answer.is_complete()
    );
}

/// Somebody comes, and reads what was said last in a channel.
async fn join(world: &mut World, all: &[Replica]) {
    let at = world.age();
    let newcomer = Replica::new(world, all.len() + 1, all).await;
    let read = newcomer.database.chat().read(&newcomer.channel, &ReadOptions::latest(50));
    let page = read.from(Source::Peers).await.expect("read");
    let took = world.age() - at;
    tokio::time::sleep(Duration::from_secs(10)).await;
    println!(
        "  a join, with the latest 50 of a channel: {} B in {:.0} ms, {} shown, complete: {}",
        newcomer.bytes(),
        took.as_secs_f64() * 1e3,
        page.messages.len(),
        page.completeness.is_complete()
    );
}

/// What a question costs who has nothing, where a peer has so many feeds.
async fn feeds(mut world: World, count: usize) {
    let seed = Replica::new(&mut world, 0, &[]).await;
    for n in 1..count {
        let name = format!("writer {n}");
        seed.database.new_writer(&name).await.expect("a writer");
        let writer = seed.database.with_writer(&name).await.expect("a writer");
        let put = writer.kv().put(format!("key {n}"), "a value").durability(Durability::Buffered);
        put.await.expect("written");
    }
    let stranger = Replica::new(&mut world, 1, std::slice::from_ref(&seed)).await;
    let mut costs = Vec::new();
    for key in ["no such key", "nor this one", "key 7", "key 7"] {
        let before = stranger.bytes();
        let answer = stranger.database.kv().get(key).from(Source::Peers).await.expect("asked");
        assert!(answer.is_complete(), "{count} feeds: {answer:?}");
        costs.push(stranger.bytes() - before);
    }
    println!(
        "{count} feeds: bytes for an absent key cold, another, one that is there, that again: {costs:?}"
    );
}

fn main() {
    let counts: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let (peers, of_feeds) = match counts.is_empty() {
        true => (vec![10, 30, 100, 300, 1_000], vec![10, 100, 1_000, 10_000, 100_000]),
        false => (counts, Vec::new()),
    };
    of_feeds.into_iter().for_each(|count| World::run(1, async |world| feeds(world, count).await));
    peers.into_iter().for_each(|count| World::run(1, async |world| swarm(world, count).await));
}
