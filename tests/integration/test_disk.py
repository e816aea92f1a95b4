"""The tier on disk: what was stored survives, is verified, and is served when nobody else answers."""

import os
import signal

import pytest

from lab import EdgeFailed, Reply, blob, eventually

STORED = [("Cache-Control", "max-age=3600"), ("ETag", '"v1"')]
TGZ = "/left-pad/-/left-pad-1.3.0.tgz"


def tgz(n):
    return b"\x1f\x8b\x08\x00" + blob(n)


def disk(**more):
    return {"cache": {"disk": {"path": "cache", "size": "1GB", "min_free": "1%", **more}}}


def stats(edge):
    import json
    return json.loads(edge.ctl("stats", "--json").stdout)


def objects_on_disk(edge):
    return [p for p in (edge.state / "cache" / "objects").rglob("*") if p.is_file()]


def await_kept(edge, n):
    eventually(lambda: f"{n} objects on disk, there are {objects_on_disk(edge)}", lambda: len(objects_on_disk(edge)) >= n)


def again(edge):
    """A restart in good order."""
    edge.stop()
    edge.start()


@pytest.mark.parametrize("size", [0, 1, 1000, 65536, 300_000, 3_000_000])
def test_what_was_stored_survives_a_restart(make, size):
    o = make.origin()
    body = tgz(size)
    o.on(TGZ, Reply(body=body, headers=STORED))
    edge = make.edge(disk())
    assert edge.get(o.url(TGZ)).body == body
    await_kept(edge, 1)
    again(edge)
    r = edge.get(o.url(TGZ))
    assert r.status == 200 and r.body == body and "HIT" in r.headers.get("X-Cache")
    assert len(o.requests_seen) == 1
    assert edge.get(o.url(TGZ)).body == body
    counters = stats(edge)["counters"]
    assert counters["hits_disk_total"] == 1 and counters["hits_memory_total"] == 1, "once from disk, then from memory"


def test_what_is_asked_for_once_does_not_push_others_out_of_memory(make):
    o = make.origin()
    paths = [f"/p/-/p-{i}.0.0.tgz" for i in range(100)]
    for path in paths:
        o.on(path, Reply(body=tgz(20_000), headers=STORED))
    edge = make.edge({"cache": {**disk()["cache"], "memory": {"size": "1MB", "max_object": "64KB"}}})
    for path in paths:
        edge.get(o.url(path))
    await_kept(edge, len(paths))
    again(edge)

    def ask(*some):
        before = stats(edge)["counters"]
        for path in some:
            assert edge.get(o.url(path)).body == tgz(20_000)
        after = stats(edge)["counters"]
        return [after[name] - before[name] for name in ("hits_disk_total", "disk_loads_total", "hits_memory_total", "evicted_total")]

    assert ask(*paths[:60])[1] > 30, "memory is empty: what is asked for comes into it"
    once, asked_for_again = paths[60:-1], paths[-1]
    assert ask(*once) == ask(*once) == [len(once), 0, 0, 0], "it is full: these stay where they are"
    assert ask(asked_for_again)[:3] == [1, 0, 0]
    assert ask(asked_for_again)[:3] == [1, 1, 0], "soon again: memory is the better place"
    assert ask(asked_for_again)[:3] == [0, 0, 1]
    assert len(o.requests_seen) == len(paths)


@pytest.mark.parametrize("size", [1000, 9_000_000])
def test_explain_knows_what_the_disk_has(make, size):
    o = make.origin()
    o.on(TGZ, Reply(body=tgz(size), headers=STORED))
    edge = make.edge(disk())
    url = o.url(TGZ)

    def told():
        import json
        return json.loads(edge.ctl("explain", url, "--json").stdout)
    assert told()["would"] == "fetch" and "on" not in told()["here"]
    edge.get(url)
    await_kept(edge, 1)
    again(edge)
    for _ in range(2):
        t = told()
        assert t["would"] == "hit" and t["here"]["state"] == "fresh" and t["here"]["on"] == "disk", "asking takes nothing into memory"
        assert t["here"]["size"] == len(tgz(size)) and t["here"]["age_s"] >= 0 and t["here"]["ttl_s"] is None
    assert "fresh on disk, " in edge.ctl("explain", url).stdout
    assert stats(edge)["counters"]["hits_disk_total"] == 0
    edge.get(url)
    assert told()["would"] == "hit" and told()["here"]["on"] == ("memory" if size == 1000 else "disk")
    edge.ctl("purge", url)
    assert told()["would"] == "fetch"


