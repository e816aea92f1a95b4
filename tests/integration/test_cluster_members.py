"""Who is in: told by parents, kept over a restart, by DNS; nodes come and go without a change in the others' files.

run-tests: not for threads
"""

import pytest

from lab import Reply, eventually
from lab.cluster import IMMUTABLE
from lab.peer import visit
from lab.srv import SrvServer


def names(e):
    return {p["name"]: p["state"] for p in e.peers()["peers"]}


def test_nodes_that_know_only_their_parent_find_each_other(make, plain):
    c = make.cluster(2, 1, conf={"cluster": {"siblings": []}})
    p, a = c.node("parent1"), c.node("edge1")
    eventually(lambda: f"the parent knows who has come: {names(p)}", lambda: names(p).get("edge1") == "up")
    b = c.node("edge2")
    for e, other in ((b, "edge1"), (a, "edge2")):
        eventually(lambda: f"{e.name} knows {other}: {names(e)}", lambda: names(e).get(other) == "up")
    eventually("all have the same list", lambda: len({e.peers()["members_hash"] for e in (p, a, b)}) == 1)
    plain.on(IMMUTABLE + "x", Reply(body=b"x" * 1000))
    for e in (a, b):
        assert e.get(plain.url(IMMUTABLE + "x")).body == b"x" * 1000
    assert plain.count() == 1
    p.ctl("purge", "--cluster", plain.url(IMMUTABLE + "x"))
    eventually("a purge comes to them", lambda: a.peers()["purge_serial"] == b.peers()["purge_serial"] != 0)

    # Away with the parent: who starts then still finds its siblings.
    b.stop()
    p.stop()
    b.start()
    eventually(lambda: f"edge2 knows edge1 again: {names(b)}", lambda: names(b).get("edge1") == "up")


def test_the_list_as_parents_give_it(make):
    c = make.cluster(1, 1)
    p, e = c.start()
    with visit(c, "parent1", "edge1") as v:
        r = v.get("/.pmc/v1/members")
    first, *lines = r.text.splitlines()
    assert first.startswith("# pmcache members 1 ") and len(first.split()[4]) == 16
    assert f"edge1 edge {c.address('edge1')}" in lines
    assert lines == sorted(lines)
    with visit(c, "edge1", "parent1") as v:
        assert v.get("/.pmc/v1/members").status == 404, "edges keep none"


def test_nobody_puts_another_on_the_list(make):
    """Who comes is put there under the name of its certificate, with the address that it comes from."""
    c = make.cluster(2, 1, conf={"cluster": {"siblings": []}})
    p = c.node("parent1")
    with visit(c, "parent1", "edge2") as v:
        r = v.get("/.pmc/v1/members", [("Pmc-Address", "192.0.2.66:9"), ("Pmc-Node", "evil")])
        assert "edge2 edge 127.0.0.1:9" in r.text and "evil" not in r.text
    eventually("the parent knows it", lambda: "edge2" in names(p))
    assert next(x["address"] for x in p.peers()["peers"] if x["name"] == "edge2").startswith("127.0.0.1:")


def test_by_dns(make, plain, tmp_path):
    c = make.cluster(2, conf={"cluster": {"siblings": [], "discover": "_pmcache._tcp.cluster.test"}})
    dns = SrvServer(tmp_path, {"_pmcache._tcp.cluster.test": [(f"{n}.cluster.test", c.ports[n]) for n in c.names]})
    make.origins.append(dns)
    dns.errors = []
    c.wraps = {n: dns.wrap for n in c.names}
    a, b = c.node("edge1"), c.node("edge2")
    for e, other in ((a, "edge2"), (b, "edge1")):
        eventually(lambda: f"{e.name} knows {other}: {names(e)} {dns.asked}", lambda: names(e).get(other) == "up")
    plain.on(IMMUTABLE + "x", Reply(body=b"x" * 1000))
    for e in (a, b):
        assert e.get(plain.url(IMMUTABLE + "x")).body == b"x" * 1000
    assert plain.count() == 1 or b.timeouts()


@pytest.mark.parametrize("what", ["siblings", "parents"])
def test_lists_change_at_a_reload(make, what):
    c = make.cluster(2, 1)
    e = c.node("edge1", {"cluster": {"siblings": [], "parents": [], "learn": False}})
    assert names(e) == {}
    e.overrides = {"cluster": {what: c.members(c.edges if what == "siblings" else c.parents)}}
    e.write_config()
    e.reload()
    eventually(lambda: f"{names(e)}", lambda: set(names(e)) == ({"edge2"} if what == "siblings" else {"parent1"}))
    e.overrides = {}
    e.write_config()
    e.reload()
    eventually(lambda: f"{names(e)}", lambda: names(e) == {})
