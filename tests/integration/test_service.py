"""What a service manager sees: readiness, reloads, the watchdog, and sockets that it keeps, so that nobody is refused between
two processes. The manager here is the test itself."""

import array
import os
import signal
import socket
import subprocess
import sys
import threading

from lab import Reply, blob, eventually
from lab.edge import PMCACHED, free_ports
from lab.wait import DEADLINE
from lab.wire import TlsWire, client_context

# Gives the descriptors named in PMC_FDS the numbers 3, 4, … and becomes the daemon, which inherits no other.
STARTER = """
import fcntl, os, sys
fds = [int(n) for n in os.environ.pop("PMC_FDS").split(",") if n]
for fd in fds:
    os.set_inheritable(fd, False)
high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3 + len(fds)) for fd in fds]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i, inheritable=True)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[1], sys.argv[1:])
"""


class Manager:
    """Hears what the daemons say, keeps their sockets, gives them to the next."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.said, self.kept, self.count = [], {}, 0
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                text, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(4))
            except OSError:
                return
            words = dict(line.split("=", 1) for line in text.decode().splitlines())
            if "FDSTORE" in words:
                self.count += 1
                self.kept[words["FDNAME"]] = array.array("i", control[0][2])[0]
            if "FDSTOREREMOVE" in words:
                os.close(self.kept.pop(words["FDNAME"]))
            self.said.append(words)

    def await_word(self, word, times=1):
        eventually(lambda: f"{times} {word}: {self.said}", lambda: sum(word in w for w in self.said) >= times)

    def launch(self, edge):
        names, fds = list(self.kept), list(self.kept.values())
        env = dict(os.environ, NOTIFY_SOCKET=self.path, WATCHDOG_USEC="400000", PMC_FDS=",".join(map(str, fds)),
                   LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=":".join(names))
        edge.stderr_text = ""
        edge.process = subprocess.Popen([sys.executable, "-c", STARTER, str(PMCACHED), "-c", str(edge.config_file)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        env=env, cwd=edge.folder, pass_fds=fds)
        edge._reader = threading.Thread(target=edge._read_stderr, args=(edge.process.stderr,), daemon=True)
        edge._reader.start()

    def edge(self, make, **more):
        edge = make.edge(start=False, **more)
        edge.launch = lambda: self.launch(edge)
        edge.start()
        self.await_word("READY")
        return edge


def test_the_manager_is_told(make, tmp_path):
    m = Manager(tmp_path)
    e = m.edge(make)
    m.await_word("WATCHDOG", 3)
    e.reload()
    m.await_word("READY", 2)
    words = [next(iter(w)) for w in m.said]
    assert words.index("RELOADING") > words.index("READY")
    assert len(words) - words[::-1].index("READY") > words.index("RELOADING")
    e.config_file.write_text("nonsense: on\n")
    e.reload()
    m.await_word("READY", 3)
    assert "old one" in [w for w in m.said if "READY" in w][-1]["STATUS"]
    e.signal(signal.SIGTERM)
    m.await_word("STOPPING")
    e.stop()


def test_between_two_processes_nobody_is_refused(make, plain, tmp_path):
    plain.on("/o", Reply(body=blob(1000)))
    m = Manager(tmp_path)
    e = m.edge(make)
    assert m.count == 2 * 4 + 1  # two loops, two doors with two addresses each; the admin port has one loop
    e.stop()
    waiting = [e.connect(door) for door in ("proxy", "bump", "proxy", "bump")]
    for c in waiting:
        c.request("GET", plain.url("/o"))
    e.start()
    for c in waiting:
        with c:
            assert c.response().status == 200
    assert m.count == 2 * 4 + 1  # the new process has the old one's
    assert e.get(plain.url("/o"), door="proxy").status == 200


def test_after_a_crash_too(make, plain, tmp_path):
    plain.on("/o", Reply(body=blob(1000)))
    m = Manager(tmp_path)
    e = m.edge(make)
    e.kill()
    with e.connect("proxy") as c:
        c.request("GET", plain.url("/o"))
        e.start()
        assert c.response().status == 200


def test_an_address_that_is_gone_is_given_back(make, tmp_path):
    m = Manager(tmp_path)
    e = m.edge(make)
    e.stop()
    old, (e.proxy_port,) = e.proxy_port, free_ports(1)
    e.write_config()
    e.start()
    eventually(lambda: f"{old} is not among {list(m.kept)}", lambda: not any(f"_{old}#" in name for name in m.kept))
    try:
        socket.create_connection(("127.0.0.1", old), timeout=DEADLINE).close()
        raise AssertionError("the old port is still open")
    except ConnectionRefusedError:
        pass
    assert any(f"_{e.proxy_port}#" in name for name in m.kept)


def test_fewer_loops(make, plain, tmp_path):
    plain.on("/o", Reply(body=blob(1000)))
    m = Manager(tmp_path)
    e = m.edge(make)
    e.stop()
    e.overrides = {"loops": 1}
    e.write_config()
    e.start()
    eventually(lambda: f"only those of the first loop: {list(m.kept)}", lambda: all(n.endswith("#0") for n in m.kept))
    for _ in range(20):
        assert e.get(plain.url("/o"), door="proxy").status == 200


def test_a_drain_serves_who_has_connected(make, plain, origin, tmp_path):
    """Connections and tunnels from before the drain that have not brought their first request."""
    plain.on("/o", Reply(body=blob(1000)))
    origin.on("/o", Reply(body=blob(1000)))
    m = Manager(tmp_path)
    e = m.edge(make)
    used, fresh = e.connect("proxy"), e.connect("proxy")
    assert used.get(plain.url("/o")).status == 200
    tunnel = e.tunnel(f"{origin.name}:{origin.port}")
    opened = e.bumped(origin)
    e.signal(signal.SIGTERM)
    m.await_word("STOPPING")
    assert used.wire.recv() == b""  # between two requests: closed cleanly
    fresh.request("GET", plain.url("/o"))
    assert fresh.response().status == 200
    assert opened.get("/o").status == 200
    tunnel.wire = TlsWire(tunnel.wire, client_context(e.ca_file), origin.name, None)
    tunnel.authority = f"{origin.name}:{origin.port}"
    assert tunnel.get("/o").status == 200
    e.stop()
