//! Two copies of a folder that both write: their feed forks.

use crate::common::{builder, copy_with_state, join, open, serve};
use kappadb::{Database, FeedKey, LostEntry, SearchOptions, Source, view::Selector};

/// Two copies of a folder on machines of their own, `a` and `b`, and somebody who asks them.
pub struct Copies {
    pub dir: tempfile::TempDir,
    pub a: Database,
    pub b: Database,
    pub feed: FeedKey,
}

impl Copies {
    /// `before` is in both.
    pub async fn new(before: impl AsyncFnOnce(&Database)) -> Copies {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("a"), dir.path().join("b"));
        let first = builder(&one).create().await.unwrap();
        let feed = first.writer().await.unwrap();
        before(&first).await;
        first.close().await.unwrap();
        copy_with_state(&one, &two);
        let (a, b) = (open(&one).await, open(&two).await);
        Copies { dir, a, b, feed }
    }

    /// Somebody asks one, then the other, then the one again: from then on all know of the fork.
    pub async fn meet(&self) -> Database {
        let path = self.dir.path().join("c");
        let (a, b) = (serve(&self.a).await, serve(&self.b).await);
        for server in [&a, &b, &a, &b] {
            let c = join(&path, server).await;
            ask_all(&c).await;
            c.close().await.unwrap();
        }
        open(&path).await
    }
}

pub async fn ask_all(database: &Database) {
    assert!(database.ask("kv", Selector::Everything).from(Source::Peers).await.unwrap().is_complete());
    assert!(
        database
            .map()
            .query(&"-180,-90,180,90".parse().unwrap(), None)
            .from(Source::Peers)
            .await
            .unwrap()
            .is_complete()
    );
    assert!(
        database
            .chat()
            .search("", &SearchOptions::default())
            .from(Source::Peers)
            .await
            .unwrap()
            .is_complete()
    );
}

pub async fn list(database: &Database, feed: FeedKey) -> Vec<LostEntry> {
    let mut lost = database.lost_entries(feed).await.unwrap();
    let mut all = Vec::new();
    while let Some(entry) = lost.next().await.unwrap() {
        all.push(entry);
    }
    all
}

pub async fn length(database: &Database) -> u64 {
    database.status().await.unwrap().feeds.iter().map(|feed| feed.held).sum()
}
