//! What users of map databases rely on, over real databases and connections, each behaviour by its number in the
//! list of the predecessors' (23 to 27; 28 is in `crates/view-geo/tests/geo/storage.rs`).

use kappadb::{Coord, Database, Extent, Feature, Hit, Map, Server, Source, Ticket};
use kappadb_geo::{Body, Element, ElementKind, Member, Shape, WayNode};
use std::collections::BTreeSet;
use tempfile::TempDir;

/// A database that is served, and replicas that join it.
struct World {
    dir: TempDir,
    full: Database,
    server: Server,
    ticket: Ticket,
}

impl World {
    async fn new() -> World {
        let dir = tempfile::tempdir().expect("temp dir");
        let full = Database::builder(dir.path().join("full")).create().await.expect("create");
        let server = full.serve(([127, 0, 0, 1], 0).into()).await.expect("serve");
        let ticket = server.ticket();
        World { dir, full, server, ticket }
    }

    fn map(&self) -> Map {
        self.full.map()
    }

    /// A replica that knows the served one.
    async fn join(&self, name: &str) -> Database {
        Database::builder(self.dir.path().join(name)).join(&self.ticket).await.expect("join")
    }

    /// The served database learns what another one wrote.
    async fn learn_from(self, other: &Database) -> World {
        let World { dir, full, server, .. } = self;
        server.stop().await;
        full.close().await.expect("close");
        let theirs = other.serve(([127, 0, 0, 1], 0).into()).await.expect("serve");
        let full =
            Database::builder(dir.path().join("full")).join(&theirs.ticket()).await.expect("join again");
        let answer = full.map().list("", None, usize::MAX).from(Source::Peers).await.expect("ask");
        assert!(answer.asked.failures.is_empty(), "{:?}", answer.asked.failures);
        theirs.stop().await;
        let server = full.serve(([127, 0, 0, 1], 0).into()).await.expect("serve");
        let ticket = server.ticket();
        World { dir, full, server, ticket }
    }
}

fn coord(lon: f64, lat: f64) -> Coord {
    Coord::from_degrees(lon, lat).expect("on the map")
}

fn element(kind: ElementKind, number: i64, shape: Shape, tags: &[(&str, &str)]) -> Feature {
    let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Feature { id: kappadb_geo::id::osm(kind, number), body: Body::Osm(Element { shape, tags, meta: None }) }
}

fn node(number: i64, lon: f64, lat: f64) -> Feature {
    element(ElementKind::Node, number, Shape::Node(coord(lon, lat)), &[("place", "locality")])
}

fn way(number: i64, nodes: &[(i64, f64, f64)]) -> Feature {
    let nodes = nodes
        .iter()
        .map(|&(id, lon, lat)| WayNode { at: Some(coord(lon, lat)), ..WayNode::new(id) })
        .collect();
    element(ElementKind::Way, number, Shape::Way(nodes), &[("highway", "path")])
}

/// Where its last node is is not known.
fn forget_last(way: &mut Feature) {
    let Body::Osm(Element { shape: Shape::Way(nodes), .. }) = &mut way.body else { return };
    nodes.iter_mut().next_back().into_iter().for_each(|node| node.at = None);
}

fn relation(number: i64, members: &[(ElementKind, i64)], extent: &str) -> Feature {
    let member = |&(kind, id): &(ElementKind, i64)| Member { kind, id, role: String::new() };
    let members = members.iter().map(member).collect();
    let shape = Shape::Relation { members, extent: extent.parse().expect("an extent") };
    element(ElementKind::Relation, number, shape, &[("type", "route")])
}

async fn put_all(map: &Map, features: impl IntoIterator<Item = Feature>) {
    for feature in features {
        map.put(feature).await.expect("put");
    }
}

fn ids(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.id.as_str()).collect()
}

