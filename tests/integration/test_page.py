"""The page for people, in a real browser: what it shows, that it lives, in the dark, on a phone, by keyboard; that nothing said by
others becomes a part of it; and how one who asks a proxy port for a page gets there.

PMC_PICTURES=FOLDER keeps what the browser showed.

run-tests: plain build
"""

import base64
import hashlib
import http.server
import json
import os
import re
import socket
import ssl
import threading
from pathlib import Path

import pytest

from lab import Reply, blob, eventually
from lab.browser import Browser, missing
from lab.certs import NAMES
from lab.cluster import by_hash

STORED = [("Cache-Control", "max-age=60")]
HOSTILE = "<img src=x onerror=\"window.bad=1\"><script>window.bad=1</script>'\"&amp;{{7*7}}\\u003c"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if missing():
        pytest.skip(f"not installed: {', '.join(missing())} (see tests/integration/README.md)")
    b = Browser(tmp_path_factory.mktemp("browser"))
    yield b
    b.close()


def home(e):
    return f"http://{e.host}:{e.admin_port}/"


def opened(b, url):
    """The page, after its first look at the node."""
    b.complaints()
    b.scheme("light")
    b.size(1280, 900)
    b.open(url)
    b.await_text("#state", "ready")
    return b


def look(e, path, headers=(), host="localhost", door="admin"):
    with e.connect(door) as c:
        return c.ask("GET", path, [*headers], host=host)


def keep(name, picture):
    assert picture.startswith(b"\x89PNG") and len(picture) > 5000
    folder = os.environ.get("PMC_PICTURES")
    if folder:
        (Path(folder) / f"{name}.png").write_bytes(picture)


