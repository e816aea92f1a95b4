"""SIGUSR2: the program is started anew, as after an upgrade, while clients are being served. No request fails."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest
from lab import Reply, blob, eventually
from lab.cluster import IMMUTABLE
from lab.edge import PMCACHECTL
from lab.wait import DEADLINE
from test_service import Manager

PR_SET_CHILD_SUBREAPER = 36
BODY = blob(200_000)


class Adopted:
    """A process that a daemon started, and that is ours when the daemon has ended."""

    def __init__(self, pid):
        self.pid, self.returncode = pid, None

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout=DEADLINE):
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("pmcached", timeout)
            time.sleep(0.01)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


@pytest.fixture(autouse=True)
def subreaper():
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.fixture
def manager(tmp_path):
    return Manager(tmp_path)


@pytest.fixture
def edge(make, manager, tmp_path):
    return manager.edge(make, conf={"cache": {"disk": {"path": str(tmp_path / "disk"), "size": "100MB"}}})


def succeed(edge, manager, old_ends=True):
    """The old process, which has ended with 0 if it is not to be kept; edge.process is the new one."""
    old, before = edge.process, {word: sum(word in w for w in manager.said) for word in ("MAINPID", "READY")}
    edge.signal(signal.SIGUSR2)
    for word, n in before.items():
        manager.await_word(word, n + 1)
    edge.process = Adopted(int([w for w in manager.said if "MAINPID" in w][-1]["MAINPID"]))
    if old_ends:
        assert old.wait(DEADLINE) == 0, edge.stderr_text
    return old


class Load(threading.Thread):
    """Asks again and again, each time on a new connection and once more on it; stops at the first that goes wrong."""

    def __init__(self, ask):
        super().__init__(daemon=True)
        self.ask, self.count, self.wrong, self.over = ask, 0, None, False
        self.start()

    def run(self):
        while not self.over and not self.wrong:
            try:
                self.ask()
                self.count += 1
            except Exception as e:  # pylint: disable=broad-except
                self.wrong = repr(e)

    def end(self):
        self.over = True
        self.join(DEADLINE)
        assert self.wrong is None, self.wrong
        return self.count


def test_no_request_fails_while_one_process_takes_the_place_of_another(edge, manager, origin, tmp_path):
    origin.on("/p-1.0.tgz", Reply(body=BODY, headers=[("Cache-Control", "max-age=600")]))
    origin.on("/fresh", Reply(body=b"new each time", headers=[("Cache-Control", "no-store")]))
    assert edge.get(origin.url("/p-1.0.tgz")).body == BODY
    eventually("it is on the disk", lambda: [f for f in tmp_path.glob("disk/objects/*/*/*") if f.is_file()])

    def ask():
        with edge.bumped(origin) as c:
            r = c.get("/p-1.0.tgz")
            assert r.status == 200 and r.body == BODY and not r.cut
        with edge.bumped(origin) as c:
            assert c.get("/fresh").body == b"new each time"

    loads = [Load(ask) for _ in range(4)]
    seen = {edge.pid}
    for _ in range(3):
        before = [load.count for load in loads]
        succeed(edge, manager)
        seen.add(edge.pid)
        eventually("each has gone on", lambda: all(x.count > b + 1 or x.wrong for x, b in zip(loads, before)))
    assert sum(load.end() for load in loads) > 12
    assert len(seen) == 4
    assert edge.get(origin.url("/p-1.0.tgz")).headers.get("X-Cache").startswith("HIT")
    assert origin.count("/p-1.0.tgz") == 1  # from one process to the next by the disk
    edge.stop()


def test_what_has_begun_is_finished_by_the_old_process(edge, manager, origin):
    gate = origin.gate()
    origin.on("/slow", lambda req: Reply(body=[b"a" * 1000, gate, b"b" * 1000], framing="chunked"))
    origin.on("/x", Reply(body=b"x"))
    slow, idle = edge.bumped(origin), edge.bumped(origin)
    assert idle.get("/x").status == 200
    slow.request("GET", "/slow")
    gate.await_waiting()
    tunnel = edge.tunnel(f"{origin.name}:{origin.port}", door="proxy")
    old = succeed(edge, manager, old_ends=False)
    assert idle.wire.recv() == b""  # closed cleanly
    assert edge.get(origin.url("/x")).status == 200
    assert old.poll() is None
    gate.open()
    assert slow.response().body == b"a" * 1000 + b"b" * 1000
    tunnel.close()
    assert old.wait(DEADLINE) == 0
    edge.stop()


def test_a_configuration_with_faults_changes_nothing(edge, manager, plain):
    plain.on("/x", Reply(body=b"x"))
    good = edge.config_file.read_text()
    edge.config_file.write_text("nonsense: on\n")
    edge.signal(signal.SIGUSR2)
    edge.said("no successor has come up")
    r = subprocess.run([PMCACHECTL, "--state", edge.state, "upgrade"], capture_output=True, text=True, check=False)
    assert r.returncode == 1 and "no successor has come up" in r.stderr
    edge.said("nonsense")
    assert edge.running and edge.get(plain.url("/x"), door="proxy").status == 200
    assert not any("MAINPID" in w for w in manager.said)
    edge.config_file.write_text(good)
    succeed(edge, manager)
    assert edge.get(plain.url("/x"), door="proxy").status == 200
    edge.stop()


def test_a_successor_that_fails_later_ends_both(edge, manager):
    """Its state is such that it cannot open it: the service manager is to start a new process."""
    ca = edge.state / "ca.crt"
    ca.write_text("nothing that could be a certificate\n")
    edge.signal(signal.SIGUSR2)
    edge.said("does not serve")
    assert edge.process.wait(DEADLINE) == 1
    edge.process = None


def test_the_new_process_has_the_sockets_and_keeps_them_at_the_manager(edge, manager):
    count = manager.count
    succeed(edge, manager)
    assert manager.count == count  # none was opened anew
    edge.stop()
    with socket.create_connection(("127.0.0.1", edge.proxy_port), timeout=DEADLINE) as waiting:
        edge.start()  # from what the manager has
        waiting.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b" 400 " in waiting.recv(1000)
    edge.stop()


def test_pmcachectl_waits_for_the_new_process(edge, manager, plain):
    plain.on("/x", Reply(body=b"x"))
    old = edge.process
    said = json.loads(edge.ctl("upgrade", "--json").stdout)
    edge.process = Adopted(said["new"])
    assert said["old"] == old.pid
    assert edge.get(plain.url("/x"), door="proxy").status == 200
    assert old.wait(DEADLINE) == 0
    assert "upgrade under way" not in edge.stderr_text
    edge.stop()


def test_without_a_manager_it_goes_as_well(make, plain):
    plain.on("/x", Reply(body=b"x"))
    edge = make.edge()
    old = edge.process
    edge.signal(signal.SIGUSR2)
    assert old.wait(DEADLINE) == 0
    children = subprocess.run(["pgrep", "-P", str(os.getpid()), "-x", "pmcached"], capture_output=True, text=True)
    edge.process = Adopted(int(children.stdout.split()[-1]))
    assert edge.get(plain.url("/x"), door="proxy").status == 200
    edge.stop()


def test_a_node_of_a_cluster_is_succeeded(make, plain):
    """Its port for datagrams goes over, too: its sibling finds the new process, and what is on its disk."""
    path, body = IMMUTABLE + "succeeded", blob(50_000)
    plain.on(path, Reply(body=body))
    cluster = make.cluster(2, conf={"cache": {"disk": {"path": "disk", "size": "100MB"}}})
    one, two = cluster.start()
    assert one.get(plain.url(path), door="proxy").body == body
    eventually("it is on the disk", lambda: [f for f in one.state.glob("disk/objects/*/*/*") if f.is_file()])
    old = one.process
    one.process = Adopted(json.loads(one.ctl("upgrade", "--json").stdout)["new"])
    assert old.wait(DEADLINE) == 0
    two.await_peer("edge1", "up")
    for e in (one, two):
        assert e.get(plain.url(path), door="proxy").body == body
    assert plain.count(path) == 1
    line = two.log(path)[0]
    assert (line.hier, line.peer) == ("SIBLING_HIT", "edge1")
