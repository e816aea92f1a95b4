"""The rows of `make bench-cluster`: what it costs to be one cache of many. README.md in this folder tells the method.

Columns: `squid` and `squid-cf` (collapsed_forwarding) speak plain http, since what Squid bumps it cannot share by ICP;
`pm-plain` is pmcached with the same plain requests, `pmcache` with bumped https from client to edge and https to the origin."""

import collections
import os
import signal
import socket
import statistics
import threading
import time

from disk_rows import DiskPmcached, DiskSquid, await_stored
from fleets import PmFleet, SquidFleet, datagrams, wait_for
from measure import Load, check, measure
from rows import Row, settle, take_turns
from servers import HOST, SHARED, Pmcached, Trouble

LABELS = ("squid", "squid-cf", "pm-plain", "pmcache")


class Seat:
    """One column: a fleet, and how its edges are spoken to. `alone`: a node without a cluster, to compare with."""

    def __init__(self, label, fleet, alone=None):
        self.label, self.fleet, self.alone = label, fleet, alone
        self.aim = "aim" if label == "pmcache" else "aim_plain"

    def ask(self, bench, node, body, n, c=1, path=None, **load):
        """n requests to one node, none before that is not counted."""
        return measure(bench.lab, node, getattr(node, self.aim)(bench.origin), body=body, n=n, c=c, warm=0,
                       path=path or f"{SHARED}/{body}/%d", **load)

    def url(self, bench, body):
        """What the access log has of all such requests."""
        o = bench.origin
        return (f"https://{HOST}:{o.port}" if self.label == "pmcache" else f"http://{HOST}:{o.plain_port}") + f"{SHARED}/{body}/"

    def fill(self, bench, node, body, start, n):
        """So many objects into this node; it keeps them."""
        self.ask(bench, node, body, n, c=min(n, 4), start=start)


def seats(bench, row, edges, parents=0, alone=False, collapsed=True, pm=None):
    """The contenders that start. With `alone` each has one of its kind without a cluster. `pm`: what pmcached's nodes are to be like."""
    found = []
    wanted = []
    if bench.squid:
        wanted += [("squid", SquidFleet, {})]
        wanted += [("squid-cf", SquidFleet, {"collapsed": True})] if collapsed else []
    if bench.pmcache:
        wanted += [("pm-plain", PmFleet, pm or {}), ("pmcache", PmFleet, pm or {})]
    for label, cls, how in wanted:
        kind = label if cls is SquidFleet else "-".join(["pm", *(pm or {}).values()]).replace(" ", "")
        try:
            fleet = bench.server(cls, f"{kind}-{edges}-{parents}", edges=edges, parents=parents, **how)
            single = None
            if alone:
                single = (bench.server(SquidFleet, f"{kind}-alone", edges=1, **how).edges[0] if cls is SquidFleet else
                          bench.server(Pmcached, "pm-alone", log=True))
            found.append((label, Seat(label, fleet, single)))
        except (Trouble, OSError) as e:
            row.note(f"failed: {label}: {e}")
    return found


def dismiss(bench, contenders):
    for _, seat in contenders:
        bench.drop(seat.fleet.name)


def cpu_us(nodes):
    return sum(n.cpu_ns() for n in nodes) / 1000


def spread_rows(rows, seen, base="squid"):
    """Each row gets its place in the tuples that were seen."""
    for i, row in enumerate(rows):
        settle(row, {label: [v[i] for v in values] for label, values in seen.items()}, base)


def each_way(bench, row, contenders, seen, body, wanted, asked):
    """A note when not all answers that were measured came the way that the row is about. asked: {label: how many were}."""
    for label, seat in contenders:
        if label not in seen:
            continue
        url, nodes, n = seat.url(bench, body), seat.fleet.edges, asked[label]
        try:  # the writer may hold a second's lines
            wait_for("the access log", lambda: sum(sum(e.hierarchy(url).values()) for e in nodes) >= 2 * n, 3)
        except Trouble:
            pass
        went = sum((e.hierarchy(url) for e in nodes), start=collections.Counter())
        if went[wanted] < n:
            row.note(f"{label}: {went[wanted]} of {n} by {wanted}")


