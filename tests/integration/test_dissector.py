"""The dissector in proto/wireshark, asked by tshark about the golden vectors. Needs no daemon.

run-tests: plain build
"""

import hashlib
import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.nodaemon

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests/vectors"
SCRIPT = ROOT / "proto/wireshark/pmcache.lua"
PORT = 8083


def vector(name):
    lines = (VECTORS / f"{name}.hex").read_text().splitlines()
    return bytes.fromhex("".join(lines[1:]))


def names():
    return sorted(p.stem for p in VECTORS.glob("*.hex") if not p.stem.startswith(("purge-", "cert-")))


def node(name):
    return "0x" + hashlib.sha256(name.encode()).digest()[:4].hex()


def checksum(header):
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def packet(payload, port):
    """Raw IPv4 with UDP, from 192.0.2.1 to 192.0.2.2."""
    udp = struct.pack(">HHHH", port, port, 8 + len(payload), 0) + payload
    head = [0x45, 0, 20 + len(udp), 0, 0x4000, 64, 17, 0, bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])]
    form = ">BBHHHBBH4s4s"
    head[7] = checksum(struct.pack(form, *head))
    return struct.pack(form, *head) + udp


def pcap(path, payloads, port=PORT):
    """As libpcap writes them, link type 101 (raw IP)."""
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
        for i, payload in enumerate(payloads):
            p = packet(payload, port)
            f.write(struct.pack("<IIII", 1700000000 + i, 0, len(p), len(p)) + p)
    return path


def tshark(path, *args):
    argv = ["tshark", "-n", "-X", f"lua_script:{SCRIPT}", "-r", str(path), *args]
    p = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert p.returncode == 0, p.stderr
    assert "Lua" not in p.stderr and "lua" not in p.stderr, p.stderr
    return p.stdout


def look(tmp_path, name, *fields, port=PORT):
    """The fields of one vector: each a list, since a field may come several times."""
    return look_at(tmp_path, vector(name), *fields, port=port)


def look_at(tmp_path, payload, *fields, port=PORT):
    path = pcap(tmp_path / "one.pcap", [payload], port)
    out = tshark(path, "-T", "json", *[a for f in fields for a in ("-e", f)])
    layers = json.loads(out)[0]["_source"].get("layers", {})
    return {f: layers.get(f, []) for f in fields}


@pytest.fixture(autouse=True, scope="module")
def program(have):
    have("tshark")


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """All vectors in one go: vectors(NAME, FIELD...), as look."""
    path = pcap(tmp_path_factory.mktemp("vectors") / "all.pcap", [vector(n) for n in names()])
    fields = sorted({f"pmcache.{f}" for _, expected in BODIES for f in expected} | set(ENVELOPE) | set(MARKS))
    packets = json.loads(tshark(path, "-T", "json", *[a for f in fields for a in ("-e", f)]))
    assert len(packets) == len(names())
    by_name = {n: p["_source"].get("layers", {}) for n, p in zip(names(), packets)}
    return lambda name, *wanted: {f: by_name[name].get(f, []) for f in wanted}


ENVELOPE = ["pmcache.version", "pmcache.type", "pmcache.kid", "pmcache.src", "pmcache.dst", "pmcache.boot", "pmcache.seq",
            "pmcache.tag"]
MARKS = ["pmcache.unknown_key", "pmcache.unknown", "pmcache.later", "pmcache.malformed", "pmcache.critical",
         "_ws.lua.error"]


def test_the_vectors_are_what_the_specification_makes():
    p = subprocess.run([sys.executable, "-B", str(VECTORS / "make.py"), "--check"], capture_output=True, text=True)
    assert (p.stdout, p.stderr, p.returncode) == ("", "", 0)


def test_envelope(vectors):
    assert vectors("query", *ENVELOPE) == {
        "pmcache.version": ["1"], "pmcache.type": ["2"], "pmcache.kid": ["1"], "pmcache.src": [node("edge1")],
        "pmcache.dst": [node("edge2")], "pmcache.boot": ["0x1122334455667788"], "pmcache.seq": ["1"],
        "pmcache.tag": [vector("query")[-16:].hex()],
    }


