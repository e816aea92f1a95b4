"""The origin does not answer, or not well: what is stored keeps jobs going, a host that is down is left alone but for
trials, and nobody is failed longer than it is down.

run-tests: not for threads
"""

import json
import shutil
import threading
import time

import pytest

from lab import DEADLINE, Reply, blob, eventually
from lab.origin import silent
from lab.registries import Npm, make_tgz
from test_clients import Job

INDEX = "/simple/x/"


def index(body=b"old", lifetime=0, etag='"1"', more=()):
    return Reply(body=body, headers=[("Cache-Control", f"max-age={lifetime}"), ("ETag", etag), *more])


def counters(edge):
    return json.loads(edge.ctl("stats", "--json").stdout)["counters"]


def timed(action):
    began = time.monotonic()
    return action(), time.monotonic() - began


def hang_up(sock):
    """Takes the connection and ends it without a word."""


@pytest.fixture
def own(make):
    """An edge of the test's own, with short deadlines."""
    def build(cache=None, **upstream):
        short = {"connect_timeout": "1s", "tls_timeout": "1s", "first_byte_timeout": "2s"}
        return make.edge({"upstream": {**short, **upstream}, "cache": cache or {}})
    return build


# -- whole installs


def npm(job, registry, *words):
    job.run("npm", *words, "--no-audit", "--no-fund", "--fetch-retries=0", npm_config_registry=registry.url("/"),
            npm_config_update_notifier="false")
    return job.home / "node_modules"


def die(registry, how):
    if how == "gone":
        registry.shutdown()
        return
    registry.drop_connections()
    if how == "silent":
        registry.on_accept = silent(registry)
    else:
        for path in list(registry._routes):
            registry.on(path, Reply(503, [], b"down for maintenance\n", reason="Service Unavailable"))


@pytest.mark.parametrize("how", ["gone", "silent", "503"])
def test_npm_ci_twice_with_the_registry_killed_in_between(own, make, have, tmp_path, how):
    """Twice from an empty home, by the lock file; then once more without it, by indexes that have expired."""
    have("npm")
    edge, registry = own(), make.origin(name="registry.test")
    Npm(registry, {"left-pad-test": {"1.0.0": {}}, "@scope/deep-test": {"2.1.0": {"left-pad-test": "^1.0.0"}}})
    for path, serve in list(registry._routes.items()):
        if "/-/" not in path:
            registry.on(path, lambda req, serve=serve: aged(serve(req)))
    job = Job(edge, tmp_path)
    (job.home / "package.json").write_text(json.dumps(
        {"name": "job", "version": "1.0.0", "private": True, "dependencies": {"@scope/deep-test": "^2.0.0"}}))
    npm(job, registry, "install")
    files = [job.home / "package.json", job.home / "package-lock.json"]

    def home(names):
        job.fresh()
        for f in names:
            shutil.copy(f, job.home)

    home(files)
    assert (npm(job, registry, "ci") / "left-pad-test/index.js").exists()
    die(registry, how)
    seen = registry.count()
    home(files)
    assert (npm(job, registry, "ci") / "left-pad-test/index.js").exists()
    assert registry.count() == seen, "a tarball was asked for"
    home(files[:1])
    assert (npm(job, registry, "install") / "@scope/deep-test/package.json").exists()
    assert any(line.result == "TCP_REFRESH_FAIL_OLD" for line in edge.log(registry.url("/")))


def aged(reply):
    reply.headers = [(n, "public, max-age=0" if n == "Cache-Control" else v) for n, v in reply.headers]
    return reply


# -- failures are remembered


def test_a_dead_host_is_not_dialled_for_each_stale_answer(own, make):
    edge, o = own(), make.origin()
    o.on(INDEX, index())
    edge.get(o.url(INDEX))
    o.on_accept = hang_up
    o.drop_connections()
    for _ in range(3):
        assert edge.get(o.url(INDEX)).body == b"old"
    dialled, began = o.accepted, time.monotonic()
    for _ in range(100):
        r = edge.get(o.url(INDEX))
        assert (r.status, r.body) == (200, b"old") and "detail=stale-if-error" in r.cache_status
    trials = o.accepted - dialled
    assert trials <= 1 + (time.monotonic() - began), f"{trials} connections for 100 answers"
    n = counters(edge)
    assert n["upstream_held_back_total"] >= 90 and n["hosts_held_back"] == 1
    edge.said("failed 3 times in a row")


