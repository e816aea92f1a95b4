"""Figures, against what the origin, the logs and the other side saw.

run-tests: not for threads
"""

import json
import re
import subprocess

import pytest

from lab import Reply, blob, eventually
from lab.cluster import IMMUTABLE, together


@pytest.fixture(scope="module")
def house(shared):
    """Three edges and a parent; this file's tests are all of their traffic."""
    c = shared.cluster(3, 1)
    c.start()
    return c


def at_rest(nodes):
    """Nobody fetches or reads any more."""
    eventually("all is done", lambda: not any(p["streams_in"] or p["streams_out"] for e in nodes for p in e.peers()["peers"]))


def test_both_sides_count_the_same(house, make):
    p, *edges = house.mend()
    o = make.origin(tls=False, name="plain.test")
    n, size = 24, 50_000
    for i in range(n):
        o.on(f"{IMMUTABLE}{i}", Reply(body=blob(size, i)))
    together(3, lambda k: [edges[k].get(o.url(f"{IMMUTABLE}{(i + 8 * k) % n}")) for i in range(n)])
    at_rest(edges)
    assert o.count() == n, "the parent fetched each once"
    for a in edges:
        for b in edges:
            if a is b:
                continue
            mine, its = a.peer(b.name), b.peer(a.name)
            asked = mine["asked"]
            late = its["dropped"]["expired"]  # came when nobody waited for it any more; one key each
            assert asked["keys"] == its["answered"]["keys"] + late, (mine, its)
            assert sum(its["dropped"].values()) == late
            words = ("hit", "miss", "pending", "nofetch", "denied", "stale", "busy", "vary", "located", "grant", "intended")
            assert asked["keys"] == sum(asked[w] for w in words) + asked["timeouts"]
            assert asked["late"] <= asked["timeouts"]
            assert its["answered"]["keys"] == sum(its["answered"][w] for w in words)
            assert mine["bytes_in"] == its["bytes_out"] == mine["fetched"] * size
            assert mine["fetches"] == mine["fetched"] + mine["cancelled"] + sum(mine["false_hits"].values())
            assert its["served"] == mine["fetches"]
    for a in edges:
        lines = a.log(f":{o.port}{IMMUTABLE}", n)
        siblings = [x for x in lines if x.hier == "SIBLING_HIT"]
        assert len(siblings) == sum(q["fetched"] for q in a.peers()["peers"])
        for q in a.peers()["peers"]:
            if q["role"] == "edge":
                assert len([x for x in siblings if x.peer == q["name"]]) == q["fetched"]
        through = a.parent("parent1")
        assert through["requests"] >= len([x for x in lines if x.hier in ("FIRSTUP_PARENT", "PARENT_HIT")])
        assert through["hits"] + through["joins"] == len([x for x in lines if x.hier == "PARENT_HIT"])


def test_every_request_has_one_source(house, make):
    p, *edges = house.mend()
    o = make.origin(tls=False, name="plain.test")
    for i in range(5):
        o.on(f"{IMMUTABLE}{i}", Reply(body=b"x" * 100))
    o.on("/pass", Reply(body=b"x", headers=[("Cache-Control", "no-store")]))
    before = [sources(e) for e in edges]
    for e in edges:
        for i in range(5):
            for _ in range(2):
                assert e.get(o.url(f"{IMMUTABLE}{i}")).status == 200
        e.get(o.url("/pass"))
        e.get("http://no-such-host.test/")
    for e, b in zip(edges, before):
        eventually(lambda: f"12 sources more: {b} {sources(e)}", lambda: sum(sources(e).values()) - sum(b.values()) == 12)


def sources(e):
    counters = e.stats()["counters"]
    names = ("hits_memory_total", "hits_joined_total", "hits_revalidated_total", "hits_stale_total", "hits_sibling_total",
             "streams_sibling_total", "hits_parent_total", "joins_parent_total", "misses_parent_total", "misses_total",
             "bypasses_total", "errors_total", "denied_total")
    return {n: counters[n] for n in names if n in counters}


def test_a_miss_is_audited(house, make):
    """The first that a parent serves, and each thousandth after it."""
    _, a, *_ = house.mend()
    o = make.origin(tls=False, name="plain.test")
    o.on(IMMUTABLE + "x", Reply(body=b"x" * 100))
    assert a.get(o.url(IMMUTABLE + "x")).status == 200
    eventually("it is audited", lambda: a.peers()["audits"]["asked"] == 1)
    assert a.stats()["counters"]["lookup_audits_total"] == 1
    assert a.stats()["counters"]["lookup_audits_found_total"] == a.peers()["audits"]["found"]
    assert f"{a.peers()['audits']['found']} of 1 audited misses were false" in a.ctl("peers").stdout


