//! A replica's folder that was copied and written in both places, or restored from an older copy: found by whoever sees both,
//! passed on, left out everywhere alike; and how its writer goes on.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

mod common;

use common::{builder, copy_with_state, join, open, run, serve};
use kappadb::{Database, Extent, FeedStatus, Server, Source, geojson};
use std::fs;
use std::path::{Path, PathBuf};

fn world() -> Extent {
    "-180,-90,180,90".parse().unwrap()
}

/// A box around the place of the feature of this number.
fn around(n: u32) -> Extent {
    let at = f64::from(n);
    format!("{},{},{},{}", at - 0.1, at - 0.1, at + 0.1, at + 0.1).parse().unwrap()
}

async fn put(database: &Database, name: &str, n: u32) {
    let text = format!(
        r#"{{"type": "Feature", "id": "{name}", "properties": {{}}, "geometry": {{"type": "Point", "coordinates": [{n}, {n}]}}}}"#
    );
    database.map().put(geojson::from_text(&text).unwrap()).await.unwrap();
}

async fn all(database: &Database) -> Vec<String> {
    let mut ids: Vec<String> =
        database.map().query(&world(), None).await.unwrap().into_iter().map(|hit| hit.id).collect();
    ids.sort();
    ids
}

async fn feeds(database: &Database) -> Vec<FeedStatus> {
    database.status().await.unwrap().feeds
}

/// From where on each forked feed is left out.
async fn forks(database: &Database) -> Vec<u64> {
    feeds(database).await.into_iter().filter_map(|feed| feed.fork).collect()
}

/// Closes it and opens it as one that also knows this peer.
async fn meet(database: Database, dir: &Path, server: &Server) -> Database {
    database.close().await.unwrap();
    join(dir, server).await
}

struct Copies {
    dir: tempfile::TempDir,
    a: Database,
    b: Database,
}

impl Copies {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Two copies of a folder with five features, each with more of its own: `a5`, `a6`, ... and `b5`, `b6`, ...
async fn copies(more: [u32; 2]) -> Copies {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("a"), dir.path().join("b"));
    let first = builder(&one).create().await.unwrap();
    for n in 0..5 {
        put(&first, &format!("c{n}"), n).await;
    }
    first.close().await.unwrap();
    copy_with_state(&one, &two);
    let (a, b) = (open(&one).await, open(&two).await);
    assert!(a.warnings().is_empty() && b.warnings().is_empty(), "nothing shows");
    for (database, name, more) in [(&a, "a", more[0]), (&b, "b", more[1])] {
        for n in 5..5 + more {
            put(database, &format!("{name}{n}"), n).await;
        }
    }
    Copies { dir, a, b }
}

const COMMON: [&str; 5] = ["c0", "c1", "c2", "c3", "c4"];

#[test]
fn whoever_asks_both_copies_finds_the_fork_and_everyone_leaves_out_the_same() {
    run(async {
        for more in [[1, 1], [3, 1], [1, 3]] {
            let copies = copies(more).await;
            let (a, b) = (serve(&copies.a).await, serve(&copies.b).await);
            let path = copies.path("c");
            let c = join(&path, &a).await;
            assert!(c.map().query(&world(), None).from(Source::Peers).await.unwrap().is_complete());
            assert_eq!((forks(&c).await, all(&c).await.len()), (vec![], 5 + more[0] as usize));
            let c = meet(c, &path, &b).await;
            let answer = c.map().query(&world(), None).from(Source::Peers).await.unwrap();
            assert_eq!(answer.asked.peers, 1, "copies are one peer by their key {:?}", answer.asked.failures);
            assert_eq!(
                (forks(&c).await, all(&c).await),
                (vec![5], COMMON.map(str::to_owned).to_vec()),
                "{more:?}"
            );
            assert!(answer.is_complete(), "{more:?}: the peer and this one leave out the same");
            let c = meet(c, &path, &a).await;
            assert!(c.map().query(&around(1), None).from(Source::Peers).await.unwrap().is_complete());
            // Each was told before it was asked.
            for copy in [&copies.a, &copies.b] {
                assert_eq!(
                    (forks(copy).await, all(copy).await),
                    (vec![5], COMMON.map(str::to_owned).to_vec())
                );
                assert!(
                    copy.warnings().iter().any(|warning| warning.contains("forked")),
                    "{:?}",
                    copy.warnings()
                );
            }
            assert!(c.verify().await.unwrap().is_empty());
            // A copy goes on in a new feed that names the old one, and what it writes counts.
            put(&copies.a, "again", 20).await;
            let new = feeds(&copies.a).await.into_iter().find(|feed| feed.writable).unwrap();
            let old = feeds(&copies.a).await.into_iter().find(|feed| feed.fork.is_some()).unwrap();
            assert_eq!(new.predecessor.as_deref(), Some(old.feed.as_str()));
            assert!(c.map().query(&world(), None).from(Source::Peers).await.unwrap().is_complete());
            assert_eq!(all(&c).await.len(), 6);
            // It is there after a restart, and when all that is derived was lost.
            c.close().await.unwrap();
            let c = open(&path).await;
            assert_eq!((forks(&c).await, all(&c).await.len()), (vec![5], 6));
            c.close().await.unwrap();
            let c = builder(&path).rebuild().open().await.unwrap();
            assert_eq!((forks(&c).await, all(&c).await.len()), (vec![5], 6));
            c.close().await.unwrap();
        }
    });
}