def test_a_host_that_is_back_is_found_by_a_trial(own, make):
    edge, o = own(), make.origin()
    o.on(INDEX, index())
    edge.get(o.url(INDEX))
    o.shutdown()
    for _ in range(5):
        assert edge.get(o.url(INDEX)).body == b"old"
    o.on(INDEX, index(b"new", etag='"2"'))
    o.restart()
    eventually("a trial", lambda: edge.get(o.url(INDEX)).body == b"new")
    assert counters(edge)["hosts_held_back"] == 0
    edge.said("answers again")


def test_what_is_not_stored_is_never_failed_from_memory(own, make):
    edge, o = own(), make.origin()
    o.on("/f", Reply(body=b"x"))
    o.shutdown()
    for n in range(8):
        assert edge.get(o.url(f"/f?{n}")).status == 502
    o.restart()
    assert edge.get(o.url("/f")).status == 200, "the very first request after the host is back"


def test_those_with_nothing_stored_share_one_trial(own, make):
    edge, o = own(), make.origin()
    o.on_accept = silent(o)
    threads, answers = [], []

    def ask(n):
        answers.append(timed(lambda: edge.get(o.url(f"/f{n}"))))

    for n in range(3):
        ask(n)
    dialled = o.accepted
    for n in range(12):
        threads.append(threading.Thread(target=ask, args=(n + 3,)))
        threads[-1].start()
    for t in threads:
        t.join()
    assert {r.status for r, _ in answers} == {504}
    assert o.accepted - dialled <= 2, "one at a time"
    assert max(seconds for _, seconds in answers) < DEADLINE
    assert counters(edge)["upstream_waits_total"] >= 10


def test_a_url_that_fails_alone_does_not_stop_the_others(own, plain):
    edge = own()
    plain.on("/bad", Reply(500, [], b"oops", reason="Oops"))
    for _ in range(6):
        assert edge.get(plain.url("/bad")).status == 500
    plain.on("/good", Reply(body=b"x"))
    assert edge.get(plain.url("/good")).status == 200


def test_a_post_is_asked_of_a_host_that_errs(own, plain):
    edge = own()
    plain.on("/bad", Reply(503, [], b"", reason="Oops"))
    for _ in range(6):
        edge.get(plain.url("/bad"))
    plain.on("/up", lambda req: Reply(body=b"%d" % len(req.body)))
    assert edge.ask("POST", plain.url("/up"), body=b"12345").body == b"5"


def test_a_wrong_address_for_a_name_spoils_nothing_for_others(own, make):
    """CONNECT to an address where nobody listens, with the name of a host that is well."""
    edge, o, dead = own(), make.origin(), make.origin()
    o.on("/f", index())
    dead.shutdown()
    for _ in range(5):
        with edge.bumped(f"127.0.0.1:{dead.port}", sni="origin.test") as c:
            assert c.get("/f", [("Host", f"origin.test:{dead.port}")]).status == 502
    assert edge.get(o.url("/f")).status == 200


# -- Retry-After


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_keeps_what_is_stored_from_being_asked_for(own, plain, status):
    edge = own()
    plain.on(INDEX, index())
    edge.get(plain.url(INDEX))
    plain.on(INDEX, Reply(status, [("Retry-After", "2")], b"", reason="Later"))
    assert edge.get(plain.url(INDEX)).body == b"old"
    told = time.monotonic()
    seen = plain.count(INDEX)
    for _ in range(10):
        assert edge.get(plain.url(INDEX)).body == b"old"
    assert plain.count(INDEX) == seen
    plain.on("/other", Reply(body=b"x"))
    assert edge.get(plain.url("/other")).status == 200, "what is not stored is asked for"
    n = counters(edge)
    assert n["upstream_held_back_total"] == 10 and n["upstream_despite_pause_total"] == 1
    plain.on(INDEX, index(b"new", etag='"2"'))
    eventually("asked again", lambda: edge.get(plain.url(INDEX)).body == b"new")
    assert time.monotonic() - told > 1.5


def test_retry_after_is_passed_on_where_nothing_is_stored(own, plain):
    edge = own()
    plain.on("/f", Reply(429, [("Retry-After", "7")], b"", reason="Later"))
    for _ in range(2):
        r = edge.get(plain.url("/f"))
        assert (r.status, r.headers.get("Retry-After")) == (429, "7")


# -- stale


def test_who_has_something_stale_does_not_wait_for_a_slow_origin(own, plain):
    edge = own({"stale_patience": "300ms"}, first_byte_timeout="60s")
    plain.on(INDEX, index())
    edge.get(plain.url(INDEX))
    gate = plain.gate()

    def slow(req):
        gate.wait()
        return index(b"new", lifetime=60, etag='"2"')

    plain.on(INDEX, slow)
    r, seconds = timed(lambda: edge.get(plain.url(INDEX)))
    assert r.body == b"old" and "hit" in r.cache_status and "detail=stale-if-slow" in r.cache_status
    assert 0.25 < seconds < DEADLINE
    assert edge.get(plain.url(INDEX)).body == b"old"
    gate.open()
    eventually("the fetch has gone on", lambda: edge.get(plain.url(INDEX)).body == b"new")
    assert plain.count(INDEX) == 2
    assert counters(edge)["hits_slow_total"] >= 2


