"""Bodies are held against what is promised about them: what fits passes whole, what does not is never the whole, nor kept.

run-tests: not for threads
"""

import base64
import hashlib
import json

import pytest

from lab import Reply, blob
from lab.registries import make_tgz

STORED = [("Content-Type", "text/plain"), ("Cache-Control", "max-age=60")]
FRAMINGS = ["length", "chunked", "close"]
SIZES = [1, 2, 4096, 65535, 65536, 65537, 300_000, 2_000_000]


def b64(algorithm, body):
    return base64.b64encode(hashlib.new(algorithm, body).digest()).decode()


def repr_digest(body):
    return ("Repr-Digest", f"sha-256=:{b64('sha256', body)}:")


def flipped(body):
    return body[:-1] + bytes([body[-1] ^ 1])


def failures(edge):
    found = {}

    def find(value):
        for k, v in value.items() if isinstance(value, dict) else ():
            if k.startswith("integrity_failures"):
                found[k] = v
            find(v)
    find(json.loads(edge.ctl("stats", "--json").stdout))
    return found


@pytest.fixture
def narrow(make):
    """Keeps nothing of more than 100 kB, and reads at most 64 KiB ahead of the client."""
    return make.edge(conf={"cache": {"memory": {"max_object": "100KB"}, "read_ahead": "64KB"}})


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("size", SIZES)
def test_what_fits_passes_whole_and_is_kept(edge, plain, framing, size):
    body = blob(size)
    plain.on("/o", Reply(body=body, framing=framing, headers=STORED + [repr_digest(body)]))
    r = edge.get(plain.url("/o"))
    assert (r.status, r.cut) == (200, False) and r.body == body
    r = edge.get(plain.url("/o"))
    assert r.body == body and r.x_cache == "HIT"


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("size", SIZES)
def test_what_does_not_fit_is_never_the_whole(edge, plain, framing, size):
    body = blob(size)
    plain.on("/o", Reply(body=flipped(body), framing=framing, headers=STORED + [repr_digest(body)]))
    for _ in range(2):
        r = edge.get(plain.url("/o"))
        assert r.status == 502 or (r.cut and len(r.body) < size)
        if size < 65536:
            assert r.status == 502 and b"Repr-Digest" in r.body
    assert plain.count("/o") == 2
    plain.on("/o", Reply(body=body, framing=framing, headers=STORED + [repr_digest(body)]))
    assert edge.get(plain.url("/o")).body == body


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("fits", [True, False])
def test_what_goes_by_unstored_is_judged_too(narrow, plain, framing, fits):
    body = blob(700_001)
    sent = body if fits else flipped(body)
    plain.on("/o", Reply(body=sent, framing=framing, headers=STORED + [repr_digest(body)]))
    r = narrow.get(plain.url("/o"))
    if fits:
        assert r.body == body and not r.cut
    else:
        assert r.cut and len(r.body) < len(body)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_large_body_flows_before_its_verdict(edge, plain, framing):
    body = blob(400_000)
    gate = plain.gate()
    plain.on("/o", lambda req: Reply(body=[body[:200_000], gate, body[200_000:]], framing=framing, length=len(body),
                                     headers=STORED + [repr_digest(body)]))
    c, target = edge.session(plain.url("/o"))
    with c:
        c.request("GET", target)
        assert c.head().status == 200
        c.read(150_000)
        gate.open()


B2 = hashlib.blake2b(b"PK\x03\x04 wheel", digest_size=32).hexdigest()
KINDS = {
    "path": (f"/packages/{B2[:2]}/{B2[2:4]}/{B2[4:]}/x-1.0-py3-none-any.whl", b"PK\x03\x04 wheel", lambda b: []),
    "digest": ("/o", b"text", lambda b: [("Digest", "SHA-256=" + b64("sha256", b))]),
    "content_md5": ("/o", b"text", lambda b: [("Content-MD5", b64("md5", b))]),
    "x_checksum": ("/o", b"text", lambda b: [("X-Checksum-Sha1", hashlib.sha1(b).hexdigest())]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_checked_and_counted(edge, origin, kind):
    path, body, fields = KINDS[kind]
    origin.on(path, Reply(body=flipped(body), headers=STORED + fields(body)))
    before = failures(edge)
    assert edge.get(origin.url(path + "?secret=word")).status == 502
    after = failures(edge)
    grown = {k for k in after if after[k] > before[k]}
    assert grown == {"integrity_failures_total", f"integrity_failures_{kind}_total"}
    assert "secret" not in edge.stderr_text
    origin.on(path, Reply(body=body, headers=STORED + fields(body)))
    assert edge.get(origin.url(path)).body == body


def test_what_one_client_claims_does_not_keep_others_from_it(edge, origin):
    path, tgz = "/claim-test/-/claim-test-1.0.0.tgz", make_tgz("claim-test", "1.0.0")
    origin.on(path, Reply(body=tgz))
    r = edge.get(origin.url(path), [("pacote-integrity", "sha512-" + b64("sha512", b"other"))])
    assert r.status == 502
    assert edge.get(origin.url(path)).body == tgz
    assert edge.get(origin.url(path)).x_cache == "HIT"


def test_a_damaged_new_version_leaves_the_stale_one_in_service(edge, origin):
    old, new = b'{"v": 1}', b'{"v": 2}'
    headers = [("Content-Type", "application/json"), ("Cache-Control", "max-age=0")]
    origin.on("/simple/stale-test/", Reply(body=old, headers=headers + [("ETag", '"1"')]))
    assert edge.get(origin.url("/simple/stale-test/")).body == old
    origin.on("/simple/stale-test/", Reply(body=flipped(new), headers=headers + [("ETag", '"2"'), repr_digest(new)]))
    r = edge.get(origin.url("/simple/stale-test/"))
    assert (r.status, r.body) == (200, old)
    origin.on("/simple/stale-test/", Reply(body=new, headers=headers + [("ETag", '"2"'), repr_digest(new)]))
    assert edge.get(origin.url("/simple/stale-test/"), [("Cache-Control", "no-cache")]).body == new
