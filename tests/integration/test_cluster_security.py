"""Who may come in, and what datagrams can do: those of strangers, of liars, and recordings."""

import hashlib
import itertools
import socket
import ssl
import threading

import pytest

from lab import Reply, eventually
from lab.cluster import IMMUTABLE
from lab.edge import EdgeFailed
from lab.peer import (BYE, HELLO, HINT, INVALIDATE, MISS, PING, PONG, QUERY, REPLY, Datagram, context, node_id, noise,
                      visit)


@pytest.fixture(scope="module")
def house(shared):
    """A parent, an edge, and a node that speaks as the test wants."""
    c = shared.cluster(2, 1)
    c.fake("edge2")
    c.start()
    return c


@pytest.fixture
def a(house):
    house.mend()
    return house["edge1"]


@pytest.fixture
def spy(house):
    spy = house.fakes["edge2"]
    spy.say = lambda key, n: [n, MISS]
    return spy


@pytest.fixture(scope="module")
def strangers(shared):
    """Another cluster of the same name, with a CA of its own; and one of another name."""
    return shared.cluster(1)


def refused(open_visit, target="/.pmc/v1/health"):
    """Nothing comes back, at the handshake or at the first read (TLS 1.3)."""
    try:
        with open_visit() as c:
            c.request("GET", target)
            return c.read(1) == b""
    except (ssl.SSLError, ConnectionError, EOFError, OSError):
        return True


def key_of(cluster, url):
    """The cache key of a URL that is in normal form already."""
    h = hashlib.sha256(b"pmc1")
    for part in ((cluster.dir / "salt").read_text().strip().encode(), b"GET", url.encode()):
        h.update(len(part).to_bytes(4, "little") + part)
    return h.digest()


# -- links

def test_a_node_comes_in(house, a):
    with visit(house, "edge1", "edge2") as c:
        assert c.get("/.pmc/v1/health").status == 204
        r = c.get("/.pmc/v1/peers")
        assert r.status == 200 and b'"node":"edge1"' in r.body


@pytest.mark.parametrize("door", ["pmc-peer/1", "pmc-proxy/1"])
def test_without_a_certificate_nobody_comes_in(house, a, door):
    assert refused(lambda: visit(house, "parent1", "edge2", alpn=door, cert=False))


@pytest.mark.parametrize("door", ["pmc-peer/1", "pmc-proxy/1"])
def test_a_certificate_of_another_ca_does_not_open(house, a, strangers, door):
    files = strangers.files("edge1")
    assert refused(lambda: visit(house, "parent1", "edge2", alpn=door, cert=(files / "node.crt", files / "node.key")))


def test_a_certificate_that_clients_show_to_origins_does_not_open(house, a, certs):
    pair = certs.client()
    assert refused(lambda: visit(house, "edge1", "edge2", cert=(pair.cert_file, pair.key_file)))


@pytest.mark.parametrize("alpn", [None, "http/1.1", "h2"])
def test_without_naming_a_door_nobody_comes_in(house, a, alpn):
    assert refused(lambda: visit(house, "edge1", "edge2", alpn=alpn))


def test_an_edge_is_nobody_s_parent(house, a):
    assert refused(lambda: visit(house, "edge1", "edge2", alpn="pmc-proxy/1"), "http://plain.test/")


def test_tls_1_2_is_not_spoken(house, a):
    ctx = context(house.files("edge2"), False, "pmc-peer/1")
    ctx.minimum_version, ctx.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", house.ports["edge1"])) as s, pytest.raises((ssl.SSLError, OSError)):
        ctx.wrap_socket(s)


def test_an_edge_s_certificate_as_a_parent_s_at_the_proxy_door_of_a_parent(house, a, plain):
    """Edges may ask parents; that is what the door is for. Loopback and the like are judged by the parent's own policy."""
    plain.on("/x", Reply(body=b"x"))
    with visit(house, "parent1", "edge2", alpn="pmc-proxy/1") as c:
        assert c.get(plain.url("/x"), [("Pmc-Hop", "lab 1 edge2")]).body == b"x"


