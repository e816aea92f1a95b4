"""What is stored, for how long, for whom, and what the answer says about it."""

import base64
import hashlib
import re

import pytest

from lab import Reply, blob, eventually
from lab.origin import httpdate
from lab.registries import make_tgz

PAGE = [("Content-Type", "text/plain")]


def fresh(seconds=60, *more):
    return PAGE + [("Cache-Control", f"max-age={seconds}"), *more]


@pytest.fixture(params=["http", "https"])
def site(request, make):
    """An origin by absolute-form, and one behind the bump."""
    return make.origin(tls=request.param == "https", name="plain.test" if request.param == "http" else "origin.test")


# -- first request, second request


def test_miss_then_hit_with_everything_the_answer_says_about_it(edge, site):
    site.on("/o", Reply(body=b"body", headers=fresh()))
    first, second = edge.get(site.url("/o")), edge.get(site.url("/o"))
    assert (first.status, first.body) == (second.status, second.body) == (200, b"body")
    assert first.headers.get("X-Cache") == "MISS from edge1"
    assert second.headers.get("X-Cache") == "HIT from edge1"
    assert re.fullmatch(rf"MISS from edge1:({edge.bump_port}|{edge.proxy_port})", first.headers.get("X-Cache-Lookup"))
    assert re.fullmatch(rf"HIT from edge1:({edge.bump_port}|{edge.proxy_port})", second.headers.get("X-Cache-Lookup"))
    assert re.match(r"edge1; fwd=uri-miss\b", first.cache_status) and "; stored" in first.cache_status
    m = re.match(r"edge1; hit\b.*ttl=(\d+)", second.cache_status)
    assert m and 50 <= int(m.group(1)) <= 60, second.cache_status
    assert second.age is not None and 0 <= second.age <= 5
    assert site.count("/o") == 1


def test_a_hit_on_the_same_kept_connection_and_on_others(edge, site):
    site.on("/o", Reply(body=b"body", headers=fresh()))
    c, target = edge.session(site.url("/o"))
    with c:
        assert [c.get(target).x_cache for _ in range(4)] == ["MISS", "HIT", "HIT", "HIT"]
    for _ in range(6):  # whatever loop takes it
        assert edge.get(site.url("/o")).x_cache == "HIT"
    assert site.count("/o") == 1


def test_the_two_ports_share_one_cache_for_http(edge, plain):
    plain.on("/o", Reply(body=b"body", headers=fresh()))
    assert edge.get(plain.url("/o"), door="proxy").x_cache == "MISS"
    assert edge.get(plain.url("/o"), door="bump").x_cache == "HIT"


def test_http_and_https_of_one_authority_are_different_things(edge, make):
    secure, clear = make.origin(), make.origin(tls=False)
    secure.on("/o", Reply(body=b"secure", headers=fresh()))
    clear.on("/o", Reply(body=b"clear", headers=fresh()))
    assert edge.get(secure.url("/o")).body == b"secure"
    assert edge.get(clear.url("/o")).body == b"clear"


def test_the_query_is_part_of_the_key(edge, plain):
    plain.on("/o", lambda req: Reply(body=req.query.encode(), headers=fresh()))
    for q in ("a=1", "a=2", "a=1"):
        assert edge.get(plain.url("/o?" + q)).body == q.encode()
    assert plain.count("/o") == 2


def test_equivalent_spellings_of_a_url_are_one_object(edge, plain):
    plain.on("/~a-b", Reply(body=b"same", headers=fresh()))
    plain.on("/%7Ea%2Db", Reply(body=b"same", headers=fresh()))
    assert edge.get(plain.url("/~a-b")).x_cache == "MISS"
    with edge.connect() as c:
        assert c.get(f"http://PLAIN.Test:{plain.port}/%7Ea%2Db").x_cache == "HIT"


def test_a_chunked_answer_is_stored_and_served_whole(edge, site):
    site.on("/o", lambda req: Reply(body=[blob(100_000)], framing="chunked", headers=fresh()))
    a, b = edge.get(site.url("/o")), edge.get(site.url("/o"))
    assert a.body == b.body == blob(100_000)
    assert (a.x_cache, b.x_cache) == ("MISS", "HIT")


def test_an_answer_that_ends_with_the_connection_reaches_the_client_whole(edge, site):
    site.on("/o", Reply(body=blob(100_000), framing="close", headers=fresh()))
    assert edge.get(site.url("/o")).body == blob(100_000)


@pytest.mark.parametrize("size", [0, 1, 16383, 16384, 16385, 65535, 65536, 65537, 1_000_000, 3_500_000])
def test_bodies_of_awkward_sizes_are_the_same_on_miss_and_hit(edge, origin, size):
    origin.on("/o", Reply(body=blob(size), headers=fresh()))
    c, target = edge.session(origin.url("/o"))
    with c:
        for expected in ("MISS", "HIT", "HIT"):
            r = c.get(target)
            assert r.body == blob(size) and r.x_cache == expected


