"""Real programs against registries on loopback, set up by `pmcachectl env` alone: first run MISS, second run, its own
cache wiped and the origin shut down, HIT.

run-tests: plain build
"""

import json
import os
import shutil
import subprocess

import pytest

from lab import Reply, blob
from lab.edge import PMCACHECTL, parse_env
from lab.registries import BAD, GOOD, Gems, Npm, PyPI

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MANNERS = {"good": GOOD, **BAD}


class Job:
    """A shell of a CI job: an empty home, and from the edge nothing but what `pmcachectl env` prints."""

    def __init__(self, edge, folder):
        self.edge, self.folder, self.n = edge, folder, 0
        self.vars = edge.env()
        self.fresh()

    def fresh(self):
        """A new machine: no cache, no settings."""
        self.n += 1
        self.home = self.folder / f"home{self.n}"
        self.home.mkdir()

    def run(self, *argv, check=True, **more):
        env = {"PATH": PATH, "HOME": str(self.home), "LANG": "C.UTF-8", **self.vars, **more}
        done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=120, env=env, cwd=self.home,
                              stdin=subprocess.DEVNULL)
        if check:
            assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}\n--- edge\n{self.edge.stderr_text[-3000:]}" \
                "\n--- log\n" + "\n".join(self.edge.log_texts()[-20:])
        return done


@pytest.fixture
def job(edge, tmp_path):
    return Job(edge, tmp_path)


def results(edge, match, n=1):
    return [line.result for line in edge.log(match, n)]


# -- curl


@pytest.fixture
def curl(job, have):
    have("curl")

    def run(*args, **more):
        return job.run("curl", "-sS", "--max-time", "30", *args, **more)
    return run


def test_curl_miss_then_hit_over_http_and_https(edge, curl, origin, plain):
    for o in (origin, plain):
        o.on("/f", Reply(body=b"body\n", headers=[("Cache-Control", "max-age=60")]))
        assert "X-Cache: MISS from edge1" in curl("-i", o.url("/f")).stdout
        o.shutdown()
        out = curl("-i", o.url("/f")).stdout
        assert "X-Cache: HIT from edge1" in out and out.endswith("body\n")


def test_curl_with_an_https_proxy_url(edge, curl, origin, plain):
    """The gotcha of 2015: a proxy given as https://."""
    for o in (origin, plain):
        o.on("/f", Reply(body=b"body\n", headers=[("Cache-Control", "max-age=60")]))
        out = curl("-i", "--proxy", f"https://localhost:{edge.bump_port}", "--proxy-cacert", edge.ca_file, o.url("/f")).stdout
        assert out.endswith("body\n")
        assert "X-Cache: HIT" in curl("-i", o.url("/f")).stdout


def test_curl_follows_a_redirect_to_another_host(edge, curl, make):
    a, b = make.origin(name="origin.test"), make.origin(name="moved.test")
    a.on("/f", Reply(302, [("Location", b.url("/g")), ("Cache-Control", "max-age=60")], reason="Found"))
    b.on("/g", Reply(body=b"there\n", headers=[("Cache-Control", "max-age=60")]))
    assert curl("-L", a.url("/f")).stdout == "there\n"
    a.shutdown()
    b.shutdown()
    assert curl("-L", a.url("/f")).stdout == "there\n"


def test_curl_offers_h2_and_gets_http_1_1(curl, origin):
    origin.on("/f", Reply(body=b"x"))
    assert curl("--http2", "-w", "%{http_version}", origin.url("/f")).stdout == "x1.1"


def test_curl_uploads_with_expect_100_continue(curl, origin, tmp_path):
    origin.on("/up", lambda req: Reply(body=b"%d" % len(req.body)))
    (tmp_path / "big").write_bytes(blob(3_000_000))
    assert curl("--data-binary", f"@{tmp_path / 'big'}", origin.url("/up")).stdout == "3000000"
    assert curl("-T", tmp_path / "big", origin.url("/up")).stdout == "3000000"
    assert curl("-H", "Transfer-Encoding: chunked", "-T", tmp_path / "big", origin.url("/up")).stdout == "3000000"


