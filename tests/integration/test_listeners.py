"""Every form that a client may use, told apart by the first byte; ports and addresses."""

import os
import re
import socket
import ssl

import pytest

from lab import Client, EdgeFailed, Reply, TlsWire, blob
from lab.wire import Drip, Eager, client_context


@pytest.fixture
def ready(origin, plain):
    origin.on("/x", Reply(body=b"secure"))
    plain.on("/x", Reply(body=b"plain"))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("door", ["proxy", "bump"])
def test_absolute_form_on_both_ports_and_both_families(edge, plain, ready, door, host):
    with edge.connect(door, host) as c:
        r = c.get(plain.url("/x"))
    assert (r.status, r.body) == (200, b"plain")


def test_8080_connect_is_a_blind_tunnel_to_the_origins_own_certificate(edge, origin, certs, ready):
    c = edge.bumped(origin, door="proxy", context=client_context(certs.root_file))
    assert c.get("/x").body == b"secure"
    assert c.wire.peer_der == ssl.PEM_cert_to_DER_cert(open(origin.pair.cert_file).read().split("-----END")[0]
                                                       + "-----END CERTIFICATE-----\n")
    c.close()


def test_8080_tunnel_carries_any_bytes_both_ways(edge, make):
    echo = make.origin(tls=False)

    def serve(sock):
        while data := sock.recv(65536):
            sock.sendall(data.upper())
        sock.sendall(b"bye")
    echo.on_accept = serve
    with edge.tunnel(f"127.0.0.1:{echo.port}", door="proxy") as c:
        c.send(b"\x00not http at all")
        assert c.read(16) == b"\x00NOT HTTP AT ALL"
        c.half_close()
        assert c.read_all() == b"bye"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_8081_connect_is_bumped_with_a_leaf_of_our_ca(edge, origin, ready, host):
    c = edge.bumped(origin, host=host)
    assert c.get("/x").body == b"secure"
    assert c.wire.version in ("TLSv1.2", "TLSv1.3")
    c.close()


@pytest.mark.parametrize("door", ["proxy", "bump"])
def test_http_1_0_connect_without_host_as_pip_sends_it(edge, origin, certs, ready, door):
    ctx = client_context(certs.root_file if door == "proxy" else edge.ca_file)
    c = edge.bumped(origin, door=door, version="HTTP/1.0", context=ctx)
    assert c.get("/x").body == b"secure"
    c.close()


def test_http_1_1_connect_without_host_is_refused(edge, origin):
    with edge.connect() as c:
        c.send(f"CONNECT {origin.authority} HTTP/1.1\r\n\r\n")
        assert c.response().status == 400
        assert c.ended()


def test_tls_to_the_proxy_with_absolute_form_inside(edge, plain, ready):
    with edge.connect_tls() as c:
        assert c.get(plain.url("/x")).body == b"plain"


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_tls_to_the_proxy_has_a_certificate_for_the_names_clients_use(edge, plain, ready, name):
    with edge.connect_tls(name=name) as c:
        assert c.get(plain.url("/x")).body == b"plain"


def test_tls_in_tls_connect_inside_tls_to_the_proxy_is_bumped(edge, origin, ready):
    c = edge.bumped(origin, over=edge.connect_tls())
    assert isinstance(c.wire.lower, TlsWire)
    for _ in range(3):
        assert c.get("/x").body == b"secure"
    c.close()


def test_tls_in_tls_carries_a_large_body_both_ways(edge, origin):
    origin.on("/echo", lambda req: Reply(body=req.body, headers=[("Cache-Control", "no-store")]))
    c = edge.bumped(origin, over=edge.connect_tls())
    assert c.ask("POST", "/echo", body=blob(3_000_000)).body == blob(3_000_000)
    c.close()


@pytest.mark.parametrize("offered,chosen", [(None, None), (["http/1.1"], "http/1.1"),
                                            (["h2", "http/1.1"], "http/1.1"), (["h2"], None)])
def test_alpn_inside_the_bump_is_http_1_1_or_nothing(edge, origin, ready, offered, chosen):
    c = edge.bumped(origin, context=client_context(edge.ca_file, alpn=offered))
    assert c.wire.alpn == chosen
    assert c.get("/x").body == b"secure"
    c.close()


def test_alpn_to_the_proxy_itself_is_http_1_1(edge):
    with edge.connect_tls(alpn=["h2", "http/1.1"]) as c:
        assert c.wire.alpn == "http/1.1"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_tls_versions_inside_the_bump(edge, origin, ready, version):
    c = edge.bumped(origin, context=client_context(edge.ca_file, maximum=version, minimum=version))
    assert c.get("/x").body == b"secure"
    c.close()


