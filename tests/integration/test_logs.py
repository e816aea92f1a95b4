"""The access log: Squid's native format read by real analysers, JSON lines, rotation, and what must never stand in it."""

import base64
import json
import re
import shutil
import signal
import subprocess

import pytest

from lab import Reply, blob, eventually
from lab.edge import LogLine
from lab.registries import make_tgz

STORED = [("Cache-Control", "max-age=60"), ("Content-Type", "text/plain; charset=utf-8")]


def result(e, match, n=1):
    return e.log(match, n)[n - 1]


def test_a_miss_and_a_hit_line_field_by_field(edge, plain):
    plain.on("/o", Reply(body=b"12345", headers=STORED))
    sizes = []
    for n in (1, 2):
        r = edge.get(plain.url("/o"))
        sizes.append(len(r.raw_head) + len(r.body))
        lines = edge.log(plain.url("/o"), n)  # awaited: two connections may be on two loops
    miss, hit = lines
    assert (miss.result, miss.status, miss.hier, miss.peer) == ("TCP_MISS", 200, "HIER_DIRECT", "127.0.0.1")
    assert (hit.result, hit.status, hit.hier, hit.peer) == ("TCP_MEM_HIT", 200, "HIER_NONE", "-")
    for line, size in zip((miss, hit), sizes):
        assert line.bytes == size and line.method == "GET" and line.url == plain.url("/o") and line.user == "-"
        assert line.type == "text/plain" and line.client == "127.0.0.1" and line.elapsed < 5000


def test_the_native_format_has_squids_columns(edge, plain):
    """time.ms, elapsed right-aligned in six columns, client, RESULT/status, bytes, method, URL, user, HIER/peer, type."""
    plain.on("/o", Reply(body=b"12345", headers=STORED))
    edge.get(plain.url("/o"))
    text = edge.log(plain.url("/o"))[0].text
    assert text[14:15] == " " and text[15:21].strip().isdigit() and text[21] == " ", text


def test_https_requests_are_logged_with_their_whole_url(edge, origin):
    origin.on("/o", Reply(body=b"12345", headers=STORED))
    edge.get(origin.url("/o?a=b"))
    assert edge.log("/o?a=b")[0].url == origin.url("/o?a=b")


def test_refresh_codes(edge, plain):
    plain.on("/o", lambda req: Reply(304, [("ETag", '"1"')]) if req.headers.get("If-None-Match") == '"1"' else
             Reply(200, [("ETag", '"1"'), ("Cache-Control", "max-age=0")], b"1"))
    edge.get(plain.url("/o"))
    edge.get(plain.url("/o"))
    line = result(edge, plain.url("/o"), 2)
    assert (line.result, line.status, line.hier) == ("TCP_REFRESH_UNMODIFIED", 200, "HIER_DIRECT")
    plain.on("/o", Reply(200, [("ETag", '"2"'), ("Cache-Control", "max-age=0")], b"2"))
    edge.get(plain.url("/o"))
    assert result(edge, plain.url("/o"), 3).result == "TCP_REFRESH_MODIFIED"


def test_refresh_fail_old_when_a_stale_index_is_served(edge, plain):
    plain.on("/info/x", Reply(200, [("ETag", '"1"'), ("Cache-Control", "max-age=0")], b"1"))
    edge.get(plain.url("/info/x"))
    plain.shutdown()
    edge.get(plain.url("/info/x"))
    assert result(edge, plain.url("/info/x"), 2).result in ("TCP_REFRESH_FAIL_OLD", "TCP_MEM_HIT")


def test_client_refresh_code(edge, plain):
    plain.on("/o", Reply(200, STORED, b"1"))
    edge.get(plain.url("/o"))
    edge.get(plain.url("/o"), [("Cache-Control", "no-cache")])
    line = result(edge, plain.url("/o"), 2)
    assert (line.result, line.status, line.hier) == ("TCP_CLIENT_REFRESH_MISS", 200, "HIER_DIRECT")


def test_conditional_codes(edge, plain):
    plain.on("/o", Reply(200, [("ETag", '"1"'), ("Last-Modified", "Tue, 02 Jan 2024 03:04:05 GMT"), *STORED], b"1"))
    conditions = [], [("If-Modified-Since", "Tue, 02 Jan 2024 03:04:05 GMT")], [("If-None-Match", '"1"')]
    for n, condition in enumerate(conditions, 1):
        edge.get(plain.url("/o"), condition)
        edge.log(plain.url("/o"), n)  # one line after the other: each request may be on another loop
    lines = edge.log(plain.url("/o"), 3)[1:]
    assert [(line.result, line.status, line.hier) for line in lines] == [
        ("TCP_IMS_HIT", 304, "HIER_NONE"), ("TCP_INM_HIT", 304, "HIER_NONE")]


