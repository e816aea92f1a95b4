"""pmcachectl: env, exec, stats, purge, ca; for people and as JSON.

run-tests: not for threads
"""

import json
import os
import re
import stat
import subprocess

import pytest

from lab import Reply
from lab.edge import PMCACHECTL, parse_env

STORED = [("Cache-Control", "max-age=60")]

PROXIES = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "YARN_HTTP_PROXY", "YARN_HTTPS_PROXY"]
BUNDLES = ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO",
           "BUNDLE_SSL_CA_CERT", "COMPOSER_CAFILE", "npm_config_cafile"]


def test_env_sets_one_form_of_the_proxys_url_for_all(edge):
    env = edge.env()
    for name in PROXIES:
        assert env[name] == f"http://127.0.0.1:{edge.bump_port}", name
    assert "all_proxy" not in env and "ALL_PROXY" not in env
    assert env["no_proxy"] == env["NO_PROXY"] and "localhost" in env["no_proxy"]


def test_env_names_a_bundle_with_the_system_roots_and_our_ca(edge):
    env = edge.env()
    ours = open(edge.ca_file).read().strip()
    for name in BUNDLES:
        text = open(env[name]).read()
        assert ours.splitlines()[1] in text, name
        assert text.count("BEGIN CERTIFICATE") > 50, "the system's roots are missing"
    alone = open(env["NODE_EXTRA_CA_CERTS"]).read()
    assert alone.count("BEGIN CERTIFICATE") == 1 and ours.splitlines()[1] in alone


def test_the_bundle_keeps_site_roots_of_the_environment_out_of_question(edge):
    """It is a file that everyone can read and nobody else can write."""
    mode = os.stat(edge.env()["SSL_CERT_FILE"]).st_mode
    assert stat.S_IMODE(mode) == 0o644


def test_the_java_options_name_a_store_that_exists(edge):
    assert "JAVA_TOOL_OPTIONS" not in edge.env(), "only when asked for: every JVM prints a line about it"
    options = parse_env(edge.ctl("env", "--java").stdout)["JAVA_TOOL_OPTIONS"]
    m = re.search(r"-Djavax\.net\.ssl\.trustStore='?([^' ]+)", options)
    assert m and os.path.exists(m.group(1))
    assert f"-Dhttps.proxyPort={edge.bump_port}" in options and "-Dhttp.proxyHost=127.0.0.1" in options


def test_env_is_good_for_eval_in_sh_and_unset_undoes_it(edge):
    text = edge.ctl("env").stdout
    undo = edge.ctl("env", "--unset").stdout
    assert "=." not in undo
    names = set(parse_env(text))
    assert set(parse_env(text + "\n" + undo)) == set()
    for name in names:
        assert re.search(rf"\bunset\b.*\b{name}\b", undo), name
    assert all(line.startswith(("export ", "#")) or not line for line in text.splitlines()), "exported, not only set"


def test_env_as_json(edge):
    assert json.loads(edge.ctl("env", "--json").stdout)["https_proxy"] == f"http://127.0.0.1:{edge.bump_port}"


def test_exec_runs_a_program_under_the_environment_and_gives_its_code(edge):
    done = edge.ctl("exec", "--", "sh", "-c", "echo $https_proxy; exit 7", check=False)
    assert done.returncode == 7 and done.stdout == f"http://127.0.0.1:{edge.bump_port}\n"


def test_exec_passes_input_and_arguments_untouched(edge):
    done = edge.ctl("exec", "--", "sh", "-c", 'cat; printf "%s|" "$@"', "sh", "a b", "--json", "*", input="in")
    assert done.stdout == "ina b|--json|*|"


def test_exec_of_a_program_that_does_not_exist(edge):
    done = edge.ctl("exec", "--", "no-such-program", check=False)
    assert done.returncode == 127 and "no-such-program" in done.stderr


def test_exec_replaces_what_the_environment_already_says(edge):
    env = dict(os.environ, https_proxy="http://elsewhere.test:1", REQUESTS_CA_BUNDLE="/nowhere")
    done = edge.ctl("exec", "--", "env", env=env)
    assert f"https_proxy=http://127.0.0.1:{edge.bump_port}\n" in done.stdout and "elsewhere" not in done.stdout
    assert "/nowhere" not in done.stdout