def hash_of(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


# ---- without a browser ----

def test_the_page_is_one_file_that_lets_nothing_else_run(edge):
    r = look(edge, "/")
    assert r.status == 200 and r.headers.get("Content-Type") == "text/html; charset=utf-8"
    assert r.headers.get("X-Frame-Options") == "DENY" and r.headers.get("X-Content-Type-Options") == "nosniff"
    policy = dict(part.strip().split(" ", 1) for part in r.headers.get("Content-Security-Policy").split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert [hash_of(t) for t in re.findall(r"<script>(.*?)</script>", r.text, re.S)] == [policy["script-src"]]
    assert [hash_of(t) for t in re.findall(r"<style>(.*?)</style>", r.text, re.S)] == [policy["style-src"]]
    assert not re.search(r"""\s(src|srcset|action|style|on[a-z]+)=["']""", re.sub(r"<script>.*</script>", "", r.text, flags=re.S))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function", r.text)
    assert set(re.findall(r"https?://[^\s\"'<>]+", r.text)) == {"http://www.w3.org/2000/svg"}  # a name, not a place


def test_all_answers_of_the_port_are_fenced_in(edge):
    for path in ("/stats.json", "/page.json", "/history.json", "/metrics", "/healthz", "/ca.crt", "/nowhere"):
        h = look(edge, path).headers
        assert h.get("Content-Security-Policy") == "default-src 'none'; frame-ancestors 'none'", path
        assert h.get("X-Frame-Options") == "DENY" and h.get("Cross-Origin-Resource-Policy") == "same-origin"


@pytest.mark.parametrize("path", ["/", "/page.json", "/history.json"])
def test_a_name_that_was_made_to_lead_here_gets_no_page(edge, path):
    assert look(edge, path, host="attacker.test").status == 421


def test_page_json_says_where_the_node_listens(edge):
    p = json.loads(look(edge, "/page.json").text)
    assert p == {"state": "ready", "role": "edge", "ca": True, "cluster": False,
                 "proxy": [f"127.0.0.1:{edge.proxy_port}", f"[::1]:{edge.proxy_port}"],
                 "bump": [f"127.0.0.1:{edge.bump_port}", f"[::1]:{edge.bump_port}"]}


def test_the_history_begins_with_the_node_and_ends_now(make, plain):
    e = make.edge()
    plain.on("/o", Reply(body=blob(1000), headers=STORED))
    for _ in range(5):
        e.get(plain.url("/o"))

    def last():
        h = json.loads(look(e, "/history.json").text)
        assert h["interval_s"] == 60
        first, now = (dict(zip(h["columns"], h["rows"][i])) for i in (0, -1))
        assert not any(v for k, v in first.items() if k != "time") and first["time"] <= now["time"]
        return now
    eventually("all counted", lambda: last()["local_hit"] == 4)
    now = last()
    assert (now["direct"], now["cache_bytes"], now["upstream_bytes"]) == (1, 4000, 1000)


def test_who_takes_the_proxy_for_a_site_is_told_where_the_page_is(edge):
    for door in ("proxy", "bump"):
        r = look(edge, "/", door=door)
        assert r.status == 400 and r.headers.get("Content-Type").startswith("text/plain")
        assert f"\nthis node's page: {home(edge)}\n" in r.text and r.headers.get("X-Pmcache-Error") == "not-proxy"
        r = look(edge, "/<b>x</b>?<script>", [("Accept", "application/xhtml+xml, text/html;q=0.9, */*;q=0.8")], door=door)
        assert r.status == 400 and r.headers.get("Content-Type").startswith("text/html")
        assert f'<a href="{home(edge)}">' in r.text and "<b>" not in r.text and "<script" not in r.text
        assert r.headers.get("Content-Security-Policy").startswith("default-src 'none'")


def recent(e):
    return json.loads(look(e, "/recent.json").text)


def fail_in_three_ways(e):
    """Two names that do not exist (one of them twice), secrets, and a client that does not trust the CA."""
    for url in ("http://nowhere.invalid/a?secret=1", "http://nowhere.invalid/a?secret=2", "http://user:secret@nowhere.invalid/a", "http://elsewhere.invalid/<b>'b\""):
        with e.connect() as c:
            assert c.ask("GET", url).status in (400, 502, 504)
    with pytest.raises(ssl.SSLError):
        e.bumped("pinned.test:443", context=ssl.create_default_context())
    eventually(lambda: recent(e), lambda: "ca-not-trusted" in str(recent(e)))
    return recent(e)


def test_recent_failures_without_and_with_urls(make):
    e = make.edge()
    r = fail_in_three_ways(e)
    dns = [line for line in r["lines"] if line["word"].startswith("dns-")]  # no such name; or no name server, where there is none
    assert r["urls"] is False and sum(line["count"] for line in dns) >= 2 and {line["status"] for line in dns} <= {502, 504}
    assert not re.search("invalid|pinned|127|secret", json.dumps(r["lines"])), r
    assert all(line["url"] is None and line["client"] is None for line in r["lines"])
    e.overrides = {"admin": {"show_urls": True}}
    e.write_config()
    e.reload()
    eventually("URLs", lambda: recent(e)["urls"])
    r = recent(e)
    by_url = {line["url"]: line for line in r["lines"]}
    assert by_url["http://nowhere.invalid/a"]["count"] == 2 and by_url["http://nowhere.invalid/a"]["client"] == "127.0.0.1"
    assert by_url["pinned.test"]["word"] == "ca-not-trusted" and r["lines"][0]["url"] == "pinned.test"
    assert "secret" not in json.dumps(r)


def test_only_if_cached_is_no_failure(edge, plain):
    before = recent(edge)
    assert edge.get(plain.url("/x"), [("Cache-Control", "only-if-cached")]).status == 504
    assert recent(edge) == before


def test_without_an_admin_port_nobody_is_sent_there(make):
    e = make.edge({"listen": {"admin": []}})
    r = look(e, "/", door="proxy")
    assert r.status == 400 and "page" not in r.text
    assert "href" not in look(e, "/", [("Accept", "text/html")], door="proxy").text


# ---- in a browser ----

def test_it_shows_the_node_and_nothing_is_complained_about(browser, edge):
    b = opened(browser, home(edge))
    assert b.driver.title == "edge1 · pmcache" and b.text("#node") == "edge1"
    assert re.search(r"version \S+ · up \d+ s · CA until 20\d\d-\d\d-\d\d \([\d,]+ days\)", b.text("#about"))
    assert "of 268 MB" in b.text("#memory")
    assert not b.shown("#cluster") and b.shown("#ca") and b.shown("#setup-local")
    assert "memory" in b.texts("#sources td:first-child") and "requests_total" in b.texts("#counters td:first-child")
    assert b.complaints() == []


def test_numbers_change_without_loading_anew(browser, make, plain):
    e = make.edge()
    plain.on("/o", Reply(body=blob(500_000), headers=STORED))
    e.get(plain.url("/o"))
    b = opened(browser, home(e))
    b.await_text("#requests", r"^1$")
    assert b.text("#ratio") == "0.0 %"
    b.run("window.mark = 1")
    for _ in range(3):
        e.get(plain.url("/o"))
    b.await_text("#requests", r"^4$")
    b.await_text("#ratio", r"^75\.0 %$")
    b.await_text("#saved", r"^1\.5 MB$")
    assert b.run("return window.mark") == 1
    assert b.texts("#sources tr:first-child td")[:3] == ["memory", "3", "75.0 %"]
    eventually("the charts", lambda: b.run("return document.querySelectorAll('#bytes-chart rect').length > 0"))
    assert "75.0 %" in b.run("return document.querySelector('#ratio-chart').getAttribute('aria-label')")
    assert not b.shown("#attention")
    e.get("http://nowhere.invalid/")
    b.await_text("#attention-rows", "origins that failed|said that something failed")
    assert b.complaints() == []


def test_recent_failures_are_shown_with_the_fix(browser, make):
    e = make.edge()
    b = opened(browser, home(e))
    assert not b.shown("#recent")
    fail_in_three_ways(e)
    b.await_text("#recent-rows", "does not trust the CA: run its program with pmcachectl env")
    assert ": is the name right?" in b.text("#recent-rows")
    assert b.shown("#recent-note") and not b.shown("#recent th.url") and "invalid" not in b.text("main")
    e.overrides = {"admin": {"show_urls": True}}
    e.write_config()
    e.reload()
    b.await_text("#recent-rows", "http://nowhere.invalid/a")
    assert not b.shown("#recent-note") and b.shown("#recent th.url") and b.complaints() == []


def objects(e):
    return json.loads(look(e, "/objects.json").text)


def test_objects_have_urls_only_where_that_is_wanted(make, plain):
    e = make.edge()
    for i in range(3):
        plain.on(f"/o{i}", Reply(body=blob(1000 * (i + 1)), headers=STORED + [("Content-Type", "application/x-thing; q=1")]))
        for _ in range(4 - i):
            e.get(plain.url(f"/o{i}?token=hush"))
    eventually(lambda: objects(e), lambda: objects(e)["as_of"])
    o, host = objects(e), plain.url("/").split("/")[2]
    assert o["urls"] is False and o["objects"] == 3 and [x["hits"] for x in o["hottest"]] == [3, 2, 1]
    assert all((x["host"], x["url"], x["type"]) == (host, None, "application/x-thing") for x in o["largest"] + o["hottest"])
    assert [x["bytes"] for x in o["largest"]] == sorted((x["bytes"] for x in o["hottest"]), reverse=True) and o["largest"][0]["bytes"] > 3000
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(e.state / "control.sock"))
        s.sendall(b"objects\n")
        told = s.makefile("rb").read()
    assert told.startswith(b"ok\n") and [x["url"] for x in json.loads(told[3:])["largest"]] == [plain.url(f"/o{i}?") for i in (2, 1, 0)]
    e.overrides = {"admin": {"show_urls": True}}
    e.write_config()
    e.reload()
    eventually("URLs", lambda: objects(e)["urls"])
    assert [x["url"] for x in objects(e)["hottest"]] == [plain.url(f"/o{i}?") for i in (0, 1)] + [plain.url("/o2?")]
    assert "hush" not in json.dumps(objects(e))


def test_hosts_classes_and_objects_are_shown(browser, make, plain):
    e = make.edge()
    plain.on("/left-pad/-/left-pad-1.3.0.tgz", Reply(body=b"\x1f\x8b" + blob(50_000), headers=STORED))
    plain.on("/other", Reply(body=blob(2000), headers=STORED))
    b = opened(browser, home(e))
    assert not b.shown("#hosts") and not b.shown("#kinds") and not b.shown("#objects-pair")
    for path in ["/left-pad/-/left-pad-1.3.0.tgz"] * 4 + ["/other"] * 2:
        assert e.get(plain.url(path)).status == 200
    host = plain.url("/").split("/")[2]
    b.await_text("#hosts-rows", re.escape(host))
    eventually(lambda: b.texts("#hosts-rows td"), lambda: b.texts("#hosts-rows td")[:3] == [host, "6", "66.7 %"])
    assert b.texts("#classes tr:first-child td")[:4] == ["immutable", "npm", "4", "75.0 %"]
    assert b.texts("#classes tr:last-child td")[:2] == ["other", ""]
    assert b.texts("#slow td")[0] == host and re.match(r"[\d.]+ (µs|ms)$", b.texts("#slow td")[2])
    b.await_text("#largest", re.escape(host))
    eventually(lambda: b.texts("#hottest td"), lambda: b.texts("#hottest tr:first-child td")[1:2] == ["3"],
               deadline=30)
    assert b.shown("#objects-note") and "left-pad" not in b.text("main") and not b.shown("#hosts-all")
    assert b.complaints() == []


def test_many_hosts_are_shown_when_asked_for(browser, make, plain):
    e = make.edge()
    names = [n for n in NAMES if n not in ("six.test", "both.test")][:14]
    plain.on("/o", Reply(body=b"x", headers=STORED))
    for n in names:
        assert e.get(f"http://{n.upper()}:{plain.port}/o").status == 200
    b = opened(browser, home(e))
    b.await_text("#hosts-all", f"^Show all {len(names)}$")
    assert len(names) > 10 and len(b.texts("#hosts-rows tr")) == 10
    b.run("document.querySelector('#hosts-all').focus()")
    b.press("\ue007")
    b.await_text("#hosts-all", "^Show 10$")
    assert sorted(b.texts("#hosts-rows td:first-child")) == sorted(f"{n}:{plain.port}" for n in names)
    assert b.run("return document.querySelector('#hosts-all').getAttribute('aria-expanded')") == "true" and b.complaints() == []


def test_a_node_that_has_gone_is_seen(browser, make):
    e = make.edge()
    b = opened(browser, home(e))
    e.stop()
    b.await_text("#state", "no answer")
    e.start()
    b.await_text("#state", "ready")
    b.complaints()


def test_light_and_dark(browser, edge):
    b = opened(browser, home(edge))
    ground = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    light = b.run(ground)
    keep("light", b.picture())
    b.scheme("dark")
    dark = b.run(ground)
    keep("dark", b.picture())
    assert min(light) > 200 and max(dark) < 60


CONTRAST = """
const lum = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
	return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const parse = (s) => s.match(/[\\d.]+/g).map(Number);
const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
	if (c.length === 3 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
return [...document.querySelectorAll("h1, h2, h3, p, td, th, a, button, pre, .soft, .badge, li")]
	.filter((e) => e.getClientRects().length && e.textContent.trim())
	.map((e) => { const a = lum(parse(getComputedStyle(e).color).slice(0, 3)), b = lum(ground(e));
		return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.tagName + "." + e.className + ": " + e.textContent.slice(0, 30)]; })
	.filter(([ratio]) => ratio < 4.5);
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(browser, edge, scheme):
    b = opened(browser, home(edge))
    b.scheme(scheme)
    eventually(lambda: b.run(CONTRAST), lambda: b.run(CONTRAST) == [])  # a transition may be under way


@pytest.mark.parametrize("width", [320, 390])
def test_on_a_phone_nothing_is_wider_than_the_screen(browser, edge, width):
    b = opened(browser, home(edge))
    b.size(width, 800, phone=True)
    b.open(home(edge))
    b.await_text("#state", "ready")
    assert b.run("return document.documentElement.scrollWidth") <= width
    assert b.run("return innerWidth") == width
    assert all(h >= 40 for h in b.run("return [...document.querySelectorAll('button:not([hidden])')].map((e) => e.offsetHeight)"))


def test_the_keyboard_reaches_the_lines_and_copies_them(browser, edge):
    from selenium.webdriver.common.keys import Keys
    b = opened(browser, home(edge))
    b.tell("Browser.grantPermissions", origin=home(edge).rstrip("/"), permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    b.press(Keys.TAB)
    assert b.run("return document.activeElement.textContent") == "To the set-up lines"
    assert b.run("return document.activeElement.getBoundingClientRect().left") >= 0  # seen as soon as it is reached
    b.press(Keys.ENTER)
    reached = []
    for _ in range(12):
        b.press(Keys.TAB)
        reached.append(b.run("return document.activeElement.getAttribute('aria-label')"))
        if "the proxy, for all" in (reached[-1] or "") and reached[-1].startswith("Copy"):
            break
    assert reached[0].startswith("Copy the lines for: On this machine"), reached
    assert b.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    b.press(Keys.ENTER)
    eventually("copied", lambda: b.run("return document.activeElement.textContent") == "Copied")
    assert b.text("#said") == "Copied"
    copied = b.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0], (e) => arguments[0]('' + e))")
    assert copied.splitlines()[0].startswith(f"export http_proxy=http://127.0.0.1:{edge.bump_port} https_proxy="), copied
    unreached = b.run("return [...document.querySelectorAll('a, button, summary, .scroll')].filter((e) => e.tabIndex < 0).length")
    assert unreached == 0


def test_the_proxy_port_leads_a_browser_to_the_page(browser, edge):
    browser.open(f"http://127.0.0.1:{edge.bump_port}/")
    assert "this is a proxy" in browser.text("p")
    browser.run("document.querySelector('a').click()")
    browser.await_text("#state", "ready")
    assert browser.driver.current_url == home(edge)
    browser.complaints()


# ---- hostile words ----

def poisoned(value):
    """The same with every string turned into markup, names of fields too where the page shows them."""
    if isinstance(value, dict):
        return {k: poisoned(v) for k, v in value.items()}
    if isinstance(value, list):
        return [poisoned(v) for v in value]
    return HOSTILE if isinstance(value, str) else value


class Fake(http.server.BaseHTTPRequestHandler):
    """Serves what the test gives it, with the node's own page and its fields."""

    def do_GET(self):
        r = self.server.answers.get(self.path)
        self.send_response(200 if r else 404)
        for name, value in (r[0] if r else []):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(r[1] if r else b"")

    def log_message(self, *_):
        pass


@pytest.fixture
def fake():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fake)
    server.answers = {}
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_hostile_names_are_shown_as_text(browser, make, fake):
    cluster = make.cluster(edges=2, parents=1)
    p, a, _ = cluster.start()
    page = a.page("/")
    fields = [(n, page.headers.get(n)) for n in ("Content-Type", "Content-Security-Policy", "X-Content-Type-Options")]
    fake.answers["/"] = fields, page.body
    counts = dict.fromkeys(("requests", "hits", "sibling", "parent", "misses", "client_bytes", "cache_bytes", "failures", "upstream_requests",
                            "upstream_failures", "upstream_bytes"), 1)
    for path in ("/page.json", "/stats.json", "/history.json", "/peers.json", "/recent.json", "/objects.json", "/matrix.json"):
        told = json.loads(a.page(path).body)
        if path == "/recent.json":
            line = {"time": "", "count": 1, "word": "", "what": "", "status": 502, "url": "", "client": ""}
            told = {"urls": True, "lines": [poisoned(line), dict(poisoned(line), word="dns-no-name")]}
        elif path == "/objects.json":
            told = {"urls": True, "as_of": "", "objects": 1}
            told["largest"] = told["hottest"] = [{"host": HOSTILE, "url": HOSTILE, "type": HOSTILE, "bytes": 1, "hits": 1}]
        elif path == "/matrix.json":
            seen = json.loads(a.page("/peers.json").body)
            told = {"age_s": 1, "every_s": 10, "too_many": False, "nodes": [poisoned(seen), {"node": HOSTILE, "error": HOSTILE}]}
        elif path != "/history.json":
            time = told.get("time")
            told = poisoned(told)
            told.update({"time": time} if time else {})
        if path == "/stats.json":
            told["counters"][HOSTILE] = 7
            told["hosts"] = [{"host": HOSTILE, **counts, "first_byte_us": {"p50": 5, "p90": 6}}]
            told["classes"] = [{"class": HOSTILE, "ecosystem": HOSTILE, **counts}, {"class": "other", "ecosystem": "__proto__", **counts}]
        if path == "/page.json":
            told["cluster"], told["ca"] = True, True
        fake.answers[path] = [("Content-Type", "application/json")], json.dumps(told).encode()
    browser.complaints()
    browser.open(f"http://127.0.0.1:{fake.server_port}/")
    eventually("the name", lambda: browser.text("#node") == HOSTILE)
    eventually("the peers", lambda: browser.texts("#peers td:first-child") == [HOSTILE] * 3 or
               browser.texts("#peers td:first-child") == [HOSTILE])
    assert browser.text("#state") == "?" and HOSTILE in browser.texts("#counters td:first-child")
    assert browser.text("#cluster-name") == HOSTILE and any(HOSTILE[1:] in t for t in browser.texts("#setup-lines pre"))
    assert sum(HOSTILE in t for t in browser.texts("#recent-rows td")) == 2 * 3  # the time is cut
    for table in ("hosts-rows", "slow", "largest", "hottest"):
        assert browser.texts(f"#{table} td:first-child") == [HOSTILE], table
    assert browser.texts("#classes tr:first-child td")[:2] == [HOSTILE] * 2 and browser.texts("#classes tr:last-child td")[1] == "__proto__"
    eventually("the matrix", lambda: browser.texts("#matrix-rows th") == [HOSTILE] * 2)
    assert browser.texts("#matrix-columns th")[1:] == [HOSTILE] * 2 and HOSTILE in browser.text("#matrix-rows tr:last-child td")
    assert browser.run("return window.bad === undefined && document.scripts.length === 1 && "
                       "!document.querySelector('img, iframe, object, embed')")
    assert browser.complaints() == []


