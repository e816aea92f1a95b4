#!/usr/bin/python3
"""Makes the golden vectors of the cluster's datagrams, purge records and words about certificates from proto/PROTOCOL.md, without the daemon's code.

    make.py            writes NAME.hex beside itself, and the seeds of the fuzz targets
    make.py --check    compares what is there with what would be written

A vector is a line that begins with '#' and says what it is, then hex. All datagrams are sealed with the secret 00 01 … 1f as
key 1 and go from edge1 to edge2. tests/unit/proto/test_peermsg.c and test_purgerec.c hold what each of them says."""

import hashlib
import hmac
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORPUS = HERE.parent / "fuzz/corpus"
SECRET = bytes(range(32))
BOOT, SEQ = 0x1122334455667788, 1


def node(name):
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") or 1


class Raw(bytes):
    """Bytes that are msgpack already."""


class Wide(int):
    """An integer that is written with 8 bytes whatever its size."""


def pack_int(v):
    if isinstance(v, Wide):
        return b"\xcf" + struct.pack(">Q", v)
    if v >= 0:
        for most, head, form in ((0x7f, b"", ">B"), (0xff, b"\xcc", ">B"), (0xffff, b"\xcd", ">H"),
                                 (0xffffffff, b"\xce", ">I"), (2**64 - 1, b"\xcf", ">Q")):
            if v <= most:
                return head + struct.pack(form, v)
    for least, head, form in ((-0x20, b"", ">b"), (-0x80, b"\xd0", ">b"), (-0x8000, b"\xd1", ">h"),
                              (-0x80000000, b"\xd2", ">i"), (-2**63, b"\xd3", ">q")):
        if v >= least:
            return head + struct.pack(form, v)
    raise ValueError(v)


def counted(n, fix, fix_most, *wider):
    if n <= fix_most:
        return bytes([fix | n])
    for head, form, most in wider:
        if n <= most:
            return bytes([head]) + struct.pack(form, n)
    raise ValueError(n)


def pack(v):
    if isinstance(v, Raw):
        return bytes(v)
    if v is None:
        return b"\xc0"
    if isinstance(v, bool):
        return b"\xc3" if v else b"\xc2"
    if isinstance(v, int):
        return pack_int(v)
    if isinstance(v, float):
        return b"\xcb" + struct.pack(">d", v)
    if isinstance(v, str):
        b = v.encode()
        return counted(len(b), 0xa0, 31, (0xd9, ">B", 0xff), (0xda, ">H", 0xffff)) + b
    if isinstance(v, bytes):
        return (b"\xc4" + struct.pack(">B", len(v)) if len(v) < 256 else b"\xc5" + struct.pack(">H", len(v))) + v
    if isinstance(v, list):
        return counted(len(v), 0x90, 15, (0xdc, ">H", 0xffff)) + b"".join(map(pack, v))
    pairs = v.items() if isinstance(v, dict) else v.pairs
    return counted(len(pairs), 0x80, 15, (0xde, ">H", 0xffff)) + b"".join(pack(k) + pack(x) for k, x in pairs)


class Pairs:
    """A map that may have a key twice."""

    def __init__(self, *pairs):
        self.pairs = pairs


def datagram(kind, body, version=1):
    covered = b"\x99" + bytes([version, kind]) + b"\xcc\x01"
    covered += b"\xce" + struct.pack(">I", node("edge1")) + b"\xce" + struct.pack(">I", node("edge2"))
    covered += b"\xcf" + struct.pack(">Q", BOOT) + b"\xcf" + struct.pack(">Q", SEQ)
    covered += pack(body) + b"\xc4\x10"
    return covered + hmac.new(SECRET, covered, hashlib.sha256).digest()[:16]


def key(n):
    return bytes((n * 16 + i) & 0xff for i in range(16))


QID, NONCE, MEMBERS = 0xfedcba9876543210, 0x0123456789abcdef, 0xaabbccddeeff0011
CHALLENGE = bytes(range(0xf0, 0x100))
DIGEST = bytes.fromhex("e3b0c44298fc1c14")

HELLO, QUERY, HINT, PING, INVALIDATE, BYE, ERR = 1, 2, 3, 4, 6, 7, 8
HELLO_BACK, REPLY, PONG, INVALIDATED = 65, 66, 68, 70


