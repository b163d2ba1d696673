//! One method a question: where it is answered from is said to it, and how complete the answer is, is in it. Whoever reads here alone is
//! never told that it is complete if it may not be.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb::view::Selector;
use kappadb::{
    Answer, Completeness, Database, Extent, Filter, KeyRange, Label, MapQuery, ScanOptions, Server, Source,
    export, geojson,
};
use std::path::Path;
use std::time::Duration;

async fn create(dir: &Path) -> Database {
    Database::builder(dir).create().await.unwrap()
}

async fn serve(database: &Database) -> Server {
    database.serve(([127, 0, 0, 1], 0).into()).await.unwrap()
}

async fn join(dir: &Path, server: &Server) -> Database {
    Database::builder(dir).join(&server.ticket()).await.unwrap()
}

fn is_as_of<T, C>(answer: &Answer<T, C>) -> bool {
    matches!(answer.completeness, Completeness::AsOf(..))
}

#[tokio::test]
async fn a_database_without_peers_is_complete_by_itself_whichever_way_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let database = create(&dir.path().join("db")).await;
    let kv = database.kv();
    for n in 0..3 {
        // Also right after a write.
        kv.put(format!("k{n}"), "value").await.unwrap();
        assert!(kv.get(format!("k{n}")).await.unwrap().is_complete());
    }
    let options = ScanOptions { limit: Some(2), ..ScanOptions::default() };
    assert!(kv.get("never").await.unwrap().is_complete());
    assert!(kv.get_all(["k0", "never"]).await.unwrap().is_complete());
    assert!(kv.state("k0").await.unwrap().is_complete());
    assert!(kv.heads("k0").await.unwrap().is_complete());
    assert!(kv.history("k0").await.unwrap().is_complete());
    let page = kv.scan(&KeyRange::ALL, &options).await.unwrap();
    assert!(page.is_complete() && page.next.is_some());
    assert!(kv.items(&KeyRange::ALL, &options).await.unwrap().completeness.is_complete());
    assert!(database.ask("kv", Selector::Everything).await.unwrap().is_complete());
    let snapshot = kv.snapshot().await.unwrap();
    kv.put("k4", "later").await.unwrap();
    assert!(snapshot.completeness().is_complete());
    assert!(snapshot.get("k0").await.unwrap().is_complete());
    let asked = kv.get("k0").from(Source::Peers).await.unwrap();
    assert!(asked.is_complete() && asked.asked.peers == 0, "there is nobody to ask");
    let blocking = kv.blocking();
    std::thread::spawn(move || {
        assert!(blocking.get("k0").unwrap().is_complete());
        assert!(blocking.scan(&KeyRange::ALL, &options).unwrap().is_complete());
        assert!(blocking.items(&KeyRange::ALL, &options).unwrap().completeness.is_complete());
    })
    .join()
    .unwrap();
}

#[tokio::test]
async fn a_part_that_is_read_here_says_what_earlier_questions_have_shown_and_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let full = create(&dir.path().join("full")).await;
    full.kv().put("a", "x").await.unwrap();
    full.kv().put("b", "y").await.unwrap();
    let server = serve(&full).await;
    let sparse = join(&dir.path().join("sparse"), &server).await;
    let kv = sparse.kv();
    let never = kv.get("a").await.unwrap();
    assert_eq!((never.completeness, never.items.len()), (Completeness::Partial, 0));
    let asked = kv.get("a").from(Source::Peers).await.unwrap();
    assert!(asked.is_complete() && asked.asked.blocks_fetched == 1, "{asked:?}");
    // Time and again: the second is answered from memory.
    for _ in 0..3 {
        let here = kv.get("a").await.unwrap();
        assert!(is_as_of(&here) && here.items.len() == 1 && here.asked.peers == 0, "{here:?}");
        assert_eq!(kv.get("b").await.unwrap().completeness, Completeness::Partial);
    }
    let both = kv.get_all(["a", "b"]).await.unwrap();
    assert_eq!(both.completeness, Completeness::Partial, "as good as the worst");
    let all = kv.scan(&KeyRange::ALL, &ScanOptions::default()).await.unwrap();
    assert_eq!((all.completeness, all.items.len()), (Completeness::Partial, 1));
    let (here, there) = (kv.blocking(), kv.blocking());
    let read = move || (here.get("a").unwrap(), there.get("b").unwrap());
    let (here, there) = tokio::task::spawn_blocking(read).await.unwrap();
    assert!(is_as_of(&here) && there.completeness == Completeness::Partial);
    // What was written here since does not take that away.
    kv.put("c", "z").await.unwrap();
    assert!(is_as_of(&kv.get("a").await.unwrap()));
    assert!(is_as_of(&sparse.ask("kv", Selector::keys(["a"])).await.unwrap()));
}

