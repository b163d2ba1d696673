#!/usr/bin/env python3
"""Makes map_bodies.json: payloads of map features, encoded from design/formats.md and nothing else.

    python3 design/vectors/make_map_bodies.py > design/vectors/map_bodies.json
"""
import json


def u(n):  # bincode's varint
    for tag, size in ((None, 1), (251, 2), (252, 4), (253, 8)):
        if n < (251 if tag is None else 1 << 8 * size):
            return (b"" if tag is None else bytes([tag])) + n.to_bytes(size, "little")


def i(n):  # zigzag
    return u(2 * n if n >= 0 else -2 * n - 1)


def wrapped(n):
    return (n + 2**63) % 2**64 - 2**63


def text(t):
    return u(len(t.encode())) + t.encode()


def items(encoded):
    encoded = list(encoded)
    return u(len(encoded)) + b"".join(encoded)


def diffs(numbers):
    return [i(wrapped(n - last)) for last, n in zip([0, *numbers], numbers)]


def path(points):
    lons, lats = diffs([p[0] for p in points]), diffs([p[1] for p in points])
    return items(lon + lat for lon, lat in zip(lons, lats))


def edit(time, changeset, uid, user):
    at = b"\0" if time is None else b"\1" + i(time)
    return at + i(changeset) + i(uid) + text(user)


def said(version, *of):
    return u(version) + edit(*of)


def tagged(tags, meta):
    return items(text(k) + text(v) for k, v in tags) + (b"\0" if meta is None else b"\1" + said(*meta))


def node(tags, meta, at):
    return b"\1\0" + tagged(tags, meta) + i(at[0]) + i(at[1])


def way(tags, meta, nodes, of_nodes=None):
    """of_nodes: for each node its version, and the edit (or None)."""
    unknown = diffs([place for place, (_, at) in enumerate(nodes) if at is None])
    known = [at for _, at in nodes if at is not None]
    edits = []
    for _, of in of_nodes or []:
        if of is not None and of not in edits:
            edits.append(of)
    numbers = diffs([0 if of is None else edits.index(of) + 1 for _, of in of_nodes or []])
    versions = items(u(version) + number for (version, _), number in zip(of_nodes or [], numbers))
    places = items(diffs([n for n, _ in nodes])) + items(unknown) + path(known)
    return b"\1\1" + tagged(tags, meta) + places + items(edit(*of) for of in edits) + versions


def relation(tags, meta, members, boxes):
    ids = diffs([number for _, number, _ in members])
    encoded = (u(kind) + number + text(role) for (kind, _, role), number in zip(members, ids))
    return b"\1\2" + tagged(tags, meta) + items(encoded) + items(b"".join(map(i, box)) for box in boxes)


def part(kind, at):
    if kind == 0:
        return b"\0" + i(at[0]) + i(at[1])
    nested = {1: path, 2: path, 3: lambda a: items(map(path, a)), 4: lambda a: items(map(path, a)),
              5: lambda a: items(items(map(path, rings)) for rings in a)}
    return bytes([kind]) + nested[kind](at)


def free(parts, properties, collection=False):
    geometry = b"\1" + items(part(*p) for p in parts) if collection else b"\0" + part(*parts[0])
    return b"\1\3" + geometry + text(properties)


def degrees(at):
    return [at[0] / 1e7, at[1] / 1e7]


HERE, THERE = (249352000, 601642000), (249352500, 601641000)
EDIT = (7, 1795399821000, 170000000, 3, "Åsa")
KINDS = {"n": "node", "w": "way", "r": "relation"}
META = {"@version": 7, "@time": 1795399821000, "@changeset": 170000000, "@uid": 3, "@user": "Åsa"}
RING = [(0, 0), (10000000, 0), (10000000, 10000000), (0, 0)]
EAST = [(1700000000, 0), (1800000000, 0), (1800000000, 50000000), (1700000000, 0)]
FIJI = [(1790000000, -200000000, 1800000000, -150000000), (-1800000000, -200000000, -1780000000, -150000000)]


def feature(name, id, body, geometry, properties, refs=(), bbox=None):
    extra = {} if bbox is None else {"bbox": bbox}
    if body[1] < 3:
        properties = {**properties, "@type": KINDS[id[0]], "@id": int(id[1:])}
    seen = {"type": "Feature", "id": id, **extra, "geometry": geometry, "properties": properties}
    return {"name": name, "id": id, "body": body.hex(), "refs": list(refs), "geojson": seen}


def shape(kind, coordinates):
    return {"type": kind, "coordinates": coordinates}


FEATURES = [
    feature("node", "n1", node([("amenity", "cafe"), ("name", "Å")], EDIT, HERE),
            shape("Point", degrees(HERE)), {"amenity": "cafe", "name": "Å", **META}),
    feature("node of no known edit", "n-3", node([], None, (-1, 900000000)), shape("Point", [-1e-7, 90]), {}),
    feature("way of which one position is not known", "w5",
            way([("highway", "service")], None, [(300, HERE), (7, None), (301, THERE)],
                [(2, EDIT[1:]), (0, None), (4, EDIT[1:])]),
            shape("LineString", [degrees(HERE), degrees(THERE)]),
            {"highway": "service", "@nodes": [300, 7, 301], "@unplaced": [1], "@node_versions": [2, 0, 4],
             "@edits": [dict(zip(("time", "changeset", "uid", "user"), EDIT[1:]))], "@node_edits": [1, 0, 1]},
            ["n300", "n7", "n301"]),
    feature("relation across the antimeridian", "r9",
            relation([("type", "site")], (0, None, 0, 0, ""),
                     [(1, 5, "outer"), (0, -(2**63), ""), (2, 2**63 - 1, "x")], FIJI),
            None, {"type": "site", "@members": [
                {"type": "way", "ref": 5, "role": "outer"}, {"type": "node", "ref": -(2**63), "role": ""},
                {"type": "relation", "ref": 2**63 - 1, "role": "x"}]},
            ["w5", f"n{-(2**63)}", f"r{2**63 - 1}"], [179, -20, -178, -15]),
    feature("polygon", "p", free([(4, [RING])], '{"a":1.5}'), shape("Polygon", [[degrees(p) for p in RING]]), {"a": 1.5}),
    feature("multipolygon", "mp", free([(5, [[RING], [EAST]])], "null"),
            shape("MultiPolygon", [[[degrees(p) for p in ring]] for ring in (RING, EAST)]), None),
    feature("collection", "g:n1", free([(0, HERE), (1, [HERE, THERE]), (2, RING[:2]), (3, [RING[:2]])], "{}", True),
            {"type": "GeometryCollection", "geometries": [
                shape("Point", degrees(HERE)), shape("MultiPoint", [degrees(HERE), degrees(THERE)]),
                shape("LineString", [degrees(p) for p in RING[:2]]),
                shape("MultiLineString", [[degrees(p) for p in RING[:2]]])]}, {}),
]
DELETES = [
    {"payload": "", "edit": None},
    {"payload": said(*EDIT).hex(), "edit": dict(zip(("version", "time", "changeset", "uid", "user"), EDIT))},
]
print(json.dumps({"features": FEATURES, "deletes": DELETES}, ensure_ascii=False, indent=1))
