"""What one edge has, the others need not fetch: whole or still growing, and whatever becomes of the one that fetches."""

import itertools
import re
import signal

import pytest

from lab import Reply, blob, eventually
from lab.cluster import IMMUTABLE, again_if_late, together

KINDS = ["plain", "bumped"]


@pytest.fixture(scope="module")
def trio(shared):
    """Three edges, no parent."""
    c = shared.cluster(3)
    c.start()
    return c


def an_origin(make, kind="plain"):
    return make.origin(tls=kind == "bumped", name="origin.test" if kind == "bumped" else "plain.test")


def with_ranges(body, etag='"1"', before=lambda req: None, gate_at=None, gate=None):
    """An answer that knows Range, as those of archives do; the first whole one stops at gate_at."""
    def answer(req):
        before(req)
        m = re.fullmatch(r"bytes=(\d+)-", req.headers.get("Range") or "")
        if m and req.headers.get("If-Range") in (None, etag):
            at = int(m.group(1))
            return Reply(206, [("ETag", etag), ("Content-Range", f"bytes {at}-{len(body) - 1}/{len(body)}")], body[at:],
                         reason="Partial Content")
        if gate_at is None:
            return Reply(body=body, headers=[("ETag", etag)])
        return Reply(body=[body[:gate_at], gate, body[gate_at:]], framing="length", length=len(body), headers=[("ETag", etag)])
    return answer


def begin(edge, url, headers=()):
    """A client that has asked and reads nothing yet."""
    c, target = edge.session(url)
    c.request("GET", target, headers)
    return c


def rest(c):
    with c:
        return c.response()


@pytest.mark.parametrize("kind", KINDS)
@again_if_late
def test_what_one_has_the_others_take_from_it(trio, make, kind):
    a, b, d = trio.fresh_edges()
    o = an_origin(make, kind)
    body = blob(700_000, kind)
    o.on(IMMUTABLE + "x", Reply(body=body))
    url = o.url(IMMUTABLE + "x")
    assert a.get(url).body == body
    assert b.get(url).body == body
    assert d.get(url).body == body
    assert o.count() == 1
    assert a.log(url)[0].hier == "HIER_DIRECT"
    line = b.log(url)[0]
    assert (line.result, line.status, line.hier, line.peer) == ("TCP_MISS", 200, "SIBLING_HIT", "edge1")
    line = d.log(url)[0]
    assert (line.hier, line.peer in ("edge1", "edge2")) == ("SIBLING_HIT", True)
    assert b.get(url).x_cache == "HIT", "and it is kept"


@again_if_late
def test_an_empty_one_too(trio, make):
    a, b, _ = trio.fresh_edges()
    o = an_origin(make)
    o.on(IMMUTABLE + "empty", Reply(body=b""))
    url = o.url(IMMUTABLE + "empty")
    assert a.get(url).status == 200
    assert (b.get(url).status, b.get(url).body) == (200, b"")


@pytest.mark.parametrize("kind", KINDS)
@again_if_late
def test_a_growing_one_is_read_along(trio, make, kind):
    a, b, d = trio.fresh_edges()
    o = an_origin(make, kind)
    body, gate = blob(2_000_000, kind), o.gate()
    o.on(IMMUTABLE + "x", Reply(body=[body[:1_000_000], gate, body[1_000_000:]], length=len(body)))
    url = o.url(IMMUTABLE + "x")
    first = begin(a, url)
    gate.await_waiting()
    others = [begin(e, url) for e in (b, d)]
    for c in others:
        assert c.head().headers.get("Content-Length") == str(len(body))
        assert c.read(900_000) == body[:900_000], "while the origin still holds the rest back"
    assert gate.waiting == 1
    gate.open()
    assert rest(first).body == body
    for c in others:
        assert c.read(1_100_000) == body[900_000:]
        c.close()
    assert o.count() == 1
    for e in (b, d):
        assert e.log(url)[0].hier == "SIBLING_HIT"


@again_if_late
def test_one_of_unknown_length(trio, make):
    a, b, d = trio.fresh_edges()
    o = an_origin(make)
    body, gate = blob(600_000, "chunks"), o.gate()
    o.on(IMMUTABLE + "x", lambda req: Reply(body=[body[:100_000], gate, body[100_000:]], framing="chunked"))
    url = o.url(IMMUTABLE + "x")
    first = begin(a, url)
    gate.await_waiting()
    second = begin(b, url)
    assert second.head().status == 200
    gate.open()
    assert rest(first).body == body
    assert second.read_until(b"0\r\n\r\n")
    second.close()
    assert d.get(url).body == body
    assert o.count() == 1


@pytest.mark.parametrize("kind", KINDS)
@again_if_late
def test_all_at_once_is_one_fetch(trio, make, kind):
    edges, o = trio.fresh_edges(), an_origin(make, kind)
    body = blob(3_000_000, kind)
    o.on(IMMUTABLE + "x", Reply(body=body))
    url = o.url(IMMUTABLE + "x")
    got = together(15, lambda i: edges[i % 3].get(url).body)
    assert all(b == body for b in got)
    assert o.count() == 1