#[tokio::test]
async fn a_replica_that_knows_no_peers_is_complete_only_if_it_holds_all_that_it_heard_of() {
    let dir = tempfile::tempdir().unwrap();
    let full = create(&dir.path().join("full")).await;
    full.kv().put("a", "x").await.unwrap();
    full.kv().put("b", "y").await.unwrap();
    let server = serve(&full).await;
    let sparse = join(&dir.path().join("sparse"), &server).await;
    let kv = sparse.kv();
    assert!(kv.get("a").from(Source::Peers).await.unwrap().is_complete());
    let peer = sparse.peers().list()[0].key;
    sparse.peers().remove(peer).await.unwrap();
    assert_eq!(kv.get("a").await.unwrap().completeness, Completeness::Partial, "its word went with it");
    // Who calls is asked, too, and believed.
    let at_sparse = serve(&sparse).await;
    full.peers().add(&at_sparse.ticket(), None).await.unwrap();
    let kept = full.peers().keep();
    while !kv.get("a").from(Source::Peers).await.unwrap().is_complete() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let here = kv.get("a").await.unwrap();
    assert!(here.is_complete() && here.is_direct(), "all that was heard of is shown to be here: {here:?}");
    assert_eq!(kv.get("b").await.unwrap().completeness, Completeness::Partial);
    drop(kept);
    sparse.peers().add(&server.ticket(), None).await.unwrap();
    let answer = sparse.ask("kv", Selector::Everything).from(Source::Peers).await.unwrap();
    assert!(answer.is_complete() && answer.items.len() == 2, "{answer:?}");
    assert!(is_as_of(&kv.get("b").await.unwrap()), "who knows peers may lack what they know");
    sparse.peers().remove(peer).await.unwrap();
    assert!(kv.get("b").await.unwrap().is_complete());
}

#[tokio::test]
async fn a_snapshot_is_as_complete_as_it_was_whatever_is_learned_later() {
    let dir = tempfile::tempdir().unwrap();
    let full = create(&dir.path().join("full")).await;
    full.kv().put("a", "x").await.unwrap();
    full.kv().put("b", "y").await.unwrap();
    let server = serve(&full).await;
    let sparse = join(&dir.path().join("sparse"), &server).await;
    let kv = sparse.kv();
    assert!(kv.get("a").from(Source::Peers).await.unwrap().is_complete());
    let early = kv.snapshot().await.unwrap();
    assert_eq!(early.completeness(), Completeness::Partial);
    assert!(is_as_of(&early.get("a").await.unwrap()), "nothing came since");
    let late = kv.snapshot().from(Source::Peers).await.unwrap();
    assert!(late.completeness().is_complete());
    let found = early.get("b").await.unwrap();
    assert_eq!(
        (found.completeness, found.items.len()),
        (Completeness::Partial, 0),
        "it is here, but came later"
    );
    assert_eq!(early.get("a").await.unwrap().completeness, Completeness::Partial);
    assert_eq!(late.get("b").await.unwrap().one().unwrap().text(), Some("y"));
    kv.put("c", "z").await.unwrap();
    assert!(late.get("b").await.unwrap().is_complete(), "as it was when it was made");
}

#[tokio::test]
async fn questions_are_spawned_and_ask_nobody_before_they_are_polled() {
    let dir = tempfile::tempdir().unwrap();
    let full = create(&dir.path().join("full")).await;
    full.kv().put("a", "x").await.unwrap();
    let server = serve(&full).await;
    let sparse = join(&dir.path().join("sparse"), &server).await;
    drop(sparse.kv().get("a").from(Source::Peers));
    assert!(sparse.status().await.unwrap().feeds.is_empty());
    let tasks = [Source::Local, Source::Peers].map(|source| tokio::spawn(sparse.kv().get("a").from(source)));
    for task in tasks {
        assert!(task.await.unwrap().unwrap().items.len() < 2);
    }
    let all = sparse.kv().items(&KeyRange::ALL, &ScanOptions::default()).from(Source::Peers);
    let mut items = tokio::spawn(all).await.unwrap().unwrap();
    assert!(items.completeness.is_complete());
    assert_eq!(items.next().await.unwrap().unwrap().value.text(), Some("x"));
    assert!(items.next().await.is_none());
}

