"""Monitoring as an operator sets it up: Prometheus' own checker reads our metrics and rules, a real Prometheus scrapes nodes with the
configuration in conf/, and what rules and dashboard ask for is there.

run-tests: plain build
"""

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request

import pytest

from lab import Reply, blob, eventually
from lab.cluster import by_hash
from lab.edge import ROOT, free_ports

CONF = ROOT / "conf" / "prometheus"
DASHBOARD = json.loads((ROOT / "conf" / "grafana" / "dashboard.json").read_text())
STORED = [("Cache-Control", "max-age=1000")]


class Prometheus:
    """With conf/prometheus, but for its targets, and in a hurry."""

    def __init__(self, folder, targets):
        self.folder, self.port = folder, free_ports(1)[0]
        text = (CONF / "prometheus.yaml").read_text()
        text, n = re.subn(r"targets: \[.*\]", "targets: " + json.dumps(targets), text)
        assert n == 1
        (folder / "prometheus.yaml").write_text(re.sub(r"_interval: 15s", "_interval: 1s", text))
        shutil.copy(CONF / "pmcache.rules.yaml", folder)
        with open(folder / "prometheus.log", "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"], stdout=log, stderr=log, cwd=folder)
        eventually(lambda: "Prometheus\n" + (folder / "prometheus.log").read_text(), self.is_ready)

    def fetch(self, path, **query):
        url = f"http://127.0.0.1:{self.port}{path}" + ("?" + urllib.parse.urlencode(query) if query else "")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=10) as r:
            return r.read()

    def is_ready(self):
        try:
            self.fetch("/-/ready")
            return True
        except OSError:
            assert self.process.poll() is None, (self.folder / "prometheus.log").read_text()
            return False

    def api(self, path, **query):
        told = json.loads(self.fetch(f"/api/v1/{path}", **query))
        assert told["status"] == "success", told
        return told["data"]

    def query(self, expression):
        """[(labels, value)]"""
        return [(s["metric"], float(s["value"][1])) for s in self.api("query", query=expression)["result"]]

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture
def scrape(have, tmp_path):
    have("prometheus")
    made = []

    def start(*edges):
        folder = tmp_path / "prometheus"
        folder.mkdir()
        made.append(Prometheus(folder, [f"{e.host}:{e.admin_port}" for e in edges]))
        return made[-1]
    yield start
    for p in made:
        p.stop()


def promtool(*words, **more):
    return subprocess.run(["promtool", *map(str, words)], capture_output=True, timeout=60, **more)


def expressions():
    """What the dashboard asks, its variables filled in."""
    fill = {"$job": ".*", "$cluster": ".*", "$instance": ".*", "$__range": "5m"}
    for p in DASHBOARD["panels"]:
        for t in p.get("targets", []):
            text = t["expr"]
            for name, value in fill.items():
                text = text.replace(name, value)
            assert "$" not in text, text
            yield p["title"], text


def names_asked_for():
    rules = "\n".join(re.findall(r"expr: *((?:>-\n(?: {10,}.*\n)+)|.*\n)", (CONF / "pmcache.rules.yaml").read_text()))
    text = rules + "\n".join(e for _, e in expressions()) + json.dumps(DASHBOARD["templating"])
    return set(re.findall(r"(?<![:\w])pmcache_\w+", text))


def test_configuration_and_rules_are_sound(have):
    have("promtool")
    for words in (("check", "config", CONF / "prometheus.yaml"), ("check", "rules", CONF / "pmcache.rules.yaml")):
        done = promtool(*words)
        assert done.returncode == 0, done.stdout + done.stderr


def test_rules_speak_when_they_should(have, tmp_path):
    have("promtool")
    for f in (CONF / "pmcache.rules.yaml", ROOT / "tests" / "integration" / "prometheus" / "rules_test.yaml"):
        shutil.copy(f, tmp_path)
    done = promtool("test", "rules", tmp_path / "rules_test.yaml")
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def test_every_alert_says_what_to_do():
    text = (CONF / "pmcache.rules.yaml").read_text()
    alerts = re.findall(r"- alert: (\w+)\n(.*?)(?=\n\n|\Z)", text, re.S)
    assert len(alerts) >= 10
    for name, body in alerts:
        assert "severity:" in body and "summary:" in body and "description:" in body, name


