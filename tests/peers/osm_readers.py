#!/usr/bin/env python3
"""What osmium and GDAL read in files that kappa writes, and what osmium makes of change files.

    tests/peers/osm_readers.py PROGRAM

PROGRAM is a built `kappa`. Needs the packages in tests/peers/requirements.txt. Prints a line for each check; the exit code is 1 if
one fails.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import osmium
import pyogrio.raw

ROOT = Path(__file__).resolve().parents[2]
EXTRACT = ROOT / "crates/cli/data/helsinki-centre.osm.pbf"
FORMATS = ["geojson", "geojsonseq", "ndjson"]
SEEDS = range(int(os.environ.get("KAPPADB_HISTORIES", "3")))

# Odd files: each must be what osmium reads in it.
ODD = {
    "no metadata": '<osm version="0.6"><node id="1" lat="1" lon="2"/><node id="2" lat="1.5" lon="2"/>'
    '<way id="1"><nd ref="1"/><nd ref="2"/></way></osm>',
    "a way of nodes that are elsewhere": '<osm version="0.6"><node id="1" version="1" lat="1" lon="2"/>'
    '<way id="1" version="2"><nd ref="1"/><nd ref="9"/><tag k="highway" v="path"/></way></osm>',
    "an empty way, a relation of what is elsewhere": '<osm version="0.6"><way id="1" version="1"><tag k="a" v="b"/></way>'
    '<relation id="1" version="1"><member type="way" ref="9" role="x"/><member type="relation" ref="1" role=""/></relation></osm>',
    "nodes that no way has": '<osm version="0.6"><node id="1" version="3" changeset="4" uid="5" user="x" '
    'timestamp="2020-01-01T00:00:00Z" lat="1" lon="2"/></osm>',
    "odd texts": '<osm version="0.6"><node id="1" version="1" lat="-90" lon="180"><tag k="name" v="&lt;&amp;&quot;&apos; &#10;&#9;\u00e9\U0001f600"/>'
    '<tag k="" v=""/><tag k="@type" v="way"/><tag k="@@id" v="7"/></node></osm>',
    "great ids": '<osm version="0.6"><node id="9007199254740993" version="1" lat="1" lon="2"/>'
    '<way id="4611686018427387904" version="1"><nd ref="9007199254740993"/></way></osm>',
    "a node twice in a way": '<osm version="0.6"><node id="1" version="1" lat="1" lon="2"/><node id="2" version="1" lat="1" lon="3"/>'
    '<node id="3" version="1" lat="2" lon="3"/><way id="1" version="1"><nd ref="1"/><nd ref="2"/><nd ref="3"/><nd ref="1"/>'
    '<tag k="building" v="yes"/></way></osm>',
    "an area that goes around the other way": '<osm version="0.6"><node id="1" version="1" lat="1" lon="2"/>'
    '<node id="2" version="1" lat="2" lon="3"/><node id="3" version="1" lat="1" lon="3"/>'
    '<way id="1" version="1"><nd ref="1"/><nd ref="2"/><nd ref="3"/><nd ref="1"/><tag k="building" v="yes"/></way></osm>',
}


class Elements(osmium.SimpleHandler):
    """All elements of a file that are there, by kind and id."""

    def __init__(self):
        super().__init__()
        self.all = {}

    def keep(self, kind, o, shape):
        key = kind, o.id
        if key in self.all and self.all[key]["version"] > o.version:
            return
        tags = {tag.k: tag.v for tag in o.tags}
        edit = (str(o.timestamp), o.changeset, o.uid, o.user)
        self.all[key] = {"version": o.version, "edit": edit, "tags": tags, "shape": shape, "there": o.visible}

    def node(self, n):
        at = (n.location.x, n.location.y) if n.location.valid() else None
        self.keep("node", n, at)

    def way(self, w):
        self.keep("way", w, [node.ref for node in w.nodes])

    def relation(self, r):
        self.keep("relation", r, [(m.type, m.ref, m.role) for m in r.members])

    def there(self):
        return {key: said for key, said in self.all.items() if said["there"]}


def read(file):
    elements = Elements()
    elements.apply_file(str(file))
    return elements.there()


class Database:
    """A database in a folder of its own."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.run("init")

    def run(self, *args, codes=(0,)):
        done = subprocess.run(
            [self.program, "--db", str(self.folder), *map(str, args)], capture_output=True, text=True, check=False
        )
        if done.returncode not in codes:
            raise AssertionError(f"{args}: {done.returncode} {done.stderr}")
        return done.stdout

    def load(self, file):
        self.run("map", "import", "--ids", "keep", file)

    def save(self, file, kind="osm"):
        self.run("map", "export", "--format", kind, "--output", file)
        return file