fn cafe(id: &str, at: f64) -> kappadb::Feature {
    geojson::from_text(&format!(
        r#"{{"type":"Feature","id":"{id}","properties":{{"amenity":"cafe"}},"geometry":{{"type":"Point","coordinates":[{at},60]}}}}"#
    ))
    .unwrap()
}

fn around(at: f64) -> Extent {
    format!("{},59,{},61", at - 0.5, at + 0.5).parse().unwrap()
}

#[tokio::test]
async fn a_box_that_was_asked_for_is_answered_here_as_of_then_and_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let full = create(&dir.path().join("full")).await;
    full.map().put_all(vec![cafe("a", 10.0), cafe("b", 20.0)]).await.unwrap();
    let map = full.map();
    assert!(map.find(&MapQuery::new(around(10.0))).await.unwrap().is_complete(), "it knows no peer");
    assert!(map.get("a").await.unwrap().is_complete() && map.history("a").await.unwrap().is_complete());
    let report = map.export(export::Selection::Everything, export::ExportFormat::GeoJson, std::io::sink());
    assert_eq!(report.await.unwrap().completeness, Some(Completeness::default()));
    let server = serve(&full).await;
    let sparse = join(&dir.path().join("sparse"), &server).await;
    let map = sparse.map();
    let never = map.query(&around(10.0), None).await.unwrap();
    assert_eq!((never.completeness, never.items.len()), (Completeness::Partial, 0));
    let asked = map.query(&around(10.0), None).from(Source::Peers).await.unwrap();
    assert!(asked.is_complete() && asked.items.len() == 1 && asked.asked.blocks_fetched == 1, "{asked:?}");
    let here = map.find(&MapQuery::new(around(10.0))).await.unwrap();
    assert!(is_as_of(&here) && here.items == asked.items, "{here:?}");
    assert_eq!(map.query(&around(20.0), None).await.unwrap().completeness, Completeness::Partial);
    assert_eq!(
        map.find_anywhere(&Filter::default(), None, None).await.unwrap().completeness,
        Completeness::Partial
    );
    assert_eq!(map.list("", None, 9).await.unwrap().completeness, Completeness::Partial);
    let report = map.export(export::Selection::Everything, export::ExportFormat::GeoJson, std::io::sink());
    assert_eq!(report.await.unwrap().completeness, Some(Completeness::Partial));
    // What a change would touch is asked for as other things are.
    let touched = map.touched_by_put(&cafe("b", 21.0)).from(Source::Peers).await.unwrap();
    assert!(touched.is_complete() && touched.items.len() == 1, "{touched:?}");
    let found = tokio::spawn(map.get("b")).await.unwrap().unwrap();
    assert_eq!(found.items.len(), 1);
}

#[tokio::test]
async fn pages_of_features_and_blobs_say_where_to_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let database = create(&dir.path().join("db")).await;
    let (map, blobs) = (database.map(), database.blobs());
    for n in 0..5 {
        map.put(cafe(&format!("cafe {n}"), f64::from(n))).await.unwrap();
        blobs.put(&b"bytes"[..], Label::default()).await.unwrap();
    }
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = map.list("cafe", after.as_deref(), 2).await.unwrap();
        assert!(page.is_complete() && page.items.len() <= 2);
        ids.extend(page.items.into_iter().map(|hit| hit.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(ids, ["cafe 0", "cafe 1", "cafe 2", "cafe 3", "cafe 4"]);
    let first = blobs.list(None, 3).await.unwrap();
    assert!(first.is_complete() && first.next == first.items.last().map(|blob| blob.id));
    let rest = blobs.list(first.next, 3).await.unwrap();
    assert_eq!((rest.items.len(), rest.next), (2, None));
}
