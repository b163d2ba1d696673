#!/usr/bin/env python3
"""Makes chat.json: keys and payloads of chat, encoded and sealed from design/chat.md and nothing else. Slow, and not for real secrets.

    python3 design/vectors/make_chat.py > design/vectors/chat.json
"""
import hashlib
import json
import struct
import unicodedata

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
BASE_Y = 4 * pow(5, -1, P) % P
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202


def add(p, q):
    (x, y), (u, v) = p, q
    k = D * x * y * u * v
    return (x * v + y * u) * pow(1 + k, -1, P) % P, (y * v + x * u) * pow(1 - k, -1, P) % P


def times(n, point):
    out = (0, 1)
    for bit in bin(n)[2:]:
        out = add(out, out)
        if bit == "1":
            out = add(out, point)
    return out


def scalar(seed):
    """The first half of what the seed hashes to, before it is clamped (RFC 8032, 5.1.5)."""
    return hashlib.sha512(seed).digest()[:32]


def clamp(secret):
    n = int.from_bytes(secret, "little")
    return n & ((1 << 255) - 8) | 1 << 254


def feed(seed):
    x, y = times(clamp(scalar(seed)), (BASE_X, BASE_Y))
    return (y | (x & 1) << 255).to_bytes(32, "little")


def x25519(secret, public):
    """RFC 7748, 5."""
    k, u = clamp(secret), int.from_bytes(public, "little")
    a, b, c, d = 1, 0, u, 1
    swapped = 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swapped ^ bit:
            a, b, c, d = c, d, a, b
        swapped = bit
        s, m = (a + b) % P, (a - b) % P
        ss, mm = s * s % P, m * m % P
        e = ss - mm
        da, cb = (c - d) * s % P, (c + d) * m % P
        c, d = (da + cb) ** 2 % P, u * (da - cb) ** 2 % P
        a, b = ss * mm % P, e * (ss + 121665 * e) % P
    if swapped:
        a, b, c, d = c, d, a, b
    return (a * pow(b, -1, P) % P).to_bytes(32, "little")


def montgomery(key):
    y = int.from_bytes(key, "little") & (1 << 255) - 1
    return ((1 + y) * pow(1 - y, -1, P) % P).to_bytes(32, "little")


