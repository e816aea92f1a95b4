"""What a test may ask for, ended with it."""

import pytest

from .certs import NAMES
from .cluster import Cluster
from .edge import Edge
from .origin import Origin


class Makers:
    """Makes origins (HTTPS by default) and edges; end() ends them and raises the first thing that was wrong."""

    def __init__(self, certs, tmp):
        self.certs, self.tmp, self.origins, self.edges, self.made = certs, tmp, [], [], 0
        self.names = NAMES

    def origin(self, tls=True, pair=None, **more):
        o = Origin(pair=(pair or self.certs.good()) if tls else None, **more)
        self.origins.append(o)
        return o

    def edge(self, conf=None, **more):
        self.made += 1
        folder = self.tmp / f"edge{self.made}"
        folder.mkdir()
        e = Edge(folder, self.certs, NAMES, conf, **more)
        self.edges.append(e)
        return e

    def cluster(self, edges=2, parents=0, conf=None, hosts=None):
        """Certificates and keys for so many nodes (cluster.py); started by the test."""
        self.made += 1
        folder = self.tmp / f"cluster{self.made}"
        folder.mkdir()
        return Cluster(self, folder, edges, parents, conf, hosts)

    def end(self):
        faults = []
        for o in self.origins:
            o.close()
            faults += o.errors
        for e in self.edges:
            try:
                e.stop()
            except AssertionError as fault:
                faults.append(fault)
            finally:
                e.kill()
        if faults:
            raise faults[0]


def shared_edge(m, label, conf=None):
    """The edge of this label, started when first asked for; a test in which it dies or hangs fails, and the next gets a
    new one."""
    if label not in m.by_conf:
        m.by_conf[label] = m.edge(conf)
    e = m.by_conf[label]
    yield e
    if e.running and e.alive():
        return
    m.edges.remove(e)
    del m.by_conf[label]
    if e.running:
        e.kill()
        pytest.fail(f"pmcached does not answer any more:\n{e.stderr_text}")
    pytest.fail(f"pmcached died in this test ({e.process.returncode}):\n{e.stderr_text}")
