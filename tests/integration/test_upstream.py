"""What the edge says and does when upstream is bad, slow, away or forbidden; pooling, retries, the corporate proxy.

run-tests: not for threads
"""

import re
import socket
import ssl
import struct
import threading
import time

import pytest

from lab import Reply, blob, eventually
from lab.origin import silent
from lab.wire import client_context

STORED = [("Cache-Control", "max-age=60")]


def refused(r, status, *words):
    """A short text for a person: status, what failed, which host."""
    assert r.status in ((status,) if isinstance(status, int) else status), r
    assert r.headers.get("Content-Type", "").startswith("text/plain"), r
    assert len(r.body) < 2000 and b"<html" not in r.body.lower()
    for w in words:
        assert re.search(w, r.text, re.I), f"{w!r} is not in: {r.text}"
    assert r.x_cache != "HIT"


# -- certificates

REASONS = {
    "expired": "expired", "not_yet": "not valid yet|not yet valid", "wrong_name": "another name|name|mismatch",
    "self_signed": "self.signed", "unknown_root": "unknown issuer|issuer|unknown ca", "missing_intermediate": "issuer",
    "rsa_1024": "weak", "sha1": "weak",
}


@pytest.mark.parametrize("kind", REASONS)
def test_a_bad_certificate_is_a_502_with_the_reason_inside_the_bump_and_never_stored(edge, make, certs, kind):
    o = make.origin(pair=certs.kind(kind))
    o.on("/x", Reply(body=b"must not be seen", headers=STORED))
    for _ in range(2):
        with edge.bumped(o) as c:  # CONNECT is answered 200 and the leaf is a good one of our CA
            refused(c.get("/x"), 502, REASONS[kind], "origin.test")
    assert o.count() == 0
    o.use(certs.good())
    with edge.bumped(o) as c:
        r = c.get("/x")
        assert r.body == b"must not be seen" and r.x_cache == "MISS"


def test_a_certificate_without_subject_alternative_names_is_refused(edge, make, certs):
    o = make.origin(pair=certs.kind("cn_only"))
    with edge.bumped(o) as c:
        refused(c.get("/x"), 502, "name")


def test_a_bad_certificate_does_not_hide_what_is_cached_and_fresh(edge, make, certs):
    o = make.origin()
    o.on("/x", Reply(body=b"good", headers=STORED))
    edge.get(o.url("/x"))
    o.use(certs.kind("expired"))
    o.drop_connections()
    assert edge.get(o.url("/x")).x_cache == "HIT"


def test_a_stale_index_is_not_refreshed_from_an_origin_with_a_bad_certificate(edge, make, certs):
    o = make.origin()
    o.on("/info/x", Reply(body=b"old", headers=[("Cache-Control", "max-age=0"), ("ETag", '"1"')]))
    edge.get(o.url("/info/x"))
    o.use(certs.kind("unknown_root"))
    o.on("/info/x", Reply(body=b"forged", headers=STORED))
    o.drop_connections()
    r = edge.get(o.url("/info/x"))
    assert b"forged" not in r.body and o.count() == 1


@pytest.mark.parametrize("name,pattern,good", [
    ("www.wild.test", "*.wild.test", True), ("a.b.wild.test", "*.wild.test", False), ("wild.test", "*.wild.test", False),
    ("origin.test", "*.test", False), ("www.wild.test", "w*.wild.test", False), ("www.wild.test", "*", False),
])
def test_wildcards_match_one_label_of_a_real_name_only(edge, make, certs, name, pattern, good):
    o = make.origin(pair=certs.good(names=[pattern]), name=name)
    o.on("/x", Reply(body=b"ok"))
    with edge.bumped(o) as c:
        r = c.get("/x")
        if good:
            assert r.body == b"ok"
        else:
            refused(r, 502, "name")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_origin_by_address_needs_that_address_in_its_certificate(edge, make, certs, host):
    good = make.origin(pair=certs.good(names=[host]), host=host, name=host)
    good.on("/x", Reply(body=b"ok"))
    with edge.bumped(good) as c:  # the client verifies an IP SAN in our leaf, too
        assert c.get("/x").body == b"ok"
    bad = make.origin(pair=certs.good(names=["origin.test"]), host=host, name=host)
    with edge.bumped(bad) as c:
        refused(c.get("/x"), 502, "name")


