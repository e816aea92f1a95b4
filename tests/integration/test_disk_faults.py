"""Whatever becomes of the disk, serving goes on, and never with a wrong byte: errors, a disk that stands still, one that is full or cannot be
written, damaged and missing files, a clock that steps, kill -9 under load. Large objects, for the small ones see test_disk.py."""

import itertools
import random
import shutil
import signal
import subprocess
import threading
import time

import pytest

from lab import Reply, blob, eventually
from lab.faults import Faults
from lab.wait import SLOWER
from test_disk import STORED, again, await_kept, disk, objects_on_disk, stats, tgz
from test_disk_large import MB, PATH, begin, in_tmp, rest

SMALL = "/small/-/small-1.0.0.tgz"


@pytest.fixture(scope="module")
def body():
    return tgz(8 * MB + 4321)


@pytest.fixture
def broken(make):
    """An edge with a tier on a disk that can be broken, and how."""
    made = []

    def start(**more):
        edge = make.edge(disk(**more), start=False)
        made.append(Faults(edge))
        edge.start()
        return edge, made[-1]
    yield start
    for f in made:
        f.end()


def of_disk(edge):
    return stats(edge)["disk"]


def serves(edge, o, name="alive"):
    """It fetches, and has in memory."""
    path = f"/{name}/-/{name}-1.0.0.tgz"
    o.on(path, Reply(body=tgz(1000), headers=STORED))
    for _ in range(2):
        assert edge.get(o.url(path)).body == tgz(1000)
    assert o.count(path) == 1


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_an_error_while_it_is_written_loses_the_object_not_the_download(make, broken, body, error):
    o = make.origin()
    gate = o.gate()
    o.on(PATH, Reply(body=[body[:5 * MB], gate, body[5 * MB:]], length=len(body), headers=STORED))
    edge, faults = broken()
    reader, sleeper = begin(edge, o.url(PATH)), begin(edge, o.url(PATH))
    gate.await_waiting()
    eventually("the file has grown", lambda: in_tmp(edge) and in_tmp(edge)[0].stat().st_size > 4 * MB)
    faults.write_errno = error
    gate.open()
    got = []
    other = threading.Thread(target=lambda: got.append(rest(sleeper)))
    other.start()
    assert rest(reader).body == body
    other.join()
    assert got[0].body == body
    assert o.count() == 1
    eventually("nothing is left of it", lambda: not in_tmp(edge) and not objects_on_disk(edge))
    shown = of_disk(edge)
    assert shown["read_only"] == 1 and shown["write_errors"] >= 1 and shown["objects"] == 0
    assert edge.said("writing an object failed")
    serves(edge, o)


def test_a_disk_that_stands_still_holds_up_nobody(make, broken, body):
    o = make.origin()
    o.on(PATH, Reply(body=body, headers=STORED))
    edge, faults = broken()
    serves(edge, o, "before")
    faults.writes_stuck = 1
    c = begin(edge, o.url(PATH))
    faults.await_stuck("writes")
    serves(edge, o, "meanwhile")
    assert rest(c).body == body
    assert edge.said("stands still")
    faults.writes_stuck = 0
    eventually("nothing is left of it", lambda: not in_tmp(edge))
    assert edge.get(o.url(PATH)).body == body


def test_one_that_does_not_fit_goes_by(make, body):
    """cache.disk.size and min_free are honoured while it comes, too."""
    for limits in ({"size": "4MB"}, {"min_free": "99%"}):
        o = make.origin()
        o.on(PATH, Reply(body=body, headers=STORED))
        o.on("/chunked" + PATH, Reply(body=body, headers=STORED, framing="chunked"))
        edge = make.edge(disk(**limits))
        for path in (PATH, "/chunked" + PATH):
            r = edge.get(o.url(path))
            assert not r.cut and r.body == body
        assert not objects_on_disk(edge)
        assert of_disk(edge)["used_bytes"] <= max(of_disk(edge)["limit_bytes"], MB)
        assert of_disk(edge)["dropped_writes"] >= 2