#[test]
fn a_sparse_replica_finds_it_wherever_it_looks() {
    run(async {
        // What was asked of A, then of B: the same forked place, one before the fork and one after, one that only B has.
        for (first, second, more) in
            [(5, 5, [1, 1]), (5, 5, [1, 4]), (5, 5, [4, 1]), (0, 6, [2, 3]), (7, 5, [3, 2])]
        {
            let copies = copies(more).await;
            let (a, b) = (serve(&copies.a).await, serve(&copies.b).await);
            let path = copies.path("c");
            let c = join(&path, &a).await;
            let _ = c.map().query(&around(first), None).from(Source::Peers).await.unwrap();
            let c = meet(c, &path, &b).await;
            let answer = c.map().query(&around(second), None).from(Source::Peers).await.unwrap();
            let case = format!("{first} {second} {more:?} {:?}", answer.asked.failures);
            assert_eq!(forks(&c).await.len(), 1, "{case}");
            assert!(forks(&c).await[0] <= 5, "{case}");
            assert!(answer.is_complete(), "{case}");
            assert!(c.map().query(&world(), None).from(Source::Peers).await.unwrap().is_complete(), "{case}");
            let c = meet(c, &path, &a).await;
            assert!(c.map().query(&world(), None).from(Source::Peers).await.unwrap().is_complete(), "{case}");
            let answers = [all(&c).await, all(&copies.a).await, all(&copies.b).await];
            assert_eq!(answers[0], answers[1], "{case}");
            assert_eq!(answers[1], answers[2], "{case}");
            assert!(answers[0].iter().all(|id| id.starts_with('c')), "{case} {answers:?}");
            assert!(c.verify().await.unwrap().is_empty(), "{case}");
            c.close().await.unwrap();
        }
    });
}

#[test]
fn a_replica_between_passes_it_on_in_either_direction() {
    run(async {
        let copies = copies([1, 2]).await;
        let (a, b) = (serve(&copies.a).await, serve(&copies.b).await);
        let (path_c, path_d) = (copies.path("c"), copies.path("d"));
        // D has only what B wrote, C only what A wrote.
        let d = join(&path_d, &b).await;
        let _ = d.map().query(&world(), None).from(Source::Peers).await.unwrap();
        let c = join(&path_c, &a).await;
        let _ = c.map().query(&world(), None).from(Source::Peers).await.unwrap();
        a.stop().await;
        b.stop().await;
        // Both copies are gone when C meets D.
        let served = serve(&d).await;
        let c = meet(c, &path_c, &served).await;
        let _ = c.map().query(&world(), None).from(Source::Peers).await.unwrap();
        for database in [&c, &d] {
            assert_eq!(
                (forks(database).await, all(database).await),
                (vec![5], COMMON.map(str::to_owned).to_vec())
            );
        }
        // A learns of it from whoever it asks, B from whoever asks it.
        let Copies { dir, a, b } = copies;
        let c_server = serve(&c).await;
        let a = meet(a, &dir.path().join("a"), &c_server).await;
        let _ = a.map().query(&around(1), None).from(Source::Peers).await.unwrap();
        assert_eq!(forks(&a).await, [5]);
        assert_eq!(all(&a).await, COMMON);
        c_server.stop().await;
        let b_server = serve(&b).await;
        let c = meet(c, &path_c, &b_server).await;
        assert_eq!(forks(&b).await, [0; 0]);
        let _ = c.map().query(&around(1), None).from(Source::Peers).await.unwrap();
        assert_eq!((forks(&b).await, all(&b).await), (vec![5], COMMON.map(str::to_owned).to_vec()));
    });
}

#[test]
fn a_writer_that_is_behind_notices_when_it_asks_and_gets_back_what_it_lost() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (home, peer, backup) =
            (dir.path().join("home"), dir.path().join("peer"), dir.path().join("backup"));
        let full = builder(&peer).create().await.unwrap();
        let server = serve(&full).await;
        let writer = join(&home, &server).await;
        put(&writer, "kept", 1).await;
        writer.close().await.unwrap();
        copy_with_state(&home, &backup);
        let writer = open(&home).await;
        put(&writer, "lost", 2).await;
        let own = serve(&writer).await;
        let full = {
            server.stop().await;
            meet(full, &peer, &own).await
        };
        assert!(full.map().query(&world(), None).from(Source::Peers).await.unwrap().is_complete());
        own.stop().await;
        writer.close().await.unwrap();
        // Everything is put back as it was, which does not show.
        for part in ["journal", "derived"] {
            fs::remove_dir_all(home.join(part)).unwrap();
        }
        copy_with_state(&backup, &home);
        let server = serve(&full).await;
        let writer = join(&home, &server).await;
        assert_eq!(all(&writer).await, ["kept"]);
        // A question about something else.
        let _ = writer.map().query(&around(40), None).from(Source::Peers).await.unwrap();
        assert_eq!(all(&writer).await, ["kept", "lost"]);
        assert!(writer.warnings().iter().any(|warning| warning.contains("peers know more")));
        put(&writer, "new", 3).await;
        let feeds = feeds(&writer).await;
        assert!(feeds.iter().any(|feed| feed.behind && !feed.writable));
        assert!(feeds.iter().any(|feed| feed.writable && feed.predecessor.is_some()));
        assert_eq!(forks(&writer).await, [0; 0], "nothing was written twice");
    });
}

#[test]
fn forks_are_told_apart_from_feeds_that_just_grew() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let full = Database::builder(dir.path().join("full")).create().await.unwrap();
        let server = serve(&full).await;
        let sparse = join(&dir.path().join("sparse"), &server).await;
        for n in 0..30 {
            put(&full, &format!("n{n}"), n).await;
            let answer = sparse.map().query(&around(n % 7), None).from(Source::Peers).await.unwrap();
            assert!(answer.is_complete() && answer.asked.failures.is_empty());
            assert!(
                answer.asked.round_trips <= 4,
                "{}: no questions beside the one",
                answer.asked.round_trips
            );
        }
        assert_eq!((forks(&sparse).await, forks(&full).await), (vec![], vec![]));
    });
}
