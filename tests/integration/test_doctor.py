"""The name that a node answers itself, and `pmcachectl doctor`, which has every package manager fetch something under it.

run-tests: not for threads
"""

import base64
import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from lab import Reply

HOST = "doctor.pmcache.invalid"


def about(edge, **more):
    return json.loads(edge.get(f"https://{HOST}/about", **more).body)


# -- the name


def test_the_node_answers_its_own_name_over_tls_and_plain(edge):
    stats = json.loads(edge.ctl("stats", "--json").stdout)
    for scheme in ("https", "http"):
        said = json.loads(edge.get(f"{scheme}://{HOST}/about").body)
        assert said == {"node": "edge1", "boot": stats["boot"], "bump": True}
    r = edge.get(f"https://{HOST}/object")
    assert r.status == 200 and r.body == b"pmcache-doctor was here\n" and r.headers.get("Cache-Control") == "no-store"
    r = edge.ask("HEAD", f"https://{HOST}/object")
    assert r.status == 200 and r.body == b""
    assert edge.get(f"https://{HOST}/elsewhere").status == 404
    assert edge.ask("POST", f"https://{HOST}/object", body=b"x").status == 501


def test_the_package_of_npm_is_what_its_index_promises(edge):
    version = json.loads(edge.get(f"https://{HOST}/npm/pmcache-doctor").body)["versions"]["1.0.0"]
    archive = edge.get(version["dist"]["tarball"]).body
    assert version["dist"]["integrity"] == "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert json.load(tar.extractfile("package/package.json")) == {"name": "pmcache-doctor", "version": "1.0.0"}


def test_no_rule_keeps_it_from_being_bumped_and_answered(make):
    e = make.edge({"access": {"hosts": ["only.test"], "connect_ports": [8443], "safe_ports": [8443]}, "cache": {"offline": True},
                   "bump": {"only": ["only.test"], "splice": ["*"], "certificate": "origin"}})
    assert about(e)["bump"]


def test_it_is_neither_hit_nor_miss_nor_sent_on(edge):
    before = json.loads(edge.ctl("stats", "--json").stdout)
    for path in ("/object", "/nothing"):
        edge.get(f"https://{HOST}{path}")
    after = json.loads(edge.ctl("stats", "--json").stdout)
    grown = {k: v - before["counters"][k] for k, v in after["counters"].items() if v != before["counters"][k]}
    assert grown["bypasses_total"] == 2 and "errors_total" not in grown
    assert not [k for k in grown if k.startswith(("upstream", "misses", "hits"))], grown
    assert edge.log(f"{HOST}/object")[-1].hier == "HIER_NONE"


def test_at_the_plain_port_its_tunnel_is_refused_with_the_reason(edge):
    with edge.connect("proxy") as c:
        c.request("CONNECT", f"{HOST}:443", [("Host", f"{HOST}:443")], host=False)
        r = c.response()
    assert r.status == 403 and b"listen.bump" in r.body
    assert json.loads(edge.get(f"http://{HOST}/about", door="proxy").body)["bump"] is False


def test_clients_that_may_not_ask_get_nothing_under_it_either(make):
    e = make.edge({"access": {"clients": ["192.0.2.0/24"]}})
    assert e.get(f"http://{HOST}/about").status == 403


@pytest.mark.parametrize("ca", [["--permit-dns", "only.test"]])
def test_a_ca_that_may_not_sign_for_it_refuses(make, ca):
    e = make.edge(start=False)
    e.ctl("ca", "init", *ca)
    e.start()
    with e.connect("bump") as c:
        c.request("CONNECT", f"{HOST}:443", [("Host", f"{HOST}:443")], host=False)
        assert c.response().status == 403


# -- pmcachectl doctor


@pytest.fixture
def shell(tmp_path, have):
    """A caller with an empty home, curl and git alone in its PATH, and no variable that matters."""
    have("curl", "git")
    programs, home, tmp = tmp_path / "programs", tmp_path / "home", tmp_path / "tmp"
    for folder in (programs, home, tmp):
        folder.mkdir()
    for name in ("curl", "git", "sh"):
        (programs / name).symlink_to(shutil.which(name))
    return {"PATH": str(programs), "HOME": str(home), "TMPDIR": str(tmp), "GIT_CONFIG_NOSYSTEM": "1"}