def test_room_is_made_for_what_comes(make, body):
    o = make.origin()
    edge = make.edge(disk(size="20MB"))
    paths = [f"/p/-/p-{i}.0.0.tgz" for i in range(5)]
    for p in paths:
        o.on(p, Reply(body=body, headers=STORED))
        assert edge.get(o.url(p)).body == body
        assert sum(f.stat().st_size for f in objects_on_disk(edge) + in_tmp(edge)) <= 20 * MB
        eventually("it is there", lambda: not in_tmp(edge))
    eventually(lambda: f"two of them are there: {of_disk(edge)}", lambda: of_disk(edge)["objects"] == 2)
    eventually("and no more", lambda: len(objects_on_disk(edge)) == 2)
    assert edge.get(o.url(paths[-1])).x_cache == "HIT"


def test_what_cannot_be_read_is_fetched_again_within_the_request(make, broken, body):
    o = make.origin()
    o.on(PATH, Reply(body=body, headers=STORED))
    edge, faults = broken()
    edge.get(o.url(PATH))
    await_kept(edge, 1)
    assert edge.get(o.url(PATH)).x_cache == "HIT"
    faults.reads_to_fail = 1
    faults.read_errno = "EIO"
    r = edge.get(o.url(PATH))
    assert r.status == 200 and r.body == body and o.count() == 2
    shown = of_disk(edge)
    assert shown["read_errors"] >= 1 and shown["quarantined"] == 1
    eventually("and kept anew", lambda: edge.get(o.url(PATH)).x_cache == "HIT")


def test_cold_pages_are_read_by_others(make, broken, body):
    o = make.origin()
    o.on(PATH, Reply(body=body, headers=STORED))
    edge, faults = broken()
    edge.get(o.url(PATH))
    serves(edge, o)
    await_kept(edge, 2)
    faults.cold = 1
    assert edge.get(o.url(PATH)).body == body
    assert edge.get(o.url(PATH), [("Range", "bytes=3000000-3999999")]).body == body[3_000_000:4_000_000]
    again(edge)
    assert edge.get(o.url(PATH), [("Range", "bytes=3000000-3999999")]).body == body[3_000_000:4_000_000]
    assert edge.ask("HEAD", o.url(PATH)).headers.get("Content-Length") == str(len(body))
    faults.reads_stuck = 1
    stuck, gone = begin(edge, o.url(PATH)), begin(edge, o.url(PATH))
    faults.await_stuck("reads")
    gone.close()
    serves(edge, o, "meanwhile")
    faults.reads_stuck = 0
    assert rest(stuck).body == body
    assert o.count(PATH) == 1


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("restarted", [False, True])
def test_a_flipped_byte_never_goes_out(make, body, restarted):
    o = make.origin()
    edge = make.edge(disk())
    for path, at in (("/first" + PATH, 10_000), ("/middle" + PATH, 4 * MB)):
        o.on(path, Reply(body=body, headers=STORED))
        edge.get(o.url(path))
        eventually("it is there", lambda: not in_tmp(edge) and objects_on_disk(edge))
        file = max(objects_on_disk(edge), key=lambda p: p.name)
        if restarted:
            edge.stop()
        flip(file, at)
        if restarted:
            edge.start()
        r = edge.get(o.url(path))
        if at < 65536:
            assert r.body == body and o.count(path) == 2, "nothing had gone out: fetched again"
        else:
            assert r.cut and 0 < len(r.body) <= 4 * MB and body.startswith(r.body)
            r = edge.get(o.url(path))
            assert r.body == body and o.count(path) == 2
    assert of_disk(edge)["quarantined"] >= 1
    eventually("they are put aside", lambda: list((edge.state / "cache" / "quarantine").iterdir()))


def test_files_deleted_under_it(make, body):
    o = make.origin()
    o.on(PATH, Reply(body=body, headers=STORED))
    edge = make.edge(disk())
    edge.get(o.url(PATH))
    await_kept(edge, 1)
    shutil.rmtree(edge.state / "cache" / "objects")
    assert edge.get(o.url(PATH)).body == body
    again(edge)
    assert edge.get(o.url(PATH)).body == body
    assert o.count() == 2
    await_kept(edge, 1)


