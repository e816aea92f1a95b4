"""conf/integration.yaml: each row of the seed's squid.conf has a test that shows its effect.

run-tests: not for threads
"""

import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from lab import Reply, blob, eventually, steady
from lab.edge import PMCACHECTL, ROOT, flatten, run_pmcached, size_bytes
from lab.makers import shared_edge
from lab.registries import make_tgz

STORED = [("Cache-Control", "max-age=60")]
NO_STORE = [("Cache-Control", "no-store")]


@pytest.fixture(scope="module")
def values():
    """What conf/integration.yaml puts in force."""
    done = run_pmcached("--dump-config", "-c", ROOT / "conf/integration.yaml")
    assert done.returncode == 0, done.stderr
    return flatten(done.stdout)


@pytest.mark.parametrize("name", sorted(p.name for p in (ROOT / "conf").glob("*.yaml")))
def test_every_example_configuration_is_valid(name, tmp_path):
    """Those of clusters with the files that pmcachectl makes for such a node."""
    text = (ROOT / "conf" / name).read_text()
    node, role, cluster = (re.search(p, text, re.M) for p in (r"^node: (\S+)", r"^role: (\w+)", r"^  name: (\w+)"))
    state = tmp_path / "state"
    if cluster:
        for words in (["init", cluster[1]], ["issue", node[1], "--role", role[1], "--address", "a.test"]):
            subprocess.run([PMCACHECTL, "cluster", *words], cwd=tmp_path, check=True, capture_output=True,
                           env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
        state = tmp_path / f"{cluster[1]}-cluster/nodes" / node[1]
    (tmp_path / name).write_text(f"state: {state}\n{text}")
    done = run_pmcached("--check-config", "-c", tmp_path / name)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("key,value", [
    ("bump.certificate", "origin"), ("log.access.format", "squid"), ("log.access.keep", "5"),
    ("log.access.headers", "on"), ("log.access.query", "on"), ("limits.request_header", "8KB"),
    ("limits.request_body", "8KB"), ("limits.reply_body", "200MB"), ("cache.read_ahead", "1024KB"),
    ("cache.quick_abort.min", "0"), ("cache.quick_abort.max", "0"), ("cache.quick_abort.percent", "100%"),
    ("cache.memory.size", "1GB"), ("cache.memory.max_object", "4096KB"), ("cache.memory.policy", "gdsf"),
    ("cache.max_object", "32MB"), ("headers.via", "off"), ("headers.forwarded_for", "off"),
])
def test_the_seeds_values_are_in_conf_integration_yaml(values, key, value):
    got = values[key]
    if re.fullmatch(r"\d+ ?[KMGT]?B?", value):
        assert size_bytes(got) == size_bytes(value)
    else:
        assert got.rstrip("%") == value.rstrip("%")


@pytest.mark.parametrize("key,words", [
    ("access.safe_ports", ["80", "443"]), ("access.connect_ports", ["443"]), ("access.purge", ["127.0.0.0/8"]),
    ("access.deny_to", ["loopback"]),
])
def test_the_seeds_lists_are_in_conf_integration_yaml(values, key, words):
    assert all(w in values[key] for w in words), values[key]
    assert "1-65535" not in values[key]


# request_header_max_size 8 KB, request_body_max_size 8 KB, reply_body_max_size 200 MB


@pytest.fixture
def small(shared):
    """An edge with the seed's limits (the reply's made small)."""
    yield from shared_edge(shared, "small", {
        "limits": {"request_header": "8KB", "request_body": "8KB", "reply_body": "1MB"}})


@pytest.mark.parametrize("tls", [False, True])
def test_a_request_head_above_8_kb_is_431(small, make, tls):
    o = make.origin(tls=tls)
    o.on("/x", Reply(body=b"ok"))
    assert small.get(o.url("/x"), [("X-Long", "a" * 7000)]).status == 200
    r = small.get(o.url("/x"), [("X-Long", "a" * 8200)])
    assert r.status == 431 and "limits.request_header" in r.text and r.closing
    assert o.count("/x") == 1


@pytest.mark.parametrize("tls", [False, True])
def test_a_request_body_above_8_kb_is_413(small, make, tls):
    o = make.origin(tls=tls)
    o.on("/x", Reply(body=b"ok"))
    assert small.ask("POST", o.url("/x"), body=b"a" * 8192).status == 200
    r = small.ask("POST", o.url("/x"), body=b"a" * 8193)
    assert r.status == 413 and "limits.request_body" in r.text and r.closing
    assert o.count("/x") == 1


def test_a_chunked_request_body_above_8_kb_is_413_and_never_ended_upstream(small, make):
    o = make.origin(tls=False)
    o.on("/x", Reply(body=b"ok"))
    with small.connect() as c:
        c.request("POST", o.url("/x"), [("Transfer-Encoding", "chunked")], b"1000\r\n" + b"a" * 4096 + b"\r\n")
        c.send(b"1000\r\n" + b"a" * 4096 + b"\r\n" + b"1\r\na\r\n0\r\n\r\n")
        assert c.response().status == 413
        assert c.ended()
    assert not any(q.complete for q in o.requests("/x"))
    o.errors.clear()


@pytest.mark.parametrize("tls", [False, True])
def test_an_answer_above_the_limit_is_a_502_that_says_so(small, make, tls):
    o = make.origin(tls=tls)
    o.on("/big", Reply(body=blob(1_100_000), headers=STORED)).on("/fits", Reply(body=blob(1 << 20), headers=STORED))
    r = small.get(o.url("/big"))
    assert r.status == 502 and "limits.reply_body" in r.text
    assert small.get(o.url("/fits")).body == blob(1 << 20)


def test_an_answer_that_grows_above_the_limit_is_a_visible_cut_and_not_stored(small, make):
    o = make.origin(tls=False)
    o.on("/big", lambda req: Reply(body=[blob(100_000)] * 12, framing="chunked", headers=STORED))
    for _ in range(2):
        r = small.get(o.url("/big"))
        assert (r.cut or r.status == 502) and len(r.body) <= 1 << 20
    assert o.count("/big") == 2


# read_ahead_gap 1024 KB


def held_for_a_stalled_reader(e, o, path):
    with e.connect() as c:
        before = e.rss_bytes()
        c.request("GET", o.url(path))
        o.await_requests(1, path)
        steady("the fetch", lambda: o.bytes_sent)
        return e.rss_bytes() - before


def test_read_ahead_is_how_much_is_held_for_a_client_that_does_not_read(make):
    held = {}
    for size in ("64KB", "16MB"):
        e = make.edge({"cache": {"read_ahead": size}})
        o = make.origin(tls=False)
        o.on("/big", lambda req: Reply(body=[blob(1_000_000)] * 60, framing="close", headers=NO_STORE))
        held[size] = held_for_a_stalled_reader(e, o, "/big")
        e.stop()
    assert held["16MB"] > 10_000_000, held
    if e.may_measure_memory():
        assert held["64KB"] < 6_000_000, held


# quick_abort_min, quick_abort_max, quick_abort_pct


@pytest.mark.parametrize("rule,finished", [
    ({"min": "0", "max": "0", "percent": 100}, False),
    ({"min": "1MB", "max": "1MB", "percent": 100}, True),
    ({"min": "0", "max": "10MB", "percent": 40}, True),
    ({"min": "0", "max": "10MB", "percent": 60}, False),
], ids=["seed: never", "little is left", "much is there", "not enough is there"])
def test_quick_abort_decides_about_a_fetch_that_lost_its_client(make, rule, finished):
    e = make.edge({"cache": {"quick_abort": rule}})
    o = make.origin(tls=False)
    gate = o.gate()
    body = blob(1_000_000)
    ended = []

    def answer(conn, req):
        conn.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1000000\r\n\r\n" + body[:500_000])
        gate.wait()
        try:
            conn.send(body[500_000:])
            conn.sock.settimeout(10)
            ended.append(conn.recv() == b"")
        except OSError:
            ended.append(True)
    o.raw("/x", answer)
    c = e.connect()
    c.request("GET", o.url("/x"))
    c.head()
    assert len(c.read(500_000)) == 500_000
    c.reset()  # a client that only closes might still be listening
    e.log("/x")
    gate.open()
    r = e.get(o.url("/x"))
    assert r.body == body
    assert o.count("/x") == (1 if finished else 2)


def test_an_immutable_fetch_is_finished_whatever_quick_abort_says(make):
    e = make.edge({"cache": {"quick_abort": {"min": "0", "max": "0", "percent": 100}}})
    o = make.origin()
    gate = o.gate()
    tgz = make_tgz("abort-test", "1.0.0", index="".join(f"// {n * n}\n" for n in range(100_000)))
    path = "/abort-test/-/abort-test-1.0.0.tgz"
    o.raw(path, lambda conn, req: (conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(tgz) + tgz[:50_000]),
                                   gate.wait(), conn.send(tgz[50_000:])))
    c, target = e.session(o.url(path))
    c.request("GET", target)
    c.head()
    c.read(50_000)
    c.reset()
    e.log(path)
    gate.open()
    assert e.get(o.url(path)).body == tgz and o.count(path) == 1


