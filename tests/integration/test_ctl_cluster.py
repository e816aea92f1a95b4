"""pmcachectl cluster: a cluster is made, nodes are let in, keys change; the daemon takes what comes out.

run-tests: plain build
"""

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.edge import PMCACHECTL, SANITIZER, run_pmcached
from lab.wait import SLOWER


class Roster:
    """A folder to run pmcachectl in."""

    def __init__(self, folder):
        self.folder = folder
        self.cluster = folder / "ci-cluster"

    def run(self, *args, code=0):
        env = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
        done = subprocess.run([str(PMCACHECTL), "cluster", *map(str, args)], capture_output=True, text=True,
                              timeout=30 * SLOWER, cwd=self.folder, env=env)
        assert not SANITIZER.search(done.stderr), done.stderr
        assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def issue(self, node, role, address=None, *more, code=0):
        return self.run("issue", node, "--role", role, *(["--address", address] if address else []), *more, code=code)

    def list(self):
        return json.loads(self.run("list", "--json").stdout)

    def node(self, name):
        return self.cluster / "nodes" / name

    def install(self, name):
        """As an operator would: the files into a state folder, cluster.yaml as the configuration."""
        state = self.folder / f"state-{name}"
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(self.node(name), state)
        config = self.folder / f"{name}.yaml"
        config.write_text(f"state: {state}\n" + (state / "cluster.yaml").read_text())
        return config

    def check(self, name, code=0):
        done = run_pmcached("--check-config", "-c", self.install(name))
        assert done.returncode == code, done.stderr
        return done

    def dump(self, name):
        done = run_pmcached("--dump-config", "-c", self.install(name))
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def roster(tmp_path):
    r = Roster(tmp_path)
    r.run("init", "ci")
    return r


@pytest.fixture
def three(roster):
    roster.issue("parent1", "parent", "parent1.test:8083")
    roster.issue("edge1", "edge", "10.0.0.1:8083")
    roster.issue("edge2", "edge", "[2001:db8::2]:9083")
    return roster


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_init_makes_all_that_a_cluster_has_and_keeps_it_private(roster):
    files = {"cluster-ca.crt", "cluster-ca.key", "cluster.yaml", "members.yaml", "nodes", "peer-1.key", "purge.key",
             "purge.pub", "salt"}
    assert set(os.listdir(roster.cluster)) == files
    assert mode(roster.cluster) == 0o700
    for name in ("cluster-ca.key", "peer-1.key", "purge.key", "salt"):
        assert mode(roster.cluster / name) == 0o600, name
    for name in ("peer-1.key", "salt"):
        assert re.fullmatch("[0-9a-f]{64}\n", (roster.cluster / name).read_text())
    assert (roster.cluster / "salt").read_text() != (roster.cluster / "peer-1.key").read_text()


def test_init_overwrites_nothing(roster):
    before = {p: p.read_bytes() for p in roster.cluster.iterdir() if p.is_file()}
    assert "is there already" in roster.run("init", "ci", code=1).stderr
    assert all(p.read_bytes() == text for p, text in before.items())
    (roster.folder / "empty").mkdir()
    roster.run("init", "other", "--dir", "empty")
    assert mode(roster.folder / "empty") == 0o700


@pytest.mark.parametrize("args", [[], ["-x"], ["a b"], ["../a"], ["a" * 49], ["ci", "again"], ["ci", "--days", "0"],
                                  ["ci", "--role", "edge"]])
def test_init_refuses_what_is_no_name(tmp_path, args):
    assert Roster(tmp_path).run("init", *args, code=2).stderr
    assert os.listdir(tmp_path) == []


def test_the_daemon_takes_what_issue_makes(three):
    for name in ("parent1", "edge1", "edge2"):
        three.check(name)
    dump = three.dump("edge2")
    assert 'cluster: ["[::]:9083"]' in dump and 'name: "ci"' in dump and "trust: attested" in dump
    assert '{name: "parent1", address: "parent1.test:8083"}' in dump
    assert '{name: "edge1", address: "10.0.0.1:8083"}' in dump and '"edge2", address' not in dump
    parent = three.dump("parent1")
    assert "role: parent" in parent and "bump: []" in parent and 'purge_key: "' in parent and "parents: []" in parent
    assert 'purge_key: ""' in dump


def test_each_node_gets_what_it_needs_and_no_more(three):
    three.issue("boss", "admin")
    common = {"node.crt", "node.key", "cluster-ca.crt", "purge.pub"}
    member = common | {"peer-1.key", "salt", "cluster.yaml"}
    assert set(os.listdir(three.node("edge1"))) == member
    assert set(os.listdir(three.node("parent1"))) == member | {"purge.key"}
    assert set(os.listdir(three.node("boss"))) == common | {"purge.key"}
    for path in three.cluster.glob("nodes/*/*"):
        assert mode(path) == (0o600 if path.name in ("node.key", "peer-1.key", "salt", "purge.key") else 0o644), path


