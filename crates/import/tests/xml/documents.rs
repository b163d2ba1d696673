//! Noise, and documents made at random.

use super::*;
use kappadb_core::{Coord, Extent};
use kappadb_geo::{Edit, ElementKind, Member, Meta, Shape, WayNode};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Elements by kind and id; what is gone has none.
type Model = BTreeMap<(ElementKind, i64), (Option<Element>, Option<Meta>)>;

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z<>&\"' \t\n]{0,6}", "[a-zäé€😀]{0,3}"]
}

fn meta() -> impl Strategy<Value = Option<Meta>> {
    // One of which nothing is known is none.
    (any::<u32>(), 0i64.., 0i64.., text()).prop_map(|(version, changeset, uid, user)| {
        let meta = Meta { version, edit: Edit { time: None, changeset, uid, user } };
        Some(meta).filter(|meta| *meta != Meta::default())
    })
}

fn tags() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::btree_map(text(), text(), 0..4).prop_map(|tags| tags.into_iter().collect())
}

fn coord() -> impl Strategy<Value = Coord> {
    (-1_800_000_000i32..=1_800_000_000, -900_000_000i32..=900_000_000)
        .prop_map(|(lon, lat)| Coord { lon, lat })
}

fn id() -> impl Strategy<Value = i64> {
    -3i64..8
}

fn kind() -> impl Strategy<Value = ElementKind> {
    prop::sample::select(vec![ElementKind::Node, ElementKind::Way, ElementKind::Relation])
}

fn shape() -> impl Strategy<Value = Shape> {
    let way = prop::collection::vec(id().prop_map(WayNode::new), 0..5);
    let member = (kind(), id(), text()).prop_map(|(kind, id, role)| Member { kind, id, role });
    let relation = prop::collection::vec(member, 0..4)
        .prop_map(|members| Shape::Relation { members, extent: Extent::NOWHERE });
    prop_oneof![
        coord().prop_map(Shape::Node),
        coord().prop_map(Shape::Node),
        way.prop_map(Shape::Way),
        relation
    ]
}

fn model() -> impl Strategy<Value = Model> {
    let element =
        (shape(), tags(), meta(), prop::bool::weighted(0.8)).prop_map(|(shape, tags, meta, here)| {
            let kind = shape.kind();
            (kind, here.then(|| Element { shape, tags, meta: meta.clone() }), meta)
        });
    prop::collection::vec((id(), element), 0..14).prop_map(|elements| {
        elements.into_iter().map(|(id, (kind, element, meta))| ((kind, id), (element, meta))).collect()
    })
}

fn write(model: &Model, order: &[usize], change: bool) -> String {
    let mut elements: Vec<_> = model.iter().collect();
    // Any order, given by numbers.
    elements.sort_by_key(|((_, id), _)| order[usize::try_from(id + 3).unwrap()]);
    let mut out = String::new();
    for ((kind, id), (element, meta)) in elements {
        let text = match element {
            Some(element) => writer::element(*id, element),
            None => writer::gone(*kind, *id, meta),
        };
        out += &if change { format!("<modify>{text}</modify>") } else { text };
    }
    if change { format!("<osmChange>{out}</osmChange>") } else { format!("<osm>{out}</osm>") }
}

fn said(model: &Model, id: i64) -> Option<WayNode> {
    let (element, _) = model.get(&(ElementKind::Node, id))?;
    WayNode::of(id, &Body::Osm(element.clone()?))
}

fn position(model: &Model, id: i64) -> Option<Coord> {
    said(model, id)?.at
}

fn path(model: &Model, id: i64) -> Vec<Coord> {
    match model.get(&(ElementKind::Way, id)) {
        Some((Some(Element { shape: Shape::Way(nodes), .. }), _)) => {
            nodes.iter().filter_map(|node| position(model, node.id)).collect()
        }
        _ => Vec::new(),
    }
}

fn relation(model: &Model, id: i64) -> Option<&[Member]> {
    match model.get(&(ElementKind::Relation, id)) {
        Some((Some(Element { shape: Shape::Relation { members, .. }, .. }), _)) => Some(members),
        _ => None,
    }
}

fn nested(members: &[Member]) -> Vec<i64> {
    let relations = members.iter().filter(|member| member.kind == ElementKind::Relation);
    relations.map(|member| member.id).collect()
}

/// Where a relation's own nodes and ways are.
fn direct(model: &Model, members: &[Member]) -> Vec<Extent> {
    let place = |member: &Member| match member.kind {
        ElementKind::Node => Extent::of_path(position(model, member.id)),
        ElementKind::Way => Extent::of_path(path(model, member.id)),
        ElementKind::Relation => Extent::NOWHERE,
    };
    members.iter().flat_map(|member| boxes(&place(member))).collect()
}