def test_the_policy_stops_what_would_be_put_in_all_the_same(browser, edge):
    """Were there a hole: a script or a handler put into the page does not run, and nothing can be sent elsewhere."""
    b = opened(browser, home(edge))
    b.run("""const s = document.createElement('div'); s.innerHTML = '<img src="x" onerror="window.bad = 1">';
             document.body.append(s); const t = document.createElement('script'); t.textContent = 'window.bad = 2'; document.body.append(t)""")
    gone = b.driver.execute_async_script("fetch('http://127.0.0.1:1/').catch((e) => arguments[0]('stopped'))")
    said = eventually("the browser's complaints", lambda: "\n".join(b.complaints()))
    assert gone == "stopped" and "Content Security Policy" in said
    assert b.run("return window.bad") is None


# ---- in a cluster ----

def test_the_cluster_is_shown(browser, make, origin):
    cluster = make.cluster(edges=2, parents=1)
    p, a, b2 = cluster.start()
    body = blob(20_000)
    origin.on(by_hash(body), Reply(body=body, headers=[("Cache-Control", "max-age=1000")]))
    for e in (a, b2, a):
        e.get(origin.url(by_hash(body)))
    b = opened(browser, home(a))
    b.await_text("#cluster-name", "^lab$")
    eventually(lambda: b.texts("#peers td:first-child"), lambda: b.texts("#peers td:first-child") == ["edge2", "parent1"])
    heads = b.texts("#cluster th")
    assert heads.index("Hedged") + 1 == heads.index("Cancelled")
    for row in ("first", "last"):
        cells = b.texts(f"#peers tr:{row}-child td")
        assert len(cells) == len(heads) and cells[heads.index("Hedged")] == cells[heads.index("Cancelled")] == "0", cells
    assert b.texts("#peers tr:first-child td")[1:3] == ["edge", "up"] and b.texts("#peers tr:last-child td")[1:3] == ["parent", "up"]
    assert "pmcachectl peers --matrix" in b.text("#cluster")
    keep("cluster", b.picture())
    assert b.complaints() == []