def test_an_origin_by_address_is_sent_no_server_name(edge, make, certs):
    o = make.origin(pair=certs.good(), name="127.0.0.1")
    o.on("/x", Reply(body=b"ok"))
    assert edge.get(o.url("/x")).body == b"ok"
    assert o.last("/x").sni is None


def test_an_address_with_a_server_name_is_dialled_and_checked_for_the_name(edge, make, certs):
    o = make.origin(pair=certs.good(names=["moved.test"]), name="moved.test")
    o.on("/x", Reply(body=b"ok", headers=STORED))
    with edge.bumped(f"127.0.0.1:{o.port}", sni="moved.test") as c:
        assert c.get("/x", host=o.authority).body == b"ok"
    assert o.last("/x").sni == "moved.test"
    wrong = make.origin(pair=certs.good(names=["somebody-else.test"]), name="moved.test")
    with edge.bumped(f"127.0.0.1:{wrong.port}", sni="moved.test") as c:
        refused(c.get("/x", host=wrong.authority), 502, "name")


def test_an_address_with_a_server_name_refuses_another_host(edge, make, certs):
    o = make.origin(pair=certs.good(names=["moved.test"]), name="moved.test")
    with edge.bumped(f"127.0.0.1:{o.port}", sni="moved.test") as c:
        assert c.get("/x", host=f"other.test:{o.port}").status == 421


# -- handshakes


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_an_origin_that_speaks_only_old_tls_is_a_502(edge, make, version):
    o = make.origin(tls_max=version)
    with edge.bumped(o) as c:
        refused(c.get("/x"), 502, "TLS")
    assert o.count() == 0


def test_an_origin_with_tls_1_2_only_is_fine(edge, make):
    o = make.origin(tls_max=ssl.TLSVersion.TLSv1_2)
    o.on("/x", Reply(body=b"ok"))
    assert edge.get(o.url("/x")).body == b"ok"


def test_a_stalled_handshake_ends_at_tls_timeout(hasty, make):
    o = make.origin()
    o.on_accept = silent(o)
    start = time.monotonic()
    with hasty.bumped(o) as c:
        refused(c.get("/x"), 504, "TLS")
    assert time.monotonic() - start < 4


def test_a_dripped_handshake_ends_at_tls_timeout(hasty, make):
    o = make.origin()
    gate = o.gate()

    def drip(sock):
        hello = sock.recv(65536)
        assert hello[0] == 22
        try:
            sock.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")
            while not gate._event.wait(0.05):  # a byte now and then, for ever
                sock.sendall(b"\x03")
        except OSError:
            pass
    o.on_accept = drip
    start = time.monotonic()
    with hasty.bumped(o) as c:
        refused(c.get("/x"), (502, 504), "TLS")
    assert time.monotonic() - start < 4


@pytest.mark.parametrize("how", ["at once", "after the hello", "reset", "garbage", "half a record", "http"])
def test_an_origin_that_ends_or_spoils_the_handshake_is_a_502(hasty, make, how):
    o = make.origin()

    def spoil(sock):
        if how == "at once":
            return
        sock.recv(65536)
        if how == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        elif how == "garbage":
            sock.sendall(b"\x00garbage" * 100)
        elif how == "half a record":
            sock.sendall(b"\x16\x03\x03\x00\x80\x02\x00")
        elif how == "http":
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    o.on_accept = spoil
    with hasty.bumped(o) as c:
        refused(c.get("/x"), 502, "TLS|handshake")


def test_an_origin_that_demands_a_client_certificate_is_a_502_that_says_so(edge, make, certs):
    o = make.origin(client_ca=certs.root_file)
    o.on("/x", Reply(body=b"must not be seen"))
    with edge.bumped(o) as c:
        refused(c.get("/x"), 502, "client certificate", "splice")


def test_an_origin_that_offers_only_h2_by_alpn_is_an_answer_not_silence(edge, make):
    o = make.origin(alpn=["h2"])
    o.on("/x", Reply(body=b"ok"))
    with edge.bumped(o) as c:
        assert c.get("/x").status in (200, 502)


def test_upstream_tls_sessions_are_resumed(edge, make):
    o = make.origin()
    o.on("/x", Reply(body=b"ok", close=True))
    for _ in range(4):
        assert edge.get(o.url("/x")).body == b"ok"
    assert o.handshakes == 4 and o.resumed >= 1


