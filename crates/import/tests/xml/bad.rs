//! Files and elements that something is wrong with.

use super::*;
use kappadb_core::Timestamp;
use kappadb_geo::{Edit, FeatureError, Meta};
use kappadb_import::{Location, Reason, XmlDamage};

/// The damage in a document, its line and the element that it is in.
fn damage(text: impl AsRef<[u8]>) -> (XmlDamage, u64, Option<String>) {
    match import(text.as_ref()) {
        Err(ImportError::NotXml { damage, line, element, .. }) => (damage, line, element),
        other => panic!("{}: {other:?}", String::from_utf8_lossy(text.as_ref())),
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    for whole in [HARBOUR, DAY] {
        let end = whole.trim_end().len();
        for len in 0..end {
            match import(&whole.as_bytes()[..len]) {
                Err(ImportError::Truncated { .. }) => {}
                Err(ImportError::Foreign { .. }) if len == 0 => {}
                other => panic!("{len} bytes: {other:?}"),
            }
        }
        assert!(import(&whole[..end]).is_ok());
    }
}

#[test]
fn a_packed_file_cut_or_changed_anywhere_is_an_error() {
    for (packing, whole) in packed_harbours() {
        for len in 0..whole.len() {
            match import(&whole[..len]) {
                Err(ImportError::Truncated { .. }) => {}
                Err(ImportError::Foreign { .. }) if len < 6 => {}
                other => panic!("{packing}, {len} bytes: {other:?}"),
            }
        }
        // Behind the header, of which not all matters, everything is under a checksum.
        for at in (10..whole.len()).step_by(3) {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            // A bit may have no meaning; then all is as it was.
            if let Ok(mut import) = import(&changed) {
                assert_eq!(items_of(&mut import), items(HARBOUR), "{packing}, byte {at}");
            }
        }
    }
}

#[test]
fn an_xz_file_that_asks_for_all_memory_is_refused() {
    // A block whose dictionary is 4 GiB, with the header's checksum.
    let mut header = b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46\x02\0\x21\x01\x28\0\0\0".to_vec();
    let mut crc = flate2::Crc::new();
    crc.update(&header[12..]);
    header.extend(crc.sum().to_le_bytes());
    header.extend([0; 100]);
    let error = import(header).unwrap_err();
    assert!(
        matches!(&error, ImportError::Unsupported { feature, .. } if feature.contains("memory")),
        "{error}"
    );
}

#[test]
fn bad_values_are_skipped_where_they_are() {
    let node = |attributes: &str| format!("<node {attributes}/>");
    let missing = |attribute| Reason::Missing { attribute };
    let bad = |attribute, value: &str| Reason::BadValue { attribute, value: value.to_owned() };
    let cases = [
        (node("lat='1' lon='1'"), missing("id")),
        (node("id='9223372036854775808' lat='1' lon='1'"), bad("id", "9223372036854775808")),
        (node("id='1.5' lat='1' lon='1'"), bad("id", "1.5")),
        (node("id='1' lat='1'"), missing("lon")),
        (node("id='1' lon='1'"), missing("lat")),
        (node("id='1'"), missing("position")),
        (node("id='1' lat='91' lon='1'"), Reason::OffTheMap),
        (node("id='1' lat='1' lon='-180.1'"), Reason::OffTheMap),
        (node("id='1' lat='nan' lon='1'"), Reason::OffTheMap),
        (node("id='1' lat='x' lon='1'"), bad("lat", "x")),
        (node(&format!("id='{}'", "7".repeat(100))), bad("id", &"7".repeat(40))),
        (
            "<node id='1' lat='1' lon='1'><tag k='a' v='1'/><tag k='a' v='2'/></node>".to_owned(),
            Reason::DuplicateTag { key: "a".to_owned() },
        ),
        ("<node id='1' lat='1' lon='1'><tag v='1'/></node>".to_owned(), missing("k of a tag")),
        ("<node id='1' lat='1' lon='1'><tag k='1'/></node>".to_owned(), missing("v of a tag")),
        ("<way id='1'><nd/></way>".to_owned(), missing("ref of a node")),
        ("<way id='1'><nd ref='a'/></way>".to_owned(), bad("ref of a node", "a")),
        ("<way id='1'><nd ref='1' lat='99' lon='1'/></way>".to_owned(), Reason::OffTheMap),
        ("<relation id='1'><member type='way'/></relation>".to_owned(), missing("ref of a member")),
        ("<relation id='1'><member ref='1'/></relation>".to_owned(), missing("type of a member")),
        (
            "<relation id='1'><member type='area' ref='1'/></relation>".to_owned(),
            bad("type of a member", "area"),
        ),
    ];
    for (text, reason) in cases {
        let good = "<node id='2' lat='2' lon='2'><tag k='a' v='b'/><tag k='a' v='b'/></node>";
        let mut import = import(format!("<osm>\n{text}\n{good}</osm>")).unwrap();
        let found = items_of(&mut import);
        assert_eq!(ids(&found), ["n2"], "{text}");
        assert_eq!(element(&found, "n2").tags.len(), 1, "the same tag twice is one");
        assert_eq!(import.skipped().count, 1, "{text}");
        let skip = &import.skipped().first[0];
        assert_eq!((skip.location, &skip.reason), (Location::Text { line: 2, offset: 6 }, &reason), "{text}");
    }
}

#[test]
fn bad_metadata_never_costs_the_geometry() {
    let known = |edit: Edit| Some(Meta { version: 1, edit });
    let at = |millis| known(Edit { time: Some(Timestamp(millis)), ..Edit::default() });
    for (attributes, meta, unclear) in [
        ("version='-1' changeset='-1' uid='-1'", None, 0),
        ("version='' changeset='' uid='' user='' timestamp=''", None, 0),
        ("version='4294967296'", None, 0),
        ("version='9223372036854775808'", None, 1),
        ("version='1' timestamp='yesterday'", known(Edit::default()), 1),
        ("version='1' timestamp='2020'", known(Edit::default()), 1),
        ("version='1' uid='a' changeset='b'", known(Edit::default()), 1),
        ("version='1' timestamp='2020-01-01T00:00:00'", at(1_577_836_800_000), 0),
        ("version='1' timestamp='2020-01-01T00:00:00.5Z'", at(1_577_836_800_500), 0),
        ("version='1' timestamp='2020-01-01T02:00:00+02:00'", at(1_577_836_800_000), 0),
    ] {
        let tag = "<tag k='a' v='b'/>";
        let text = format!("<osm><node id='1' lat='1' lon='2' {attributes}>{tag}</node></osm>");
        let mut import = import(text).unwrap();
        assert_eq!((import.unclear(), import.skipped().count), (unclear, 0), "{attributes}");
        let items = items_of(&mut import);
        assert_eq!(place(feature(&items, "n1")), [[20_000_000, 10_000_000, 20_000_000, 10_000_000]]);
        assert_eq!(element(&items, "n1").meta, meta, "{attributes}");
    }
}

#[test]
fn a_skip_tells_which_element_and_why() {
    let import = import("<osm>\n\n<node id='17' lat='91' lon='0'/></osm>").unwrap();
    assert_eq!(import.skipped().first[0].to_string(), "n17 (line 3, byte 7): its position is not on the map");
}

#[test]
fn a_delete_too_large_for_a_block_is_skipped() {
    let user = "u".repeat(1 << 20);
    let import =
        import(format!("<osmChange><delete><node id='1' user='{user}'/></delete></osmChange>")).unwrap();
    assert!(import.is_empty());
    let reason = &import.skipped().first[0].reason;
    assert!(matches!(reason, Reason::Feature(FeatureError::TooLarge { .. })), "{reason}");
}

#[test]
fn broken_structure_is_an_error_with_its_place() {
    let misplaced = |name: &str| XmlDamage::Misplaced { name: name.to_owned() };
    for (text, expected, line, element) in [
        ("<osm>\n<osmChange>\n<node id='1'/></osmChange></osm>", misplaced("node"), 3, None),
        ("<osmChange>\n<node id='1'/></osmChange>", misplaced("node"), 2, None),
        ("<osm><way id='4'>\n<node id='1'/></way></osm>", misplaced("node"), 2, Some("way 4")),
        ("<osm><action type='modify'><old>\n<node/></old></action></osm>", XmlDamage::Augmented, 1, None),
        ("<osm><node id='1'/>\n<tag k='a' v='b'/></osm>", misplaced("tag"), 2, None),
        ("<osm><node id='1'>\n<nd ref='2'/></node></osm>", misplaced("nd"), 2, Some("node 1")),
        ("<osm><way id='x'>\n<member/></way></osm>", misplaced("member"), 2, Some("way")),
        ("<osm/>\n<osm/>", XmlDamage::Outside, 2, None),
        ("<osm/>\ntext", XmlDamage::Outside, 1, None),
    ] {
        assert_eq!(damage(text), (expected, line, element.map(str::to_owned)), "{text}");
    }
}

#[test]
fn text_that_is_not_well_formed_is_an_error() {
    for text in [
        "<osm>\n<node id='1'></way></osm>",
        "<osm>\n</osm></osm>",
        "<osm>\n<node id='1' id='2'/></osm>",
        "<osm>\n<node id=1/></osm>",
        "<osm>\n<node id/></osm>",
        "<osm>\n<node id='&#0;'/></osm>",
        "<osm>\n<node id='&#x110000;'/></osm>",
        "<osm>\n<node id='&amp'/></osm>",
        "<osm>\n<!wrong></osm>",
        "<osm>\n & </osm>",
    ] {
        let (damage, line, _) = damage(text);
        assert!(matches!(damage, XmlDamage::Syntax { .. }), "{text}: {damage}");
        assert!((1..=2).contains(&line), "{text}");
    }
    let error = import("<osm>\n <way id='7'>\n<nd ref='1' ref='2'/></way></osm>").unwrap_err().to_string();
    assert!(error.contains("line 3 (byte 20, in way 7)"), "{error}");
}

#[test]
fn entities_are_never_expanded() {
    let bomb = r#"<!DOCTYPE osm [
        <!ENTITY a "aaaaaaaaaaaaaaaa">
        <!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
        <!ENTITY c SYSTEM "file:///etc/hostname">
    ]>"#;
    for name in ["a", "b", "c", "nbsp"] {
        let text =
            format!("{bomb}<osm><node id='1' lat='1' lon='1'>\n<tag k='x' v='&{name};'/></node></osm>");
        let expected = (XmlDamage::Entity { name: name.to_owned() }, 6, Some("node 1".to_owned()));
        assert_eq!(damage(text), expected);
    }
    // Text has no meaning in this format.
    assert!(import(format!("{bomb}<osm><note>&b;</note></osm>")).is_ok());
}