@pytest.mark.parametrize("request_line", ["GET http://plain.test:1/x HTTP/1.1", "GET https://plain.test/ HTTP/1.1",
                                          "CONNECT plain.test:443 HTTP/1.1", "POST /.pmc/v1/health HTTP/1.1",
                                          "OPTIONS * HTTP/1.1", "PURGE /.pmc/v1/health HTTP/1.1", "GET /x HTTP/1.0"])
def test_the_peer_door_forwards_nothing(house, a, request_line):
    with visit(house, "edge1", "edge2") as c:
        c.send(request_line + "\r\nHost: edge1\r\n\r\n")
        assert c.response(request_line.split()[0]).status in (400, 403, 404, 405, 505)


def test_garbage_at_the_peer_door(house, a):
    for junk in (b"\0" * 1000, b"GET " + b"x" * 100_000, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000, b"\r\n" * 50_000, noise(5000)):
        try:
            with visit(house, "edge1", "edge2") as c:
                c.send(junk)
                c.half_close()
                c.read_all()
        except (OSError, ssl.SSLError):
            pass
    assert a.alive()
    with visit(house, "edge1", "edge2") as c:
        assert c.get("/.pmc/v1/health").status == 204


def test_an_object_needs_its_url(house, a, plain):
    """Who has only a key, from a datagram, gets nothing."""
    plain.on(IMMUTABLE + "x", Reply(body=b"x"))
    spy = house.fakes["edge2"]
    since = len(spy.heard)
    assert a.get(plain.url(IMMUTABLE + "x")).body == b"x"
    queries = eventually("edge2 was asked", lambda: spy.got(QUERY, since))
    half = queries[0].body[2][0][0]
    assert len(half) == 16
    with visit(house, "edge1", "edge2") as c:
        for headers in ([], [("Pmc-Url", "http://other.test/")]):
            assert c.get("/.pmc/v1/object/" + half.hex() + "00" * 16, headers).status in (400, 404)
            c.close()
            c = visit(house, "edge1", "edge2")


def test_what_is_private_cannot_be_fetched_by_a_node_either(house, a, plain):
    url = plain.url(IMMUTABLE + "secret")
    plain.on(IMMUTABLE + "secret", Reply(body=b"secret"))
    assert a.get(url, [("Authorization", "Bearer x")]).body == b"secret"
    with visit(house, "edge1", "edge2") as c:
        assert c.get("/.pmc/v1/object/" + key_of(house, url).hex(), [("Pmc-Url", url)]).status == 404
    plain.on(IMMUTABLE + "open", Reply(body=b"open"))
    url = plain.url(IMMUTABLE + "open")
    assert a.get(url).body == b"open"
    with visit(house, "edge1", "edge2") as c:
        assert c.get("/.pmc/v1/object/" + key_of(house, url).hex(), [("Pmc-Url", url)]).body == b"open"


# -- datagrams

def drops(e, name="edge2"):
    return e.peer(name)["dropped"]


def await_drop(e, before, why, n=1, name="edge2"):
    eventually(lambda: f"{n} dropped as {why}: {drops(e, name)}", lambda: drops(e, name)[why] >= before[why] + n)


def unchanged(e, name="edge2"):
    p = e.peer(name)
    return p["state"], p["boot"], p["state_changes"]


FORGED = {
    "wrong-key": ("auth", {"secret": b"\1" * 32}),
    "unknown-kid": ("auth", {"kid": 9}),
    "kid-0": ("auth", {"kid": 0}),
    "wrong-dst": ("wrong_node", {"dst": node_id("edge7")}),
    "seq-0": ("malformed", {"seq": 0}),
    "boot-0": ("malformed", {"boot": 0}),
    "version-9": ("unknown", {"version": 9}),
}


@pytest.mark.parametrize("kind", ["query", "bye"])
@pytest.mark.parametrize("which", FORGED)
def test_a_forged_datagram_changes_nothing_and_is_not_answered(house, a, spy, which, kind):
    why, other = FORGED[which]
    before, state, heard = drops(a), unchanged(a), len(spy.heard)
    body = {1: 7, 2: [[b"k" * 16, 1]], 3: 20, 5: 0} if kind == "query" else {1: 1, 2: 9}
    spy.send("edge1", QUERY if kind == "query" else BYE, body, **other)
    await_drop(a, before, why)
    spy.send("edge1", PING, {1: 99, 2: 1, 6: 1})
    eventually("the ping behind it is answered", lambda: [d for d in spy.got(PONG, heard) if d.body[1] == 99])
    assert not [d for d in spy.got(REPLY, heard) if d.body[1] == 7]
    assert unchanged(a) == state