# maximum_object_size_in_memory 4096 KB, maximum_object_size 32 MB (the disk keeps what fits memory)


@pytest.mark.parametrize("key", ["memory", "all"])
def test_objects_above_the_limit_are_passed_on_and_not_kept(make, key):
    e = make.edge({"cache": {"memory": {"max_object": "100KB"}} if key == "memory" else {"max_object": "100KB"}})
    o = make.origin(tls=False)
    for path, size in (("/small", 100 << 10), ("/large", (100 << 10) + 1)):
        o.on(path, Reply(body=blob(size), headers=STORED))
        o.on(path + "-chunked", lambda req, size=size: Reply(body=[blob(size)], framing="chunked", headers=STORED))
    for tail in ("", "-chunked"):
        for _ in range(2):
            assert e.get(o.url("/small" + tail)).body == blob(100 << 10)
            assert e.get(o.url("/large" + tail)).body == blob((100 << 10) + 1)
        assert (o.count("/small" + tail), o.count("/large" + tail)) == (1, 2)


# via off, forwarded_for off, follow_x_forwarded_for deny all


def test_via_and_x_forwarded_for_are_off(edge, make):
    for tls in (False, True):
        o = make.origin(tls=tls)
        o.on("/x", Reply(body=b"x"))
        r = edge.get(o.url("/x"), [("X-Forwarded-For", "192.0.2.7")])
        assert "Via" not in r.headers
        seen = o.last("/x").headers
        assert "Via" not in seen and "X-Forwarded-For" not in seen and "Forwarded" not in seen
        assert edge.log(o.url("/x"))[0].client == "127.0.0.1"


