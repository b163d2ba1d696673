//! The bundled extract, against what is known of it and against another reader.
#![expect(clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb_geo::{Body, Feature, Shape, hilbert};
use kappadb_import::{Counts, Ids, ImportError, Progress, Skipped, read};
use osmpbf::{Element, ElementReader};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn extract() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/data/helsinki-centre.osm.pbf")
}

fn import(path: &Path) -> Result<kappadb_import::Import, ImportError> {
    read(path, &Ids::Keep, &std::env::temp_dir(), &mut |_| ())
}

fn features(import: &mut kappadb_import::Import) -> Vec<Feature> {
    import.items().unwrap().map(|item| item.unwrap().into_feature().unwrap()).collect()
}

#[test]
fn the_extract_is_read_whole() {
    let mut steps: Vec<Progress> = Vec::new();
    let mut import = read(&extract(), &Ids::Keep, &std::env::temp_dir(), &mut |p| steps.push(p)).unwrap();
    assert_eq!(import.elements(), Counts { nodes: 24_260, ways: 5_130, relations: 620, free: 0 });
    assert_eq!(import.counts().nodes, 8_106);
    assert_eq!(*import.skipped(), Skipped::default());
    let found = features(&mut import);
    assert_eq!(found.len() as u64, import.len());
    let places: Vec<u64> = found.iter().map(|f| hilbert(&f.extent())).collect();
    assert!(places.is_sorted());
    assert!(steps.is_sorted_by_key(|p| p.bytes_done));
    assert_eq!(steps.last().map(|p| (p.bytes_done, p.bytes_total)), Some((2 * 685_110, 2 * 685_110)));

    assert!(features(&mut import) == found, "a second reading of the spool");
    let mut other = self::import(&extract()).unwrap();
    assert!(features(&mut other) == found, "a second reading of the file");
}

/// What an element must become, read with another crate.
#[derive(Default)]
struct Expected {
    at: BTreeMap<i64, (i32, i32)>,
    tagged: BTreeMap<String, Vec<(String, String)>>,
    ways: BTreeMap<i64, Vec<i64>>,
    relations: BTreeMap<i64, Vec<(char, i64, String)>>,
    versions: BTreeMap<String, (i64, i64)>,
}

fn tags<'a>(tags: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    let mut tags: Vec<_> = tags.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    tags.sort();
    tags
}

fn expected() -> Expected {
    let mut out = Expected::default();
    let visit = |element: Element<'_>| match element {
        Element::DenseNode(node) => {
            out.at.insert(node.id(), (node.decimicro_lon(), node.decimicro_lat()));
            if node.tags().len() > 0 {
                let id = format!("n{}", node.id());
                let info = node.info().unwrap();
                out.versions.insert(id.clone(), (info.version().into(), info.milli_timestamp()));
                out.tagged.insert(id, tags(node.tags()));
            }
        }
        Element::Node(_) => panic!("the extract has dense nodes only"),
        Element::Way(way) => {
            out.tagged.insert(format!("w{}", way.id()), tags(way.tags()));
            let info = way.info();
            let version = (info.version().unwrap().into(), info.milli_timestamp().unwrap());
            out.versions.insert(format!("w{}", way.id()), version);
            out.ways.insert(way.id(), way.refs().collect());
        }
        Element::Relation(relation) => {
            out.tagged.insert(format!("r{}", relation.id()), tags(relation.tags()));
            let members = relation.members().map(|m| {
                let letter = match m.member_type {
                    osmpbf::RelMemberType::Node => 'n',
                    osmpbf::RelMemberType::Way => 'w',
                    osmpbf::RelMemberType::Relation => 'r',
                };
                (letter, m.member_id, m.role().unwrap().to_owned())
            });
            out.relations.insert(relation.id(), members.collect());
        }
    };
    ElementReader::from_path(extract()).unwrap().for_each(visit).unwrap();
    out
}

impl Expected {
    /// West, south, east, north of what is there of an element.
    fn hull(&self, positions: impl Iterator<Item = (i32, i32)>) -> Option<[i32; 4]> {
        positions
            .map(|(x, y)| [x, y, x, y])
            .reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])])
    }

    fn way_positions(&self, id: i64) -> impl Iterator<Item = (i32, i32)> + '_ {
        self.ways.get(&id).into_iter().flatten().filter_map(|node| self.at.get(node).copied())
    }

    /// Of all that it is made of. Relations within it only once, however they contain each other.
    fn relation_positions(&self, id: i64) -> Vec<(i32, i32)> {
        let (mut found, mut seen, mut queue) = (Vec::new(), BTreeSet::new(), vec![id]);
        while let Some(id) = queue.pop() {
            if !seen.insert(id) {
                continue;
            }
            for (letter, member, _) in self.relations.get(&id).into_iter().flatten() {
                match letter {
                    'n' => found.extend(self.at.get(member)),
                    'w' => found.extend(self.way_positions(*member)),
                    _ => queue.push(*member),
                }
            }
        }
        found
    }
}

