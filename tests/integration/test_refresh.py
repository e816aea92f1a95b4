"""An operator wants it anew, although it is fresh, or good for ever."""

import hashlib
import json

import pytest

from lab import Reply, blob, eventually

FRESH = [("Cache-Control", "max-age=3600"), ("ETag", '"v1"')]
TGZ = "/left-pad/-/left-pad-1.3.0.tgz"
DISK = {"cache": {"disk": {"path": "cache", "size": "1GB", "min_free": "1%"}}}


def tgz(n):
    return b"\x1f\x8b\x08\x00" + blob(n)


def digest(body):
    return "sha256:" + hashlib.sha256(body).hexdigest()


def refresh(node, url, code=0):
    done = node.ctl("refresh", "--json", url, check=False)
    assert done.returncode == code, done
    return json.loads(done.stdout)


def test_what_came_of_it_is_said(edge, origin):
    url, old, new = origin.url(TGZ), tgz(1000), tgz(1001)
    origin.on(TGZ, Reply(body=old, headers=FRESH))
    assert refresh(edge, url)["result"] == "new"
    assert edge.get(url).x_cache == "HIT"
    said = refresh(edge, url)
    assert said["result"] == "unchanged" and said["digest"] == said["before"] == digest(old) and origin.count(TGZ) == 2
    assert "If-None-Match" not in origin.last(TGZ).headers, "whole, whatever tags say"
    origin.on(TGZ, Reply(body=new, headers=FRESH))
    said = refresh(edge, url)
    assert (said["result"], said["digest"], said["before"]) == ("changed", digest(new), digest(old))
    assert edge.said("its body is another one now")
    r = edge.get(url)
    assert r.body == new and r.x_cache == "HIT"


@pytest.mark.parametrize("bad", [Reply(status=404, body=b"no"), Reply(status=503, body=b"no"),
                                 Reply(body=tgz(77), headers=[("Cache-Control", "private")])])
def test_what_cannot_take_its_place_leaves_it_there(edge, origin, bad):
    url, body = origin.url(TGZ), tgz(500)
    origin.on(TGZ, Reply(body=body, headers=FRESH))
    edge.get(url)
    origin.on(TGZ, bad)
    said = refresh(edge, url, 1)
    assert said["result"] == "kept" and said["why"]
    assert edge.get(url).body == body


def test_without_an_origin_it_stays(make):
    o = make.origin()
    o.on(TGZ, Reply(body=tgz(500), headers=FRESH))
    edge = make.edge()
    edge.get(o.url(TGZ))
    o.close()
    assert refresh(edge, o.url(TGZ), 1)["result"] == "failed"
    assert edge.get(o.url(TGZ)).x_cache == "HIT"
    assert edge.ctl("refresh", "ftp://x/", check=False).returncode == 2


def test_what_is_on_disk_alone(make):
    o = make.origin()
    old, new = tgz(200_000), tgz(200_001)
    o.on(TGZ, Reply(body=old, headers=FRESH))
    edge = make.edge(DISK)
    edge.get(o.url(TGZ))
    eventually("it is on the disk", lambda: list((edge.state / "cache" / "objects").rglob("*/*/*")))
    edge.stop()
    edge.start()
    o.on(TGZ, Reply(body=new, headers=FRESH))
    said = refresh(edge, o.url(TGZ))
    assert (said["result"], said["before"]) == ("changed", digest(old))
    assert edge.get(o.url(TGZ)).body == new


def test_a_parent_asks_the_origin_in_turn(shared, make):
    c = shared.cluster(1, 1)
    c.start()
    p, a = c["parent1"], c["edge1"]
    o = make.origin(tls=False, name="plain.test")
    old, new = tgz(1000), tgz(1001)
    o.on(TGZ, Reply(body=old, headers=FRESH))
    for node in (p, a):
        assert node.get(o.url(TGZ)).body == old
    n = o.count(TGZ)
    o.on(TGZ, Reply(body=new, headers=[FRESH[0], ("ETag", '"v2"')]))
    assert refresh(a, o.url(TGZ))["result"] == "changed"
    assert o.count(TGZ) == n + 1
    assert p.get(o.url(TGZ)).body == a.get(o.url(TGZ)).body == new
    assert o.count(TGZ) == n + 1, "the parent keeps it, too"