#[test]
fn what_is_not_utf_8_is_an_error() {
    let latin = b"<osm>\n<node id='1' lat='1' lon='1' user='B\xe9'/></osm>";
    assert_eq!(damage(latin).0, XmlDamage::NotText);
    let declared = "<?xml version='1.0' encoding='ISO-8859-1'?><osm/>";
    let error = import(declared).unwrap_err();
    assert!(
        matches!(&error, ImportError::Unsupported { feature, .. } if feature.contains("ISO-8859-1")),
        "{error}"
    );
    let wide: Vec<u8> = HARBOUR.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let error = import(wide).unwrap_err();
    assert!(
        matches!(&error, ImportError::Unsupported { feature, .. } if feature.contains("UTF-16")),
        "{error}"
    );
}

#[test]
fn other_documents_are_foreign() {
    for text in ["<gpx/>", "<?xml version='1.0'?>\n<html><osm/></html>", "<!-- --><osmchange/>"] {
        assert!(matches!(import(text), Err(ImportError::Foreign { .. })), "{text}");
    }
}

#[test]
fn an_answer_that_broke_off_is_an_error() {
    let remark = "runtime error: Query timed out after 26 seconds.";
    let expected = XmlDamage::Incomplete { remark: remark.to_owned() };
    assert_eq!(damage(format!("<osm><node id='1'/>\n<remark> {remark} </remark></osm>")).0, expected);
    assert!(import("<osm><remark>All is well.</remark><note>No error</note></osm>").is_ok());
}

#[test]
fn nesting_has_an_end() {
    let deep = |n: usize| format!("<osm>{}{}</osm>", "<a>".repeat(n), "</a>".repeat(n));
    assert!(import(deep(63)).is_ok());
    assert_eq!(damage(deep(64)).0, XmlDamage::TooDeep { limit: 64 });
    assert_eq!(damage(deep(100_000)).0, XmlDamage::TooDeep { limit: 64 });
}

#[test]
fn an_endless_element_is_an_error_and_not_a_full_memory() {
    // Packed, so that it takes no room here either.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(b"<osm>\n<way id='1'>\n").unwrap();
    let nodes = "<nd ref='1'/>    ".repeat(1 << 10);
    let spaces = vec![b' '; 1 << 20];
    encoder.write_all(nodes.as_bytes()).unwrap();
    (0..65).for_each(|_| encoder.write_all(&spaces).unwrap());
    let error = import(encoder.finish().unwrap()).unwrap_err();
    assert!(matches!(error, ImportError::FeatureTooLong { .. }), "{error}");
}