def test_a_stranger_s_datagram(house, a, spy):
    before = a.peers()["strangers"]
    spy.send("edge1", PING, {1: 5, 2: 1, 6: 1}, src=node_id("nobody"))
    spy.throw("edge1", noise(200))
    spy.throw("edge1", b"")
    spy.throw("edge1", b"\x99" + noise(1399))
    eventually("they were dropped", lambda: (lambda s: s["no_member"] > before["no_member"] and
                                             s["malformed"] >= before["malformed"] + 2)(a.peers()["strangers"]))
    assert not [d for d in spy.got(PONG) if d.body[1] == 5]


def test_a_datagram_twice_is_one(house, a, spy):
    before, heard = drops(a), len(spy.heard)
    data = spy.send("edge1", PING, {1: 1234, 2: 1, 6: 1})
    for _ in range(5):
        spy.throw("edge1", data)
    await_drop(a, before, "replay", 5)
    spy.send("edge1", PING, {1: 1235, 2: 1, 6: 1})
    eventually("the one behind it is answered", lambda: [d for d in spy.got(PONG, heard) if d.body[1] == 1235])
    assert len([d for d in spy.got(PONG, heard) if d.body[1] == 1234]) == 1


def test_in_another_s_name(house, a, spy):
    """With the group's key one can speak as another; but no answer comes to him, and no state moves."""
    state = unchanged(a, "parent1")
    heard = len(spy.heard)
    before = drops(a, "parent1")
    for boot in (1, 2, 3):
        spy.send("edge1", BYE, {1: 1, 2: 0}, src=node_id("parent1"), boot=boot)
        spy.send("edge1", PONG, {1: 77, 2: 1, 6: 1}, src=node_id("parent1"), boot=boot)
        spy.send("edge1", HELLO | 0x40, spy.hello(77) | {7: "parent1"}, src=node_id("parent1"), boot=boot)
    eventually("they came", lambda: sum(drops(a, "parent1").values()) > sum(before.values()))
    assert unchanged(a, "parent1") == state
    assert len(spy.heard) == heard or not [d for d in spy.heard[heard:] if d.kind == 8]


def test_a_whole_earlier_life_played_again(house, a, spy):
    """All that edge2 has said under its first boot, once more after its second has begun: BYE, purges, hints, answers."""
    record = []
    original = spy.throw
    spy.throw = lambda to, data: (record.append((to, data)), original(to, data))
    try:
        spy.send("edge1", PING, {1: 5, 2: 1, 6: 1})
        for kind, body in ((HINT, {1: 1, 2: [[1, b"k" * 16, 5]]}), (QUERY, {1: 5, 2: [[b"q" * 16, 0]], 3: 50, 5: 0}),
                           (INVALIDATE, {1: 1, 2: 1, 3: b"x" * 120}), (BYE, {1: 1, 2: 0})):
            spy.send("edge1", kind, body)
        a.await_peer("edge2", "draining")
    finally:
        spy.throw = original
    spy.reboot()
    spy.send("edge1", HELLO, spy.hello(1))
    a.await_peer("edge2", "up")
    state, heard = unchanged(a), len(spy.heard)
    for _ in range(3):
        for to, data in record:
            spy.throw(to, data)
    spy.send("edge1", PING, {1: 4321, 2: 1, 6: 1})
    eventually("answered", lambda: [d for d in spy.got(PONG, heard) if d.body[1] == 4321])
    assert unchanged(a) == state