def test_a_folder_that_cannot_be_written_is_read(make, body):
    o = make.origin()
    o.on(PATH, Reply(body=body, headers=STORED))
    edge = make.edge(disk())
    edge.get(o.url(PATH))
    await_kept(edge, 1)
    edge.stop()
    folder = edge.state / "cache"
    wrap = ("unshare", "-m", "sh", "-c", f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && exec \"$@\"", "sh")
    if subprocess.run([*wrap, "true"], capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    edge.wrap = wrap
    edge.start()
    assert edge.get(o.url(PATH)).x_cache == "HIT"
    assert edge.get(o.url(PATH)).body == body
    o.on("/new" + PATH, Reply(body=body, headers=STORED))
    assert edge.get(o.url("/new" + PATH)).body == body
    serves(edge, o)
    assert of_disk(edge)["read_only"] == 1 and o.count(PATH) == 1
    assert edge.said("nothing can be stored")


def test_a_clock_that_steps(make, broken, body):
    o = make.origin()
    path = "/index/large.json"
    headers = [("Cache-Control", "max-age=3600"), ("ETag", '"1"'), ("Content-Type", "application/octet-stream")]
    o.on(path, lambda req: Reply(304, headers=headers) if req.headers.get("If-None-Match") else Reply(body=body, headers=headers))
    edge, faults = broken()
    edge.get(o.url(path))
    await_kept(edge, 1)
    for step in (7 * 86400, -43200):
        faults.wall_step_s = step
        assert edge.get(o.url(path)).body == body
    assert o.count() == 1, "while it runs, ages do not go by that clock"
    again(edge)
    r = edge.get(o.url(path))
    assert r.body == body and o.count() == 2, "it is from the future: asked about"
    assert o.last().headers.get("If-None-Match") == '"1"'
    faults.wall_step_s = 86400
    again(edge)
    assert edge.get(o.url(path)).body == body
    assert all(r.headers.get("If-None-Match") for r in o.requests_seen[1:])


def test_kill_9_under_load(make):
    """Large objects come, go, and are read while the node dies at some moment, again and again: what is complete is right, what is cut is the
    beginning of what is right; and in the end all that is stored is what the origin has."""
    o = make.origin(tls=False, name="plain.test")
    bodies = {f"/p/-/p-{i}.0.0.tgz": tgz(5 * MB + i * 700_000) for i in range(6)}
    for path, b in bodies.items():
        o.on(path, Reply(body=b, headers=STORED))
    edge = make.edge(disk(size="30MB"))
    chance, faults, whole = random.Random(9), [], itertools.count()

    def client(seed, dead):
        mine = random.Random(seed)
        while not dead.is_set():
            path = mine.choice(list(bodies))
            try:
                r = edge.get(o.url(path))
            except (OSError, AssertionError):
                continue  # it died before it had answered
            if r.status == 200 and not (r.body == bodies[path] if not r.cut else bodies[path].startswith(r.body)):
                faults.append((path, r.cut, len(r.body)))
            elif r.status == 200 and not r.cut:
                next(whole)

    for n in range(6):
        dead = threading.Event()
        clients = [threading.Thread(target=client, args=(10 * n + i, dead)) for i in range(4)]
        for c in clients:
            c.start()
        time.sleep(chance.uniform(0.2, 0.8) * SLOWER)
        edge.process.send_signal(signal.SIGKILL)
        edge.process.wait()
        dead.set()
        for c in clients:
            c.join()
        edge.start()
    assert not faults and next(whole) > 6
    assert not in_tmp(edge)
    edge.ctl("offline", "on")
    stored = 0
    for path, b in bodies.items():
        r = edge.get(o.url(path))
        assert r.status != 200 or r.body == b
        stored += r.status == 200
    assert stored == len(objects_on_disk(edge))