def test_curl_resumes_from_the_cache(curl, origin, tmp_path):
    origin.on("/f", Reply(body=blob(300_000), headers=[("Cache-Control", "max-age=60"), ("ETag", '"1"')]))
    curl("-o", "/dev/null", origin.url("/f"))
    origin.shutdown()
    part = tmp_path / "part"
    part.write_bytes(blob(300_000)[:123_456])
    curl("-C", "-", "-o", part, origin.url("/f"))
    assert part.read_bytes() == blob(300_000)


def test_curl_reads_the_reason_of_a_bad_certificate(curl, make, certs):
    o = make.origin(pair=certs.kind("expired"))
    out = curl("-i", o.url("/f")).stdout
    assert " 502 " in out.splitlines()[0] or "502" in out
    assert "expired" in out


# -- wget


def test_wget_miss_then_hit(edge, job, origin, have):
    have("wget")
    origin.on("/f", Reply(body=b"body\n", headers=[("Cache-Control", "max-age=60")]))
    # wget of Debian reads its CA from its own option only (GnuTLS), so this one gets it by hand.
    argv = ["wget", "-q", "-O", "-", f"--ca-certificate={job.vars['SSL_CERT_FILE']}", origin.url("/f")]
    assert job.run(*argv).stdout == "body\n"
    origin.shutdown()
    assert job.run(*argv).stdout == "body\n"


# -- npm


def npm_install(job, registry, *packages):
    job.fresh()
    (job.home / "package.json").write_text('{"name": "job", "version": "1.0.0", "private": true}')
    job.run("npm", "install", "--no-audit", "--no-fund", "--fetch-retries=0", *packages,
            npm_config_registry=registry.url("/"), npm_config_update_notifier="false", npm_config_loglevel="http")
    return job.home / "node_modules"


@pytest.mark.parametrize("manners", MANNERS)
def test_npm_installs_twice_the_second_time_without_its_registry(edge, job, make, have, manners):
    have("npm")
    registry = make.origin(name="registry.test")
    npm = Npm(registry, {"left-pad-test": {"1.0.0": {}}, "@scope/deep-test": {"2.1.0": {"left-pad-test": "^1.0.0"}}},
              MANNERS[manners])
    modules = npm_install(job, registry, "@scope/deep-test")
    assert (modules / "left-pad-test/index.js").exists() and (modules / "@scope/deep-test/package.json").exists()
    assert results(edge, registry.url("/left-pad-test/-/")) == ["TCP_MISS"]
    asked = registry.count()
    registry.shutdown()
    modules = npm_install(job, registry, "@scope/deep-test")
    assert (modules / "left-pad-test/index.js").exists()
    assert registry.count() == asked
    assert results(edge, registry.url("/left-pad-test/-/"), 2) == ["TCP_MISS", "TCP_MEM_HIT"]
    assert npm.tarballs


def test_npm_with_tarballs_on_another_host(edge, job, make, have):
    have("npm")
    registry, files = make.origin(name="registry.test"), make.origin(name="files.test")
    Npm(registry, tarballs_at=files)
    npm_install(job, registry, "left-pad-test")
    registry.shutdown()
    files.shutdown()
    npm_install(job, registry, "left-pad-test")
    assert results(edge, files.url("/"), 2) == ["TCP_MISS", "TCP_MEM_HIT"]


def test_npm_with_a_redirect_to_another_host(edge, job, make, have):
    have("npm")
    registry, moved = make.origin(name="registry.test"), make.origin(name="moved.test")
    Npm(registry, redirect_to=moved)
    assert (npm_install(job, registry, "left-pad-test") / "left-pad-test/index.js").exists()
    assert (npm_install(job, registry, "left-pad-test") / "left-pad-test/index.js").exists()
    assert moved.count() == 1


def test_npm_audit_is_a_post_that_passes(job, make, have):
    have("npm")
    registry = make.origin(name="registry.test")
    Npm(registry)
    job.fresh()
    (job.home / "package.json").write_text('{"name": "job", "version": "1.0.0", "private": true}')
    out = job.run("npm", "install", "--no-fund", "left-pad-test", npm_config_registry=registry.url("/"),
                  npm_config_update_notifier="false")
    assert "found 0 vulnerabilities" in out.stdout
    post = registry.last("/-/npm/v1/security/advisories/bulk")
    assert post.method == "POST" and post.complete and post.body


