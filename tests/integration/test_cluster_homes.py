"""Where a miss asks the homes of a key: they know what is where, and what is not there any more."""

import pytest

from lab import Reply, blob, eventually, steady
from lab.cluster import IMMUTABLE, again_if_late

HOMES = {"cluster": {"lookup": "home"}}
SMALL = {"cache": {"memory": {"size": "16MB", "policy": "lru"}}}
DISK = {"cache": {"memory": SMALL["cache"]["memory"], "disk": {"path": "cache", "size": "1GB", "min_free": "1%"}}}
OBJECTS = 12  # with three edges each key's holder is a home of it in two of three


@pytest.fixture(scope="module")
def trio(shared):
    c = shared.cluster(3, conf={**HOMES, **SMALL})
    c.start()
    return c


@pytest.fixture(scope="module")
def on_disk(shared):
    c = shared.cluster(3, conf={**HOMES, **DISK})
    c.start()
    return c


def told(edge):
    return edge.stats()["counters"]["homes_told_total"]


def gone(edge):
    """Fetches in vain of something that it was said to have."""
    return sum(p["false_hits"]["gone"] for p in edge.peers()["peers"])


def offered(make, name="plain.test"):
    o = make.origin(tls=False, name=name)
    for i in range(OBJECTS):
        o.on(f"{IMMUTABLE}{i}", Reply(body=blob(1000, i)))
    return o, [o.url(f"{IMMUTABLE}{i}") for i in range(OBJECTS)]


def get_all(edge, urls):
    for url in urls:
        assert edge.get(url).status == 200


def purge_all(edge, urls):
    for url in urls:
        assert edge.ctl("purge", url).returncode == 0


def await_told(edge, was):
    """Of each object once since then."""
    eventually(lambda: f"all are told: {was} {told(edge)}", lambda: told(edge) >= was + OBJECTS)


def crowd_out(edge, o):
    """More comes than memory holds."""
    large = blob(3_000_000, "large")
    for i in range(10):
        o.on(f"{IMMUTABLE}large-{i}", Reply(body=large))
        assert edge.get(o.url(f"{IMMUTABLE}large-{i}")).status == 200


def wait_till_wanted(edge, make):
    """It looks once a second whether there is a home to tell: what it purges now is told."""
    o = make.origin(tls=False, name="plain.test")
    o.on(IMMUTABLE + "first", Reply(body=b"first"))
    url = o.url(IMMUTABLE + "first")
    before = told(edge)

    def is_told():
        edge.get(url)
        assert edge.ctl("purge", url).returncode == 0
        return told(edge) > before
    eventually("a purge is told", is_told)
    steady("and what was purged last", lambda: told(edge), quiet=1.5)


@again_if_late
def test_what_one_has_the_homes_know(trio, make):
    a, b, _ = trio.fresh_edges()
    o, urls = offered(make)
    get_all(a, urls)
    get_all(b, urls)
    assert o.count() == OBJECTS and gone(b) == 0


@again_if_late
def test_what_was_purged_is_named_no_more(trio, make):
    a, b, _ = trio.fresh_edges()
    wait_till_wanted(a, make)
    o, urls = offered(make)
    get_all(a, urls)
    was, before = told(a), gone(b)
    purge_all(a, urls)
    await_told(a, was)
    get_all(b, urls)
    assert o.count() == 2 * OBJECTS
    assert gone(b) == before, "no home has named it in vain"


@again_if_late
def test_what_was_evicted_is_named_no_more(trio, make):
    a, b, _ = trio.fresh_edges()
    wait_till_wanted(a, make)
    o, urls = offered(make)
    get_all(a, urls)
    was, before = told(a), gone(b)
    crowd_out(a, o)
    await_told(a, was)
    n = o.count()
    get_all(b, urls)
    assert o.count() == n + OBJECTS
    assert gone(b) == before, "no home has named it in vain"


@again_if_late
def test_what_was_stored_without_a_question_is_known(trio, make, tmp_path):
    """Brought by hand: no flight has asked anybody for it."""
    a, b, _ = trio.fresh_edges()
    wait_till_wanted(a, make)
    o, urls = offered(make)
    get_all(a, urls)
    archive = str(tmp_path / "archive.tar")
    assert a.ctl("export", "--prefix", o.url(IMMUTABLE), archive).returncode == 0
    purge_all(a, urls)
    was = told(a)
    assert a.ctl("import", archive).returncode == 0
    await_told(a, was)
    get_all(b, urls)
    assert o.count() == OBJECTS, "all of it came from the sibling"


@again_if_late
def test_what_the_disk_still_has_has_not_gone(on_disk, make):
    a, b, _ = on_disk.fresh_edges()
    wait_till_wanted(a, make)
    o, urls = offered(make)
    get_all(a, urls)
    eventually("all are on disk", lambda: a.stats()["disk"]["objects"] >= OBJECTS)
    was = a.stats()["counters"]["evicted_total"]
    crowd_out(a, o)
    assert a.stats()["counters"]["evicted_total"] >= was + OBJECTS, "memory has none of them"
    wait_till_wanted(a, make)  # what was noted before has been looked at
    n, before = o.count(), gone(b)
    get_all(b, urls)
    assert o.count() == n, "all of it came from the sibling's disk"
    assert gone(b) == before
