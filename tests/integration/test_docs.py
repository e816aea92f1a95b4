"""The documents hang together: links lead somewhere, and commands, options, playbooks, settings, metrics and alerts that they name exist.

run-tests: plain build
"""

import json
import re
import subprocess

import pytest

from lab import Reply, blob, eventually
from lab.edge import PMCACHED, ROOT

TEXTS = sorted([ROOT / n for n in ("README.md", "SECURITY.md", "CHANGELOG.md", "ansible/README.md")] + [*(ROOT / "docs").glob("*.md")])
CTL = PMCACHED.parent / "pmcachectl"


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def anchors(path):
    """As GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", path.read_text(), flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads}


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_links_lead_somewhere(path):
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"\s*\n\s*", " ", path.read_text()))
    bad = []
    for link in links:
        if re.match(r"https?:", link):
            continue
        file, _, anchor = link.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            bad.append(link)
    assert not bad, bad


def help_of():
    """{"cluster rotate-key": "cluster rotate-key [--step …] …"}, and the options that all of them take."""
    text = subprocess.run([CTL, "--help"], capture_output=True, text=True, check=True, timeout=20).stdout
    commands = {}
    for line in text.splitlines():
        m = re.match(r"  ([a-z][a-z-]*)\b(.*)", line)
        if m:
            word, rest = m.groups()
            second = re.match(r" ([a-z][a-z-]*)\b(?!\|)", rest)
            key = word + (" " + second.group(1) if second and word in ("ca", "cluster") else "")
            commands[key] = commands.get(key, "") + rest
    return commands, text


def commands_in(text):
    """Words behind pmcachectl, in code."""
    code = re.findall(r"```.*?```|^ {4,}\S.*$|`[^`\n]+`", text, re.M | re.S)
    for piece in code:
        for m in re.finditer(r"\bpmcachectl((?: +(?:--?[\w-]+(?:=[\w]+)?|[\w./:-]+|\"[^\"]*\"))*)", piece):
            words = m.group(1).split()
            while words and words[0] in ("-c", "--state", "--json"):
                words = words[1 if words[0] == "--json" else 2:]
            if words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
                yield words


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_commands_exist(path):
    commands, whole = help_of()
    assert {"env", "stats", "purge", "peers", "ca init", "cluster issue"} <= set(commands), commands
    bad = []
    for words in commands_in(path.read_text()):
        key = " ".join(words[:2]) if words[0] in ("ca", "cluster") and len(words) > 1 else words[0]
        if key not in commands and words[0] not in {k.split()[0] for k in commands if " " in k and len(words) == 1}:
            bad.append(" ".join(words))
            continue
        if words[0] == "exec":
            continue
        bad += [" ".join(words) for w in words if w.startswith("--") and len(w) > 2 and w.split("=")[0] not in whole]
    assert not bad, bad


def test_settings_exist():
    dump = subprocess.run([PMCACHED, "--config-reference"], capture_output=True, text=True, check=True, timeout=20).stdout
    sections = "listen|bump|upstream|cache|limits|access|headers|log|admin|cluster"
    known = set(re.findall(rf"\b((?:{sections})(?:\.\w+)+)", dump))
    assert len(known) > 50, known
    known |= {k.rsplit(".", i)[0] for k in known for i in (1, 2)}
    for path in TEXTS:
        asked = set(re.findall(rf"`((?:{sections})(?:\.[a-z]\w*)+)(?::[^`]*)?`", path.read_text()))
        asked = {a for a in asked if not re.search(r"\.(md|yaml|yml|crt|key|log|json|sock|pub|test|c|h)$", a)}
        assert asked <= known, (name_of(path), asked - known)


def test_the_role_restarts_for_what_a_reload_does_not_apply():
    dump = subprocess.run([PMCACHED, "--config-reference"], capture_output=True, text=True, check=True, timeout=20).stdout
    waiting = re.findall(r"^\| `([^`]+)` \|.*\| \*restart\* \|", dump, re.M)
    role = (ROOT / "ansible" / "roles" / "pmcache" / "vars" / "main.yml").read_text()
    told = re.search(r"^__pmcache_restart_settings:\n((?:  - .*\n)+)", role, re.M).group(1)
    assert len(waiting) > 10 and sorted(re.findall(r"- (\S+)", told)) == sorted(waiting)


def test_playbooks_alerts_and_metrics_exist(make):
    edge = make.edge({"cache": {"disk": {"path": "disk", "size": "100MB"}}})
    books = {p.stem for p in (ROOT / "ansible" / "playbooks").glob("*.yml")} | {"pmcache_client", "pmcache"}
    alerts = set(re.findall(r"alert: (\w+)", (ROOT / "conf" / "prometheus" / "pmcache.rules.yaml").read_text()))
    with edge.connect("admin") as c:
        metrics = set(re.findall(r"^# TYPE (\w+)", c.ask("GET", "/metrics", host="localhost").text, re.M))
    for path in TEXTS:
        text = path.read_text()
        assert set(re.findall(r"pmcache\.pmcache\.(\w+)", text)) <= books, name_of(path)
        assert set(re.findall(r"`(Pmcache\w+)`", text)) - alerts <= set(), name_of(path)
    for path in (ROOT / "docs" / "runbooks.md", ROOT / "docs" / "operator.md"):
        asked = set(re.findall(r"`(\w+_total|hosts_held_back)`", path.read_text()))
        assert asked and {f"pmcache_{a}" for a in asked} <= metrics, asked


def test_the_steps_of_the_runbooks_run(make, plain):
    """On a node that runs, in the order of the runbooks."""
    e = make.edge({"cache": {"disk": {"path": "cache", "size": "10MB"}}})
    text = (ROOT / "docs" / "runbooks.md").read_text()
    url = plain.url("/pkg/-/pkg-1.0.0.tgz")
    plain.on("/pkg/-/pkg-1.0.0.tgz", Reply(body=b"\x1f\x8b" + blob(3000), headers=[("Cache-Control", "max-age=1000")]))

    def step(*words):
        assert "pmcachectl " + " ".join(words[:1]) in text, words
        return e.ctl(*words).stdout

    def is_here():
        return json.loads(e.ctl("explain", url, "--json").stdout)["would"] == "hit"

    def fetched():
        assert e.get(url).status == 200
        return is_here()

    assert "pmcached --check-config" in text
    subprocess.run([PMCACHED, "--check-config", "-c", e.config_file], check=True, timeout=20)
    for words in (("purge", url), ("purge", "--prefix", plain.url("/pkg")), ("purge", "--host", plain.url("/").split("/")[2]), ("purge", "--all")):
        eventually("it is here", fetched)  # the last purge may still be at the disk
        step(*words)
        eventually("it is gone", lambda: not is_here())
    for name in ("evicted_total", "hosts_held_back", "ca_not_after"):
        assert name in text and name in step("stats")
    step("offline", "on")
    eventually("the disk has forgotten it, too", lambda: e.get(url).status == 504)
    step("offline", "off")
    assert e.get(url).status == 200
    before = step("ca", "show")
    step("ca", "init", "--force")
    e.reload()
    assert step("ca", "show") != before
    step("scrub")
    step("refresh", url)
    archive = str(e.state / "packages.tar")
    step("export", "--all", archive)
    step("import", "--dry-run", archive)
    with e.connect("admin") as c:
        assert c.ask("GET", "/readyz", host="localhost").status == 200 and "BEGIN CERTIFICATE" in c.ask("GET", "/ca.crt", host="localhost").text