def test_tls_1_1_clients_are_refused(edge, origin):
    ctx = client_context(edge.ca_file, maximum=ssl.TLSVersion.TLSv1_1, minimum=ssl.TLSVersion.TLSv1)
    ctx.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        edge.bumped(origin, context=ctx)


def test_a_client_hello_in_single_bytes(edge, origin, ready):
    c = edge.tunnel(origin.authority)
    c.authority = origin.authority
    c.wire = TlsWire(Drip(c.wire), client_context(edge.ca_file), origin.name)
    assert c.get("/x").body == b"secure"
    c.close()


def test_a_client_hello_to_the_proxy_in_single_bytes(edge, plain, ready):
    c = edge.connect()
    c.wire = TlsWire(Drip(c.wire), client_context(edge.ca_file), "localhost")
    assert c.get(plain.url("/x")).body == b"plain"
    c.close()


def test_a_client_hello_behind_the_connect_in_one_segment(edge, origin, ready):
    wire = Eager(edge.connect(), origin.authority)
    with Client(TlsWire(wire, client_context(edge.ca_file), origin.name)) as c:
        assert c.get("/x", host=origin.authority).body == b"secure"


def test_ipv6_origin_by_literal_address(edge, make):
    six = make.origin(tls=False, host="::1", name="::1")
    six.on("/x", Reply(body=b"six"))
    assert edge.get(six.url("/x")).body == b"six"


def test_ipv6_origin_by_name_from_the_hosts_file(edge, make):
    six = make.origin(host="::1", name="six.test")
    six.on("/x", Reply(body=b"six"))
    assert edge.get(six.url("/x")).body == b"six"


def test_a_name_with_two_families_finds_the_one_that_listens(edge, make):
    both = make.origin(host="127.0.0.1", name="both.test")
    both.on("/x", Reply(body=b"four"))
    assert edge.get(both.url("/x")).body == b"four"


def test_a_request_for_the_proxy_itself_is_refused_not_forwarded(edge):
    with edge.connect() as c:
        r = c.get("/index.html", host="localhost")
        assert r.status in (400, 404), r


@pytest.mark.parametrize("door", ["proxy", "bump"])
def test_a_taken_port_stops_the_start_and_names_the_holder(make, door):
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(("127.0.0.1", 0))
    holder.listen()
    port = holder.getsockname()[1]
    e = make.edge(start=False)
    e.overrides = {"listen": {door: [f"127.0.0.1:{port}"]}}
    e.write_config()
    e.launch()
    code = e.process.wait(10)
    e._reader.join(2)
    e.process = None
    holder.close()
    assert code not in (0, None) and code > 0, code
    assert str(port) in e.stderr_text
    assert re.search(rf"python|\b{os.getpid()}\b", e.stderr_text), e.stderr_text


def test_a_second_daemon_on_the_same_ports_does_not_start_in_silence(make):
    first = make.edge()
    second = make.edge(start=False)
    second.proxy_port, second.bump_port = first.proxy_port, first.bump_port
    second.write_config()
    second.launch()
    assert second.process.wait(10) > 0
    second._reader.join(2)
    second.process = None
    assert "pmcached" in second.stderr_text and str(first.pid) in second.stderr_text, second.stderr_text


def test_a_client_address_that_is_not_allowed_is_refused(make, plain):
    plain.on("/x", Reply(body=b"plain"))
    e = make.edge({"access": {"clients": ["::1"]}})
    with e.connect("bump", "::1") as c:
        assert c.get(plain.url("/x")).status == 200
    with e.connect("bump", "127.0.0.1") as c:
        r = c.get(plain.url("/x"))
        assert r.status == 403 and "access.clients" in r.text
    assert e.log("TCP_DENIED/403")
    assert plain.count("/x") == 1


def test_two_hundred_connections_at_once_are_all_served(edge, plain):
    plain.on("/many", Reply(body=b"ok", headers=[("Cache-Control", "max-age=60")]))
    clients = [edge.connect() for _ in range(200)]
    for c in clients:
        c.request("GET", plain.url("/many"))
    assert all(c.response().body == b"ok" for c in clients)
    for c in clients:
        c.close()


def test_start_fails_with_a_reason_when_the_state_folder_cannot_be_made(make):
    e = make.edge(start=False)
    e.state = "/proc/no-such-place/state"
    e.write_config()
    with pytest.raises(EdgeFailed) as failed:
        e.start()
    assert failed.value.code > 0 and "/proc/no-such-place" in failed.value.stderr
