"""The laboratory itself, without a daemon: an origin asked directly says what it should.

run-tests: plain build
"""

import json
import select
import ssl

import pytest

from lab import Client, Reply, TlsWire, eventually
from lab import edge as lab_edge
from lab.certs import KINDS
from lab.edge import LogLine, parse_env, yaml
from lab.registries import Npm, PyPI
from lab.wire import Drip, Eager, client_context, connect

pytestmark = pytest.mark.nodaemon


def direct(origin, certs, name=None):
    c = connect(origin.host, origin.port)
    c.authority = origin.authority
    if origin.pair:
        c.wire = TlsWire(c.wire, client_context(certs.root_file), name or origin.name)
    return c


def test_https_origin_answers_and_remembers(origin, certs):
    origin.on("/a", Reply(body=b"hello", headers=[("ETag", '"1"')]))
    with direct(origin, certs) as c:
        r = c.get("/a?x=1")
        assert (r.status, r.body, r.headers.get("etag")) == (200, b"hello", '"1"')
        r = c.ask("POST", "/nope", body=b"12345")
        assert r.status == 404
    assert [q.target for q in origin.requests()] == ["/a?x=1", "/nope"]
    assert origin.last("/nope").body == b"12345"
    assert origin.last("/a").sni == "origin.test"
    assert origin.accepted == 1


def test_chunked_body_with_a_gate_and_trailers(plain, certs):
    gate = plain.gate()
    plain.on("/c", lambda req: Reply(body=[b"ab", gate, b"cd"], framing="chunked", trailers=[("X-Sum", "1")]))
    with direct(plain, certs) as c:
        c.request("GET", "/c")
        c.head()
        assert c.read_until(b"ab\r\n") == b"2\r\nab\r\n"
        gate.await_waiting()
        gate.open()
        assert c.read_until(b"\r\n\r\n") == b"2\r\ncd\r\n0\r\nX-Sum: 1\r\n\r\n"


def test_chunked_upload_is_read_and_its_end_known(plain, certs):
    plain.on("/u", Reply())
    with direct(plain, certs) as c:
        r = c.ask("POST", "/u", [("Transfer-Encoding", "chunked")], b"3\r\nabc\r\n0\r\nT: 1\r\n\r\n")
        assert r.status == 200
    q = plain.last("/u")
    assert (q.body, q.complete, list(q.trailers)) == (b"abc", True, [("T", "1")])


def test_raw_bytes_half_close_and_reset(plain, certs):
    plain.raw("/cut", lambda conn, req: conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"))
    plain.raw("/reset", lambda conn, req: (conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), conn.reset()))
    with direct(plain, certs) as c:
        r = c.get("/cut")
        assert r.cut and r.body == b"abc"
    with direct(plain, certs) as c:
        assert c.get("/reset").cut


@pytest.mark.parametrize("kind", KINDS)
def test_each_bad_certificate_is_refused_by_an_ordinary_client(make, certs, kind):
    o = make.origin(pair=certs.kind(kind))
    with pytest.raises(ssl.SSLError):
        direct(o, certs)


def test_tls_1_1_only_is_refused_by_an_ordinary_client(make, certs):
    o = make.origin(tls_max=ssl.TLSVersion.TLSv1_1)
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        direct(o, certs)
    eventually("the handshake failed", lambda: o.failed_handshakes)


def test_tls_1_1_only_origin_does_speak_tls_1_1(make, certs):
    o = make.origin(tls_max=ssl.TLSVersion.TLSv1_1)
    ctx = client_context(certs.root_file, minimum=ssl.TLSVersion.TLSv1)
    ctx.set_ciphers("DEFAULT:@SECLEVEL=0")
    c = connect(o.host, o.port)
    c.wire = TlsWire(c.wire, ctx, o.name)
    assert c.wire.version == "TLSv1.1"
    c.close()