def test_seven_at_once_are_one_fetch(make):
    c = make.cluster(7)
    c.start()
    a_herd(c, make)


@again_if_late
def a_herd(c, make):
    nodes, o = c.mend(), an_origin(make)
    body = blob(4_000_000, "seven")
    o.on(IMMUTABLE + "x", Reply(body=body))
    url, before = o.url(IMMUTABLE + "x"), [p["served"] for e in nodes for p in e.peers()["peers"]]
    got = together(21, lambda i: nodes[i % 7].get(url).body)
    assert all(b == body for b in got)
    assert o.count() == 1
    most = max(p["served"] - b for p, b in zip((p for e in nodes for p in e.peers()["peers"]), before))
    assert most <= 2, "nobody has to serve all the others"


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no-ranges"])
@pytest.mark.parametrize("percent", [0, 10, 50, 99])
@again_if_late
def test_the_fetcher_dies(trio, make, percent, ranges):
    """The readers' answers are whole and right, and one of them has gone on where the other stopped."""
    a, b, d = trio.fresh_edges()
    o = make.origin()
    body = blob(4_000_000, percent)
    at, gate = len(body) * percent // 100, o.gate()
    answer = with_ranges(body, gate_at=at, gate=gate) if percent else with_ranges(body, before=lambda req: gate.wait())

    def first_is_held(req):
        if not ranges:
            req.headers[:] = [(n, v) for n, v in req.headers if n != "Range"]
        if len(o.requests()) == 1:
            return answer(req)
        return with_ranges(body)(req)
    o.on(IMMUTABLE + "x", first_is_held)
    url = o.url(IMMUTABLE + "x")
    first = begin(a, url)
    gate.await_waiting()
    readers = [begin(e, url) for e in (b, d)]
    if percent:  # they are in the middle of it
        heads = [c.head() for c in readers]
        have = [c.read(at // 2) for c in readers]
    else:
        eventually(lambda: f"they wait for it {a.peers()}", lambda: sum(a.peer(e.name)["answered"]["keys"] for e in (b, d)) >= 2)
    a.kill()
    for i, c in enumerate(readers):
        if percent:
            assert heads[i].headers.get("Content-Length") == str(len(body))
            got = have[i] + c.read(len(body) - len(have[i]))
        else:
            got = c.response().body
        assert got == body
        c.close()
    first.close()
    gate.open()
    assert o.count() <= 3, "not all of them go to the origin again and again"
    assert b.get(url).x_cache == d.get(url).x_cache == "HIT"


@again_if_late
def test_the_fetcher_stands_still(trio, make):
    a, b, d = trio.fresh_edges()
    o = make.origin()
    body, gate = blob(4_000_000, "stop"), o.gate()
    held = with_ranges(body, gate_at=2_000_000, gate=gate)
    o.on(IMMUTABLE + "x", lambda req: held(req) if o.count() == 1 else with_ranges(body)(req))
    url = o.url(IMMUTABLE + "x")
    first = begin(a, url)
    gate.await_waiting()
    readers = [begin(e, url) for e in (b, d)]
    for c in readers:
        c.head()
    have = [c.read(1_000_000) for c in readers]
    a.signal(signal.SIGSTOP)
    try:
        gate.open()
        for c, part in zip(readers, have):
            assert part + c.read(len(body) - len(part)) == body
            c.close()
        first.close()
        assert b.peer("edge1")["false_hits"]["silent"] + d.peer("edge1")["false_hits"]["silent"] >= 1
    finally:
        a.signal(signal.SIGCONT)


def test_one_that_does_not_move_at_all(trio, make):
    """Nobody waits long for a sibling that does not answer, and after its suspicion not at all."""
    a, b, _ = trio.fresh_edges()
    o = make.origin()
    o.on(IMMUTABLE + "x", Reply(body=b"x"))
    assert a.get(o.url(IMMUTABLE + "x")).body == b"x"
    n = itertools.count()
    a.signal(signal.SIGSTOP)
    try:
        def asks():
            assert b.get(o.url(f"{IMMUTABLE}x?{next(n)}")).body == b"x"
            return b.peer("edge1")["state"] == "suspect"
        assert b.get(o.url(IMMUTABLE + "x")).body == b"x"
        eventually("the one that stands still is suspected", asks)
        before = b.peer("edge1")["asked"]
        o.on(IMMUTABLE + "later", Reply(body=b"y"))
        assert b.get(o.url(IMMUTABLE + "later")).body == b"y"
        assert b.log(IMMUTABLE + "later")[0].elapsed < 500
        assert before["keys"] <= b.peer("edge1")["asked"]["keys"]
    finally:
        a.signal(signal.SIGCONT)


@again_if_late
def test_a_part_of_what_a_sibling_has(trio, make):
    a, b, d = trio.fresh_edges()
    o = an_origin(make)
    body = blob(500_000, "ranges")
    o.on(IMMUTABLE + "x", with_ranges(body))
    url = o.url(IMMUTABLE + "x")
    assert a.get(url).body == body
    r = b.get(url, [("Range", "bytes=1000-1999")])
    assert (r.status, r.body) == (206, body[1000:2000])
    assert r.headers.get("Content-Range") == f"bytes 1000-1999/{len(body)}"
    r = d.get(url, [("Range", "bytes=499000-")])
    assert (r.status, r.body) == (206, body[499_000:])
    assert o.count() == 1


def test_one_too_large_to_keep(make, plain):
    """It passes through; who reads along reads along, and nobody gets half of it."""
    c = make.cluster(2, conf={"cache": {"memory": {"size": "64MB", "max_object": "1MB"}}})
    a, b = c.start()
    body = blob(12_000_000, "large")
    plain.on(IMMUTABLE + "x", Reply(body=body))
    url = plain.url(IMMUTABLE + "x")
    for got in together(4, lambda i: (a, b)[i % 2].get(url)):
        assert not got.cut and got.body == body
    assert plain.count() <= 4
    assert b.get(url).body == body


@again_if_late
def test_variants(trio, make):
    a, b, d = trio.fresh_edges()
    o = an_origin(make)

    def answer(req):
        coding = req.headers.get("Accept-Encoding") or "identity"
        return Reply(body=coding.encode() * 1000, headers=[("Vary", "Accept-Encoding")])
    o.on(IMMUTABLE + "x", answer)
    url = o.url(IMMUTABLE + "x")
    gzip, br = [("Accept-Encoding", "gzip")], [("Accept-Encoding", "br")]
    assert a.get(url, gzip).body == b"gzip" * 1000
    assert b.get(url, gzip).body == b"gzip" * 1000
    assert o.count() == 1, "the same variant is shared"
    assert b.peer("edge1")["asked"]["vary"] >= 1
    assert d.get(url, br).body == b"br" * 1000
    assert o.count() == 2, "another one is another one"
    assert a.get(url, br).body == b"br" * 1000
    assert o.count() == 2


@again_if_late
def test_a_sibling_that_starts_again_has_nothing_and_says_so(trio, make):
    a, b, _ = trio.fresh_edges()
    o = an_origin(make)
    o.on(IMMUTABLE + "x", Reply(body=b"x" * 1000))
    url = o.url(IMMUTABLE + "x")
    assert a.get(url).body == b"x" * 1000
    boot = b.peer("edge1")["boot"]
    a.kill()
    a.start()
    eventually("its new boot is known", lambda: b.peer("edge1")["boot"] not in (boot, None))
    assert b.get(url).body == b"x" * 1000
    assert o.count() == 2
    trio.mend()
    assert a.get(url).body == b"x" * 1000
    assert o.count() == 2, "and now it gets it back"


@again_if_late
def test_one_that_leaves_in_order_is_not_asked_any_more(trio, make):
    a, b, _ = trio.fresh_edges()
    o = an_origin(make)
    a.stop()
    b.await_peer("edge1", "draining")
    before = b.peer("edge1")["asked"]["keys"]
    o.on(IMMUTABLE + "x", Reply(body=b"x"))
    assert b.get(o.url(IMMUTABLE + "x")).body == b"x"
    assert b.peer("edge1")["asked"]["keys"] == before


@again_if_late
def test_a_hundred_clients_and_a_slow_sibling_link(trio, make):
    """What is shared is shared within a node, too: one reader over the wire for all clients."""
    a, b, _ = trio.fresh_edges()
    o = an_origin(make)
    body, gate = blob(1_000_000, "hundred"), o.gate()
    o.on(IMMUTABLE + "x", Reply(body=[body[:500_000], gate, body[500_000:]], length=len(body)))
    url = o.url(IMMUTABLE + "x")
    first = begin(a, url)
    gate.await_waiting()
    before = b.peer("edge1")["fetches"]
    clients = [begin(b, url) for _ in range(100)]
    b.await_read(b.bump_port)
    gate.open()
    assert all(rest(c).body == body for c in clients)
    assert rest(first).body == body
    assert o.count() == 1
    assert b.peer("edge1")["fetches"] == before + 1


@again_if_late
def test_the_fetcher_s_own_client_leaves(trio, make):
    """As long as a sibling reads along, the fetch goes on."""
    a, b, _ = trio.fresh_edges()
    o = an_origin(make)
    body, gate = blob(2_000_000, "leaves"), o.gate()
    o.on(IMMUTABLE + "x", Reply(body=[body[:500_000], gate, body[500_000:]], length=len(body)))
    url = o.url(IMMUTABLE + "x")
    first = begin(a, url)
    gate.await_waiting()
    second = begin(b, url)
    second.head()
    assert second.read(400_000) == body[:400_000]
    first.reset()
    a.log(url)
    gate.open()
    assert second.read(1_600_000) == body[400_000:]
    second.close()
    assert o.count() == 1
    assert b.log(url)[0].hier == "SIBLING_HIT"