BODIES = [
    ("hello", {"nonce": ["0x0123456789abcdef"], "version_min": ["1"], "version_max": ["1"], "role": ["1"],
               "tcp_port": ["8083"], "name": ["edge1"], "members": ["0xaabbccddeeff0011"], "max_dgram": ["1200"],
               "zone": ["7"], "caps": ["0x0000000000000005"], "echo": []}),
    ("hello-echo", {"echo": [bytes(range(0xf0, 0x100)).hex()], "name": ["edge1"]}),
    ("hello-back", {"role": ["2"], "name": ["parent1"]}),
    ("query", {"qid": ["0xfedcba9876543210"], "budget_ms": ["20"], "hop": ["0"], "flags": ["0x03"],
               "key": [bytes(range(0x10, 0x20)).hex()], "flags.intent": ["1"], "flags.accept_pending": ["1"],
               "flags.resume": ["0"], "variant": []}),
    ("query-variants", {"flags": ["0x01", "0x08", "0x10"], "variant": [bytes(range(0x90, 0xa0)).hex()]}),
    ("query-resume", {"order": ["2", "2", "0"], "not_there": [node("edge3"), node("edge3")]}),
    ("reply", {"status": ["1"], "verdict": ["HIT"], "index": ["1"], "size": ["1048576"], "digest": ["e3b0c44298fc1c14"],
               "ttl_s": ["86400"], "age_s": ["300"], "load": ["128"], "took_us": ["250"],
               "purge_serial": ["1700000000000"]}),
    ("reply-statuses", {"verdict": ["MISS", "HIT", "PENDING", "NOFETCH", "DENIED", "STALE", "BUSY", "VARY", "LOCATED",
                                    "GRANT", "INTENDED", "INTENDED"],
                        "vary": ["accept,accept-encoding"], "lease_ms": ["2000"], "wait_ms": ["250"], "denied": ["2"],
                        "ttl_s": ["86400", "-60"], "have": ["65536", "10485760", "4096"],
                        "node": [node("edge3"), node("edge4"), node("edge3"), node("edge3")]}),
    ("hint", {"operation": ["1", "2", "3", "4", "5", "6"], "bytes": ["1048576", "4194304", "70000"],
              "node": [node("edge3")], "generation": ["3"]}),
    ("ping", {"nonce": ["0x0123456789abcdef"], "t_us": ["123456789"], "objects": ["200000"], "state": ["1"],
              "mode": ["1"], "load": ["17"], "members": ["0xaabbccddeeff0011"], "purge_serial": ["1700000000000"]}),
    ("pong", {"type": ["68"], "t_us": ["123456789"]}),
    ("invalidate", {"serial": ["1700000000000", "1700000000000"], "purge.kind": ["1"], "purge.at": ["1700000000000"],
                    "purge.value": ["https://registry.test/left-pad/-/left-pad-1.3.0.tgz"]}),
    ("invalidated", {"removed": ["12"], "serial": ["1700000000000"]}),
    ("bye", {"reason": ["2"], "back_in_s": ["30"]}),
    ("err-boot", {"code": ["2"], "challenge": [bytes(range(0xf0, 0x100)).hex()], "qid": ["0xfedcba9876543210"]}),
    ("later-wide", {"qid": ["0xfedcba9876543210"], "budget_ms": ["20"], "flags": ["0x03"]}),
    ("later-missing", {"verdict": ["HIT", "PENDING", "MISS", "LOCATED"], "size": ["1048576", "7"], "node": ["0x00000005"]}),
    ("later-status", {"verdict": ["MISS", "MISS", "NOFETCH"], "status": ["11", "255", "3"]}),
]


@pytest.mark.parametrize("name, expected", BODIES, ids=[b[0] for b in BODIES])
def test_body(vectors, name, expected):
    fields = [f"pmcache.{k}" for k in expected]
    assert vectors(name, *fields, "pmcache.malformed", "_ws.lua.error") == {
        **{f"pmcache.{k}": v for k, v in expected.items()}, "pmcache.malformed": [], "_ws.lua.error": []}


def info_column(tmp_path, wanted):
    path = pcap(tmp_path / "all.pcap", [vector(n) for n in wanted])
    out = tshark(path, "-T", "fields", "-E", "separator=|", "-e", "_ws.col.Protocol", "-e", "_ws.col.Info").splitlines()
    assert len(out) == len(wanted)
    return dict(zip(wanted, out))


