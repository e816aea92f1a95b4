"""One word, and it is gone everywhere; and only from those who may say it."""

import hashlib
import itertools
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lab import Reply, eventually
from lab.cluster import IMMUTABLE
from lab.peer import INVALIDATE, visit

KINDS = {"url": 1, "prefix": 2, "host": 3, "all": 4, "class": 5, "digest": 6}
DIGEST_X = "sha256:" + hashlib.sha256(b"x").hexdigest()


@pytest.fixture(scope="module")
def house(shared):
    c = shared.cluster(3, 1)
    c.fake("edge3")
    c.start()
    return c


def record(key, serial, kind, value, cluster="lab"):
    """proto/PROTOCOL.md, section 6."""
    text = b"\x96\x01\xcf" + serial.to_bytes(8, "big") + b"\xcf" + int(time.time() * 1000).to_bytes(8, "big")
    text += bytes([kind, 0xda]) + len(value).to_bytes(2, "big") + value.encode()
    return text + b"\xc4\x40" + key.sign(b"pmcache purge 1\n" + cluster.encode() + b"\n" + text)


def serial(e):
    return e.peers()["purge_serial"]


def in_all(house, make, paths=("x",)):
    """An origin, whose files all nodes have."""
    p, a, b = house.mend()
    o = make.origin(tls=False, name="plain.test")
    for path in paths:
        o.on(IMMUTABLE + path, Reply(body=path.encode()))
        for e in (a, b):
            assert e.get(o.url(IMMUTABLE + path)).body == path.encode()
    return p, a, b, o


def await_serial(nodes):
    eventually(lambda: f"all know it: {[serial(e) for e in nodes]}", lambda: len({serial(e) for e in nodes}) == 1)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_gone_everywhere(house, make, kind):
    p, a, b, o = in_all(house, make)
    before, url = serial(p), o.url(IMMUTABLE + "x")
    words = {"url": [url], "prefix": ["--prefix", o.url(IMMUTABLE)], "host": ["--host", "plain.test"], "all": ["--all"],
                                "class": ["--class", "immutable"], "digest": ["--digest", DIGEST_X]}[kind]
    p.ctl("purge", "--cluster", *words)
    assert serial(p) > before
    await_serial([p, a, b])
    o.on(IMMUTABLE + "x", Reply(body=b"new"))
    for e in (a, b):
        assert e.get(url).body == b"new"


def test_other_things_stay(house, make):
    p, a, b, o = in_all(house, make, ("x", "y"))
    n = o.count()
    p.ctl("purge", "--cluster", o.url(IMMUTABLE + "x"))
    await_serial([p, a, b])
    for e in (a, b):
        assert e.get(o.url(IMMUTABLE + "y")).x_cache == "HIT"
    assert o.count() == n


def test_softly_everywhere(house, make):
    p, a, b, o = in_all(house, make)
    n = o.count(IMMUTABLE + "x")
    p.ctl("purge", "--cluster", "--soft", "--host", "plain.test")
    await_serial([p, a, b])
    for e in (a, b):
        assert e.get(o.url(IMMUTABLE + "x")).body == b"x"
        assert e.get(o.url(IMMUTABLE + "x")).x_cache == "HIT"
    assert o.count(IMMUTABLE + "x") > n, "it was asked about"


def test_what_is_denied_is_denied_everywhere(house, make):
    p, a, b, o = in_all(house, make)
    p.ctl("purge", "--cluster", "--digest", DIGEST_X, "--deny")
    await_serial([p, a, b])
    for e in (a, b, p):
        assert DIGEST_X in e.ctl("purge", "--denied").stdout
    for e in (a, b):
        r = e.get(o.url(IMMUTABLE + "x"))
        assert r.status == 502 and "deny-list" in r.body.decode()
    p.ctl("purge", "--cluster", "--digest", DIGEST_X, "--allow")
    await_serial([p, a, b])
    for e in (a, b):
        assert e.get(o.url(IMMUTABLE + "x")).body == b"x"