def test_end_to_end_fields_are_kept_on_a_hit(edge, site):
    site.on("/o", Reply(body=b"x", headers=fresh(60, ("ETag", '"e"'), ("X-Own", "a, b"), ("X-Own", "c"),
                                                 ("Content-Encoding", "gzip"), ("Content-Type", "a/b"))))
    for _ in range(2):
        r = edge.get(site.url("/o"))
        assert r.headers.all("X-Own") == ["a, b", "c"]
        assert r.headers.get("ETag") == '"e"' and r.headers.get("Content-Encoding") == "gzip"
        assert r.headers.get("Date")


# -- freshness


@pytest.mark.parametrize("headers", [
    [("Cache-Control", "max-age=60")],
    [("Cache-Control", "public, max-age=60")],
    [("Cache-Control", "max-age=0, s-maxage=60")],
    [("Cache-Control", "MAX-AGE=60")],
    [("Cache-Control", 'max-age="60"')],
    [("Cache-Control", "public"), ("Cache-Control", "max-age=60")],
    [("Expires", httpdate(+600))],
    [("Cache-Control", "max-age=60"), ("Expires", httpdate(-600))],
    [("Cache-Control", "max-age=60"), ("Age", "30")],
    [("Cache-Control", "max-age=60, unheard-of=1")],
], ids=lambda h: " ".join(f"{n}={v}" for n, v in h)[:50])
def test_fresh_answers_are_served_again(edge, plain, headers):
    plain.on("/o", Reply(body=b"x", headers=headers))
    edge.get(plain.url("/o"))
    assert edge.get(plain.url("/o")).x_cache == "HIT"
    assert plain.count("/o") == 1


@pytest.mark.parametrize("headers", [
    [("Cache-Control", "max-age=0")],
    [("Cache-Control", "max-age=60, s-maxage=0")],
    [("Cache-Control", "no-cache, max-age=60")],
    [("Cache-Control", "no-store, max-age=60")],
    [("Cache-Control", "private, max-age=60")],
    [("Cache-Control", "max-age=60"), ("Age", "61")],
    [("Expires", "0")],
    [("Expires", httpdate(-5))],
    [("Expires", httpdate(600)), ("Cache-Control", "max-age=0")],
    [("Cache-Control", "max-age=60"), ("Vary", "*")],
    [("Cache-Control", "max-age=60x")],
    [],
], ids=lambda h: " ".join(f"{n}={v}" for n, v in h)[:50] or "nothing")
def test_answers_that_may_not_be_reused_are_asked_for_again(edge, plain, headers):
    plain.on("/o", Reply(body=b"x", headers=headers))
    assert edge.get(plain.url("/o")).x_cache == "MISS"
    edge.get(plain.url("/o"))
    assert plain.count("/o") == 2


def test_an_object_gets_stale_when_its_time_is_over(edge, plain):
    plain.on("/o", Reply(body=b"x", headers=fresh(2)))
    edge.get(plain.url("/o"))
    assert edge.get(plain.url("/o")).x_cache == "HIT"
    eventually("the object is asked for again", lambda: edge.get(plain.url("/o")) and plain.count("/o") >= 2, 5)


def test_age_counts_what_the_origin_said(edge, plain):
    plain.on("/o", Reply(body=b"x", headers=fresh(60, ("Age", "30"))))
    edge.get(plain.url("/o"))
    assert 30 <= edge.get(plain.url("/o")).age <= 35


@pytest.mark.parametrize("status", [404, 410, 301, 308, 203])
def test_other_statuses_with_an_explicit_lifetime_are_stored(edge, plain, status):
    plain.on("/o", Reply(status, fresh(60, ("Location", "/n")), b"x", reason="Some"))
    assert edge.get(plain.url("/o")).status == status
    r = edge.get(plain.url("/o"))
    assert (r.status, r.x_cache, plain.count("/o")) == (status, "HIT", 1)


@pytest.mark.parametrize("status", [500, 502, 503, 404, 302])
def test_errors_and_redirects_without_a_lifetime_are_not_stored(edge, plain, status):
    plain.on("/o", Reply(status, [("Location", "/n")], b"x", reason="Some"))
    for _ in range(2):
        assert edge.get(plain.url("/o")).status == status
    assert plain.count("/o") == 2


# -- revalidation


def by_etag(etag, body, headers=()):
    def answer(req):
        h = [("ETag", etag), *headers]
        if req.headers.get("If-None-Match") == etag:
            return Reply(304, h, reason="Not Modified")
        return Reply(200, h, body)
    return answer


@pytest.mark.parametrize("etag", ['"v1"', 'W/"v1"'])
def test_a_stale_object_with_an_etag_is_revalidated_and_kept(edge, site, etag):
    site.on("/o", by_etag(etag, b"body", [("Cache-Control", "max-age=0")]))
    edge.get(site.url("/o"))
    r = edge.get(site.url("/o"))
    assert (r.status, r.body) == (200, b"body")
    assert site.last("/o").headers.get("If-None-Match") == etag
    assert "fwd=stale" in r.cache_status and "fwd-status=304" in r.cache_status
    assert edge.log(site.url("/o"), 2)[1].result == "TCP_REFRESH_UNMODIFIED"