def test_info_column_says_it_in_words(tmp_path):
    got = info_column(tmp_path, names())
    assert all(line.startswith("PMCACHE|") for line in got.values()), got
    words = {name: line.split("|", 1)[1] for name, line in got.items()}
    assert words["query-variants"] == "QUERY 3 keys"
    assert words["reply"] == "REPLY HIT"
    assert words["reply-statuses"] == ("REPLY MISS HIT PENDING NOFETCH DENIED STALE BUSY VARY LOCATED GRANT INTENDED INTENDED")
    assert words["hint"] == "HINT STORED EVICTED PROGRESS FAILED NOT_THERE HOLDING"
    assert words["invalidate"] == "INVALIDATE URL https://registry.test/left-pad/-/left-pad-1.3.0.tgz"
    assert words["later-status"] == "REPLY unknown(11) unknown(255) NOFETCH"
    assert words["later-op"] == "HINT STORED unknown(7) FAILED"
    assert words["later-critical"] == "QUERY 1 key [critical field]"
    assert words["later-type"] == "unknown type 9"
    assert words["later-version"] == "version 2, QUERY"
    assert words["bad-array32"] == "QUERY [malformed]"


def test_what_is_unknown_is_marked(vectors):
    got = vectors("later-key", "pmcache.unknown_key", "pmcache.later", "pmcache.malformed", "pmcache.critical",
               "pmcache.back_in_s")
    assert got["pmcache.unknown_key"] == ["40", "63"] and got["pmcache.later"] and got["pmcache.back_in_s"] == ["30"]
    assert not got["pmcache.malformed"] and not got["pmcache.critical"]
    got = vectors("later-critical", "pmcache.unknown_key", "pmcache.critical")
    assert got["pmcache.unknown_key"] == ["64"] and got["pmcache.critical"]
    got = vectors("later-extra", "pmcache.unknown", "pmcache.later", "pmcache.malformed")
    assert got["pmcache.unknown"] == ["63", "91a178", "c0"] and got["pmcache.later"] and not got["pmcache.malformed"]
    assert vectors("later-status", "pmcache.later")["pmcache.later"]
    assert vectors("later-type", "pmcache.later")["pmcache.later"]


# What only a node needs to know: lengths and characters of words, places beyond the list, keys that come twice.
LENIENT = {"bad-twice", "bad-name", "bad-name-long", "bad-vary", "bad-index", "bad-many"}


@pytest.mark.parametrize("name", [n for n in names() if n.startswith("bad-")])
def test_what_is_malformed_is_marked(vectors, name):
    got = vectors(name, "pmcache.malformed", "pmcache.type", "_ws.lua.error")
    assert bool(got["pmcache.malformed"]) == (name not in LENIENT) and got["pmcache.type"] and not got["_ws.lua.error"]


def test_on_another_port_it_is_recognised(tmp_path):
    assert look(tmp_path, "query", "pmcache.qid", port=40000)["pmcache.qid"] == ["0xfedcba9876543210"]
    assert look(tmp_path, "later-version", "pmcache.qid", "pmcache.version", port=40000)["pmcache.version"] == []


def test_what_is_not_ours_is_left_alone(tmp_path):
    for payload in (b"hello", bytes(100), vector("query")[:-1], b"\x99\x01" + bytes(60)):
        assert look_at(tmp_path, payload, "pmcache.version")["pmcache.version"] == []


def test_cut_and_damaged_ones_break_nothing(tmp_path):
    """Each byte of some vectors replaced by what asks for much, and each shorter body: no error of Lua."""
    damaged = []
    for name in ("reply-statuses", "query-variants", "hello", "invalidate"):
        whole = vector(name)
        for at in range(33, len(whole) - 18):
            for byte in (0xdd, 0xc0, 0xff):
                damaged.append(whole[:at] + bytes([byte]) + whole[at + 1:])
            damaged.append(whole[:at + 1] + whole[-18:])
    out = tshark(pcap(tmp_path / "damaged.pcap", damaged), "-T", "fields", "-e", "pmcache.type", "-e", "_ws.lua.error")
    assert len(out.splitlines()) == len(damaged)
    assert all(re.fullmatch(r"\d+\t", line) for line in out.splitlines())