def test_answers_are_at_most_three_times_as_long(house, a, spy, plain):
    """Per datagram, for all that has an answer; and to the address in the list, wherever it came from."""
    keys = []
    for i in range(20):
        plain.on(f"{IMMUTABLE}{i}", Reply(body=b"x" * 100, headers=[("Vary", "Accept-Encoding, Accept-Language, X-" + "y" * 60)]))
        assert a.get(plain.url(f"{IMMUTABLE}{i}")).status == 200
        keys.append(key_of(house, plain.url(f"{IMMUTABLE}{i}"))[:16])
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    spy.answers = False
    try:
        for kind, body in [(QUERY, {1: 900 + n, 2: [[k, 2] for k in keys[:n]], 3: 500, 5: 0}) for n in (1, 2, 5, 20)] + [
                (PING, {}), (HELLO, spy.hello(5)), (HELLO, {}), (QUERY, {}), (INVALIDATE, {}), (HINT, {}), (PING, {64: 1})]:
            heard = len(spy.heard)
            data = spy.sealed("edge1", kind, body)
            other.sendto(data, ("127.0.0.1", house.ports["edge1"]))
            marker = spy.send("edge1", PING, {1: spy.seq + 5000, 2: 1, 6: 1})
            assert marker
            number = Datagram(marker, None).body[1]
            eventually("the marker", lambda: [d for d in spy.got(PONG, heard) if d.body.get(1) == number])
            back = sum(len(d.data) for d in spy.heard[heard:] if not (d.kind == PONG and d.body.get(1) == number)
                       and d.kind not in (PING, HELLO))
            assert back <= 3 * len(data), (kind, body, spy.heard[heard:])
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.recv(2000)
    finally:
        spy.answers = True
        other.close()


def test_a_flood_of_garbage_stops_nobody(house, a, spy, plain):
    plain.on("/x", Reply(body=b"x"))
    end = threading.Event()
    sent = [0]
    junk = [noise(n) for n in (1, 51, 52, 200, 1200, 1400)]
    junk += [spy.sealed("edge1", QUERY, {1: 1, 2: [[b"k" * 16, 0]]}, secret=b"\2" * 32) for _ in range(6)]

    def flood():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        while not end.is_set():
            for data in junk:
                s.sendto(data, ("127.0.0.1", house.ports["edge1"]))
            sent[0] += len(junk)
        s.close()
    t = threading.Thread(target=flood, daemon=True)
    t.start()
    try:
        eventually("the flood is on", lambda: sent[0] > 2000)
        for _ in range(30):
            assert a.get(plain.url("/x")).body == b"x"
    finally:
        end.set()
        t.join()
    heard, asked = len(spy.heard), itertools.count(10**6)
    eventually("and then it listens again", lambda: spy.send("edge1", PING, {1: next(asked), 2: 1, 6: 1}) and spy.got(PONG, heard))
    assert a.peer("edge2")["state"] == "up"


def test_too_many_questions_are_not_all_answered(house, a, spy):
    """A member that floods: 10000 keys at once, then 5000 a second."""
    heard = len(spy.heard)
    before = drops(a)
    keys = [[bytes([i]) * 16, 0] for i in range(56)]
    for i in range(300):
        spy.send("edge1", QUERY, {1: 10_000 + i, 2: keys, 3: 60_000, 5: 0})
    eventually(lambda: f"some were refused {drops(a)}", lambda: drops(a)["rate"] > before["rate"] or
               [d for d in spy.heard[heard:] if d.kind == 8 and d.body.get(2) == 4])
    assert a.alive()


# -- certificates

def test_a_new_certificate_by_sighup(make, plain):
    c = make.cluster(2)
    a, b = c.start()
    c.ctl("issue", "edge1", "--renew", "--dir", c.dir)
    first = a.peers()["certificate_not_after"]
    c.ctl("issue", "edge1", "--renew", "--days", "30", "--dir", c.dir)
    a.reload()
    eventually("the new one is in use", lambda: a.peers()["certificate_not_after"] != first)
    plain.on(IMMUTABLE + "x", Reply(body=b"x" * 5000))
    assert a.get(plain.url(IMMUTABLE + "x")).body == b"x" * 5000
    assert b.get(plain.url(IMMUTABLE + "x")).body == b"x" * 5000
    assert b.peer("edge1")["false_hits"]["tls"] == 0