def test_the_type_of_an_answer_of_our_own_is_logged_too(edge, plain):
    plain.shutdown()
    assert edge.get(plain.url("/o")).status == 502
    assert result(edge, plain.url("/o")).type == "text/plain"


def test_waiters_of_a_flight_are_marked(edge, plain):
    gate = plain.gate()
    plain.on("/o", lambda req: (gate.wait(), Reply(body=b"x", headers=STORED))[1])
    clients = [edge.connect() for _ in range(3)]
    for c in clients:
        c.request("GET", plain.url("/o"))
    edge.await_read(edge.bump_port)
    gate.open()
    for c in clients:
        c.response()
        c.close()
    words = sorted(line.result for line in edge.log(plain.url("/o"), 3))
    assert words.count("TCP_MISS") == 1 and set(words) <= {"TCP_MISS", "TCP_CF_HIT", "TCP_MEM_HIT"}, words


def test_tunnels_denials_and_upstream_faults(edge, make, plain):
    echo = make.origin(tls=False)
    echo.on_accept = lambda sock: sock.sendall(b"12345")
    with edge.tunnel(f"127.0.0.1:{echo.port}", door="proxy") as c:
        assert c.read_all() == b"12345"
    line = result(edge, f"127.0.0.1:{echo.port}")
    assert (line.result, line.status, line.method, line.hier) == ("TCP_TUNNEL", 200, "CONNECT", "HIER_DIRECT")
    assert line.url == f"127.0.0.1:{echo.port}"
    plain.raw("/dead", lambda conn, req: conn.reset())
    edge.get(plain.url("/dead"))
    line = result(edge, plain.url("/dead"))
    assert line.status == 502 and line.result.startswith("TCP_MISS")


def test_a_malformed_request_has_a_line_too(edge):
    with edge.connect() as c:
        c.send(b"G@T / HTTP/1.1\r\n\r\n")
        assert c.response().status in (400, 501)
    eventually("a line", lambda: any(LogLine(t).status in (400, 501) for t in edge.log_texts()))


def test_a_client_that_leaves_is_marked_aborted(edge, plain):
    gate = plain.gate()
    plain.on("/o", lambda req: Reply(body=[blob(100_000), gate, blob(100_000)], headers=[("Cache-Control", "no-store")]))
    c = edge.connect()
    c.request("GET", plain.url("/o"))
    c.head()
    gate.await_waiting()
    c.reset()
    line = result(edge, plain.url("/o"))
    gate.open()
    assert line.result.endswith("_ABORTED"), line


def test_nothing_a_client_sends_can_break_a_line(make, plain):
    e = make.edge({"log": {"access": {"headers": True}}})
    with e.connect() as c:
        c.send(f"GET {plain.url('/a%0d%0aEVIL%20TCP_HIT/200')} HTTP/1.1\r\nHost: {plain.authority}\r\n"
               "User-Agent: ] [\\r\\n\xff\x80\t\"%0a\r\n\r\n")
        c.response()
    e.log("/a%0d%0aEVIL%20TCP_HIT/200")
    assert all(LogLine(t) for t in e.log_texts()) and len(e.log_texts()) == 1


def every_kind(e, plain, origin):
    """Some traffic of all kinds; returns how many requests."""
    tgz = make_tgz("log-test", "1.0.0")
    origin.on("/log-test/-/log-test-1.0.0.tgz", Reply(body=tgz))
    plain.on("/o", Reply(200, [("ETag", '"1"'), *STORED], b"body"))
    plain.on("/gone", Reply(404, [], b"", reason="Not Found"))
    plain.raw("/dead", lambda conn, req: conn.reset())
    n = 0
    for url, headers in [(plain.url("/o"), []), (plain.url("/o"), []), (plain.url("/o"), [("If-None-Match", '"1"')]),
                         (plain.url("/o"), [("Cache-Control", "no-cache")]), (plain.url("/gone"), []),
                         (plain.url("/dead"), []), (plain.url("/q?a=b&c=d e".replace(" ", "%20")), []),
                         (origin.url("/log-test/-/log-test-1.0.0.tgz"), []),
                         (origin.url("/log-test/-/log-test-1.0.0.tgz"), [])]:
        e.get(url, headers)
        n += 1
    eventually("all lines", lambda: len([t for t in e.log_texts() if " GET " in t]) >= n)
    return n


