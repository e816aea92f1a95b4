"""certificate: origin on edges that cannot reach origins: what an origin's certificate says comes from a parent.

run-tests: not for threads
"""

import calendar
import hashlib
import signal
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lab import DEADLINE, Reply
from lab.peer import unpack, visit

VALID, INVALID, UNKNOWN = 0, 1, 2
LOOPS = 8  # of a node, at the most
MIMIC = {"bump": {"certificate": "origin"}, "cluster": {"on_parent_failure": "fail"}}


@pytest.fixture(scope="module")
def house(shared):
    """A parent, and an edge that knows no name of an origin."""
    c = shared.cluster(1, 1, conf=MIMIC)
    (c.folder / "edge1").mkdir()
    (c.folder / "edge1" / "hosts").write_text("")
    c.start()
    return c


@pytest.fixture
def nodes(house):
    return house.mend()


@pytest.fixture
def special(make, certs):
    """An origin whose certificate can be told from others, under a name that nobody has asked for yet."""
    pair = certs.good(names=["mimic.test", "*.mimic.test", "also.mimic.example"], cn="mimic.test", org="Mimicked & Sons",
                      start=-20, days=60)
    o = make.origin(pair=pair, name="mimic.test")
    o.on("/x", Reply(body=b"x", headers=[("Cache-Control", "max-age=60")]))
    return o


def leaf(client):
    return x509.load_der_x509_certificate(client.wire.peer_der)


def ask(cluster, query, to="parent1", as_node="edge1"):
    with visit(cluster, to, as_node) as c:
        return c.get("/.pmc/v1/cert?" + query)


def word(cluster, host, port, sni=""):
    r = ask(cluster, f"host={host}&port={port}&sni={sni}")
    assert (r.status, r.headers.get("Content-Type")) == (200, "application/msgpack"), r
    message, end = unpack(r.body)
    assert end == len(r.body)
    return message


def test_it_is_mimicked_by_an_edge_without_a_way_out(nodes, special):
    p, e = nodes
    with e.bumped(special) as c:
        cert = leaf(c)
        assert c.get("/x").body == b"x"
    theirs = special.pair.cert
    assert cert.subject == theirs.subject
    assert (cert.not_valid_before, cert.not_valid_after) == (theirs.not_valid_before, theirs.not_valid_after)
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    assert {"mimic.test", "*.mimic.test", "also.mimic.example"} <= set(names)
    assert special.count() == 1
    asked = e.parent("parent1")["requests"]
    special.shutdown()
    with e.bumped(special) as c:  # as of a direct contact, the mint remembers
        assert leaf(c).subject == theirs.subject
    assert e.parent("parent1")["requests"] == asked


def test_what_the_page_says(house, nodes, make, certs):
    o = make.origin(pair=certs.good(names=["page.mimic.test"], cn="page.mimic.test", start=-2, days=30), name="mimic.test")
    m = word(house, "127.0.0.1", o.port, "page.mimic.test")
    cert = o.pair.cert
    key = cert.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert m[1] == VALID and m[2] == ["page.mimic.test"] and m[4] == hashlib.sha256(key).digest() and m[5] == ""
    assert (m[7], m[3]) == tuple(calendar.timegm(t.utctimetuple()) for t in (cert.not_valid_before, cert.not_valid_after))
    assert m[8] == cert.subject.public_bytes() and 3590 <= m[6] <= 3600
    accepted = o.accepted
    assert word(house, "127.0.0.1", o.port, "page.mimic.test")[1] == VALID
    assert o.accepted <= accepted + LOOPS, "asked once for each loop"


def test_also_of_an_origin_whose_session_is_resumed(house, nodes, make, certs):
    p, e = nodes
    o = make.origin(pair=certs.good(names=["mimic.test"], cn="mimic.test"), name="mimic.test")
    for path in "abcd":
        o.on(f"/{path}", Reply(body=b"x", headers=[("Connection", "close")]))
        with visit(house, "parent1", "edge1", alpn="pmc-proxy/1") as c:
            assert c.get(o.url(f"/{path}"), [("Pmc-Hop", "lab 1 edge1")]).body == b"x"
    for _ in range(6):  # on whatever loop
        assert word(house, "mimic.test", o.port)[1] == VALID


@pytest.mark.parametrize("kind,reason", [("expired", "cert-expired"), ("self_signed", "cert-self-signed"),
                                         ("wrong_name", "cert-wrong-name"), ("unknown_root", "cert-unknown-ca")])
