//! Random histories of edits as OpenStreetMap's server has them, cut into files in every way, applied in any order, twice and late; the
//! outcome is what a plain model says: of every element the highest version.

use kappadb::export::{ExportFormat, Selection};
use kappadb::osm::{Element, Shape};
use kappadb::{Body, Coord, Database, Extent, GeoBox, ImportOptions, Source};
use kappadb_geo::ElementKind;
use kappadb_import::Item;
use kappadb_sim::{Random, seeds};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

const STEPS: usize = 60;
const BOXES: usize = 20;

type Name = (ElementKind, i64);

/// A version of an element, as the server keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    version: u32,
    /// None if it is gone.
    says: Option<Says>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Says {
    tags: BTreeMap<String, String>,
    is: Is,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Is {
    Node(Coord),
    Way(Vec<i64>),
    Relation(Vec<Name>),
}

type State = BTreeMap<Name, Version>;

/// The server.
struct Server {
    random: Random,
    state: State,
    /// All versions in the order in which they were made.
    log: Vec<(Name, Version)>,
    next: i64,
}

impl Server {
    fn new(seed: u64) -> Server {
        let mut new = Server { random: Random::new(seed), state: State::new(), log: Vec::new(), next: 1 };
        for _ in 0..8 {
            new.make_way();
        }
        new.make_relation();
        new
    }

    fn set(&mut self, name: Name, says: Option<Says>) {
        let version = self.state.get(&name).map_or(1, |known| known.version + 1);
        let made = Version { version, says };
        self.state.insert(name, made.clone());
        self.log.push((name, made));
    }

    fn fresh(&mut self) -> i64 {
        self.next += 1;
        self.next
    }

    fn coord(&mut self) -> Coord {
        Coord { lon: self.random.below(1_000) as i32 * 1_000, lat: self.random.below(1_000) as i32 * 1_000 }
    }

    fn tags(&mut self) -> BTreeMap<String, String> {
        BTreeMap::from([("k".to_owned(), self.random.below(5).to_string())])
    }

    fn alive(&self, kind: ElementKind) -> Vec<i64> {
        let living = self.state.iter().filter(|((of, _), version)| *of == kind && version.says.is_some());
        living.map(|((_, id), _)| *id).collect()
    }

    fn nodes_of(&self, way: i64) -> Vec<i64> {
        match self.state.get(&(ElementKind::Way, way)).and_then(|version| version.says.as_ref()) {
            Some(Says { is: Is::Way(nodes), .. }) => nodes.clone(),
            _ => Vec::new(),
        }
    }

    fn is_used(&self, name: Name) -> bool {
        let says = self.state.values().filter_map(|version| version.says.as_ref());
        says.into_iter().any(|says| match &says.is {
            Is::Node(_) => false,
            Is::Way(nodes) => name.0 == ElementKind::Node && nodes.contains(&name.1),
            Is::Relation(members) => members.contains(&name),
        })
    }

    fn make_node(&mut self) -> i64 {
        let (id, at) = (self.fresh(), self.coord());
        let tags = if self.random.chance(25) { self.tags() } else { BTreeMap::new() };
        self.set((ElementKind::Node, id), Some(Says { tags, is: Is::Node(at) }));
        id
    }

    fn make_way(&mut self) {
        let count = 2 + self.random.index(4);
        let mut nodes: Vec<i64> = (0..count).map(|_| self.make_node()).collect();
        let known = self.alive(ElementKind::Node);
        nodes.push(*self.random.pick(&known));
        let (id, tags) = (self.fresh(), self.tags());
        self.set((ElementKind::Way, id), Some(Says { tags, is: Is::Way(nodes) }));
    }

    fn make_relation(&mut self) {
        let mut members = Vec::new();
        for kind in [ElementKind::Node, ElementKind::Way, ElementKind::Way, ElementKind::Relation] {
            let known = self.alive(kind);
            if !known.is_empty() {
                members.push((kind, *self.random.pick(&known)));
            }
        }
        let (id, tags) = (self.fresh(), self.tags());
        self.set((ElementKind::Relation, id), Some(Says { tags, is: Is::Relation(members) }));
    }

    fn change(&mut self, kind: ElementKind, id: i64, change: impl FnOnce(&mut Says)) {
        let Some(mut says) = self.state.get(&(kind, id)).and_then(|version| version.says.clone()) else {
            return;
        };
        change(&mut says);
        self.set((kind, id), Some(says));
    }

    /// One edit: several elements, mostly.
    fn step(&mut self) {
        let nodes = self.alive(ElementKind::Node);
        let ways = self.alive(ElementKind::Way);
        let node = *self.random.pick(&nodes);
        let way = if ways.is_empty() { 0 } else { *self.random.pick(&ways) };
        match self.random.below(12) {
            0 => self.make_way(),
            1 => drop(self.make_node()),
            2 => self.make_relation(),
            3 | 4 => {
                let at = self.coord();
                self.change(ElementKind::Node, node, |says| says.is = Is::Node(at));
            }
            5 => {
                let tags = if self.random.chance(50) { self.tags() } else { BTreeMap::new() };
                self.change(ElementKind::Node, node, |says| says.tags = tags);
            }
            6 => self.split(way),
            7 => {
                let mut of_way = self.nodes_of(way);
                if of_way.len() > 2 {
                    of_way.remove(self.random.index(of_way.len()));
                    self.change(ElementKind::Way, way, |says| says.is = Is::Way(of_way));
                }
            }
            8 => {
                let mut of_way = self.nodes_of(way);
                of_way.insert(self.random.index(of_way.len() + 1), node);
                self.change(ElementKind::Way, way, |says| says.is = Is::Way(of_way));
            }
            9 if !self.is_used((ElementKind::Way, way)) => self.delete_way(way),
            10 => self.restore(),
            _ if !self.is_used((ElementKind::Node, node)) => self.set((ElementKind::Node, node), None),
            _ => {}
        }
    }

    /// The first half keeps the id.
    fn split(&mut self, way: i64) {
        let nodes = self.nodes_of(way);
        if nodes.len() < 4 {
            return;
        }
        let at = 1 + self.random.index(nodes.len() - 2);
        let (first, second) = (nodes[..=at].to_vec(), nodes[at..].to_vec());
        self.change(ElementKind::Way, way, |says| says.is = Is::Way(first));
        let (id, tags) = (self.fresh(), self.tags());
        self.set((ElementKind::Way, id), Some(Says { tags, is: Is::Way(second) }));
    }

    /// With those of its nodes that nothing else has, or without.
    fn delete_way(&mut self, way: i64) {
        let nodes = self.nodes_of(way);
        if nodes.is_empty() {
            return;
        }
        self.set((ElementKind::Way, way), None);
        if self.random.chance(60) {
            for node in BTreeSet::from_iter(nodes) {
                let name = (ElementKind::Node, node);
                if !self.is_used(name) && self.state[&name].says.is_some() {
                    self.set(name, None);
                }
            }
        }
    }

    /// A deleted way comes back, and what it is made of.
    fn restore(&mut self) {
        let gone = |name: &Name, state: &State| state.get(name).is_some_and(|version| version.says.is_none());
        let before = |server: &Server, name: Name| {
            let mut versions = server.log.iter().rev().filter(|(of, _)| *of == name);
            versions.find_map(|(_, version)| version.says.clone())
        };
        let ways: Vec<Name> = self.state.keys().filter(|name| name.0 == ElementKind::Way).copied().collect();
        let gone_ways: Vec<Name> = ways.into_iter().filter(|name| gone(name, &self.state)).collect();
        if gone_ways.is_empty() {
            return;
        }
        let way = *self.random.pick(&gone_ways);
        let Some(says) = before(self, way) else { return };
        if let Is::Way(nodes) = &says.is {
            for node in BTreeSet::from_iter(nodes.clone()) {
                let name = (ElementKind::Node, node);
                if gone(&name, &self.state) {
                    let said = before(self, name);
                    self.set(name, said);
                }
            }
        }
        self.set(way, Some(says));
    }
}

fn attributes(out: &mut String, (kind, id): &Name, version: u32) {
    let kind = kind.name();
    let (hours, minutes) = (version / 60 % 24, version % 60);
    let time = format!("2026-01-02T{hours:02}:{minutes:02}:00Z");
    write!(out, r#"<{kind} id="{id}" version="{version}" timestamp="{time}" changeset="{version}""#).unwrap();
}

fn element(out: &mut String, name: &Name, version: u32, says: &Says) {
    attributes(out, name, version);
    if let Is::Node(at) = &says.is {
        let (lon, lat) = at.degrees();
        write!(out, r#" lat="{lat:.7}" lon="{lon:.7}""#).unwrap();
    }
    out.push('>');
    match &says.is {
        Is::Node(_) => {}
        Is::Way(nodes) => nodes.iter().for_each(|id| write!(out, r#"<nd ref="{id}"/>"#).unwrap()),
        Is::Relation(members) => members.iter().for_each(|(kind, id)| {
            write!(out, r#"<member type="{}" ref="{id}" role=""/>"#, kind.name()).unwrap();
        }),
    }
    says.tags.iter().for_each(|(k, v)| write!(out, r#"<tag k="{k}" v="{v}"/>"#).unwrap());
    writeln!(out, "</{}>", name.0.name()).unwrap();
}

/// A change file of some versions.
fn change(versions: &[(Name, Version)]) -> String {
    let mut out = String::from("<osmChange version=\"0.6\">\n");
    for (name, Version { version, says }) in versions {
        match says {
            Some(says) => {
                let action = if *version == 1 { "create" } else { "modify" };
                write!(out, "<{action}>").unwrap();
                element(&mut out, name, *version, says);
                write!(out, "</{action}>").unwrap();
            }
            None => {
                write!(out, "<delete>").unwrap();
                attributes(&mut out, name, *version);
                writeln!(out, "/></delete>").unwrap();
            }
        }
    }
    out + "</osmChange>\n"
}

/// A map of all that is there.
fn map(state: &State) -> String {
    let mut out = String::from("<osm version=\"0.6\">\n");
    for (name, version) in state {
        if let Some(says) = &version.says {
            element(&mut out, name, version.version, says);
        }
    }
    out + "</osm>\n"
}

/// What a server's history is handed out as: maps of moments, and changes cut anywhere.
fn files(server: &mut Server) -> Vec<String> {
    let mut files = vec![map(&server.state)];
    let mut from = server.log.len();
    let mut maps = Vec::new();
    for step in 0..STEPS {
        server.step();
        if step % 20 == 10 {
            maps.push(map(&server.state));
        }
    }
    while from < server.log.len() {
        let to = server.log.len().min(from + 1 + server.random.index(12));
        files.push(change(&server.log[from..to]));
        from = to;
    }
    files.extend(maps);
    files
}

struct Replica {
    database: Database,
    files: u32,
}

impl Replica {
    async fn new(dir: &Path) -> Replica {
        Replica { database: Database::builder(dir.join("db")).create().await.unwrap(), files: 0 }
    }

    async fn import(&mut self, dir: &Path, text: &str) {
        self.files += 1;
        let file = dir.join(format!("{}.xml", self.files));
        std::fs::write(&file, text).unwrap();
        let report = self.database.map().import(&file, ImportOptions::default(), |_| ()).await.unwrap();
        assert_eq!(report.skipped, 0);
    }

    /// What it exports, as the server would say it.
    async fn state(&self, dir: &Path) -> State {
        let file = dir.join("export.osm");
        let out = BufWriter::new(File::create(&file).unwrap());
        let report =
            self.database.map().export(Selection::Everything, ExportFormat::OsmXml, out).await.unwrap();
        assert_eq!((report.left_out, report.missing.as_slice()), (0, &[][..]));
        let mut file = kappadb_import::read(&file, &kappadb_import::Ids::Keep, dir, &mut |_| ()).unwrap();
        let mut state = State::new();
        for item in file.items().unwrap() {
            let Item::Put { feature, .. } = item.unwrap() else { panic!("a delete in a map") };
            let (name, Body::Osm(element)) = (kappadb_geo::id::parse_osm(&feature.id), feature.body) else {
                panic!("{}", feature.id)
            };
            state.insert(name.unwrap(), version_of(element));
        }
        file.each_bare(&mut |bare| {
            let says = Says { tags: BTreeMap::new(), is: Is::Node(bare.node.at.unwrap()) };
            let version = Version { version: bare.node.version, says: Some(says) };
            state.insert((ElementKind::Node, bare.node.id), version);
            Ok::<_, kappadb_import::ImportError>(())
        })
        .unwrap();
        state
    }
}

fn version_of(element: Element) -> Version {
    let version = element.version();
    let is = match element.shape {
        Shape::Node(at) => Is::Node(at),
        Shape::Way(nodes) => Is::Way(nodes.iter().map(|node| node.id).collect()),
        Shape::Relation { members, .. } => {
            Is::Relation(members.iter().map(|member| (member.kind, member.id)).collect())
        }
    };
    Version { version, says: Some(Says { tags: element.tags.into_iter().collect(), is }) }
}

fn living(state: &State) -> State {
    let living = state.iter().filter(|(_, version)| version.says.is_some());
    living.map(|(name, version)| (*name, version.clone())).collect()
}

/// Where an element is: the nodes that can be reached.
fn points(state: &State, name: Name, seen: &mut BTreeSet<Name>) -> Vec<Coord> {
    if !seen.insert(name) {
        return Vec::new();
    }
    let Some(says) = state.get(&name).and_then(|version| version.says.as_ref()) else { return Vec::new() };
    match &says.is {
        Is::Node(at) => vec![*at],
        Is::Way(nodes) => nodes
            .iter()
            .flat_map(|id| points(state, (ElementKind::Node, *id), &mut BTreeSet::new()))
            .collect(),
        Is::Relation(members) => members.iter().flat_map(|member| points(state, *member, seen)).collect(),
    }
}

/// The features that touch a box: tagged nodes, ways, relations.
fn touching(state: &State, extent: &Extent) -> BTreeSet<String> {
    let is_shown = |name: &Name, version: &Version| {
        let tags = version.says.as_ref().map_or(0, |says| says.tags.len());
        name.0 != ElementKind::Node || tags > 0
    };
    let touches = |name: &Name| {
        let points = points(state, *name, &mut BTreeSet::new()).into_iter().map(GeoBox::point);
        points.reduce(|a, b| a.hull(&b)).is_some_and(|hull| extent.intersects(&hull.into()))
    };
    let shown = state.iter().filter(|(name, version)| is_shown(name, version)).map(|(name, _)| name);
    shown.filter(|name| touches(name)).map(|(kind, id)| kappadb_geo::id::osm(*kind, *id)).collect()
}

async fn check(replica: &Replica, expected: &State, dir: &Path, random: &mut Random, context: &str) {
    let found = replica.state(dir).await;
    for name in expected.keys().chain(found.keys()) {
        assert_eq!(found.get(name), expected.get(name), "{name:?} {context}");
    }
    for _ in 0..BOXES {
        let (west, south) = (random.below(1_000) as i32 * 1_000, random.below(1_000) as i32 * 1_000);
        let (east, north) =
            (west + random.below(300) as i32 * 1_000, south + random.below(300) as i32 * 1_000);
        let extent = Extent::from(GeoBox { west, south, east, north });
        let hits = replica.database.map().query(&extent, None).await.unwrap().items;
        let hits: BTreeSet<String> = hits.into_iter().map(|hit| hit.id).collect();
        assert_eq!(hits, touching(expected, &extent), "{extent} {context}");
    }
}

/// One replica that imports the files of a server in the order that `arrange` gives them.
async fn import_all(seed: u64, arrange: impl FnOnce(&mut Random, &mut Vec<String>)) {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::new(seed);
    let mut files = files(&mut server);
    arrange(&mut server.random, &mut files);
    let mut replica = Replica::new(dir.path()).await;
    for file in &files {
        replica.import(dir.path(), file).await;
    }
    let expected = living(&server.state);
    check(&replica, &expected, dir.path(), &mut server.random, &format!("seed {seed}")).await;
    replica.database.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn change_files_in_order_give_what_the_server_has() {
    for seed in seeds(0..12) {
        import_all(seed, |_, _| ()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_any_order_and_twice_give_what_the_server_has() {
    for seed in seeds(100..112) {
        import_all(seed, |random, files| {
            let again = random.some(files, 40);
            files.extend(again);
            random.shuffle(files);
        })
        .await;
    }
}

/// Two that import different files, and learn of each other's only then.
async fn import_apart(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::new(seed);
    let mut files = files(&mut server);
    let base = files.remove(0);
    server.random.shuffle(&mut files);
    let (one_dir, other_dir) = (dir.path().join("one"), dir.path().join("other"));
    [&one_dir, &other_dir].into_iter().for_each(|dir| std::fs::create_dir(dir).unwrap());
    let mut one = Replica::new(&one_dir).await;
    let serving = one.database.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let joined = Database::builder(other_dir.join("db")).join(&serving.ticket()).await.unwrap();
    let mut other = Replica { database: joined, files: 0 };
    one.import(&one_dir, &base).await;
    other.import(&other_dir, &base).await;
    for file in &files {
        match server.random.chance(50) {
            true => one.import(&one_dir, file).await,
            false => other.import(&other_dir, file).await,
        }
    }
    assert!(other.database.map().list("", None, usize::MAX).from(Source::Peers).await.unwrap().is_complete());
    // What was applied here without what was there is applied again, with it.
    for file in &files {
        other.import(&other_dir, file).await;
    }
    let expected = living(&server.state);
    check(&other, &expected, &other_dir, &mut server.random, &format!("seed {seed}")).await;
    serving.stop().await;
    for replica in [one, other] {
        replica.database.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_import_different_files_have_what_the_server_has_when_they_meet() {
    for seed in seeds(200..208) {
        import_apart(seed).await;
    }
}

/// One replica knows that a node was deleted, the other that it is back, by a way alone; then the way goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_came_back_with_a_way_stays_when_the_way_goes() {
    import_apart(137_859_038_183_627).await;
}