def test_a_304_renews_the_lifetime_and_the_fields(edge, plain):
    def answer(req):
        if "If-None-Match" in req.headers:
            return Reply(304, [("ETag", '"1"'), ("Cache-Control", "max-age=60"), ("X-Round", "2")])
        return Reply(200, [("ETag", '"1"'), ("Cache-Control", "max-age=0"), ("X-Round", "1")], b"body")
    plain.on("/o", answer)
    assert edge.get(plain.url("/o")).headers.get("X-Round") == "1"
    assert edge.get(plain.url("/o")).headers.get("X-Round") == "2"
    r = edge.get(plain.url("/o"))
    assert (r.x_cache, r.headers.all("X-Round"), r.body) == ("HIT", ["2"], b"body")
    assert plain.count("/o") == 2


def test_a_stale_object_with_a_date_only_is_revalidated_by_date(edge, plain):
    date = httpdate(-86400)
    plain.on("/o", lambda req: Reply(304, [("Last-Modified", date)]) if "If-Modified-Since" in req.headers else
             Reply(200, [("Last-Modified", date), ("Cache-Control", "max-age=0")], b"body"))
    edge.get(plain.url("/o"))
    r = edge.get(plain.url("/o"))
    assert (r.status, r.body) == (200, b"body")
    assert plain.last("/o").headers.get("If-Modified-Since") == date


def test_a_changed_object_replaces_the_old_one(edge, plain):
    version = [1]
    plain.on("/o", lambda req: Reply(200, [("ETag", f'"{version[0]}"'), ("Cache-Control", "no-cache")],
                                     b"v%d" % version[0]))
    assert edge.get(plain.url("/o")).body == b"v1"
    version[0] = 2
    assert edge.get(plain.url("/o")).body == b"v2"
    assert edge.log(plain.url("/o"), 2)[1].result == "TCP_REFRESH_MODIFIED"
    plain.on("/o", by_etag('"2"', b"never sent", [("Cache-Control", "no-cache")]))
    assert edge.get(plain.url("/o")).body == b"v2"


def test_an_origin_that_answers_200_with_the_same_etag_to_if_none_match(edge, plain):
    """As a large registry does: the body is what it was, and the object is fresh again."""
    seen = []
    def answer(req):
        seen.append(req.headers.get("If-None-Match"))
        return Reply(200, [("ETag", '"same"'), ("Cache-Control", "max-age=0" if len(seen) == 1 else "max-age=60")],
                     b"body")
    plain.on("/o", answer)
    for _ in range(3):
        assert edge.get(plain.url("/o")).body == b"body"
    assert seen == [None, '"same"']


def test_request_no_cache_makes_the_origin_be_asked(edge, plain):
    plain.on("/o", by_etag('"1"', b"body", fresh()))
    edge.get(plain.url("/o"))
    for directive in [("Cache-Control", "no-cache"), ("Cache-Control", "max-age=0"), ("Pragma", "no-cache")]:
        before = plain.count("/o")
        r = edge.get(plain.url("/o"), [directive])
        assert (r.status, r.body) == (200, b"body")
        assert plain.count("/o") == before + 1, directive
    results = [line.result for line in edge.log(plain.url("/o"), 4)]
    assert results[0] == "TCP_MISS"
    assert set(results[1:]) <= {"TCP_CLIENT_REFRESH_MISS", "TCP_REFRESH_UNMODIFIED"}, results
    assert edge.get(plain.url("/o")).x_cache == "HIT"


def test_only_if_cached_gives_504_or_the_object(edge, plain):
    plain.on("/o", Reply(body=b"x", headers=fresh()))
    r = edge.get(plain.url("/o"), [("Cache-Control", "only-if-cached")])
    assert r.status == 504 and plain.count("/o") == 0
    edge.get(plain.url("/o"))
    assert edge.get(plain.url("/o"), [("Cache-Control", "only-if-cached")]).x_cache == "HIT"


# -- conditional requests of clients, HEAD, ranges


@pytest.mark.parametrize("condition,status", [
    ([("If-None-Match", '"1"')], 304), ([("If-None-Match", 'W/"1"')], 304), ([("If-None-Match", '"0", "1"')], 304),
    ([("If-None-Match", "*")], 304), ([("If-None-Match", '"2"')], 200),
    ([("If-Modified-Since", "Tue, 02 Jan 2024 03:04:05 GMT")], 304),
    ([("If-Modified-Since", "Wed, 03 Jan 2024 03:04:05 GMT")], 304),
    ([("If-Modified-Since", "Mon, 01 Jan 2024 03:04:05 GMT")], 200),
    ([("If-None-Match", '"2"'), ("If-Modified-Since", "Wed, 03 Jan 2024 03:04:05 GMT")], 200),
    ([("If-Match", '"2"')], 412), ([("If-Match", '"1"')], 200),
], ids=str)
def test_conditions_are_answered_from_the_cache(edge, plain, condition, status):
    plain.on("/o", Reply(body=b"body", headers=fresh(60, ("ETag", '"1"'),
                                                     ("Last-Modified", "Tue, 02 Jan 2024 03:04:05 GMT"))))
    edge.get(plain.url("/o"))
    r = edge.get(plain.url("/o"), condition)
    assert r.status == status
    assert r.body == (b"body" if status == 200 else r.body if status == 412 else b"")
    if status == 304:
        assert r.headers.get("ETag") == '"1"' and r.x_cache == "HIT"
    assert plain.count("/o") == 1