def hello(role=1, name="edge1", **more):
    body = {1: NONCE, 3: [1, 1], 4: role, 5: 5, 6: 8083, 7: name, 8: MEMBERS, 9: 1200, 10: 7}
    if "echo" in more:
        body = {1: NONCE, 2: more["echo"], **{k: v for k, v in body.items() if k != 1}}
    return body


def query(*records):
    return {1: QID, 3: 20, 5: 0, 2: list(records)}


def reply(*records):
    return {1: QID, 3: 128, 4: 250, 6: 1700000000000, 2: list(records)}


def pinged():
    return {1: NONCE, 2: 123456789, 3: 17, 4: 200000, 6: 1, 8: MEMBERS, 10: 1, 11: 1700000000000}


STATUSES = [
    [0, 0],
    [1, 1, 1048576, DIGEST, 86400, 300],
    [2, 2, 10485760, 65536, 1],
    [3, 3],
    [4, 4, 2],
    [5, 5, 512, DIGEST, -60, 90000],
    [6, 6, 250],
    [7, 7, "accept,accept-encoding"],
    [8, 8, 10485760, [[node("edge3"), 10, 10485760, 0], [node("edge4"), 200, 4096, 2]]],
    [9, 9, 2000, 1],
    [10, 10, node("edge3")],
    [11, 10, node("edge3"), 2],
]
HINTS = [
    [1, key(1), 1048576],
    [2, key(2)],
    [3, key(3), 4194304, 2],
    [4, key(4)],
    [5, key(5), node("edge3")],
    [6, key(6), 70000],
]


# ---- purge records ----

PURGE_SEED = bytes(range(32))  # of the Ed25519 key
CLUSTER = b"integration"
DIGEST_TEXT = b"sha256:" + hashlib.sha256(b"pmcache").hexdigest().encode()


def sign(text):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    return Ed25519PrivateKey.from_private_bytes(PURGE_SEED).sign(text)


def purge(serial, at, kind, value):
    covered = b"\x96\x01\xcf" + struct.pack(">Q", serial) + b"\xcf" + struct.pack(">Q", at) + bytes([kind])
    covered += b"\xda" + struct.pack(">H", len(value)) + value
    return covered + b"\xc4\x40" + sign(b"pmcache purge 1\n" + CLUSTER + b"\n" + covered)


def purges():
    return {
        "purge-url": ("a purge of one URL in the cluster 'integration'",
                      purge(1700000000000, 1700000000000, 1, b"https://registry.test/left-pad/-/left-pad-1.3.0.tgz")),
        "purge-prefix": ("a purge of all that begins so", purge(1700000000001, 1700000000000, 2, b"https://registry.test/left-pad/")),
        "purge-host": ("a purge of a host", purge(1700000000002, 1700000000500, 3, b"registry.test")),
        "purge-all": ("a purge of everything", purge(1700000000003, 1700000001000, 4, b"")),
        "purge-class": ("a purge of all that is kept for good", purge(1700000000004, 1700000001000, 5, b"immutable")),
        "purge-digest": ("a purge of one body", purge(1700000000005, 1700000001000, 6, DIGEST_TEXT)),
        "purge-soft-host": ("a soft purge of a host", purge(1700000000006, 1700000001000, 0x13, b"registry.test")),
        "purge-deny": ("a digest is denied", purge(1700000000007, 1700000001000, 7, DIGEST_TEXT)),
        "purge-allow": ("and allowed again", purge(1700000000008, 1700000002000, 8, DIGEST_TEXT)),
    }


SUBJECT = bytes.fromhex("301b3119301706035504030c10") + b"packages.example"


def certs():
    """What a parent says of a certificate (section 5.3)."""
    good = {1: 0, 6: 3600, 2: ["packages.example", "*.packages.example", "192.0.2.7"], 3: 1800000000, 4: bytes(range(32)), 5: "",
            7: 1700000000, 8: SUBJECT}
    return {
        "cert-valid": ("a certificate that the parent believes", pack(good)),
        "cert-least": ("one without names or subject", pack(good | {2: [], 8: b""})),
        "cert-invalid": ("one that it does not believe", pack({1: 1, 6: 30, 9: "cert-expired"})),
        "cert-unknown": ("one that it cannot say anything of", pack({1: 2, 6: 30})),
        "cert-later": ("a field of a later version, and its verdict", pack({1: 9, 6: 30, 63: [1, {2: 3}]})),
        "cert-critical": ("a critical field of a later version", pack({1: 2, 6: 30, 64: 1})),
        "cert-none": ("no verdict", pack({6: 30})),
        "cert-twice": ("a field that comes twice", b"\x82\x01\x00\x01\x00"),
        "cert-name": ("a name with a space", pack(good | {2: ["a b"]})),
        "cert-key": ("a key of the wrong length", pack(good | {4: bytes(31)})),
        "cert-deep": ("six containers within each other", pack({1: 2, 63: [[[[[1]]]]]})),
        "cert-array": ("an array that says to be 4 GiB long", b"\x81\x02\xdd\xff\xff\xff\xff"),
    }


