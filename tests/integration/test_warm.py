"""A lock file, and afterwards all that it names is in the cache, and is what it should be."""

import base64
import hashlib
import json

import pytest

from lab import Reply, blob

FRESH = [("Cache-Control", "max-age=3600")]


def tgz(n):
    return b"\x1f\x8b\x08\x00" + blob(n)


def sri(body, kind="sha512"):
    return kind + "-" + base64.b64encode(hashlib.new(kind, body).digest()).decode()


def packages(origin, n=20):
    bodies = {f"/p{i}/-/p{i}-1.0.0.tgz": tgz(1000 * i) for i in range(n)}
    for path, body in bodies.items():
        origin.on(path, Reply(body=body, headers=FRESH, framing="chunked" if len(body) % 3 else "length"))
    return bodies


def lock(tmp_path, origin, bodies, version=3):
    entry = {path.split("/")[1]: {"version": "1.0.0", "resolved": origin.url(path), "integrity": sri(body)}
             for path, body in bodies.items()}
    text = {"name": "x", "lockfileVersion": version}
    if version == 1:
        text["dependencies"] = entry
    else:
        text["packages"] = {"": {"name": "x"}, **{f"node_modules/{name}": e for name, e in entry.items()},
                            "node_modules/w": {"resolved": "w", "link": True}}
    path = tmp_path / "package-lock.json"
    path.write_text(json.dumps(text))
    return str(path)


def warm(edge, *words, code=0):
    done = edge.ctl("warm", "--json", *words, check=False)
    assert done.returncode == code, done
    return json.loads(done.stdout)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_afterwards_it_is_there(make, tmp_path, version):
    o, edge = make.origin(), make.edge()
    bodies = packages(o)
    path = lock(tmp_path, o, bodies, version)
    said = warm(edge, path)
    assert (said["packages"], said["fetched"], said["from_cache"], said["failed"]) == (20, 20, 0, [])
    assert said["bytes"] == sum(map(len, bodies.values())) and said["left_out"] == (version > 1)
    n = o.count()
    for p, body in bodies.items():
        r = edge.get(o.url(p))
        assert r.body == body and r.x_cache == "HIT"
    said = warm(edge, path, "--jobs", "1")
    assert said["from_cache"] == 20 and o.count() == n
    assert "20 of 20 fetched" in edge.ctl("warm", path).stdout


def test_what_does_not_fit_is_said_and_not_kept(make, tmp_path):
    o, edge = make.origin(), make.edge()
    bodies = packages(o, 4)
    path = lock(tmp_path, o, bodies)
    o.on("/p1/-/p1-1.0.0.tgz", Reply(body=tgz(1001), headers=FRESH))
    o.on("/p2/-/p2-1.0.0.tgz", Reply(status=404, body=b"no"))
    said = warm(edge, path, code=1)
    assert said["fetched"] == 2 and {f["name"] for f in said["failed"]} == {"p1", "p2"}
    assert edge.get(o.url("/p1/-/p1-1.0.0.tgz")).x_cache == "MISS"
    o.on("/p3/-/p3-1.0.0.tgz", Reply(body=tgz(7), headers=FRESH))
    edge.ctl("purge", "--all")
    edge.get(o.url("/p3/-/p3-1.0.0.tgz"))
    said = warm(edge, path, code=1)
    assert "integrity" in next(f["why"] for f in said["failed"] if f["name"] == "p3"), "also what was there before"
    done = edge.ctl("warm", path, check=False)
    assert done.returncode == 1 and "/p3/" in done.stderr


def test_other_files_are_refused(edge, tmp_path):
    path = tmp_path / "yarn.lock"
    path.write_text("# yarn lockfile v1\n")
    done = edge.ctl("warm", str(path), check=False)
    assert done.returncode == 1 and "package-lock.json" in done.stderr
    assert edge.ctl("warm", check=False).returncode == 2
    assert edge.ctl("warm", "--jobs", "0", str(path), check=False).returncode == 2
    assert edge.ctl("warm", str(tmp_path / "none"), check=False).returncode == 1