# -- connections


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_a_refused_connection_is_a_502(edge):
    port = free_port()
    refused(edge.get(f"http://origin.test:{port}/"), 502, "refused", "origin.test")
    with edge.bumped(f"origin.test:{port}") as c:
        refused(c.get("/"), 502, "refused", "origin.test")


def test_a_refused_connection_behind_a_blind_tunnel_is_a_502_to_connect(edge):
    with edge.connect("proxy") as c:
        c.request("CONNECT", f"origin.test:{free_port()}", host="origin.test")
        refused(c.response("GET"), 502, "refused")


def test_a_connection_that_is_never_taken_ends_at_connect_timeout(hasty):
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    port = full.getsockname()[1]
    stuffing = []
    for _ in range(4):  # the queue is full: further SYNs are dropped
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", port))
        stuffing.append(s)
    start = time.monotonic()
    refused(hasty.get(f"http://origin.test:{port}/"), 504, "in time|timed out|timeout")
    assert time.monotonic() - start < 5
    for s in [full, *stuffing]:
        s.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_name_that_does_not_exist_is_a_502_that_says_so(hasty, scheme):
    r = hasty.get(f"{scheme}://no-such-name.invalid:4443/")
    refused(r, (502, 504), "name", "no-such-name.invalid")


def test_an_origin_that_never_answers_is_a_504(hasty, make):
    o = make.origin()
    gate = o.gate()
    o.on("/x", lambda req: (gate.wait(), Reply())[1])
    start = time.monotonic()
    with hasty.bumped(o) as c:
        refused(c.get("/x"), 504, "in time")
    assert time.monotonic() - start < 4


def test_an_origin_that_closes_without_a_word_is_a_502(edge, make):
    for tls in (True, False):
        o = make.origin(tls=tls)
        o.raw("/x", lambda conn, req: None)
        refused(edge.get(o.url("/x")), 502, "closed|without")


def test_an_origin_that_resets_is_a_502(edge, plain):
    plain.raw("/x", lambda conn, req: conn.reset())
    refused(edge.get(plain.url("/x")), 502, "reset|closed")


# -- pool and retry


def test_two_requests_of_different_clients_share_one_upstream_connection(edge, make):
    for tls in (True, False):
        o = make.origin(tls=tls)
        o.on("/a", Reply(body=b"a")).on("/b", Reply(body=b"b"))
        # Links belong to a loop: so that it does not matter which loop takes a client, ask on one connection...
        c, a = edge.session(o.url("/a"))
        with c:
            assert c.get(a).body == b"a" and c.get(a[:-1] + "b").body == b"b"
        assert o.accepted == 1
        # ...and from many: no more links than loops.
        for _ in range(10):
            edge.get(o.url("/a"))
        assert o.accepted <= 2, "a link per loop is enough for requests that come one after the other"


def test_a_request_on_a_link_that_died_idle_is_tried_once_more(edge, make):
    for tls in (True, False):
        o = make.origin(tls=tls)
        n = [0]

        def answer(conn, req):
            n[0] += 1
            if n[0] == 2 and conn.id == 1:
                return False  # the link dies just as the request arrives
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            return True
        o.raw("/x", answer)
        c, target = edge.session(o.url("/x"))
        with c:
            assert c.get(target).body == b"ok"
            assert c.get(target).body == b"ok"
        assert n[0] == 3 and o.accepted == 2


def test_links_that_the_origin_closed_while_idle_cost_nothing(edge, make):
    o = make.origin()
    o.on("/x", Reply(body=b"ok"))
    c, target = edge.session(o.url("/x"))
    with c:
        for _ in range(3):
            assert c.get(target).body == b"ok"
            o.drop_connections()
            eventually("closed", lambda: o.open_connections == 0)


def test_a_post_is_not_repeated_on_a_link_that_died(edge, make):
    o = make.origin(tls=False, name="plain.test")
    o.on("/x", Reply(body=b"ok"))
    posts = []
    o.raw("/post", lambda conn, req: posts.append(req) and False)
    with edge.connect() as c:
        assert c.get(o.url("/x")).body == b"ok"
        r = c.ask("POST", o.url("/post"), body=b"order one pizza")
        assert r.status == 502
    assert len(posts) == 1


def test_an_answer_that_says_close_ends_the_link(edge, plain):
    plain.on("/x", Reply(body=b"ok", close=True))
    with edge.connect() as c:
        for _ in range(2):
            assert c.get(plain.url("/x")).body == b"ok"
    assert plain.accepted == 2


# -- forbidden addresses


