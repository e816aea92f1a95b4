"""A cluster on loopback: its CA and keys by `pmcachectl cluster`, and nodes that are ordinary edges and parents with a port of their
own for each other.

    c = make.cluster(edges=3, parents=1)
    p, a, b, d = c.start()                      # all of them, each in the others' files; all up when this returns

    c = make.cluster(edges=2)                   # or one by one
    a = c.node("edge1", conf={...})

Each request has three witnesses: what the client got, what the origin saw, and the figures of /peers.json on both sides."""

import functools
import hashlib
import inspect
import json
import os
import subprocess
import threading
import warnings
from pathlib import Path

from .edge import PMCACHECTL, Edge, free_ports, merge
from .wait import SLOWER, eventually

IMMUTABLE = "/sumdb/lab/lookup/"  # what lies below it never changes, and may have any content (proto/pathclass.h)


def by_hash(body):
    """A path that names the digest of its body."""
    return f"/debian/dists/lab/main/binary-all/by-hash/SHA256/{hashlib.sha256(body).hexdigest()}"


def together(n, action):
    """Runs action(i) in n threads at once; returns what they gave, raises what they raised."""
    out, faults = [None] * n, []

    def one(i):
        try:
            out[i] = action(i)
        except BaseException as e:
            faults.append(e)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60 * SLOWER)
    if faults:
        raise faults[0]
    assert not any(t.is_alive() for t in threads), "a client has not been answered"
    return out


def again_if_late(test):
    """For tests that need each question between nodes to be answered in time. What comes after the deadline (some ms) counts as no
    answer, and the object is fetched once more: right, but then the test has shown nothing. So a failure during which a question
    went unanswered is tried again; the test has to make its origin (and so its URLs) inside. The first argument is the cluster."""
    @functools.wraps(test)
    def run(cluster, *args, **more):
        for left in (3, 2, 1, 0):
            cluster.mend()
            before = cluster.timeouts()
            try:
                return test(cluster, *args, **more)
            except AssertionError:
                cluster.mend()
                late = sum(n - before.get(e, 0) for e, n in cluster.timeouts().items())
                if not late or not left:
                    raise
                warnings.warn(f"{test.__name__}: {late} answers came too late; once more", stacklevel=1)
        return None

    @functools.wraps(test)
    def by_name(*args, **more):
        name = next(iter(inspect.signature(test).parameters))
        return run(*args, **more) if args else run(more.pop(name), **more)
    return by_name


class Node(Edge):
    """An Edge that is in a cluster. A parent has client ports too, so that a test can ask it directly."""

    def __init__(self, folder, certs, names, cluster, name, role, conf=None, **more):
        self.cluster, self.name, self.role = cluster, name, role
        self.extra = conf or {}
        self.host = cluster.hosts.get(name, "127.0.0.1")
        self.wrap = cluster.wraps.get(name, ())
        super().__init__(folder, certs, names, {}, **more)

    def base(self):
        conf = super().base()
        if self.host != "127.0.0.1":
            conf["listen"] = {"proxy": f"{self.host}:{self.proxy_port}", "bump": f"{self.host}:{self.bump_port}",
                              "admin": f"{self.host}:{self.admin_port}"}
        return merge(merge(conf, self.cluster.section(self)), self.extra)

    @property
    def cluster_port(self):
        return self.cluster.ports[self.name]

    def page(self, path):
        with self.connect("admin") as c:
            r = c.get(path, host=f"{self.host}:{self.admin_port}")
        assert r.status == 200, r
        return r

    def peers(self):
        """/peers.json; `pmcachectl peers --json` says the same."""
        return json.loads(self.page("/peers.json").body)

    def stats(self):
        return json.loads(self.page("/stats.json").body)

    def peer(self, name):
        return next(p for p in self.peers()["peers"] if p["name"] == name)

    def parent(self, name):
        return next(p for p in self.peers()["parents"] if p["name"] == name)

    def keys_asked(self):
        """Keys that it has asked others about."""
        return sum(p["asked"]["keys"] for p in self.peers()["peers"])

    def timeouts(self):
        return sum(p["asked"]["timeouts"] for p in self.peers()["peers"])

    def await_peer(self, name, *states):
        """The other node is in one of these states."""
        return eventually(lambda: f"{self.name} sees {name} as {states}: {self.peer(name)}",
                          lambda: self.peer(name)["state"] in states)

    def await_peers(self, state="up", but=()):
        """Every other node is in this state."""
        def all_are():
            seen = {p["name"]: p["state"] for p in self.peers()["peers"]}
            wanted = [n for n in self.cluster.names if n != self.name and n not in but]
            return all(seen.get(n) == state for n in wanted)
        eventually(lambda: f"all peers of {self.name} are {state}: "
                   f"{[(p['name'], p['state']) for p in self.peers()['peers']]}\n{self.stderr_text}", all_are)


