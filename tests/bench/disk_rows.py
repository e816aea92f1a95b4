"""The rows about the disk: hits from it, fills to it, and hits in memory while it is stuck."""

import json
import os
import shutil
import statistics
import subprocess
import time

from measure import Load, measure
from rows import Row, check_hits, rounds, settle, started, take_turns
from servers import BODIES, MANY, Nginx, Pmcached, Squid, Trouble, free_ports, get
from slow_disk import SlowDisk


class DiskPmcached(Pmcached):
    """What is above 64 KB is kept on disk only; what is below goes through a memory of 4 MB, least recently used first."""

    def __init__(self, lab, name, folder=None, memory="4 MB"):
        super(Pmcached, self).__init__(lab, name)
        self.ports = free_ports(3)
        self.plain, self.bump, self.admin = self.ports
        self.disk = folder or os.path.join(self.folder, "disk")
        self.launch(f"""
node: bench
loops: 1
listen: {{proxy: ["127.0.0.1:{self.plain}"], bump: ["127.0.0.1:{self.bump}"], admin: ["127.0.0.1:{self.admin}"]}}
cache: {{memory: {{size: {memory}, max_object: 64 KB, policy: lru}}, disk: {{path: "{self.disk}", size: 4 GB, min_free: 1%}}}}
log: {{access: {{path: "off"}}, level: warning}}
""")

    def disk_hits(self):
        return json.loads(get(f"http://127.0.0.1:{self.admin}/stats.json"))["counters"]["hits_disk_total"]

    def stored(self):
        """Objects on disk that are whole."""
        return sum(len(files) for _, _, files in os.walk(os.path.join(self.disk, "objects")))


class DiskSquid(Squid):
    """aufs, and no memory but for what is on its way."""

    def __init__(self, lab, name, folder=None, memory="0"):
        super(Squid, self).__init__(lab, name)
        self.ports = free_ports(2)
        self.plain, self.bump = self.ports
        self.disk = folder or os.path.join(self.folder, "disk")
        self.log = os.path.join(self.folder, "access.log")
        os.makedirs(self.disk, exist_ok=True)
        self.hand_over(self.disk)
        self.launch(self.bumping() + f"""
cache_dir aufs {self.disk} 4000 16 256
cache_mem {memory}
maximum_object_size_in_memory 64 KB
access_log stdio:{self.log}
visible_hostname bench
""", before=[["-z"]])

    def disk_hits(self):
        with open(self.log, errors="replace") as f:
            return sum(" TCP_HIT/" in line for line in f)

    def stored(self):
        return sum(len(files) for top, _, files in os.walk(self.disk) if top != self.disk)


def proxies(bench, suffix="", **how):
    found = [(DiskSquid, "squid-disk" + suffix, how)] if bench.squid else []
    return found + ([(DiskPmcached, "pmcached-disk" + suffix, how)] if bench.pmcache else [])


PORTION = 250  # objects
OTHERS = 600  # asked for last: what memory is full of, so that all of a row come from disk


def disk_hit(name, title, body, c, n, path=None, cycle=0, warm=1):
    """`cycle`: so many objects in turn, more than memory holds."""
    def row_hit(bench):
        scale, unit = (1.0, "µs") if BODIES[body] < 65536 else (1e3 / BODIES[body], "s/GB")
        row = Row(name, title, unit, 0.9)
        contenders = started(bench, row, [(Nginx, "nginx", {})] + proxies(bench))
        more = {"path": path or "/" + body, "cycle": cycle} if cycle else {}
        kept = []
        for label, server in contenders:
            try:
                if label != "nginx":
                    fill(bench, server, body, max(cycle, 1), more)
                if label != "nginx" and cycle:
                    fill(bench, server, body, OTHERS, {"path": f"/{body}/%d"})
                kept.append((label, server))
            except Trouble as e:
                row.note(f"failed: {e}")

        def once(label, server):
            before = server.disk_hits() if label != "nginx" else 0
            got = measure(bench.lab, server, server.aim(bench.origin), body=body, c=c, n=bench.count(n), warm=warm, cpus=bench.one,
                          seconds=60, **more)
            check_hits(row, label, got)
            if label != "nginx" and server.disk_hits() - before < 0.98 * (got["requests"] + c * warm):
                row.note(f"{label}: {server.disk_hits() - before} of {got['requests'] + c * warm} came from disk")
            return got["cpu_us"]

        rounds(bench, row, kept, once, 5, scale=scale)
        return row

    return name, row_hit


def await_stored(server, n):
    """So many objects are on disk, at last."""
    end = time.monotonic() + 20
    while server.stored() < n:
        if time.monotonic() > end:
            raise Trouble(f"{server.name}: {server.stored()} objects on disk, not {n}")
        time.sleep(0.05)


def fill(bench, server, body, n, more):
    """In portions: a server passes over an object while too much waits for its disk."""
    for start in range(0, n, PORTION):
        before, portion = server.stored(), min(PORTION, n - start)
        with Load(bench.lab, server.aim(bench.origin), body=body, c=1, n=portion, warm=0, start=start, **more) as load:
            got = load.go()
        if got["errors"]:
            raise Trouble(f"{server.name}: {got['error']}")
        await_stored(server, before + portion - got["hits"])


# ---- fills ----

FILL = 40  # objects of 10 MB
FILL_C = 4


def dd_seconds(folder):
    """As many bytes as a fill has, written and synced."""
    path = os.path.join(folder, "dd")
    began = time.monotonic()
    subprocess.run(["dd", "if=/dev/zero", "of=" + path, "bs=1M", f"count={FILL * 10}", "conv=fsync"], check=True,
                   stderr=subprocess.DEVNULL)
    took = time.monotonic() - began
    os.unlink(path)
    return took


