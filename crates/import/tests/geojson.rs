//! GeoJSON files of every layout.
#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb_geo::GeoJsonError;
use kappadb_import::{Ids, Import, ImportError, Location, Reason, read};
use proptest::prelude::*;

fn import(text: impl AsRef<[u8]>) -> Result<Import, ImportError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.json");
    std::fs::write(&path, text).unwrap();
    read(&path, &Ids::Keep, dir.path(), &mut |_| ())
}

fn ids(import: &mut Import) -> Vec<String> {
    let mut ids: Vec<String> = import.items().unwrap().map(|item| item.unwrap().id().to_owned()).collect();
    ids.sort();
    ids
}

fn point(id: &str, lon: f64) -> String {
    format!(
        r#"{{"type":"Feature","id":{id},"geometry":{{"type":"Point","coordinates":[{lon},2]}},"properties":{{}}}}"#
    )
}

fn collection(features: &[String]) -> String {
    format!(r#"{{"type":"FeatureCollection","features":[{}]}}"#, features.join(",\n"))
}

#[test]
fn every_layout_is_read() {
    let [a, b] = [point("1", 1.0), point("\"b\"", 2.0)];
    let pretty = a.replace(',', ",\n  ");
    for text in [
        collection(&[a.clone(), b.clone()]),
        format!("\u{feff}{}\r\n", collection(&[a.clone(), b.clone()])),
        format!(r#"{{"features":[{a},{b}],"crs":null,"x":[[[1]]],"type":"FeatureCollection"}}"#),
        format!("{a}\n{b}\n"),
        format!("{a}\r\n\r\n{b}"),
        format!("\u{1e}{a}\n\u{1e}{b}\n"),
        format!("\u{1e}{pretty}\n\u{1e}{b}\n"),
        format!("{pretty}\n{b}"),
        format!("\n\n{a}\n{pretty}").replace(&pretty, &b),
    ] {
        let mut import = import(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!(ids(&mut import), ["b", "g:1"], "{text}");
        assert_eq!((import.len(), import.counts().free, import.skipped().count), (2, 2, 0));
    }
    assert_eq!(ids(&mut import(&a).unwrap()), ["g:1"]);
    assert_eq!(ids(&mut import(&pretty).unwrap()), ["g:1"]);
    assert!(import(collection(&[])).unwrap().is_empty());
}

#[test]
fn bad_features_are_skipped_where_they_are() {
    let nowhere = r#"{"type":"Feature","id":"x","properties":{}}"#.to_owned();
    let away = point("9", 999.0);
    for text in [
        collection(&[point("1", 1.0), nowhere.clone(), away.clone(), point("2", 2.0)]),
        [point("1", 1.0), nowhere, away, point("2", 2.0)].join("\n"),
    ] {
        let mut import = import(&text).unwrap();
        assert_eq!(ids(&mut import), ["g:1", "g:2"]);
        let skipped = &import.skipped().first;
        assert_eq!(import.skipped().count, 2);
        let second = text.find(r#"{"type":"Feature","id":"x""#).unwrap() as u64;
        assert_eq!(
            (skipped[0].location, &skipped[0].reason),
            (Location::Text { line: 2, offset: second }, &GeoJsonError::NoGeometry.into())
        );
        assert!(matches!(skipped[1].location, Location::Text { line: 3, .. }));
        assert_eq!(skipped[1].id.as_deref(), Some("9"));
        assert!(matches!(skipped[1].reason, Reason::GeoJson(GeoJsonError::OffTheMap(_))));
        let told = skipped[0].to_string();
        assert!(told.starts_with(&format!("x (line 2, byte {second}): the feature has no")), "{told}");
        let reasons: Vec<_> = import.skipped().by_reason.clone().into_iter().collect();
        assert_eq!(reasons, [("not_a_feature", 1), ("off_the_map", 1)]);
    }
}

#[test]
fn a_skip_in_a_file_of_one_line_is_found_by_its_byte() {
    let text = collection(&[point("1", 1.0), point("\"far\"", 999.0)]).replace('\n', "");
    let import = import(&text).unwrap();
    let skip = import.skipped().first[0].to_string();
    let offset = text.find(&point("\"far\"", 999.0)).unwrap();
    assert!(skip.starts_with(&format!("far (line 1, byte {offset}): ")), "{skip}");
}

#[test]
fn collections_one_after_the_other_are_read() {
    let [a, b] =
        [collection(&[point("\"a\"", 1.0)]), collection(&[point("\"b\"", 2.0), point("\"far\"", 999.0)])];
    let [c, d] = [point("\"c\"", 3.0), r#"{"type":"Point","coordinates":[4,2]}"#.to_owned()];
    let b = b.replace('\n', "");
    let away = b.find(&point("\"far\"", 999.0)).unwrap();
    for (text, before) in [
        (format!("{a}\n{b}\n"), a.len() + 1),
        (format!("{a}{b}"), a.len()),
        (format!("\u{1e}{a}\n\u{1e}{b}\n\u{1e}{c}\n"), a.len() + 3),
        (format!("{c}\n{a}\n{b}\n"), a.len() + c.len() + 2),
        (format!("{d}\n{a}\n{b}\n"), a.len() + d.len() + 2),
    ] {
        let mut import = import(&text).unwrap();
        let ids = ids(&mut import);
        assert!(ids.iter().any(|id| id == "a") && ids.iter().any(|id| id == "b"), "{text}: {ids:?}");
        assert_eq!(import.len(), if text.contains(&c) || text.contains(&d) { 3 } else { 2 }, "{text}");
        let skip = &import.skipped().first[0];
        assert!(
            matches!(skip.location, Location::Text { offset, .. } if offset == (before + away) as u64),
            "{skip}"
        );
    }
    // One that is cut is an error.
    assert!(import(format!("{a}\n{}", &b[..30])).is_err());
}

#[test]
fn coordinates_of_another_system_are_refused_by_name() {
    let named = |name: &str| {
        let crs = format!(r#""crs":{{"type":"name","properties":{{"name":"{name}"}}}},"features""#);
        collection(&[point("\"a\"", 1.0)]).replace("\"features\"", &crs)
    };
    let crs84 = named("urn:ogc:def:crs:OGC:1.3:CRS84");
    assert_eq!(import(&crs84).unwrap().len(), 1);
    // It may come after the features.
    let last = crs84.replace("OGC:1.3:CRS84", "EPSG::3857").replace("{\"type\":\"FeatureCollection\",", "{");
    for other in [named("urn:ogc:def:crs:EPSG::3857"), last] {
        let error = import(&other).unwrap_err().to_string();
        assert!(error.contains("EPSG::3857") && error.contains("ogr2ogr"), "{error}");
    }
    // Among other records it costs its collection only.
    let lines = format!("{}\n{}\n", point("\"b\"", 1.0), named("EPSG:3857"));
    let import = import(lines).unwrap();
    assert_eq!((import.len(), import.skipped().by_reason["other_coordinates"]), (1, 1));
}

#[test]
fn what_a_collection_says_is_told_if_it_is_not_kept() {
    let text = collection(&[point("\"a\"", 1.0)])
        .replace("\"features\"", r#""name":"layer","bbox":[0,0,1,1],"features""#);
    let names: Vec<String> = import(text).unwrap().unkept().iter().cloned().collect();
    assert_eq!(names, ["bbox", "name"]);
}

#[test]
fn a_feature_without_a_place_is_kept() {
    let text = r#"{"type":"Feature","id":"a","geometry":null,"properties":{"n":1}}"#;
    let mut import = import(collection(&[text.to_owned(), point("\"b\"", 1.0)])).unwrap();
    assert_eq!((ids(&mut import), import.skipped().count), (vec!["a".to_owned(), "b".to_owned()], 0));
}

#[test]
fn the_same_twice_is_no_loss() {
    let a = point("\"a\"", 1.0);
    assert_eq!(import(collection(&[a.clone(), a.clone(), a.clone()])).unwrap().skipped().count, 0);
    let import = import(collection(&[a.clone(), point("\"a\"", 2.0), a])).unwrap();
    assert_eq!(import.skipped().by_reason["repeated"], 2);
}

#[test]
fn a_bad_line_is_skipped_and_the_next_is_read() {
    let bytes =
        [point("1", 1.0).as_bytes(), b"\n{oops\n\xff\xfe\n", point("2", 2.0).as_bytes(), b"\n"].concat();
    let mut import = import(bytes).unwrap();
    assert_eq!(ids(&mut import), ["g:1", "g:2"]);
    let places: Vec<String> = import.skipped().first.iter().map(|s| s.location.to_string()).collect();
    let first = point("1", 1.0).len() + 1;
    assert_eq!(places, [format!("line 2, byte {first}"), format!("line 3, byte {}", first + 6)]);
    assert_eq!(import.skipped().first[1].reason, Reason::NotText);
}

#[test]
fn skips_are_all_counted_and_the_first_hundred_told() {
    let bad = vec![r#"{"type":"Feature"}"#.to_owned(); 250];
    let import = import(collection(&bad)).unwrap();
    assert_eq!((import.skipped().count, import.skipped().first.len()), (250, 100));
}

#[test]
fn the_last_of_an_id_counts() {
    let lines = [point("7", 1.0), point("\"x\"", 1.0), point("\"7\"", 3.0)].join("\n");
    let mut import = import(lines).unwrap();
    let west = |import: &mut Import, id: &str| {
        let mut features = import.items().unwrap().filter_map(|item| item.unwrap().into_feature());
        features.find(|f| f.id == id).unwrap().extent().boxes()[0].west
    };
    assert_eq!((import.len(), import.skipped().count), (2, 1));
    assert_eq!(west(&mut import, "g:7"), 30_000_000);
    assert_eq!(import.skipped().first[0].id.as_deref(), Some("g:7"));
}

#[test]
fn files_cut_short_are_errors() {
    let a = point("1", 1.0);
    let pretty = collection(&[a.clone(), a.clone()]);
    for whole in [collection(std::slice::from_ref(&a)), pretty, a.replace(',', ",\n"), format!("\u{1e}{a}")] {
        for len in 1..whole.len() {
            let result = import(&whole.as_bytes()[..len]);
            assert!(result.is_err(), "{}", &whole[..len]);
        }
        assert!(import(&whole).is_ok());
    }
    // The second line is not whole.
    let lines = format!("{a}\n{a}");
    for len in a.len() + 2..lines.len() {
        let error = import(&lines.as_bytes()[..len]).unwrap_err();
        assert!(matches!(error, ImportError::Truncated { within: "a Feature", .. }), "{error}");
    }
}

#[test]
fn foreign_files_are_errors_that_say_so() {
    for text in
        ["", " ", "hello", "<gpx/>", "{}", r#"{"name":"x"}"#, "{\n\"name\": 1\n}", "{\"a\":1}\n{\"b\":2}\n"]
    {
        assert!(matches!(import(text), Err(ImportError::Foreign { .. })), "{text}");
    }
    for text in [
        r#"{"type":"FeatureCollection"}"#,
        r#"{"type":"FeatureCollection","features":{}}"#,
        r#"{"type":"FeatureCollection","features":[1 2]}"#,
        r#"{"features":[],"type":"Topology"}"#,
        r#"{"type":"FeatureCollection","features":[]} x"#,
    ] {
        assert!(matches!(import(text), Err(ImportError::NotJson { line: 1, .. })), "{text}");
    }
}

#[test]
fn a_missing_file_and_a_missing_spool_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    assert!(matches!(read(&missing, &Ids::Keep, dir.path(), &mut |_| ()), Err(ImportError::Read { .. })));
    let file = dir.path().join("f");
    std::fs::write(&file, point("1", 1.0)).unwrap();
    assert!(matches!(read(&file, &Ids::Keep, &missing, &mut |_| ()), Err(ImportError::Spool { .. })));
}

#[test]
fn nesting_never_overflows_the_stack() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let feature = |properties: &str| {
        format!(
            r#"{{"type":"Feature","id":1,"geometry":{{"type":"Point","coordinates":[1,2]}},"properties":{properties}}}"#
        )
    };
    let bad = feature(&format!(r#"{{"a":{deep}}}"#));
    let import = import(collection(&[bad, point("2", 1.0)])).unwrap();
    assert_eq!((import.len(), import.skipped().count), (1, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn noise_never_panics(start in "\\PC{0,3}|\\{|\\x1e|\\{\"features\":\\[", rest in "[\\[\\]{}\",:a-z0-9\\n\\x1e ]{0,60}") {
        let _ = import(format!("{start}{rest}"));
    }
}
