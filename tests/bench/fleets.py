"""Clusters on loopback: edges that know each other as siblings, and parents above them; of pmcached, and of squid with ICP.

Every node has a name, `log` (its access log, in Squid's format), `plain` and `bump` ports. All keep 1 GB in memory and have one
loop. What one node has had from another it keeps, in both."""

import collections
import ctypes
import json
import os
import subprocess
import time

from servers import Pmcached, Proxy, Squid, Trouble, free_ports, get, run

CLONE_NEWNET = 0x40000000


def own_network():
    """A loopback of our own, so that the kernel's counters count us alone. False where that is not allowed."""
    if os.geteuid() or ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        return False
    return subprocess.run(["ip", "link", "set", "lo", "up"]).returncode == 0


def datagrams():
    """UDP datagrams sent in this network so far."""
    with open("/proc/net/snmp") as f:
        names, values = [line.split()[1:] for line in f if line.startswith("Udp:")]
    return int(dict(zip(names, values))["OutDatagrams"])


def wait_for(what, is_so, seconds=20):
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise Trouble(f"waited {seconds} s for {what}")
        time.sleep(0.02)


class Node:
    """What a node of any fleet can tell."""

    def hierarchy(self, word):
        """How often each way was taken (SIBLING_HIT, HIER_NONE, …) by requests whose URL has this word. Squid's TIMEOUT_ before
        it says that one of those asked was silent."""
        found = collections.Counter()
        with open(self.log, errors="replace") as f:
            for line in f:
                if word in line:
                    found[line.split()[8].split("/")[0].removeprefix("TIMEOUT_")] += 1
        return found


class PmNode(Node, Pmcached):
    def __init__(self, fleet, name, role, ports):
        Proxy.__init__(self, fleet.lab, f"{fleet.name}-{name}")
        self.node = name
        self.plain, self.bump, self.admin, self.cluster = ports[name]
        self.ports = list(ports[name])
        self.log = self.access_log
        f = os.path.join(fleet.secrets, "nodes", name)
        members = {r: ", ".join(f'{{name: {n}, address: "127.0.0.1:{ports[n][3]}"}}' for n in names)
                   for r, names in (("siblings", fleet.edge_names), ("parents", fleet.parent_names))}
        self.launch(f"""
node: {name}
role: {role}
loops: 1
listen: {{proxy: ["127.0.0.1:{self.plain}"], bump: ["127.0.0.1:{self.bump}"], admin: ["127.0.0.1:{self.admin}"],
         cluster: "127.0.0.1:{self.cluster}"}}
cache: {{memory: {{size: {fleet.memory}, max_object: 16MB, policy: {fleet.policy}}}}}
log: {{access: {{path: "{self.log}"}}, level: warning}}
cluster:
  name: bench
  cert: {f}/node.crt
  key: {f}/node.key
  ca: {f}/cluster-ca.crt
  peer_keys: {{1: "file:{f}/peer-1.key"}}
  active_key: 1
  salt: "file:{f}/salt"
  siblings: [{members["siblings"]}]
  parents: [{members["parents"]}]
""")

    def peers(self):
        return json.loads(get(f"http://127.0.0.1:{self.admin}/peers.json"))["peers"]

    def state_of(self, name):
        return next((p["state"] for p in self.peers() if p["name"] == name), "missing")

    def queries(self):
        """Asked of others so far, one for each of them and object; and how many went unanswered."""
        asked = [p["asked"] for p in self.peers()]
        return sum(a["keys"] for a in asked), sum(a["timeouts"] for a in asked)