def fetch_seconds(bench, server, path, synced):
    """Until all clients have all, and, if it is stored, all is on the disk, synced."""
    n = server.stored()
    with Load(bench.lab, server.aim(bench.origin), body="10m", path=path + "/%d", c=FILL_C, n=FILL, warm=0,
              start=bench.numbers(FILL + 8), seconds=60) as load:
        began = time.monotonic()
        got = load.go()
        if got["errors"] or got["capped"]:
            raise Trouble(f"{server.name}: {got['requests']} of {FILL}: {got['error']}")
        if synced:
            await_stored(server, n + FILL)
            subprocess.run(["sync", "-f", server.disk], check=True)
        return time.monotonic() - began


def disk_fill(bench):
    row = Row("disk-fill", "fill 400 MB to disk: time, to the slower of dd and unstored", "×", 1.25, "value")
    contenders = started(bench, row, proxies(bench, "-fill"))

    def once(label, server):
        plain = fetch_seconds(bench, server, "/unstored/10m", False)
        disk = dd_seconds(server.folder)
        stored = fetch_seconds(bench, server, "/10m", True)
        return stored / max(disk, plain), plain, disk, stored

    seen = take_turns(bench, row, contenders, once, 3)
    settle(row, {label: [v[0] for v in values] for label, values in seen.items()})
    for label, values in seen.items():
        ratio, plain, disk, stored = (statistics.median(column) for column in zip(*values))
        row.note(f"{label}: {400 / plain:.0f} MB/s unstored, dd conv=fsync {400 / disk:.0f} MB/s; stored and synced "
                 f"{400 / stored:.0f} MB/s, {100 / ratio:.0f} % of the slower")
    for _, server in contenders:
        bench.drop(server.name)
    return row


# ---- a disk that is stuck ----

COLD = 600        # objects
READS_A_SECOND = 20


def cold_contenders(bench, row, disk):
    """Each with COLD objects of 10 KB on the slow disk, none of them in memory or in the page cache."""
    def place(name):
        return os.path.join(disk.folder, name)

    wanted = [(cls, name, {"folder": place(name), "memory": "64 MB"}) for cls, name, _ in proxies(bench, "-slow")]
    os.mkdir(place("cold"))
    for i in range(COLD):
        shutil.copy(os.path.join(bench.lab.files, "10k"), place(f"cold/{i}"))
    filled = started(bench, row, wanted)
    for _, server in filled:
        fill(bench, server, "10k", COLD, {"path": "/10k/%d"})
        server.stop()
    disk.make_cold()
    for _, server in filled:
        server.start(server.argv)
    nginx = bench.server(Nginx, "nginx-slow", cold=place(""))
    disk.hold([pid for s in [nginx] + [server for _, server in filled] for pid in s.pids()])
    return [("nginx", nginx)] + filled


def stuck(bench):
    """Row for memory hits beside clients that wait for a disk of READS_A_SECOND."""
    row = Row("disk-stuck", "1 KB hit in memory beside 16 reads of a stuck disk, p99", "ms", 0.5, "value")
    names = ("nginx-slow", "squid-disk-slow", "pmcached-disk-slow")
    try:
        disk = SlowDisk(bench.lab.folder)
    except Trouble as e:
        row.note(f"not measured: {e}")
        return row
    try:
        contenders = cold_contenders(bench, row, disk)
        for label, server in contenders:
            with Load(bench.lab, server.aim(bench.origin), c=1, warm=2):
                pass

        def once(label, server):
            start = next(numbers[label])
            aim = server.aim(bench.origin)
            alone = measure(bench.lab, server, aim, c=1, n=4000, warm=0)
            disk.slow(READS_A_SECOND)
            try:
                got = measure(bench.lab, server, aim, c=1, n=20000, warm=0, seconds=4, start=start, drain=16, drain_name="10k",
                              drain_size=BODIES["10k"], drain_path="/cold/%d" if label == "nginx" else "/10k/%d")
            finally:
                disk.slow(0)
            check_hits(row, label, got)
            rate = got["drained"] / BODIES["10k"] / got["seconds"]
            return got["p99_us"] / 1e3, alone["p99_us"] / 1e3, got["p50_us"] / 1e3, rate

        numbers = {label: iter(range(0, COLD - 150, 150)) for label, _ in contenders}
        seen = take_turns(bench, row, contenders, once, 3)
        settle(row, {label: [v[0] for v in values] for label, values in seen.items()})
        for label, values in seen.items():
            _, alone, p50, rate = (statistics.median(column) for column in zip(*values))
            row.note(f"{label}: p50 {p50:.2f} ms; p99 alone {alone:.2f} ms; {rate:.0f} cold answers a second")
    except (Trouble, OSError) as e:
        row.note(f"failed: {e}")
    finally:
        for name in names:
            bench.drop(name)
        disk.close()
    return row


DISK_ROWS = dict([
    disk_hit("disk-10k", "hit from disk 10 KB, c=32, 2000 objects", "10k", 32, 9000, MANY + "/%d", 2000),
    disk_hit("disk-1m", "hit from disk 1 MB, c=32", "1m", 32, 200),
    disk_hit("disk-10m-c1", "hit from disk 10 MB, c=1", "10m", 1, 16),
    disk_hit("disk-10m", "hit from disk 10 MB, c=32", "10m", 32, 32, warm=0),
    ("disk-fill", disk_fill),
    ("disk-stuck", stuck),
])
