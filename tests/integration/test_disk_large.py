"""What is too large for memory goes to the disk while it comes, and is served from there: whole, in parts, to those who read along, and through
every fault."""

import os
import signal

import pytest

from lab import Reply, blob, eventually
from lab.cluster import IMMUTABLE, again_if_late, together
from test_disk import STORED, again, await_kept, disk, objects_on_disk, stats, tgz

MB = 1 << 20
LARGE = 10 * MB + 12_345
PATH = "/big/-/big-1.0.0.tgz"


@pytest.fixture(scope="module")
def body():
    return tgz(LARGE)


def counters(edge):
    return stats(edge)["counters"]


def in_tmp(edge):
    return list((edge.state / "cache" / "tmp").iterdir())


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_it_goes_to_the_disk_and_is_served_from_there(make, body, framing):
    o = make.origin()
    o.on(PATH, Reply(body=body, headers=STORED, framing=framing))
    edge = make.edge(disk())
    r = edge.get(o.url(PATH))
    assert r.body == body and "stored" in r.headers.get("Cache-Status")
    await_kept(edge, 1)
    r = edge.get(o.url(PATH))
    assert r.body == body and r.x_cache == "HIT"
    assert edge.log(o.url(PATH), n=2)[-1].result == "TCP_HIT"
    again(edge)
    r = edge.get(o.url(PATH))
    assert r.body == body and r.x_cache == "HIT"
    assert o.count() == 1
    assert counters(edge)["hits_disk_total"] == 1
    assert not in_tmp(edge)


def test_head_ranges_and_conditions_are_answered_from_disk(make, body):
    o = make.origin()
    o.on(PATH, Reply(body=body, headers=STORED))
    edge = make.edge(disk())
    edge.get(o.url(PATH))
    await_kept(edge, 1)
    for fresh in (False, True):
        if fresh:
            again(edge)
        r = edge.ask("HEAD", o.url(PATH))
        assert r.status == 200 and r.headers.get("Content-Length") == str(len(body)) and r.x_cache == "HIT"
        for first, last in ((0, 0), (65_535, 65_536), (5_000_000, 5_299_999), (len(body) - 10, len(body) - 1)):
            r = edge.get(o.url(PATH), [("Range", f"bytes={first}-{last}")])
            assert r.status == 206 and r.body == body[first:last + 1], (first, last)
            assert r.headers.get("Content-Range") == f"bytes {first}-{last}/{len(body)}"
        assert edge.get(o.url(PATH), [("Range", "bytes=-100")]).body == body[-100:]
        assert edge.get(o.url(PATH), [("Range", f"bytes={len(body)}-")]).status == 416
        assert edge.get(o.url(PATH), [("If-None-Match", '"v1"')]).status == 304
        assert edge.get(o.url(PATH), [("If-None-Match", '"v2"')]).body == body
    assert o.count() == 1, [str(r) for r in o.requests_seen]


def test_head_of_what_is_not_there_after_all_goes_its_own_way(make, body):
    o = make.origin()
    o.on(PATH, Reply(body=body, headers=STORED))
    edge = make.edge(disk())
    edge.get(o.url(PATH))
    await_kept(edge, 1)
    edge.stop()
    os.unlink(objects_on_disk(edge)[0])
    edge.start()
    r = edge.ask("HEAD", o.url(PATH))
    assert r.status == 200 and r.headers.get("Content-Length") == str(len(body)) and r.x_cache == "MISS"
    assert o.last().method == "HEAD"


def begin(edge, url, headers=()):
    """A client that has asked and reads nothing yet."""
    c, target = edge.session(url)
    c.request("GET", target, headers)
    return c


def rest(c):
    with c:
        return c.response()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_others_read_along_from_wherever_they_come(make, body, framing):
    """One that reads nothing, one that comes in the middle and begins in the file, one that asks for a range of what is there."""
    o = make.origin()
    gate = o.gate()
    at = 7 * MB + 1000
    o.on(PATH, Reply(body=[body[:at], gate, body[at:]], framing=framing, length=len(body), headers=STORED))
    edge = make.edge(disk())
    url = o.url(PATH)
    first, sleeper = begin(edge, url), begin(edge, url)
    gate.await_waiting()
    eventually("the file has grown", lambda: in_tmp(edge) and in_tmp(edge)[0].stat().st_size > 6 * MB)
    late = begin(edge, url)
    if framing == "length":
        r = edge.get(url, [("Range", "bytes=2000000-2099999")])
        assert r.status == 206 and r.body == body[2_000_000:2_100_000]
    gate.open()
    for c in (first, late, sleeper):
        assert rest(c).body == body
    assert o.count() == 1
    await_kept(edge, 1)
    assert edge.get(url).body == body


def test_a_fill_outlives_its_client(make, body):
    o = make.origin()
    gate = o.gate()
    o.on(PATH, Reply(body=[body[:5 * MB], gate, body[5 * MB:]], length=len(body), headers=STORED))
    edge = make.edge(disk())
    c = begin(edge, o.url(PATH))
    gate.await_waiting()
    c.close()
    gate.open()
    await_kept(edge, 1)
    assert edge.get(o.url(PATH)).body == body
    assert o.count() == 1


# ---- in a cluster ----

@again_if_late
def a_herd(c, make, clients, size):
    nodes, o = c.mend(), make.origin(tls=False, name="plain.test")
    body = blob(size, "herd")
    o.on(IMMUTABLE + "x", Reply(body=body))
    url = o.url(IMMUTABLE + "x")
    assert all(together(clients, lambda i: nodes[i % len(nodes)].get(url).body == body))
    assert o.count() == 1
    for n in nodes:
        await_kept(n, 1)
        r = n.get(url)
        assert r.x_cache == "HIT" and r.body == body
    assert o.count() == 1
    return url


def test_a_herd_of_five_edges_is_one_fetch(make):
    """And each of them has it on its disk then; a parent beside them changes nothing."""
    c = make.cluster(5, conf=disk())
    c.start()
    a_herd(c, make, int(os.environ.get("PMC_HERD", "20")), LARGE)


@again_if_late
def what_one_has(c, make, body):
    a, b, *_ = c.fresh_edges()
    o = make.origin(tls=False, name="plain.test")
    o.on(IMMUTABLE + "x", Reply(body=body))
    url = o.url(IMMUTABLE + "x")
    assert a.get(url).body == body
    await_kept(a, 1)
    assert b.get(url).body == body
    assert o.count() == 1
    assert b.log(url)[0].hier in ("SIBLING_HIT", "PARENT_HIT")


@pytest.mark.parametrize("parents", [0, 1])
def test_what_one_has_on_its_disk_the_others_take_from_it(make, body, parents):
    c = make.cluster(2, parents=parents, conf=disk())
    c.start()
    what_one_has(c, make, body)
