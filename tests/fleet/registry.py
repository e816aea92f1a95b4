"""registry.py FOLDER URL: files that are a registry for npm, pip and Bundler each, with one package in it, below FOLDER. They say of
themselves that they are found under URL."""
import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path


def put(folder, name, data):
    path = Path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def npm(folder, url):
    package = json.dumps({"name": "fleet-pkg", "version": "1.0.0"}).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in (("package/package.json", package), ("package/filling", os.urandom(200000))):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    tgz = out.getvalue()
    dist = {"tarball": f"{url}/npm/fleet-pkg/-/fleet-pkg-1.0.0.tgz",
            "integrity": "sha512-" + base64.b64encode(hashlib.sha512(tgz).digest()).decode(),
            "shasum": hashlib.sha1(tgz).hexdigest()}
    put(folder, "npm/fleet-pkg/-/fleet-pkg-1.0.0.tgz", tgz)
    put(folder, "npm/fleet-pkg/index.html", json.dumps({"name": "fleet-pkg", "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": {"name": "fleet-pkg", "version": "1.0.0", "dist": dist}}}))


def pip(folder, _):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as wheel:
        wheel.writestr("fleet_pkg.py", "number = 1\n")
        wheel.writestr("filling", os.urandom(200000))
        info = "fleet_pkg-1.0.dist-info/"
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: fleet-pkg\nVersion: 1.0\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(info + "RECORD", "fleet_pkg.py,,\nfilling,,\n" + "".join(f"{info}{n},,\n" for n in ("METADATA", "WHEEL", "RECORD")))
    name, data = "fleet_pkg-1.0-py3-none-any.whl", out.getvalue()
    digest = hashlib.blake2b(data, digest_size=32).hexdigest()
    path = f"/packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{name}"
    put(folder, path[1:], data)
    put(folder, "simple/fleet-pkg/index.html",
        f'<!DOCTYPE html><html><body><a href="{path}#sha256={hashlib.sha256(data).hexdigest()}">{name}</a></body></html>')


def bundler(folder, _):
    with tempfile.TemporaryDirectory() as work:
        put(work, "filling", os.urandom(200000))
        put(work, "it.gemspec", 'Gem::Specification.new { |s| s.name = "fleet_gem"; s.version = "1.0.0"; s.summary = "A gem"; '
            's.authors = ["nobody"]; s.files = ["filling"] }')
        subprocess.run(["gem", "build", "--quiet", "it.gemspec"], cwd=work, check=True, capture_output=True)
        gem = Path(work, "fleet_gem-1.0.0.gem").read_bytes()
    info = f"---\n1.0.0 |checksum:{hashlib.sha256(gem).hexdigest()}\n"
    put(folder, "gems/fleet_gem-1.0.0.gem", gem)
    put(folder, "info/fleet_gem", info)
    put(folder, "versions", f"created_at: 2026-01-01T00:00:00Z\n---\nfleet_gem 1.0.0 {hashlib.md5(info.encode()).hexdigest()}\n")


if __name__ == "__main__":
    for kind in (npm, pip, bundler):
        kind(*sys.argv[1:])