def test_a_bad_certificate_is_a_502_that_says_why(house, nodes, make, certs, kind, reason):
    p, e = nodes
    o = make.origin(pair=certs.kind(kind))
    m = word(house, "origin.test", o.port)
    assert m == {1: INVALID, 6: m[6], 9: reason} and m[6] <= 30
    with e.bumped(o) as c:
        assert leaf(c).issuer == x509.load_pem_x509_certificate((e.state / "ca.crt").read_bytes()).subject
        r = c.get("/x")
    assert (r.status, r.headers.get("X-Pmcache-Error")) == (502, reason)
    assert o.count() == 0


def test_what_cannot_be_said_is_not_asked_again_and_again(nodes, make):
    p, e = nodes
    o = make.origin(name="mimic.test")
    port = o.port
    o.shutdown()
    seen = []
    for _ in range(12):
        before = e.parent("parent1")["requests"]
        with e.tunnel(f"127.0.0.1:{port}") as c:
            pass
        with e.bumped(o) as c:
            assert "mimic.test" in leaf(c).extensions.get_extension_for_class(
                x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
        seen.append(e.parent("parent1")["requests"] - before)
    assert sum(seen) <= LOOPS, "once for each loop"
    with e.bumped(o) as c:
        assert c.get("/x").status == 502


def test_what_may_not_be_asked_is_told_as_what_is_not_there(make, certs):
    """The page does not say which hosts and ports of the parent's network are open."""
    c = make.cluster(1, 1, conf={"access": {"deny_to": ["127.0.0.9/32"]}})
    c.start()
    o = make.origin(pair=certs.good(names=["mimic.test", "127.0.0.9"], cn="mimic.test"), name="mimic.test")
    assert word(c, "mimic.test", o.port)[1] == VALID
    nothing = {1: UNKNOWN, 6: 30}
    assert word(c, "127.0.0.9", o.port) == nothing, "access.deny_to"
    assert word(c, "no-such-host.test", 443) == nothing
    o.shutdown()
    assert word(c, "127.0.0.1", o.port, "other.mimic.test") == nothing, "refused"
    assert word(c, "127.0.0.1", c.ports["parent1"]) == nothing, "this node's own doors"


def test_ports_and_hosts_that_clients_may_not_have(make, certs):
    o = make.origin(pair=certs.good(names=["mimic.test", "*.mimic.test"], cn="mimic.test"), name="mimic.test")
    c = make.cluster(1, 1, conf={"access": {"connect_ports": [443]}})
    c.start()
    assert word(c, "mimic.test", o.port) == {1: UNKNOWN, 6: 30}
    assert o.accepted == 0


@pytest.mark.parametrize("query", ["", "host=a.test", "host=a.test&port=0", "host=a.test&port=65536", "host=a.test&port=x",
                                   "port=443", "host=a/b&port=443", "host=a.test&port=443&sni=a%20b", "host=" + "a" * 300 + "&port=443"])
def test_what_is_no_question(house, nodes, query):
    assert ask(house, query).status == 400


def test_only_parents_say_it(house, nodes):
    assert ask(house, "host=mimic.test&port=443", to="edge1", as_node="parent1").status == 404


def test_a_parent_that_hangs_costs_little(nodes, make, certs):
    p, e = nodes
    o = make.origin(pair=certs.good(names=["mimic.test"], cn="mimic.test", org="Slow & Sons"), name="mimic.test")
    with e.bumped(o) as c:  # a link is open
        assert leaf(c)
    o2 = make.origin(pair=certs.good(names=["late.test"], cn="late.test", org="Slow & Sons"), name="early.test")
    p.stand_still()
    try:
        began = time.monotonic()
        with e.bumped(o2) as c:
            assert time.monotonic() - began < DEADLINE / 2
            assert leaf(c).subject != o2.pair.cert.subject
    finally:
        p.signal(signal.SIGCONT)


def test_without_any_parent_to_ask_the_policy_decides(make, certs):
    c = make.cluster(1, 1, conf={"bump": {"certificate": "origin"}, "cluster": {"on_parent_failure": "direct"}})
    p, e = c.start()
    o = make.origin(pair=certs.good(names=["mimic.test"], cn="mimic.test", org="Direct & Sons"), name="mimic.test")
    o.on("/x", Reply(body=b"x"))
    p.kill()
    with e.bumped(o) as s:
        assert leaf(s).subject == o.pair.cert.subject
        assert s.get("/x").body == b"x"