def test_it_survives_kill_9(make):
    o = make.origin()
    bodies = {f"/p/-/p-{i}.0.0.tgz": tgz(20_000 + i) for i in range(20)}
    for path, body in bodies.items():
        o.on(path, Reply(body=body, headers=STORED))
    edge = make.edge(disk())
    for path, body in bodies.items():
        assert edge.get(o.url(path)).body == body
    await_kept(edge, len(bodies))
    edge.process.send_signal(signal.SIGKILL)
    edge.process.wait()
    edge.start()
    o.close()
    # The index may lack the last second: what it lacks is found again from the files.
    for path, body in bodies.items():
        assert eventually(f"{path} is there again", lambda: edge.get(o.url(path)).body == body)


def test_without_the_origin_jobs_are_answered_from_disk(make):
    o = make.origin()
    body = tgz(100_000)
    o.on(TGZ, Reply(body=body, headers=STORED))
    o.on("/index", Reply(body=b"an index", headers=[("Cache-Control", "max-age=0"), ("ETag", '"1"'),
                                                    ("Content-Type", "application/json")]))
    edge = make.edge(disk())
    edge.get(o.url(TGZ))
    await_kept(edge, 1)
    again(edge)
    edge.ctl("offline", "on")
    assert edge.get(o.url(TGZ)).body == body
    assert len(o.requests_seen) == 1


def test_a_flipped_byte_is_never_served(make):
    o = make.origin()
    body = tgz(50_000)
    o.on(TGZ, Reply(body=body, headers=STORED))
    edge = make.edge(disk())
    edge.get(o.url(TGZ))
    await_kept(edge, 1)
    edge.stop()
    path = objects_on_disk(edge)[0]
    with open(path, "r+b") as f:
        f.seek(os.path.getsize(path) // 2)
        byte = f.read(1)
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte[0] ^ 1]))
    edge.start()
    r = edge.get(o.url(TGZ))
    assert r.status == 200 and r.body == body, "fetched again within the same request"
    assert len(o.requests_seen) == 2
    eventually("it is put aside", lambda: list((edge.state / "cache" / "quarantine").iterdir()))


def test_files_deleted_under_it_are_misses(make):
    o = make.origin()
    body = tgz(50_000)
    o.on(TGZ, Reply(body=body, headers=STORED))
    edge = make.edge(disk())
    edge.get(o.url(TGZ))
    await_kept(edge, 1)
    edge.stop()
    os.unlink(objects_on_disk(edge)[0])
    edge.start()
    assert edge.get(o.url(TGZ)).body == body
    assert len(o.requests_seen) == 2


@pytest.mark.parametrize("words", [["purge", "{url}"], ["purge", "--host", "origin.test"], ["purge", "--all"]])
def test_a_purge_reaches_the_disk(make, words):
    o = make.origin()
    o.on(TGZ, Reply(body=tgz(1000), headers=STORED))
    edge = make.edge(disk())
    edge.get(o.url(TGZ))
    await_kept(edge, 1)
    edge.ctl(*[w.format(url=o.url(TGZ)) for w in words])
    eventually("it is gone from the disk", lambda: not objects_on_disk(edge))
    again(edge)
    edge.get(o.url(TGZ))
    assert len(o.requests_seen) == 2


def test_what_was_given_to_a_credential_is_asked_for_after_a_restart(make):
    o = make.origin()
    o.on(TGZ, Reply(body=tgz(1000), headers=STORED))
    edge = make.edge(disk())
    mine = [("Authorization", "Bearer mine")]
    edge.get(o.url(TGZ), mine)
    await_kept(edge, 1)
    again(edge)
    edge.get(o.url(TGZ), [("Authorization", "Bearer another")])
    assert len(o.requests_seen) == 2, "who may have it is not kept on disk: the origin says so anew"


def test_a_store_of_a_newer_version_is_refused(make):
    edge = make.edge(disk())
    edge.stop()
    fmt = edge.state / "cache" / "format"
    fmt.write_text(fmt.read_text().replace("1", "999", 1))
    with pytest.raises(EdgeFailed) as failed:
        edge.start()
    assert "newer" in failed.value.stderr


def test_memory_evicts_and_the_disk_still_has_it(make):
    o = make.origin()
    paths = [f"/p/-/p-{i}.0.0.tgz" for i in range(8)]
    body = tgz(500_000)
    for p in paths:
        o.on(p, Reply(body=body, headers=STORED))
    edge = make.edge({"cache": {"memory": {"size": "2MB", "max_object": "1MB"}, **disk()["cache"]}})
    for i, p in enumerate(paths):
        edge.get(o.url(p))
        await_kept(edge, i + 1)
    for p in paths:
        assert edge.get(o.url(p)).body == body
    assert len(o.requests_seen) == len(paths)