def test_via_and_x_forwarded_for_can_be_on(make, plain):
    e = make.edge({"headers": {"via": True, "forwarded_for": True}})
    plain.on("/x", Reply(body=b"x"))
    r = e.get(plain.url("/x"), [("X-Forwarded-For", "192.0.2.7")])
    seen = plain.last("/x").headers
    assert "edge1" in seen.get("Via") and "edge1" in r.headers.get("Via")
    assert seen.get("X-Forwarded-For") == "127.0.0.1"


def test_a_request_that_comes_round_in_a_circle_is_refused(make, plain):
    e = make.edge({"headers": {"via": True}})
    plain.on("/x", Reply(body=b"x"))
    r = e.get(plain.url("/x"), [("Via", "1.1 edge1")])
    assert r.status in (200, 508)
    assert r.status == 508 or plain.count("/x") == 1


# acl Safe_ports, acl SSL_ports, http_access deny


def test_ports_outside_safe_ports_are_refused(make, plain):
    e = make.edge({"access": {"safe_ports": [80, 443, plain.port + 1], "connect_ports": ["1-65535"]}})
    r = e.get(plain.url("/x"))
    assert r.status == 403 and "access.safe_ports" in r.text and plain.accepted == 0
    assert e.log(plain.url("/x"))[0].result == "TCP_DENIED"


def test_connect_to_a_port_outside_connect_ports_is_refused(make, origin):
    e = make.edge({"access": {"connect_ports": [443]}})
    for door in ("proxy", "bump"):
        with e.connect(door) as c:
            c.request("CONNECT", origin.authority, host=origin.authority)
            r = c.response("GET")
            assert r.status == 403 and "access.connect_ports" in r.text and r.closing
    assert origin.accepted == 0
    assert e.log(origin.authority, 2)[0].result == "TCP_DENIED"


def test_allowed_ports_work(make, plain, origin):
    e = make.edge({"access": {"safe_ports": [plain.port], "connect_ports": [f"{origin.port}-{origin.port}"]}})
    plain.on("/x", Reply(body=b"x"))
    origin.on("/x", Reply(body=b"y"))
    assert e.get(plain.url("/x")).body == b"x"
    assert e.get(origin.url("/x")).body == b"y"


# allow manager localhost, method_purge localhost: purge is in test_caching.py, deny_to in test_upstream.py


def test_the_admin_port_answers_on_loopback_and_reads_only(edge):
    with edge.connect("admin") as c:
        r = c.get("/healthz", host="localhost")
        assert r.status == 200
        r = c.get("/metrics", host="localhost")
        assert r.status == 200 and re.search(r"^[a-z_]*requests_total(\{.*\})? \d+", r.text, re.M), r.text
    for method in ("POST", "PUT", "DELETE", "PURGE"):
        with edge.connect("admin") as c:
            assert c.ask(method, "/metrics", host="localhost").status in (403, 405, 501)


def test_the_admin_port_shows_no_urls(edge, plain):
    plain.on("/a-telling-name", Reply(body=b"x", headers=STORED))
    edge.get(plain.url("/a-telling-name?token=hush"))
    for path in ("/metrics", "/stats.json", "/healthz", "/readyz", "/"):
        with edge.connect("admin") as c:
            assert b"a-telling-name" not in c.get(path, host="localhost").body


# icp_access deny all


