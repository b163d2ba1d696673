//! A member who makes feeds by the thousand, or forks a hundred of its own: what it costs others is stated, and what the others wrote
//! stays complete.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

mod common;

use common::{builder, copy_with_state, join, open, run, serve};
use kappadb::{Answer, Database, KeyRange, KvItem, KvOp, ScanOptions, Source};
use kappadb_core::limits::FORKS_TOLD_FIRST;
use std::path::Path;

async fn put(database: &Database, writer: &str, pairs: &[(String, &str)]) {
    let op = |(key, value): &(String, &str)| KvOp::Put { key: key.clone().into(), value: (*value).into() };
    let database = database.with_writer(writer).await.unwrap();
    database.kv().batch(pairs.iter().map(op).collect()).await.unwrap();
}

async fn value(database: &Database, key: &str) -> Option<String> {
    let value = database.kv().get(key).await.unwrap().one();
    value.map(|value| value.text().unwrap().to_owned())
}

fn key(n: usize) -> String {
    format!("key/{n}")
}

/// More than are told of before it is known whether they matter.
const FORKS: usize = FORKS_TOLD_FIRST + 16;

/// Two copies of a folder in which as many writers each wrote over an honest key, each otherwise; and a replica that holds what was there
/// before.
async fn forked(dir: &Path) -> ([Database; 2], Database) {
    let (one, two) = (dir.join("one"), dir.join("two"));
    let first = builder(&one).create().await.unwrap();
    first.new_writer("main").await.unwrap();
    let honest = (0..FORKS).map(key).chain(["other".to_owned()]);
    put(&first, "main", &honest.map(|key| (key, "honest")).collect::<Vec<_>>()).await;
    for n in 0..FORKS {
        first.new_writer(&format!("forger-{n}")).await.unwrap();
        put(&first, &format!("forger-{n}"), &[(format!("noise/{n}"), "noise")]).await;
    }
    let server = serve(&first).await;
    let before = join(&dir.join("before"), &server).await;
    assert!(ask_keys(&before).await.is_complete());
    server.stop().await;
    first.close().await.unwrap();
    copy_with_state(&one, &two);
    let copies = [open(&one).await, open(&two).await];
    for (copy, text) in copies.iter().zip(["this", "that"]) {
        for n in 0..FORKS {
            put(copy, &format!("forger-{n}"), &[(key(n), text)]).await;
        }
    }
    (copies, before)
}

async fn ask_keys(database: &Database) -> Answer<KvItem, Vec<u8>> {
    database.kv().scan(&KeyRange::prefix("key/"), &ScanOptions::default()).from(Source::Peers).await.unwrap()
}

#[test]
fn a_hundred_forks_of_one_member_leave_what_others_wrote_complete() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (copies, before) = forked(dir.path()).await;
        let servers = [serve(&copies[0]).await, serve(&copies[1]).await];
        let path = |name: &str| dir.path().join(name);

        // One knows a single history, and that the honest entries were replaced.
        before.close().await.unwrap();
        let deceived = join(&path("before"), &servers[0]).await;
        assert!(ask_keys(&deceived).await.is_complete());
        assert_eq!(value(&deceived, &key(0)).await.as_deref(), Some("this"));

        // One sees both histories of all.
        let witness = join(&path("witness"), &servers[0]).await;
        assert!(ask_keys(&witness).await.is_complete());
        // To others both copies are one peer.
        witness.close().await.unwrap();
        let witness = join(&path("witness"), &servers[1]).await;
        let answer = ask_keys(&witness).await;
        assert!(answer.is_complete(), "{answer:?}");
        for n in 0..FORKS {
            assert_eq!(value(&witness, &key(n)).await.as_deref(), Some("honest"), "{n}");
        }

        assert!(witness.kv().get_all(["other"]).from(Source::Peers).await.unwrap().is_complete());

        // Somebody with whom these feeds have nothing to do is shown nothing of them, and is told the truth.
        let server = serve(&witness).await;
        let other = join(&path("other"), &server).await;
        let answer = other.kv().get_all(["other"]).from(Source::Peers).await.unwrap();
        assert!(answer.is_complete() && answer.asked.blocks_fetched == 1, "{answer:?}");
        assert!(answer.asked.bytes_received < 300 * FORKS as u64, "{answer:?}");
        assert_eq!(other.status().await.unwrap().feeds.len(), 1, "a feed is stored with a block of it");
        for server in servers.into_iter().chain([server]) {
            server.stop().await;
        }
        witness.close().await.unwrap();

        // A process that has met none of these forks yet asks the deceived: those of which it does not tell at first show themselves.
        let server = serve(&deceived).await;
        let knowing = join(&path("witness"), &server).await;
        let answer = ask_keys(&knowing).await;
        assert!(answer.is_complete(), "{answer:?}");
        for n in 0..FORKS {
            assert_eq!(value(&deceived, &key(n)).await.as_deref(), Some("honest"), "{n}: it was told");
        }
    });
}

#[test]
fn who_has_all_says_no_more_and_what_one_peer_lacks_another_is_asked_for_by_name() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let (full, few) = (path("full"), 5);
        let full = builder(&full).create().await.unwrap();
        for n in 0..200 {
            let name = format!("w{n}");
            full.new_writer(&name).await.unwrap();
            let pairs: Vec<_> = (0..2).map(|entry| (format!("{name}/{entry}"), "x")).collect();
            put(&full, &name, &pairs).await;
        }
        let whole = serve(&full).await;
        let sparse = join(&path("sparse"), &whole).await;
        let keys: Vec<String> = (0..few).map(|n| format!("w{n}/0")).collect();
        assert!(sparse.kv().get_all(&keys).from(Source::Peers).await.unwrap().is_complete());
        assert_eq!(sparse.status().await.unwrap().feeds.len(), few);

        // It has gaps, which the other could fill but does not speak of.
        let part = serve(&sparse).await;
        let asker = join(&path("asker"), &part).await;
        assert!(!asker.kv().get_all(["nothing"]).from(Source::Peers).await.unwrap().is_complete());
        asker.close().await.unwrap();
        let asker = join(&path("asker"), &whole).await;
        let answer = asker.kv().get_all(["nothing at all"]).from(Source::Peers).await.unwrap();
        assert_eq!((answer.asked.peers, answer.is_complete()), (2, true), "{answer:?}");
        assert!(answer.asked.bytes_received < 4_000, "{answer:?}");
    });
}