def test_an_index_is_served_stale_for_a_minute_while_it_is_asked_for(edge, plain):
    plain.on(INDEX, index(lifetime=60, more=[("Age", "59")]))
    edge.get(plain.url(INDEX))
    gate = plain.gate()

    def slow(req):
        gate.wait()
        return index(b"new", lifetime=60, etag='"2"')

    plain.on(INDEX, slow)
    r = eventually("stale", lambda: (lambda r: r if "stale-while-revalidate" in r.cache_status else None)(
        edge.get(plain.url(INDEX))))
    assert r.body == b"old"
    gate.open()
    eventually("renewed", lambda: edge.get(plain.url(INDEX)).body == b"new")
    assert plain.count(INDEX) == 2


def test_an_index_of_a_short_life_is_asked_for_when_it_is_over(edge, plain):
    plain.on(INDEX, index(lifetime=1))
    edge.get(plain.url(INDEX))
    plain.on(INDEX, index(b"new", lifetime=1, etag='"2"'))
    eventually("expired", lambda: edge.get(plain.url(INDEX)).body == b"new")
    assert edge.log(plain.url(INDEX))[-1].result in ("TCP_REFRESH_MODIFIED", "TCP_MEM_HIT")
    assert not any("TCP_REFRESH_FAIL" in t for t in edge.log_texts() if plain.url(INDEX) in t)


def test_a_head_of_what_is_stale_is_answered_when_the_origin_is_gone(own, plain):
    edge = own()
    plain.on(INDEX, index())
    edge.get(plain.url(INDEX))
    plain.shutdown()
    r = edge.ask("HEAD", plain.url(INDEX))
    assert (r.status, r.headers.get("Content-Length")) == (200, "3")


# -- offline


def test_pmcachectl_offline_asks_no_origin_at_all(make, plain, origin):
    edge = make.edge()
    tgz = make_tgz("offline-test", "1.0.0")
    plain.on(INDEX, index())
    plain.on("/swr", index(lifetime=1, more=[("Cache-Control", "stale-while-revalidate=600")]))
    plain.on("/offline-test/-/offline-test-1.0.0.tgz", Reply(body=tgz))
    for path in (INDEX, "/swr", "/offline-test/-/offline-test-1.0.0.tgz"):
        edge.get(plain.url(path))
    assert edge.ctl("offline").stdout.startswith("online")
    assert edge.ctl("offline", "on").stdout.startswith("offline")
    seen, accepted = plain.count(), origin.accepted
    assert edge.get(plain.url(INDEX)).body == b"old"
    time.sleep(1.1)  # /swr is stale now, and would be renewed behind the answer
    assert edge.get(plain.url("/swr")).body == b"old"
    assert edge.get(plain.url("/offline-test/-/offline-test-1.0.0.tgz")).body == tgz
    r = edge.get(plain.url("/never"))
    assert r.status == 504 and r.headers.get("X-Pmcache-Error") == "offline" and b"offline" in r.body
    assert edge.ask("POST", plain.url("/up"), body=b"x").status == 504
    with edge.connect("proxy") as c:
        assert c.ask("CONNECT", origin.authority, [("Host", origin.authority)]).status == 504
    edge.reload()
    edge.said("read again")
    assert edge.get(plain.url("/never")).status == 504, "it holds over a reload"
    assert (plain.count(), origin.accepted) == (seen, accepted)
    n = counters(edge)
    assert n["offline"] == 1
    assert edge.ctl("offline", "off").stdout.startswith("online")
    assert edge.get(plain.url("/never")).status == 404
    assert counters(edge)["offline"] == 0


def test_offline_in_the_configuration_can_be_lifted_and_given_back(make, plain):
    edge = make.edge({"cache": {"offline": True}})
    plain.on("/f", Reply(body=b"x"))
    assert edge.get(plain.url("/f")).status == 504
    assert "cache.offline in the configuration is on" in edge.ctl("offline", "off").stdout
    assert edge.get(plain.url("/f")).status == 200
    edge.ctl("offline", "config")
    assert edge.get(plain.url("/f")).status == 504
    assert json.loads(edge.ctl("--json", "offline").stdout) == {"offline": True, "configured": True}
    assert edge.ctl("offline", "maybe", check=False).returncode == 2


