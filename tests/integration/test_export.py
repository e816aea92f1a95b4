"""Objects leave one cache in an archive and come into another, which judges them as if it had fetched them."""

import hashlib
import io
import json
import os
import socket
import subprocess
import threading
import tarfile

from lab import Reply, blob, eventually
from lab.edge import PMCACHECTL, SLOWER

FRESH = [("Cache-Control", "max-age=3600"), ("Content-Type", "application/octet-stream")]


def tgz(n):
    return b"\x1f\x8b\x08\x00" + blob(n)


def fill(origin, edge):
    """What two packages and a large file are to a cache; and beside them what must not leave it."""
    bodies = {f"/p{i}/-/p{i}-1.0.0.tgz": tgz(n) for i, n in enumerate([0, 300, 70000])}
    for path, body in bodies.items():
        origin.on(path, Reply(body=body, headers=FRESH, framing="chunked" if len(body) % 3 else "length"))
    origin.on("/mine", Reply(body=b"mine", headers=[("Cache-Control", "private, max-age=3600")]))
    origin.on("/old", Reply(body=b"old", headers=[("Cache-Control", "max-age=0")] + [("ETag", '"a"')]))
    for path in [*bodies, "/mine", "/old"]:
        assert edge.get(origin.url(path)).status == 200
    return bodies


def said(edge, *words, code=0):
    done = edge.ctl(words[0], "--json", *words[1:], check=False)
    assert done.returncode == code, done
    return json.loads(done.stdout)


def test_what_was_exported_is_served_elsewhere_without_its_origin(make, tmp_path):
    o, one, other = make.origin(), make.edge(), make.edge()
    bodies = fill(o, one)
    path = str(tmp_path / "a.tar")
    out = said(one, "export", "--prefix", o.url("/"), path)
    assert (out["objects"], out["bytes"], out["left_out"]) == (3, sum(map(len, bodies.values())), 1), out
    with tarfile.open(path) as t:
        assert t.getnames()[-1] == "manifest.json" and len(t.getnames()) == 7
        manifest = json.load(t.extractfile("manifest.json"))
    urls = {x["url"]: x["sha256"] for x in manifest["objects"]}
    assert urls == {o.url(p): hashlib.sha256(b).hexdigest() for p, b in bodies.items()}

    o.shutdown()
    got = said(other, "import", "--dry-run", path)
    assert got["objects"] == 3 and got["dry_run"] and got["stored"] == 0
    assert other.get(o.url("/p1/-/p1-1.0.0.tgz")).status != 200
    got = said(other, "import", path)
    assert (got["stored"], got["fresh"], got["refused"]) == (3, 0, [])
    for p, body in bodies.items():
        r = other.get(o.url(p))
        assert r.body == body and r.x_cache == "HIT" and r.headers.get("Content-Type") == "application/octet-stream"
    got = said(other, "import", path)
    assert (got["stored"], got["fresh"]) == (0, 3), "what is there and fresh stays"


def test_ages_go_on(make, tmp_path):
    o, one, other = make.origin(), make.edge(), make.edge()
    o.on("/a", Reply(body=b"a", headers=[("Cache-Control", "max-age=3600"), ("Age", "3000")]))
    one.get(o.url("/a"))
    path = str(tmp_path / "a.tar")
    said(one, "export", "--all", path)
    rewrite(path, manifest=lambda m: m["objects"][0].update(when=m["objects"][0]["when"] - 300))
    assert said(other, "import", path)["stored"] == 1
    assert int(other.get(o.url("/a")).headers.get("Age")) >= 3300
    rewrite(path, manifest=lambda m: m["objects"][0].update(when=m["objects"][0]["when"] - 3600))
    third = make.edge()
    said(third, "import", path, code=1)
    assert third.get(o.url("/a")).x_cache != "HIT"


def members(path):
    with tarfile.open(path) as t:
        return [(m, t.extractfile(m).read()) for m in t.getmembers()]


def write(path, parts):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as t:
        for m, data in parts:
            m.size = len(data) if m.isreg() else 0
            t.addfile(m, io.BytesIO(data))


