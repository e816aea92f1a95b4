"""Nodes on hosts of their own: what is lost, cut, blocked, and an edge that has no way out. Needs root (lab/netns.py).

run-tests: not for threads
"""

import pytest

from lab import Reply, blob, eventually
from lab.cluster import IMMUTABLE, together
from lab.netns import Net

NAMES = ["edge1", "edge2", "edge3", "parent1"]


@pytest.fixture(scope="module")
def net():
    n = Net(NAMES)
    yield n
    n.close()


def build(makers, net, edges, parents, conf=None):
    c = makers.cluster(edges, parents, hosts=net.hosts, conf={"access": {"clients": [net.prefix + ".0/24"]}} | (conf or {}))
    c.wraps = net.wraps
    for n in c.names:  # the origin's names stand for the bridge
        folder = c.folder / n
        folder.mkdir()
        folder.joinpath("hosts").write_text("".join(f"{net.here} {name}\n" for name in makers.names))
    return c


@pytest.fixture(scope="module")
def trio(shared, net):
    c = build(shared, net, 3, 0)
    c.start()
    return c


@pytest.fixture
def edges(trio, net):
    net.heal()
    yield trio.mend()
    net.heal()


def an_origin(make, net, tls=False):
    return make.origin(tls=tls, name="origin.test" if tls else "plain.test", host=net.here)


def test_with_loss_all_is_right_and_little_is_fetched_twice(edges, make, net):
    o = an_origin(make, net)
    for e in edges:
        net.lose(e.name, "udp", 20)
    n = 30
    bodies = [blob(20_000 + i, i) for i in range(n)]
    for i in range(n):
        o.on(f"{IMMUTABLE}{i}", Reply(body=bodies[i]))
    for e in edges:
        for i in range(n):
            assert e.get(o.url(f"{IMMUTABLE}{i}")).body == bodies[i]
    assert n <= o.count() < 2 * n, "most were had from a sibling"


def test_a_herd_with_loss(edges, make, net):
    o = an_origin(make, net)
    for e in edges:
        net.lose(e.name, "udp", 20)
    body = blob(2_000_000, "herd")
    o.on(IMMUTABLE + "x", Reply(body=body))
    got = together(12, lambda i: edges[i % 3].get(o.url(IMMUTABLE + "x")).body)
    assert all(g == body for g in got)
    assert o.count() <= 3


def test_udp_is_blocked_and_nobody_waits(edges, make, net):
    a, b, _ = edges
    o = an_origin(make, net)
    net.block("edge1", "udp")

    def until_suspect(i=iter(range(10_000))):
        path = f"{IMMUTABLE}u{next(i)}"
        o.on(path, Reply(body=b"x"))
        assert a.get(o.url(path)).body == b"x"
        return a.peer("edge2")["state"] == "suspect" or a.peers()["isolated"]
    eventually("it is suspected", until_suspect)
    net.heal("edge1")
    a.await_peers()


def test_a_partition_and_its_end(edges, make, net):
    """Two and one: each side goes on by itself, and afterwards they are one again."""
    a, b, d = edges
    o = an_origin(make, net)
    net.cut("edge1", "edge2", "edge3")
    net.cut("edge2", "edge1")
    net.cut("edge3", "edge1")
    body = blob(300_000, "partition")
    o.on(IMMUTABLE + "x", Reply(body=body))
    for e in edges:
        assert e.get(o.url(IMMUTABLE + "x")).body == body
    assert o.count() == 2, "one on each side"
    net.heal()
    for e in edges:
        e.await_peers()
    o.on(IMMUTABLE + "y", Reply(body=body))
    late = sum(e.timeouts() for e in edges)
    for e in edges:
        assert e.get(o.url(IMMUTABLE + "y")).body == body
    assert o.count(IMMUTABLE + "y") <= 1 + sum(e.timeouts() for e in edges) - late


def test_one_way(edges, make, net):
    """edge1 does not hear edge2, which hears it: both are served."""
    a, b, _ = edges
    o = an_origin(make, net)
    net.cut("edge1", "edge2")
    for i in range(10):
        o.on(f"{IMMUTABLE}{i}", Reply(body=b"%d" % i))
        for e in (a, b):
            assert e.get(o.url(f"{IMMUTABLE}{i}")).body == b"%d" % i
            assert e.log(o.url(f"{IMMUTABLE}{i}"))[0].elapsed < 1500


def test_tcp_between_nodes_is_blocked(edges, make, net):
    """Datagrams say it is there; it cannot be had: little is waited for it, and soon nobody asks."""
    a, b, _ = edges
    o = an_origin(make, net)
    o.on(IMMUTABLE + "x", Reply(body=b"x" * 1000))
    assert a.get(o.url(IMMUTABLE + "x")).status == 200
    net.rule("edge1", f"tcp dport {a.cluster_port} drop")
    assert b.get(o.url(IMMUTABLE + "x")).body == b"x" * 1000
    line = b.log(o.url(IMMUTABLE + "x"))[0]
    assert line.elapsed < 2000


def test_a_link_that_is_cut_in_the_middle_of_a_body(edges, make, net):
    a, b, _ = edges
    o = an_origin(make, net)
    body, gate = blob(3_000_000, "cut"), o.gate()
    o.on(IMMUTABLE + "x", lambda req: Reply(body=[body[:1_000_000], gate, body[1_000_000:]], length=len(body))
         if o.count() == 1 else Reply(body=body))
    first, target = a.session(o.url(IMMUTABLE + "x"))
    first.request("GET", target)
    gate.await_waiting()
    c, target = b.session(o.url(IMMUTABLE + "x"))
    c.request("GET", target)
    c.head()
    got = c.read(900_000)
    net.cut("edge2", "edge1")
    gate.open()
    assert got + c.read(len(body) - len(got)) == body
    c.close()
    assert first.response().body == body
    first.close()


def test_an_edge_without_a_way_out_works_through_its_parent(make, net):
    net.heal()
    c = build(make, net, 1, 1, {"cluster": {"on_parent_failure": "fail"}})
    (c.folder / "edge1" / "hosts").write_text("")  # nor does it know the origins' addresses
    p, e = c.start()
    for tls in (False, True):
        o = an_origin(make, net, tls)
        net.rule("edge1", f"ip saddr {net.here} tcp sport {o.port} drop")
        o.on("/x", Reply(body=b"x"))
        o.on("/post", lambda req: Reply(body=req.body))
        assert e.get(o.url("/x")).body == b"x"
        assert e.ask("POST", o.url("/post"), body=b"abc").body == b"abc"
        assert e.log(o.url("/x"))[0].hier == "FIRSTUP_PARENT"
    net.heal()