fn boxes(extent: &Extent) -> Vec<Extent> {
    extent.boxes().iter().map(|b| Extent::from(*b)).collect()
}

/// What must come of an element, if anything.
fn expected(model: &Model, kind: ElementKind, id: i64, change: bool) -> Option<Item> {
    let (element, meta) = &model[&(kind, id)];
    let id = kappadb_geo::id::osm(kind, id);
    let Some(mut element) = element.clone() else { return Some(Item::Delete { id, meta: meta.clone() }) };
    match &mut element.shape {
        Shape::Node(_) if element.tags.is_empty() => return None,
        Shape::Node(_) => {}
        Shape::Way(nodes) => {
            nodes.iter_mut().for_each(|node| *node = said(model, node.id).unwrap_or(node.clone()));
        }
        Shape::Relation { members, extent } => {
            let (mut parts, mut queue) = (direct(model, members), nested(members));
            let mut seen = BTreeSet::new();
            while let Some(id) = queue.pop() {
                if let Some(members) = relation(model, id).filter(|_| seen.insert(id)) {
                    parts.extend(boxes(&kappadb_geo::join_extents(&direct(model, members))));
                    queue.extend(nested(members));
                }
            }
            *extent = kappadb_geo::join_extents(&parts);
        }
    }
    Some(Item::Put { feature: Feature { id, body: Body::Osm(element) }, is_edit: change })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_written_is_read(
        model in model(),
        order in Just((0..11usize).collect::<Vec<_>>()).prop_shuffle(),
        change: bool,
        pack: bool,
    ) {
        let text = write(&model, &order, change);
        let bytes = if pack { gzip(text.as_bytes()) } else { text.clone().into_bytes() };
        let mut found = items(bytes);
        let mut expected: Vec<Item> =
            model.keys().filter_map(|(kind, id)| expected(&model, *kind, *id, change)).collect();
        found.sort_by(|a, b| a.id().cmp(b.id()));
        expected.sort_by(|a, b| a.id().cmp(b.id()));
        prop_assert_eq!(found, expected, "{}", text);
    }

    #[test]
    fn noise_never_panics(
        start in prop::sample::select(vec!["", "<", "<osm", "<osm>", "<osmChange><create>", "<osm><way id='1'>"]),
        rest in "[<>/!?&;#x'\"=a-d 0-9\\[\\]\n-]{0,40}",
    ) {
        let _ = import(format!("{start}{rest}"));
    }

    #[test]
    fn a_changed_byte_never_panics(at: prop::sample::Index, byte: u8, change: bool) {
        let mut bytes = if change { DAY } else { HARBOUR }.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(mut import) = import(&bytes) {
            prop_assert_eq!(items_of(&mut import).len() as u64, import.len());
        }
    }
}

/// Every node of the file with its position, read with another crate.
fn nodes(file: &Path) -> Vec<(i64, Coord)> {
    let mut nodes = Vec::new();
    let visit = |element: osmpbf::Element<'_>| {
        if let osmpbf::Element::DenseNode(node) = element {
            let (lon, lat) = (node.decimicro_lon(), node.decimicro_lat());
            nodes.push((node.id(), Coord { lon, lat }));
        }
    };
    osmpbf::ElementReader::from_path(file).unwrap().for_each(visit).unwrap();
    nodes
}

#[test]
fn the_extract_as_xml_has_the_same_features() {
    let extract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/data/helsinki-centre.osm.pbf");
    let mut import = read(&extract, &Ids::Keep, &std::env::temp_dir(), &mut |_| ()).unwrap();
    // The writer of these tests does not write times.
    let original: Vec<Item> = items_of(&mut import).into_iter().map(without_time).collect();
    let known: BTreeSet<&str> = original.iter().map(Item::id).collect();
    let mut text = String::from("<osm>\n");
    for (at, item) in original.iter().enumerate() {
        let (_, number) = kappadb_geo::id::parse_osm(item.id()).unwrap();
        text += &writer::element(number, element(&original[at..], item.id()));
    }
    for (id, at) in nodes(&extract) {
        if !known.contains(kappadb_geo::id::osm(ElementKind::Node, id).as_str()) {
            let node = Element { shape: Shape::Node(at), tags: Vec::new(), meta: None };
            text += &writer::element(id, &node);
        }
    }
    text += "</osm>\n";
    let read: Vec<Item> = items(text).into_iter().map(without_time).collect();
    assert!(read == original);
}

/// Nor does it write what is known of nodes without tags.
fn without_time(mut item: Item) -> Item {
    if let Item::Put {
        feature: Feature { body: Body::Osm(Element { meta: Some(meta), shape, .. }), .. },
        ..
    } = &mut item
    {
        meta.edit.time = None;
        if let Shape::Way(nodes) = shape {
            nodes.iter_mut().for_each(|node| (node.version, node.edit) = (0, None));
        }
    }
    item
}