def test_npm_learns_of_a_missing_package(job, make, have):
    have("npm")
    registry = make.origin(name="registry.test")
    job.fresh()
    done = job.run("npm", "view", "no-such-package", check=False, npm_config_registry=registry.url("/"))
    assert done.returncode != 0 and "E404" in done.stderr


def test_npm_detects_nothing_wrong_when_a_tarball_arrived_damaged_once(edge, job, make, have):
    """The first transfer breaks; npm's own retry gets the whole file, and nothing broken was kept."""
    have("npm")
    registry = make.origin(name="registry.test")
    npm = Npm(registry)
    path, tgz = next(iter(npm.tarballs.items()))
    serve = registry._routes[path]
    broken = []

    def once(req):
        if not broken:
            broken.append(1)
            return Reply(200, [], tgz[:-10] + b"0123456789")
        return serve(req)
    registry.on(path, once)
    job.fresh()
    (job.home / "package.json").write_text('{"name": "job", "version": "1.0.0", "private": true}')
    job.run("npm", "install", "--no-audit", "--no-fund", "--fetch-retries=2", "--fetch-retry-mintimeout=1",
            "--fetch-retry-maxtimeout=2", "left-pad-test", check=False, npm_config_registry=registry.url("/"),
            npm_config_update_notifier="false")
    modules = npm_install(job, registry, "left-pad-test")
    assert (modules / "left-pad-test/index.js").exists()


# -- pip


def pip_install(job, index, *more):
    job.fresh()
    job.run("/usr/bin/python3", "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check", "--target",
            job.home / "site", "--retries", "0", *more, "tiny-test", PIP_INDEX_URL=index.url("/simple/"))
    return job.home / "site"


@pytest.mark.parametrize("manners", MANNERS)
def test_pip_installs_twice_the_second_time_without_its_index_and_files(edge, job, make, have, manners):
    if subprocess.run(["/usr/bin/python3", "-m", "pip", "--version"], capture_output=True).returncode:
        pytest.skip("pip of Debian's Python is not installed (see tests/integration/README.md)")
    index, files = make.origin(name="index.test"), make.origin(name="files.test")
    pypi = PyPI(index, files, manners=MANNERS[manners])
    wheel = next(iter(pypi.wheels))
    assert (pip_install(job, index) / "tiny_test.py").exists()
    assert results(edge, files.url(wheel)) == ["TCP_MISS"]
    asked = files.count(wheel)
    index.shutdown()
    files.shutdown()
    assert (pip_install(job, index) / "tiny_test.py").exists()
    assert files.count(wheel) == asked == 1
    assert results(edge, files.url(wheel), 2)[-1] == "TCP_MEM_HIT"


# -- Bundler


def bundle_install(job, registry):
    job.fresh()
    (job.home / "Gemfile").write_text(f'source "{registry.url("/")}"\ngem "tinygem"\n')
    job.run("bundle", "install", "--retry", "0", BUNDLE_PATH=str(job.home / "vendor"))
    return list((job.home / "vendor").rglob("tinygem.rb"))


@pytest.mark.parametrize("manners", MANNERS)
def test_bundler_installs_twice_the_second_time_without_its_registry(edge, job, make, have, tmp_path, manners):
    """What failed in 2015."""
    have("bundle", "gem")
    registry = make.origin(name="gems.test")
    Gems(registry, tmp_path, manners=MANNERS[manners])
    assert bundle_install(job, registry)
    gem = registry.url("/gems/tinygem-1.0.gem")
    assert results(edge, gem) == ["TCP_MISS"]
    asked = registry.count()
    registry.shutdown()
    assert bundle_install(job, registry)
    assert registry.count() == asked
    assert results(edge, gem, 2) == ["TCP_MISS", "TCP_MEM_HIT"]


def test_bundler_with_gems_redirected_to_another_host(edge, job, make, have, tmp_path):
    have("bundle", "gem")
    registry, files = make.origin(name="gems.test"), make.origin(name="files.test")
    Gems(registry, tmp_path, redirect_to=files)
    assert bundle_install(job, registry)
    assert bundle_install(job, registry)
    assert files.count() == 1


