"""The rows of the table: what each measures, how often, and the figure to reach."""

import os
import statistics
import time

from measure import Load, measure, settled_rss
from servers import FIRST, FIRST_NAMES, BODIES, Nginx, Pmcached, Squid, Trouble


class Row:
    """One line of the table. Cells are numbers in `unit`; ratios are to nginx (medians of the rounds' ratios)."""

    def __init__(self, name, title, unit, limit=None, limit_on="ratio"):
        self.name, self.title, self.unit = name, title, unit
        self.limit, self.limit_on = limit, limit_on
        self.values, self.ratios, self.spread = {}, {}, {}
        self.notes = []
        self.seconds = 0.0

    def verdict(self):
        if self.limit is None:
            return ""
        got = self.ratios.get("pmcache") if self.limit_on == "ratio" else self.values.get("pmcache")
        if got is None:
            return "-"
        return "ok" if got <= self.limit else "OVER"

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def failed(self):
        return any(n.startswith("failed") for n in self.notes)

    def as_dict(self):
        return {"name": self.name, "title": self.title, "unit": self.unit, "limit": self.limit, "limit_on": self.limit_on,
                "values": self.values, "ratios": self.ratios, "spread": self.spread, "verdict": self.verdict(),
                "notes": self.notes, "seconds": round(self.seconds, 1)}


SQUID_ROUNDS = 3  # it is slow, and held to no target
HURRY = ((390, 1), (240, 3))  # after so many seconds of a run so many rounds must do


class Bench:
    """The servers of one run, started when first asked for, and how many rounds to make."""

    def __init__(self, lab, squid, pmcache, quick):
        self.lab, self.squid, self.pmcache, self.quick = lab, squid, pmcache, quick
        self._running = {}
        self._refused = set()
        self._number = 1
        self._began = time.monotonic()
        cpus = sorted(os.sched_getaffinity(0))
        # One busy core for server and load together: what waking an idle core costs, which is more than a small hit and differs
        # from run to run, stays out of the figures.
        self.one = set(cpus[-1:])
        self.two = set(cpus[-2:])

    def rounds(self, wanted):
        late = [most for after, most in HURRY if time.monotonic() - self._began > after]
        return min([wanted, 3 if self.quick else wanted] + late)

    def count(self, n):
        return n // 2 if self.quick else n

    def server(self, cls, name, **how):
        if name in self._refused:
            raise Trouble("did not start before")
        if name not in self._running:
            try:
                self._running[name] = cls(self.lab, name, **how)
            except (Trouble, OSError):
                self._refused.add(name)
                raise
        return self._running[name]

    def drop(self, name):
        if name in self._running:
            self._running.pop(name).stop()

    def stop(self):
        for name in list(self._running):
            self.drop(name)

    @property
    def origin(self):
        return self.server(Nginx, "origin")

    def proxies(self, suffix="", **how):
        """Fresh ones for each suffix."""
        found = []
        if self.squid:
            found.append((Squid, "squid" + suffix, {}))
        if self.pmcache:
            found.append((Pmcached, "pmcached" + suffix, how))
        return found

    def numbers(self, n):
        """n numbers for URLs that nobody has asked for."""
        first = self._number
        self._number += n
        return first


def take_turns(bench, row, contenders, once, count):
    """Measures the contenders in turn, `count` times over, in changing order: {label: what `once` gave}, without who fails."""
    seen = {label: [] for label, _ in contenders}
    lost = set()
    for i in range(bench.rounds(count)):
        k = i % max(len(contenders), 1)
        for label, server in contenders[k:] + contenders[:k]:
            if label in lost or (label.startswith("squid") and i >= SQUID_ROUNDS):
                continue
            try:
                seen[label].append(once(label, server))
            except (Trouble, OSError) as e:
                row.note(f"failed: {e}")
                lost.add(label)
    return {label: values for label, values in seen.items() if values and label not in lost}


def settle(row, seen, base="nginx"):
    """Fills the row; seen: {label: numbers}."""
    for label, values in seen.items():
        row.values[label] = statistics.median(values)
        if len(values) > 1 and row.values[label]:
            row.spread[label] = abs((max(values) - min(values)) / 2 / row.values[label])
        if label != base and base in seen and all(seen[base]):
            row.ratios[label] = statistics.median(v / b for v, b in zip(values, seen[base]))