# ---- a herd ----

def herd(title, name, parents):
    """Five edges, twenty clients at each, all for the same 10 MB that nobody has."""
    def row_herd(bench):
        fetches = Row(name, f"5 edges × 20 clients, 10 MB, {title}", "fetches", 1, "value")
        last = Row(name + "-time", "    time to the last client", "s")
        cpu = Row(name + "-cpu", "    CPU of all nodes", "s")
        contenders = seats(bench, fetches, 5, parents)

        def once(label, seat):
            path = f"{SHARED}/big/{bench.numbers(1)}"
            loads = []
            try:
                for edge in seat.fleet.edges:
                    aim = getattr(edge, seat.aim)(bench.origin)
                    loads.append(Load(bench.lab, aim, body="10m", path=path, c=20, n=20, warm=0, seconds=60))
                before, began = cpu_us(seat.fleet.nodes), time.monotonic()
                for load in loads:
                    load.begin()
                results = [load.result() for load in loads]
                seconds = time.monotonic() - began
                used = cpu_us(seat.fleet.nodes) - before
            finally:
                for load in loads:
                    load.__exit__()
            for edge, got in zip(seat.fleet.edges, results):
                check(edge, got)
            with open(bench.origin.log) as f:
                return sum(path + " " in line for line in f), seconds, used / 1e6

        seen = take_turns(bench, fetches, contenders, once, 3)
        spread_rows([fetches, last, cpu], seen)
        dismiss(bench, contenders)
        return [fetches, last, cpu]

    return name, row_herd


# ---- a sibling has it ----

def round_trip_us():
    """One byte there and back by TCP over loopback, between two threads: the median of 400."""
    with socket.create_server(("127.0.0.1", 0)) as door, socket.create_connection(door.getsockname()) as a:
        b, _ = door.accept()
        for s in (a, b):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def echo():
            while byte := b.recv(1):
                b.send(byte)
        thread = threading.Thread(target=echo)
        thread.start()
        took = []
        for _ in range(400):
            at = time.monotonic_ns()
            a.send(b"x")
            a.recv(1)
            took.append((time.monotonic_ns() - at) / 1000)
        a.shutdown(socket.SHUT_WR)
        thread.join()
        b.close()
    return statistics.median(took)


SIBLING_PM = {"memory": "512 MB", "policy": "lru"}  # of both columns together
SIBLING_FULL = 280  # for each of them: no first touch of memory is measured, as on a node that has been up for a while


def on_disk(bench, label, body, n):
    """A node without a cluster that has n objects on its disk, and the number of the first."""
    node = bench.server(DiskSquid, "squid-disk") if label == "squid" else bench.server(DiskPmcached, "pm-disk")
    seat, start, before = Seat(label, None), bench.numbers(n + 8), node.stored()
    seat.ask(bench, node, body, n, start=start)
    await_stored(node, before + n)
    return seat, node, start