def test_a_parent_shows_its_fellows(browser, make):
    cluster = make.cluster(edges=1, parents=2)
    p, _, _ = cluster.start()
    b = opened(browser, home(p))
    b.await_text("#cluster-name", "^lab$")
    eventually(lambda: b.texts("#peers td:first-child"), lambda: b.texts("#peers td:first-child") == ["edge1", "parent2"])
    assert b.texts("#peers tr:last-child td")[1:3] == ["fellow", "up"]

    assert b.complaints() == []


def matrix_of(e):
    return json.loads(e.page("/matrix.json").body)


def test_outside_a_cluster_there_is_no_matrix(edge):
    assert look(edge, "/matrix.json").status == 404


def test_the_matrix_is_asked_for_seldom_however_many_look(make):
    cluster = make.cluster(edges=3)
    a, b, c = cluster.start()
    found = eventually("all nodes have answered", lambda: (m := matrix_of(a)) and m["age_s"] is not None and m)
    assert found["every_s"] == 10 and not found["too_many"]
    assert [n["node"] for n in found["nodes"]][0] == "edge1" and {n["node"] for n in found["nodes"]} == {"edge1", "edge2", "edge3"}
    assert all({p["name"] for p in n["peers"]} == {"edge1", "edge2", "edge3"} - {n["node"]} for n in found["nodes"])
    before = [matrix_of(a)["age_s"]]
    for _ in range(20):
        now = matrix_of(a)
        if now["age_s"] < before[-1]:
            break  # the ten seconds are over: it has been asked anew
        assert now["nodes"] == found["nodes"], "what was found, word for word: nobody is asked again"
        before.append(now["age_s"])
    c.stop()
    lost = eventually("the next asking finds it gone",
                      lambda: [n for n in matrix_of(a)["nodes"] if n["node"] == "edge3" and n.get("error")], deadline=60)
    assert lost and {"edge1", "edge2"} <= {n["node"] for n in matrix_of(a)["nodes"]}


