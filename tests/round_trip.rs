//! The bundled piece of Helsinki out and in again: the same elements, with ids, tags, members, geometry and edits.

use kappadb::export::{ExportFormat, Selection};
use kappadb::osm::Shape;
use kappadb::{Database, Extent, Feature, ImportOptions, MapQuery};
use kappadb_geo::Body;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

const EXTRACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/cli/data/helsinki-centre.osm.pbf");
const STATION: &str = "24.9390,60.1695,24.9440,60.1725";

async fn imported(dir: &Path, file: &Path) -> Database {
    let database = Database::builder(dir).create().await.expect("create");
    let report = database.map().import(file, ImportOptions::default(), |_| ()).await.expect("import");
    assert_eq!(report.skipped, 0, "{:?}", report.skips);
    database
}

/// Everything that is held, read page by page.
async fn features(database: &Database) -> BTreeMap<String, Feature> {
    let (map, mut all, mut after) = (database.map(), BTreeMap::new(), None);
    loop {
        let hits = map.list("", after.as_deref(), 777).await.expect("list").items;
        let Some(last) = hits.last() else { return all };
        after = Some(last.id.clone());
        for found in map.load(&hits).await.expect("load").items {
            let feature = found.versions.into_iter().find_map(|version| version.feature).expect("a feature");
            assert!(all.insert(found.id, feature).is_none(), "listed once");
        }
    }
}

async fn export(database: &Database, what: Selection, format: ExportFormat, file: &Path) -> u64 {
    let out = BufWriter::new(File::create(file).expect("create"));
    let report = database.map().export(what, format, out).await.expect("export");
    assert_eq!(report.left_out, 0);
    report.features
}

#[tokio::test(flavor = "multi_thread")]
async fn the_extract_is_the_same_after_osm_xml() {
    let dir = tempfile::tempdir().expect("temp dir");
    let at = |name: &str| dir.path().join(name);
    let original = imported(&at("original"), Path::new(EXTRACT)).await;
    let expected = features(&original).await;
    let file = at("all.osm");
    let written = export(&original, Selection::Everything, ExportFormat::OsmXml, &file).await;
    assert_eq!(written, expected.len() as u64);

    let copy = imported(&at("copy"), &file).await;
    let found = features(&copy).await;
    assert_eq!(found.len(), expected.len());
    for (id, feature) in &expected {
        assert_eq!(found.get(id), Some(feature), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_of_it_is_the_same_after_osm_xml() {
    let dir = tempfile::tempdir().expect("temp dir");
    let at = |name: &str| dir.path().join(name);
    let original = imported(&at("original"), Path::new(EXTRACT)).await;
    let extent: Extent = STATION.parse().expect("a box");
    let hits = original.map().find(&MapQuery::new(extent)).await.expect("find").items;
    let file = at("box.osm");
    export(&original, Selection::Hits(hits.clone()), ExportFormat::OsmXml, &file).await;

    let found = features(&imported(&at("copy"), &file).await).await;
    for found_here in original.map().load(&hits).await.expect("load").items {
        let mut expected = found_here.versions.into_iter().find_map(|v| v.feature).expect("a feature");
        let mut copied = found.get(&expected.id).cloned();
        // A relation is as large as those of its members that are in the file.
        copied.iter_mut().chain([&mut expected]).for_each(forget_extent);
        if let (None, Body::Osm(relation)) = (&copied, &expected.body) {
            assert!(matches!(relation.shape, Shape::Relation { .. }), "{}", expected.id);
            continue;
        }
        assert_eq!(copied, Some(expected));
    }
}

fn forget_extent(feature: &mut Feature) {
    if let Body::Osm(element) = &mut feature.body
        && let Shape::Relation { extent, .. } = &mut element.shape
    {
        *extent = Extent::NOWHERE;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_extract_comes_back_from_every_form_of_geojson() {
    let dir = tempfile::tempdir().expect("temp dir");
    let at = |name: &str| dir.path().join(name);
    let original = imported(&at("original"), Path::new(EXTRACT)).await;
    let all = features(&original).await;
    let mut expected = Vec::new();
    for hit in original.map().list("", None, usize::MAX).await.expect("list").items {
        let found = original.map().load(&[hit]).await.expect("load").items.remove(0);
        expected.extend(original.map().texts(&found).await.expect("texts").list);
    }
    for (name, format) in [
        ("a.geojson", ExportFormat::GeoJson),
        ("b.ndjson", ExportFormat::Ndjson),
        ("c.geojsonseq", ExportFormat::GeoJsonSeq),
    ] {
        let file = at(name);
        let written = export(&original, Selection::Everything, format, &file).await;
        assert_eq!(written, expected.len() as u64, "{name}");
        let text = std::fs::read_to_string(&file).expect("read");
        let records = text.split(['\n', '\u{1e}']).map(|line| line.trim_end_matches(','));
        let found: Vec<&str> = records.filter(|line| line.starts_with("{\"type\":\"Feature\"")).collect();
        assert!(found.iter().eq(expected.iter()), "{name}");
    }
    let found = features(&imported(&at("copy"), &at("b.ndjson")).await).await;
    assert_eq!(found.len(), all.len());
    for (id, feature) in &all {
        assert_eq!(found.get(id), Some(feature), "{id}");
    }
}