def rounds(bench, row, contenders, once, count, base="nginx", scale=1.0):
    """take_turns() and settle(): `once` gives a number."""
    seen = take_turns(bench, row, contenders, lambda *who: once(*who) * scale, count)
    settle(row, seen, base)
    return seen


def started(bench, row, wanted):
    """(label, server) for each that starts; a note for each that does not."""
    found = []
    for cls, name, how in wanted:
        try:
            found.append((cls.label, bench.server(cls, name, **how)))
        except (Trouble, OSError) as e:
            row.note(f"failed: {name}: {e}")
    return found


def check_hits(row, label, got):
    if label != "nginx" and got["hits"] != got["requests"]:
        row.note(f"{label}: {got['hits']} of {got['requests']} were hits")


def prefill(bench, server, body):
    with Load(bench.lab, server.aim(bench.origin), body=body, c=1, warm=1):
        pass


def against_nginx(bench):
    return [(Nginx, "nginx", {})] + bench.proxies()


def hit(name, title, body, c, n, limit=None, warm=2):
    count = 5 if limit else 3

    def row_hit(bench):
        scale, unit = (1.0, "µs") if BODIES[body] < 65536 else (1e3 / BODIES[body], "s/GB")
        row = Row(name, title, unit, limit)
        contenders = started(bench, row, against_nginx(bench))
        for label, server in contenders:
            if label != "nginx":
                prefill(bench, server, body)

        def once(label, server):
            got = measure(bench.lab, server, server.aim(bench.origin), body=body, c=c, n=bench.count(n), warm=warm, cpus=bench.one)
            check_hits(row, label, got)
            return got["cpu_us"]

        rounds(bench, row, contenders, once, count, scale=scale)
        return row

    return name, row_hit


def hit_plain(bench):
    row = Row("plain-1k", "plain proxy (no TLS), hit 1 KB, c=32", "µs")

    def once(label, server):
        got = measure(bench.lab, server, server.aim_plain(bench.origin), c=32, n=15000, cpus=bench.one)
        check_hits(row, label, got)
        return got["cpu_us"]

    contenders = started(bench, row, bench.proxies())
    for _, server in contenders:
        with Load(bench.lab, server.aim_plain(bench.origin), c=1):
            pass
    rounds(bench, row, contenders, once, 3)
    return row


def new_connection(name, title, fresh, limit):
    def row_new(bench):
        row = Row(name, title, "µs", limit)
        contenders = started(bench, row, against_nginx(bench))
        for label, server in contenders:
            if label != "nginx":
                prefill(bench, server, "1k")

        def once(label, server):
            got = measure(bench.lab, server, server.aim(bench.origin), c=32, n=bench.count(600), fresh=fresh, cpus=bench.one)
            check_hits(row, label, got)
            if got["resumed"] != (got["requests"] if fresh == "resumed" else 0):
                row.note(f"{label}: {got['resumed']} of {got['requests']} resumed")
            return got["cpu_us"]

        rounds(bench, row, contenders, once, 5)
        return row

    return name, row_new


def first_contact(bench):
    """nginx's column: a new connection with a full handshake, of which a first contact needs two."""
    row = Row("first", "first contact with a new host", "ms", 1.1, "value")
    n = bench.count(150)

    def once(label, server):
        if label == "nginx":
            more = {}
        else:
            more = {"host": FIRST, "start": server.contacts}
            server.contacts += n + 4
            if server.contacts > FIRST_NAMES:
                raise Trouble("more first contacts than names")
        return measure(bench.lab, server, server.aim(bench.origin), fresh="full", c=4, n=n, cpus=bench.one, **more)["cpu_us"]

    rounds(bench, row, started(bench, row, against_nginx(bench)), once, 5, scale=1e-3)
    return row


def miss(name, title, body, n, limit, suffix="", cache="2GB", full=0):
    """The origin's own CPU stands in nginx's column. `full`: so many misses first, which fill the cache to its size."""
    def row_miss(bench):
        row = Row(name, title, "µs", limit)
        proxies = bench.proxies(suffix, **({"cache": cache} if suffix else {}))
        contenders = started(bench, row, [(Nginx, "origin", {})] + proxies)
        path, asked = f"/{body}/%d", bench.count(n)

        def once(label, server):
            got = measure(bench.lab, server, server.aim(bench.origin), body=body, path=path, c=32, n=asked, warm=4,
                          start=bench.numbers(asked + 128), cpus=bench.one)
            if got["hits"]:
                row.note(f"{label}: {got['hits']} of {got['requests']} were hits")
            return got["cpu_us"]

        for label, server in contenders:
            if full and label != "nginx":
                try:
                    measure(bench.lab, server, server.aim(bench.origin), body=body, path=path, c=32, n=full,
                            start=bench.numbers(full + 32))
                except Trouble:
                    continue  # shows again, with a note, when measured
        bench.origin.pin(bench.one)
        rounds(bench, row, contenders, once, 5)
        bench.origin.pin(None)
        if suffix:
            for _, server_name, _ in proxies:
                bench.drop(server_name)
        return row

    return name, row_miss