def sibling_hit(bench):
    """One sibling has 1 MB, this node has not; then it has, and is asked again. To compare with: a node that has it on its disk."""
    ratio = Row("sibling-1m", "sibling hit 1 MB (less a round trip, to a local disk hit)", "×", 2, "value")
    wall = Row("sibling-1m-time", "    client's time, p50", "ms")
    disk = Row("sibling-1m-disk", "    a local disk hit", "ms")
    local = Row("sibling-1m-local", "    the same again, a local hit in memory", "ms")
    cpu = Row("sibling-1m-cpu", "    CPU of both nodes", "µs")
    contenders = seats(bench, ratio, 4, collapsed=False, pm=SIBLING_PM)
    n, body = bench.count(60), "1m"
    trip = round_trip_us()
    disks = {label: on_disk(bench, label, body, n) for label, _ in contenders}
    for label, seat in contenders:
        if label != "squid":
            for node in seat.fleet.edges[:2]:
                seat.fill(bench, node, body, bench.numbers(SIBLING_FULL + 8), SIBLING_FULL)

    def once(label, seat):
        holder, asker = seat.fleet.edges[:2]
        beside, stored, first_stored = disks[label]
        start = bench.numbers(n + 8)
        seat.fill(bench, holder, body, start, n)
        before = cpu_us(seat.fleet.edges)
        first = seat.ask(bench, asker, body, n, start=start)
        used = (cpu_us(seat.fleet.edges) - before) / n
        again = seat.ask(bench, asker, body, n, start=start)
        hits = stored.disk_hits()
        read = beside.ask(bench, stored, body, n, start=first_stored)
        if again["hits"] != n:
            ratio.note(f"{label}: {again['hits']} of {n} were kept")
        if stored.disk_hits() - hits < n:
            ratio.note(f"{label}: {stored.disk_hits() - hits} of {n} came from disk")
        asked[label] = asked.get(label, 0) + n
        return (first["p50_us"] - trip) / read["p50_us"], first["p50_us"] / 1e3, read["p50_us"] / 1e3, again["p50_us"] / 1e3, used

    asked = {}
    seen = take_turns(bench, ratio, contenders, once, 5)
    spread_rows([ratio, wall, disk, local, cpu], seen)
    ratio.note(f"a round trip on loopback: {trip:.0f} µs")
    each_way(bench, ratio, contenders, seen, body, "SIBLING_HIT", asked)
    dismiss(bench, [(label, seat) for label, seat in contenders if label != "squid"])
    for _, node, _ in disks.values():
        bench.drop(node.name)
    return [ratio, wall, disk, local, cpu]


# ---- nobody has it ----

def miss_with_siblings(bench):
    added = Row("miss-siblings", "miss 1 KB: what three live siblings add, p50", "ms", 1, "value")
    wall = Row("miss-siblings-time", "    such a miss, p50", "ms")
    answer = Row("query-answer-cpu", "    CPU per query at the sibling asked", "µs")
    ask = Row("query-ask-cpu", "    CPU per query at the node that asks", "µs")
    messages = Row("miss-messages", "    datagrams per miss, questions and answers", "")
    contenders = seats(bench, added, 4, alone=True, collapsed=False)
    n = bench.count(500)
    lost = {}

    def alone(seat):
        return seat.ask(bench, seat.alone, "1k", n, start=bench.numbers(n + 8))

    def once(label, seat):
        asker, others = seat.fleet.edges[0], seat.fleet.edges[1:]
        first = alone(seat)
        unanswered = asker.queries() if isinstance(seat.fleet, PmFleet) else (0, 0)
        sent, before = datagrams(), cpu_us(others)
        got = seat.ask(bench, asker, "1k", n, start=bench.numbers(n + 8))
        used, sent = cpu_us(others) - before, datagrams() - sent
        if isinstance(seat.fleet, PmFleet):
            now = asker.queries()
            lost.setdefault(label, []).append((now[1] - unanswered[1]) / max(now[0] - unanswered[0], 1))
        second = alone(seat)
        p50, cpu = ((first[k] + second[k]) / 2 for k in ("p50_us", "cpu_us"))
        return (got["p50_us"] - p50) / 1e3, got["p50_us"] / 1e3, used / n / 3, (got["cpu_us"] - cpu) / 3, sent / n

    for label, seat in contenders:  # the first misses make connections
        alone(seat)
        seat.ask(bench, seat.fleet.edges[0], "1k", 50, start=bench.numbers(64))
    rows = [added, wall, answer, ask, messages]
    spread_rows(rows, take_turns(bench, added, contenders, once, 5))
    for label, shares in lost.items():
        added.note(f"{label}: {100 * statistics.median(shares):.2f} % of the questions unanswered in time")
    return rows


# ---- one is dead ----

def is_suspected(seat, victim, before):
    if isinstance(seat.fleet, PmFleet):
        return seat.fleet.edges[0].state_of(victim.node) in ("suspect", "dead")
    return seat.fleet.edges[0].said(f"Detected DEAD Sibling: {victim.node}") > before