def test_a_304_from_cache_is_logged_as_squid_does(edge, plain):
    plain.on("/o", Reply(body=b"body", headers=fresh(60, ("ETag", '"1"'),
                                                     ("Last-Modified", "Tue, 02 Jan 2024 03:04:05 GMT"))))
    edge.get(plain.url("/o"))
    edge.get(plain.url("/o"), [("If-Modified-Since", "Tue, 02 Jan 2024 03:04:05 GMT")])
    line = edge.log(plain.url("/o"), 2)[1]
    assert (line.result, line.status) == ("TCP_IMS_HIT", 304)


def test_a_conditional_miss_stores_what_the_origin_gives(edge, plain):
    plain.on("/o", by_etag('"1"', b"body", fresh()))
    r = edge.get(plain.url("/o"), [("If-None-Match", '"1"')])
    assert r.status == 304 and r.body == b""
    r = edge.get(plain.url("/o"))
    assert (r.status, r.body) == (200, b"body")


def test_head_is_answered_from_a_cached_get(edge, site):
    site.on("/o", Reply(body=b"12345", headers=fresh()))
    edge.get(site.url("/o"))
    c, target = edge.session(site.url("/o"))
    with c:
        r = c.ask("HEAD", target)
        assert (r.status, r.headers.get("Content-Length"), r.x_cache) == (200, "5", "HIT")
        assert c.get(target).body == b"12345"
    assert site.count("/o") == 1


def test_head_that_misses_does_not_spoil_the_get(edge, site):
    site.on("/o", Reply(body=b"12345", headers=fresh()))
    c, target = edge.session(site.url("/o"))
    with c:
        assert c.ask("HEAD", target).headers.get("Content-Length") == "5"
        r = c.get(target)
        assert (r.status, r.body) == (200, b"12345")


BODY = blob(200_000)


@pytest.mark.parametrize("range_,first,last", [
    ("bytes=0-9", 0, 9), ("bytes=65530-65550", 65530, 65550), ("bytes=199990-", 199990, 199999),
    ("bytes=-10", 199990, 199999), ("bytes=100-999999", 100, 199999), ("bytes=0-", 0, 199999),
    ("bytes=-999999", 0, 199999),
])
def test_ranges_are_cut_from_the_stored_object(edge, plain, range_, first, last):
    plain.on("/o", Reply(body=BODY, headers=fresh(60, ("ETag", '"1"'))))
    edge.get(plain.url("/o"))
    r = edge.get(plain.url("/o"), [("Range", range_)])
    assert r.status == 206 and r.body == BODY[first:last + 1]
    assert r.headers.get("Content-Range") == f"bytes {first}-{last}/200000" and r.headers.get("ETag") == '"1"'
    assert r.x_cache == "HIT" and plain.count("/o") == 1


def test_a_range_beyond_the_end_is_416_with_the_length(edge, plain):
    plain.on("/o", Reply(body=BODY, headers=fresh()))
    edge.get(plain.url("/o"))
    r = edge.get(plain.url("/o"), [("Range", "bytes=200000-")])
    assert r.status == 416 and r.headers.get("Content-Range") == "bytes */200000"


@pytest.mark.parametrize("range_", ["bytes=9-0", "bytes=a-b", "items=0-9", "bytes=", "bytes=-", "bytes 0-9"])
def test_a_range_that_is_none_is_ignored(edge, plain, range_):
    plain.on("/o", Reply(body=BODY, headers=fresh()))
    edge.get(plain.url("/o"))
    r = edge.get(plain.url("/o"), [("Range", range_)])
    assert r.status == 200 and r.body == BODY


@pytest.mark.parametrize("if_range,status", [
    ('"1"', 206), ('"2"', 200), ('W/"1"', 200), ("Tue, 02 Jan 2024 03:04:05 GMT", 206),
    ("Tue, 02 Jan 2024 03:04:06 GMT", 200)])
def test_if_range_decides_between_part_and_whole(edge, plain, if_range, status):
    plain.on("/o", Reply(body=BODY, headers=fresh(60, ("ETag", '"1"'),
                                                  ("Last-Modified", "Tue, 02 Jan 2024 03:04:05 GMT"))))
    edge.get(plain.url("/o"))
    r = edge.get(plain.url("/o"), [("Range", "bytes=5-9"), ("If-Range", if_range)])
    assert r.status == status and r.body == (BODY[5:10] if status == 206 else BODY)


def test_bundlers_warm_request_if_none_match_comes_before_range(edge, plain):
    plain.on("/versions", Reply(body=BODY, headers=fresh(60, ("ETag", '"1"'), ("Repr-Digest", "sha-256=:"
             + base64.b64encode(hashlib.sha256(BODY).digest()).decode() + ":"))))
    edge.get(plain.url("/versions"))
    r = edge.get(plain.url("/versions"), [("If-None-Match", '"1"'), ("Range", "bytes=199999-")])
    assert r.status == 304 and r.body == b""
    r = edge.get(plain.url("/versions"), [("If-None-Match", '"0"'), ("Range", "bytes=199999-")])
    assert r.status == 206 and r.body == BODY[-1:] and "Repr-Digest" in r.headers