def differences(expected, found):
    for key in sorted(set(expected) | set(found)):
        a, b = expected.get(key), found.get(key)
        if a != b:
            yield f"{key}: expected {a}, found {b}"


def same(expected, found):
    told = list(differences(expected, found))
    assert not told, "\n  ".join([f"{len(told)} differences", *told[:5]])


def round_trips(program, folder, file):
    """Out and in again in each format; compared with what osmium reads in the file itself."""
    expected = read(file)
    first = Database(program, folder / "first")
    first.load(file)
    same(expected, read(first.save(folder / "first.osm")))
    for kind in FORMATS:
        other = Database(program, folder / kind)
        other.load(first.save(folder / f"export.{kind}", kind))
        same(expected, read(other.save(folder / f"{kind}.osm")))


def check_round_trips(program, folder):
    for number, (name, file) in enumerate([("the extract", EXTRACT), *ODD.items()]):
        here = folder / f"trip{number}"
        here.mkdir()
        if name in ODD:
            text, file = file, here / "odd.osm"
            file.write_text(text, encoding="utf-8")
        try:
            round_trips(program, here, file)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


class History:
    """Edits of a server that keeps the rules of OpenStreetMap, and the change files of them."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.state, self.next = {}, {"node": 1, "way": 1, "relation": 1}
        for _ in range(12):
            self.make("node")
        for _ in range(4):
            self.make("way")
        self.make("relation")

    def make(self, kind):
        number = self.next[kind]
        self.next[kind] += 1
        return self.set(kind, number, self.shape(kind))

    def set(self, kind, number, shape, there=True):
        """The next version of an element, as osmChange has it."""
        before = self.state.get((kind, number))
        version = before["version"] + 1 if before else 1
        tags = {"note": str(self.random.randrange(9))} if self.random.random() < 0.5 else {}
        self.state[kind, number] = {"version": version, "shape": shape, "tags": tags, "there": there}
        verb = "delete" if not there else "modify" if before else "create"
        return f"<{verb}>{self.text(kind, number)}</{verb}>"

    def there(self, kind):
        return [n for (k, n), said in self.state.items() if k == kind and said["there"]]

    def shape(self, kind):
        pick = self.random
        if kind == "node":
            return pick.randrange(-900_000_000, 900_000_000), pick.randrange(-800_000_000, 800_000_000)
        if kind == "way":
            nodes = self.there("node")
            return pick.sample(nodes, min(len(nodes), pick.randrange(2, 6)))
        members = [(k[0], n, "x") for (k, n), said in self.state.items() if said["there"]]
        return pick.sample(members, min(len(members), pick.randrange(1, 5)))

    def is_used(self, kind, number):
        for (other, _), said in self.state.items():
            if not said["there"]:
                continue
            if other == "way" and kind == "node" and number in said["shape"]:
                return True
            if other == "relation" and (kind[0], number, "x") in said["shape"]:
                return True
        return False

    def edit(self):
        """Some changes that belong together."""
        pick, kind = self.random, self.random.choice(["node", "node", "way", "way", "relation"])
        deed = pick.random()
        if deed < 0.25:
            return [self.make(kind)]
        there = self.there(kind)
        gone = [n for (k, n), said in self.state.items() if k == kind and not said["there"]]
        if deed < 0.35 and gone:
            return [self.set(kind, pick.choice(gone), self.shape(kind))]
        if not there:
            return []
        number = pick.choice(there)
        if deed < 0.55 and not self.is_used(kind, number):
            return [self.set(kind, number, self.state[kind, number]["shape"], there=False)]
        if deed < 0.75 and kind == "way" and len(self.state[kind, number]["shape"]) > 2:
            nodes = self.state[kind, number]["shape"]
            at = pick.randrange(1, len(nodes) - 1)
            other = self.next["way"]
            self.next["way"] += 1
            return [self.set("way", number, nodes[: at + 1]), self.set("way", other, nodes[at:])]
        return [self.set(kind, number, self.shape(kind))]

    def text(self, kind, number):
        said = self.state[kind, number]
        tags = "".join(f'<tag k="{k}" v="{v}"/>' for k, v in said["tags"].items())
        place = parts = ""
        if kind == "node":
            lon, lat = said["shape"]
            place = f' lon="{lon / 1e7:.7f}" lat="{lat / 1e7:.7f}"'
        elif kind == "way":
            parts = "".join(f'<nd ref="{n}"/>' for n in said["shape"])
        else:
            kinds = {"n": "node", "w": "way", "r": "relation"}
            parts = "".join(f'<member type="{kinds[k]}" ref="{n}" role="{role}"/>' for k, n, role in said["shape"])
        version = f'version="{said["version"]}" timestamp="2020-01-01T00:00:00Z" changeset="{said["version"]}"'
        return f'<{kind} id="{number}" {version} uid="1" user="u"{place}>{parts}{tags}</{kind}>'

    def map(self):
        order = ["node", "way", "relation"]
        keys = sorted((k for k, said in self.state.items() if said["there"]), key=lambda k: (order.index(k[0]), k[1]))
        return "<osm version='0.6'>" + "".join(self.text(*key) for key in keys) + "</osm>"


def applied(base, changes):
    """What osmium makes of a map and change files."""
    merge = osmium.MergeInputReader()
    for file in [base, *changes]:
        merge.add_file(str(file))
    elements = Elements()
    merge.apply(elements, simplify=True)
    return elements.there()


def check_changes(program, folder):
    for seed in SEEDS:
        history, here = History(seed), folder / f"history{seed}"
        here.mkdir()
        base = here / "base.osm"
        base.write_text(history.map())
        changes = []
        for number in range(6):
            texts = [text for _ in range(history.random.randrange(1, 12)) for text in history.edit()]
            # Editors upload in pieces.
            at = history.random.randrange(len(texts) + 1)
            for piece, part in enumerate([texts[:at], texts[at:]]):
                file = here / f"{number}-{piece}.osc"
                file.write_text('<osmChange version="0.6">' + "".join(part) + "</osmChange>")
                changes.append(file)
        expected = applied(base, changes)
        database = Database(program, here / "in-order")
        for file in [base, *changes]:
            database.load(file)
        wrong = Database(program, here / "in-any-order")
        shuffled = [base, *changes, *changes[:3]]
        history.random.shuffle(shuffled)
        for file in shuffled:
            wrong.load(file)
        for name, found in [("in order", database), ("in any order, some twice", wrong)]:
            try:
                same(expected, read(found.save(here / "found.osm")))
            except AssertionError as error:
                raise AssertionError(f"history {seed}, {name}: {error}") from error


def check_gdal(program, folder):
    """GDAL reads as many features as there are, with ids, tags and places."""
    database = Database(program, folder / "gdal")
    database.load(EXTRACT)
    for kind, name in [("geojson", "all.geojson"), ("geojsonseq", "all.geojsonl"), ("ndjson", "lines.geojsonl")]:
        file = database.save(folder / name, kind)
        text = file.read_text(encoding="utf-8")
        if kind == "geojson":
            features = json.loads(text)["features"]
        else:
            features = [json.loads(line.lstrip("\x1e")) for line in text.strip().split("\n")]
        meta, _, geometry, columns = pyogrio.raw.read(file)
        assert len(geometry) == len(features), f"{kind}: {len(geometry)} of {len(features)}"
        placed = sum(feature["geometry"] is not None for feature in features)
        assert sum(shape is not None for shape in geometry) == placed, f"{kind}: places"
        fields = dict(zip(meta["fields"], columns))
        for name in ["@type", "@id", "highway"]:
            wanted = [feature["properties"].get(name) for feature in features]
            found = [None if value is None or value != value else value for value in fields[name]]
            assert found == wanted, f"{kind}: {name}"


def main():
    program, failed = str(Path(sys.argv[1]).resolve()), False
    # A folder that nobody else has is no copy of another.
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KAPPA_STATE"] = str(Path(folder) / "state")
        for check in [check_round_trips, check_changes, check_gdal]:
            try:
                check(program, Path(folder))
                print(f"ok    {check.__name__}")
            except AssertionError as error:
                failed = True
                print(f"wrong {check.__name__}: {error}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
