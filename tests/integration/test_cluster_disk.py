"""What an edge has on its disk alone is had by its siblings, too."""

import os

import pytest

from lab import Reply, blob, eventually
from lab.cluster import IMMUTABLE, again_if_late

DISK = {"cache": {"disk": {"path": "cache", "size": "1GB", "min_free": "1%"}}}


@pytest.fixture(scope="module")
def pair(shared):
    c = shared.cluster(2, conf=DISK)
    c.start()
    return c


def files_of(edge):
    return [p for p in (edge.state / "cache" / "objects").rglob("*") if p.is_file()]


def stored(edge, url, body):
    before = len(files_of(edge))
    assert edge.get(url).body == body
    eventually("it is on disk", lambda: len(files_of(edge)) > before)


def restart(pair, edge, cold=False):
    """Its memory is empty afterwards; cold: and so is the system's, as far as its files are concerned."""
    edge.stop()
    for path in files_of(edge) if cold else []:
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
    return pair.mend()


@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
@pytest.mark.parametrize("size", [1000, 300_000, 9_000_000])
@again_if_late
def test_what_only_the_disk_of_one_has_the_other_takes_from_it(pair, make, size, cold):
    a, b = pair.fresh_edges()
    o = make.origin(name="plain.test")
    path = f"{IMMUTABLE}{size}-{cold}"
    body = blob(size, path)
    o.on(path, Reply(body=body))
    url = o.url(path)
    stored(a, url, body)
    a, b = restart(pair, a, cold)
    r = b.get(url)
    assert r.status == 200 and r.body == body
    assert o.count() == 1, "the origin is not asked again"
    line = b.log(url)[0]
    assert (line.result, line.status, line.hier, line.peer) == ("TCP_MISS", 200, "SIBLING_HIT", "edge1")
    assert b.get(url).x_cache == "HIT"
    assert a.get(url).body == body and o.count() == 1


@again_if_late
def test_what_was_purged_from_the_disk_is_not_told_of(pair, make):
    a, b = pair.fresh_edges()
    o = make.origin(name="plain.test")
    body = blob(5000, "purged")
    o.on(IMMUTABLE + "purged", Reply(body=body))
    url = o.url(IMMUTABLE + "purged")
    stored(a, url, body)
    a, b = restart(pair, a)
    assert a.ctl("purge", url).returncode == 0
    assert b.get(url).body == body
    assert o.count() == 2 and b.log(url)[0].hier == "HIER_DIRECT"


@again_if_late
def test_what_was_given_to_a_credential_stays_where_it_is(pair, make):
    a, b = pair.fresh_edges()
    o = make.origin(name="plain.test")
    body = blob(5000, "guarded")
    o.on(IMMUTABLE + "guarded", Reply(body=body))
    url = o.url(IMMUTABLE + "guarded")
    before = len(files_of(a))
    assert a.get(url, headers=[("Authorization", "Basic YTpi")]).body == body
    eventually("it is on disk", lambda: len(files_of(a)) > before)
    a, b = restart(pair, a)
    assert b.get(url).body == body
    line = b.log(url)[0]
    assert o.count() == 2 and line.hier == "HIER_DIRECT", "nobody is asked for it in vain either"
