//! A box that is watched: what is in it, then each change.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;

use common::{builder, join, run, serve};
use kappadb::{Extent, Feature, MapChange, MapWatcher, Source, geojson};
use std::time::Duration;
use tokio::time::timeout;

fn point(id: &str, lon: f64, name: &str) -> Feature {
    let text = format!(
        r#"{{"type": "Feature", "id": "{id}", "properties": {{"name": "{name}"}},
            "geometry": {{"type": "Point", "coordinates": [{lon}, 60.5]}}}}"#
    );
    geojson::from_text(&text).unwrap()
}

fn inside() -> Extent {
    "24,60,25,61".parse().unwrap()
}

async fn next(watcher: &mut MapWatcher) -> MapChange {
    timeout(Duration::from_secs(60), watcher.next()).await.unwrap().unwrap().unwrap()
}

async fn is_silent(watcher: &mut MapWatcher) -> bool {
    timeout(Duration::from_millis(300), watcher.next()).await.is_err()
}

fn is_there(change: &MapChange) -> bool {
    change.found.as_ref().is_some_and(|found| found.versions.iter().any(|version| version.feature.is_some()))
}

#[test]
fn a_box_tells_what_is_in_it_and_then_what_comes_changes_and_goes() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let database = builder(&dir.path().join("db")).create().await.unwrap();
        let map = database.map();
        for (id, lon) in [("b", 24.5), ("a", 24.1), ("far", 30.0)] {
            map.put(point(id, lon, "first")).await.unwrap();
        }
        let mut watcher = map.watch(&inside());
        let there = [next(&mut watcher).await, next(&mut watcher).await];
        assert_eq!([&there[0].id, &there[1].id], ["a", "b"]);
        assert!(there.iter().all(|change| is_there(change) && !change.lagged && change.heads.len() == 1));
        assert!(is_silent(&mut watcher).await);
        // Elsewhere nothing is told.
        map.put(point("far", 31.0, "second")).await.unwrap();
        map.put(point("c", 24.9, "first")).await.unwrap();
        let change = next(&mut watcher).await;
        assert_eq!((change.id.as_str(), is_there(&change)), ("c", true));
        map.put(point("b", 24.6, "second")).await.unwrap();
        let change = next(&mut watcher).await;
        assert_eq!(change.id, "b");
        assert!(format!("{:?}", change.found).contains("second"));
        // It comes in, moves out, is deleted.
        map.put(point("far", 24.2, "third")).await.unwrap();
        assert_eq!(next(&mut watcher).await.id, "far");
        map.put(point("a", 50.0, "away")).await.unwrap();
        let change = next(&mut watcher).await;
        assert_eq!((change.id.as_str(), change.found.is_none(), change.heads.len()), ("a", true, 1));
        map.put(point("a", 51.0, "farther")).await.unwrap();
        map.delete("c").await.unwrap();
        let change = next(&mut watcher).await;
        assert_eq!((change.id.as_str(), change.found.is_none()), ("c", true));
        assert!(is_silent(&mut watcher).await);
        drop(map);
        database.close().await.unwrap();
        assert!(timeout(Duration::from_secs(60), watcher.next()).await.unwrap().is_none());
    });
}

#[test]
fn who_is_slower_than_the_changes_is_told_so_and_sees_how_it_is_now() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let database = builder(&dir.path().join("db")).create().await.unwrap();
        let map = database.map();
        map.put(point("often", 24.5, "0")).await.unwrap();
        let mut watcher = map.watch(&inside());
        assert!(!next(&mut watcher).await.lagged);
        for n in 1..4 {
            map.put(point("often", 24.5, &format!("{n}"))).await.unwrap();
        }
        database.ready().await.unwrap();
        let change = next(&mut watcher).await;
        assert!(change.lagged && format!("{:?}", change.found).contains(r#"\"3\""#), "{change:?}");
        // More than waits for anybody: also of what lies elsewhere.
        let many =
            |lon: f64, name: &str| (0..5_000).map(|n| point(&format!("many {n}"), lon, name)).collect();
        map.put_all(many(40.0, "far")).await.unwrap();
        map.put(point("new", 24.7, "came meanwhile")).await.unwrap();
        database.ready().await.unwrap();
        let change = next(&mut watcher).await;
        assert_eq!((change.id.as_str(), change.lagged), ("new", true));
        assert!(is_silent(&mut watcher).await, "what is as it was is not told again");
        map.put_all(many(24.4, "here")).await.unwrap();
        let mut told = 0;
        while told < 5_000 {
            let change = next(&mut watcher).await;
            assert!(change.id.starts_with("many ") && is_there(&change), "{change:?}");
            told += 1;
        }
        assert!(is_silent(&mut watcher).await);
        database.close().await.unwrap();
    });
}

#[test]
fn what_is_fetched_from_a_peer_is_told_too() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let full = builder(&dir.path().join("full")).create().await.unwrap();
        full.map().put(point("here", 24.5, "first")).await.unwrap();
        let server = serve(&full).await;
        let sparse = join(&dir.path().join("sparse"), &server).await;
        let mut watcher = sparse.map().watch(&inside());
        assert!(is_silent(&mut watcher).await);
        let answer = sparse.map().query(&inside(), None).from(Source::Peers).await.unwrap();
        assert!(answer.is_complete() && answer.items.len() == 1);
        let change = next(&mut watcher).await;
        assert_eq!((change.id.as_str(), is_there(&change)), ("here", true));
        // Nobody listens any more: nothing else ends.
        drop(watcher);
        server.stop().await;
        sparse.close().await.unwrap();
        full.close().await.unwrap();
    });
}