def test_no_port_is_open_but_those_configured_and_no_udp_port_at_all(edge, plain):
    plain.on("/x", Reply(body=b"x"))
    edge.get(plain.url("/x"))
    inodes = set()
    for fd in Path(f"/proc/{edge.pid}/fd").iterdir():
        try:
            m = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(fd))
        except FileNotFoundError:
            continue
        if m:
            inodes.add(m.group(1))

    def ports(table, state):
        out = set()
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            f = line.split()
            if f[9] in inodes and f[3] == state:
                out.add(int(f[1].split(":")[1], 16))
        return out
    assert ports("tcp", "0A") | ports("tcp6", "0A") == {edge.proxy_port, edge.bump_port, edge.admin_port}
    assert ports("udp", "07") | ports("udp6", "07") == set()


# access_log squid, logfile_rotate 5, log_mime_hdrs on, strip_query_terms off


def test_log_mime_hdrs_adds_both_heads_to_the_line(make, plain):
    e = make.edge({"log": {"access": {"headers": True}}})
    plain.on("/x", Reply(body=b"x", headers=[("X-Answer", "42")]))
    e.get(plain.url("/x"), [("X-Question", "what [is] it")])
    line = e.log("/x")[0]
    assert "X-Question: what %5bis%5d it" in line.request and "X-Answer: 42" in line.reply


@pytest.mark.parametrize("query", [True, False])
def test_strip_query_terms(make, plain, query):
    e = make.edge({"log": {"access": {"query": query}}})
    plain.on("/x", Reply(body=b"x"))
    e.get(plain.url("/x?colour=red"))
    assert ("colour=red" in e.log("/x?")[0].url) is query


def test_logfile_rotate_keeps_five(make, plain):
    e = make.edge({"log": {"access": {"keep": 5}}})
    for n in range(8):
        plain.on(f"/n{n}", Reply(body=b"x"))
        e.get(plain.url(f"/n{n}"))
        e.log(f"/n{n}")
        e.signal(signal.SIGUSR1)
        eventually("the log was rotated", lambda: f"/n{n}" not in "\n".join(e.log_texts()))
    old = sorted(p.name for p in e.folder.glob("access.log.*"))
    assert len(old) == 5, old
    text = "".join(p.read_text() for p in e.folder.glob("access.log.*"))
    assert [n for n in range(8) if f"/n{n} " in text] == [3, 4, 5, 6, 7]


def test_the_daemon_starts_no_other_process(edge):
    assert not any(p.read_text().split() for p in Path(f"/proc/{edge.pid}/task").glob("*/children"))


def test_too_many_connections_are_refused_not_left_hanging(make, plain):
    e = make.edge({"limits": {"connections": 16}})
    plain.on("/x", Reply(body=b"x"))
    clients = []
    outcomes = []
    for _ in range(40):
        try:
            c = e.connect()
            clients.append(c)
            c.request("GET", plain.url("/x"))
        except OSError:
            outcomes.append("refused")
    for c in clients:
        try:
            outcomes.append(c.response().status)
        except (EOFError, OSError):
            outcomes.append("refused")
    assert outcomes.count(200) >= 8 and set(outcomes) <= {200, 503, "refused"}
    assert outcomes.count(200) <= 16
    for c in clients:
        c.close()
    eventually("room again", lambda: e.get(plain.url("/x")).status == 200)


@pytest.mark.parametrize("said", [b"", b"GET http://plain.te", b"\x16\x03\x01\x02\x00\x01"])
def test_a_client_that_does_not_finish_its_head_is_cut_at_header_timeout(make, said):
    e = make.edge({"limits": {"header_timeout": "1s", "idle_timeout": "1s"}})
    with e.connect() as c:
        if said:
            c.send(said)
        try:
            rest = c.read_all()
        except ConnectionResetError:
            rest = c.buffer
        assert rest == b"" or rest.startswith(b"HTTP/1.1 408") or rest[:1] == b"\x15"


def test_an_idle_kept_connection_is_closed_at_idle_timeout(make, plain):
    e = make.edge({"limits": {"idle_timeout": "1s"}})
    plain.on("/x", Reply(body=b"x"))
    with e.connect() as c:
        assert c.get(plain.url("/x")).status == 200
        assert c.ended()


def test_a_client_that_takes_nothing_is_cut_at_stall_timeout(make, plain):
    e = make.edge({"limits": {"stall_timeout": "1s"}})
    plain.on("/big", lambda req: Reply(body=[blob(1_000_000)] * 60, framing="close", headers=NO_STORE))
    with e.connect() as c:
        c.wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.request("GET", plain.url("/big"))
        line = e.log("/big")[0]
        assert "ABORTED" in line.result or line.bytes < 60_000_000
