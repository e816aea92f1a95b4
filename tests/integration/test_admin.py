"""The admin port of a running edge: health, readiness in a drain, metrics, statistics, the CA; who may ask by which name."""

import json
import re
import signal
import socket
import subprocess

import pytest

from lab import Reply, blob, eventually
from lab.edge import PMCACHED
from lab.wire import connect

STORED = [("Cache-Control", "max-age=60")]


def look(e, path, host="localhost", method="GET"):
    with e.connect("admin") as c:
        return c.ask(method, path, host=host)


def sample(e, name):
    """The value of one time series."""
    r = look(e, "/metrics")
    m = re.search(rf"^pmcache_{name} (\S+)$", r.text, re.M)
    assert m, f"no {name} in:\n{r.text}"
    return float(m.group(1))


def await_sample(e, name, value):
    eventually(lambda: f"{name} is {value}: {sample(e, name)}", lambda: sample(e, name) == value)


def stop_in(e, seconds):
    e.signal(signal.SIGTERM)
    assert e.process.wait(seconds) == 0
    e.stop()


def test_health_and_readiness(edge):
    for path, word in (("/healthz", "ok"), ("/readyz", "ready")):
        r = look(edge, path)
        assert (r.status, r.text.strip()) == (200, word)
        assert r.headers.get("Content-Type").startswith("text/plain")


def test_one_connection_serves_many_looks(edge):
    with edge.connect("admin") as c:
        for _ in range(50):
            assert c.get("/healthz", host="localhost").status == 200
            assert c.ask("HEAD", "/metrics", host="localhost").body == b""
            assert c.get("/nowhere", host="localhost").status == 404


def test_metrics_count_what_all_loops_do(make, plain):
    e = make.edge()
    plain.on("/o", Reply(body=blob(1000), headers=STORED))
    for _ in range(20):
        assert e.get(plain.url("/o")).status == 200
    await_sample(e, "connections", 0)
    assert sample(e, "requests_total") == 20
    assert sample(e, "connections_total") >= 20
    assert sample(e, "hits_memory_total") == 19
    assert sample(e, "misses_total") == sample(e, "upstream_requests_total") == 1
    assert sample(e, "cache_bytes_sent_total") == 19_000
    assert sample(e, "memory_store_objects") == 1
    assert 1000 < sample(e, "memory_store_bytes") < sample(e, "memory_store_limit_bytes") == 256 * 2**20
    with e.connect():
        await_sample(e, "connections", 1)



def test_hosts_and_classes_count_what_clients_got(make, plain):
    e = make.edge()
    tarball = "/left-pad/-/left-pad-1.3.0.tgz"
    plain.on(tarball, Reply(body=b"\x1f\x8b" + blob(1000), headers=STORED))
    for _ in range(4):
        assert e.get(plain.url(tarball)).status == 200
    for i in range(3):
        assert e.get(f"http://nowhere{i}.invalid/").status == 502
    eventually("all counted", lambda: sample(e, "requests_total") == 7)
    stats = json.loads(look(e, "/stats.json").text)
    assert stats == {**json.loads(e.ctl("stats", "--json").stdout), "time": stats["time"], "uptime_s": stats["uptime_s"],
                     "counters": stats["counters"]}
    [host] = stats["hosts"]
    assert host["host"] == plain.url("/").split("/")[2]
    assert [host[k] for k in ("requests", "hits", "misses", "failures", "cache_bytes", "upstream_requests", "upstream_bytes")] == \
        [4, 3, 1, 0, 3006, 1, 1002]
    assert host["client_bytes"] > 4008 and host["first_byte_us"]["p90"] >= host["first_byte_us"]["p50"] > 0
    assert stats["other_hosts"]["requests"] == stats["other_hosts"]["failures"] == 3
    [npm] = [c for c in stats["classes"] if c["ecosystem"] == "npm"]
    assert (npm["class"], npm["requests"], npm["hits"]) == ("immutable", 4, 3)
    assert "other_hosts.requests" in e.ctl("stats").stdout and "{" not in e.ctl("stats").stdout

def test_metrics_tell_the_version_the_start_and_the_end_of_the_ca(edge):
    text = look(edge, "/metrics").text
    version = subprocess.run([PMCACHED, "--version"], capture_output=True, text=True).stdout.split()[1]
    assert f'pmcache_build_info{{version="{version}"}} 1\n' in text
    stats = json.loads(look(edge, "/stats.json").text)
    assert stats["version"] == version
    end = subprocess.run(["openssl", "x509", "-in", edge.ca_file, "-noout", "-enddate"], capture_output=True, text=True)
    year = int(re.search(r"(\d{4}) GMT", end.stdout).group(1))
    assert abs(sample(edge, "ca_not_after_timestamp_seconds") / (365.2425 * 86400) + 1970 - (year + 0.5)) < 0.6
    first, again = sample(edge, "start_time_seconds"), sample(edge, "start_time_seconds")
    assert first == again


