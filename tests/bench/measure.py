"""One measurement: the load generator against one server, with the server's CPU time and memory read before and after."""

import json
import os
import statistics
import subprocess
import time

from servers import BODIES, HOST, Trouble

SETTLE = 0.05


class Load:
    """The load generator, warm when made; go() makes the counted requests; leave with all connections closed."""

    def __init__(self, lab, server_args, body="1k", path=None, host=HOST, c=32, n=0, cpus=None, **more):
        argv = [lab.load, "--sync", "--ca", lab.path("ca.crt"), "--host", host, "--path", path or "/" + body, "--name", body,
                "--size", str(BODIES[body]), "--connections", str(c), "--requests", str(n)] + server_args
        for k, v in more.items():
            argv += ["--" + k.replace("_", "-"), str(v)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None)
        word = self.process.stdout.readline().strip()
        if word != "READY":
            self.process.stdin.close()
            raise Trouble(f"warming failed: {self.process.stderr.read().strip()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(30)

    def go(self):
        self.begin()
        return self.result()

    def begin(self):
        self.process.stdin.write("GO\n")
        self.process.stdin.flush()

    def result(self):
        line = self.process.stdout.readline()
        if not line:
            raise Trouble(f"load ended: {self.process.stderr.read().strip()}")
        return json.loads(line)


def measure(lab, server, args, **load):
    """The load's results, and cpu_us: CPU time of the server per request. With `cpus` both run on these only."""
    server.pin(load.get("cpus"))
    with Load(lab, args, **load) as gen:
        time.sleep(SETTLE)
        before = server.cpu_ns()
        got = gen.go()
        time.sleep(SETTLE)
        after = server.cpu_ns()
    check(server, got, load.get("drain"))
    got["name"] = server.name
    got["cpu_us"] = (after - before) / 1000 / max(got["requests"], 1)
    return got


def check(server, got, may_be_capped=False):
    if not server.alive():
        raise Trouble(f"{server.name} died ({server.process.poll()}): {server.last_words()}")
    if got["errors"]:
        raise Trouble(f"{server.name}: {got['errors']} of {got['requests']} requests failed: {got['error']}")
    if got["capped"] and not may_be_capped:
        raise Trouble(f"{server.name}: only {got['requests']} requests within the time limit")


def settled_rss(server, quiet=2.5, limit=20.0):
    """Resident bytes once they have stayed within half a percent for `quiet` seconds."""
    end = time.monotonic() + limit
    since, level = time.monotonic(), server.rss_bytes()
    while time.monotonic() < end and time.monotonic() - since < quiet:
        time.sleep(0.25)
        rss = server.rss_bytes()
        if abs(rss - level) > level / 200:
            since, level = time.monotonic(), rss
    return server.rss_bytes()


def median(values):
    return statistics.median(values) if values else None