def test_a_wrong_certificate_by_sighup_leaves_the_old_one(make):
    c = make.cluster(2)
    a, b = c.start()
    f = c.files("edge1")
    f.joinpath("node.crt").write_bytes(c.files("edge2").joinpath("node.crt").read_bytes())
    first = a.peers()["certificate_not_after"]
    a.reload()
    a.said("cluster")
    with visit(c, "edge1", "edge2") as v:
        assert v.get("/.pmc/v1/health").status == 204
    assert a.peers()["certificate_not_after"] == first


def expired(c, name):
    """A certificate of the cluster's own CA that ended yesterday."""
    from datetime import datetime, timedelta, timezone

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    ca = x509.load_pem_x509_certificate((c.dir / "cluster-ca.crt").read_bytes())
    ca_key = serialization.load_pem_private_key((c.dir / "cluster-ca.key").read_bytes(), None)
    old = x509.load_pem_x509_certificate((c.files(name) / "node.crt").read_bytes())
    now = datetime.now(timezone.utc)
    b = (x509.CertificateBuilder().subject_name(old.subject).issuer_name(ca.subject).public_key(old.public_key())
         .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=9))
         .not_valid_after(now - timedelta(days=1)))
    for e in old.extensions:
        b = b.add_extension(e.value, e.critical)
    algorithm = None if type(ca_key).__name__.startswith("Ed") or "Ed25519" in type(ca_key).__name__ else hashes.SHA256()
    return b.sign(ca_key, algorithm).public_bytes(serialization.Encoding.PEM)


def test_an_expired_certificate(house, a, tmp_path):
    """A node does not start with it, and does not come in with it."""
    pem = tmp_path / "node.crt"
    pem.write_bytes(expired(house, "edge2"))
    assert refused(lambda: visit(house, "edge1", "edge2", cert=(pem, house.files("edge2") / "node.key")))
    a.said("certificate.*expired|expired")


def test_a_node_with_an_expired_certificate_does_not_start(make):
    c = make.cluster(1)
    c.files("edge1").joinpath("node.crt").write_bytes(expired(c, "edge1"))
    e = c.node("edge1", start=False)
    with pytest.raises(EdgeFailed, match="expired"):
        e.start()


# -- keys

def test_keys_change_without_a_gap(make):
    """Add, switch, remove, each on one node after the other, while objects travel."""
    c = make.cluster(3)
    nodes = c.start()
    o = make.origin(tls=False, name="plain.test")
    lost = [0]
    n = [0]

    def travel():
        """An object of each is had by the next one."""
        for i, e in enumerate(nodes):
            n[0] += 1
            path = f"{IMMUTABLE}{n[0]}"
            o.on(path, Reply(body=path.encode()))
            late = c.timeouts()
            assert e.get(o.url(path)).body == path.encode()
            assert nodes[(i + 1) % 3].get(o.url(path)).body == path.encode()
            if o.count(path) != 1:
                assert sum(c.timeouts().values()) > sum(late.values()), "lost, and not by being late"
                lost[0] += 1
    travel()

    def on_all(change):
        for e in nodes:
            change(e)
            e.write_config()
            e.reload()
            e.reloads += 1
            eventually("it was read again", lambda: e.stderr_text.count("read again") == e.reloads)
            travel()
    for e in nodes:
        e.reloads = 0
    c.ctl("rotate-key", "--dir", c.dir)

    def keys(e, ids, active):
        f = c.files(e.name)
        e.overrides = {"cluster": {"peer_keys": {i: f"file:{f / f'peer-{i}.key'}" for i in ids}, "active_key": active}}
        if "1" not in ids:
            e.drop = ("cluster.peer_keys.1",)
    on_all(lambda e: keys(e, ["1", "2"], 1))
    c.ctl("rotate-key", "--step", "switch", "--dir", c.dir)
    on_all(lambda e: keys(e, ["1", "2"], 2))
    c.ctl("rotate-key", "--step", "remove", "--dir", c.dir)
    on_all(lambda e: keys(e, ["2"], 2))
    for e in nodes:
        for p in e.peers()["peers"]:
            assert p["dropped"]["auth"] == 0 and p["state"] == "up"
    assert lost[0] <= 3
