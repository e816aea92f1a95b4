"""figures.py FOLDER ORIGIN_LOG NODE...: do the nodes' own figures agree with each other, with the page and with what the origin has seen?

FOLDER has, of each node, NODE.stats and NODE.peers (pmcachectl --json) and NODE.page.stats and NODE.page.peers (what the page shows), all
taken while nobody fetches."""
import json
import pathlib
import re
import sys

SAME_ON_THE_PAGE = ("fetches", "fetched", "served", "bytes_in", "bytes_out", "asked", "answered", "hit_ratio")


def read(path):
    return json.loads(path.read_text())


def main():
    folder, log, *names = sys.argv[1:]
    folder = pathlib.Path(folder)
    stats = {n: read(folder / f"{n}.stats")["counters"] for n in names}
    peers = {n: {p["name"]: p for p in read(folder / f"{n}.peers")["peers"]} for n in names}
    faults = []

    seen = len(re.findall(r'"(?:GET|HEAD|POST) ', pathlib.Path(log).read_text()))
    sent = sum(s["upstream_requests_total"] for s in stats.values())
    print(f"the origin has seen {seen} requests, the nodes have sent {sent}: "
          + ", ".join(f"{n} {s['upstream_requests_total']}" for n, s in stats.items()))
    if seen != sent:
        faults.append("the origin's log and the nodes' counters differ")

    for a in names:
        for b, p in peers[a].items():
            other = peers[b][a]
            if p["role"] == "edge" and p["fetched"]:
                print(f"{a} has taken {p['fetched']} bodies, {p['bytes_in']} bytes, from {b}")
            if p["bytes_in"] != other["bytes_out"] or p["fetches"] != other["served"]:
                faults.append(f"{a} says of {b} what {b} does not say of {a}")
    if not any(p["fetched"] for n in names for p in peers[n].values()):
        faults.append("no node has taken anything from another")

    for n in names:
        if read(folder / f"{n}.page.stats")["counters"]["requests_total"] != stats[n]["requests_total"]:
            faults.append(f"the page of {n} has other counters than pmcachectl")
        for shown in read(folder / f"{n}.page.peers")["peers"]:
            if any(shown[f] != peers[n][shown["name"]][f] for f in SAME_ON_THE_PAGE):
                faults.append(f"the page of {n} shows other figures of {shown['name']} than pmcachectl")
    sys.exit("\n".join(faults) or 0)


main()