def test_the_dashboard_is_whole():
    ids = [p["id"] for p in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids) and DASHBOARD["uid"] == "pmcache"
    places = set()
    for p in DASHBOARD["panels"]:
        g = p["gridPos"]
        cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
        assert g["x"] + g["w"] <= 24 and not places & cells, p["title"]
        places |= cells
        for t in p.get("targets", []):
            assert t["datasource"]["uid"] == "${datasource}"


def test_a_real_prometheus_scrapes_a_cluster(make, origin, scrape, have):
    p, a, b = make.cluster(edges=2, parents=1, conf={"cache": {"disk": {"path": "disk", "size": "100MB"}}}).start()
    prometheus = scrape(p, a, b)
    eventually(lambda: f"all are up: {prometheus.api('targets')}", lambda: prometheus.query("sum(up)") == [({}, 3)])
    eventually("a first look of each rule", lambda: all(
        r["health"] == "ok" for g in prometheus.api("rules")["groups"] for r in g["rules"]))

    bodies = [blob(10_000, i) for i in range(4)]
    for body in bodies:
        origin.on(by_hash(body), Reply(body=body, headers=STORED))
        for e in (a, a, a, b):
            assert e.get(origin.url(by_hash(body))).status == 200
    at_a = f'instance="{a.host}:{a.admin_port}"'
    eventually(lambda: prometheus.query(f"pmcache_requests_total{{{at_a}}}"),
               lambda: [v for _, v in prometheus.query(f"pmcache_requests_total{{{at_a}}}")] == [12])
    assert prometheus.query(f"sum by (cluster) (pmcache_hits_memory_total{{{at_a}}})") == [({"cluster": "integration"}, 8)]
    ratio = f"instance:pmcache_hit_ratio:rate5m{{{at_a}}}"
    eventually(lambda: prometheus.query(ratio), lambda: [abs(v - 8 / 12) < 0.1 for _, v in prometheus.query(ratio)] == [True])
    peers = prometheus.query(f"pmcache_peer_up{{{at_a}}}")
    assert sorted((m["peer"], m["role"], v) for m, v in peers) == [("edge2", "edge", 1), ("parent1", "parent", 1)]
    assert prometheus.query(f'pmcache_peers{{{at_a},role="edge",state="up"}}')[0][1] == 1
    assert prometheus.query(f"pmcache_parent_misses_total{{{at_a}}}")[0][1] == 4

    kinds = {k: v[0]["type"] for k, v in prometheus.api("metadata").items() if k.startswith("pmcache_")}
    assert all(t == ("counter" if k.endswith("_total") else "gauge") for k, t in kinds.items()), kinds
    missing = names_asked_for() - set(prometheus.api("label/__name__/values"))
    assert not missing, missing
    for title, expression in expressions():
        prometheus.query(expression)  # an error raises
    assert any(v > 0 for t, e in expressions() if t == "Hit ratio" for _, v in prometheus.query(e))

    have("promtool")
    for e in (p, a):
        done = promtool("check", "metrics", input=e.page("/metrics").body)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_node_that_dies_is_alarmed_about(make, scrape):
    e = make.edge()
    prometheus = scrape(e)
    eventually("up", lambda: prometheus.query("up") and prometheus.query("up")[0][1] == 1)
    e.stop()

    def pending():
        return [a for a in prometheus.api("alerts")["alerts"] if a["labels"]["alertname"] == "PmcacheDown"]
    found = eventually("the alert, waiting for its two minutes", pending)[0]
    assert found["state"] == "pending" and found["labels"]["instance"] == f"127.0.0.1:{e.admin_port}"