class PmFleet:
    """Nodes with certificates of their own; each sees all others as up when this returns."""

    def __init__(self, lab, name, edges, parents=0, memory="1 GB", policy="gdsf"):
        self.lab, self.name, self.memory, self.policy = lab, name, memory, policy
        self.edge_names = [f"edge{i + 1}" for i in range(edges)]
        self.parent_names = [f"parent{i + 1}" for i in range(parents)]
        names = self.parent_names + self.edge_names
        numbers = iter(free_ports(4 * len(names)))
        ports = {n: tuple(next(numbers) for _ in range(4)) for n in names}
        self.secrets = lab.path(name + "-secrets")
        ctl = os.path.join(os.path.dirname(Pmcached.binary), "pmcachectl")
        run(ctl, "cluster", "init", "bench", "--dir", self.secrets)
        for n in names:
            run(ctl, "cluster", "issue", n, "--role", "parent" if n in self.parent_names else "edge",
                "--address", f"127.0.0.1:{ports[n][3]}", "--dir", self.secrets)
        self.parents, self.edges = [], []
        try:
            for n in self.parent_names:
                self.parents.append(PmNode(self, n, "parent", ports))
            for n in self.edge_names:
                self.edges.append(PmNode(self, n, "edge", ports))
            self.await_up()
        except Trouble:
            self.stop()
            raise

    @property
    def nodes(self):
        return self.parents + self.edges

    def await_up(self):
        for node in self.nodes:
            wait_for(f"{node.name} to see all others as up: {[(p['name'], p['state']) for p in node.peers()]}",
                     lambda node=node: len([p for p in node.peers() if p["state"] == "up"]) == len(self.nodes) - 1, 40)

    def stop(self):
        for node in self.nodes:
            node.stop()


class SquidNode(Node, Squid):
    """ICP between siblings, which are asked about every miss, and to parents, through which then everything goes. `collapsed`:
    with collapsed_forwarding, so that what is asked for twice at a time is fetched once. The rest is as Squid comes, but:

    - digests are off: they are an hour old, and where there is one, ICP is not asked;
    - minimum_direct_*: an origin that is near, as all are on loopback, would be asked before any peer;
    - each node has an address of its own in 127/8 (Squid drops ICP that comes from its own address, whatever the port), and a
      visible_hostname (or Via would say "loop")."""

    def __init__(self, fleet, name, ports, collapsed):
        Proxy.__init__(self, fleet.lab, f"{fleet.name}-{name}")
        self.node = name
        self.host, self.plain, self.icp = ports[name]
        self.ports = [self.plain]
        self.log = os.path.join(self.folder, "access.log")
        above = [n for n in fleet.parent_names if name not in fleet.parent_names]
        beside = [n for n in fleet.edge_names if n != name and name in fleet.edge_names]
        peers = [f"cache_peer {ports[n][0]} {kind} {ports[n][1]} {ports[n][2]} no-digest name={n}\n"
                 for kind, names in (("sibling", beside), ("parent", above)) for n in names]
        self.launch(f"""
icp_port {self.icp}
udp_incoming_address {self.host}
icp_access allow all
digest_generation off
minimum_direct_rtt 0
minimum_direct_hops 0
{"".join(peers)}{"never_direct allow all" if above else ""}
collapsed_forwarding {"on" if collapsed else "off"}
cache_mem 1 GB
maximum_object_size_in_memory 16 MB
access_log stdio:{self.log}
visible_hostname {name}
""")

    def said(self, text):
        """How often its own log has this text."""
        with open(os.path.join(self.folder, "cache.log"), errors="replace") as f:
            return f.read().count(text)


class SquidFleet:
    def __init__(self, lab, name, edges, parents=0, collapsed=False):
        self.lab, self.name = lab, name
        self.edge_names = [f"edge{i + 1}" for i in range(edges)]
        self.parent_names = [f"parent{i + 1}" for i in range(parents)]
        names = self.parent_names + self.edge_names
        numbers = iter(free_ports(2 * len(names)))
        ports = {n: (f"127.0.1.{i + 1}", next(numbers), next(numbers)) for i, n in enumerate(names)}
        self.parents, self.edges = [], []
        try:
            for n in names:
                (self.parents if n in self.parent_names else self.edges).append(SquidNode(self, n, ports, collapsed))
        except Trouble:
            self.stop()
            raise

    nodes = PmFleet.nodes
    stop = PmFleet.stop
