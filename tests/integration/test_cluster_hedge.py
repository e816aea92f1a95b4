"""A node that is late: another is asked besides, and the first to answer wins."""

import hashlib
import signal
import threading
import time
from pathlib import Path

import pytest

from lab import DEADLINE, Reply, blob, eventually
from lab.cluster import IMMUTABLE
from lab.peer import MISS, an_object, visit

FRESH = [("Cache-Control", "max-age=600")]
SIZE = 20_000


@pytest.fixture(scope="module")
def with_sibling(shared):
    """An edge, a parent, and a sibling whose manners a test decides."""
    c = shared.cluster(2, 1)
    c.fake("edge2")
    c.start()
    return c


@pytest.fixture(scope="module")
def two(shared):
    """Two parents, one edge."""
    c = shared.cluster(1, 2)
    c.start()
    return c


def has(sibling, body, wait):
    """It has it, and waits for that event before it gives it."""
    sibling.visits.clear()
    sibling.has(len(body), hashlib.sha256(body).digest())

    def serve(conn, target, headers):
        wait.wait(DEADLINE)
        conn.send(an_object(body))
        return True
    sibling.serve = serve


@pytest.fixture
def node(with_sibling):
    """The edge, which holds nothing against anybody."""
    with_sibling["edge1"].stop()
    with_sibling.mend()
    sibling = with_sibling.fakes["edge2"]
    yield with_sibling["edge1"], sibling
    sibling.say, sibling.serve = (lambda key, n: [n, MISS]), None


def column(e, name, heading):
    """Of a node's line in `pmcachectl peers --wide`: columns are flush right, two spaces apart."""
    lines = e.ctl("peers", "--wide").stdout.splitlines()
    end = lines[0].index(heading) + len(heading)
    return next(x for x in lines if x.startswith(name))[:end].split()[-1]


def test_a_sibling_that_is_late_is_overtaken_by_the_parent(node, make):
    e, sibling = node
    o = make.origin()
    body, never = blob(SIZE, "late"), threading.Event()
    o.on(IMMUTABLE + "x", Reply(body=body))
    has(sibling, body, never)
    assert e.get(o.url(IMMUTABLE + "x")).body == body
    never.set()
    assert (e.log(IMMUTABLE + "x")[0].peer, o.count()) == ("parent1", 1)
    p = e.peer("edge2")
    assert (p["fetches"], p["hedged"], p["cancelled"] + p["false_hits"]["silent"]) == (1, 1, 1)
    assert column(e, "edge2", "HEDGED") == "1" and column(e, "edge2", "CANCELLED") == str(p["cancelled"])
    metrics = e.page("/metrics").body.decode()
    assert 'pmcache_peer_hedged_total{peer="edge2",role="edge"} 1\n' in metrics
    assert f'pmcache_cluster_cancelled_total{{role="edge"}} {p["cancelled"]}\n' in metrics


def test_a_sibling_that_is_late_and_wins_all_the_same(node, make):
    e, sibling = node
    o = make.origin()
    body, now, gate = blob(SIZE, "wins"), threading.Event(), o.gate()
    o.on(IMMUTABLE + "x", lambda req: (gate.wait(), Reply(body=body))[1])
    has(sibling, body, now)

    def conduct():
        eventually("the parent is asked", lambda: o.count())
        now.set()
        eventually("one of them is let go", lambda: e.parent("parent1")["cancelled"] or e.peer("edge2")["false_hits"]["silent"])
        gate.open()
    threading.Thread(target=conduct, daemon=True).start()
    assert e.get(o.url(IMMUTABLE + "x")).body == body
    gate.open()
    p, parent = e.peer("edge2"), e.parent("parent1")
    if e.log(IMMUTABLE + "x")[0].peer == "edge2":  # else it was even later than the longest wait
        assert (p["fetches"], p["hedged"], p["fetched"]) == (1, 1, 1)
        assert (parent["requests"], parent["cancelled"], parent["failures"]) == (2, 1, 0), "asked, and for its word (HEAD)"


def test_a_sibling_in_time_costs_no_second_request(node, make):
    e, sibling = node
    o = make.origin()
    body, now = blob(SIZE, "quick"), threading.Event()
    o.on(IMMUTABLE + "x", Reply(body=body))
    now.set()
    has(sibling, body, now)
    assert e.get(o.url(IMMUTABLE + "x")).body == body
    p = e.peer("edge2")
    if p["ttfb_us"]["p99"] < 100_000:
        assert (p["hedged"], p["cancelled"]) == (0, 0)


@pytest.fixture
def quick(two, make):
    """The edge, which knows parent1 as one that answers at once; its origin; and a URL of parent1's that nobody has asked for yet."""
    p1, p2, e = two.mend()
    o = make.origin(tls=False, name="plain.test")
    urls = [o.url(f"/simple/{i}/") for i in range(200)]
    of_parent1 = [u for u in urls[:40] if "parent1" in e.ctl("explain", u).stdout]
    assert 10 <= len(of_parent1) < 40
    for url in of_parent1[1:]:
        o.on(path_of(url), Reply(body=b"quick", headers=FRESH))
        assert e.get(url).body == b"quick"
    return e, o, of_parent1[0]


def stop(node):
    """It stands still, with all its threads, when this returns."""
    node.signal(signal.SIGSTOP)
    states = Path(f"/proc/{node.pid}/task").glob("*/stat")
    for state in list(states):
        eventually("it stands still", lambda: state.read_text().rpartition(")")[2].split()[0] == "T")


def path_of(url):
    return url[url.index("/", 8):]


def test_a_parent_that_hangs_is_overtaken_by_the_one_that_has_it(two, quick):
    e, o, url = quick
    p1 = two["parent1"]
    o.on(path_of(url), Reply(body=b"stored", headers=FRESH))
    with visit(two, "parent2", "edge1", alpn="pmc-proxy/1") as c:
        assert c.get(url, [("Pmc-Hop", "lab 1 edge1")]).body == b"stored"
    before, asked = e.parent("parent1"), o.count(path_of(url))
    stop(p1)
    try:
        began = time.monotonic()
        assert e.get(url).body == b"stored"
        assert time.monotonic() - began < DEADLINE / 2, "upstream.first_byte_timeout is much longer"
        assert o.count(path_of(url)) == asked
    finally:
        p1.signal(signal.SIGCONT)
    after = e.parent("parent1")
    assert (after["hedged"] - before["hedged"], after["cancelled"] - before["cancelled"]) == (1, 1)
    assert after["failures"] == before["failures"]
    assert e.log(url)[-1].peer == "parent2"


def test_a_hedge_starts_no_fetch(two, quick):
    e, o, url = quick
    gate = o.gate()
    before, asked = e.parent("parent1"), o.count(path_of(url))
    retries = e.parent("parent2")["retries"]
    o.on(path_of(url), lambda req: (gate.wait(), Reply(body=b"slow", headers=FRESH))[1])
    c, target = e.session(url)
    c.request("GET", target)
    eventually("parent2 is asked, too", lambda: e.parent("parent2")["retries"] > retries)
    eventually("it has it not", lambda: e.parent("parent2")["in_hand"] == 0)
    gate.open()
    assert c.response("GET").body == b"slow"
    c.close()
    assert o.count(path_of(url)) == asked + 1
    after = e.parent("parent1")
    assert (after["hedged"] - before["hedged"], after["cancelled"] - before["cancelled"]) == (1, 0)
    assert e.log(url)[-1].peer == "parent1"