def rounds(state):
    s = list(state)

    def quarter(a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & 0xFFFFFFFF
            s[z] ^= s[x]
            s[z] = (s[z] << turn | s[z] >> 32 - turn) & 0xFFFFFFFF

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return s


def words(data):
    return struct.unpack(f"<{len(data) // 4}I", data)


def hchacha20(key, nonce):
    s = rounds(words(b"expand 32-byte k") + words(key) + words(nonce))
    return struct.pack("<8I", *s[:4], *s[12:])


def stream(key, nonce, length):
    """XChaCha20 from block 0."""
    key, out = hchacha20(key, nonce[:16]), b""
    for block in range(-(-length // 64)):
        state = words(b"expand 32-byte k") + words(key) + (block, 0) + words(nonce[16:])
        out += struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(rounds(state), state)))
    return out[:length]


def poly1305(key, data):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(data), 16):
        total = (total + int.from_bytes(data[at:at + 16] + b"\1", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def box(key, nonce, plain):
    """libsodium's crypto_box_curve25519xchacha20poly1305: the tag comes first, and is over what comes after it."""
    keys = stream(key, nonce, 32 + len(plain))
    sealed = bytes(a ^ b for a, b in zip(plain, keys[32:]))
    return poly1305(keys[:32], sealed) + sealed


def h(*parts):
    return hashlib.blake2b(b"".join(parts), digest_size=32).digest()


def private(name, from_seed, to_seed, order, salt, said):
    author, recipient = feed(from_seed), feed(to_seed)
    secret = scalar(from_seed)
    shared = hchacha20(x25519(secret, montgomery(recipient)), bytes(16))
    at = struct.pack("<q", order)
    plain = struct.pack(">H", len(said.encode())) + said.encode()
    size = 64
    while size < len(plain):
        size *= 2
    nonce = h(b"kappadb chat private", author, recipient, at, salt)[:24]
    mask = h(b"kappadb chat recipient", secret, at, salt)
    lane = box(shared, h(b"kappadb chat lane", author, recipient)[:24], b"")
    payload = salt + bytes(a ^ b for a, b in zip(recipient, mask)) + box(shared, nonce, plain.ljust(size, b"\0"))
    return {"name": name, "author_seed": from_seed.hex(), "recipient_seed": to_seed.hex(), "author": author.hex(),
            "recipient": recipient.hex(), "order": order, "salt": salt.hex(), "text": said,
            "channel": "\0" + lane.hex(), "payload": payload.hex()}


def fold(name):
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def u(n):  # bincode's varint
    return bytes([n]) if n < 251 else b"\xfb" + n.to_bytes(2, "little")


def text(t):
    return u(len(t.encode())) + t.encode()


def body(shown, said="", flags=0, reply=None, blobs=()):
    extras = (b"\0" if reply is None else b"\1" + name(reply)) + u(len(blobs)) + b"".join(name(b) for b in blobs)
    return text("" if shown == fold(shown) else shown) + text(said) + extras + bytes([flags])


def name(entry):
    return bytes.fromhex(entry["feed"]) + u(entry["seq"])


def counted(name):
    return len(name.encode()).to_bytes(2, "big") + name.encode()


ANNA, BERT = feed(b"\1" * 32), feed(b"\2" * 32)
ORDER_TIME = 1795399821000
HERE = {"from": ORDER_TIME, "to": ORDER_TIME}


def entry(says, code, shown, key, payload, here=True, **more):
    moment = {"channel": fold(shown), **HERE} if here else None
    return {"says": says, "code": code, "channel": shown, "key": None if key is None else key.hex(),
            "moment": moment, "payload": payload.hex(), **more}


ROOM, PLAIN = "Größe/1", "tea"
F = fold(ROOM)
TARGET = {"feed": ANNA.hex(), "seq": 7}
OTHER = {"feed": BERT.hex(), "seq": 300}
ENTRIES = [
    entry("text", 1, ROOM, None, body(ROOM, "hej\n\u00e5"), text="hej\n\u00e5"),
    entry("text", 1, PLAIN, None, body(PLAIN, "x" * 300), text="x" * 300),
    entry("emote", 2, PLAIN, None, body(PLAIN, "waves"), text="waves"),
    entry("text", 1, PLAIN, None, body(PLAIN, "so am I", reply=TARGET, blobs=[OTHER, TARGET]), text="so am I",
          reply_to=TARGET, blobs=[OTHER, TARGET]),
    entry("topic", 3, ROOM, b"t" + F.encode(), body(ROOM, ""), here=False, text=""),
    entry("profile", 4, "", b"p" + ANNA + b"nick", body("", "\u00c5sa"), here=False, field="nick", text="\u00c5sa"),
    entry("join", 5, ROOM, b"m" + counted(F) + ANNA, body(ROOM), here=False),
    entry("leave", 6, PLAIN, b"m" + counted(PLAIN) + ANNA, body(PLAIN), here=False),
    entry("archive", 7, PLAIN, b"a" + PLAIN.encode(), body(PLAIN, "quiet"), here=False, text="quiet"),
    entry("unarchive", 8, PLAIN, b"a" + PLAIN.encode(), body(PLAIN), here=False, text=""),
    entry("delete", 9, PLAIN, None, b"", target=TARGET),
    entry("delete", 9, "", b"t" + F.encode(), b"", here=False, target=TARGET),
    entry("flags", 10, ROOM, b"f" + counted(F) + BERT + ANNA, body(ROOM, "noise", 1 | 16), here=False,
          target_feed=BERT.hex(), flags=["hide", "admin"], text="noise"),
    entry("flags", 10, "", b"f" + counted("") + BERT + ANNA, body("", "", 2 | 4 | 8), here=False,
          target_feed=BERT.hex(), flags=["mute", "block", "mod"], text=""),
    entry("edit", 12, ROOM, None, body(ROOM, "hej d\u00e5", blobs=[OTHER]), target=TARGET, text="hej d\u00e5", blobs=[OTHER]),
]
FOLDS = ["Tea", "Straße", "STRASSE", "cafe\u0301", "CAFÉ", "ΣΊΣΥΦΟΣ", "İstanbul", "\u212bngström", "\ufb03", "한국", "\u1112\u1161\u11ab"]
PRIVATE = [
    private("to another", b"\1" * 32, b"\2" * 32, ORDER_TIME, bytes(range(16)), "the spare key is under the third stone"),
    private("back, just over a bucket", b"\2" * 32, b"\1" * 32, -1, b"\xff" * 16, "å" * 32),
    private("to oneself, as long as can be", b"\1" * 32, b"\1" * 32, 0, bytes(16), "x" * 4096),
]
print(json.dumps({"author": ANNA.hex(), "author_seed": "01" * 32, "order": ORDER_TIME,
                  "folds": [{"name": n, "folded": fold(n)} for n in FOLDS],
                  "entries": ENTRIES, "private": PRIVATE}, ensure_ascii=False, indent=1))
