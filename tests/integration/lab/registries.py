"""Registries on loopback, small but real enough for the programs that use them: npm, PyPI-style (index and files on two
hosts), RubyGems (compact index). Their answers can be made as bad as those of clients.md §6: see Manners."""

import base64
import functools
import gzip
import hashlib
import io
import json
import subprocess
import tarfile
import zipfile

from .origin import Reply, httpdate


class Manners:
    """How an answer is dressed. The defaults are those of a well-kept registry behind a CDN."""

    def __init__(self, validators=True, freshness=True, age=None, ignore_inm=False, chunked=False):
        self.validators = validators  # ETag and Last-Modified
        self.freshness = freshness    # Cache-Control
        self.age = age                # an Age field, also one above max-age
        self.ignore_inm = ignore_inm  # 200 with the same ETag to If-None-Match
        self.chunked = chunked        # no length

    def reply(self, req, body, ctype, cache_control, etag=None, vary=None):
        etag = etag or '"' + hashlib.md5(body).hexdigest() + '"'
        headers = [("Content-Type", ctype)]
        if self.validators:
            headers += [("ETag", etag), ("Last-Modified", "Tue, 02 Jan 2024 03:04:05 GMT")]
        if self.freshness:
            headers.append(("Cache-Control", cache_control))
        if self.age is not None:
            headers.append(("Age", str(self.age)))
        if vary:
            headers.append(("Vary", vary))
        if self.validators and not self.ignore_inm and etag in (req.headers.get("If-None-Match") or ""):
            return Reply(304, headers, reason="Not Modified")
        return Reply(200, headers, body, framing="chunked" if self.chunked else "length")


GOOD = Manners()
BAD = {
    "no_validators_no_freshness": Manners(validators=False, freshness=False),
    "age_above_max_age": Manners(age=4000),
    "ignores_if_none_match": Manners(ignore_inm=True),
    "chunked_without_length": Manners(chunked=True),
}
YEAR = "public, immutable, max-age=31536000"


def make_tgz(name, version, index="module.exports = 'pmcache';\n", package=None):
    """An npm tarball: real, and the same bytes each time."""
    package = package or {"name": name, "version": version, "main": "index.js", "license": "MIT"}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, data in (("package/package.json", json.dumps(package).encode()), ("package/index.js", index.encode())):
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as z:
        z.write(raw.getvalue())
    return out.getvalue()


class Npm:
    """/<name> (packument) and /<name>/-/<base>-<version>.tgz. tarballs_at: another Origin for the files."""

    def __init__(self, origin, packages=None, manners=GOOD, tarballs_at=None, redirect_to=None):
        self.origin, self.manners = origin, manners
        files = tarballs_at or origin
        self.packages = packages or {"left-pad-test": {"1.0.0": {}}, "@scope/deep-test": {"2.1.0": {}}}
        self.tarballs = {}
        for name, versions in self.packages.items():
            base = name.rpartition("/")[2]
            packument = {"name": name, "dist-tags": {"latest": list(versions)[-1]}, "versions": {}}
            for version, deps in versions.items():
                package = {"name": name, "version": version, "main": "index.js", "license": "MIT"}
                if deps:
                    package["dependencies"] = deps
                tgz = make_tgz(name, version, package=package)
                path = f"/{name}/-/{base}-{version}.tgz"
                self.tarballs[path] = tgz
                dist = {
                    "tarball": files.url(path), "shasum": hashlib.sha1(tgz).hexdigest(),
                    "integrity": "sha512-" + base64.b64encode(hashlib.sha512(tgz).digest()).decode(),
                }
                packument["versions"][version] = dict(package, dist=dist)
                serve = functools.partial(self._file, tgz)
                if redirect_to:
                    files.on(path, Reply(302, [("Location", redirect_to.url("/moved" + path)),
                                               ("Cache-Control", "no-cache")], reason="Found"))
                    redirect_to.on("/moved" + path, serve)
                else:
                    files.on(path, serve)
            body = json.dumps(packument).encode()
            origin.on("/" + name, functools.partial(self._packument, body))
            origin.on("/" + name.replace("/", "%2f"), functools.partial(self._packument, body))
            origin.on("/" + name.replace("/", "%2F"), functools.partial(self._packument, body))
        origin.on("/-/npm/v1/security/advisories/bulk", Reply(headers=[("Content-Type", "application/json")], body=b"{}"))

    def _packument(self, body, req):
        return self.manners.reply(req, body, "application/vnd.npm.install-v1+json", "public, max-age=300",
                                  vary="accept-encoding, accept")

    def _file(self, tgz, req):
        return self.manners.reply(req, tgz, "application/octet-stream", YEAR)