class Cluster:
    def __init__(self, makers, folder, edges=2, parents=0, conf=None, hosts=None):
        """hosts: {name: address} of nodes that are not on loopback (netns.py)."""
        self.makers, self.folder, self.conf, self.hosts = makers, Path(folder), conf or {}, hosts or {}
        self.dir = self.folder / "cluster"
        self.nodes, self.fakes, self.wraps = {}, {}, {}
        self.parents = [f"parent{i + 1}" for i in range(parents)]
        self.edges = [f"edge{i + 1}" for i in range(edges)]
        self.names = self.parents + self.edges
        self.ports = dict(zip(self.names, free_ports(len(self.names))))
        self.ctl("init", "lab", "--dir", self.dir)
        for n in self.names:
            self.issue(n, "parent" if n in self.parents else "edge")

    def __getitem__(self, name):
        return self.nodes[name]

    def ctl(self, *words, check=True):
        env = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")  # as Edge.ctl
        done = subprocess.run([PMCACHECTL, "cluster", *map(str, words)], capture_output=True, text=True,
                              timeout=60 * SLOWER, env=env)
        if check:
            assert done.returncode == 0, f"pmcachectl cluster {words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def issue(self, name, role, *more):
        self.ports.setdefault(name, free_ports(1)[0])
        return self.ctl("issue", name, "--role", role, "--address", self.address(name), "--dir", self.dir, *more)

    def files(self, name):
        return self.dir / "nodes" / name

    def address(self, name):
        return f"{self.hosts.get(name, '127.0.0.1')}:{self.ports[name]}"

    def secret(self, kid=1):
        """The 32 bytes that seal datagrams."""
        return bytes.fromhex((self.dir / f"peer-{kid}.key").read_text().strip())

    def section(self, node):
        f = self.files(node.name)
        own = {
            "name": "lab",
            "cert": str(f / "node.crt"), "key": str(f / "node.key"), "ca": str(f / "cluster-ca.crt"),
            "peer_keys": {"1": f"file:{f / 'peer-1.key'}"}, "active_key": 1,
            "salt": f"file:{f / 'salt'}", "purge_public": str(f / "purge.pub"),
            "siblings": self.members(self.edges), "parents": self.members(self.parents),
        }
        if node.role == "parent":
            own["purge_key"] = str(f / "purge.key")
        return {"node": node.name, "role": node.role, "listen": {"cluster": self.address(node.name)}, "cluster": own}

    def members(self, names):
        return [{"name": n, "address": self.address(n)} for n in names]

    def node(self, name, conf=None, start=True):
        role = "parent" if name in self.parents else "edge"
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        made = Node(folder, self.makers.certs, self.makers.names, self, name, role, merge(self.conf, conf or {}), start=start)
        self.nodes[name] = made
        self.makers.edges.append(made)
        return made

    def fake(self, name):
        """This node is a Python one (peer.py); before start()."""
        from .peer import Peer
        self.fakes[name] = Peer(self, name)
        self.makers.origins.append(self.fakes[name])  # closed with them
        return self.fakes[name]

    @property
    def real(self):
        return [n for n in self.names if n not in self.fakes]

    def start(self, conf=None):
        """All of them but the fakes; each knows that the others are up when this returns."""
        real = self.real
        together(len(real), lambda i: self.node(real[i], conf))
        return self.mend()

    def mend(self):
        """Starts those that a test has ended, and waits until all see each other."""
        for n in self.real:
            if not self.nodes[n].running:
                self.nodes[n].start()
        for n in self.real:
            self.nodes[n].await_peers(but=[f for f in self.fakes if not self.fakes[f].answers])
        return [self.nodes[n] for n in self.real]

    def fresh_edges(self):
        """mend(), and only the edges."""
        return [e for e in self.mend() if e.role == "edge"]

    def timeouts(self):
        """Keys that went unanswered, by process."""
        return {e.pid: e.timeouts() for e in self.nodes.values() if e.running}