def denying(make):
    return make.edge({"access": {"deny_to": ["loopback", "link_local", "unspecified", "multicast"]}})


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/x", "http://plain.test:{port}/x", "http://[::ffff:127.0.0.1]:{port}/x",
                                 "http://127.1:{port}/x", "http://2130706433:{port}/x", "http://0x7f.1:{port}/x",
                                 "http://localhost:{port}/x", "http://0.0.0.0:{port}/x", "http://[64:ff9b::7f00:1]:{port}/x"])
def test_deny_to_is_checked_on_the_address_that_would_be_dialled(make, plain, url):
    e = denying(make)
    plain.on("/x", Reply(body=b"must not be seen"))
    target = url.format(port=plain.port)
    with e.connect() as c:
        r = c.get(target)
        assert r.status in (400, 403, 502) and b"must not" not in r.body, r
    with e.connect("proxy") as c:
        authority = target[7:-2]
        c.request("CONNECT", authority, host=authority)
        assert c.response("GET").status in (400, 403, 502)
    assert plain.accepted == 0


def test_deny_to_says_why(make, plain):
    e = denying(make)
    refused(e.get(plain.url("/x")), 403, r"deny_to")
    assert e.log("/x")[0].result == "TCP_DENIED"


def test_deny_to_takes_ranges_too(make, plain):
    e = make.edge({"access": {"deny_to": ["127.0.0.0/8"]}})
    refused(e.get(plain.url("/x")), 403, "deny_to")
    six = make.origin(tls=False, host="::1", name="::1")
    six.on("/x", Reply(body=b"six"))
    assert e.get(six.url("/x")).body == b"six"


def test_deny_to_inside_the_bump(make, origin):
    e = denying(make)
    with e.bumped(origin) as c:
        refused(c.get("/x"), 403, "deny_to")
    assert origin.accepted == 0


@pytest.mark.parametrize("door", ["proxy", "bump", "admin"])
def test_this_nodes_own_listeners_are_never_dialled(edge, door):
    r = edge.get(f"http://127.0.0.1:{edge.port(door)}/healthz")
    assert r.status in (403, 508), r


# -- the corporate proxy


class Corporate:
    """A CONNECT proxy that wants credentials."""

    def __init__(self, make, want=None):
        self.asked, self.credentials, self.want = [], [], want
        self.server = make.origin(tls=False, name="proxy.test")
        self.server.on_accept = self._serve

    def _serve(self, sock):
        head = b""
        while b"\r\n\r\n" not in head:
            got = sock.recv(65536)
            if not got:
                return
            head += got
        head, _, rest = head.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ")
        self.asked.append((method, target))
        auth = [f.split(":", 1)[1].strip() for f in fields if f.lower().startswith("proxy-authorization:")]
        self.credentials += auth
        if self.want and self.want not in auth:
            sock.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        assert method == "CONNECT"
        up = socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2])))
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        up.sendall(rest)

        def pump(a, b):
            try:
                while data := a.recv(65536):
                    b.sendall(data)
                b.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        back = threading.Thread(target=pump, args=(up, sock), daemon=True)
        back.start()
        pump(sock, up)
        back.join()
        up.close()


def test_upstream_proxy_takes_what_leaves_and_gets_its_credentials_from_a_file(make, origin, tmp_path):
    corporate = Corporate(make, want="Basic dXNlcjpzZWNyZXQ=")
    credentials = tmp_path / "credentials"
    credentials.write_text("user:secret\n")
    credentials.chmod(0o600)
    e = make.edge({"upstream": {"proxy": f"http://127.0.0.1:{corporate.server.port}",
                                "proxy_credentials": f"file:{credentials}"}})
    origin.on("/x", Reply(body=b"through", headers=STORED))
    assert e.get(origin.url("/x")).body == b"through"
    assert corporate.asked == [("CONNECT", origin.authority)]
    assert corporate.credentials == ["Basic dXNlcjpzZWNyZXQ="]
    assert "Proxy-Authorization" not in origin.last("/x").headers
    assert e.get(origin.url("/x")).x_cache == "HIT"


def test_upstream_proxy_may_be_on_a_forbidden_address(make, origin):
    corporate = Corporate(make)
    e = make.edge({"upstream": {"proxy": f"http://127.0.0.1:{corporate.server.port}"},
                   "access": {"deny_to": ["link_local"]}})
    origin.on("/x", Reply(body=b"through"))
    assert e.get(origin.url("/x")).body == b"through"
    assert len(corporate.asked) == 1


