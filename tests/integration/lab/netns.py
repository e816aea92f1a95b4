"""Hosts of a test: network namespaces joined by a bridge, with rules for what is lost on the way. Needs root, ip and nft.

    net = Net(["edge1", "edge2"])                # 10.213.x.1 is this process, the origin's place
    c = make.cluster(2, hosts=net.hosts)
    c.wraps = net.wraps
    net.lose("edge1", "udp", percent=20)         # of what comes in there
    net.cut("edge1", "edge2")                    # nothing from edge2 comes in at edge1; both ways: two cuts
    net.heal()"""

import itertools
import os
import shutil
import subprocess

import pytest

_numbers = itertools.count()


def run(*words, input=None, check=True):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, input=input, timeout=20)
    if check:
        assert done.returncode == 0, f"{words}: {done.stderr}"
    return done


def need():
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nft"):
        pytest.skip("network namespaces need root, iproute2 and nftables")
    name = f"pmc{os.getpid()}probe"
    try:
        if run("ip", "netns", "add", name, check=False).returncode or run(
                "ip", "netns", "exec", name, "nft", "add", "table", "inet", "probe", check=False).returncode:
            pytest.skip("no network namespaces here")
    finally:
        run("ip", "netns", "del", name, check=False)


class Net:
    def __init__(self, names):
        need()
        self.tag = f"{os.getpid() % 100000}{next(_numbers) % 10}"
        self.prefix = f"10.213.{os.getpid() % 250 + 1}"
        self.bridge, self.names = f"pmb{self.tag}", list(names)
        self.here = f"{self.prefix}.1"
        self.hosts = {n: f"{self.prefix}.{i + 10}" for i, n in enumerate(self.names)}
        self.wraps = {n: ("ip", "netns", "exec", self.space(n)) for n in self.names}
        self.rules = {n: [] for n in self.names}
        run("ip", "link", "add", self.bridge, "type", "bridge")
        run("ip", "addr", "add", f"{self.here}/24", "dev", self.bridge)
        run("ip", "link", "set", self.bridge, "up")
        for i, n in enumerate(self.names):
            out, inside = f"pmv{self.tag}{i}", f"pmw{self.tag}{i}"
            run("ip", "netns", "add", self.space(n))
            run("ip", "link", "add", out, "type", "veth", "peer", "name", inside)
            run("ip", "link", "set", inside, "netns", self.space(n))
            run("ip", "link", "set", out, "master", self.bridge, "up")
            for words in (("link", "set", "lo", "up"), ("addr", "add", f"{self.hosts[n]}/24", "dev", inside),
                          ("link", "set", inside, "up")):
                run("ip", "-n", self.space(n), *words)

    def space(self, name):
        return f"pmc{self.tag}{name}"

    def _apply(self, name):
        lines = "\n".join(self.rules[name])
        run("ip", "netns", "exec", self.space(name), "nft", "-f", "-", input=f"""table inet lab
delete table inet lab
table inet lab {{
    chain i {{
        type filter hook input priority 0
{lines}
    }}
}}
""")

    def rule(self, name, text):
        """Of what comes in at this host."""
        self.rules[name].append(text)
        self._apply(name)

    def lose(self, name, kind, percent):
        self.rule(name, f"meta l4proto {kind} numgen random mod 100 < {percent} drop")

    def block(self, name, kind):
        self.rule(name, f"meta l4proto {kind} drop")

    def cut(self, name, *others):
        for o in others:
            self.rule(name, f"ip saddr {self.hosts.get(o, o)} drop")

    def heal(self, *names):
        for n in names or self.names:
            self.rules[n] = []
            self._apply(n)

    def close(self):
        for n in self.names:
            run("ip", "netns", "del", self.space(n), check=False)
        run("ip", "link", "del", self.bridge, check=False)