def test_a_range_of_something_unknown_gives_that_range(edge, plain):
    def answer(req):
        m = re.fullmatch(r"bytes=(\d+)-(\d+)", req.headers.get("Range") or "")
        if m:
            a, b = int(m.group(1)), int(m.group(2))
            return Reply(206, fresh(60, ("ETag", '"1"'), ("Content-Range", f"bytes {a}-{b}/200000")), BODY[a:b + 1])
        return Reply(200, fresh(60, ("ETag", '"1"')), BODY)
    plain.on("/o", answer)
    r = edge.get(plain.url("/o"), [("Range", "bytes=100-199")])
    assert r.status == 206 and r.body == BODY[100:200]
    r = edge.get(plain.url("/o"))
    assert r.status == 200 and r.body == BODY, "a part must never be served for the whole"


# -- variants


def by_encoding(req):
    coding = (req.headers.get("Accept-Encoding") or "none").split(",")[0].strip()
    return Reply(200, fresh(60, ("Vary", "Accept-Encoding"), ("X-Coding", coding)), coding.encode())


def test_several_variants_of_one_url_are_kept_side_by_side(edge, site):
    site.on("/o", by_encoding)
    kinds = [[("Accept-Encoding", "gzip")], [("Accept-Encoding", "br")], []]
    for expected in ("MISS", "HIT", "HIT"):
        for kind in kinds:
            r = edge.get(site.url("/o"), kind)
            assert r.body == (kind[0][1].encode() if kind else b"none")
            assert r.x_cache == expected
    assert site.count("/o") == 3


def test_a_variant_miss_says_so(edge, plain):
    plain.on("/o", by_encoding)
    edge.get(plain.url("/o"), [("Accept-Encoding", "gzip")])
    assert "fwd=vary-miss" in edge.get(plain.url("/o"), [("Accept-Encoding", "br")]).cache_status


def test_vary_on_two_fields_over_two_lines(edge, plain):
    plain.on("/o", lambda req: Reply(200, fresh(60, ("Vary", "Accept-Encoding"), ("Vary", "accept")),
                                     f"{req.headers.get('Accept')}|{req.headers.get('Accept-Encoding')}".encode()))
    for _ in range(2):
        for a in ("application/json", "text/html"):
            for e in ("gzip", "br"):
                assert edge.get(plain.url("/o"), [("Accept", a), ("Accept-Encoding", e)]).body == f"{a}|{e}".encode()
    assert plain.count("/o") == 4


# -- who may get what


@pytest.mark.parametrize("cache_control", ["max-age=60", "public, max-age=60", "s-maxage=60", "must-revalidate, max-age=60"])
def test_an_authorised_answer_never_reaches_a_credential_the_origin_refuses(edge, site, cache_control):
    def answer(req):
        if req.headers.get("Authorization") != "Bearer good":
            return Reply(401, [("WWW-Authenticate", "Bearer")], b"no", reason="Unauthorized")
        return Reply(200, [("Cache-Control", cache_control), ("ETag", '"1"')], b"secret")
    site.on("/o", answer)
    good, bad = [("Authorization", "Bearer good")], [("Authorization", "Bearer bad")]
    assert edge.get(site.url("/o"), good).body == b"secret"
    for others in ([], bad, [("Authorization", "Basic Z29vZA==")]):
        r = edge.get(site.url("/o"), others)
        assert r.status == 401 and b"secret" not in r.body, others
    assert edge.get(site.url("/o"), good).body == b"secret"


def test_a_public_authorised_answer_is_asked_for_once_per_credential(edge, origin):
    asked = []
    def answer(req):
        asked.append(req.headers.get("Authorization"))
        if req.headers.get("If-None-Match") == '"1"':
            return Reply(304, [("ETag", '"1"'), ("Cache-Control", "public, max-age=60")])
        return Reply(200, [("Cache-Control", "public, max-age=60"), ("ETag", '"1"')], b"shared")
    origin.on("/o", answer)
    for who in ("A", "B", "A", "B", "A", "B"):
        assert edge.get(origin.url("/o"), [("Authorization", who)]).body == b"shared"
    assert asked[:2] == ["A", "B"] and len(asked) == 2, asked


def test_an_authorised_immutable_tarball_is_asked_for_once_per_credential(edge, origin):
    tgz = make_tgz("private-test", "1.0.0")
    def answer(req):
        if req.headers.get("Authorization") not in ("A", "B"):
            return Reply(401, [("WWW-Authenticate", "Bearer")], b"no")
        return Reply(200, [("Cache-Control", "public, immutable, max-age=31536000")], tgz)
    path = "/private-test/-/private-test-1.0.0.tgz"
    origin.on(path, answer)
    for who in ("A", "B", "A", "B"):
        assert edge.get(origin.url(path), [("Authorization", who)]).body == tgz
    assert origin.count(path) == 2
    assert edge.get(origin.url(path), [("Authorization", "C")]).status == 401
    assert edge.get(origin.url(path)).status == 401


def test_an_unmarked_authorised_answer_is_not_stored(edge, origin):
    origin.on("/o", Reply(body=b"x", headers=fresh()))
    for _ in range(2):
        edge.get(origin.url("/o"), [("Authorization", "A")])
    assert origin.count("/o") == 2


