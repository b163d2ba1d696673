//! What is a conflict on the map and what is not: two who import the same map agree.

use kappadb::export::{ExportFormat, Selection};
use kappadb::{Body, Database, Feature, ImportOptions, Server, Source};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

const TOWN: &str = r#"<osm version="0.6">
<node id="1" version="3" lat="60.1" lon="24.90"><tag k="shop" v="bakery"/></node>
<node id="2" version="2" lat="60.1" lon="24.92"/><node id="50" version="1" lat="60.12" lon="24.95"/>
<way id="10" version="2"><nd ref="1"/><nd ref="2"/><tag k="highway" v="path"/></way>
<relation id="20" version="1"><member type="way" ref="10" role=""/><tag k="type" v="route"/></relation></osm>"#;

/// Two replicas; each has imported the same map before they met.
struct Pair {
    dir: TempDir,
    one: Database,
    other: Database,
}

async fn import(database: &Database, file: &Path) {
    database.map().import(file, ImportOptions::default(), |_| ()).await.expect("import");
}

async fn serve(database: &Database) -> Server {
    database.serve(([127, 0, 0, 1], 0).into()).await.expect("serve")
}

impl Pair {
    async fn new() -> Pair {
        let dir = tempfile::tempdir().expect("temp dir");
        let file = dir.path().join("town.osm");
        std::fs::write(&file, TOWN).expect("write");
        let one = Database::builder(dir.path().join("one")).create().await.expect("create");
        let server = serve(&one).await;
        let other = Database::builder(dir.path().join("other")).join(&server.ticket()).await.expect("join");
        // The peer is there, and could have been asked.
        import(&one, &file).await;
        import(&other, &file).await;
        server.stop().await;
        Pair { dir, one, other }
    }

    /// Each learns all that the other has.
    async fn meet(self) -> Pair {
        let Pair { dir, one, other } = self;
        let server = serve(&one).await;
        let other = Self::learn(other, &server, dir.path().join("other")).await;
        server.stop().await;
        let server = serve(&other).await;
        let one = Self::learn(one, &server, dir.path().join("one")).await;
        server.stop().await;
        Pair { dir, one, other }
    }

    async fn learn(database: Database, server: &Server, dir: PathBuf) -> Database {
        database.close().await.expect("close");
        let database = Database::builder(dir).join(&server.ticket()).await.expect("join again");
        let answer = database.map().list("", None, usize::MAX).from(Source::Peers).await.expect("ask");
        assert!(answer.is_complete(), "{:?}", answer.asked.failures);
        database
    }
}

async fn exported(database: &Database, format: ExportFormat, file: &Path) -> String {
    let out = std::fs::File::create(file).expect("create");
    let report = database.map().export(Selection::Everything, format, out).await.expect("export");
    assert_eq!((report.left_out, report.deleted), (0, 0));
    std::fs::read_to_string(file).expect("read")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_import_the_same_map_are_not_in_conflict() {
    let pair = Pair::new().await;
    let file = pair.dir.path().join("out");
    let alone = exported(&pair.one, ExportFormat::Ndjson, &file).await;
    let pair = pair.meet().await;
    for database in [&pair.one, &pair.other] {
        let map = database.map();
        for id in ["n1", "w10", "r20", "n50"] {
            let found = map.get(id).await.expect("get").one().expect(id);
            assert_eq!((found.versions.len(), found.is_conflict()), (1, false), "{id}");
            assert!(found.versions[0].winner, "{id}");
            assert_eq!(map.history(id).await.expect("history").items.len(), 2, "both said it");
            assert!(
                map.merge(id).await.is_err_and(|error| error.to_string().contains(id)),
                "nothing to merge"
            );
        }
        assert_eq!(exported(database, ExportFormat::Ndjson, &file).await, alone, "each once");
        assert_eq!(exported(database, ExportFormat::OsmXml, &file).await.matches("<way").count(), 1);
        let conflicts = database.status().await.expect("status").conflicts;
        assert_eq!((conflicts.count, conflicts.more), (0, false));
    }
    // The same file again is no news to either.
    let (map, town) = (pair.one.map(), pair.dir.path().join("town.osm"));
    let report = map.import(town, ImportOptions::default(), |_| ()).await.expect("import");
    assert_eq!((report.blocks, report.older), (0, 0), "{report:?}");
}

fn renamed(feature: Feature, name: &str) -> Feature {
    let Body::Osm(mut element) = feature.body else { panic!("an element") };
    element.tags.push(("name".to_owned(), name.to_owned()));
    Feature { body: Body::Osm(element), ..feature }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_counts_what_people_say_differently_and_not_what_they_say_twice() {
    let pair = Pair::new().await.meet().await;
    for (database, name) in [(&pair.one, "Café Ada"), (&pair.other, "Café Bo")] {
        let found = database.map().get("n1").await.expect("get").one().expect("n1");
        let feature = found.versions.into_iter().find_map(|version| version.feature).expect("held");
        database.map().put(renamed(feature, name)).await.expect("put");
    }
    // Deleted by both: they agree.
    for database in [&pair.one, &pair.other] {
        database.map().delete("r20").await.expect("delete");
    }
    let pair = pair.meet().await;
    for database in [&pair.one, &pair.other] {
        assert_eq!(database.status().await.expect("status").conflicts.count, 1);
        assert!(database.map().get("n1").await.expect("get").one().expect("n1").is_conflict());
        assert_eq!(database.map().get("r20").await.expect("get").one(), None);
    }
    pair.one.map().merge("n1").await.expect("merge");
    assert_eq!(pair.one.status().await.expect("status").conflicts.count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_deleted_is_not_exported_as_alive_where_that_wins() {
    for delete_wins in [true, false] {
        let pair = Pair::new().await;
        let found = pair.one.map().get("w10").await.expect("get").one().expect("w10");
        let feature = found.versions.into_iter().find_map(|version| version.feature).expect("held");
        // Who writes last wins, and the clock counts milliseconds.
        if delete_wins {
            pair.one.map().put(renamed(feature, "edited")).await.expect("put");
            tokio::time::sleep(Duration::from_millis(3)).await;
            pair.other.map().delete("w10").await.expect("delete");
        } else {
            pair.other.map().delete("w10").await.expect("delete");
            tokio::time::sleep(Duration::from_millis(3)).await;
            pair.one.map().put(renamed(feature, "edited")).await.expect("put");
        }
        let pair = pair.meet().await;
        for database in [&pair.one, &pair.other] {
            let found = database.map().get("w10").await.expect("get").one().expect("w10");
            assert_eq!((found.is_conflict(), found.deleted), (true, delete_wins));
            let file = pair.dir.path().join("out");
            for format in
                [ExportFormat::OsmXml, ExportFormat::GeoJson, ExportFormat::Ndjson, ExportFormat::GeoJsonSeq]
            {
                let out = std::fs::File::create(&file).expect("create");
                let report = database.map().export(Selection::Everything, format, out).await.expect("export");
                let text = std::fs::read_to_string(&file).expect("read");
                assert_eq!(report.deleted, u64::from(delete_wins), "{format:?}");
                assert_eq!(text.contains("edited"), !delete_wins, "{format:?}: {text}");
                assert!(!text.contains("highway") || !delete_wins, "{format:?}: {text}");
            }
        }
    }
}
