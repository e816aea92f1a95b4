"""A cluster of nodes with three loops that hear of each other late, at random: what crosses threads, in a few seconds. For ThreadSanitizer
more than for anybody else; what is right without it must be right here, too."""

import pytest

from lab import Reply, blob, eventually
from lab.cluster import IMMUTABLE, together

DELAY_US = 2000


@pytest.fixture(scope="module")
def late(shared):
    with pytest.MonkeyPatch.context() as m:
        m.setenv("PMC_TEST_POST_DELAY_US", str(DELAY_US))
        c = shared.cluster(3, 1, {"loops": 3})
        c.start()
        yield c


def test_loops_are_late(late):
    for e in late.mend():
        assert f"up to {DELAY_US} us late" in e.stderr_text and e.stats()["loops"] == 3


def test_herds(late, make):
    """Nine clients of three edges want the same twelve objects at once: the parent fetches each once."""
    _, *edges = late.mend()
    o = make.origin(tls=False, name="plain.test")
    bodies = [blob(300_000 if i % 4 == 0 else 2_000, i) for i in range(12)]
    for i, body in enumerate(bodies):
        o.on(f"{IMMUTABLE}{i}", Reply(body=body))

    def client(k):
        return [edges[k % 3].get(o.url(f"{IMMUTABLE}{(i + k) % 12}")).body == bodies[(i + k) % 12] for i in range(12)]

    assert all(all(got) for got in together(9, client))
    assert o.count() == 12


def test_the_fetcher_dies_while_others_read_along(late, make):
    _, a, b, d = late.mend()
    o = make.origin(tls=False, name="plain.test")
    body, gate = blob(900_000, "dies"), o.gate()
    o.on(IMMUTABLE + "x", lambda req: Reply(body=[body[:300_000], gate, body[300_000:]], framing="length", length=len(body)))
    clients = []
    for e in (a, b, d):
        c, target = e.session(o.url(IMMUTABLE + "x"))
        c.request("GET", target)
        assert c.head().status == 200
        clients.append(c)
    gate.await_waiting()
    a.kill()
    gate.open()
    for c in clients[1:]:
        assert c.read(len(body)) == body
    for c in clients:
        c.close()


def test_purges_amid_requests(late, make):
    """Whoever asks while the cluster forgets gets a whole and right answer; afterwards all know of the last purge."""
    p, *edges = late.mend()
    o = make.origin(tls=False, name="plain.test")
    body = blob(50_000, "purged")
    o.on(IMMUTABLE + "x", Reply(body=body))
    url = o.url(IMMUTABLE + "x")

    def worker(k):
        if k == 3:
            return [p.ctl("purge", "--cluster", url).returncode == 0 for _ in range(4)]
        return [edges[k].get(url).body == body for _ in range(15)]

    assert all(all(got) for got in together(4, worker))
    eventually("all know the last purge", lambda: len({e.peers()["purge_serial"] for e in (p, *edges)}) == 1)


def test_clients_that_leave(late, make):
    """Those who stay get all of it."""
    _, a, b, d = late.mend()
    o = make.origin(tls=False, name="plain.test")
    body, gate = blob(600_000, "leave"), o.gate()
    o.on(IMMUTABLE + "x", lambda req: Reply(body=[body[:100_000], gate, body[100_000:]], framing="length", length=len(body)))
    clients = []
    for e in (a, b, d, a, b, d):
        c, target = e.session(o.url(IMMUTABLE + "x"))
        c.request("GET", target)
        clients.append(c)
    gate.await_waiting()
    for c in clients[:3]:
        c.reset()
    gate.open()
    for c in clients[3:]:
        with c:
            assert c.response().body == body


def test_they_end_in_order(late):
    for e in late.mend():
        e.stop()  # which looks at the exit code, and at what a sanitizer says
        assert not e.running