def test_certificates_are_good_for_openssl_and_name_their_node(three, have):
    have("openssl")
    ca = three.cluster / "cluster-ca.crt"
    for name, role in (("edge1", "edge"), ("parent1", "parent")):
        cert = three.node(name) / "node.crt"
        for purpose in ("sslserver", "sslclient"):
            done = subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", ca, cert],
                                  capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
        text = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-text"], capture_output=True, text=True).stdout
        assert f"URI:pmcache://ci/{role}/{name}" in text
        pair = [subprocess.run(["openssl", *args], capture_output=True, text=True).stdout for args in
                (["x509", "-in", cert, "-noout", "-pubkey"], ["pkey", "-in", three.node(name) / "node.key", "-pubout"])]
        assert pair[0] == pair[1] != ""


def test_a_certificate_of_another_node_is_refused(three):
    shutil.copy(three.node("edge1") / "node.crt", three.node("edge2") / "node.crt")
    assert re.search(r"edge2\.yaml.*cluster\.cert: .* is for edge edge1 of cluster ci", three.check("edge2", 1).stderr)


def test_keys_that_others_can_read_are_refused(three):
    (three.node("edge1") / "peer-1.key").chmod(0o640)
    assert "chmod 600" in three.check("edge1", 1).stderr


def test_issue_refuses_what_makes_no_sense(three):
    for args, code, why in [
            (("edge1", "edge", "10.0.0.9:1"), 1, "in the cluster already"),
            (("edge9", "edge"), 2, "--address"),
            (("edge9", "king", "10.0.0.9:1"), 2, "edge, parent, admin"),
            (("edge9", "edge", "10.0.0.9:0"), 2, "HOST:PORT"),
            (("edge9", "edge", "a/b:1"), 2, "HOST:PORT"),
            (("edge9", "edge", "10.0.0.9:1", "--renew"), 1, "nothing to renew"),
            (("edge9", "edge", "10.0.0.9:1", "--dir", "/nowhere"), 1, "/nowhere"),
            (("edge9", "edge", "10.0.0.9:1", "--days", "many"), 2, "days")]:
        assert why in three.issue(*args, code=code).stderr, args
    assert "--role" in three.run("issue", "edge9", "--address", "a:1", code=2).stderr
    assert not three.node("edge9").exists() and len(three.list()["nodes"]) == 3


def test_two_names_with_one_id_are_refused(roster):
    seen = {}
    for i in range(10_000_000):
        twin = seen.setdefault(hashlib.sha256(b"n%d" % i).digest()[:4], i)
        if twin != i:
            break
    roster.issue(f"n{twin}", "edge", "10.0.0.1:8083")
    assert f"the same id as n{twin}" in roster.issue(f"n{i}", "edge", "10.0.0.2:8083", code=1).stderr


def test_without_a_parent_the_others_files_tell_of_a_new_node(roster):
    roster.issue("edge1", "edge", "10.0.0.1")
    assert "edge2" not in roster.dump("edge1")
    assert "have changed" in roster.issue("edge2", "edge", "10.0.0.2").stdout
    assert '{name: "edge2", address: "10.0.0.2:8083"}' in roster.dump("edge1")
    assert "trust: any" in roster.dump("edge1")
    assert json.loads(roster.issue("p", "parent", "p.test", "--json").stdout)["others_changed"] is True
    assert '{name: "p", address: "p.test:8083"}' in roster.dump("edge1")
    before = (roster.node("edge1") / "cluster.yaml").read_text()
    assert json.loads(roster.issue("edge3", "edge", "10.0.0.3", "--json").stdout)["others_changed"] is False
    assert (roster.node("edge1") / "cluster.yaml").read_text() == before


def test_renewal_keeps_role_and_address(three):
    before = (three.node("edge1") / "node.crt").read_text()
    three.run("issue", "edge1", "--renew", "--days", 10)
    assert (three.node("edge1") / "node.crt").read_text() != before
    three.check("edge1")
    nodes = {n["name"]: n for n in three.list()["nodes"]}
    assert nodes["edge1"]["address"] == "10.0.0.1:8083" and nodes["edge1"]["role"] == "edge"
    assert nodes["edge1"]["not_after"] < nodes["edge2"]["not_after"]
    three.run("issue", "parent1", "--renew", "--role", "edge", "--address", "10.0.0.7")
    assert not (three.node("parent1") / "purge.key").exists()
    for name in ("parent1", "edge1"):
        three.check(name)
    assert '{name: "parent1", address: "10.0.0.7:8083"}' in three.dump("edge1")