def examine(edge, env, *args):
    done = edge.ctl("doctor", "--json", *args, env=env, check=False)
    said = json.loads(done.stdout)
    for word in ("ok", "skip", "warn", "fail"):
        assert said[word] == sum(c["verdict"] == word for c in said["checks"])
    return done.returncode, {f"{c['group']}/{c['name']}": c for c in said["checks"]}


def test_a_caller_who_is_set_up_is_well(edge, shell, origin, tmp_path):
    origin.on("/", Reply(body=b"x"))
    (tmp_path / "apt.conf").write_text(edge.ctl("env", "--files=apt").stdout)  # found by its path, if it is there
    code, checks = examine(edge, {**shell, **edge.env(), "APT_CONFIG": str(tmp_path / "apt.conf")}, "--upstream", origin.url("/"))
    assert {k: c["what"] for k, c in checks.items() if c["verdict"] == "fail"} == {} and code == 0
    for name in ("node/daemon", f"node/127.0.0.1:{edge.bump_port}", f"node/[::1]:{edge.proxy_port}", "node/CA", "node/origin origin.test",
                 "environment/http_proxy, HTTP_PROXY", "environment/CA variables", "clients/curl", "clients/git"):
        assert checks[name]["verdict"] == "ok" and checks[name]["fix"] is None, name
    assert "npm" in checks["clients/not installed"]["what"]
    assert not list(Path(shell["TMPDIR"]).iterdir()) and not list(Path(shell["HOME"]).iterdir()), "nothing is left behind"


def test_who_does_not_trust_us_or_goes_past_us_is_told_what_to_do(edge, shell):
    proxies = {k: v for k, v in edge.env().items() if k.lower() in ("http_proxy", "https_proxy")}
    code, checks = examine(edge, {**shell, **proxies}, "--client", "curl")
    curl = checks["clients/curl"]
    assert code == 1 and curl["verdict"] == "fail" and "does not trust" in curl["what"] and "pmcachectl env" in curl["fix"]
    assert "clients/git" not in checks
    code, checks = examine(edge, shell, "--client", "git")
    assert code == 1 and "goes past" in checks["clients/git"]["what"] and "clients/curl" not in checks


def test_faults_of_the_environment_are_named_each_with_a_fix(edge, shell, tmp_path):
    (tmp_path / "other.pem").write_text("another CA")
    env = {**shell, **edge.env(), "http_proxy": ".", "HTTP_PROXY": ".", "https_proxy": f"https://localhost:{edge.bump_port}",
           "NO_PROXY": "localhost,*", "REQUESTS_CA_BUNDLE": str(tmp_path / "other.pem"), "PIP_CERT": "/nowhere",
           "npm_config_https_proxy": f"127.0.0.1:{edge.bump_port}", "NODE_TLS_REJECT_UNAUTHORIZED": "0"}
    code, checks = examine(edge, env)
    assert code == 1
    for name, word in (("http_proxy, HTTP_PROXY", 'named "."'), ("https_proxy, HTTPS_PROXY", "https://"), ("NO_PROXY", "every host"),
                       ("REQUESTS_CA_BUNDLE", "does not hold our CA"), ("PIP_CERT", "cannot be read"),
                       ("npm_config_https_proxy", "no http://"), ("NODE_TLS_REJECT_UNAUTHORIZED", "switches off")):
        c = checks[f"environment/{name}"]
        assert c["verdict"] in ("warn", "fail") and word in c["what"] and c["fix"], c
    del env["https_proxy"], env["HTTPS_PROXY"]
    env.update(http_proxy=f"http://127.0.0.1:{edge.proxy_port}")
    del env["HTTP_PROXY"]
    _, checks = examine(edge, env)
    assert "not set" in checks["environment/https_proxy"]["what"] and "not set" in checks["environment/HTTP_PROXY"]["what"]
    assert "does not bump" in checks["environment/http_proxy"]["what"]