def relay(conn, wire):
    """Both ways in one thread: a TLS socket must not be read and written by two at once."""
    ways = {conn.sock: (conn.recv, wire.send), wire.sock: (wire.recv, conn.send)}
    while True:
        inside = conn.buffer or getattr(conn.sock, "pending", int)()  # was read from the socket already
        for sock in [conn.sock] if inside else select.select(list(ways), [], [])[0]:
            take, give = ways[sock]
            if not (data := take()):
                return
            give(data)


@pytest.fixture
def forwarder(make):
    """A TLS server that answers CONNECT and forwards to loopback: enough of a proxy to test the client with."""
    outer = make.origin(name="proxy.test")

    def to(inner):
        def forward(conn, req):
            conn.send(b"HTTP/1.1 200 OK\r\n\r\n")
            with connect(inner.host, inner.port) as up:
                relay(conn, up.wire)
        outer.raw(inner.authority, forward)
        return outer
    return to


def test_tls_in_tls(make, certs, forwarder):
    inner = make.origin()
    inner.on("/x", Reply(body=b"inside"))
    with direct(forwarder(inner), certs) as c:
        c.request("CONNECT", inner.authority, host=False)
        assert c.head().status == 200
        c.wire = TlsWire(c.wire, client_context(certs.root_file), inner.name)
        assert c.get("/x", host=inner.authority).body == b"inside"


def test_connect_and_client_hello_in_one_write(make, certs, forwarder):
    inner = make.origin()
    inner.on("/x", Reply(body=b"inside"))
    wire = Eager(direct(forwarder(inner), certs), inner.authority)
    with Client(TlsWire(Drip(wire), client_context(certs.root_file), inner.name)) as c:
        assert c.get("/x", host=inner.authority).body == b"inside"


def test_shutdown_and_restart_on_the_same_port(plain, certs):
    plain.on("/", Reply(body=b"1"))
    with direct(plain, certs) as c:
        assert c.get("/").body == b"1"
        plain.shutdown()
        assert c.ended()
    with pytest.raises(OSError):
        connect(plain.host, plain.port)
    plain.restart()
    with direct(plain, certs) as c:
        assert c.get("/").body == b"1"


def test_npm_registry_gives_packument_and_tarball(origin, certs):
    npm = Npm(origin)
    with direct(origin, certs) as c:
        packument = json.loads(c.get("/left-pad-test").body)
        url = packument["versions"]["1.0.0"]["dist"]["tarball"]
        path = url[url.index("/left"):]
        assert c.get(path).body == npm.tarballs[path]


def test_pypi_index_in_both_forms(make, certs):
    index, files = make.origin(name="index.test"), make.origin(name="files.test")
    PyPI(index, files)
    with direct(index, certs) as c:
        assert b"files.test" in c.get("/simple/tiny-test/").body
        r = c.get("/simple/tiny-test/", [("Accept", "application/vnd.pypi.simple.v1+json")])
        assert json.loads(r.body)["files"][0]["filename"] == "tiny_test-1.2.3-py3-none-any.whl"


def test_the_reader_is_strict(plain, certs):
    for n, bad in enumerate([b"HTTP/1.1 200\r\n\r\n", b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
                             b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", b"HTTP/2 200 OK\r\n\r\n"]):
        plain.raw(f"/{n}", lambda conn, req, bad=bad: conn.send(bad))
        with direct(plain, certs) as c, pytest.raises(AssertionError):
            c.get(f"/{n}")


def test_log_line_of_squid_is_understood():
    line = LogLine("1446022000.123     45 127.0.0.1 TCP_MISS/200 1872 GET https://x.test/a?b - HIER_DIRECT/127.0.0.1 text/html")
    assert (line.result, line.status, line.hier, line.peer) == ("TCP_MISS", 200, "HIER_DIRECT", "127.0.0.1")


def test_yaml_and_env_helpers():
    assert yaml({"a": {"b": [1, "x:y"]}, "c": False}) == 'a:\n  b: [1, "x:y"]\nc: off\n'
    assert parse_env("# c\nexport A='b c'\nD=e; export D\n") == {"A": "b c", "D": "e"}


def test_free_ports_are_free():
    a, b = lab_edge.free_ports(2)
    assert a != b
    assert isinstance(Client(None), Client)
