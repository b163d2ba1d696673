#!/usr/bin/env python3
"""Makes contexts.json: contexts, and blocks of keys and values that have them, encoded from design/formats.md and nothing else.

    python3 design/vectors/make_contexts.py > design/vectors/contexts.json
"""
import hashlib
import json


def u(n):  # bincode's varint
    for tag, size in ((None, 1), (251, 2), (252, 4), (253, 8)):
        if n < (251 if tag is None else 1 << 8 * size):
            return (b"" if tag is None else bytes([tag])) + n.to_bytes(size, "little")


def items(encoded):
    encoded = list(encoded)
    return u(len(encoded)) + b"".join(encoded)


def option(n):
    return b"\0" if n is None else b"\1" + u(n)


def feed(n):
    """Stands for a key: any 32 bytes can be told apart by their first 12."""
    return hashlib.sha256(b"feed %d" % n).digest()


def context(own, vector, ids):
    named = sorted((feed(n)[:12], seq) for n, seq in vector)
    listed = sorted((feed(n), seq) for n, seq in ids)
    return option(own) + items(name + u(seq) for name, seq in named) + items(key + u(seq) for key, seq in listed)


def block(key, encoded, depth, value):
    nowhere = items([]) + items([])
    header = (b"\1" + u(1) + b"\0"  # version, kind: space 1, code 0
              + u(2 * 1_700_000_000_000)  # time, zigzag
              + b"\1" + items(bytes([b]) for b in key) + encoded + u(depth) + nowhere + nowhere + u(len(value)) + items([]))
    return u(len(header)) + header + value


cases = [
    ("nothing: a blind write", None, [], []),
    ("a writer alone", 7, [], []),
    ("three writers", 300, [(1, 0), (2, 250), (3, 251)], []),
    ("large numbers", None, [(4, 65_535), (5, 65_536), (6, 2**32), (7, 2**64 - 1)], []),
    ("ids of an import", None, [], [(1, 3), (1, 4), (2, 2**32)]),
    ("all three ways", 0, [(8, 1)], [(9, 2)]),
    ("three hundred writers", 9, [(n, n % 10) for n in range(1, 300)], []),
]
out = []
for depth, (name, own, vector, ids) in enumerate(cases):
    encoded = context(own, vector, ids)
    out.append({
        "name": name,
        "own": own,
        # As text: not every reader of JSON knows 64 bits.
        "vector": [[feed(n).hex(), str(seq)] for n, seq in vector],
        "ids": [[feed(n).hex(), str(seq)] for n, seq in ids],
        "depth": depth,
        "block": block(b"door", encoded, depth, b"open").hex(),
    })
print(json.dumps({"key": "door", "time": 1_700_000_000_000, "value": "open", "cases": out}, indent=1, ensure_ascii=False))