def test_a_request_with_a_cookie_passes_with_it(edge, origin):
    origin.on("/o", lambda req: Reply(body=(req.headers.get("Cookie") or "none").encode(), headers=fresh()))
    for cookie in ("a=1", "a=2"):
        assert edge.get(origin.url("/o"), [("Cookie", cookie)]).body == cookie.encode()
    assert edge.get(origin.url("/o")).body == b"none"
    assert edge.get(origin.url("/o"), [("Cookie", "a=3")]).body == b"a=3"


def test_a_cookie_does_not_matter_for_an_immutable_object(edge, origin):
    tgz = make_tgz("cookie-test", "1.0.0")
    origin.on("/cookie-test/-/cookie-test-1.0.0.tgz", Reply(body=tgz))
    for n in range(3):
        assert edge.get(origin.url("/cookie-test/-/cookie-test-1.0.0.tgz"), [("Cookie", f"s={n}")]).body == tgz
    assert origin.count() == 1


def test_a_cookie_set_for_one_client_never_reaches_another(edge, origin):
    n = [0]
    def answer(req):
        n[0] += 1
        return Reply(body=b"x", headers=fresh(60, ("Set-Cookie", f"id={n[0]}")))
    origin.on("/o", answer)
    assert edge.get(origin.url("/o")).headers.get("Set-Cookie") == "id=1"
    assert edge.get(origin.url("/o")).headers.get("Set-Cookie") in (None, "id=2")


# -- methods


def test_post_is_never_answered_from_cache_and_drops_what_was_stored(edge, plain):
    n = [0]
    def answer(req):
        n[0] += 1
        return Reply(body=b"%d" % n[0], headers=fresh())
    plain.on("/o", answer)
    assert edge.get(plain.url("/o")).body == b"1"
    assert edge.ask("POST", plain.url("/o"), body=b"x").body == b"2"
    assert edge.ask("POST", plain.url("/o"), body=b"x").body == b"3"
    assert edge.get(plain.url("/o")).body == b"4"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
def test_other_methods_pass(edge, origin, method):
    origin.on("/o", lambda req: Reply(body=req.method.encode()))
    assert edge.ask(method, origin.url("/o"), body=b"" if method == "OPTIONS" else b"x").body == method.encode()


# -- immutable classes


def tarball(name):
    return f"/{name}/-/{name}-1.0.0.tgz", make_tgz(name, "1.0.0")


WHEEL = b"PK\x03\x04" + blob(500)
B2 = hashlib.blake2b(WHEEL, digest_size=32).hexdigest()
GEM = b"metadata.gz".ljust(257, b"\0") + b"ustar\x0000" + b"\0" * 247 + blob(512)
IMMUTABLE = {
    "npm": tarball("imm-test"),
    "npm scoped": ("/@scope/imm-test/-/imm-test-1.0.0.tgz", make_tgz("@scope/imm-test", "1.0.0")),
    "npm mirror": ("/artifactory/api/npm/all/imm-test/-/imm-test-1.0.0.tgz", make_tgz("imm-test", "1.0.0")),
    "wheel": (f"/packages/{B2[:2]}/{B2[2:4]}/{B2[4:]}/imm_test-1.0-py3-none-any.whl", WHEEL),
    "gem": ("/gems/imm-test-1.0.gem", GEM),
}


@pytest.mark.parametrize("kind", IMMUTABLE)
@pytest.mark.parametrize("headers", [[], [("Cache-Control", "max-age=0")], [("Cache-Control", "no-cache")]], ids=str)
def test_immutable_artefacts_are_fresh_for_good_whatever_the_client_asks(edge, origin, kind, headers):
    path, body = IMMUTABLE[kind]
    origin.on(path, Reply(body=body, headers=headers))
    assert edge.get(origin.url(path)).body == body
    for ask in ([], [("Cache-Control", "no-cache")], [("Pragma", "no-cache")], [("Cache-Control", "max-age=0")],
                [("Cache-Control", "no-cache, no-store"), ("Pragma", "no-cache")]):
        r = edge.get(origin.url(path), ask)
        assert (r.body, r.x_cache) == (body, "HIT"), ask
        if ask:
            assert "detail=immutable" in r.cache_status, (ask, r.cache_status)
    assert origin.count(path) == 1


@pytest.mark.parametrize("reply", [
    Reply(200, [("Content-Type", "text/html")], b"<html>please log in</html>"),
    Reply(200, [("Content-Type", "application/octet-stream")], b"<html>please log in</html>"),
    Reply(200, [("Content-Type", "text/html; charset=utf-8")], make_tgz("portal", "1.0.0")),
    Reply(500, [], b"oops"),
    Reply(403, [], b"no"),
], ids=["html", "html without saying so", "a tarball said to be html", "500", "403"])
def test_captive_portals_and_error_pages_are_not_immutable(edge, origin, reply):
    path, tgz = tarball("portal-test")
    origin.on(path, reply)
    edge.get(origin.url(path))
    origin.on(path, Reply(body=tgz))
    assert edge.get(origin.url(path)).body == tgz
    assert origin.count(path) == 2