def idle(bench):
    row = Row("idle", "memory per idle connection after one hit", "KB", 20, "value")
    n = 1000 if bench.quick else 2000
    for cls, name, how in [(Nginx, "nginx-idle", {})] + bench.proxies("-idle"):
        try:
            server = bench.server(cls, name, **how)
            args = server.aim(bench.origin)
            with Load(bench.lab, args, c=100, warm=1):
                pass
            before = settled_rss(server, quiet=1.0)
            with Load(bench.lab, args, c=n, warm=1):
                after = settled_rss(server)
            row.values[cls.label] = (after - before) / n / 1024
        except Trouble as e:
            row.note(f"failed: {e}")
        bench.drop(name)
    ratio_of_values(row)
    return row


def objects(bench):
    row = Row("objects", "memory beyond the body per 1 KB object", "bytes", 0.7 * 1024, "value")
    for cls, name, how in bench.proxies("-objects"):
        n = 100000 if cls is Pmcached else 20000
        try:
            server = bench.server(cls, name, **how)
            with Load(bench.lab, server.aim(bench.origin), path="/1k/%d", c=32, n=n, warm=2, seconds=90,
                      start=bench.numbers(n + 64)) as load:
                before = settled_rss(server, quiet=1.0)
                got = load.go()
                after = settled_rss(server)
            if got["errors"] or got["capped"]:
                raise Trouble(f"{name}: {got['requests']} requests, {got['errors']} failed: {got['error']}")
            row.values[cls.label] = (after - before) / n - BODIES["1k"]
        except Trouble as e:
            row.note(f"failed: {e}")
        bench.drop(name)
    return row


def ratio_of_values(row):
    for label, value in row.values.items():
        if label != "nginx" and row.values.get("nginx"):
            row.ratios[label] = value / row.values["nginx"]


def beside(bench):
    row = Row("beside", "1 KB hit beside 16 draining 10 MB hits, p99", "ms", 0.3, "value")

    def once(label, server):
        got = measure(bench.lab, server, server.aim(bench.origin), c=1, n=3000, drain=16, drain_path="/10m", drain_name="10m",
                      drain_size=BODIES["10m"], seconds=4)
        rate = got["drained"] / got["seconds"] / 1e9
        row.note(f"{label}: p50 {got['p50_us'] / 1e3:.2f} ms, {rate:.1f} GB/s drained")
        return got["p99_us"] / 1e3

    contenders = started(bench, row, against_nginx(bench))
    for label, server in contenders:
        if label != "nginx":
            prefill(bench, server, "1k")
            prefill(bench, server, "10m")
    rounds(bench, row, contenders, once, 3)
    # A note for each label: the last round's stands for all.
    row.notes = list({n.split(":")[0]: n for n in row.notes}.values())
    return row


def two_loops(name, title, limit, n, **load):
    """One loop and one client thread on one core, against two and two on two cores: as many busy threads a core."""
    def row_loops(bench):
        row = Row(name, title, "µs", limit)
        if len(bench.two) < 2:
            row.note("needs two cores")
        if len(bench.two) < 2 or not bench.pmcache:
            return row
        contenders = started(bench, row, [(Pmcached, "pmcached", {}), (Pmcached, "pmcached-two", {"loops": 2})])
        contenders = [("one" if s.name == "pmcached" else "pmcache", s) for _, s in contenders]
        for _, server in contenders:
            prefill(bench, server, load.get("body", "1k"))

        def once(label, server):
            many, cpus = (1, bench.one) if label == "one" else (2, bench.two)
            got = measure(bench.lab, server, server.aim(bench.origin), c=32, n=n * many, threads=many, cpus=cpus, **load)
            check_hits(row, label, got)
            return got["cpu_us"]

        rounds(bench, row, contenders, once, 5, base="one")
        if "one" in row.values:
            row.note(f"one loop: {row.values.pop('one'):.1f} µs; the ratio is to that")
        return row

    return name, row_loops