def dead_sibling(bench):
    """Stopped, so that its port swallows what comes: nothing says that it is gone."""
    p50 = Row("dead-p50", "miss 1 KB, one of three siblings dead and suspected, p50", "×", 1.1, "value")
    p99 = Row("dead-p99", "    the same, p99", "×", 1.5, "value")
    worst = Row("dead-worst", "    longest miss before the suspicion", "ms")
    until = Row("dead-until", "    time to the suspicion", "s")
    contenders = seats(bench, p50, 4, collapsed=False)
    n = bench.count(500)

    def misses(seat, count):
        return seat.ask(bench, seat.fleet.edges[0], "1k", count, start=bench.numbers(count + 8))

    def once(label, seat):
        asker, victim = seat.fleet.edges[0], seat.fleet.edges[3]
        if isinstance(seat.fleet, PmFleet):
            wait_for("all to be up", lambda: asker.state_of(victim.node) == "up", 60)
        heard = 0 if isinstance(seat.fleet, PmFleet) else asker.said("Detected DEAD Sibling: " + victim.node)
        before = misses(seat, n)
        os.kill(victim.process.pid, signal.SIGSTOP)
        try:
            began, worst_us = time.monotonic(), 0
            while not is_suspected(seat, victim, heard):
                worst_us = max(worst_us, misses(seat, 20)["max_us"])
                if time.monotonic() - began > 40:
                    raise Trouble(f"{label} does not suspect the dead one")
            seconds = time.monotonic() - began
            after = misses(seat, n)
        finally:
            os.kill(victim.process.pid, signal.SIGCONT)
        times = [got[k] / 1e3 for k in ("p50_us", "p99_us") for got in (before, after)]
        return after["p50_us"] / before["p50_us"], after["p99_us"] / before["p99_us"], worst_us / 1e3, seconds, *times

    rows = [p50, p99, worst, until]
    seen = take_turns(bench, p50, contenders, once, 3)
    spread_rows(rows, seen)
    for label, values in seen.items():
        a, b, c, d = [statistics.median(column) for column in zip(*values)][4:]
        p50.note(f"{label}: p50 {a:.2f}, then {b:.2f} ms; p99 {c:.2f}, then {d:.2f} ms")
    return rows


# ---- the parent has it ----

def parent_hit(body, n):
    def row_parent(bench):
        scale = "1 KB" if body == "1k" else "1 MB"
        wall = Row(f"parent-{body}", f"parent hit {scale}, client's time, p50", "ms")
        miss = Row(f"parent-{body}-alone", "    the same from the origin, without a cluster", "ms")
        edge_cpu = Row(f"parent-{body}-edge", "    CPU at the edge", "µs")
        cpu = Row(f"parent-{body}-cpu", "    CPU at the parent", "µs")
        contenders = seats(bench, wall, 1, 1, alone=True, collapsed=False)
        count, asked = bench.count(n), {}

        def once(label, seat):
            start = bench.numbers(count + 8)
            edge, parent = seat.fleet.edges[0], seat.fleet.parents[0]
            seat.fill(bench, parent, body, start, count)
            before = cpu_us([parent])
            got = seat.ask(bench, edge, body, count, start=start)
            used = (cpu_us([parent]) - before) / count
            direct = seat.ask(bench, seat.alone, body, count, start=bench.numbers(count + 8))
            asked[label] = asked.get(label, 0) + count
            return got["p50_us"] / 1e3, direct["p50_us"] / 1e3, got["cpu_us"], used

        rows = [wall, miss, edge_cpu, cpu]
        seen = take_turns(bench, wall, contenders, once, 5)
        spread_rows(rows, seen)
        each_way(bench, wall, contenders, seen, body, "PARENT_HIT", asked)
        return rows

    return f"parent-{body}", row_parent


CLUSTER_ROWS = dict([
    herd("siblings only", "herd", 0),
    herd("with a parent", "herd-parent", 1),
    ("sibling-1m", sibling_hit),
    ("miss-siblings", miss_with_siblings),
    ("dead", dead_sibling),
    parent_hit("1k", 300),
    parent_hit("1m", 40),
])