def make_wheel(name, version):
    """A wheel that pip installs."""
    module = name.replace("-", "_")
    dist = f"{module}-{version}.dist-info"
    files = {
        f"{module}.py": f"VERSION = '{version}'\n",
        f"{dist}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{dist}/WHEEL": "Wheel-Version: 1.0\nGenerator: lab\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text)}\n"
    files[f"{dist}/RECORD"] = record + f"{dist}/RECORD,,\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for path, text in files.items():
            z.writestr(zipfile.ZipInfo(path, (2024, 1, 2, 3, 4, 6)), text)
    return f"{module}-{version}-py3-none-any.whl", out.getvalue()


class PyPI:
    """/simple/<name>/ in HTML (PEP 503) and JSON (PEP 691) on one host, the files on another."""

    def __init__(self, index, files, packages=(("tiny-test", "1.2.3"),), manners=GOOD):
        self.index, self.files_at, self.manners = index, files, manners
        self.wheels = {}
        for name, version in packages:
            filename, wheel = make_wheel(name, version)
            b2 = hashlib.blake2b(wheel, digest_size=32).hexdigest()
            path = f"/packages/{b2[:2]}/{b2[2:4]}/{b2[4:]}/{filename}"
            self.wheels[path] = wheel
            files.on(path, functools.partial(self._file, wheel))
            index.on(f"/simple/{name}/", functools.partial(self._page, name, filename, files.url(path), wheel))

    def _file(self, wheel, req):
        return self.manners.reply(req, wheel, "application/octet-stream", YEAR)

    def _page(self, name, filename, url, wheel, req):
        sha = hashlib.sha256(wheel).hexdigest()
        if "application/vnd.pypi.simple.v1+json" in (req.headers.get("Accept") or ""):
            ctype = "application/vnd.pypi.simple.v1+json"
            body = json.dumps({"meta": {"api-version": "1.0"}, "name": name, "files": [
                {"filename": filename, "url": url, "hashes": {"sha256": sha}, "requires-python": ">=3"}]}).encode()
        else:
            ctype = "text/html; charset=utf-8"
            body = f'<!DOCTYPE html><html><body><a href="{url}#sha256={sha}">{filename}</a></body></html>'.encode()
        return self.manners.reply(req, body, ctype, "max-age=600, public", vary="Accept, Accept-Encoding")


def make_gem(folder, name, version):
    """A gem as `gem build` makes it."""
    source = folder / f"{name}-{version}-src"
    (source / "lib").mkdir(parents=True)
    (source / "lib" / f"{name}.rb").write_text(f"module Lab; NAME = '{name}'; end\n")
    (source / f"{name}.gemspec").write_text(
        f"Gem::Specification.new do |s|\n  s.name = '{name}'\n  s.version = '{version}'\n  s.summary = 'lab'\n"
        f"  s.authors = ['lab']\n  s.files = ['lib/{name}.rb']\n  s.homepage = 'https://gems.test/'\n"
        f"  s.license = 'MIT'\nend\n")
    subprocess.run(["gem", "build", f"{name}.gemspec"], cwd=source, check=True, capture_output=True)
    return (source / f"{name}-{version}.gem").read_bytes()


class Gems:
    """A compact index: /versions, /info/<name>, /names, and /gems/<name>-<version>.gem."""

    def __init__(self, origin, folder, gems=(("tinygem", "1.0"),), manners=GOOD, redirect_to=None):
        self.origin, self.manners = origin, manners
        self.gems = {}
        versions = "created_at: 2024-01-02T03:04:05Z\n---\n"
        for name, version in gems:
            gem = make_gem(folder, name, version)
            path = f"/gems/{name}-{version}.gem"
            self.gems[path] = gem
            info = f"---\n{version} |checksum:{hashlib.sha256(gem).hexdigest()}\n".encode()
            versions += f"{name} {version} {hashlib.md5(info).hexdigest()}\n"
            origin.on(f"/info/{name}", functools.partial(self._index, info))
            if redirect_to:
                origin.on(path, Reply(302, [("Location", redirect_to.url(path))], reason="Found"))
                redirect_to.on(path, functools.partial(self._gem, gem))
            else:
                origin.on(path, functools.partial(self._gem, gem))
        origin.on("/versions", functools.partial(self._index, versions.encode()))
        origin.on("/names", functools.partial(self._index, ("---\n" + "".join(f"{n}\n" for n, _ in gems)).encode()))

    def _gem(self, gem, req):
        return self.manners.reply(req, gem, "application/octet-stream", "max-age=31536000")

    def _index(self, body, req):
        reply = self.manners.reply(req, body, "text/plain; charset=utf-8", "public, max-age=60")
        reply.headers.append(("Accept-Ranges", "bytes"))
        reply.headers.append(
            ("Repr-Digest", "sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()).decode() + ":"))
        m = (req.headers.get("Range") or "").removeprefix("bytes=").partition("-")
        if reply.status == 200 and m[0].isdigit() and int(m[0]) < len(body):
            first = int(m[0])
            reply.status, reply.reason = 206, "Partial Content"
            reply.headers.append(("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}"))
            reply.body = body[first:]
        return reply


__all__ = ["BAD", "GOOD", "Gems", "Manners", "Npm", "PyPI", "httpdate", "make_gem", "make_tgz", "make_wheel"]