def datagrams():
    record = purges()["purge-url"][1]
    good = {
        "hello": ("HELLO of an edge", datagram(HELLO, hello())),
        "hello-echo": ("HELLO that answers a challenge", datagram(HELLO, hello(echo=CHALLENGE))),
        "hello-back": ("answer to a HELLO, of a parent", datagram(HELLO_BACK, hello(2, "parent1"))),
        "query": ("QUERY for one key, with intent", datagram(QUERY, query([key(1), 3]))),
        "query-variants": ("QUERY for three keys, one of them of a variant",
                           datagram(QUERY, query([key(1), 1], [key(2), 8, key(9)], [key(3), 16]))),
        "query-resume": ("QUERY of one whose source broke off (order 2), with and without variant and the node that has it not",
                         datagram(QUERY, query([key(1), 11, bytes(16), 2, node("edge3")], [key(2), 8, key(9), 2],
                                               [key(3), 8, key(9), 0, node("edge3")]))),
        "reply": ("REPLY with a HIT", datagram(REPLY, reply(STATUSES[1]))),
        "reply-statuses": ("REPLY with each status", datagram(REPLY, reply(*STATUSES))),
        "hint": ("HINT with each operation", datagram(HINT, {1: 3, 2: HINTS})),
        "ping": ("PING", datagram(PING, pinged())),
        "pong": ("PONG", datagram(PONG, pinged())),
        "invalidate": ("INVALIDATE with the record of purge-url", datagram(INVALIDATE, {1: QID, 2: 1700000000000, 3: record})),
        "invalidated": ("answer to an INVALIDATE", datagram(INVALIDATED, {1: QID, 2: 1700000000000, 3: 12})),
        "bye": ("BYE, back in 30 s", datagram(BYE, {1: 2, 2: 30})),
        "err-version": ("ERR: another version", datagram(ERR, {1: 0, 2: 1})),
        "err-boot": ("ERR: unknown boot, with a challenge", datagram(ERR, {1: QID, 2: 2, 3: CHALLENGE})),
        "err-critical": ("ERR: a critical field", datagram(ERR, {1: QID, 2: 3})),
        "err-rate": ("ERR: too many", datagram(ERR, {1: QID, 2: 4})),
    }
    later = {
        "later-key": ("unknown keys below 64 are skipped, whatever is in them",
                      datagram(BYE, {1: 2, 40: {1: [None, True, 1.5, -7]}, 2: 30, 63: b"later"})),
        "later-critical": ("an unknown key of 64: the message is dropped, its qid known",
                           datagram(QUERY, {**query([key(1), 1]), 64: 1})),
        "later-extra": ("extra elements of records are skipped",
                        datagram(QUERY, query([key(1), 1, bytes(16), 0, 0, 99, ["x"]], [key(2), 8, key(9), 0, 0, None]))),
        "later-extra-reply": ("extra elements of records, of sources, and a fourth source are skipped",
                              datagram(REPLY, reply([0, 0, "x"], [1, 1, 1048576, DIGEST, 86400, 300, {7: 8}],
                                                    [2, 8, 9, [[1, 2, 3, 4, 5], [2, 0, 0, 0], [3, 0, 0, 0], [4, 0, 0, 0]], 1]))),
        "later-missing": ("missing elements of records are zero",
                          datagram(REPLY, reply([0, 1, 1048576], [1, 2], [2], [3, 8, 7, [[5]]]))),
        "later-fields": ("missing fields are zero", datagram(PING, {1: NONCE})),
        "later-status": ("an unknown status is a MISS", datagram(REPLY, reply([0, 11, "new", 1], [1, 255], [2, 3]))),
        "later-op": ("an unknown operation is left out", datagram(HINT, {1: 3, 2: [[1, key(1), 5], [7, "new"], [4, key(4)]]})),
        "later-wide": ("integers longer than need be are the same integers",
                       datagram(QUERY, {Wide(1): Wide(QID), Raw(b"\xd1\x00\x03"): Wide(20), 5: Raw(b"\xcd\x00\x00"),
                                        2: Raw(b"\xdd\x00\x00\x00\x01" + pack([key(1), Wide(3)]))})),
        "later-type": ("an unknown type", datagram(9, {1: "new"})),
        "later-version": ("another version", datagram(QUERY, query([key(1), 3]), version=2)),
    }
    bad = {
        "bad-twice": ("a key twice", datagram(BYE, Pairs((1, 2), (2, 30), (1, 2)))),
        "bad-array32": ("a list that says it has 4294967295 records",
                        datagram(QUERY, {1: QID, 2: Raw(b"\xdd\xff\xff\xff\xff")})),
        "bad-map32": ("a body that says it has 2147483648 fields", datagram(QUERY, Raw(b"\xdf\x80\x00\x00\x00"))),
        "bad-str32": ("a name that says it has 4294967295 bytes", datagram(HELLO, {7: Raw(b"\xdb\xff\xff\xff\xffx")})),
        "bad-depth": ("six containers deep", datagram(BYE, {40: [[[[[1]]]]]})),
        "bad-behind": ("something behind the body", datagram(BYE, Raw(pack({1: 2, 2: 30}) + b"\x00"))),
        "bad-cut": ("a body that ends too early", datagram(BYE, Raw(b"\x82\x01\x02\x02"))),
        "bad-ext": ("an ext type", datagram(BYE, {1: 2, 40: Raw(b"\xd4\x01\x00")})),
        "bad-never": ("the byte that msgpack never uses", datagram(BYE, {1: 2, 40: Raw(b"\xc1")})),
        "bad-key": ("a key that is a word", datagram(BYE, {1: 2, "k": 1})),
        "bad-negative-key": ("a key below 0", datagram(BYE, {1: 2, -1: 1})),
        "bad-body": ("a body that is no map", datagram(BYE, [1, 2])),
        "bad-range": ("a port of 65536", datagram(HELLO, {**hello(), 6: 65536})),
        "bad-type": ("a qid that is a word", datagram(QUERY, {1: "7", 2: []})),
        "bad-sign": ("a qid below 0", datagram(QUERY, {1: -1, 2: []})),
        "bad-bytes": ("a key of 15 bytes", datagram(QUERY, query([key(1)[:15], 1]))),
        "bad-name": ("a name with a space", datagram(HELLO, hello(name="edge 1"))),
        "bad-name-long": ("a name of 65 bytes", datagram(HELLO, hello(name="e" * 65))),
        "bad-vary": ("names of Vary in capitals", datagram(REPLY, reply([0, 7, "Accept"]))),
        "bad-index": ("an answer to the record 64", datagram(REPLY, reply([64, 0]))),
        "bad-many": ("65 records", datagram(REPLY, reply(*[[0, 0]] * 65))),
        "bad-record": ("a record that is no array", datagram(QUERY, query(7))),
    }
    return {**good, **later, **bad}


def text_of(what, octets):
    lines = [octets[i:i + 32].hex(" ") for i in range(0, len(octets), 32)]
    return f"# {what}\n" + "\n".join(lines) + "\n"


def files():
    """Path and content of all that is made."""
    made = {}
    for name, (what, octets) in datagrams().items():
        made[HERE / f"{name}.hex"] = text_of(what, octets).encode()
        made[CORPUS / "peermsg" / name] = octets
    for name, (what, octets) in certs().items():
        made[HERE / f"{name}.hex"] = text_of(what, octets).encode()
        made[CORPUS / "certmsg" / name.removeprefix("cert-")] = octets
    for name, (what, octets) in purges().items():
        made[HERE / f"{name}.hex"] = text_of(what, octets).encode()
        made[CORPUS / "purgerec" / name.removeprefix("purge-")] = octets
    return made


def main(args):
    if args not in ([], ["--check"]):
        sys.exit(__doc__)
    other = 0
    for path, content in files().items():
        if not args:
            path.write_bytes(content)
        elif not path.is_file() or path.read_bytes() != content:
            other += 1
            print(f"{path.relative_to(HERE.parent)} is not what it should be")
    return 1 if other else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