def test_offline_gives_nothing_to_a_credential_that_was_not_accepted(make, origin):
    edge = make.edge()
    tgz = make_tgz("secret-test", "1.0.0")
    path = "/secret-test/-/secret-test-1.0.0.tgz"
    origin.on(path, Reply(body=tgz))
    edge.get(origin.url(path), [("Authorization", "A")])
    edge.ctl("offline", "on")
    seen = origin.count()
    assert edge.get(origin.url(path), [("Authorization", "A")]).body == tgz
    assert edge.get(origin.url(path), [("Authorization", "B")]).status == 504
    assert edge.get(origin.url(path)).status == 504
    assert origin.count() == seen


# -- recall


TGZ = "/recall-test/-/recall-test-1.0.0.tgz"


def recall_edge(make, how):
    return make.edge({"cache": {"recall": how, "recall_after": "1s"}})


def rechecked(edge, o, n=1):
    """Hits until a recheck has come to the origin."""
    def look():
        edge.get(o.url(TGZ))
        return o.count(TGZ) > n
    eventually("a recheck", look)
    return o.last(TGZ)


def test_what_is_still_there_costs_a_304(make, origin):
    edge, tgz = recall_edge(make, "warn"), make_tgz("recall-test", "1.0.0")

    def serve(req):
        if req.headers.get("If-None-Match") == '"1"':
            return Reply(304, [("ETag", '"1"')], reason="Not Modified")
        return Reply(body=tgz, headers=[("ETag", '"1"')])

    origin.on(TGZ, serve)
    edge.get(origin.url(TGZ))
    assert edge.get(origin.url(TGZ)).body == tgz and origin.count(TGZ) == 1
    assert rechecked(edge, origin).headers.get("If-None-Match") == '"1"'
    assert "recalled" not in edge.get(origin.url(TGZ)).cache_status
    n = counters(edge)
    assert n["recall_checks_total"] >= 1 and n["recalled_total"] == 0


@pytest.mark.parametrize("what", ["gone", "changed"])
def test_what_was_recalled_is_served_with_a_warning(make, origin, what):
    edge, tgz = recall_edge(make, "warn"), make_tgz("recall-test", "1.0.0")
    origin.on(TGZ, Reply(body=tgz, headers=[("ETag", '"1"')]))
    edge.get(origin.url(TGZ))
    origin.on(TGZ, Reply(404, [], b"gone", reason="Not Found") if what == "gone" else
              Reply(body=make_tgz("recall-test", "1.0.0", index=blob(3000).hex()), headers=[("ETag", '"2"')]))
    rechecked(edge, origin)
    r = eventually("marked", lambda: (lambda r: r if "detail=recalled" in r.cache_status else None)(
        edge.get(origin.url(TGZ))))
    assert r.body == tgz
    assert counters(edge)["recalled_total"] == 1
    edge.said("recall-test-1.0.0.tgz is (gone from|another file at)")


def test_quarantine_forgets_what_was_recalled(make, origin):
    edge, tgz = recall_edge(make, "quarantine"), make_tgz("recall-test", "1.0.0")
    origin.on(TGZ, Reply(body=tgz, headers=[("ETag", '"1"')]))
    edge.get(origin.url(TGZ))
    origin.on(TGZ, Reply(410, [], b"gone", reason="Gone"))
    eventually("forgotten", lambda: edge.get(origin.url(TGZ)).status == 410)


@pytest.mark.parametrize("how, headers", [("keep", [("ETag", '"1"')]), ("warn", [])])
def test_no_recheck_where_none_is_wanted_or_possible(make, origin, how, headers):
    edge, tgz = recall_edge(make, how), make_tgz("recall-test", "1.0.0")
    origin.on(TGZ, Reply(body=tgz, headers=headers))
    edge.get(origin.url(TGZ))
    end = time.monotonic() + 1.6
    while time.monotonic() < end:
        assert edge.get(origin.url(TGZ)).body == tgz
        time.sleep(0.05)
    assert origin.count(TGZ) == 1


def test_a_recheck_that_fails_says_nothing(make, origin):
    edge, tgz = recall_edge(make, "quarantine"), make_tgz("recall-test", "1.0.0")
    origin.on(TGZ, Reply(body=tgz, headers=[("ETag", '"1"')]))
    edge.get(origin.url(TGZ))
    origin.on(TGZ, Reply(503, [], b"", reason="Oops"))
    rechecked(edge, origin)
    assert edge.get(origin.url(TGZ)).body == tgz
    assert counters(edge)["recalled_total"] == 0