def rewrite(path, manifest=None, head=None, body=None):
    """Another archive of the same kind, with a manifest that fits what was changed but for what `manifest` does."""
    parts = members(path)
    about = json.loads(parts[-1][1])
    for i, x in enumerate(about["objects"]):
        if head:
            parts[2 * i] = (parts[2 * i][0], head(parts[2 * i][1]))
            x["head_sha256"] = hashlib.sha256(parts[2 * i][1]).hexdigest()
        if body:
            parts[2 * i + 1] = (parts[2 * i + 1][0], body(parts[2 * i + 1][1]))
            x["sha256"] = hashlib.sha256(parts[2 * i + 1][1]).hexdigest()
            x["bytes"] = len(parts[2 * i + 1][1])
    if manifest:
        manifest(about)
    parts[-1] = (parts[-1][0], json.dumps(about).encode())
    write(path, parts)


def renamed(name, **what):
    def change(parts):
        m = tarfile.TarInfo(name)
        for key, value in what.items():
            setattr(m, key, value)
        parts[1] = (m, parts[1][1])
    return change


def swapped(parts):
    parts[1] = (parts[1][0], parts[1][1] + b"x")


def behind(parts):
    parts.append((tarfile.TarInfo("objects/9.head"), b"x"))


def lying(**what):
    def change(parts):
        about = json.loads(parts[-1][1])
        about["objects"][0].update(what)
        parts[-1] = (parts[-1][0], json.dumps(about).encode())
    return change


def one_more(parts):
    about = json.loads(parts[-1][1])
    about["objects"].append(about["objects"][0])
    parts[-1] = (parts[-1][0], json.dumps(about).encode())