#[test]
fn another_reader_finds_the_same() {
    let expected = expected();
    let mut import = import(&extract()).unwrap();
    let mut found: BTreeMap<String, Feature> =
        features(&mut import).into_iter().map(|f| (f.id.clone(), f)).collect();
    assert_eq!(found.len() as u64, import.len(), "each id once");
    for (id, tags) in &expected.tagged {
        let number: i64 = id[1..].parse().unwrap();
        let hull = match &id[..1] {
            "n" => expected.hull(expected.at.get(&number).copied().into_iter()),
            "w" => expected.hull(expected.way_positions(number)),
            _ => expected.hull(expected.relation_positions(number).into_iter()),
        };
        let feature = found.remove(id);
        let Some(hull) = hull else {
            assert_eq!(feature, None, "{id} is nowhere");
            continue;
        };
        let feature = feature.unwrap_or_else(|| panic!("{id} is missing"));
        let extent = feature.extent();
        let b = extent.boxes()[0];
        assert_eq!((extent.boxes().len(), [b.west, b.south, b.east, b.north]), (1, hull), "{id}");
        let Body::Osm(element) = feature.body else { panic!("{id} is no element") };
        assert_eq!(element.tags, *tags);
        if let Some((version, time)) = expected.versions.get(id) {
            let meta = element.meta.unwrap();
            assert_eq!(
                (i64::from(meta.version), meta.edit.time.map(|t| t.0)),
                (*version, Some(*time)),
                "{id}"
            );
        }
        match element.shape {
            Shape::Node(_) => {}
            Shape::Way(nodes) => {
                let wanted: Vec<_> =
                    expected.ways[&number].iter().map(|n| (*n, expected.at.get(n).copied())).collect();
                let nodes: Vec<_> = nodes.iter().map(|n| (n.id, n.at.map(|at| (at.lon, at.lat)))).collect();
                assert_eq!(nodes, wanted);
            }
            Shape::Relation { members, .. } => {
                let members: Vec<_> = members.into_iter().map(|m| (m.kind.letter(), m.id, m.role)).collect();
                assert_eq!(members, expected.relations[&number]);
            }
        }
    }
    assert!(found.is_empty(), "features of no element");
}

/// Where the blobs end: there, a shorter file is a whole one.
fn boundaries(bytes: &[u8]) -> Vec<usize> {
    let blobs = osmpbf::BlobReader::new_seekable(std::io::Cursor::new(bytes)).unwrap();
    blobs.map(|blob| usize::try_from(blob.unwrap().offset().unwrap().0).unwrap()).collect()
}

#[test]
fn a_file_cut_short_is_an_error() {
    let whole = std::fs::read(extract()).unwrap();
    let boundaries = boundaries(&whole);
    assert!(boundaries.len() > 3);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.osm.pbf");
    let spread = (0..16).map(|i| i * whole.len() / 16);
    let near = boundaries.iter().flat_map(|b| [b.wrapping_sub(1), b + 1, b + 4, b + 20]);
    for len in spread.chain(near).chain(0..40).chain([whole.len() - 1]) {
        let Some(cut) = whole.get(..len).filter(|_| !boundaries[2..].contains(&len)) else { continue };
        std::fs::write(&path, cut).unwrap();
        let error = import(&path).err().unwrap_or_else(|| panic!("{len} bytes are taken for a whole file"));
        assert!(
            matches!(error, ImportError::Truncated { .. } | ImportError::Foreign { .. }),
            "{len}: {error}"
        );
        assert!(error.to_string().contains("cut.osm.pbf"));
    }
}

#[test]
fn a_changed_byte_is_noticed() {
    let whole = std::fs::read(extract()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("changed.osm.pbf");
    for i in 0..16 {
        let mut bytes = whole.clone();
        let at = 200 + i * (whole.len() - 200) / 16;
        bytes[at] ^= 1 << (i % 8);
        std::fs::write(&path, &bytes).unwrap();
        // Everything but headers is under the checksum of zlib.
        assert!(import(&path).is_err(), "byte {at}");
    }
}
