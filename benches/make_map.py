#!/usr/bin/env python3
"""Makes a country: an .osm.pbf of tagged nodes, ways of six nodes and relations, the same points as newline-delimited GeoJSON, and a change file.

    python3 benches/make_map.py FOLDER [THOUSANDS]

THOUSANDS of tagged nodes, 1000 by default: then 250,000 ways, 2,000 relations and 14,000 changes. The same numbers give the same files.
"""
import json
import random
import struct
import sys
import zlib
from pathlib import Path

NODES_IN_BLOCK = 8_000
WAY_NODES = 6
TIME = 1_700_000_000


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def zigzag(n):
    return varint(n << 1 if n >= 0 else (-n << 1) - 1)


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def number(field_number, value):
    return varint(field_number << 3) + varint(value)


def packed(values, encode=varint):
    return b"".join(map(encode, values))


def differences(values):
    last = 0
    for value in values:
        yield value - last
        last = value


def blob(kind, data):
    body = number(2, len(data)) + field(3, zlib.compress(data, 6))
    header = field(1, kind) + number(3, len(body))
    return struct.pack(">I", len(header)) + header + body


class Texts:
    def __init__(self):
        self.list, self.places = [b""], {}

    def place(self, text):
        if text not in self.places:
            self.places[text] = len(self.list)
            self.list.append(text.encode())
        return self.places[text]

    def encode(self):
        return field(1, b"".join(field(1, text) for text in self.list))


def tags_of(kind, id):
    if kind == "node":
        return [("amenity", ("cafe", "bench", "pub", "bank")[id % 4]), ("name", f"Place {id}")]
    if kind == "way":
        return [("highway", ("residential", "service", "path")[id % 3]), ("name", f"Street {id % 5000}")]
    return [("type", "route"), ("ref", str(id))]