def test_the_matrix_is_shown(browser, make, origin):
    cluster = make.cluster(edges=3)
    a, b2, b3 = cluster.start()
    body = blob(20_000)
    origin.on(by_hash(body), Reply(body=body, headers=[("Cache-Control", "max-age=1000")]))
    for e in (a, b2):
        e.get(origin.url(by_hash(body)))
    b = opened(browser, home(a))
    # One that was not met yet at the first asking comes with the second, ten seconds later.
    eventually("its rows", lambda: b.texts("#matrix-rows th") == ["edge1", "edge2", "edge3"], deadline=30)
    assert b.texts("#matrix-columns th")[1:] == ["edge1", "edge2", "edge3"]
    row = b.texts("#matrix-rows tr:nth-child(2) td")
    assert row[:2] == ["up 1 of 1 hits 0 lost", "–"]
    assert re.fullmatch(r"As of \d+ s ago; asked every 10 s at the most.", b.text("#matrix-about"))
    keep("matrix", b.picture())

    colours = []
    for scheme in ("light", "dark"):
        b.scheme(scheme)
        colours.append(b.run("const s = getComputedStyle(document.querySelector('#matrix-rows th')); return [s.backgroundColor, s.color]"))
    assert colours[0][0] != colours[1][0] and colours[0][1] != colours[1][1], "also the column that stays in place"

    b.size(320, 640, phone=True)
    assert b.run("const r = document.documentElement; return r.scrollWidth <= r.clientWidth"), "the page itself does not scroll"
    assert b.run("const x = document.querySelector('#matrix-box'); return x.scrollWidth > x.clientWidth"), "its box does"
    b.run("document.querySelector('#matrix-box').focus()")
    assert b.run("return document.activeElement.id") == "matrix-box"
    keep("matrix-phone", b.picture())
    assert b.complaints() == []


def test_a_draining_node_says_so(browser, make, plain):
    import signal
    e = make.edge()
    gate = plain.gate()
    plain.on("/slow", lambda req: Reply(body=[b"a" * 100, gate, b"b" * 100], framing="close"))
    b, c = opened(browser, home(e)), e.connect()
    c.request("GET", plain.url("/slow"))
    c.head()
    gate.await_waiting()
    e.signal(signal.SIGTERM)
    b.await_text("#state", "draining")
    gate.open()
    assert e.process.wait(10) == 0
    e.stop()
    c.close()
    b.open("about:blank")
    b.complaints()