def find(value, pattern):
    """All numbers below keys that fit, anywhere in a JSON document."""
    if isinstance(value, dict):
        for k, v in value.items():
            if re.search(pattern, k) and isinstance(v, (int, float)):
                yield v
            yield from find(v, pattern)
    elif isinstance(value, list):
        for v in value:
            yield from find(v, pattern)


def test_stats_count_requests_and_hits(edge, plain):
    plain.on("/o", Reply(body=b"x", headers=STORED))
    before = json.loads(edge.ctl("stats", "--json").stdout)
    for _ in range(5):
        edge.get(plain.url("/o"))
    edge.log(plain.url("/o"), 5)
    after = json.loads(edge.ctl("stats", "--json").stdout)

    def grown(pattern):
        return sum(find(after, pattern)) - sum(find(before, pattern))
    assert grown(r"^requests_total$") == 5
    assert grown(r"^hits_memory_total$") == 4
    assert grown(r"^upstream_requests_total$") == 1
    text = edge.ctl("stats").stdout
    assert re.search(r"hit", text, re.I) and len(text.splitlines()) > 3


def test_stats_since_a_time(edge, plain):
    plain.on("/since", Reply(body=b"x", headers=STORED))
    edge.get(plain.url("/since"))
    edge.log(plain.url("/since"), 1)
    done = edge.ctl("stats", "--since", "2h", "--json")
    said, whole = json.loads(done.stdout), json.loads(edge.ctl("stats", "--json").stdout)
    assert said["limited_by"] == "start" and said["asked"] < said["since"] <= said["time"] and said["span_s"] < 7200
    assert abs(said["span_s"] - whole["uptime_s"]) <= 2
    assert said["counters"]["requests_total"] == whole["counters"]["requests_total"] >= 1
    assert said["tally"] == whole["tally"] and said["hit_ratio"] == whole["hit_ratio"]
    assert set(whole["counters"]) - set(said["counters"]) == {n for n in whole["counters"] if not n.endswith("_total")}
    done = edge.ctl("stats", "--since", "2h")
    assert re.search(r"^requests_total +\d+$", done.stdout, re.M) and "the daemon started then" in done.stderr
    assert edge.ctl("stats", "--since", "soon", check=False).returncode == 2
    done = edge.ctl("stats", "--since", "2099-01-01", check=False)
    assert done.returncode == 1 and "still to come" in done.stderr


def test_purge_by_url(edge, plain, origin):
    for o in (plain, origin):
        o.on("/o", Reply(body=b"x", headers=STORED))
        edge.get(o.url("/o"))
        assert edge.get(o.url("/o")).x_cache == "HIT"
        edge.ctl("purge", o.url("/o"))
        assert edge.get(o.url("/o")).x_cache == "MISS"


def test_purge_as_json_says_how_many(edge, plain):
    plain.on("/o", Reply(body=b"x", headers=STORED))
    edge.get(plain.url("/o"))
    assert list(find(json.loads(edge.ctl("purge", "--json", plain.url("/o")).stdout), ".")) == [1]


def test_purge_takes_only_urls(edge):
    done = edge.ctl("purge", "not a url", check=False)
    assert done.returncode > 0 and done.stderr


def test_ca_show_and_export(edge, tmp_path):
    text = edge.ctl("ca", "show").stdout
    fingerprint = subprocess.run(["openssl", "x509", "-in", edge.ca_file, "-noout", "-fingerprint", "-sha256"],
                                 capture_output=True, text=True).stdout.split("=")[1].strip()
    assert fingerprint.replace(":", "").lower() in text.replace(":", "").lower()
    json.loads(edge.ctl("ca", "show", "--json").stdout)
    pem = edge.ctl("ca", "export", "--format", "pem").stdout
    assert pem.strip() == open(edge.ca_file).read().strip()
    for form, check in (("der", ["openssl", "x509", "-inform", "DER", "-noout"]),
                        ("p12", ["openssl", "pkcs12", "-nokeys", "-passin", "pass:changeit"])):
        out = subprocess.run([PMCACHECTL, "-c", edge.config_file, "ca", "export", "--format", form], capture_output=True)
        assert out.returncode == 0 and out.stdout
        assert subprocess.run(check, input=out.stdout, capture_output=True).returncode == 0, form
    assert "PRIVATE" not in pem + text