def nodes_block(nodes):
    """nodes: (id, lon, lat, tagged, version), positions in 1e-7 degrees."""
    texts = Texts()
    user = texts.place("mapper")
    pairs = bytearray()
    for id, _, _, tagged, _ in nodes:
        for key, value in tags_of("node", id) if tagged else []:
            pairs += varint(texts.place(key)) + varint(texts.place(value))
        pairs += b"\0"
    count = len(nodes)
    info = (
        field(1, packed(node[4] for node in nodes))
        + field(2, packed(differences(TIME + node[0] // 50 for node in nodes), zigzag))
        + field(3, packed(differences(1_000_000 + node[0] // 50 for node in nodes), zigzag))
        + field(4, packed(differences([7] * count), zigzag))
        + field(5, packed(differences([user] * count), zigzag))
    )
    dense = (
        field(1, packed(differences(node[0] for node in nodes), zigzag))
        + field(5, info)
        + field(8, packed(differences(node[2] for node in nodes), zigzag))
        + field(9, packed(differences(node[1] for node in nodes), zigzag))
        + field(10, bytes(pairs))
    )
    return texts.encode() + field(2, field(2, dense))


def common(texts, kind, id):
    keys, values = zip(*((texts.place(k), texts.place(v)) for k, v in tags_of(kind, id)))
    info = number(1, 1) + number(2, TIME) + number(3, 1_000_000 + id // 50) + number(4, 7) + number(5, texts.place("mapper"))
    return number(1, id) + field(2, packed(keys)) + field(3, packed(values)) + field(4, info)


def ways_block(ways):
    texts, out = Texts(), bytearray()
    for id, refs in ways:
        out += field(3, common(texts, "way", id) + field(8, packed(differences(refs), zigzag)))
    return texts.encode() + field(2, bytes(out))


def relations_block(relations):
    texts, out = Texts(), bytearray()
    for id, members in relations:
        roles = packed([texts.place("forward")] * len(members))
        ids, kinds = packed(differences(members), zigzag), packed([1] * len(members))
        out += field(4, common(texts, "relation", id) + field(8, roles) + field(9, ids) + field(10, kinds))
    return texts.encode() + field(2, bytes(out))


def chunks(items, size):
    chunk = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def place(rng):
    return rng.randrange(230_000_000, 290_000_000), rng.randrange(600_000_000, 680_000_000)


def corners(rng, ways):
    for _ in range(ways):
        lon, lat = place(rng)
        for _ in range(WAY_NODES):
            yield lon, lat
            lon, lat = lon + rng.randrange(-3000, 3001), lat + rng.randrange(-2000, 2001)


def degrees(units):
    return f"{units / 1e7:.7f}"


def write_map(folder, tagged, ways, relations):
    rng = random.Random(1)
    points = [place(rng) for _ in range(tagged)]
    first_corner = tagged + 1

    def all_nodes():
        for id, (lon, lat) in enumerate(points, 1):
            yield id, lon, lat, True, 1
        for id, (lon, lat) in enumerate(corners(random.Random(2), ways), first_corner):
            yield id, lon, lat, False, 1

    with open(folder / "country.osm.pbf", "wb") as out:
        out.write(blob(b"OSMHeader", field(4, b"OsmSchema-V0.6") + field(4, b"DenseNodes") + field(16, b"make_map")))
        for chunk in chunks(all_nodes(), NODES_IN_BLOCK):
            out.write(blob(b"OSMData", nodes_block(chunk)))
        refs = ((id, range(first_corner + WAY_NODES * (id - 1), first_corner + WAY_NODES * id)) for id in range(1, ways + 1))
        for chunk in chunks(refs, NODES_IN_BLOCK):
            out.write(blob(b"OSMData", ways_block(chunk)))
        members = ((id, [1 + (id * 100 + n) % ways for n in range(50)]) for id in range(1, relations + 1))
        for chunk in chunks(members, NODES_IN_BLOCK):
            out.write(blob(b"OSMData", relations_block(chunk)))
    with open(folder / "points.ndjson", "w") as out:
        for id, (lon, lat) in enumerate(points, 1):
            geometry = {"type": "Point", "coordinates": [lon / 1e7, lat / 1e7]}
            properties = dict(tags_of("node", id))
            out.write(json.dumps({"type": "Feature", "id": f"p{id}", "geometry": geometry, "properties": properties}) + "\n")


def write_changes(folder, tagged, ways):
    """As many retagged nodes, moved corners, shortened ways, new and deleted nodes."""
    rng, each = random.Random(3), max(1, tagged * 14 // 5000)
    edit = 'version="2" timestamp="2026-01-02T03:04:05Z" changeset="9" uid="8" user="editor"'
    with open(folder / "day.osc", "w") as out:
        out.write('<osmChange version="0.6">\n<modify>\n')
        for id in rng.sample(range(1, tagged // 2), each):
            lon, lat = place(rng)
            out.write(f'<node id="{id}" {edit} lat="{degrees(lat)}" lon="{degrees(lon)}"><tag k="amenity" v="closed"/></node>\n')
        for corner in sorted(rng.sample(range(ways * WAY_NODES), each)):
            lon, lat = place(rng)
            out.write(f'<node id="{tagged + 1 + corner}" {edit} lat="{degrees(lat)}" lon="{degrees(lon)}"/>\n')
        for id in sorted(rng.sample(range(1, ways), each)):
            first = tagged + 1 + WAY_NODES * (id - 1)
            nodes = "".join(f'<nd ref="{ref}"/>' for ref in range(first, first + 4))
            out.write(f'<way id="{id}" {edit}>{nodes}<tag k="highway" v="steps"/></way>\n')
        out.write("</modify>\n<create>\n")
        for n in range(each):
            lon, lat = place(rng)
            out.write(f'<node id="{100_000_000 + n}" version="1" lat="{degrees(lat)}" lon="{degrees(lon)}"><tag k="shop" v="new"/></node>\n')
        out.write("</create>\n<delete>\n")
        for id in rng.sample(range(tagged // 2, tagged), each):
            out.write(f'<node id="{id}" {edit} lat="0" lon="0"/>\n')
        out.write("</delete>\n</osmChange>\n")


def main():
    folder = Path(sys.argv[1])
    tagged = int(sys.argv[2]) * 1000 if len(sys.argv) > 2 else 1_000_000
    ways, relations = tagged // 4, max(1, tagged // 500)
    folder.mkdir(parents=True, exist_ok=True)
    write_map(folder, tagged, ways, relations)
    write_changes(folder, tagged, ways)


if __name__ == "__main__":
    main()