def test_bundler_warm_rerun_with_if_none_match_and_range(edge, job, make, have, tmp_path):
    have("bundle", "gem")
    registry = make.origin(name="gems.test")
    Gems(registry, tmp_path)
    assert bundle_install(job, registry)
    shutil.rmtree(job.home / "vendor")
    os.remove(job.home / "Gemfile.lock")
    job.run("bundle", "install", "--retry", "0", BUNDLE_PATH=str(job.home / "vendor"))
    assert list((job.home / "vendor").rglob("tinygem.rb"))


# -- git


def test_git_clones_over_smart_http_through_the_bump(edge, job, make, have, tmp_path):
    have("git")
    source = tmp_path / "source"
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t.test", "-c", "init.defaultBranch=main"]
    subprocess.run([*git, "init", "-q", source], check=True)
    (source / "file").write_bytes(blob(200_000))
    subprocess.run([*git, "-C", source, "add", "."], check=True)
    subprocess.run([*git, "-C", source, "commit", "-qm", "x"], check=True)
    o = make.origin()

    def backend(req):
        env = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(tmp_path), "GIT_HTTP_EXPORT_ALL": "1",
               "REQUEST_METHOD": req.method, "PATH_INFO": req.path, "QUERY_STRING": req.query,
               "CONTENT_TYPE": req.headers.get("Content-Type") or "", "CONTENT_LENGTH": str(len(req.body)),
               "HTTP_CONTENT_ENCODING": req.headers.get("Content-Encoding") or "",
               "GIT_PROTOCOL": req.headers.get("Git-Protocol") or "", "HOME": str(tmp_path),
               "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
        out = subprocess.run(["git", "http-backend"], input=req.body, capture_output=True, env=env).stdout
        head, _, body = out.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n")]
        status = next((int(v[:3]) for n, v in headers if n == "Status"), 200)
        return Reply(status, [h for h in headers if h[0] != "Status"], body)
    o.on("/source/.git/info/refs", backend).on("/source/.git/git-upload-pack", backend)
    for n in range(2):
        job.run("git", "clone", "-q", o.url("/source/.git"), job.home / f"copy{n}")
        assert (job.home / f"copy{n}/file").read_bytes() == blob(200_000)
    assert o.count("/source/.git/info/refs") == 2, "never cached"


# -- all of them, tried by pmcachectl doctor


def test_doctor_finds_every_installed_package_manager_served(edge, job):
    (job.home / "wgetrc").write_text(edge.ctl("env", "--files=wget").stdout)
    (job.home / "apt.conf").write_text(edge.ctl("env", "--files=apt").stdout)
    java = parse_env(edge.ctl("env", "--java").stdout)["JAVA_TOOL_OPTIONS"]
    done = job.run(PMCACHECTL, "-c", edge.config_file, "doctor", "--json", check=False, WGETRC=str(job.home / "wgetrc"),
                   APT_CONFIG=str(job.home / "apt.conf"), JAVA_TOOL_OPTIONS=java)
    tried = [c for c in json.loads(done.stdout)["checks"] if c["group"] == "clients" and c["name"] != "not installed"]
    assert tried and [c for c in tried if c["verdict"] != "ok"] == []
    assert sorted(p.name for p in job.home.rglob("*")) == ["apt.conf", "wgetrc"], "nothing of the user's is touched"


@pytest.mark.parametrize("client", ["npm", "yarn", "pnpm", "uv"])
def test_doctor_tells_of_each_what_the_environment_lacks(edge, job, client):
    if not shutil.which(client, path=PATH):
        pytest.skip(f"{client} is not installed")

    def examine(variables):
        job.vars = variables
        done = job.run(PMCACHECTL, "-c", edge.config_file, "doctor", "--json", "--client", client, check=False)
        return next(c for c in json.loads(done.stdout)["checks"] if c["group"] == "clients")

    whole = edge.env()
    assert examine(whole)["verdict"] == "ok"
    assert "does not trust our CA" in examine({k: v for k, v in whole.items() if "proxy" in k.lower()})["what"]
    assert "goes past the proxy" in examine({})["what"]
    assert not list(job.home.iterdir())