fn strings(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_23_history_by_id_has_versions_authors_and_times() {
    let world = World::new().await;
    world.map().put(node(1, 1.0, 1.0)).await.expect("put");
    let second = world.map().put(node(1, 2.0, 2.0)).await.expect("put");
    let other = world.join("other").await;
    let _ = other.map().get("n1").from(Source::Peers).await.expect("ask");
    let third = other.map().put(node(1, 3.0, 3.0)).await.expect("put");
    let world = world.learn_from(&other).await;
    let last = world.map().delete("n1").await.expect("delete");

    let history = world.map().history("n1").await.expect("history").items;
    let entries: Vec<_> = history.iter().map(|revision| revision.edition.entry).collect();
    assert_eq!((entries[0], entries[1], entries[2]), (last, third, second));
    assert_eq!(history.iter().map(|r| r.current).collect::<Vec<_>>(), [true, false, false, false]);
    assert_eq!(history.iter().map(|r| r.edition.deleted).collect::<Vec<_>>(), [true, false, false, false]);
    assert!(history.iter().all(|revision| revision.author == revision.edition.entry.feed));
    assert!(history.is_sorted_by(|a, b| a.edition.time >= b.edition.time));
    assert_eq!(history[1].edition.feature, Some(node(1, 3.0, 3.0)));

    // A newcomer gets only what counts until it asks for the history.
    let newcomer = world.join("newcomer").await;
    let _ = newcomer.map().get("n1").from(Source::Peers).await.expect("ask");
    assert_eq!(newcomer.map().history("n1").await.expect("history").items.len(), 1);
    assert!(newcomer.map().history("n1").from(Source::Peers).await.expect("ask").is_complete());
    assert_eq!(newcomer.map().history("n1").await.expect("history").items, history);
    assert_eq!(newcomer.map().history("n2").await.expect("history").items, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_23_who_refers_to_an_element_is_told_also_when_that_changed_elsewhere() {
    let world = World::new().await;
    put_all(&world.map(), [node(1, 1.0, 1.0), node(2, 2.0, 2.0)]).await;
    put_all(&world.map(), [way(1, &[(1, 1.0, 1.0), (2, 2.0, 2.0)]), way(2, &[(2, 2.0, 2.0)])]).await;
    put_all(&world.map(), [relation(1, &[(ElementKind::Node, 1)], "1,1,1,1")]).await;
    let sparse = world.join("sparse").await;
    let answer = sparse.map().referrers(&strings(&["n1"])).from(Source::Peers).await.expect("ask");
    assert!(answer.is_complete());
    assert_eq!(ids(&sparse.map().referrers(&strings(&["n1"])).await.expect("answers").items), ["r1", "w1"]);
    assert_eq!(answer.asked.blocks_fetched, 2, "w2 refers to something else");

    // The way leads elsewhere now, and lies elsewhere: what the sparse replica holds is out of date.
    world.map().put(way(1, &[(7, 70.0, 7.0)])).await.expect("put");
    let _ = sparse.map().referrers(&strings(&["n1"])).from(Source::Peers).await.expect("ask");
    let referrers = sparse.map().referrers(&strings(&["n1"])).await.expect("answers").items;
    assert_eq!(referrers, world.map().referrers(&strings(&["n1"])).await.expect("answers").items);
    assert_eq!(ids(&referrers), ["r1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_24_a_way_that_crosses_the_box_without_a_node_inside_counts() {
    let world = World::new().await;
    put_all(
        &world.map(),
        [way(1, &[(1, 0.0, 0.0), (2, 10.0, 10.0)]), way(2, &[(3, 7.0, 7.0), (4, 9.0, 9.0)])],
    )
    .await;
    let extent: Extent = "4,4,6,6".parse().expect("an extent");
    let sparse = world.join("sparse").await;
    assert!(sparse.map().query(&extent, None).from(Source::Peers).await.expect("ask").is_complete());
    assert_eq!(ids(&sparse.map().query(&extent, None).await.expect("query").items), ["w1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_24_the_rule_of_osms_api_is_a_mode_of_its_own() {
    let world = World::new().await;
    let inside: Extent = "0,0,10,10".parse().expect("an extent");
    put_all(&world.map(), [node(1, 5.0, 5.0), node(2, 20.0, 20.0), node(3, 30.0, 30.0)]).await;
    put_all(&world.map(), [node(4, -1.0, 5.0), node(5, 11.0, 5.0), node(6, 6.0, 6.0)]).await;
    // From inside to outside. n8 is no feature of its own, n9 nowhere to be found.
    let mut lost = way(1, &[(1, 5.0, 5.0), (2, 20.0, 20.0), (8, 21.0, 21.0), (9, 0.0, 0.0)]);
    forget_last(&mut lost);
    put_all(&world.map(), [lost]).await;
    // Through the box, without a node in it: not by this rule.
    put_all(&world.map(), [way(2, &[(4, -1.0, 5.0), (5, 11.0, 5.0)])]).await;
    // Its node is in the box; who drew it knew nothing of that.
    let other = world.join("other").await;
    put_all(&other.map(), [way(3, &[(6, 60.0, 60.0), (3, 30.0, 30.0)])]).await;
    let world = world.learn_from(&other).await;
    let far = "60,60,61,61";
    put_all(&world.map(), [relation(1, &[(ElementKind::Way, 1)], far)]).await;
    put_all(&world.map(), [relation(2, &[(ElementKind::Node, 2)], far)]).await;
    put_all(&world.map(), [relation(3, &[(ElementKind::Relation, 1)], far)]).await;
    put_all(&world.map(), [relation(4, &[(ElementKind::Way, 2)], "5,5,6,6")]).await;
    // Two levels up: not by this rule.
    put_all(&world.map(), [relation(5, &[(ElementKind::Relation, 3)], far)]).await;

    let answer = world.map().osm_query(&inside).await.expect("query").one().unwrap();
    assert_eq!(ids(&answer.nodes), ["n1", "n2", "n3", "n6"]);
    assert_eq!(ids(&answer.ways), ["w1", "w3"]);
    assert_eq!(ids(&answer.relations), ["r1", "r2", "r3"]);
    assert_eq!(answer.vertices, [WayNode { at: Some(coord(21.0, 21.0)), ..WayNode::new(8) }]);
    assert_eq!(answer.missing, ["n9"]);

    let sparse = world.join("sparse").await;
    assert!(sparse.map().osm_query(&inside).from(Source::Peers).await.expect("ask").is_complete());
    assert_eq!(sparse.map().osm_query(&inside).await.expect("query").one().unwrap(), answer);

    // Property 2 holds for what lies outside the box too: its heads belong to the answer.
    put_all(&world.map(), [node(2, 25.0, 25.0), way(3, &[(3, 30.0, 30.0)]), node(9, 21.0, 21.0)]).await;
    world.map().delete("r2").await.expect("delete");
    assert!(sparse.map().osm_query(&inside).from(Source::Peers).await.expect("ask").is_complete());
    let answer = sparse.map().osm_query(&inside).await.expect("query").one().unwrap();
    assert_eq!(answer, world.map().osm_query(&inside).await.expect("query").one().unwrap());
    assert_eq!(ids(&answer.nodes), ["n1", "n2", "n6", "n9"]);
    assert_eq!((ids(&answer.ways), ids(&answer.relations)), (vec!["w1"], vec!["r1", "r3"]));
    assert_eq!(answer.missing, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_26_a_delete_that_races_an_edit_is_a_conflict_and_can_be_merged() {
    let world = World::new().await;
    world.map().put(node(1, 1.0, 1.0)).await.expect("put");
    let other = world.join("other").await;
    let _ = other.map().get("n1").from(Source::Peers).await.expect("ask");
    let edit = other.map().put(node(1, 1.5, 1.5)).await.expect("put");
    let delete = world.map().delete("n1").await.expect("delete");
    let world = world.learn_from(&other).await;

    let found = world.map().get("n1").await.expect("get").one().expect("there");
    assert!(found.is_conflict());
    let heads: BTreeSet<_> = found.versions.iter().map(|version| version.entry).collect();
    assert_eq!(heads, BTreeSet::from([edit, delete]));
    let around: Extent = "1,1,2,2".parse().expect("an extent");
    let hits = world.map().query(&around, None).await.expect("query").items;
    assert_eq!((hits[0].heads.as_slice(), hits[0].elsewhere.as_slice()), (&[edit][..], &[delete][..]));

    let merged = world.map().merge("n1").await.expect("merge");
    let found = world.map().get("n1").await.expect("get").one().expect("there");
    assert!(!found.is_conflict());
    assert_eq!(found.versions[0].entry, merged);
    assert_eq!(found.versions[0].feature, Some(node(1, 1.5, 1.5)), "an edit is not lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_26_concurrent_versions_are_all_shown_and_merge_their_tags() {
    let world = World::new().await;
    let tagged = |tags: &[(&str, &str)]| element(ElementKind::Node, 1, Shape::Node(coord(1.0, 1.0)), tags);
    world.map().put(tagged(&[("amenity", "cafe"), ("fixme", "name")])).await.expect("put");
    let other = world.join("other").await;
    let _ = other.map().get("n1").from(Source::Peers).await.expect("ask");
    let ours = tagged(&[("amenity", "cafe"), ("fixme", "name"), ("wheelchair", "yes")]);
    other.map().put(ours).await.expect("put");
    world.map().put(tagged(&[("amenity", "bar")])).await.expect("put");
    let world = world.learn_from(&other).await;
    assert_eq!(world.map().get("n1").await.expect("get").one().expect("there").versions.len(), 2);

    world.map().merge("n1").await.expect("merge");
    let found = world.map().get("n1").await.expect("get").one().expect("there");
    let [only] = found.versions.as_slice() else { panic!("{found:?}") };
    let Some(Feature { body: Body::Osm(merged), .. }) = &only.feature else { panic!("{only:?}") };
    assert_eq!((merged.tag("amenity"), merged.tag("wheelchair")), (Some("bar"), Some("yes")));
    assert_eq!(merged.tag("fixme"), None, "what one of them removed is gone");
    assert!(world.map().merge("n1").await.is_err(), "nothing is left to merge");
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_27_what_is_missing_is_told_and_cycles_end() {
    let world = World::new().await;
    put_all(&world.map(), [node(1, 1.0, 1.0), way(1, &[(1, 1.0, 1.0), (8, 2.0, 2.0)])]).await;
    let of = |members: &[(ElementKind, i64)], n| relation(n, members, "1,1,2,2");
    put_all(&world.map(), [of(&[(ElementKind::Relation, 2), (ElementKind::Way, 1)], 1)]).await;
    put_all(&world.map(), [of(&[(ElementKind::Relation, 3), (ElementKind::Relation, 2)], 2)]).await;
    put_all(&world.map(), [of(&[(ElementKind::Relation, 1), (ElementKind::Way, 9)], 3)]).await;

    let sparse = world.join("sparse").await;
    assert!(sparse.map().expand("r1").await.expect("expand").one().is_none());
    assert!(sparse.map().expand("r1").from(Source::Peers).await.expect("ask").is_complete());
    for map in [world.map(), sparse.map()] {
        let expanded = map.expand("r1").await.expect("expand").one().unwrap();
        assert_eq!(ids(&expanded.found), ["r1", "r2", "w1", "r3", "n1"]);
        assert_eq!(expanded.missing, ["w9"], "the way says where n8 is");
    }
}
