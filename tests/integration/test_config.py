"""The configuration as the command line shows it; reload and shutdown.

run-tests: not for threads
"""

import concurrent.futures
import json
import os
import re
import signal
import subprocess
import threading

import pytest

from lab import EdgeFailed, Reply, blob, eventually
from lab.edge import PMCACHECTL, PMCACHED, run_pmcached
from lab.wire import connect

STORED = [("Cache-Control", "max-age=60")]


def write(folder, text):
    path = folder / "pmcache.yaml"
    path.write_text(text)
    return path


def test_check_config_says_nothing_bad_about_a_good_file(tmp_path):
    done = run_pmcached("--check-config", "-c", write(tmp_path, "node: edge1\nloops: 2\ncache:\n  memory: {size: 1GB}\n"))
    assert done.returncode == 0, done.stderr


FAULTS = {
    "unknown key": ("node: a\ncache:\n  memory:\n    sise: 1GB\n", 4, "size"),
    "unknown key at the top": ("node: a\nchache: {}\n", 2, "cache"),
    "unknown word": ("bump:\n  certificate: sin\n", 2, "sni"),
    "bad size": ("cache:\n  memory:\n    size: 1XB\n", 3, "cache.memory.size"),
    "bad duration": ("upstream:\n\n  tls_timeout: soon\n", 3, "tls_timeout"),
    "bad address": ("listen:\n  proxy: [\"127.0.0.1\"]\n", 2, "listen.proxy"),
    "bad port": ("listen:\n  proxy: [\"127.0.0.1:99999\"]\n", 2, "listen.proxy"),
    "bad range": ("access:\n  clients: [\"300.0.0.0/8\"]\n", 2, "access.clients"),
    "bad switch": ("headers:\n  via: perhaps\n", 2, "headers.via"),
    "a list where a map should be": ("node: a\ncache: [1]\n", 2, "cache"),
    "a map where a word should be": ("node: {a: b}\n", 1, "node"),
    "the same key twice": ("node: a\nnode: b\n", 2, "node"),
    "broken YAML": ("node: a\ncache: {memory: \n", None, ""),
    "a tab": ("cache:\n\tmemory: 1\n", 2, ""),
    "a file that is missing": ("upstream:\n  ca_file: /no/such/file.pem\n", 2, "/no/such/file.pem"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_check_config_names_file_line_and_what_was_meant(tmp_path, fault):
    text, line, word = FAULTS[fault]
    path = write(tmp_path, text)
    done = run_pmcached("--check-config", "-c", path)
    assert done.returncode not in (0, -11, -6) and done.returncode > 0
    assert re.search(rf"pmcache\.yaml:{line or '[0-9]+'}\b", done.stderr), done.stderr
    assert word in done.stderr


def test_all_faults_are_told_at_once(tmp_path):
    done = run_pmcached("--check-config", "-c", write(tmp_path, "nod: a\nloops: x\nchache: 1\n"))
    assert all(f"pmcache.yaml:{n}:" in done.stderr for n in (1, 2, 3)), done.stderr


def test_a_bad_file_stops_the_start(make):
    e = make.edge(start=False)
    e.write_config("node: edge1\nnonsense: 1\n")
    with pytest.raises(EdgeFailed) as failed:
        e.start()
    assert failed.value.code > 0 and "pmcache.yaml:2" in failed.value.stderr


def test_a_file_that_is_not_there(tmp_path):
    done = run_pmcached("--check-config", "-c", tmp_path / "none.yaml")
    assert done.returncode > 0 and "none.yaml" in done.stderr


def test_dump_config_reads_back_to_the_same(tmp_path, certs):
    path = write(tmp_path, "node: edge9\nloops: 3\nbump: {splice: [\"*.pinned.example\"], certificate: origin}\n"
                 "cache: {memory: {size: 123MB}, quick_abort: {min: 1KB, max: 2MB, percent: 50}}\n"
                 f"upstream: {{ca_file: \"{certs.root_file}\"}}\naccess: {{safe_ports: [80, \"1-100\"], deny_to: []}}\n")
    first = run_pmcached("--dump-config", "-c", path)
    assert first.returncode == 0, first.stderr
    for word in ("edge9", "*.pinned.example", "origin", "connect_timeout", certs.root_file):
        assert word in first.stdout
    second = run_pmcached("--dump-config", "-c", write(tmp_path, first.stdout))
    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout


def test_dump_config_shows_no_secret(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("user:hunter2\n")
    secret.chmod(0o600)
    path = write(tmp_path, f"upstream: {{proxy: \"http://proxy.example:3128\", proxy_credentials: \"file:{secret}\"}}\n")
    done = run_pmcached("--dump-config", "-c", path)
    assert done.returncode == 0 and "hunter2" not in done.stdout + done.stderr


def test_without_a_file_the_defaults_are_in_force(tmp_path):
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    done = run_pmcached("--dump-config", env=env)
    assert done.returncode == 0, done.stderr
    for word in ("127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:8082", "loopback", "sni"):
        assert word in done.stdout


@pytest.mark.parametrize("args", [["--no-such-option"], ["-c"], ["stray"]])
def test_a_command_line_that_is_wrong_is_refused(args):
    done = run_pmcached(*args)
    assert done.returncode > 0 and done.stderr


def test_help_and_version():
    for option in ("--help", "--version"):
        done = run_pmcached(option)
        assert done.returncode == 0 and done.stdout


def test_the_reference_is_what_docs_configuration_md_says():
    from lab.edge import ROOT
    done = run_pmcached("--config-reference")
    assert done.returncode == 0 and done.stdout == (ROOT / "docs/configuration.md").read_text()


# -- reload


def test_sighup_applies_a_change_without_dropping_a_connection(make, plain, origin):
    e = make.edge()
    gate = plain.gate()
    body = blob(500_000)
    plain.on("/slow", lambda req: Reply(body=[body[:250_000], gate, body[250_000:]], headers=STORED, framing="close"))
    plain.on("/x", Reply(body=b"x"))
    origin.on("/x", Reply(body=b"y"))
    idle, tunnel, busy = e.connect(), e.bumped(origin), e.connect()
    assert idle.get(plain.url("/x")).body == b"x" and tunnel.get("/x").body == b"y"
    busy.request("GET", plain.url("/slow"))
    r = busy.head()
    gate.await_waiting()
    e.overrides = {"access": {"hosts": ["plain.test", "origin.test"]}}
    e.write_config()
    e.reload()
    eventually("the new rule holds", lambda: e.get(f"http://other.test:{plain.port}/x").status == 403)
    assert idle.get(plain.url("/x")).body == b"x"
    assert tunnel.get("/x").body == b"y"
    gate.open()
    busy.body(r)
    assert r.body == body
    for c in (idle, tunnel, busy):
        c.close()


def test_sighup_with_a_fault_changes_nothing_and_says_so(make, plain):
    e = make.edge()
    plain.on("/x", Reply(body=b"x"))
    e.overrides = {"access": {"hosts": ["nobody.test"]}, "limits": {"request_hedder": "1KB"}}
    e.write_config()
    e.reload()
    e.said(r"pmcache\.yaml:\d+.*request_hedder.*request_header")
    assert e.get(plain.url("/x")).body == b"x"
    e.overrides = {"access": {"hosts": ["nobody.test"]}}
    e.write_config()
    e.reload()
    eventually("the good file holds", lambda: e.get(plain.url("/x")).status == 403)


def test_sighup_names_what_waits_for_a_restart(make):
    e = make.edge()
    e.overrides = {"loops": 3}
    e.write_config()
    e.reload()
    e.said("loops.*restart|restart.*loops")


def test_pmcachectl_reload_says_what_came_of_it(make, plain):
    e = make.edge()
    plain.on("/x", Reply(body=b"x"))
    e.overrides = {"access": {"hosts": ["nobody.test"]}, "limits": {"request_hedder": "1KB"}}
    e.write_config()
    done = e.ctl("reload", check=False)  # it reads the file itself, to find the daemon
    assert done.returncode == 1 and "request_hedder" in done.stderr and "stays in force" in done.stderr
    by_state = ["--state", str(e.state), "reload"]
    done = subprocess.run([PMCACHECTL, *by_state], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and not done.stdout
    assert re.search(r"pmcache\.yaml:\d+.*request_hedder.*request_header", done.stderr)
    assert "stays in force" in done.stderr
    said = subprocess.run([PMCACHECTL, "--json", *by_state], capture_output=True, text=True, check=False)
    assert said.returncode == 1
    said = json.loads(said.stdout)
    assert said["in_force"] is False and len(said["faults"]) == 1 and said["waits_for_restart"] == []
    assert e.get(plain.url("/x")).body == b"x"
    e.overrides = {"access": {"hosts": ["nobody.test"]}, "loops": 3}
    e.write_config()
    with concurrent.futures.ThreadPoolExecutor(4) as many:
        for done in many.map(lambda _: e.ctl("reload"), range(8)):
            assert "in force" in done.stdout and re.search("after a restart: loops$", done.stdout, re.M)
    eventually("the new rule holds", lambda: e.get(plain.url("/x")).status == 403)
    assert json.loads(e.ctl("reload", "--json").stdout) == \
        {"in_force": True, "faults": [], "waits_for_restart": ["loops"]}


def test_the_cache_survives_a_reload(make, plain):
    e = make.edge()
    plain.on("/x", Reply(body=b"x", headers=STORED))
    e.get(plain.url("/x"))
    e.overrides = {"access": {"hosts": ["plain.test"]}}
    e.write_config()
    e.reload()
    eventually("reloaded", lambda: e.get(f"http://other.test:{plain.port}/x").status == 403)
    assert e.get(plain.url("/x")).x_cache == "HIT"


def test_reload_under_load_loses_no_request(make, plain):
    e = make.edge()
    plain.on("/x", Reply(body=b"x", headers=STORED))
    stop, faults = threading.Event(), []

    def work():
        while not stop.is_set():
            try:
                if e.get(plain.url("/x")).body != b"x":
                    faults.append("wrong body")
            except Exception as fault:
                faults.append(fault)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for n in range(20):
        e.overrides = {"limits": {"connections": 1000 + n}}
        e.write_config()
        e.reload()
        assert e.get(plain.url("/x")).body == b"x"
    stop.set()
    for t in threads:
        t.join(10)
    assert not faults and e.running


# -- the end


def test_sigterm_drains_what_is_under_way_and_takes_nothing_new(make, plain, origin):
    e = make.edge()
    gate = plain.gate()
    body = blob(500_000)
    plain.on("/slow", lambda req: Reply(body=[body[:250_000], gate, body[250_000:]], headers=STORED, framing="close"))
    c = e.connect()
    c.request("GET", plain.url("/slow"))
    r = c.head()
    gate.await_waiting()
    e.signal(signal.SIGTERM)

    def closed():
        try:
            connect("127.0.0.1", e.bump_port).close()
            return False
        except OSError:
            return True
    eventually("nobody listens", closed)
    assert e.running
    gate.open()
    c.body(r)
    assert r.body == body and not r.cut
    c.close()
    assert e.process.wait(10) == 0


def test_sigterm_closes_idle_connections_and_ends_at_once(make, plain, origin):
    e = make.edge()
    plain.on("/x", Reply(body=b"x"))
    origin.on("/x", Reply(body=b"x"))
    idle, tunnel, fresh = e.connect(), e.bumped(origin), e.connect()
    idle.get(plain.url("/x"))
    tunnel.get("/x")
    e.signal(signal.SIGTERM)
    assert e.process.wait(5) == 0
    assert idle.ended() and fresh.ended()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_two_signals_end_it_for_certain(make, plain, number):
    e = make.edge()
    gate = plain.gate()
    plain.on("/slow", lambda req: (gate.wait(), Reply())[1])
    c = e.connect()
    c.request("GET", plain.url("/slow"))
    gate.await_waiting()
    e.signal(number)
    eventually("the first signal is taken", lambda: "draining" in e.stderr_text)
    e.signal(number)
    try:
        assert e.process.wait(10) is not None
    except subprocess.TimeoutExpired:
        pytest.fail("a client that waits for ever must not keep the daemon alive after a second signal")
    e.process = None
    c.close()


def test_a_killed_daemon_starts_again(make, plain):
    e = make.edge()
    plain.on("/x", Reply(body=b"x"))
    e.kill()
    e.start()
    assert e.get(plain.url("/x")).body == b"x"


def test_the_state_folder_and_its_secrets_are_for_the_owner_only(make):
    e = make.edge()
    assert e.state.stat().st_mode & 0o022 == 0
    assert (e.state / "ca.key").stat().st_mode & 0o777 == 0o600
    assert (e.state / "control.sock").stat().st_mode & 0o007 == 0
    limits = open(f"/proc/{e.pid}/limits").read()
    assert re.search(r"Max core file size\s+0\s", limits), limits


def test_the_binary_is_position_independent_and_has_no_writable_code():
    out = subprocess.run(["readelf", "-lW", str(PMCACHED)], capture_output=True, text=True).stdout
    assert "DYN" in out and not re.search(r"LOAD.*RWE", out)
