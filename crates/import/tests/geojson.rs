//! GeoJSON files of every layout.
#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb_geo::GeoJsonError;
use kappadb_import::{Import, ImportError, Location, Reason, read};
use proptest::prelude::*;

fn import(text: impl AsRef<[u8]>) -> Result<Import, ImportError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.json");
    std::fs::write(&path, text).unwrap();
    read(&path, dir.path(), &mut |_| ())
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
        format!(r#"{{"features":[{a},{b}],"crs":{{"x":[[[1]]]}},"type":"FeatureCollection"}}"#),
        format!("{a}\n{b}\n"),
        format!("{a}\r\n\r\n{b}"),
        format!("\u{1e}{a}\n\u{1e}{b}\n"),
        format!("\u{1e}{pretty}\n\u{1e}{b}\n"),
        format!("{pretty}\n{b}"),
        format!("\n\n{a}\n{pretty}").replace(&pretty, &b),
    ] {
        let mut import = import(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!(ids(&mut import), ["1", "b"], "{text}");
        assert_eq!((import.len(), import.counts().free, import.skipped().count), (2, 2, 0));
    }
    assert_eq!(ids(&mut import(&a).unwrap()), ["1"]);
    assert_eq!(ids(&mut import(&pretty).unwrap()), ["1"]);
    assert!(import(collection(&[])).unwrap().is_empty());
}

#[test]
fn bad_features_are_skipped_where_they_are() {
    let nowhere = r#"{"type":"Feature","geometry":null,"properties":{}}"#.to_owned();
    let away = point("9", 999.0);
    for text in [
        collection(&[point("1", 1.0), nowhere.clone(), away.clone(), point("2", 2.0)]),
        [point("1", 1.0), nowhere, away, point("2", 2.0)].join("\n"),
    ] {
        let mut import = import(&text).unwrap();
        assert_eq!(ids(&mut import), ["1", "2"]);
        let skipped = &import.skipped().first;
        assert_eq!(import.skipped().count, 2);
        assert_eq!(
            (skipped[0].location, &skipped[0].reason),
            (Location::Line(2), &GeoJsonError::NoGeometry.into())
        );
        assert_eq!(skipped[1].location, Location::Line(3));
        assert!(matches!(skipped[1].reason, Reason::GeoJson(GeoJsonError::OffTheMap(_))));
        assert_eq!(skipped[0].to_string(), "line 2: the feature has no geometry");
    }
}

#[test]
fn a_bad_line_is_skipped_and_the_next_is_read() {
    let bytes =
        [point("1", 1.0).as_bytes(), b"\n{oops\n\xff\xfe\n", point("2", 2.0).as_bytes(), b"\n"].concat();
    let mut import = import(bytes).unwrap();
    assert_eq!(ids(&mut import), ["1", "2"]);
    let lines: Vec<Location> = import.skipped().first.iter().map(|s| s.location).collect();
    assert_eq!(lines, [Location::Line(2), Location::Line(3)]);
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
    assert_eq!(west(&mut import, "7"), 30_000_000);
    assert_eq!(import.skipped().first[0].id.as_deref(), Some("7"));
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
    let geometry = r#"{"type":"Point","coordinates":[1,2]}"#;
    assert!(matches!(import(geometry), Err(ImportError::Foreign { .. })));
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
    assert!(matches!(read(&missing, dir.path(), &mut |_| ()), Err(ImportError::Read { .. })));
    let file = dir.path().join("f");
    std::fs::write(&file, point("1", 1.0)).unwrap();
    assert!(matches!(read(&file, &missing, &mut |_| ()), Err(ImportError::Spool { .. })));
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
