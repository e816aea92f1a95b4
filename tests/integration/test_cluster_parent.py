"""Edges behind parents: what comes through them, what they collapse, and what happens when they die."""

import signal
import time

import pytest

from lab import DEADLINE, Reply, blob, eventually
from lab.cluster import IMMUTABLE, together
from lab.peer import visit
from lab.wire import TlsWire, client_context

FRESH = [("Cache-Control", "max-age=600")]
NO_STORE = ("Cache-Control", "no-store")


@pytest.fixture(scope="module")
def family(shared):
    """One parent, two edges."""
    c = shared.cluster(2, 1)
    c.start()
    return c


@pytest.fixture
def nodes(family):
    return family.mend()


@pytest.fixture(scope="module")
def two(shared):
    """Two parents, one edge."""
    c = shared.cluster(1, 2)
    c.start()
    return c


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "bumped"])
def test_miss_then_hit(nodes, make, tls):
    p, a, b = nodes
    o = make.origin(tls=tls, name="origin.test" if tls else "plain.test")
    o.on("/simple/left-pad/", Reply(body=b"index", headers=FRESH))
    url = o.url("/simple/left-pad/")
    assert a.get(url).body == b"index"
    line = a.log(url)[0]
    assert (line.result, line.hier, line.peer) == ("TCP_MISS", "FIRSTUP_PARENT", "parent1")
    assert b.get(url).body == b"index"
    line = b.log(url)[0]
    assert (line.result, line.hier, line.peer) == ("TCP_MISS", "PARENT_HIT", "parent1")
    assert b.get(url).x_cache == "HIT"
    assert o.count() == 1
    assert not [n for n, _ in o.last().headers if n.lower().startswith(("pmc-", "via", "x-forwarded"))]
    r = a.get(o.url("/other"))
    assert not [n for n, _ in r.headers if n.lower().startswith("pmc-")]


def test_two_edges_at_once_are_one_request(nodes, make):
    _, a, b = nodes
    o = make.origin()
    gate = o.gate()
    body = blob(2_000_000, "collapse")
    o.on("/simple/big/", Reply(body=[body[:1_000_000], gate, body[1_000_000:]], length=len(body), headers=FRESH))
    clients = []
    for e in (a, b):
        c, target = e.session(o.url("/simple/big/"))
        c.request("GET", target)
        clients.append(c)
    for c in clients:
        c.head()
        assert c.read(900_000) == body[:900_000]
    gate.open()
    for c in clients:
        assert c.read(1_100_000) == body[900_000:]
        c.close()
    assert o.count() == 1
    assert {a.log(o.url("/simple/big/"))[0].hier, b.log(o.url("/simple/big/"))[0].hier} == {"FIRSTUP_PARENT", "PARENT_HIT"}


def test_a_herd_of_both_makes_one_request(nodes, make):
    _, a, b = nodes
    o = make.origin()
    body = blob(1_000_000, "herd")
    o.on(IMMUTABLE + "x", Reply(body=body))
    got = together(20, lambda i: (a, b)[i % 2].get(o.url(IMMUTABLE + "x")).body)
    assert all(g == body for g in got)
    assert o.count() == 1


def test_a_post_goes_through_with_its_body(nodes, make):
    p, a, _ = nodes
    o = make.origin()
    body = blob(700_000, "post")
    o.on("/upload", lambda req: Reply(201, body=b"%d" % len(req.body)) if req.body == body else Reply(400))
    r = a.ask("POST", o.url("/upload"), body=body)
    assert (r.status, r.body) == (201, b"700000")
    assert a.log("/upload")[0].hier == "FIRSTUP_PARENT"
    with a.bumped(o) as c:
        c.request("POST", "/upload", [("Transfer-Encoding", "chunked")])
        for i in range(0, len(body), 100_000):
            part = body[i:i + 100_000]
            c.send(b"%x\r\n" % len(part) + part + b"\r\n")
        c.send(b"0\r\n\r\n")
        assert c.response("POST").status == 201
    assert o.count("/upload") == 2