def test_pmcachectl_peers(house):
    _, a, *_ = house.mend()
    said = json.loads(a.ctl("peers", "--json").stdout)
    page = a.peers()
    assert said["node"] == "edge1" and [p["name"] for p in said["peers"]] == [p["name"] for p in page["peers"]]
    table = a.ctl("peers").stdout
    for n in ("edge2", "edge3", "parent1"):
        assert n in table


def test_pmcachectl_peers_matrix(house):
    _, a, *_ = house.mend()
    matrix = json.loads(a.ctl("peers", "--matrix", "--json").stdout)
    rows = matrix if isinstance(matrix, list) else matrix["nodes"]
    assert {r["node"] for r in rows} == {"edge1", "edge2", "edge3", "parent1"}
    house["edge3"].stop()
    rows = json.loads(a.ctl("peers", "--matrix", "--json").stdout)
    rows = rows if isinstance(rows, list) else rows["nodes"]
    assert "error" in next(r for r in rows if r["node"] == "edge3")


def test_pmcachectl_explain(house, make):
    p, a, b, _ = house.mend()
    o = make.origin(tls=False, name="plain.test")
    o.on(IMMUTABLE + "x", Reply(body=b"x" * 1000))
    url = o.url(IMMUTABLE + "x")
    assert b.get(url).status == 200
    before = a.parent("parent1")
    said = a.ctl("explain", url).stdout
    assert "edge2" in said and "parent1" in said, said
    assert o.count() == 1, "to explain is not to fetch"
    assert a.parent("parent1") == before, "nor to ask the parent"
    assert a.get(url).status == 200
    assert "hit" in a.ctl("explain", url).stdout.lower()


def test_what_siblings_ask_is_in_the_access_log(make, have):
    """A line per key that was answered, as many of each kind as both sides count; analysers read the file."""
    a, b = make.cluster(2).start()
    o = make.origin(tls=False, name="plain.test")
    for i in range(6):
        o.on(f"{IMMUTABLE}{i}", Reply(body=b"x" * 100))
    for i in range(6):
        assert b.get(o.url(f"{IMMUTABLE}{i}")).status == 200
    for i in range(3):
        assert a.get(o.url(f"{IMMUTABLE}{i}")).status == 200
    at_rest((a, b))
    for e, asker in ((a, b), (b, a)):
        its, mine = e.peer(asker.name)["answered"], asker.peer(e.name)["asked"]
        lines = eventually("all lines", lambda e=e, n=its["keys"]: (lambda v: v if len(v) == n else None)(e.asked_log()))
        assert sum(x.result == "UDP_HIT" for x in lines) == its["hit"] + its["pending"] >= mine["hit"] + mine["pending"]
        assert sum(x.result == "UDP_MISS" for x in lines) == its["miss"] + its["intended"]
        assert all(x.status == 0 and x.method == "ICP_QUERY" and x.hier == "HIER_NONE" and 60 < x.bytes < 200 for x in lines)
        assert all(x.client == asker.host and x.url.startswith("key:") == (x.result == "UDP_MISS") for x in lines)
    asked = b.asked_log()
    hits = [x.url for x in asked if x.result == "UDP_HIT"]
    assert hits and set(hits) <= {o.url(f"{IMMUTABLE}{i}") for i in range(3)}, "all of them, but for late questions"
    have("calamaris")
    done = subprocess.run(["calamaris", "-a"], input=b.access_log.read_text(), capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and re.search(r"invalid lines:\s+lines\s+0\b", done.stdout), done.stdout[:2000]
    assert re.search(rf"UDP_HIT\s+{len(hits)}\b", done.stdout), done.stdout
    have("goaccess")
    report = b.folder / "report.json"
    for method, failed in (("%m", len(asked)), ("%^", 0)):
        done = subprocess.run(["goaccess", str(b.access_log), "--no-global-config", "--no-strict-status", "--datetime-format=%s",
                               "--date-format=%s", "--time-format=%s", "-o", str(report),
                               f"--log-format=%x.%^ %~%L %h %^/%s %b {method} %U %^"],
                              capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        general = json.loads(report.read_text())["general"]
        assert (general["failed_requests"], general["valid_requests"]) == (failed, 6 + len(asked) - failed), general
