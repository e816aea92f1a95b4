"""All that is on the disk is read and checked: when it is asked for, with the daemon serving."""

import json
import os

from lab import Reply, blob, eventually

STORED = [("Cache-Control", "max-age=3600")]
DISK = {"cache": {"disk": {"path": "cache", "size": "1GB", "min_free": "1%"}}}


def objects(edge):
    return [p for p in (edge.state / "cache" / "objects").rglob("*") if p.is_file()]


def filled(make, n):
    o, edge = make.origin(), make.edge(DISK)
    bodies = {f"/p/-/p-{i}.0.0.tgz": b"\x1f\x8b\x08\x00" + blob(20_000 + i) for i in range(n)}
    for path, body in bodies.items():
        o.on(path, Reply(body=body, headers=STORED))
        edge.get(o.url(path))
    eventually("all are on the disk", lambda: len(objects(edge)) == n)
    return o, edge, bodies


def test_what_is_damaged_is_found_and_fetched_again(make):
    o, edge, bodies = filled(make, 5)
    done = edge.ctl("scrub", "--rate", "0")
    assert "done: 5 of 5 objects" in done.stdout and "0 damaged" in done.stdout
    path = objects(edge)[0]
    with open(path, "r+b") as f:
        f.seek(os.path.getsize(path) // 2)
        byte = f.read(1)
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte[0] ^ 1]))
    done = edge.ctl("scrub", "--rate", "0", "--json", check=False)
    said = json.loads(done.stdout)
    assert done.returncode == 1 and said["damaged"] == 1 and said["objects"] == 5
    eventually("it is in quarantine", lambda: len(list((edge.state / "cache" / "quarantine").iterdir())) == 1)
    assert json.loads(edge.ctl("stats", "--json").stdout)["counters"]["scrub_damaged_total"] == 1
    edge.stop()
    edge.start()
    for path, body in bodies.items():
        assert edge.get(o.url(path)).body == body
    assert len(o.requests_seen) == 6


def test_a_slow_one_is_watched_and_stopped(make):
    _o, edge, _bodies = filled(make, 3)
    assert "begun" in edge.ctl("scrub", "--rate", "1", "--no-wait").stdout
    assert edge.ctl("scrub", check=False).returncode == 1, "one at a time"
    assert json.loads(edge.ctl("scrub", "--status", "--json").stdout)["state"] == "running"
    edge.ctl("scrub", "--stop")
    eventually("it has ended", lambda: json.loads(edge.ctl("scrub", "--status", "--json").stdout)["state"] == "stopped")
    assert edge.ctl("scrub", "--rate", "fast", check=False).returncode == 2


def test_without_a_disk(edge):
    done = edge.ctl("scrub", check=False)
    assert done.returncode == 1 and "no tier on disk" in done.stderr + done.stdout