def test_expect_continue(nodes, make):
    _, a, _ = nodes
    o = make.origin()
    o.on("/put", lambda req: Reply(200, body=req.body))
    with a.bumped(o) as c:
        c.request("PUT", "/put", [("Expect", "100-continue"), ("Content-Length", "5")])
        assert c.response("PUT", stop_at_interim=True).status == 100
        c.send(b"hello")
        assert c.response("PUT").body == b"hello"


@pytest.mark.parametrize("status", [401, 403, 404, 410, 429, 500, 502, 503, 504])
def test_what_the_origin_says_is_passed_on_and_is_not_the_parent_s_fault(nodes, make, status):
    p, a, _ = nodes
    o = make.origin()
    o.on("/x", Reply(status, body=b"because", headers=[("X-Why", "because"), ("WWW-Authenticate", "Basic")]))
    before = a.parent("parent1")
    r = a.get(o.url("/x"))
    assert (r.status, r.body, r.headers.get("X-Why")) == (status, b"because", "because")
    after = a.parent("parent1")
    assert after["failures"] == before["failures"] and after["state"] == "up"


def test_redirects_and_204_and_304(nodes, make):
    _, a, _ = nodes
    o = make.origin()
    o.on("/r", Reply(302, [("Location", "/y")], b"over there"))
    o.on("/n", Reply(204))
    o.on("/c", lambda req: Reply(304, [("ETag", '"1"')]) if req.headers.get("If-None-Match") == '"1"' else Reply(body=b"x", headers=[("ETag", '"1"')]))
    assert a.get(o.url("/r")).headers.get("Location") == "/y"
    assert a.get(o.url("/n")).status == 204
    assert a.get(o.url("/c"), [("If-None-Match", '"1"')]).status == 304


def test_head(nodes, make):
    _, a, b = nodes
    o = make.origin()
    o.on("/simple/h/", Reply(body=b"12345", headers=FRESH))
    r = a.ask("HEAD", o.url("/simple/h/"))
    assert (r.status, r.headers.get("Content-Length"), r.body) == (200, "5", b"")
    assert b.get(o.url("/simple/h/")).body == b"12345"


def test_ranges(nodes, make):
    _, a, b = nodes
    o = make.origin()
    body = blob(300_000, "ranges")
    o.on(IMMUTABLE + "x", Reply(body=body))
    r = a.get(o.url(IMMUTABLE + "x"), [("Range", "bytes=100-199")])
    assert (r.status, r.body) in ((206, body[100:200]), (200, body))
    assert a.get(o.url(IMMUTABLE + "x")).body == body
    r = b.get(o.url(IMMUTABLE + "x"), [("Range", "bytes=100-199")])
    assert (r.status, r.body) == (206, body[100:200])


def test_credentials_pass_and_are_kept_apart(nodes, make):
    _, a, b = nodes
    o = make.origin()
    o.on("/private", lambda req: Reply(body=(req.headers.get("Authorization") or "nobody").encode(),
                                       headers=[("Cache-Control", "private, max-age=60")]))
    for e in (a, b):
        for who in ("Bearer x", "Bearer y"):
            assert e.get(o.url("/private"), [("Authorization", who)]).body == who.encode()
    assert a.get(o.url("/private")).body == b"nobody"