def test_list_for_people_and_programs(three):
    got = three.list()
    assert (got["cluster"], got["peer_keys"], got["active_key"]) == ("ci", [1], 1)
    assert [(n["name"], n["role"], n["address"]) for n in got["nodes"]] == [
        ("parent1", "parent", "parent1.test:8083"), ("edge1", "edge", "10.0.0.1:8083"),
        ("edge2", "edge", "[2001:db8::2]:9083")]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", n["not_after"]) for n in got["nodes"])
    text = three.run("list").stdout
    assert re.search(r"^edge1 +edge +10\.0\.0\.1:8083 +\d{4}-\d\d-\d\d \(in 36[45] days\)$", text, re.M)
    assert "1 (active)" in text
    (three.node("edge1") / "node.crt").unlink()
    assert re.search(r"^edge1 .* no certificate$", three.run("list").stdout, re.M)


def keys_of(dump):
    return sorted(map(int, re.findall(r"(\d+): \"file:", dump))), int(re.search(r"active_key: (\d+)", dump)[1])


def test_keys_change_in_three_steps_that_may_be_repeated(three):
    first = (three.cluster / "peer-1.key").read_text()
    assert "--step switch" in three.run("rotate-key").stdout
    second = (three.cluster / "peer-2.key").read_text()
    three.run("rotate-key", "--step", "add")
    three.run("rotate-key")  # says where it stands
    assert (three.cluster / "peer-2.key").read_text() == second != first
    assert keys_of(three.dump("edge1")) == ([1, 2], 1)
    assert "switch comes first" in three.run("rotate-key", "--step", "remove", code=1).stderr
    for _ in range(2):
        assert "--step remove" in three.run("rotate-key", "--step", "switch").stdout
        assert keys_of(three.dump("parent1")) == ([1, 2], 2)
    assert "not finished" in three.run("rotate-key", "--step", "add", code=1).stderr
    for _ in range(2):
        assert "done" in three.run("rotate-key", "--step", "remove").stdout
        assert keys_of(three.dump("edge2")) == ([2], 2)
    assert not list(three.cluster.glob("**/peer-1.key")) and len(list(three.cluster.glob("**/peer-2.key"))) == 4
    assert "none to switch to" in three.run("rotate-key", "--step", "switch", code=1).stderr
    assert three.list()["peer_keys"] == [2]
    assert json.loads(three.run("rotate-key", "--json").stdout) == {"peer_keys": [2, 3], "active_key": 2, "next": "switch"}


def test_ids_of_keys_begin_again_after_the_last(three):
    (three.cluster / "peer-1.key").rename(three.cluster / "peer-127.key")
    (three.cluster / "cluster.yaml").write_text("name: ci\npeer_keys: [127]\nactive_key: 127\n")
    three.run("rotate-key")
    assert three.list()["peer_keys"] == [127, 1]
    three.check("edge1")


def test_a_folder_that_is_damaged_is_said(three):
    (three.cluster / "cluster.yaml").write_text("name: ci\npeer_keys: [1]\nactive_key: 2\n")
    assert "cluster.yaml" in three.run("list", code=1).stderr
    (three.cluster / "cluster.yaml").write_text("name: ci\npeer_keys: [1]\nactive_key: 1\n")
    (three.cluster / "members.yaml").write_text("- {name: a, role: edge, address: \"a:1\"}\n- {name: b}\n")
    assert "members.yaml:2" in three.run("list", code=1).stderr


def test_many_at_once_lose_nobody(roster):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: roster.issue(f"edge{i}", "edge", f"10.0.0.{i}"), range(1, 17)))
    assert {n["name"] for n in roster.list()["nodes"]} == {f"edge{i}" for i in range(1, 17)}
    for i in (1, 16):
        assert roster.dump(f"edge{i}").count("10.0.0.") == 15


def test_two_clusters_in_one_place_must_be_told_apart(roster):
    roster.run("init", "other")
    assert "--dir" in roster.run("list", code=2).stderr
    assert json.loads(roster.run("list", "--json", "--dir", "other-cluster").stdout)["cluster"] == "other"


def test_who_may_not_read_the_secrets_may_still_ask_for_paths(three):
    """pmcachectl needs of the configuration where things are, not what is in the node's private files."""
    config = three.install("edge1")
    for name in ("node.key", "salt", "peer-1.key"):
        (three.folder / "state-edge1" / name).unlink()
    done = subprocess.run([str(PMCACHECTL), "-c", str(config), "stats"], capture_output=True, text=True,
                          env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
    assert done.returncode == 3, done.stderr
