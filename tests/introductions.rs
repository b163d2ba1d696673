//! Who was met by one ticket finds the others by itself: in worlds, where nobody types an address.

use kappadb::{Builder, Database, Interest, PeerConnection, Server};
use kappadb_sim::{Machine, World, seeds};
use kappadb_tests::machine;
use std::time::Duration;

struct Replica {
    database: Database,
    server: Option<Server>,
    machine: Machine,
}

/// With a clock that is right.
fn builder(world: &World, machine: &Machine) -> Builder {
    machine::builder(machine).clock(world.clock())
}

impl Replica {
    async fn new(world: &mut World, n: usize, by: Option<&Replica>, on: bool) -> Replica {
        let machine = world.machine(n);
        let builder = builder(world, &machine).introductions(on);
        let database = match by {
            None => builder.create().await.expect("create"),
            Some(by) => {
                let ticket = by.server.as_ref().expect("it serves").ticket();
                builder.join(&ticket).await.expect("join")
            }
        };
        database.add_follow(Interest::Everything).await.expect("follow");
        let mut replica = Replica { database, server: None, machine };
        replica.serve().await;
        replica
    }

    async fn serve(&mut self) {
        self.server = Some(self.database.serve((self.machine.ip, 0).into()).await.expect("serve"));
    }

    /// It is not there any more, and says nothing of that.
    async fn vanish(&mut self, world: &World) {
        world.network().freeze(self.machine.ip, true);
        world.network().break_all_of(self.machine.ip);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    fn sessions(&self) -> usize {
        let is_open = |connection: &PeerConnection| matches!(connection, PeerConnection::Open { .. });
        self.database.peers().states().iter().filter(|state| is_open(&state.connection)).count()
    }

    async fn has(&self, key: &str) -> bool {
        self.database.kv().get(key).await.expect("get").items.len() == 1
    }
}

/// A hub, and so many that were met by its ticket alone.
async fn by_one_ticket(world: &mut World, count: usize, on: bool) -> Vec<Replica> {
    let mut all = vec![Replica::new(world, 0, None, on).await];
    for n in 1..count {
        let joined = Replica::new(world, n, all.first(), on).await;
        all.push(joined);
    }
    tokio::time::sleep(Duration::from_secs(120)).await;
    all
}

/// How many others hear within a minute what one of them writes.
async fn hearers(all: &[Replica], key: &str) -> usize {
    all[0].database.kv().put(key, "heard").await.expect("put");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut heard = 0;
    for replica in &all[1..] {
        heard += usize::from(replica.has(key).await);
    }
    heard
}

#[test]
fn who_joined_by_one_ticket_stays_in_touch_with_the_others_when_that_peer_is_gone() {
    for seed in seeds(0..5) {
        World::run(seed, async |mut world| {
            let mut all = by_one_ticket(&mut world, 8, true).await;
            all[0].vanish(&world).await;
            assert_eq!(hearers(&all[1..], "after").await, 6, "seed {seed}");
            assert!(all[1..].iter().all(|replica| replica.sessions() >= 2), "seed {seed}");
        });
    }
}

#[test]
fn where_nobody_is_introduced_the_others_are_lost_with_that_peer() {
    World::run(1, async |mut world| {
        let mut all = by_one_ticket(&mut world, 4, false).await;
        assert_eq!(hearers(&all[1..], "before").await, 2, "by way of the hub");
        all[0].vanish(&world).await;
        assert_eq!(hearers(&all[1..], "after").await, 0);
    });
}

#[test]
fn who_was_heard_of_is_known_after_a_restart_and_who_was_removed_is_not_called_again() {
    World::run(2, async |mut world| {
        let mut all = by_one_ticket(&mut world, 4, true).await;
        let (hub, other) = {
            let key = |replica: &Replica| replica.server.as_ref().expect("it serves").ticket().peer;
            (key(&all[0]), key(&all[2]))
        };
        // The owner of one will not have another, whoever tells of it.
        let ticket = all[2].server.as_ref().expect("it serves").ticket();
        all[1].database.peers().add(&ticket, None).await.expect("add");
        all[1].database.peers().remove(other).await.expect("remove");
        let mut one = all.remove(1);
        one.server.take().expect("it serves").stop().await;
        one.database.clone().close().await.expect("close");
        all[0].vanish(&world).await;
        one.database = builder(&world, &one.machine).open().await.expect("open");
        one.serve().await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        let states = one.database.peers().states();
        let called = |key| {
            states.iter().any(|state| {
                state.key == key && !matches!(state.connection, PeerConnection::Open { called: true, .. })
            })
        };
        assert!(called(hub), "{states:?}");
        assert!(!called(other), "it was removed: {states:?}");
        assert!(one.sessions() >= 1, "{states:?}");
    });
}