def test_settings_in_files_that_shadow_ours_are_found(edge, shell, tmp_path):
    home = Path(shell["HOME"])
    (tmp_path / "other.pem").write_text("another CA")
    (home / ".npmrc").write_text(f"cafile = {tmp_path / 'other.pem'}\nhttps-proxy=http://elsewhere.test:3128\nproxy=null\n")
    (home / ".config/pip").mkdir(parents=True)
    (home / ".config/pip/pip.conf").write_text("[global]\ncert = /nowhere\n")
    (home / ".gitconfig").write_text('[http "https://a.test/"]\n\tproxy = .\n[http]\n\tsslVerify = false\n')
    (home / ".gemrc").write_text(f":ssl_ca_cert: \"{edge.env()['SSL_CERT_FILE']}\"\n")
    env = {**shell, **edge.env()}
    del env["npm_config_cafile"]
    done = edge.ctl("doctor", "--json", env=env, check=False)
    assert done.returncode == 1
    checks = {c["name"]: c for c in json.loads(done.stdout)["checks"]
              if c["group"] == "files" and not c["what"].startswith(("/etc/", "/usr/"))}  # those of the machine
    for name, verdict, word in (("npm cafile", "fail", ".npmrc"), ("npm https-proxy", "warn", "elsewhere"),
                                ("pip cert", "skip", "since PIP_CERT is set"), ("git proxy", "fail", "http.https://a.test/.proxy"),
                                ("git sslverify", "warn", "switches off"), ("gem ssl_ca_cert", "ok", "holds our CA")):
        c = checks[name]
        assert c["verdict"] == verdict and word in c["what"], c
    assert "npm proxy" not in checks


def test_with_the_daemon_down_it_says_so_and_looks_at_the_rest(make, shell):
    e = make.edge()
    env = {**shell, **e.env()}
    e.stop()
    code, checks = examine(e, env)
    assert code == 3
    assert checks["node/daemon"]["verdict"] == checks[f"node/127.0.0.1:{e.bump_port}"]["verdict"] == "fail"
    assert checks["node/CA"]["verdict"] == "ok" and checks["environment/http_proxy, HTTP_PROXY"]["verdict"] == "ok"
    assert checks["clients/trust"]["verdict"] == "skip"


def test_a_stranger_at_our_port_and_another_daemon_there_are_told_apart(make, plain, shell):
    e, other = make.edge(), make.edge({"node": "other"})
    for port, word in ((plain.port, "is not pmcached's"), (other.bump_port, "another pmcached's, other")):
        conf = e.folder / "elsewhere.yaml"
        conf.write_text(e.config_file.read_text().replace(f"127.0.0.1:{e.bump_port}", f"127.0.0.1:{port}"))
        done = e.ctl("-c", str(conf), "doctor", "--client", "curl", env=shell, check=False)
        assert done.returncode in (1, 3) and word in done.stdout, done.stdout


def test_an_origin_that_cannot_be_reached_is_told_with_the_reason(edge, shell, make, certs):
    bad = make.origin(pair=certs.kind("expired"))
    _, checks = examine(edge, {**shell, **edge.env()}, "--client", "curl", "--upstream", bad.url("/"))
    assert checks["node/origin origin.test"]["what"].startswith("cert-") and checks["node/origin origin.test"]["fix"]


def test_strict_counts_warnings_and_people_get_a_table(edge, shell):
    done = edge.ctl("doctor", "--strict", env={**shell, **edge.env(), "NODE_TLS_REJECT_UNAUTHORIZED": "0"}, check=False)
    assert done.returncode == 1 and "\x1b" not in done.stdout
    assert "\nclients\n" in done.stdout and "-> unset NODE_TLS_REJECT_UNAUTHORIZED" in done.stdout
    assert "failure" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("args", [["--client", "nobody"], ["--upstream", "registry.test"], ["--host", "a b"], ["extra"]])
def test_wrong_use_is_told(edge, args):
    done = edge.ctl("doctor", *args, check=False)
    assert done.returncode == 2 and done.stderr and not done.stdout