def test_ca_init_makes_a_ca_before_the_first_start_and_never_overwrites_one(make):
    e = make.edge(start=False)
    e.ctl("ca", "init", "--permit-dns", "origin.test")
    made = open(e.ca_file).read()
    text = subprocess.run(["openssl", "x509", "-in", e.ca_file, "-noout", "-text"], capture_output=True, text=True).stdout
    assert "Name Constraints" in text and "DNS:origin.test" in text
    assert e.ctl("ca", "init", check=False).returncode > 0
    e.start()
    assert open(e.ca_file).read() == made


def test_what_needs_the_daemon_says_so_when_it_does_not_run(make):
    e = make.edge()
    e.stop()
    done = e.ctl("stats", check=False)
    assert done.returncode > 0 and "control.sock" in done.stderr
    done = e.ctl("ca", "show")
    assert done.stdout


@pytest.mark.parametrize("args", [[], ["no-such-command"], ["stats", "--no-such-option"], ["purge"], ["exec"],
                                  ["ca", "export", "--format", "jpeg"]])
def test_wrong_use_is_told(edge, args):
    done = edge.ctl(*args, check=False)
    assert done.returncode > 0 and done.stderr


def test_help_lists_the_commands(edge):
    text = edge.ctl("--help").stdout
    assert all(word in text for word in ("env", "exec", "stats", "purge", "ca"))


def test_help_behind_a_command_is_of_that_command(edge):
    whole = edge.ctl("--help").stdout
    for args in (["stats", "--help"], ["purge", "--soft", "-h"], ["exec", "--help"], ["--json", "ca", "show", "--help"]):
        text = edge.ctl(*args).stdout
        command = next(word for word in args if not word.startswith("-"))
        assert f"  {command} " in text or f"  {command}\n" in text
        assert len(text) < len(whole) / 2 and set(text.splitlines()) <= set(whole.splitlines())
    assert edge.ctl("exec", "--", "printf", "%s", "--help").stdout == "--help"
    assert edge.ctl("no-such-command", "--help", check=False).returncode == 2


def test_rotate_says_that_the_file_is_open_or_why_not(edge, plain):
    plain.on("/before", Reply(body=b"x"))
    plain.on("/after", Reply(body=b"x"))
    edge.get(plain.url("/before"))
    edge.log(plain.url("/before"), 1)
    now, old = edge.access_log, edge.access_log.with_name(edge.access_log.name + ".0")
    assert json.loads(edge.ctl("rotate", "--json").stdout) == {"file": str(now)}
    assert plain.url("/before") in old.read_text() and now.read_text() == ""
    last, in_the_way = (now.with_name(f"{now.name}.{i}") for i in (3, 4))
    last.touch()
    in_the_way.mkdir()
    done = edge.ctl("rotate", check=False)
    in_the_way.rmdir()
    assert done.returncode == 1 and f"rotating {now}: Is a directory" in done.stderr
    edge.get(plain.url("/after"))
    edge.log(plain.url("/after"), 1)


def test_nobody_but_the_owner_may_use_the_control_socket(edge):
    assert (edge.state / "control.sock").stat().st_mode & 0o007 == 0


@pytest.mark.parametrize("said", [b"", b"\x00" * 100, b"GET / HTTP/1.0\r\n\r\n", b"{", b"A" * 2_000_000],
                         ids=["nothing", "zeros", "http", "json", "without end"])
def test_nonsense_on_the_control_socket_harms_nothing(edge, said):
    import socket
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(edge.state / "control.sock"))
        try:
            s.sendall(said)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        except OSError:
            pass
    edge.ctl("stats")