def test_an_edge_may_not(house, make):
    p, a, b, o = in_all(house, make)
    done = a.ctl("purge", "--cluster", o.url(IMMUTABLE + "x"), check=False)
    assert done.returncode == 1 and "purge key" in done.stderr + done.stdout
    assert b.get(o.url(IMMUTABLE + "x")).x_cache == "HIT"


@pytest.mark.parametrize("how", ["other-key", "other-cluster", "changed", "unsigned"])
def test_one_that_is_not_signed_does_nothing(house, make, how):
    p, a, b, o = in_all(house, make)
    good = load_pem_private_key((house.files("parent1") / "purge.key").read_bytes(), None)
    number = int(time.time() * 1000) + 5000
    r = {"other-key": lambda: record(Ed25519PrivateKey.generate(), number, 4, ""),
         "other-cluster": lambda: record(good, number, 4, "", "other"),
         "changed": lambda: record(good, number, 4, "")[:3] + b"\xff" + record(good, number, 4, "")[4:],
         "unsigned": lambda: record(good, number, 4, "")[:-64] + b"\0" * 64}[how]()
    before = [serial(e) for e in (p, a, b)]
    spy = house.fakes["edge3"]
    for to in ("parent1", "edge1", "edge2"):
        since = len(spy.heard)
        spy.send(to, INVALIDATE, {1: 5, 2: number, 3: r})
        spy.send(to, 4, {1: number, 2: 1, 6: 1})
        eventually("it was read", lambda: [d for d in spy.got(68, since) if d.body[1] == number])
        assert not spy.got(INVALIDATE | 64, since)
    assert [serial(e) for e in (p, a, b)] == before
    assert a.get(o.url(IMMUTABLE + "x")).x_cache == b.get(o.url(IMMUTABLE + "x")).x_cache == "HIT"


def test_one_that_is_signed_may_come_from_anybody(house, make):
    """An edge that passes it on; and a second time it is nothing new."""
    p, a, b, o = in_all(house, make)
    good = load_pem_private_key((house.files("parent1") / "purge.key").read_bytes(), None)
    number = max(int(time.time() * 1000), serial(p) + 1)
    r = record(good, number, 1, o.url(IMMUTABLE + "x"))
    spy = house.fakes["edge3"]
    since = len(spy.heard)
    spy.send("edge1", INVALIDATE, {1: 5, 2: number, 3: r})
    done = eventually("it is answered", lambda: spy.got(INVALIDATE | 64, since))
    assert done[0].body[3] == 1
    n = itertools.count()

    def heard():
        """Who talks with it hears that there is something new."""
        assert b.get(o.url(f"{IMMUTABLE}talk{next(n)}")).status == 404
        return serial(a) == serial(b)
    eventually(lambda: f"{serial(a)} {serial(b)}", heard)
    assert a.get(o.url(IMMUTABLE + "x")).x_cache == "MISS"
    spy.send("edge1", INVALIDATE, {1: 6, 2: number, 3: r})
    spy.send("edge1", 4, {1: 77, 2: 1, 6: 1})
    eventually("behind it", lambda: [d for d in spy.got(68, since) if d.body[1] == 77])
    assert a.get(o.url(IMMUTABLE + "x")).x_cache == "HIT"


def test_one_that_was_away_catches_up(house, make):
    p, a, b, o = in_all(house, make)
    b.stop()
    for i in range(3):
        p.ctl("purge", "--cluster", o.url(f"{IMMUTABLE}{i}"))
    assert serial(a) and serial(p)
    b.start()
    await_serial([p, a, b])
    known = serial(b)
    b.stop()
    b.start()
    assert serial(b) == known, "and that is kept"


def test_the_log_as_nodes_read_it(house, make):
    p, a, b, o = in_all(house, make)
    p.ctl("purge", "--cluster", o.url(IMMUTABLE + "x"))
    with visit(house, "parent1", "edge1") as v:
        r = v.get(f"/.pmc/v1/purges?since={serial(p)}")
    assert r.status == 200 and o.url(IMMUTABLE + "x").encode() in r.body
    n = int.from_bytes(r.body[:2], "big")
    assert r.body[2:4] == b"\x96\x01" and n > 90
