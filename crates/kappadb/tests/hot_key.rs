//! Keys that very many write, and keys that one member floods.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb::view::{Draft, Kind, space};
use kappadb::{Answer, Database, Server, Source, Value};
use tempfile::TempDir;

const WRITERS: usize = 200;

struct Full {
    dir: TempDir,
    database: Database,
    server: Server,
    writers: Vec<Database>,
}

impl Full {
    async fn new(writers: usize) -> Full {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::builder(dir.path().join("full")).create().await.unwrap();
        let mut handles = Vec::new();
        for n in 0..writers {
            database.new_writer(&format!("w{n}")).await.unwrap();
            handles.push(database.with_writer(&format!("w{n}")).await.unwrap());
        }
        let server = database.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
        Full { dir, database, server, writers: handles }
    }

    async fn newcomer(&self, name: &str) -> Database {
        Database::builder(self.dir.path().join(name)).join(&self.server.ticket()).await.unwrap()
    }

    /// Each writer puts the key, one after the other.
    async fn round(&self, key: &str, n: usize) {
        for (who, writer) in self.writers.iter().enumerate() {
            writer.kv().put(key, format!("{n} of {who}")).await.unwrap();
        }
    }

    /// Versions by the last writer that name nothing, as only a member who means harm writes them.
    async fn flood(&self, key: &str, count: usize) {
        let kind = Kind { space: space::KV, code: 0 };
        let version = Draft { key: Some(key.into()), payload: b"!".to_vec(), ..Draft::new(kind) };
        self.writers.last().unwrap().write(vec![version; count]).await.unwrap();
    }
}

/// Asks for a key; what it says then, of how many heads.
async fn get(peer: &Database, key: &str) -> (Answer<Option<Value>>, String, usize) {
    let answer = peer.kv().get_all([key]).from(Source::Peers).await.unwrap();
    let value = peer.kv().get(key).await.unwrap().one().unwrap();
    let text = value.text().unwrap().to_owned();
    (answer, text, value.heads.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_two_hundred_write_is_one_block_for_a_newcomer() {
    let full = Full::new(WRITERS).await;
    let reader = full.newcomer("reader").await;
    full.round("hot", 0).await;
    let last = WRITERS - 1;
    // Somebody who read it in the middle, and somebody who was never there.
    let (answer, text, heads) = get(&reader, "hot").await;
    assert_eq!(
        (answer.is_complete(), answer.asked.blocks_fetched, text, heads),
        (true, 1, format!("0 of {last}"), 1)
    );
    for n in 1..5 {
        full.round("hot", n).await;
    }
    for peer in [&reader, &full.newcomer("newcomer").await] {
        let (answer, text, heads) = get(peer, "hot").await;
        assert_eq!(
            (answer.is_complete(), answer.asked.blocks_fetched, text, heads),
            (true, 1, format!("4 of {last}"), 1)
        );
    }
    // Nothing is lost of what was: the history is all there.
    assert_eq!(full.database.kv().history("hot").await.unwrap().items.len(), 5 * WRITERS);
    full.server.stop().await;
}

/// They hold one block of the key, know of the others what it names, and pass that on.
#[tokio::test(flavor = "multi_thread")]
async fn writers_that_hold_next_to_nothing_of_a_hot_key_leave_it_one_block() {
    let full = Full::new(WRITERS).await;
    full.round("hot", 0).await;
    for n in 0..3 {
        let sparse = full.newcomer(&format!("sparse {n}")).await;
        let (answer, _, heads) = get(&sparse, "hot").await;
        assert_eq!((answer.is_complete(), answer.asked.blocks_fetched, heads), (true, 1, 1));
        sparse.kv().put("hot", format!("sparse {n}")).await.unwrap();
        let server = sparse.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
        let peer = full.database.peers().add(&server.ticket(), None).await.unwrap();
        let (answer, text, heads) = get(&full.database, "hot").await;
        assert_eq!((answer.is_complete(), text, heads), (true, format!("sparse {n}"), 1));
        full.database.peers().remove(peer.key).await.unwrap();
        server.stop().await;
    }
    // One who writes without having read leaves a conflict, which the next put ends for everybody.
    let blind = full.newcomer("blind").await;
    blind.kv().put("hot", "blind").await.unwrap();
    let server = blind.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    full.database.peers().add(&server.ticket(), None).await.unwrap();
    assert_eq!(get(&full.database, "hot").await.2, 2);
    full.database.kv().merge("hot", "both").await.unwrap();
    let (answer, text, heads) = get(&full.newcomer("newcomer").await, "hot").await;
    assert_eq!((answer.is_complete(), answer.asked.blocks_fetched, &*text, heads), (true, 1, "both", 1));
    server.stop().await;
    full.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flooded_key_costs_that_key_and_one_put_ends_it() {
    let full = Full::new(2).await;
    full.round("hot", 0).await;
    full.round("other", 0).await;
    full.flood("hot", 3_000).await;
    // Other keys are what they were.
    let newcomer = full.newcomer("newcomer").await;
    let (answer, text, heads) = get(&newcomer, "other").await;
    assert_eq!((answer.is_complete(), answer.asked.blocks_fetched, &*text, heads), (true, 1, "0 of 1", 1));
    // The flood is a conflict that can be seen, and nothing of it hides what others wrote.
    let (answer, _, heads) = get(&newcomer, "hot").await;
    assert_eq!((answer.is_complete(), answer.asked.blocks_fetched, heads), (true, 3_001, 3_001));
    full.database.kv().merge("hot", "over").await.unwrap();
    for peer in [&newcomer, &full.newcomer("later").await] {
        let (answer, text, heads) = get(peer, "hot").await;
        assert_eq!((answer.is_complete(), answer.asked.blocks_fetched, &*text, heads), (true, 1, "over", 1));
    }
    full.server.stop().await;
}
