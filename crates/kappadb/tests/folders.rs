//! Folders that are moved, copied, put back, cloned and lost, with real peers: each row of the table in `design/log.md`, "Whose folder is it".

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

#[path = "common/copy.rs"]
mod copying;

use copying::copy;
use kappadb::{Builder, Database, FeedStatus, Server, Source, WriteError};
use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Nothing here may hang: what takes longer than any of it can fails.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(900), test).await });
    // A thread that waits for ever must not keep the failure from being told.
    runtime.shutdown_background();
    ended.unwrap()
}

fn sh(script: &str, from: &Path, to: &Path) {
    let done = Command::new("sh").args(["-ec", script, "sh"]).args([from, to]).status().unwrap();
    assert!(done.success(), "{script}");
}

/// Puts a backup back over a folder.
type PutBack = fn(&Path, &Path);

/// The ways to do that.
const WAYS: [(&str, PutBack); 5] = [
    ("in place", copy),
    ("cp -a", |from, to| sh(r#"cp -a "$1/." "$2""#, from, to)),
    ("cp -a in its place", |from, to| sh(r#"rm -r "$2"; cp -a "$1" "$2""#, from, to)),
    ("tar", |from, to| sh(r#"tar -C "$1" -cf - . | tar -C "$2" -xf -"#, from, to)),
    // Each file is written beside the one that it replaces, and what the backup does not have goes.
    ("as rsync does", |from, to| {
        let script = r#"cd "$1"; find . -type d | while read -r d; do mkdir -p "$2/$d"; done
            find . -type f | while read -r f; do cp -p "$f" "$2/$f.part"; mv "$2/$f.part" "$2/$f"; done
            cd "$2"; find . -type f | while read -r f; do [ -e "$1/$f" ] || rm "$f"; done"#;
        sh(script, from, to);
    }),
];

async fn serve(database: &Database) -> Server {
    database.serve(([127, 0, 0, 1], 0).into()).await.unwrap()
}

async fn put(database: &Database, key: &str) {
    database.kv().put(key, key).await.unwrap();
}

async fn has(database: &Database, key: &str) -> bool {
    database.kv().get(key).await.unwrap().one().is_some()
}

async fn own(database: &Database) -> Vec<FeedStatus> {
    let keys = database.writers().await.unwrap();
    let feeds = database.status().await.unwrap().feeds;
    feeds
        .into_iter()
        .filter(|feed| {
            feed.writable
                || feed.given_up
                || feed.behind
                || keys.iter().any(|w| w.feed.to_string() == feed.feed)
        })
        .collect()
}

/// How many feeds were begun that go on for another.
async fn successors(database: &Database) -> usize {
    own(database).await.iter().filter(|feed| feed.predecessor.is_some()).count()
}

/// What a peer of the folder has to say.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Peer {
    None,
    Silent,
    Refuses,
    KnowsNoMore,
    KnowsMore,
}

const PEERS: [Peer; 5] = [Peer::None, Peer::Silent, Peer::Refuses, Peer::KnowsNoMore, Peer::KnowsMore];

/// A machine with a folder `home` that has written `first`, and `second` after a backup of it was made in `backup`.
struct World {
    dir: tempfile::TempDir,
    /// Held: what is accepted is never answered.
    _silent: Option<std::net::TcpListener>,
    _peer: Option<(Database, Server)>,
}

impl World {
    async fn new(kind: Peer) -> World {
        let mut world = World { dir: tempfile::tempdir().unwrap(), _silent: None, _peer: None };
        let home = world.builder("home").create().await.unwrap();
        put(&home, "first").await;
        let mut server = serve(&home).await;
        let peer = world.join("peer", "elsewhere", &server).await;
        assert!(peer.kv().get_all(["first"]).from(Source::Peers).await.unwrap().is_complete());
        server.stop().await;
        home.close().await.unwrap();
        copy(&world.path("home"), &world.path("backup"));
        copy(&world.path("state"), &world.path("state-backup"));
        let home = world.open("home").await;
        put(&home, "second").await;
        if kind == Peer::KnowsMore {
            server = serve(&home).await;
            peer.close().await.unwrap();
            let peer = world.join("peer", "elsewhere", &server).await;
            assert!(peer.kv().get_all(["second"]).from(Source::Peers).await.unwrap().is_complete());
            server.stop().await;
            peer.close().await.unwrap();
        } else {
            peer.close().await.unwrap();
        }
        home.close().await.unwrap();
        world.know(kind).await;
        world
    }

    /// Has `home` and `backup` know a peer of this kind.
    async fn know(&mut self, kind: Peer) {
        if kind == Peer::None {
            return;
        }
        let peer = Database::builder(self.path("peer")).state(self.path("elsewhere")).open().await.unwrap();
        let server = serve(&peer).await;
        for name in ["home", "backup"] {
            self.join(name, "state", &server).await.close().await.unwrap();
        }
        if matches!(kind, Peer::KnowsMore | Peer::KnowsNoMore) {
            self._peer = Some((peer, server));
            return;
        }
        let address = server.address();
        server.stop().await;
        peer.close().await.unwrap();
        if kind == Peer::Silent {
            self._silent = Some(std::net::TcpListener::bind(address).unwrap());
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn builder(&self, name: &str) -> Builder {
        Database::builder(self.path(name)).state(self.path("state"))
    }

    async fn join(&self, name: &str, state: &str, server: &Server) -> Database {
        Database::builder(self.path(name)).state(self.path(state)).join(&server.ticket()).await.unwrap()
    }

    async fn open(&self, name: &str) -> Database {
        self.builder(name).open().await.unwrap()
    }
}

/// Writes, and says whether that went on in the same feed.
async fn goes_on(database: &Database) -> bool {
    let before: Vec<String> =
        own(database).await.into_iter().filter(|feed| feed.writable).map(|feed| feed.feed).collect();
    let id = database.kv().put("third", "third").await.unwrap();
    assert!(has(database, "third").await);
    before.contains(&id.feed.to_string())
}

#[test]
fn a_folder_that_is_where_it_was_or_was_moved_goes_on_with_its_feed() {
    run(async {
        for kind in PEERS {
            let world = World::new(kind).await;
            for (from, to) in [("home", "home"), ("home", "moved"), ("moved", "deep")] {
                fs::rename(world.path(from), world.path(to)).unwrap();
                let database = world.open(to).await;
                assert!(database.warnings().is_empty(), "{kind:?} {:?}", database.warnings());
                assert!(goes_on(&database).await, "{kind:?} {to}");
                assert_eq!(successors(&database).await, 0, "{kind:?}");
                database.close().await.unwrap();
            }
        }
    });
}

#[test]
fn an_older_state_that_was_put_back_in_any_way_goes_on_in_a_new_feed_whatever_peers_say() {
    run(async {
        for kind in PEERS {
            let ways: Vec<_> = WAYS.iter().skip(if kind == Peer::None { 0 } else { 4 }).collect();
            for (n, (way, put_back)) in ways.into_iter().enumerate() {
                let looks = n % 2 == 0;
                let world = World::new(kind).await;
                put_back(&world.path("backup"), &world.path("home"));
                let case = format!("{kind:?} {way}");
                let told: Arc<Mutex<Vec<String>>> = Arc::default();
                let ear = told.clone();
                let home =
                    world.builder("home").warned(move |text| ear.lock().unwrap().push(text.to_owned()));
                let home = home.open().await.unwrap();
                assert!(has(&home, "first").await && !has(&home, "second").await, "{case}");
                let warnings = if looks { home.warnings() } else { Vec::new() };
                assert_eq!(
                    warnings.iter().any(|text| text.contains("older copy")),
                    looks,
                    "{case} {warnings:?}"
                );
                assert!(!goes_on(&home).await, "{case}");
                assert_eq!(successors(&home).await, 1, "{case}");
                // What was lost is back where somebody had it.
                assert_eq!(has(&home, "second").await, kind == Peer::KnowsMore, "{case}");
                // Once, to who looked before and to who did not.
                let told = told.lock().unwrap().clone();
                let warned =
                    |texts: &[String]| texts.iter().filter(|text| text.contains("in a new feed")).count();
                if kind != Peer::KnowsMore {
                    assert_eq!(warned(&told) + warned(&warnings), 1, "{case} {told:?}");
                }
                assert!(warned(&told) <= 1, "{case} {told:?}");
                home.close().await.unwrap();
                // It is settled: the next start has no doubt and goes on with the new feed.
                let home = world.open("home").await;
                let left: Vec<String> =
                    home.warnings().into_iter().filter(|text| text.contains("older")).collect();
                assert!(left.is_empty(), "{case} {left:?}");
                assert!(goes_on(&home).await, "{case}");
                assert_eq!(successors(&home).await, 1, "{case}");
                assert!(home.verify().await.unwrap().is_empty(), "{case}");
            }
        }
    });
}

#[test]
fn of_two_copies_on_a_machine_the_one_that_writes_first_goes_on_and_the_other_begins_a_new_feed() {
    run(async {
        for first in ["home", "copy"] {
            let world = World::new(Peer::None).await;
            let second = if first == "home" { "copy" } else { "home" };
            copy(&world.path("home"), &world.path("copy"));
            let database = world.open(first).await;
            assert!(goes_on(&database).await);
            database.close().await.unwrap();
            let database = world.open(second).await;
            assert!(database.warnings().iter().any(|warning| warning.contains("not in this folder")));
            assert!(!goes_on(&database).await);
            database.close().await.unwrap();
            for name in [first, second] {
                let database = world.open(name).await;
                assert!(
                    database.warnings().is_empty() && goes_on(&database).await,
                    "{name}: each has its own feed now"
                );
                database.close().await.unwrap();
            }
        }
    });
}

#[test]
fn two_clones_and_what_they_were_made_of_can_be_open_at_once_and_write_three_feeds() {
    run(async {
        let world = World::new(Peer::None).await;
        copy(&world.path("home"), &world.path("one"));
        copy(&world.path("one"), &world.path("two"));
        let mut all = Vec::new();
        for name in ["one", "home", "two"] {
            let database = world.open(name).await;
            let id = database.kv().put("third", name).await.unwrap();
            all.push((database, id.feed));
        }
        let feeds: std::collections::BTreeSet<_> = all.iter().map(|(_, feed)| *feed).collect();
        assert_eq!(feeds.len(), 3);
        let said: Vec<Vec<String>> = all.iter().map(|(database, _)| database.warnings()).collect();
        assert!(
            said[0].is_empty() && said[1..].iter().all(|said| said[0].contains("open for writing")),
            "{said:?}"
        );
    });
}

#[test]
fn a_copy_of_a_folder_that_is_open_for_writing_goes_on_in_a_new_feed_whatever_peers_say() {
    run(async {
        for kind in PEERS {
            for of in ["home", "backup"] {
                let (world, case) = (World::new(kind).await, format!("{kind:?} {of}"));
                copy(&world.path(of), &world.path("copy"));
                let home = world.open("home").await;
                assert!(goes_on(&home).await, "{case}");
                let database = world.open("copy").await;
                assert!(!goes_on(&database).await, "{case}");
                // A peer that has shown more of the feed has settled it before.
                let shown = of == "backup" && kind == Peer::KnowsMore;
                let warnings = database.warnings();
                assert!(
                    shown || warnings.iter().any(|warning| warning.contains("open for writing")),
                    "{case} {warnings:?}"
                );
                assert_eq!(successors(&database).await, 1, "{case}");
                let known = of == "home" || shown;
                assert_eq!(has(&database, "second").await, known, "{case}");
                // Both go on, each for itself, now and later.
                for (name, database) in [("home", home), ("copy", database)] {
                    assert!(goes_on(&database).await, "{case} {name}");
                    database.close().await.unwrap();
                    let database = world.open(name).await;
                    let left = database.warnings();
                    // That peers know more of the old feed goes on being said.
                    assert!(
                        left.iter().all(|text| shown && text.contains("know more")),
                        "{case} {name} {left:?}"
                    );
                    assert!(goes_on(&database).await, "{case} {name}");
                    assert!(database.verify().await.unwrap().is_empty(), "{case} {name}");
                    database.close().await.unwrap();
                }
            }
        }
    });
}

fn flip(bytes: &mut [u8], at: usize) {
    *bytes.get_mut(at).unwrap() ^= 1;
}

/// Damages the witness of `home`: bytes of the whole file, a header of 128 and a slot of as many for each feed.
type Harm = fn(&mut Vec<u8>);

const HARMS: [(&str, Harm); 4] = [
    ("the length of a feed", |bytes| flip(bytes, 128 + 32)),
    ("the file's header", |bytes| flip(bytes, 0)),
    ("half of it is lost", |bytes| bytes.truncate(128 + 64)),
    ("all of it is lost", Vec::clear),
];

#[test]
fn a_folder_whose_witness_is_damaged_goes_on_in_a_new_feed_whatever_peers_say_unless_it_is_said_to_be_the_only_one()
 {
    run(async {
        for (kind, harms) in
            PEERS.into_iter().zip([&HARMS[..], &HARMS[..1], &HARMS[..1], &HARMS[..1], &HARMS])
        {
            for ((what, harm), only) in harms.iter().flat_map(|harm| [(harm, false), (harm, true)]) {
                let (world, case) = (World::new(kind).await, format!("{kind:?} {what} {only}"));
                let name = fs::read_to_string(world.path("home").join("witness")).unwrap();
                let witness = world.path("state").join(name.trim());
                let mut bytes = fs::read(&witness).unwrap();
                harm(&mut bytes);
                fs::write(&witness, bytes).unwrap();
                let home = world.open("home").await;
                let warnings = home.warnings();
                assert!(
                    warnings.iter().any(|warning| warning.contains("--only-copy")),
                    "{case} {warnings:?}"
                );
                if only {
                    assert!(home.settle_as_only_copy().await.unwrap().is_empty(), "{case}");
                }
                assert_eq!(goes_on(&home).await, only, "{case}");
                assert_eq!(successors(&home).await, usize::from(!only), "{case}");
                assert!(has(&home, "first").await && has(&home, "second").await, "{case}");
                home.close().await.unwrap();
                let home = world.open("home").await;
                assert!(home.warnings().is_empty() && goes_on(&home).await, "{case}: it is settled");
                assert!(home.verify().await.unwrap().is_empty(), "{case}");
            }
        }
    });
}

#[test]
fn a_snapshot_of_everything_goes_on_in_a_new_feed_if_a_peer_knows_more_and_in_the_same_if_nobody_can_tell() {
    run(async {
        for kind in PEERS {
            let world = World::new(kind).await;
            for part in ["home", "state"] {
                fs::remove_dir_all(world.path(part)).unwrap();
            }
            copy(&world.path("backup"), &world.path("home"));
            copy(&world.path("state-backup"), &world.path("state"));
            let told: Arc<Mutex<Vec<String>>> = Arc::default();
            let ear = told.clone();
            let home = world.builder("home").warned(move |text| ear.lock().unwrap().push(text.to_owned()));
            let home = home.open().await.unwrap();
            assert!(home.warnings().is_empty(), "{kind:?} {:?}", home.warnings());
            assert_eq!(goes_on(&home).await, kind != Peer::KnowsMore, "{kind:?}");
            assert_eq!(has(&home, "second").await, kind == Peer::KnowsMore, "{kind:?}");
            let told = told.lock().unwrap().clone();
            assert_eq!(
                told.iter().any(|text| text.contains("peers know more")),
                kind == Peer::KnowsMore,
                "{told:?}"
            );
        }
    });
}

#[test]
fn a_folder_on_another_machine_goes_on_in_a_new_feed_whatever_peers_say_unless_it_is_said_to_be_the_only_one()
{
    run(async {
        for kind in PEERS {
            for only in [false, true] {
                let world = World::new(kind).await;
                let there = || Database::builder(world.path("home")).state(world.path("there"));
                let home = there().open().await.unwrap();
                let warnings = home.warnings();
                assert!(
                    warnings.iter().any(|warning| warning.contains("--only-copy")),
                    "{kind:?} {warnings:?}"
                );
                if only {
                    assert!(home.settle_as_only_copy().await.unwrap().is_empty(), "{kind:?}");
                }
                assert_eq!(goes_on(&home).await, only, "{kind:?}");
                home.close().await.unwrap();
                let home = there().open().await.unwrap();
                assert!(home.warnings().is_empty() && goes_on(&home).await, "{kind:?}: it is settled");
                home.close().await.unwrap();
                // Where it was it is a folder that was not written last.
                let back = world.open("home").await;
                assert!(!back.warnings().is_empty() && !goes_on(&back).await, "{kind:?}");
            }
        }
    });
}

#[test]
fn what_is_known_to_be_lost_is_not_gone_on_with_even_in_the_only_copy() {
    run(async {
        let world = World::new(Peer::None).await;
        copy(&world.path("backup"), &world.path("home"));
        let home = world.open("home").await;
        assert_eq!(home.settle_as_only_copy().await.unwrap().len(), 0, "what was given up before is no news");
        assert!(!goes_on(&home).await);
    });
}

#[test]
fn a_server_that_was_joined_and_knows_no_peer_settles_its_doubt_when_it_serves() {
    run(async {
        let world = World::new(Peer::None).await;
        copy(&world.path("backup"), &world.path("home"));
        let home = world.open("home").await;
        let server = serve(&home).await;
        assert!(
            home.warnings().iter().any(|warning| warning.contains("in a new feed")),
            "{:?}",
            home.warnings()
        );
        server.stop().await;
        home.close().await.unwrap();
        let home = world.open("home").await;
        assert!(home.warnings().is_empty(), "{:?}", home.warnings());
        put(&home, "third").await;
        assert_eq!(successors(&home).await, 1);
    });
}

#[test]
fn without_a_place_to_remember_nothing_is_written_and_everything_is_read() {
    run(async {
        let world = World::new(Peer::None).await;
        // A file where the folder should be: nobody can write below it, whoever runs this.
        fs::write(world.path("no-folder"), "").unwrap();
        let open = || Database::builder(world.path("home")).state(world.path("no-folder"));
        let home = open().open().await.unwrap();
        assert!(has(&home, "second").await);
        let error = home.kv().put("third", "third").await.unwrap_err().to_string();
        assert!(error.contains("KAPPA_STATE") && error.contains("no-folder"), "{error}");
        let server = serve(&home).await;
        server.stop().await;
        home.close().await.unwrap();
        assert!(open().open().await.unwrap().kv().get("third").await.unwrap().one().is_none());
        let new = Database::builder(world.path("new")).state(world.path("no-folder")).create().await;
        assert!(new.is_err_and(|error| error.to_string().contains("KAPPA_STATE")));
        // One that is missing is made, for this user alone.
        let home = world.open("home").await;
        assert!(goes_on(&home).await);
        home.close().await.unwrap();
        fs::remove_dir_all(world.path("state")).unwrap();
        let home = world.open("home").await;
        assert!(!goes_on(&home).await);
        assert_eq!(fs::metadata(world.path("state")).unwrap().permissions().mode() & 0o777, 0o700);
    });
}

#[test]
fn a_backup_of_a_folder_that_was_open_is_one_like_any_other() {
    run(async {
        let world = World::new(Peer::None).await;
        let home = world.open("home").await;
        put(&home, "third").await;
        copy(&world.path("home"), &world.path("live"));
        put(&home, "fourth").await;
        home.close().await.unwrap();
        let live = world.open("live").await;
        assert!(has(&live, "third").await && !has(&live, "fourth").await);
        assert!(!goes_on(&live).await);
        let home = world.open("home").await;
        assert!(goes_on(&home).await);
    });
}

#[test]
fn a_writer_that_failed_to_be_made_sure_of_is_made_sure_of_by_the_next_write() {
    run(async {
        let world = World::new(Peer::None).await;
        let witness = fs::read_to_string(world.path("home").join("witness")).unwrap();
        let file = world.path("state").join(witness.trim());
        let aside = world.path("aside");
        fs::rename(&file, &aside).unwrap();
        // What cannot be opened as a file is an error and no doubt.
        fs::create_dir(&file).unwrap();
        let home = world.open("home").await;
        let error = home.database_error().await;
        assert!(matches!(error, WriteError::State { .. }), "{error}");
        fs::remove_dir(&file).unwrap();
        fs::rename(&aside, &file).unwrap();
        assert!(goes_on(&home).await);
    });
}

trait FailsToWrite {
    async fn database_error(&self) -> WriteError;
}

impl FailsToWrite for Database {
    async fn database_error(&self) -> WriteError {
        self.new_feed().await.unwrap_err()
    }
}