@pytest.mark.parametrize("exception", ["direct.test", "*.test", "127.0.0.1"])
def test_no_proxy_goes_direct(make, exception):
    corporate = Corporate(make)
    direct = make.origin(tls=False, name="direct.test")
    direct.on("/x", Reply(body=b"direct"))
    name = "direct.test" if "test" in exception else "127.0.0.1"
    e = make.edge({"upstream": {"proxy": f"http://127.0.0.1:{corporate.server.port}", "no_proxy": [exception]}})
    assert e.get(direct.url("/x", name=name)).body == b"direct"
    assert corporate.asked == []


def test_an_upstream_proxy_that_refuses_is_a_502_that_says_so(make, origin):
    corporate = Corporate(make, want="Basic bm90aGluZw==")
    e = make.edge({"upstream": {"proxy": f"http://127.0.0.1:{corporate.server.port}"}})
    with e.bumped(origin) as c:
        refused(c.get("/x"), 502, "proxy")
    assert origin.accepted == 0


def test_a_blind_tunnel_goes_through_the_upstream_proxy_too(make, origin, certs):
    corporate = Corporate(make)
    e = make.edge({"upstream": {"proxy": f"http://127.0.0.1:{corporate.server.port}"}})
    origin.on("/x", Reply(body=b"through"))
    with e.bumped(origin, door="proxy", context=client_context(certs.root_file)) as c:
        assert c.get("/x").body == b"through"
    assert corporate.asked == [("CONNECT", origin.authority)]


# -- bump lists and allowed hosts


def test_spliced_hosts_show_their_own_certificate(make, certs):
    o = make.origin(name="pinned.test")
    o.on("/x", Reply(body=b"untouched"))
    e = make.edge({"bump": {"splice": ["pinned.test", "*.pinned.example"]}})
    with e.bumped(o, context=client_context(certs.root_file)) as c:
        r = c.get("/x")
        assert r.body == b"untouched" and "X-Cache" not in r.headers
    assert e.log(o.authority)[0].result == "TCP_TUNNEL"


def test_what_is_not_in_bump_only_is_tunnelled(make, origin, certs):
    other = make.origin(name="other.test")
    for o in (origin, other):
        o.on("/x", Reply(body=b"x"))
    e = make.edge({"bump": {"only": ["origin.test"]}})
    with e.bumped(origin) as c:
        assert c.get("/x").body == b"x"
    with e.bumped(other, context=client_context(certs.root_file)) as c:
        assert c.get("/x").body == b"x"


def test_what_is_not_in_bump_only_is_refused_if_so_configured(make, origin):
    other = make.origin(name="other.test")
    e = make.edge({"bump": {"only": ["origin.test"], "others": "refuse"}})
    with e.connect() as c:
        c.request("CONNECT", other.authority, host=other.authority)
        r = c.response("GET")
        assert r.status == 403 and "bump.only" in r.text
    assert other.accepted == 0


def test_hosts_outside_the_allow_list_are_refused(make, plain):
    allowed = make.origin(tls=False, name="allowed.test")
    for o in (plain, allowed):
        o.on("/x", Reply(body=b"x"))
    e = make.edge({"access": {"hosts": ["allowed.test"]}})
    assert e.get(allowed.url("/x")).body == b"x"
    refused(e.get(plain.url("/x")), 403, "access.hosts")
    with e.connect() as c:
        c.request("CONNECT", "plain.test:443", host="plain.test:443")
        assert c.response("GET").status == 403
    assert plain.accepted == 0


def test_the_hosts_file_is_read_again_on_reload(make, plain):
    e = make.edge()
    plain.on("/x", Reply(body=b"x"))
    assert e.get(plain.url("/x", name="added.test")).status in (502, 504)
    e.hosts_file.write_text(e.hosts_file.read_text() + "127.0.0.1 added.test\n")
    e.reload()
    eventually("the new name is known", lambda: e.get(plain.url("/x", name="added.test")).body == b"x")


def test_a_large_download_from_a_slow_start_is_whole(edge, make):
    o = make.origin()
    gate = o.gate()
    o.on("/x", lambda req: Reply(body=[blob(10), gate, blob(2_000_000)], framing="close"))
    with edge.bumped(o) as c:
        c.request("GET", "/x")
        r = c.head()
        gate.open()
        c.body(r)
        assert r.body == blob(10) + blob(2_000_000)