def credentials(pair):
    return [("Proxy-Authorization", "Basic " + base64.b64encode(pair).decode())]


def test_the_users_name_in_the_proxys_url_names_the_job(make, origin, plain):
    e = make.edge({"log": {"access": {"headers": True}}})
    origin.on("/o", Reply(body=b"1", headers=STORED))
    plain.on("/o", Reply(body=b"1", headers=STORED))
    for job in (b"job7:hunter2", b"job8:"):
        with e.bumped(origin, headers=[("Host", origin.url("/").split("/")[2])] + credentials(job)) as c:
            for _ in range(2):
                c.get("/o")
        e.get(plain.url("/o"), credentials(job))
    https, http = ([line.split() for line in e.log_texts() if o.url("/o") in line] for o in
                   (origin, plain) if e.log(o.url("/o"), 4 if o is origin else 2))
    assert [(w[3].split("/")[0], w[7]) for w in https] == [("TCP_MISS", "job7"), ("TCP_MEM_HIT", "job7"), ("TCP_MEM_HIT", "job8"),
                                                           ("TCP_MEM_HIT", "job8")]
    assert [(w[3].split("/")[0], w[7]) for w in http] == [("TCP_MISS", "job7"), ("TCP_MEM_HIT", "job8")]
    text = e.access_log.read_text() + e.stderr_text
    assert "hunter2" not in text and base64.b64encode(b"job7:hunter2").decode() not in text
    assert not [r for o in (origin, plain) for r in o.requests() if "Proxy-Authorization" in r.headers], "it is for the proxy alone"


def test_no_name_of_a_job_can_break_a_line(make, plain):
    plain.on("/o", Reply(body=b"1", headers=STORED))
    e, j = make.edge(), make.edge({"log": {"access": {"format": "json"}}})
    hostile = [b"a b\r\n1 2 3:x", b"\x00\xff\"\\:x", b"n" * 5000 + b":x", b":only a password", b"no colon"]
    for name in hostile:
        for one in (e, j):
            one.get(plain.url("/o"), credentials(name))
    assert [line.user for line in e.log(plain.url("/o"), len(hostile))] == [
        "a%20b%0D%0A1%202%203", "%00%FF\"\\", "n" * 64, "-", "-"]
    eventually("JSON lines", lambda: len(j.log_texts()) == len(hostile))
    assert [json.loads(t)["user"] for t in j.log_texts()] == ["a b\r\n1 2 3", "\x00\xff\"\\", "n" * 64, None, None]