def test_a_missing_tarball_is_remembered_for_a_moment_only(edge, origin):
    path, tgz = tarball("late-test")
    origin.on(path, Reply(404, [("Content-Type", "text/plain")], b"not found", reason="Not Found"))
    assert edge.get(origin.url(path)).status == 404
    r = edge.get(origin.url(path))
    assert r.status == 404 and int(re.search(r"ttl=(-?\d+)", r.cache_status).group(1)) <= 10
    assert edge.log(path, 2)[1].result == "TCP_NEGATIVE_HIT"
    edge.ask("PURGE", origin.url(path))
    origin.on(path, Reply(body=tgz))
    assert edge.get(origin.url(path)).body == tgz


def test_a_truncated_tarball_is_cut_visibly_and_never_stored(edge, origin):
    path, tgz = tarball("cut-test")
    origin.raw(path, lambda conn, req: conn.send(
        f"HTTP/1.1 200 OK\r\nContent-Length: {len(tgz)}\r\n\r\n".encode() + tgz[:-20]))
    r = edge.get(origin.url(path))
    assert r.cut or r.status == 502
    origin._raw.clear()
    origin.on(path, Reply(body=tgz))
    r = edge.get(origin.url(path))
    assert (r.body, r.x_cache) == (tgz, "MISS")


# -- integrity


def sri(data):
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


def repr_digest(data):
    return "sha-256=:" + base64.b64encode(hashlib.sha256(data).digest()).decode() + ":"


def test_a_body_that_does_not_fit_its_repr_digest_is_cut_and_not_stored(edge, plain):
    body = blob(300_000)
    plain.on("/o", Reply(body=body[:-1] + b"!", headers=fresh(60, ("Repr-Digest", repr_digest(body)))))
    r = edge.get(plain.url("/o"))
    assert r.cut or r.status == 502, "the client must see that something is wrong"
    plain.on("/o", Reply(body=body, headers=fresh(60, ("Repr-Digest", repr_digest(body)))))
    r = edge.get(plain.url("/o"))
    assert (r.body, r.x_cache) == (body, "MISS")
    assert edge.get(plain.url("/o")).x_cache == "HIT"


def test_a_tarball_that_does_not_fit_pacote_integrity_is_cut_and_not_stored(edge, origin):
    path, tgz = tarball("pacote-test")
    evil = make_tgz("pacote-test", "6.6.6")
    want = [("pacote-integrity", sri(tgz))]
    origin.on(path, Reply(body=evil))
    r = edge.get(origin.url(path), want)
    assert r.cut or r.status == 502
    origin.on(path, Reply(body=tgz))
    assert edge.get(origin.url(path), want).body == tgz
    assert edge.get(origin.url(path), want).x_cache == "HIT"


# -- stale service

# What npm says of itself: a path as short as /name is a packument only when npm asks.
NPM = [("Accept", "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*"), ("npm-command", "install")]


def test_a_stale_index_is_served_when_its_origin_is_gone(edge, origin):
    origin.on("/left-pad-test", Reply(body=b'{"name":"left-pad-test"}', headers=[
        ("Content-Type", "application/json"), ("Cache-Control", "max-age=0"), ("ETag", '"1"')]))
    edge.get(origin.url("/left-pad-test"), NPM)
    origin.shutdown()
    r = edge.get(origin.url("/left-pad-test"), NPM)
    assert (r.status, r.body) == (200, b'{"name":"left-pad-test"}')
    assert r.age is not None and "Warning" not in r.headers
    assert edge.log(origin.url("/left-pad-test"), 2)[1].result in ("TCP_REFRESH_FAIL_OLD", "TCP_MEM_HIT")


@pytest.mark.parametrize("path", ["/left-pad-test", "/simple/x/", "/versions", "/info/x"])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_stale_index_is_served_when_its_origin_answers_5xx(edge, origin, path, status):
    origin.on(path, Reply(body=b"index", headers=[("Cache-Control", "max-age=0"), ("ETag", '"1"')]))
    edge.get(origin.url(path), NPM)
    origin.on(path, Reply(status, [], b"oops", reason="Oops"))
    assert edge.get(origin.url(path), NPM).body == b"index"


def test_an_index_whose_age_is_above_its_lifetime_is_cached_all_the_same(edge, origin):
    origin.on("/info/x", Reply(body=b"---\n1.0 |\n", headers=fresh(60, ("Age", "4000"), ("ETag", '"1"'))))
    edge.get(origin.url("/info/x"))
    assert edge.get(origin.url("/info/x")).x_cache == "HIT"
    assert origin.count("/info/x") == 1


def test_must_revalidate_is_not_served_stale(edge, plain):
    plain.on("/o", Reply(body=b"x", headers=[("Cache-Control", "max-age=0, must-revalidate"), ("ETag", '"1"')]))
    edge.get(plain.url("/o"))
    plain.shutdown()
    assert edge.get(plain.url("/o")).status in (502, 504)


def test_other_stale_objects_are_served_on_failure_only_if_the_origin_allowed_it(edge, plain):
    plain.on("/a", Reply(body=b"x", headers=[("Cache-Control", "max-age=0, stale-if-error=600"), ("ETag", '"1"')]))
    edge.get(plain.url("/a"))
    plain.shutdown()
    assert edge.get(plain.url("/a")).body == b"x"


# -- purge