def collapse(bench):
    """Not asked of squid, which does not collapse by default: it would fetch 1 GB."""
    row = Row("collapse", "100 clients ask for one uncached 10 MB object", "fetches", 1, "value")
    log = bench.origin.log

    def once(_label, server):
        path = f"/big/{bench.numbers(1)}"
        measure(bench.lab, server, server.aim(bench.origin), body="10m", path=path, c=100, n=100, warm=0)
        with open(log) as f:
            return sum(path + " " in line for line in f)

    wanted = [(Pmcached, "pmcached", {})] if bench.pmcache else []
    rounds(bench, row, started(bench, row, wanted), once, 2)
    return row


def access_log(bench):
    row = Row("log", "access log, per line", "µs", 1.0, "value")
    if not bench.pmcache:
        return row
    contenders = started(bench, row, [(Pmcached, "pmcached", {}), (Pmcached, "pmcached-log", {"log": True})])
    contenders = [("on" if s.name.endswith("-log") else "off", s) for _, s in contenders]
    for _, server in contenders:
        prefill(bench, server, "1k")

    def once(label, server):
        got = measure(bench.lab, server, server.aim(bench.origin), c=32, n=15000, cpus=bench.one)
        check_hits(row, label, got)
        return got["cpu_us"]

    seen = rounds(bench, row, contenders, once, 7, base="off")
    if seen.keys() == {"on", "off"}:
        # Of the best rounds: the difference is small, and what disturbs a round only adds to it.
        off, on = min(seen["off"]), min(seen["on"])
        row.note(f"hit 1 KB, c=32: log off {off:.1f} µs, on {on:.1f} µs (best rounds)")
        row.values, row.ratios, row.spread = {"pmcache": on - off}, {}, {}
        lines = count_lines(bench.server(Pmcached, "pmcached-log").access_log)
        asked = len(seen["on"]) * (15000 + 32) + 1
        if lines < asked:
            row.note(f"only {lines} lines for {asked} requests")
    return row


def count_lines(path):
    time.sleep(1.5)  # the writer may hold a second's lines
    try:
        with open(path, "rb") as f:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: f.read(1 << 20), b""))
    except OSError:
        return 0


ROWS = dict([
    hit("hit-1k-c1", "hit 1 KB, c=1", "1k", 1, 8000),
    hit("hit-1k-c32", "hit 1 KB, c=32", "1k", 32, 12000, limit=0.80),
    hit("hit-1k-c256", "hit 1 KB, c=256", "1k", 256, 12000),
    hit("hit-10k-c1", "hit 10 KB, c=1", "10k", 1, 6000),
    hit("hit-10k-c32", "hit 10 KB, c=32", "10k", 32, 9000, limit=0.85),
    hit("hit-100k-c32", "hit 100 KB, c=32", "100k", 32, 3000),
    hit("hit-1m-c1", "hit 1 MB, c=1", "1m", 1, 200, limit=0.80),
    hit("hit-1m-c32", "hit 1 MB, c=32", "1m", 32, 200, limit=0.70),
    hit("hit-10m-c1", "hit 10 MB, c=1", "10m", 1, 20, limit=0.80, warm=1),
    hit("hit-10m-c32", "hit 10 MB, c=32", "10m", 32, 48, limit=0.70, warm=0),
    ("plain-1k", hit_plain),
    new_connection("new-full", "new connection, full handshake, 1 KB", "full", 1.1),
    new_connection("new-resumed", "new connection, resumed, 1 KB", "resumed", 1.0),
    ("first", first_contact),
    miss("miss-1k", "miss 1 KB (ratio: to the origin asked directly)", "1k", 4000, 2.0),
    miss("miss-100k", "miss 100 KB, into a full cache", "100k", 800, 2.5, "-miss", "256MB", 2700),
    miss("miss-100k-new", "miss 100 KB, into fresh memory", "100k", 800, None),
    ("idle", idle),
    ("objects", objects),
    ("beside", beside),
    two_loops("loops-1k", "two loops, hit 1 KB (ratio: to one loop)", 1.1, 12000),
    two_loops("loops-10k", "two loops, hit 10 KB", 1.1, 9000, body="10k"),
    two_loops("loops-new", "two loops, full handshakes", 1.25, 600, fresh="full"),
    ("collapse", collapse),
    ("log", access_log),
])

QUICK = ["hit-1k-c32", "hit-10k-c32", "hit-1m-c32", "new-full", "new-resumed", "first", "miss-1k", "collapse"]