HOSTILE = [
    (renamed("../objects/1.body"), "../objects/1.body: its name"),
    (renamed("/etc/passwd"), "/etc/passwd: its name"),
    (renamed("objects/2.body"), "objects/2.body: another member"),
    (renamed("objects/1.body", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "objects/1.body: it is a link"),
    (renamed("objects/1.body", type=tarfile.LNKTYPE, linkname="objects/1.head"), "objects/1.body: it is a link"),
    (renamed("objects/1.body", type=tarfile.CHRTYPE), "objects/1.body: it is a device"),
    (renamed("objects/1.body", type=tarfile.DIRTYPE), "it is a folder"),
    (renamed("objects/1.body", type=tarfile.GNUTYPE_SPARSE), "objects/1.body: it is a sparse file"),
    (swapped, "objects/1.body: it is not as long"),
    (behind, "objects/9.head: it comes behind"),
    (lying(sha256="0" * 64), "objects/1.body: its digest"),
    (lying(bytes=7), "objects/1.body: it is not as long"),
    (lying(url="file:///etc/passwd"), "objects/1.body: manifest.json has no URL"),
    (one_more, "objects/4.body: it is not in the archive"),
    (lambda parts: parts.pop(), "no manifest.json"),
]


def test_a_hostile_archive_is_refused_whole(make, tmp_path):
    o, edge, path = make.origin(), make.edge(), str(tmp_path / "a.tar")
    fill(o, edge)
    said(edge, "export", "--all", path)
    edge.ctl("purge", "--all")
    good = members(path)
    for change, why in HOSTILE:
        parts = list(good)
        change(parts)
        write(path, parts)
        done = edge.ctl("import", path, check=False)
        assert done.returncode == 1 and why in done.stderr and "nothing was stored" in done.stderr, done
    o.shutdown()
    assert edge.get(o.url("/p1/-/p1-1.0.0.tgz")).status != 200


def test_cut_short_anywhere(make, tmp_path):
    o, edge, path = make.origin(), make.edge(), tmp_path / "a.tar"
    fill(o, edge)
    said(edge, "export", "--all", str(path))
    whole = path.read_bytes()
    for n in (0, 100, 511, 512, 700, len(whole) // 2, len(whole) - 1024, len(whole) - 512):
        path.write_bytes(whole[:n])
        done = edge.ctl("import", "--dry-run", str(path), check=False)
        assert done.returncode == 1 and "cut short" in done.stderr, (n, done)
    path.write_bytes(whole.replace(b"ustar", b"vstar", 1))
    assert "sum is wrong" in edge.ctl("import", str(path), check=False).stderr


NOT_FOR_EVERYBODY = [
    (dict(head=lambda h: h.replace(b"\r\n", b"\r\nCache-Control: private\r\n", 1)), "private"),
    (dict(head=lambda h: h.replace(b"\r\n", b"\r\nSet-Cookie: a=b\r\n", 1)), "cookie"),
    (dict(head=lambda h: h.replace(b"\r\n", b"\r\nVary: *\r\n", 1)), "varies"),
    (dict(head=lambda h: h.replace(b" 200 ", b" 404 ", 1)), "status"),
    (dict(head=lambda h: h.replace(b"\r\n", b"\r\nRepr-Digest: sha-256=:" + b"A" * 43 + b"=:\r\n", 1)), "digest"),
    (dict(head=lambda h: h.replace(b"\r\n", b"\n")), "no HTTP response"),
    (dict(head=lambda h: h.replace(b"\r\n", b"\r\nContent-Length: 1\r\n", 1)), "no HTTP response"),
]


def test_the_daemon_judges(make, tmp_path):
    o, edge, path = make.origin(), make.edge(), str(tmp_path / "a.tar")
    fill(o, edge)
    said(edge, "export", "--all", path)
    edge.ctl("purge", "--all")
    good = members(path)
    for change, why in NOT_FOR_EVERYBODY:
        write(path, good)
        rewrite(path, **change)
        got = said(edge, "import", path, code=1)
        assert got["stored"] == 0 and len(got["refused"]) == 3
        assert all(why.lower() in x["why"].lower() for x in got["refused"]), got
    o.shutdown()
    assert edge.get(o.url("/p1/-/p1-1.0.0.tgz")).status != 200


def test_what_is_denied_stays_out_and_the_rest_comes_in(make, tmp_path):
    o, edge, path = make.origin(), make.edge(), str(tmp_path / "a.tar")
    bodies = fill(o, edge)
    said(edge, "export", "--all", path)
    edge.ctl("purge", "--all")
    bad = "/p2/-/p2-1.0.0.tgz"
    edge.ctl("purge", "--digest", hashlib.sha256(bodies[bad]).hexdigest(), "--deny")
    done = edge.ctl("import", path, check=False)
    assert done.returncode == 1 and "2 of 3 stored" in done.stdout and "deny-list" in done.stderr, done
    o.shutdown()
    assert edge.get(o.url(bad)).status != 200
    assert edge.get(o.url("/p1/-/p1-1.0.0.tgz")).x_cache == "HIT"


def run(command, **more):
    """A command of a shell, in which $PMCACHECTL is what its name says."""
    env = dict(os.environ, PMCACHECTL=str(PMCACHECTL), ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
    return subprocess.run(["/bin/bash", "-c", command], env=env, capture_output="stdout" not in more, timeout=60 * SLOWER, **more)


def test_a_pipe_from_one_to_the_other(make):
    o, one, other = make.origin(), make.edge(), make.edge()
    bodies = fill(o, one)
    o.shutdown()
    done = run(f"set -o pipefail; $PMCACHECTL -c {one.config_file} export --all - | $PMCACHECTL --state {other.state} import --json -")
    assert done.returncode == 0, done
    got = json.loads(done.stdout)
    assert (got["stored"], got["bytes"], got["refused"]) == (3, sum(map(len, bodies.values())), [])
    assert done.stderr.startswith(b"3 objects, "), "what export has to say goes beside the pipe"
    for path, body in bodies.items():
        r = other.get(o.url(path))
        assert r.body == body and r.x_cache == "HIT"


def test_standard_output_has_the_archive_and_nothing_else(make, tmp_path):
    o, edge = make.origin(), make.edge()
    fill(o, edge)
    path = tmp_path / "a.tar"
    said(edge, "export", "--all", str(path))
    for json_option in ["", "--json"]:
        done = run(f"$PMCACHECTL -c {edge.config_file} {json_option} export --all -")
        assert done.returncode == 0, done.stderr
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as t:
            assert t.getnames() == [m.name for m, _ in members(path)]
        assert len(done.stdout) == len(path.read_bytes()), "nothing before, nothing behind"
    assert json.loads(done.stderr)["archive_bytes"] == len(done.stdout)


def test_a_pipe_that_breaks(make):
    o, edge = make.origin(), make.edge()
    fill(o, edge)
    export = f"$PMCACHECTL -c {edge.config_file} export --all -"
    left, right = os.pipe()
    os.close(left)
    done = run(export, stdout=right, stderr=subprocess.PIPE)
    os.close(right)
    assert (done.returncode, done.stderr) == (1, b"pmcachectl: standard output: Broken pipe\n")
    with open("/dev/full", "wb") as full:
        done = run(export, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, b"pmcachectl: standard output: No space left on device\n")
    done = run(f"{export} >&-")
    assert (done.returncode, done.stderr) == (1, b"pmcachectl: standard output: Bad file descriptor\n")
    done = run(f"{export} | head -c 20000 | $PMCACHECTL --state {edge.state} import -")
    assert done.returncode == 1 and done.stdout == b"" and b"pmcachectl: standard input: " in done.stderr, done
    assert b"cut short; nothing was stored" in done.stderr, "as much as came is no archive"


def test_what_is_on_a_disk(make, tmp_path):
    disk = {"path": "cache", "size": "1GB", "min_free": "1%"}
    o, one = make.origin(), make.edge()
    big = make.edge({"cache": {"memory": {"max_object": "16KB"}, "disk": disk}})
    bodies = fill(o, one)
    path = tmp_path / "a.tar"
    said(one, "export", "--all", str(path))
    got = said(big, "import", str(path))
    assert got["stored"] == 3 and got["refused"] == []
    eventually("the last file is in its place", lambda: said(big, "stats")["disk"]["objects"] == 3)
    o.shutdown()
    out = said(big, "export", "--host", o.url("/").split("/")[2], str(tmp_path / "b.tar"))
    assert out["objects"] == 3 and out["bytes"] == sum(map(len, bodies.values()))
    assert [d for m, d in members(tmp_path / "b.tar") if m.name.endswith("body")] == \
        [d for m, d in members(path) if m.name.endswith("body")]


def said_by_a_daemon(folder, answer, *words):
    """What pmcachectl makes of this answer on the control socket."""
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(folder / "control.sock"))
        door.listen()

        def serve():
            talk, _ = door.accept()
            with talk:
                talk.recv(1000)
                talk.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        done = run(" ".join(["$PMCACHECTL", "--state", str(folder), *words]))
        thread.join()
    return done


def test_a_list_that_is_not_whole_is_no_archive(tmp_path):
    answers = {
        '{"urls":["http://a.test/1"],"cut":"the disk has too much to do"}': "the disk has too much to do",
        '{"urls":["http://a.test/1"]': "the daemon has broken off before its end",
        '{"urls":["http://a.test/1"]}': "the daemon has broken off before its end",
        "": "the daemon has broken off before its end",
    }
    if SLOWER == 1:
        many = ",".join(f'"http://a.test/{i}"' for i in range(1000001))
        answers['{"urls":[%s],"cut":null}' % many] = "it is longer than an archive may be: ask for less, a host or a prefix"
    for i, (answer, why) in enumerate(answers.items()):
        path = tmp_path / "a.tar"
        done = said_by_a_daemon(tmp_path / str(i), b"ok\n" + answer.encode(), "export", "--all", str(path))
        assert done.returncode == 1 and not path.exists() and done.stdout == b"", done
        assert done.stderr == f"pmcachectl: the list of what is stored: {why}; nothing was exported\n".encode()


def test_words(edge, tmp_path):
    path = str(tmp_path / "a.tar")
    assert edge.ctl("export", path, check=False).returncode == 2
    assert edge.ctl("export", "--all", "--host", "a.test", path, check=False).returncode == 2
    assert edge.ctl("export", "--all", check=False).returncode == 2
    assert edge.ctl("import", check=False).returncode == 2
    assert edge.ctl("import", path, check=False).returncode == 1
    done = edge.ctl("export", "--all", path, check=False)
    assert done.returncode == 1 and "nothing that is stored" in done.stderr and not list(tmp_path.iterdir())
    assert edge.ctl("export", "--prefix", "no-url", path, check=False).returncode == 1