def test_purge_removes_all_variants_of_a_url(edge, plain):
    plain.on("/o", by_encoding)
    for kind in ("gzip", "br"):
        edge.get(plain.url("/o"), [("Accept-Encoding", kind)])
    assert edge.ask("PURGE", plain.url("/o")).status == 200
    for kind in ("gzip", "br"):
        assert edge.get(plain.url("/o"), [("Accept-Encoding", kind)]).x_cache == "MISS"
    assert plain.count("/o", "PURGE") == 0


def test_purge_of_an_https_object_inside_the_bump(edge, origin):
    origin.on("/o", Reply(body=b"x", headers=fresh()))
    edge.get(origin.url("/o"))
    assert edge.ask("PURGE", origin.url("/o")).status == 200
    assert edge.get(origin.url("/o")).x_cache == "MISS"


def test_purge_of_what_is_not_there_is_404(edge, plain):
    assert edge.ask("PURGE", plain.url("/never")).status == 404


def test_purge_is_refused_where_it_is_not_allowed(make, plain):
    e = make.edge({"access": {"purge": []}})
    plain.on("/o", Reply(body=b"x", headers=fresh()))
    e.get(plain.url("/o"))
    assert e.ask("PURGE", plain.url("/o")).status in (403, 405)
    assert e.get(plain.url("/o")).x_cache == "HIT"
    assert plain.count("/o") == 1


# -- memory


def test_the_memory_limit_holds_and_every_body_is_still_right(make, plain):
    e = make.edge({"cache": {"memory": {"size": "16MB"}}})
    for n in range(60):
        plain.on(f"/{n}", Reply(body=blob(1_000_000, n), headers=fresh()))
    for n in range(10):
        e.get(plain.url(f"/{n}"))
    start = e.rss_bytes()
    for n in range(60):
        assert e.get(plain.url(f"/{n}")).body == blob(1_000_000, n)
    if e.may_measure_memory():
        assert e.rss_bytes() - start < 24_000_000, "60 MB of objects into 16 MB of memory"
    assert e.get(plain.url("/59")).body == blob(1_000_000, 59)
    assert 60 <= plain.count() <= 75


def test_a_small_object_asked_for_often_outlives_large_ones_asked_for_once(make, plain):
    e = make.edge({"cache": {"memory": {"size": "16MB"}}})
    plain.on("/small", Reply(body=blob(1000, "small"), headers=fresh()))
    for _ in range(5):
        e.get(plain.url("/small"))
    for n in range(40):
        plain.on(f"/{n}", Reply(body=blob(1_000_000, n), headers=fresh()))
        e.get(plain.url(f"/{n}"))
    assert e.get(plain.url("/small")).x_cache == "HIT"


# -- settings of the cache


def test_offline_answers_from_the_cache_only(make, plain):
    e = make.edge()
    plain.on("/o", Reply(body=b"x", headers=[("Cache-Control", "max-age=0"), ("ETag", '"1"')]))
    e.get(plain.url("/o"))
    e.overrides = {"cache": {"offline": True}}
    e.write_config()
    e.reload()
    eventually("offline", lambda: e.get(plain.url("/never")).status == 504)
    seen = plain.count()
    r = e.get(plain.url("/o"))
    assert (r.status, r.body) == (200, b"x") and plain.count() == seen
    assert e.log(plain.url("/o"), 2)[1].result == "TCP_OFFLINE_HIT"


def test_authorized_rfc_shares_what_the_rfc_allows(make, origin):
    e = make.edge({"cache": {"authorized": "rfc"}})
    origin.on("/public", Reply(body=b"x", headers=[("Cache-Control", "public, max-age=60")]))
    origin.on("/unmarked", Reply(body=b"x", headers=fresh()))
    for who in ("A", "B"):
        for path in ("/public", "/unmarked"):
            e.get(origin.url(path), [("Authorization", who)])
    assert (origin.count("/public"), origin.count("/unmarked")) == (1, 2)


def test_own_classes_come_before_the_built_in_ones(make, origin):
    tgz = make_tgz("class-test", "1.0.0")
    e = make.edge({"cache": {"classes": []}})
    rules = ('  classes:\n  - {host: "origin.test", path: "/wheels/*.bin", class: immutable}\n'
             '  - {path: "*/slow-index", class: mutable, ttl: 5m}\n  - {path: "/private/*", class: pass}\n')
    e.write_config(e.config_file.read_text().replace("  classes: []\n", rules))
    e.stop()
    e.start()
    for path in ("/wheels/a.bin", "/x/slow-index", "/private/-/private-1.0.0.tgz", "/other.bin"):
        origin.on(path, Reply(body=tgz))
        for _ in range(2):
            assert e.get(origin.url(path)).body == tgz
    assert [origin.count(p) for p in ("/wheels/a.bin", "/x/slow-index", "/private/-/private-1.0.0.tgz", "/other.bin")] \
        == [1, 1, 2, 2]


def test_an_object_too_large_to_keep_is_passed_on_whole(edge, origin):
    body = blob(20_000_000)
    origin.on("/big", Reply(body=body, headers=fresh()))
    for _ in range(2):
        assert edge.get(origin.url("/big")).body == body
    assert origin.count("/big") == 2
