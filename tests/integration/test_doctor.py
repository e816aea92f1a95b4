"""The name that a node answers itself, and `pmcachectl doctor`, which has every package manager fetch something under it.

run-tests: not for threads
"""

import json

import pytest

HOST = "doctor.pmcache.invalid"


def about(edge, **more):
    return json.loads(edge.get(f"https://{HOST}/about", **more).body)


# -- the name


def test_the_node_answers_its_own_name_over_tls_and_plain(edge):
    stats = json.loads(edge.ctl("stats", "--json").stdout)
    for scheme in ("https", "http"):
        said = json.loads(edge.get(f"{scheme}://{HOST}/about").body)
        assert said == {"node": "edge1", "boot": stats["boot"], "bump": True}
    r = edge.get(f"https://{HOST}/object")
    assert r.status == 200 and r.body == b"pmcache-doctor was here\n" and r.headers.get("Cache-Control") == "no-store"
    r = edge.ask("HEAD", f"https://{HOST}/object")
    assert r.status == 200 and r.body == b""
    assert edge.get(f"https://{HOST}/elsewhere").status == 404
    assert edge.ask("POST", f"https://{HOST}/object", body=b"x").status == 501


def test_no_rule_keeps_it_from_being_bumped_and_answered(make):
    e = make.edge({"access": {"hosts": ["only.test"], "connect_ports": [8443], "safe_ports": [8443]}, "cache": {"offline": True},
                   "bump": {"only": ["only.test"], "splice": ["*"], "certificate": "origin"}})
    assert about(e)["bump"]


def test_it_is_neither_hit_nor_miss_nor_sent_on(edge):
    before = json.loads(edge.ctl("stats", "--json").stdout)
    for path in ("/object", "/nothing"):
        edge.get(f"https://{HOST}{path}")
    after = json.loads(edge.ctl("stats", "--json").stdout)
    grown = {k: v - before["counters"][k] for k, v in after["counters"].items() if v != before["counters"][k]}
    assert grown["bypasses_total"] == 2 and "errors_total" not in grown
    assert not [k for k in grown if k.startswith(("upstream", "misses", "hits"))], grown
    assert edge.log(f"{HOST}/object")[-1].hier == "HIER_NONE"


def test_at_the_plain_port_its_tunnel_is_refused_with_the_reason(edge):
    with edge.connect("proxy") as c:
        c.request("CONNECT", f"{HOST}:443", [("Host", f"{HOST}:443")], host=False)
        r = c.response()
    assert r.status == 403 and b"listen.bump" in r.body
    assert json.loads(edge.get(f"http://{HOST}/about", door="proxy").body)["bump"] is False


def test_clients_that_may_not_ask_get_nothing_under_it_either(make):
    e = make.edge({"access": {"clients": ["192.0.2.0/24"]}})
    assert e.get(f"http://{HOST}/about").status == 403


@pytest.mark.parametrize("ca", [["--permit-dns", "only.test"]])
def test_a_ca_that_may_not_sign_for_it_refuses(make, ca):
    e = make.edge(start=False)
    e.ctl("ca", "init", *ca)
    e.start()
    with e.connect("bump") as c:
        c.request("CONNECT", f"{HOST}:443", [("Host", f"{HOST}:443")], host=False)
        assert c.response().status == 403
