"""What is somebody's own, or changes, is nobody else's business: not a question is asked about it, and nothing leaves."""

import base64

import pytest

from lab import Reply, eventually
from lab.cluster import IMMUTABLE, again_if_late


@pytest.fixture(scope="module")
def pair(shared):
    c = shared.cluster(2)
    c.start()
    return c


def an_origin(make, path, reply):
    o = make.origin(tls=False, name="plain.test")
    o.on(path, reply)
    return o, o.url(path)


UNASKED = {
    "authorization": ("GET", IMMUTABLE + "x", [("Authorization", "Bearer abc")]),
    "cookie": ("GET", IMMUTABLE + "x", [("Cookie", "session=1")]),
    "index": ("GET", "/simple/left-pad/", []),
    "unknown": ("GET", "/whatever", []),
    "post": ("POST", IMMUTABLE + "x", []),
}


@pytest.mark.parametrize("which", UNASKED)
def test_nobody_is_asked(pair, make, which):
    a, b = pair.mend()
    method, path, headers = UNASKED[which]
    o, url = an_origin(make, path, Reply(body=b"mine", headers=[("Cache-Control", "public, max-age=600")]))
    before = a.keys_asked(), b.keys_asked()
    for e in (a, b):
        assert e.ask(method, url, headers).body == b"mine"
    assert (a.keys_asked(), b.keys_asked()) == before
    assert o.count() == 2
    assert b.log(url)[0].hier == "HIER_DIRECT"


def test_userinfo_is_a_credential_too(pair, make):
    a, b = pair.mend()
    o, url = an_origin(make, IMMUTABLE + "x", Reply(body=b"mine"))
    before = a.keys_asked()
    with a.connect() as c:
        assert c.get(url.replace("http://", "http://me%40a.test:s%2Fcret@"), host=o.authority).body == b"mine"
    assert o.last().headers.get("Authorization") == "Basic " + base64.b64encode(b"me@a.test:s/cret").decode()
    assert a.keys_asked() == before


@again_if_late
def test_a_cookie_that_came_with_a_file_stays_with_whom_it_came_to(pair, make):
    """Load balancers set them on everything; the file is everybody's, the cookie is not."""
    a, b = pair.mend()
    o = make.origin(tls=False, name="plain.test")
    gate = o.gate()
    o.on(IMMUTABLE + "x", lambda req: Reply(body=[b"x" * 1000, gate, b"y" * 1000], length=2000,
                                            headers=[("Set-Cookie", "a=b")]))
    url = o.url(IMMUTABLE + "x")
    c, target = a.session(url)
    c.request("GET", target)
    gate.await_waiting()
    along, target = b.session(url)
    along.request("GET", target)
    eventually("it is asked for", lambda: b.peer("edge1")["asked"]["pending"])
    gate.open()
    r = along.response()
    assert "Set-Cookie" not in r.headers and len(r.body) == 2000
    assert len(c.response().body) == 2000
    c.close()
    along.close()
    assert o.count() == 1


@again_if_late
def test_what_was_given_to_a_credential_is_not_given_to_siblings(pair, make):
    a, b = pair.mend()
    o, url = an_origin(make, IMMUTABLE + "x", lambda req: Reply(body=b"secret") if "Authorization" in req.headers
                       else Reply(401, body=b"who are you"))
    before = b.peer("edge1")["asked"]["hit"], b.peer("edge1")["fetches"]
    assert a.get(url, [("Authorization", "Bearer abc")]).body == b"secret"
    assert b.get(url).status == 401
    assert (b.peer("edge1")["asked"]["hit"], b.peer("edge1")["fetches"]) == before
    assert o.count() == 2


PRIVATE = {
    "private": [("Cache-Control", "private, max-age=600")],
    "no-store": [("Cache-Control", "no-store")],
    "vary-star": [("Vary", "*")],
    "html": [("Content-Type", "text/html")],
}


@pytest.mark.parametrize("which", PRIVATE)
def test_an_answer_that_is_not_for_all_stays(pair, make, which):
    a, b = pair.mend()
    o, url = an_origin(make, IMMUTABLE + "x", Reply(body=b"mine", headers=PRIVATE[which]))
    before = b.peer("edge1")["fetches"]
    assert a.get(url).body == b"mine"
    a.log(url)  # over, so that b does not ask while it is still coming
    assert b.get(url).body == b"mine"
    assert o.count() == 2
    assert b.peer("edge1")["fetches"] == before


@again_if_late
def test_an_error_is_not_shared(pair, make):
    a, b = pair.mend()
    o, url = an_origin(make, IMMUTABLE + "x", Reply(404, body=b"no", headers=[("Cache-Control", "max-age=600")]))
    assert a.get(url).status == 404
    o.on(IMMUTABLE + "x", Reply(body=b"now it is"))
    assert b.get(url).body == b"now it is"


@again_if_late
def test_a_private_one_that_others_wait_for_releases_them(pair, make):
    """b reads along with a; then the head shows that this is for a alone."""
    a, b = pair.mend()
    o = make.origin(tls=False, name="plain.test")
    gate = o.gate()

    def answer(req):
        gate.wait()
        return Reply(body=b"for %d" % req.conn_id, headers=[("Cache-Control", "private")])
    o.on(IMMUTABLE + "x", answer)
    url = o.url(IMMUTABLE + "x")
    clients = []
    for e in (a, b):
        c, target = e.session(url)
        c.request("GET", target)
        clients.append(c)
        if e is a:
            gate.await_waiting()
    b.await_read(b.bump_port)
    gate.open()
    bodies = [c.response().body for c in clients]
    assert len(set(bodies)) == 2 and all(b.startswith(b"for ") for b in bodies)
    for c in clients:
        c.close()


def test_names_of_our_own_fields_mean_nothing_to_clients_and_origins(pair, make):
    a, _ = pair.mend()
    o, url = an_origin(make, "/x", Reply(body=b"x", headers=[("Pmc-Status", "HIT"), ("Pmc-Digest", "0" * 64)]))
    r = a.get(url, [("Pmc-Hop", "lab 1 edge1"), ("Pmc-Only", "1"), ("Pmc-From", "7"), ("Pmc-Url", "http://other.test/")])
    assert (r.status, r.body) == (200, b"x")
    assert not [n for n, _ in o.last().headers if n.lower().startswith("pmc-")]
    assert not [n for n, _ in r.headers if n.lower().startswith("pmc-")]