def test_prometheus_own_checker_finds_no_fault_in_the_metrics(edge, have):
    have("promtool")
    r = look(edge, "/metrics")
    assert r.headers.get("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    done = subprocess.run(["promtool", "check", "metrics"], input=r.body, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_stats_are_those_that_pmcachectl_shows(edge):
    r = look(edge, "/stats.json")
    assert r.headers.get("Content-Type") == "application/json"
    here, there = json.loads(r.text), json.loads(edge.ctl("stats", "--json").stdout)
    assert here["node"] == "edge1"
    assert set(here) == set(there) and set(here["counters"]) == set(there["counters"])


def test_the_ca_in_all_forms(edge):
    pem = look(edge, "/ca.crt")
    assert pem.text == open(edge.ca_file).read()
    assert look(edge, "/ca.crt?format=pem").body == pem.body
    for form, kind, check in (("der", "application/pkix-cert", ["openssl", "x509", "-inform", "DER", "-noout"]),
                              ("p12", "application/pkcs12", ["openssl", "pkcs12", "-nokeys", "-passin", "pass:changeit"])):
        r = look(edge, f"/ca.crt?format={form}")
        assert r.headers.get("Content-Type") == kind
        assert subprocess.run(check, input=r.body, capture_output=True).returncode == 0, form
        assert b"PRIVATE" not in r.body
    assert look(edge, "/ca.crt?format=key").status == 400
    assert look(edge, "/ca.key").status == 404


@pytest.mark.parametrize("host", ["attacker.test", "edge1.attacker.test", "127.0.0.1.attacker.test:8082"])
def test_a_name_that_was_made_to_lead_here_is_misdirected(edge, host):
    for path in ("/metrics", "/stats.json", "/ca.crt", "/healthz"):
        r = look(edge, path, host)
        assert r.status == 421
        assert "pmcache_" not in r.text and "edge1" not in r.text


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]:8082", "localhost:8082", "edge1", "EDGE1:8082"])
def test_addresses_and_the_nodes_own_name_are_taken(edge, host):
    assert look(edge, "/healthz", host).status == 200


def test_a_new_name_of_the_node_holds_after_a_reload(make):
    e = make.edge()
    assert look(e, "/healthz", "renamed").status == 421
    e.overrides = {"node": "renamed"}
    e.write_config()
    e.reload()
    eventually("the new name", lambda: look(e, "/healthz", "renamed").status == 200)
    assert look(e, "/healthz", "edge1").status == 421
    assert json.loads(look(e, "/stats.json").text)["node"] == "renamed"


@pytest.mark.parametrize("said,status", [(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400), (b"nonsense\r\n\r\n", 400),
                                         (b"GET / HTTP/1.1\r\n\r\n", 400),
                                         (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20000, 431)],
                         ids=["tls", "nonsense", "no host", "large"])
def test_what_is_malformed_is_told(edge, said, status):
    with edge.connect("admin") as c:
        c.send(said)
        c.half_close()
        assert c.response().status == status
        assert c.ended()
    assert look(edge, "/healthz").status == 200


def test_in_a_drain_it_is_alive_but_not_ready(make, plain):
    e = make.edge()
    gate = plain.gate()
    plain.on("/slow", lambda req: Reply(body=[b"a" * 100, gate, b"b" * 100], framing="close"))
    monitor, c = e.connect("admin"), e.connect()
    assert monitor.get("/readyz", host="localhost").status == 200
    c.request("GET", plain.url("/slow"))
    r = c.head()
    gate.await_waiting()
    e.signal(signal.SIGTERM)
    eventually("not ready", lambda: look(e, "/readyz").status == 503)
    assert look(e, "/readyz").text.strip() == "draining"
    assert monitor.get("/readyz", host="localhost").status == 503
    assert look(e, "/healthz").status == 200
    assert sample(e, "connections") == 1
    with pytest.raises(OSError):
        connect("127.0.0.1", e.bump_port)
    gate.open()
    c.body(r)
    assert r.body == b"a" * 100 + b"b" * 100 and not r.cut
    c.close()
    assert e.process.wait(10) == 0
    assert monitor.ended()


def test_monitoring_that_stays_connected_does_not_hold_up_the_end(make):
    e = make.edge()
    idle, busy = e.connect("admin"), e.connect("admin")
    assert idle.get("/healthz", host="localhost").status == 200
    busy.send(b"GET /heal")
    stop_in(e, 5)
    assert idle.ended() and busy.ended()


def test_several_addresses(make):
    e = make.edge(start=False)
    e.overrides = {"listen": {"admin": [f"127.0.0.1:{e.admin_port}", f"[::1]:{e.admin_port}"]}}
    e.write_config()
    e.start()
    for host in ("127.0.0.1", "::1"):
        with e.connect("admin", host) as c:
            assert c.get("/healthz", host="localhost").status == 200


def test_no_address_no_port(make):
    e = make.edge({"listen": {"admin": []}})
    with pytest.raises(OSError):
        e.connect("admin")
    stop_in(e, 5)


def test_a_taken_port_stops_the_start_and_is_named(make):
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        e = make.edge({"listen": {"admin": [f"127.0.0.1:{port}"]}}, start=False)
        e.launch()
        assert e.process.wait(10) > 0
        e._reader.join(2)
        e.process = None
    assert f"127.0.0.1:{port}: the port is taken by" in e.stderr_text