def test_websocket(nodes, make):
    _, a, _ = nodes
    o = make.origin()

    def talk(conn, req):
        conn.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        conn.send(b"hi")
        while data := conn.recv():
            conn.send(data.upper())
    o.raw("/ws", talk)
    with a.bumped(o) as c:
        c.request("GET", "/ws", [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")])
        r = c.response()
        assert r.status == 101 and r.headers.get("Upgrade") == "websocket"
        assert c.read(2) == b"hi"
        c.send(b"abc")
        assert c.read(3) == b"ABC"


def test_a_large_body_in_each_framing(nodes, make):
    _, a, b = nodes
    o = make.origin()
    body = blob(20_000_000, "large")
    for framing in ("length", "chunked", "close"):
        o.on("/" + framing, Reply(body=body, framing=framing))
        assert a.get(o.url("/" + framing)).body == body
    o.on("/trailers", Reply(body=body[:100_000], framing="chunked", trailers=[("X-End", "1")]))
    assert b.get(o.url("/trailers")).body == body[:100_000]


def test_a_body_that_the_origin_cuts_is_cut_and_not_the_parent_s_fault(nodes, make):
    _, a, _ = nodes
    o = make.origin(tls=False, name="plain.test")
    o.raw("/cut", lambda conn, req: conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50_000))
    before = a.parent("parent1")["failures"]
    for _ in range(20):
        r = a.get(o.url("/cut"))
        assert (r.cut and len(r.body) <= 50_000) or r.headers.get("X-Pmcache-Error") in (
            "upstream-cut", "upstream-reset"), r
    after = a.parent("parent1")
    assert (after["state"], after["failures"]) == ("up", before)


@pytest.mark.parametrize("kind", ["dns", "refused", "certificate"])
def test_what_the_parent_meets_at_the_origin_is_told(nodes, make, certs, kind):
    p, a, _ = nodes
    if kind == "dns":
        url = "http://no-such-host.test/x"
    elif kind == "refused":
        o = make.origin(tls=False, name="plain.test")
        url = o.url("/x")
        o.shutdown()
    else:
        o = make.origin(pair=certs.kind("expired"))
        url = o.url("/x")
    before = a.parent("parent1")["failures"]
    for _ in range(4):
        r = a.get(url)
        assert r.status in (502, 504)
    words = {"dns": "dns-no-name", "refused": "connect-refused", "certificate": "cert-expired"}
    assert r.headers.get("X-Pmcache-Error") == words[kind], r
    after = a.parent("parent1")
    assert after["state"] == "up" and after["failures"] == before


def test_hops_are_checked(nodes, make):
    p, a, _ = nodes
    o = make.origin()
    o.on("/x", Reply(body=b"x"))
    for hops, status in (("lab 1 edge1", 200), ("lab 2 edge1 parent1", 508), ("lab 4 a b c d", 508), ("other 1 edge1", 508),
                         ("nonsense", 508), ("lab 1 edge1 parent1 edge2", 508)):
        with visit(p.cluster, "parent1", "edge1", alpn="pmc-proxy/1") as c:
            r = c.get(o.url("/x"), [("Pmc-Hop", hops)])
            assert r.status == status, (hops, r)
            if status == 508:
                assert r.headers.get("Pmc-Error") == "loop"


def test_only_what_is_there(nodes, make):
    """Pmc-Only: a hedge may find, but not fetch."""
    p, a, _ = nodes
    o = make.origin()
    o.on("/simple/x/", Reply(body=b"x", headers=FRESH))
    with visit(p.cluster, "parent1", "edge1", alpn="pmc-proxy/1") as c:
        r = c.get(o.url("/simple/x/"), [("Pmc-Hop", "lab 1 edge1"), ("Pmc-Only", "1")])
        assert r.status == 504 and o.count() == 0
        assert a.get(o.url("/simple/x/")).body == b"x"
        r = c.get(o.url("/simple/x/"), [("Pmc-Hop", "lab 1 edge1"), ("Pmc-Only", "1")])
        assert (r.status, r.body, r.headers.get("Pmc-Status")) == (200, b"x", "HIT")


def test_parents_that_name_each_other_do_not_go_round(make, plain):
    """Each is above the other, by their files."""
    c = make.cluster(1, 2)
    above = {"parent1": "parent2", "parent2": "parent1"}
    for n in c.parents:
        c.node(n, {"cluster": {"parents": c.members([above[n]])}})
    e = c.node("edge1")
    plain.on("/x", Reply(body=b"x"))
    r = e.get(plain.url("/x"))
    assert (r.status, r.body) == (200, b"x") or r.status in (502, 504, 508)
    assert plain.count() <= 2


def test_a_parent_above_a_parent(make, plain):
    """A site's parent asks the head office's."""
    c = make.cluster(1, 2)
    c.node("parent2", {"cluster": {"parents": []}})
    c.node("parent1", {"cluster": {"parents": c.members(["parent2"])}})
    e = c.node("edge1", {"cluster": {"parents": c.members(["parent1"])}})
    plain.on("/simple/x/", Reply(body=b"x", headers=FRESH))
    assert e.get(plain.url("/simple/x/")).body == b"x"
    assert plain.count() == 1
    assert c["parent1"].parent("parent2")["requests"] == 1
    assert c["parent2"].get(plain.url("/simple/x/")).x_cache == "HIT"


@pytest.mark.parametrize("how", ["direct", "stale", "fail"])
def test_the_only_parent_dies(make, plain, how):
    c = make.cluster(1, 1, conf={"cluster": {"on_parent_failure": how}})
    p, e = c.start()
    plain.on("/simple/old/", Reply(body=b"old", headers=[("Cache-Control", "max-age=1"), ("ETag", '"1"')]))
    plain.on("/simple/new/", Reply(body=b"new", headers=FRESH))
    assert e.get(plain.url("/simple/old/")).body == b"old"
    p.kill()
    r = e.get(plain.url("/simple/new/"))
    if how == "direct":
        assert (r.status, r.body) == (200, b"new")
        assert e.log("/new/")[0].hier == "HIER_DIRECT"
    else:
        assert r.status == 504
        assert plain.count("/simple/new/") == 0
        assert r.headers.get("X-Pmcache-Error") == "parent-down", r
    late = eventually("it is stale", lambda: (lambda r: r if "REFRESH" in e.log("/old/")[-1].result or r.status != 200 else None)(
        e.get(plain.url("/simple/old/"))))
    assert (late.status, late.body) == (200, b"old"), "also with `fail`: cache.stale_if_error allows it"


def test_a_parent_that_comes_back_is_asked_again(make, plain):
    p, e = make.cluster(1, 1, conf={"cluster": {"on_parent_failure": "fail"}}).start()
    plain.on("/x", Reply(body=b"x"))
    p.kill()
    assert e.get(plain.url("/x")).status == 504
    p.start()
    eventually("it is asked again", lambda: e.get(plain.url("/x")).status == 200)


def test_keys_are_spread_and_meet(two, make):
    p1, p2, e = two.mend()
    o = make.origin()
    before = [(e.parent(n)["requests"], e.parent(n)["hedged"]) for n in two.parents]
    for i in range(40):
        o.on(f"/simple/{i}/", Reply(body=b"%d" % i, headers=[("Cache-Control", "no-store")]))
        for _ in range(2):
            assert e.get(o.url(f"/simple/{i}/")).body == b"%d" % i
    got = [e.parent(n)["requests"] - b for n, (b, _) in zip(two.parents, before)]
    hedged = sum(e.parent(n)["hedged"] - h for n, (_, h) in zip(two.parents, before))  # on a slow machine
    assert sum(got) == 80 + hedged and min(got) >= 16
    lines = {}
    for line in e.log(f":{o.port}/simple/", 80):
        lines.setdefault(line.url, set()).add(line.peer)
    assert all(len(peers) == 1 for peers in lines.values()), "one URL, one parent"


@pytest.mark.parametrize("fields", [[("ETag", '"1"')], [("ETag", '"1"'), NO_STORE], [NO_STORE]], ids=["stored", "passing", "no validator"])
@pytest.mark.parametrize("cookie", [[], [("Cookie", "a=b")]], ids=["nobody", "cookie"])
def test_a_parent_dies_in_the_middle_of_a_body(two, make, fields, cookie):
    p1, p2, e = two.mend()
    o = make.origin()
    body, gate = blob(4_000_000, "middle"), o.gate()
    o.on(IMMUTABLE + "x", lambda req: Reply(body=[body[:2_000_000], gate, body[2_000_000:]], length=len(body),
                                            headers=fields) if o.count() == 1
         else Reply(body=body, headers=fields))
    c, target = e.session(o.url(IMMUTABLE + "x"))
    c.request("GET", target, cookie)
    c.head()
    first = c.read(1_900_000)
    eventually("one of them is at it", lambda: any(e.parent(n)["in_hand"] for n in two.parents))
    busy = next(n for n in two.parents if e.parent(n)["in_hand"])
    two[busy].kill()
    got = first + c.read(len(body) - len(first))
    c.close()
    gate.open()
    assert got == body
    assert e.log(o.url(IMMUTABLE + "x"))[0].status == 200


def test_a_parent_that_stands_still_is_not_waited_for_for_ever(make, plain):
    c = make.cluster(1, 2, conf={"upstream": {"first_byte_timeout": "1s"}})
    p1, p2, e = c.start()
    plain.on("/simple/x/", Reply(body=b"x", headers=FRESH))
    for p in (p1, p2):
        p.signal(signal.SIGSTOP)
    try:
        assert e.get(plain.url("/simple/x/")).body == b"x"
    finally:
        for p in (p1, p2):
            p.signal(signal.SIGCONT)


def test_what_is_not_opened_goes_through_the_parent_too(nodes, make):
    """CONNECT of the plain proxy (cluster.tunnels)."""
    p, a, _ = nodes
    o = make.origin()
    o.on("/x", Reply(body=b"x"))
    c = a.tunnel(o.authority, door="proxy")
    c.wire = TlsWire(c.wire, client_context(a.certs.root_file), o.name)
    c.authority = o.authority
    with c:
        assert c.get("/x").body == b"x"
    assert p.log(o.authority), "the parent has seen it"


def ask_for_home(cluster, at, url, home, hops="lab 1 edge1", only=False):
    """As an edge does that has found `home` full."""
    with visit(cluster, at, "edge1", alpn="pmc-proxy/1") as c:
        return c.get(url, [("Pmc-Hop", hops), ("Pmc-Home", home)] + ([("Pmc-Only", "1")] if only else []))


def fellow(node, name):
    return next(p for p in node.peers()["fellows"] if p["name"] == name)


def test_what_its_home_has_is_taken_from_there(two, make):
    p1, p2, e = two.mend()
    o = make.origin()
    o.on("/simple/x/", Reply(body=b"x", headers=FRESH))
    with visit(two, "parent1", "edge1", alpn="pmc-proxy/1") as c:
        assert c.get(o.url("/simple/x/"), [("Pmc-Hop", "lab 1 edge1")]).body == b"x"
    before = fellow(p2, "parent1")
    r = ask_for_home(two, "parent2", o.url("/simple/x/"), "parent1")
    assert (r.status, r.body, r.headers.get("Pmc-Status")) == (200, b"x", "MISS")
    after = fellow(p2, "parent1")
    assert (after["requests"] - before["requests"], after["hits"] - before["hits"]) == (1, 1)
    assert p2.log(o.url("/simple/x/"))[0].hier == "PARENT_HIT"
    assert ask_for_home(two, "parent2", o.url("/simple/x/"), "parent1").headers.get("Pmc-Status") == "HIT"
    assert o.count() == 1 and fellow(p2, "parent1")["requests"] == after["requests"]
    table = p2.ctl("peers").stdout
    assert "\nFELLOW " in table, table
    assert f'pmcache_fellow_requests_total{{fellow="parent1"}} {after["requests"]}\n' in p2.page("/metrics").body.decode()


@pytest.mark.parametrize("home", ["parent1", "parent2", "parent9", "edge1"])
def test_what_its_home_has_not_is_fetched(two, make, home):
    p1, p2, e = two.mend()
    o = make.origin()
    o.on("/simple/x/", Reply(body=b"x", headers=FRESH))
    before = fellow(p2, "parent1")
    r = ask_for_home(two, "parent2", o.url("/simple/x/"), home)
    assert (r.status, r.body) == (200, b"x")
    assert o.count() == 1
    after = fellow(p2, "parent1")
    assert after["requests"] - before["requests"] == (home == "parent1")
    assert (after["failures"], after["state"]) == (before["failures"], "up"), "to have it not is no failure"


def test_edges_that_find_a_parent_full_do_not_break_the_single_fetch(make, plain):
    """edge2 has so many requests with parent1 that the next one goes to parent2, while parent1 is still fetching it for edge1."""
    c = make.cluster(2, 2)
    p1, p2, a, b = c.start()
    gates, clients = {}, []

    def begin(edge, path):
        """Asks; its end waits for the gate. By whom it goes: the one that has one more in hand now."""
        if path not in gates:
            gates[path] = plain.gate()
            plain.on(path, Reply(body=[b"begin", gates[path], b"end"], length=8, headers=FRESH))
        before = edge.parent("parent1")["requests"], edge.parent("parent2")["requests"]
        client, target = edge.session(plain.url(path))
        client.request("GET", target)
        clients.append(client)

        def asked():
            now = edge.parent("parent1")["requests"], edge.parent("parent2")["requests"]
            return None if now == before else "parent1" if now[0] > before[0] else "parent2"
        return eventually("a parent is asked", asked)

    def of_parent1(edge, path):
        if begin(edge, path) == "parent1":
            return True
        gates[path].open()
        return False

    hot = next(p for p in (f"/simple/hot{i}/" for i in range(50)) if of_parent1(a, p))
    for i in range(200):
        of_parent1(b, f"/simple/{i}/")
        eventually("parent2 has nothing to do", lambda: b.parent("parent2")["in_hand"] == 0)
        if b.parent("parent1")["in_hand"] == 16:
            break
    assert begin(b, hot) == "parent2"
    eventually("parent2 asks parent1", lambda: fellow(p2, "parent1")["requests"] == 1)
    for g in gates.values():
        g.open()
    for client in clients:
        assert client.response("GET").body == b"beginend"
        client.close()
    eventually(lambda: fellow(p2, "parent1"), lambda: fellow(p2, "parent1")["joins"] + fellow(p2, "parent1")["hits"] == 1)
    assert plain.count(hot) == 1
    assert b.log(hot)[0].peer == "parent2"


def test_parents_that_take_each_other_for_home_do_not_wait_for_each_other(two, make):
    p1, p2, e = two.mend()
    o = make.origin()
    for i in range(10):
        path = f"/simple/cross/{i}/"
        o.on(path, Reply(body=b"x", headers=FRESH))
        got = together(2, lambda n: ask_for_home(two, ("parent1", "parent2")[n], o.url(path), ("parent2", "parent1")[n]))
        assert [r.body for r in got] == [b"x", b"x"]
        assert o.count(path) <= 2


def test_a_chain_of_homes_ends(two, make):
    """Who is asked only for what it has asks nobody, whatever else the request says."""
    p1, p2, e = two.mend()
    o = make.origin()
    o.on("/simple/x/", Reply(body=b"x", headers=FRESH))
    before = fellow(p2, "parent1")["requests"]
    r = ask_for_home(two, "parent2", o.url("/simple/x/"), "parent1", only=True)
    assert r.status == 504 and o.count() == 0
    assert fellow(p2, "parent1")["requests"] == before
    assert ask_for_home(two, "parent2", o.url("/simple/x/"), "parent1", hops="lab 2 edge1 parent1").body == b"x", \
        "it has come from there: the home refuses it (508), which costs nothing more"
    assert ask_for_home(two, "parent2", o.url("/simple/x/"), "parent1", hops="lab 2 edge1 parent2").status == 508


@pytest.mark.parametrize("how", ["dead", "still"])
def test_a_home_that_does_not_answer_costs_little(two, make, how):
    p1, p2, e = two.mend()
    o = make.origin()
    o.on("/simple/warm/", Reply(body=b"x", headers=FRESH))
    assert ask_for_home(two, "parent2", o.url("/simple/warm/"), "parent1").body == b"x"  # a link is open
    before = fellow(p2, "parent1")["requests"]
    p1.kill() if how == "dead" else p1.signal(signal.SIGSTOP)
    try:
        for i in range(8):
            o.on(f"/simple/{i}/", Reply(body=b"x", headers=FRESH))
            began = time.monotonic()
            assert ask_for_home(two, "parent2", o.url(f"/simple/{i}/"), "parent1").body == b"x"
            assert time.monotonic() - began < DEADLINE / 2
        assert fellow(p2, "parent1")["requests"] - before <= 7, "after some failures it is not asked any more"
    finally:
        if how == "still":
            p1.signal(signal.SIGCONT)