def test_goaccess_reads_every_line(make, plain, origin, have):
    have("goaccess")
    e = make.edge()
    every_kind(e, plain, origin)
    report = e.folder / "report.json"
    done = subprocess.run(["goaccess", str(e.access_log), "--no-global-config", "--log-format=%x.%^ %~%L %h %^/%s %b %m %U %^",
                           "--datetime-format=%s", "--date-format=%s", "--time-format=%s", "-o", str(report)],
                          capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    general = json.loads(report.read_text())["general"]
    gets = len([t for t in e.log_texts() if " GET " in t])
    assert general["failed_requests"] <= len(e.log_texts()) - gets, general
    assert general["valid_requests"] >= gets, general


def test_calamaris_reads_every_line(make, plain, origin, have):
    have("calamaris")
    e = make.edge()
    every_kind(e, plain, origin)
    done = subprocess.run(["calamaris", "-a"], input=e.access_log.read_text(), capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    numbers = {k.strip(): v for k, _, v in (line.partition(":") for line in done.stdout.splitlines())}
    assert numbers["lines parsed"].split() == ["lines", str(len(e.log_texts()))], done.stdout[:2000]
    assert numbers["invalid lines"].split() == ["lines", "0"], done.stdout[:2000]
    assert int(numbers["Total amount cached"].split()[1]) >= 3, done.stdout[:3000]


def test_json_lines_hold_the_same_values_by_name(make, plain):
    e = make.edge({"log": {"access": {"format": "json", "headers": True}}})
    plain.on("/o", Reply(body=b"12345", headers=STORED))
    for n in range(1, 3):
        e.get(plain.url('/o'), [("User-Agent", 'quo"ted \\ \xe4')])
        lines = eventually(f"{n} lines", lambda n=n: (lambda t: t if len(t) == n else None)(e.log_texts()))
    miss, hit = map(json.loads, lines)
    assert (miss["result"], miss["status"], miss["hierarchy"], miss["peer"]) == ("TCP_MISS", 200, "HIER_DIRECT", "127.0.0.1")
    assert (hit["result"], hit["hierarchy"], hit["peer"], hit["user"]) == ("TCP_MEM_HIT", "HIER_NONE", None, None)
    assert hit["url"] == plain.url("/o") and hit["method"] == "GET" and hit["client"] == "127.0.0.1"
    assert (hit["cache_status"] or "").startswith("edge1; hit"), hit
    assert len(hit["id"]) == 16 and hit["id"] != miss["id"]
    assert ["User-Agent", 'quo"ted \\ \xe4'] in miss["request_headers"] or \
        any(n == "User-Agent" and v.startswith('quo"ted \\') for n, v in miss["request_headers"])


def test_an_error_text_carries_the_id_of_its_line(make, plain):
    e = make.edge({"log": {"access": {"format": "json"}}})
    plain.shutdown()
    r = e.get(plain.url("/o"))
    line = json.loads(eventually("a line", e.log_texts)[0])
    assert r.status == line["status"] == 502 and line["id"] in r.text


SECRET = "hunter2hunter2"


@pytest.mark.parametrize("form", ["squid", "json"])
def test_secrets_are_masked_everywhere_with_headers_and_query_on(make, origin, plain, form):
    e = make.edge({"log": {"level": "debug", "access": {"format": form, "headers": True, "query": True}}})
    origin.on("/o", Reply(headers=[("Set-Cookie", f"sid={SECRET}")], body=b"x"))
    plain.on("/o", Reply(headers=[("Set-Cookie", f"sid={SECRET}"), ("Location", f"http://u:{SECRET}@h.test/?sig={SECRET}")], body=b"x"))
    ask = [("Authorization", f"Bearer {SECRET}"), ("Cookie", f"sid={SECRET}"), ("Proxy-Authorization", f"Basic {SECRET}"),
           ("X-Auth-Token", SECRET), ("Private-Token", SECRET)]
    for o in (origin, plain):
        for query in (f"X-Amz-Signature={SECRET}&a=1", f"token={SECRET}", f"sig={SECRET}&se=2026", f"jwt={SECRET}",
                      f"X-Goog-Signature={SECRET}", f"a=1&Signature={SECRET}&Expires=1"):
            e.get(o.url("/o?" + query), ask)
    with e.connect() as c:
        c.get(f"http://user:{SECRET}@plain.test:{plain.port}/o", host=plain.authority)
    origin.shutdown()
    plain.shutdown()
    for o in (origin, plain):
        assert SECRET not in e.get(o.url(f"/new?token={SECRET}"), ask).text
    eventually("the lines", lambda: len(e.log_texts()) >= 14)
    with e.connect("admin") as c:
        assert SECRET not in c.get("/metrics", host="localhost").text
    e.stop()
    assert SECRET not in e.access_log.read_text()
    assert SECRET not in e.stderr_text


def test_sigusr1_opens_the_file_anew_and_loses_no_line(make, plain):
    e = make.edge({"log": {"access": {"keep": 0}}})
    plain.on("/o", Reply(body=b"x", headers=STORED))
    for n in range(50):
        e.get(plain.url(f"/o?{n}"))
    e.log("/o", 50)
    moved = e.folder / "moved.log"
    shutil.move(e.access_log, moved)
    e.signal(signal.SIGUSR1)
    eventually("a new file", e.access_log.exists)
    for n in range(50, 100):
        e.get(plain.url(f"/o?{n}"))
    e.log("/o", 50)
    whole = moved.read_text() + e.access_log.read_text()
    assert all(f"/o?{n} " in whole for n in range(100))


def test_a_log_that_cannot_be_written_does_not_stop_serving(make, plain):
    e = make.edge({"log": {"access": {"path": "/dev/full"}}})
    plain.on("/o", Reply(body=b"x", headers=STORED))
    for _ in range(20):
        assert e.get(plain.url("/o")).body == b"x"


def test_no_access_log_when_off(make, plain):
    e = make.edge({"log": {"access": {"path": "off"}}})
    plain.on("/o", Reply(body=b"x", headers=STORED))
    assert e.get(plain.url("/o")).body == b"x"
    assert not e.access_log.exists() and not (e.state / "access.log").exists()


def test_all_lines_are_written_before_the_daemon_ends(make, plain):
    e = make.edge()
    plain.on("/o", Reply(body=b"x", headers=STORED))
    for n in range(100):
        e.get(plain.url(f"/o?{n}"))
    e.stop()
    assert len(e.log_texts()) == 100
