"""What an operator wants forgotten, doubted or never again: by class and digest, softly, and by the deny-list."""

import hashlib
import json

from lab import Reply, blob, eventually

FRESH = [("Cache-Control", "max-age=3600"), ("ETag", '"v1"'), ("Content-Type", "text/plain")]
TGZ = "/left-pad/-/left-pad-1.3.0.tgz"
DISK = {"cache": {"disk": {"path": "cache", "size": "1GB", "min_free": "1%"}}}


def tgz(n):
    return b"\x1f\x8b\x08\x00" + blob(n)


def digest(body):
    return "sha256:" + hashlib.sha256(body).hexdigest()


def counter(edge, name):
    return json.loads(edge.ctl("stats", "--json").stdout)["counters"][name]


def files(edge):
    return [p for p in (edge.state / "cache" / "objects").rglob("*") if p.is_file()]


def test_by_class_and_by_digest(edge, origin):
    a, b = tgz(1000), b"an index"
    origin.on(TGZ, Reply(body=a, headers=FRESH))
    origin.on("/left-pad", Reply(body=b, headers=[*FRESH[:2], ("Content-Type", "application/json")]))
    for path in (TGZ, "/left-pad"):
        edge.get(origin.url(path))
    assert "purged" in edge.ctl("purge", "--digest", digest(b)).stdout
    assert edge.get(origin.url("/left-pad")).x_cache == "MISS"
    assert edge.get(origin.url(TGZ)).x_cache == "HIT"
    edge.ctl("purge", "--class", "immutable")
    assert edge.get(origin.url("/left-pad")).x_cache == "HIT"
    assert edge.get(origin.url(TGZ)).x_cache == "MISS"
    assert edge.ctl("purge", "--class", "odd", check=False).returncode == 1


def test_a_soft_purge_has_it_asked_about(make):
    """From memory, and from the disk after a restart; and what nobody answers for is served all the same."""
    body = tgz(1000)
    o = make.origin()
    o.on(TGZ, lambda r: Reply(status=304) if r.headers.get("If-None-Match") == '"v1"' else Reply(body=body, headers=FRESH))
    edge = make.edge(DISK)
    edge.get(o.url(TGZ))
    eventually("it is on the disk", lambda: files(edge))
    assert "marked 1 stored response stale" in edge.ctl("purge", "--soft", o.url(TGZ)).stdout
    r = edge.get(o.url(TGZ))
    assert r.body == body and o.last(TGZ).headers.get("If-None-Match") == '"v1"'
    assert edge.get(o.url(TGZ)).x_cache == "HIT" and o.count(TGZ) == 2, "once is enough"
    edge.stop()
    edge.start()
    assert edge.get(o.url(TGZ)).body == body
    assert o.count(TGZ) == 3, "the disk knows of it, too"
    edge.ctl("purge", "--soft", "--all")
    o.shutdown()
    assert edge.get(o.url(TGZ)).body == body


def test_what_is_denied_does_not_return(make):
    small, large = b"bad" * 100, tgz(900_000)
    o = make.origin()
    o.on("/small", Reply(body=small, headers=FRESH))
    o.on(TGZ, Reply(body=large, headers=FRESH))
    o.on("/other", Reply(body=large, headers=FRESH, framing="chunked"))
    edge = make.edge(DISK)
    for path in ("/small", TGZ):
        assert edge.get(o.url(path)).status == 200
    eventually("both are on the disk", lambda: len(files(edge)) == 2)
    for body in (small, large):
        assert "denied; purged 1 stored response" in edge.ctl("purge", "--digest", digest(body), "--deny").stdout
    eventually("they are gone from the disk", lambda: not files(edge))
    for path, body in (("/small", small), (TGZ, large)):
        r = edge.get(o.url(path))
        assert r.status == 502 and "deny-list" in r.body.decode() and digest(body) in r.body.decode()
    assert edge.said("is on the deny-list")
    assert counter(edge, "denied_bodies_total") == 2
    edge.stop()
    edge.start()
    assert edge.get(o.url("/small")).status == 502, "also after a restart"
    listed = json.loads(edge.ctl("purge", "--denied", "--json").stdout)["denied"]
    assert {d["digest"] for d in listed} == {digest(small), digest(large)}
    edge.ctl("purge", "--digest", digest(small), "--allow")
    assert edge.get(o.url("/small")).body == small
    r = edge.get(o.url(TGZ))
    assert r.status == 502 or r.cut


def test_a_denied_body_under_a_new_url_never_comes_whole(make):
    """Nobody has seen it there before: the client has most of it, and sees that it broke off; the next one gets the page."""
    body = tgz(900_000)
    o = make.origin(tls=False, name="plain.test")
    for path, framing in (("/known", "length"), ("/unknown", "chunked")):
        o.on(path, Reply(body=body, headers=FRESH, framing=framing))
    edge = make.edge()
    edge.ctl("purge", "--digest", digest(body), "--deny")
    for path in ("/known", "/unknown"):
        r = edge.get(o.url(path))
        assert r.cut and r.body != body
        assert edge.get(o.url(path)).status == 502
    assert edge.get(o.url("/known"), headers=[("Range", "bytes=-10")]).status == 502


def test_a_digest_in_the_path_is_denied_at_once(edge, origin):
    body = b"a layer"
    path = "/v2/x/blobs/" + digest(body)
    origin.on(path, Reply(body=body, headers=FRESH))
    edge.ctl("purge", "--digest", digest(body), "--deny")
    assert edge.get(origin.url(path)).status == 502 and origin.count(path) == 0
    edge.ctl("purge", "--digest", digest(body), "--allow")
    assert edge.get(origin.url(path)).body == body


def test_what_is_too_large_for_memory(make):
    """Streamed to the disk, and from there: it obeys, too."""
    body = tgz(6_000_000)
    o = make.origin()
    o.on(TGZ, lambda r: Reply(status=304) if r.headers.get("If-None-Match") == '"v1"' else Reply(body=body, headers=FRESH))
    edge = make.edge(DISK)
    assert edge.get(o.url(TGZ)).body == body
    eventually("it is on the disk", lambda: files(edge))
    assert edge.get(o.url(TGZ)).x_cache == "HIT" and o.count(TGZ) == 1
    edge.ctl("purge", "--soft", "--host", "origin.test")
    assert edge.get(o.url(TGZ)).body == body
    assert o.count(TGZ) == 2, "it was asked about"
    edge.ctl("purge", "--digest", digest(body), "--deny")
    eventually("it is gone from the disk", lambda: not files(edge))
    for _ in range(2):
        r = edge.get(o.url(TGZ))
        assert r.status == 502 or r.cut
    edge.ctl("purge", "--digest", digest(body), "--allow")
    assert edge.get(o.url(TGZ)).body == body
