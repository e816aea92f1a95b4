"""pmcachectl log: who got what, from the daemon's own log in both formats, over rotations.

run-tests: not for threads
"""

import base64
import gzip
import hashlib
import json
import os
import signal
import subprocess
import threading

import pytest

from lab import Reply, blob, eventually
from lab.edge import PMCACHECTL

STORED = [("Cache-Control", "max-age=60"), ("Content-Type", "text/plain")]


def lines(edge, *args):
    return [json.loads(t) for t in edge.ctl("log", "--json", *args).stdout.splitlines()]


def as_job(name):
    return [("Proxy-Authorization", "Basic " + base64.b64encode(name + b":").decode())]


@pytest.mark.parametrize("form", ["squid", "json"])
def test_lines_are_found_by_url_job_client_and_time(make, plain, form):
    e = make.edge({"loops": 1, "log": {"access": {"format": form}}})  # of two loops the lines may come in either order
    for path in ("/a.tgz", "/b.tgz"):
        plain.on(path, Reply(body=b"12345", headers=STORED))
        for job in (b"job7", b"job8"):
            e.get(plain.url(path), as_job(job))
    e.log(plain.url("/b.tgz"), 2) if form == "squid" else eventually("four lines", lambda: len(e.log_texts()) == 4)
    assert [(x["url"], x["user"], x["result"]) for x in lines(e)] == [
        (plain.url("/a.tgz"), "job7", "TCP_MISS"), (plain.url("/a.tgz"), "job8", "TCP_MEM_HIT"),
        (plain.url("/b.tgz"), "job7", "TCP_MISS"), (plain.url("/b.tgz"), "job8", "TCP_MEM_HIT")]
    assert [x["user"] for x in lines(e, "--url", "b.t")] == ["job7", "job8"]
    assert [x["url"] for x in lines(e, "--job", "job8")] == [plain.url("/a.tgz"), plain.url("/b.tgz")]
    assert lines(e, "--job", "job") == [] and lines(e, "--client", "192.0.2.1") == []
    assert len(lines(e, "--client", "127.0.0.1", "--since", "5m")) == 4 and lines(e, "--since", "@4000000000") == []
    assert [x["user"] for x in lines(e, "--last", "1")] == ["job8"]
    text = e.ctl("log", "--url", "a.tgz").stdout.splitlines()
    assert len(text) == 2 and "job7" in text[0] and "TCP_MISS/200" in text[0] and text[0].endswith(f"GET {plain.url('/a.tgz')}")


def test_who_got_a_body_is_found_by_its_digest(make, plain):
    e = make.edge({"log": {"access": {"format": "json"}}})
    bodies = {"/one": blob(100_000, "1"), "/two": blob(100_000, "2")}
    for path, body in bodies.items():
        plain.on(path, Reply(body=body, headers=STORED))
        e.get(plain.url(path))
        e.get(plain.url(path), [("Range", "bytes=5-9")])
    plain.on("/private", Reply(body=b"mine", headers=[("Cache-Control", "private")]))
    e.get(plain.url("/private"))
    digest = hashlib.sha256(bodies["/two"]).hexdigest()
    eventually("the lines", lambda: len(lines(e)) == 5)
    found = lines(e, "--digest", digest)
    assert [(x["url"], x["status"]) for x in found] == [(plain.url("/two"), 200), (plain.url("/two"), 206)]
    assert lines(e, "--digest", digest[:12]) == found
    assert [x["digest"] for x in lines(e, "--url", "/private")] == [None]


def test_a_digest_in_the_url_is_found_in_either_format(edge, plain):
    digest = hashlib.sha256(b"x").hexdigest()
    plain.on(f"/by-hash/SHA256/{digest}", Reply(body=b"x", headers=STORED))
    edge.get(plain.url(f"/by-hash/SHA256/{digest}"))
    edge.log(digest)
    assert len(lines(edge, "--digest", digest)) == 1


def test_rotated_files_are_read_too_the_oldest_first(make, plain):
    e = make.edge()
    for n in range(4):
        plain.on(f"/{n}", Reply(body=b"x", headers=STORED))
        e.get(plain.url(f"/{n}"))
        e.log(plain.url(f"/{n}"))
        if n < 3:
            e.signal(signal.SIGUSR1)
            eventually("a rotation", lambda: not e.log_texts())
    oldest = e.folder / "access.log.2"
    stamp = oldest.stat().st_mtime
    with gzip.open(f"{oldest}.gz", "wb") as f:
        f.write(oldest.read_bytes())
    os.utime(f"{oldest}.gz", (stamp, stamp))
    oldest.unlink()
    (e.folder / "access.log.yaml").write_text("is none of them\n")
    assert [x["url"] for x in lines(e)] == [plain.url(f"/{n}") for n in range(4)]
    os.utime(f"{oldest}.gz", (1, 1))
    assert [x["url"] for x in lines(e, "--since", "1h")] == [plain.url(f"/{n}") for n in range(1, 4)], "too old to look into"


class Follower:
    def __init__(self, edge, *args):
        self.process = subprocess.Popen([str(PMCACHECTL), "-c", str(edge.config_file), "log", "--json", "-f", *args],
                                        stdout=subprocess.PIPE, text=True)
        self.urls = []
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for text in self.process.stdout:
            self.urls.append(json.loads(text)["url"])

    def end(self):
        self.process.terminate()
        self.process.wait(10)
        self.thread.join(10)


def test_follow_goes_on_across_rotation_and_truncation(make, plain):
    e = make.edge()
    for n in range(15):
        plain.on(f"/{n}", Reply(body=b"x", headers=STORED))
    for n in range(12):
        e.get(plain.url(f"/{n}"))
    e.log(plain.url("/11"))
    follower = Follower(e)
    try:
        eventually("the last ten lines", lambda: len(follower.urls) == 10)
        e.get(plain.url("/12"))
        eventually("a line", lambda: follower.urls[-1] == plain.url("/12"))
        e.signal(signal.SIGUSR1)
        eventually("a rotation", lambda: not e.log_texts())
        e.get(plain.url("/13"))
        eventually("a line of the new file", lambda: follower.urls[-1] == plain.url("/13"))
        e.get(plain.url("/13"))
        eventually("another", lambda: len(follower.urls) == 13)
        with open(e.access_log, "w"):
            pass
        e.get(plain.url("/14"))
        eventually("a line after the file was cut", lambda: follower.urls[-1] == plain.url("/14"))
        follower.urls.remove(plain.url("/13"))
        assert follower.urls == [plain.url(f"/{n}") for n in range(2, 15)], "each once"
    finally:
        follower.end()


def test_the_reader_may_leave(make, plain):
    e = make.edge()
    plain.on("/o", Reply(body=b"x", headers=STORED))
    e.get(plain.url("/o"))
    e.log(plain.url("/o"))
    done = subprocess.run(f"{PMCACHECTL} -c {e.config_file} log -f | head -n 1", shell=True, capture_output=True, text=True, timeout=60)
    assert plain.url("/o") in done.stdout


def test_without_a_log_it_says_so(make):
    e = make.edge({"log": {"access": {"path": "off"}}})
    done = e.ctl("log", check=False)
    assert done.returncode == 1 and "log.access.path" in done.stderr
    assert e.ctl("log", "--file", str(e.folder / "none"), check=False).returncode == 1


@pytest.mark.parametrize("args", [["--since", "yesterday"], ["--digest", "xyz"], ["--digest", "abc"], ["--last", "0"], ["extra"]])
def test_wrong_use_is_told(edge, args):
    done = edge.ctl("log", *args, check=False)
    assert done.returncode == 2 and done.stderr and not done.stdout
