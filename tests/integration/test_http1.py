"""HTTP/1.1 on both sides: what is refused, what is streamed, what is passed on and what is not.

run-tests: not for threads
"""

import threading

import pytest

from lab import Reply, blob, eventually, steady
from lab.wire import STATUS_LINE

STORED = [("Cache-Control", "max-age=60")]


class Way:
    """Plain absolute-form or inside the bump: a connection, and the target and host to write."""

    def __init__(self, edge, origin):
        self.edge, self.origin = edge, origin
        self.host = origin.authority

    def open(self):
        return self.edge.bumped(self.origin) if self.origin.pair else self.edge.connect()

    def target(self, path="/o"):
        return path if self.origin.pair else self.origin.url(path)

    def fill(self, raw):
        return raw.replace(b"{t}", self.target().encode()).replace(b"{h}", self.host.encode())


@pytest.fixture(params=["plain", "bumped"])
def way(request, edge, make):
    o = make.origin(tls=request.param == "bumped", name="origin.test" if request.param == "bumped" else "plain.test")
    o.on("/o", Reply(body=b"answer", headers=STORED))
    return Way(edge, o)


# -- requests that are refused: the status, and the connection ends

P = b"POST {t} HTTP/1.1\r\nHost: {h}\r\n"
G = b"GET {t} HTTP/1.1\r\nHost: {h}\r\n"
SMUGGLED = b"GET /evil HTTP/1.1\r\nHost: {h}\r\n\r\n"
REFUSED = {
    "length and chunked": (P + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, {400}),
    "chunked and length": (P + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED, {400}),
    "two lengths that differ": (P + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345", {400}),
    "two lengths that agree": (P + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n12345", {400}),
    "a list of lengths": (P + b"Content-Length: 5, 5\r\n\r\n12345", {400}),
    "length with plus": (P + b"Content-Length: +5\r\n\r\n12345", {400}),
    "negative length": (P + b"Content-Length: -5\r\n\r\n12345", {400}),
    "hexadecimal length": (P + b"Content-Length: 0x5\r\n\r\n12345", {400}),
    "length with a point": (P + b"Content-Length: 5.0\r\n\r\n12345", {400}),
    "empty length": (P + b"Content-Length:\r\n\r\n", {400}),
    "length with inner space": (P + b"Content-Length: 1 5\r\n\r\n12345", {400}),
    "absurd length": (P + b"Content-Length: 99999999999999999999999\r\n\r\n", {400, 413}),
    "gzip coding": (P + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", {501, 400}),
    "gzip alone": (P + b"Transfer-Encoding: gzip\r\n\r\n", {501, 400}),
    "identity coding": (P + b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\n12345", {501, 400}),
    "chunked twice": (P + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", {501, 400}),
    "two coding fields": (P + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", {501, 400}),
    "xchunked": (P + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", {501, 400}),
    "chunked with a parameter": (P + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", {501, 400}),
    "coding behind VT": (P + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", {501, 400}),
    "coding behind FF": (P + b"Transfer-Encoding:\x0cchunked\r\n\r\n0\r\n\r\n", {501, 400}),
    "chunked in HTTP/1.0": (b"POST {t} HTTP/1.0\r\nHost: {h}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400, 501}),
    "space before the colon": (G + b"X-A : b\r\n\r\n", {400}),
    "length with space before the colon": (P + b"Content-Length : 5\r\n\r\n12345", {400}),
    "tab before the colon": (G + b"X-A\t: b\r\n\r\n", {400}),
    "obs-fold": (G + b"X-A: b\r\n c\r\n\r\n", {400}),
    "obs-fold with tab": (G + b"X-A: b\r\n\tc\r\n\r\n", {400}),
    "white space before the first field": (b"GET {t} HTTP/1.1\r\n Host: {h}\r\n\r\n", {400}),
    "bare LF": (b"GET {t} HTTP/1.1\nHost: {h}\n\n", {400}),
    "bare LF after a field": (G + b"X-A: b\nX-B: c\r\n\r\n", {400}),
    "bare CR in a value": (G + b"X-A: b\rX-B: c\r\n\r\n", {400}),
    "NUL in a value": (G + b"X-A: b\x00c\r\n\r\n", {400}),
    "NUL in a name": (G + b"X\x00A: b\r\n\r\n", {400}),
    "VT in a name": (G + b"X\x0bA: b\r\n\r\n", {400}),
    "VT in a value": (G + b"X-A: \x0bb\r\n\r\n", {400}),
    "DEL in a value": (G + b"X-A: b\x7f\r\n\r\n", {400}),
    "no colon": (G + b"nonsense\r\n\r\n", {400}),
    "empty name": (G + b": b\r\n\r\n", {400}),
    "name with a comma": (G + b"A,B: b\r\n\r\n", {400}),
    "name with 8-bit bytes": (G + b"\xc3\xa4: b\r\n\r\n", {400}),
    "no host": (b"GET {t} HTTP/1.1\r\nX-A: b\r\n\r\n", {400}),
    "two hosts": (G + b"Host: {h}\r\n\r\n", {400}),
    "two hosts that differ": (G + b"Host: evil.test\r\n\r\n", {400}),
    "empty host": (b"GET {t} HTTP/1.1\r\nHost:\r\n\r\n", {400, 421}),
    "host with a user": (b"GET {t} HTTP/1.1\r\nHost: a@{h}\r\n\r\n", {400}),
    "host with a space": (b"GET {t} HTTP/1.1\r\nHost: a {h}\r\n\r\n", {400}),
    "host with a path": (b"GET {t} HTTP/1.1\r\nHost: {h}/x\r\n\r\n", {400}),
    "host with a bad port": (b"GET {t} HTTP/1.1\r\nHost: origin.test:99999\r\n\r\n", {400, 421}),
    "HTTP/0.9": (b"GET {t}\r\n\r\n", {400}),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}),
    "HTTP/3.0": (b"GET {t} HTTP/3.0\r\nHost: {h}\r\n\r\n", {400, 505}),
    "HTTP/1.10": (b"GET {t} HTTP/1.10\r\nHost: {h}\r\n\r\n", {400, 505}),
    "lower-case version": (b"GET {t} http/1.1\r\nHost: {h}\r\n\r\n", {400, 505}),
    "two spaces": (b"GET  {t} HTTP/1.1\r\nHost: {h}\r\n\r\n", {400}),
    "tab in the request line": (b"GET\t{t} HTTP/1.1\r\nHost: {h}\r\n\r\n", {400}),
    "trailing space": (b"GET {t} HTTP/1.1 \r\nHost: {h}\r\n\r\n", {400, 505}),
    "space in the target": (b"GET {t} x HTTP/1.1\r\nHost: {h}\r\n\r\n", {400, 505}),
    "control character in the target": (b"GET {t}\x01 HTTP/1.1\r\nHost: {h}\r\n\r\n", {400}),
    "broken method": (b"G@T {t} HTTP/1.1\r\nHost: {h}\r\n\r\n", {400, 501}),
    "other scheme": (b"GET ftp://{h}/o HTTP/1.1\r\nHost: {h}\r\n\r\n", {400, 421, 501}),
    "target without slash": (b"GET o HTTP/1.1\r\nHost: {h}\r\n\r\n", {400}),
    "head too large": (G + b"X-A: " + b"a" * 70000 + b"\r\n\r\n", {431}),
    "too many fields": (G + b"".join(b"X-%d: b\r\n" % n for n in range(1000)) + b"\r\n", {431}),
    "target too long": (b"GET {t}" + b"a" * 70000 + b" HTTP/1.1\r\nHost: {h}\r\n\r\n", {414, 431}),
    "unknown expectation": (P + b"Expect: miracles\r\nContent-Length: 5\r\n\r\n12345", {417}),
    "not http at all": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", {400}),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_malformed_request_is_refused_and_the_connection_ends(way, fault):
    raw, statuses = REFUSED[fault]
    with way.open() as c:
        try:
            c.send(way.fill(raw))
        except (ConnectionError, OSError):
            pass  # refused before it had all: the answer is there to be read
        r = c.response()
        assert r.status in statuses, r
        assert r.closing, "the answer must say that the connection ends"
        assert r.headers.get("Content-Type", "").startswith("text/plain") and r.body
        assert c.ended()
    assert way.origin.count("/evil") == 0
    assert way.origin.count("/o") == 0


BAD_CHUNKS = {
    "no number": b"g\r\nabc\r\n0\r\n\r\n", "negative": b"-1\r\nabc\r\n0\r\n\r\n", "0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "plus": b"+3\r\nabc\r\n0\r\n\r\n", "leading space": b" 3\r\nabc\r\n0\r\n\r\n", "trailing space": b"3 \r\nabc\r\n0\r\n\r\n",
    "empty line": b"\r\n", "bare LF": b"3\nabc\n0\n\n", "too long a number": b"11111111111111111\r\nabc\r\n0\r\n\r\n",
    "no CRLF after the bytes": b"3\r\nabcde\r\n0\r\n\r\n", "LF after the bytes": b"3\r\nabc\n0\r\n\r\n",
    "CR in an extension": b"3;a\rb\r\nabc\r\n0\r\n\r\n", "LF in an extension": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "bad trailer": b"3\r\nabc\r\n0\r\nX Y: z\r\n\r\n", "endless extension": b"3;" + b"a" * 100_000 + b"\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("fault", BAD_CHUNKS)
def test_a_bad_chunk_of_an_upload_is_refused_and_never_ended_upstream(way, fault):
    seen = []
    def take(req, pieces):
        seen.append((req, [bytes(p) for p in pieces()]))
        return Reply(body=b"taken")
    way.origin.stream("/o", take)
    with way.open() as c:
        c.send(way.fill(P + b"Transfer-Encoding: chunked\r\n\r\n") + BAD_CHUNKS[fault])
        r = c.response()
        assert r.status in (400, 431), r
        assert c.ended()
    assert not any(req.complete for req, _ in seen)
    assert not way.origin.errors or not isinstance(way.origin.errors[0], AssertionError)
    way.origin.errors.clear()


@pytest.mark.parametrize("rest", [b"5\r\nabcde\r\n", b"5\r\nab", b""], ids=["after a chunk", "within a chunk", "at once"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_an_aborted_chunked_upload_is_never_ended_cleanly_upstream(way, how, rest):
    done = threading.Event()
    seen = []
    def take(req, pieces):
        seen.append(req)
        try:
            for _ in pieces():
                pass
        finally:
            done.set()
        return Reply()
    way.origin.stream("/o", take)
    c = way.open()
    c.send(way.fill(P + b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n") + rest)
    eventually("the upload reaches the origin", lambda: seen)
    getattr(c, how)()
    assert done.wait(10), "the origin was left waiting"
    assert not seen[0].complete
    way.origin.errors.clear()


def test_an_aborted_upload_with_a_length_ends_the_link_upstream(way):
    done = threading.Event()
    seen = []
    def take(req, pieces):
        seen.append(req)
        try:
            for _ in pieces():
                pass
        finally:
            done.set()
        return Reply()
    way.origin.stream("/o", take)
    c = way.open()
    c.send(way.fill(P + b"Content-Length: 100\r\n\r\n12345"))
    eventually("the upload reaches the origin", lambda: seen)
    c.close()
    assert done.wait(10) and not seen[0].complete


# -- answers that are refused

R = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"
BAD_ANSWERS = {
    "length and chunked": R + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": R + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "negative length": R + b"Content-Length: -3\r\n\r\nabc",
    "odd length": R + b"Content-Length: 3x\r\n\r\nabc",
    "absurd length": R + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
    "gzip coding": R + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "chunked twice": R + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "coding behind VT": R + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
    "obs-fold": R + b"X-A: b\r\n c\r\nContent-Length: 3\r\n\r\nabc",
    "space before the colon": R + b"X-A : b\r\nContent-Length: 3\r\n\r\nabc",
    "NUL in a value": R + b"X-A: b\x00\r\nContent-Length: 3\r\n\r\nabc",
    "CR in a value": R + b"X-A: b\rc\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/0.9": b"<html>old</html>",
    "a banner of something else": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 3\r\n\r\nabc",
    "status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 3\r\n\r\nabc",
    "status 999": b"HTTP/1.1 999 OK\r\nContent-Length: 3\r\n\r\nabc",
    "status 099": b"HTTP/1.1 099 OK\r\nContent-Length: 3\r\n\r\nabc",
    "endless head": R + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 1000) for n in range(1000)) + b"\r\n",
    "too many fields": R + b"".join(b"X-%d: b\r\n" % n for n in range(2000)) + b"\r\n",
    "101 that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "nothing": b"",
    "half a head": R + b"Content-Le",
}


@pytest.mark.parametrize("fault", BAD_ANSWERS)
def test_a_malformed_answer_is_a_502_that_says_why_and_is_not_stored(way, fault):
    def answer(conn, req):
        conn.send(BAD_ANSWERS[fault])
    way.origin.raw("/bad", answer)
    for _ in range(2):
        with way.open() as c:
            r = c.get(way.target("/bad"), host=way.host)
            assert r.status == 502, r
            assert r.headers.get("Content-Type", "").startswith("text/plain") and len(r.text) > 20
            assert r.x_cache != "HIT"
    assert way.origin.count("/bad") >= 2


@pytest.mark.parametrize("fault", ["g\r\nabc\r\n", "3\r\nabcde\r\n", "3\nabc\n", "-3\r\nabc\r\n", "3\r\nab"])
def test_a_bad_chunk_of_an_answer_is_a_visible_cut_and_not_stored(way, fault):
    way.origin.raw("/bad", lambda conn, req: conn.send(
        R + b"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n" + fault.encode()))
    for _ in range(2):
        with way.open() as c:
            r = c.get(way.target("/bad"), host=way.host)
            assert r.status == 502 or r.cut, r
            assert r.status == 502 or c.ended()
    assert way.origin.count("/bad") >= 2


def test_an_answer_that_ends_with_the_connection_needs_a_proper_end_of_tls(edge, origin):
    """Without close_notify anybody on the way could have cut it (RFC 9112 section 9.8)."""
    origin.abrupt = True
    origin.on("/o", Reply(body=blob(100_000), framing="close", headers=STORED))
    for _ in range(2):
        r = edge.get(origin.url("/o"))
        assert r.cut or r.status == 502
    origin.abrupt = False
    assert edge.get(origin.url("/o")).body == blob(100_000)
    assert origin.count("/o") == 3


@pytest.mark.parametrize("answer,method", [
    (b"HTTP/1.1 204 No Content\r\n\r\n", "GET"),
    (b"HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n", "GET"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n", "HEAD"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "GET"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "GET"),
], ids=["204", "304", "HEAD", "length", "chunked"])
def test_bytes_left_over_after_an_answer_end_the_link(way, answer, method):
    poison = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nCache-Control: max-age=60\r\n\r\nevil"
    way.origin.raw("/first", lambda conn, req: conn.send(answer + poison) or True)
    with way.open() as c:
        headers = [("If-None-Match", '"1"')] if b"304" in answer else []
        r = c.ask(method, way.target("/first"), headers, host=way.host)
        assert r.status in (200, 204, 304)
    with way.open() as c:
        assert c.get(way.target("/o"), host=way.host).body == b"answer"
    assert way.origin.last("/o").conn_id != way.origin.last("/first").conn_id


# -- pipelining, keep-alive


def test_ten_pipelined_requests_are_answered_in_order(way):
    for n in range(10):
        way.origin.on(f"/{n}", Reply(body=b"answer %d" % n, headers=STORED if n % 2 else []))
    with way.open() as c:
        c.send(b"".join(f"GET {way.target(f'/{n}')} HTTP/1.1\r\nHost: {way.host}\r\n\r\n".encode() for n in range(10)))
        assert [c.response().body for _ in range(10)] == [b"answer %d" % n for n in range(10)]
        c.send(b"".join(f"GET {way.target(f'/{n}')} HTTP/1.1\r\nHost: {way.host}\r\n\r\n".encode() for n in range(10)))
        assert [c.response().body for _ in range(10)] == [b"answer %d" % n for n in range(10)]


def test_pipelined_requests_with_bodies_between(way):
    way.origin.on("/echo", lambda req: Reply(body=req.body))
    one = f"POST {way.target('/echo')} HTTP/1.1\r\nHost: {way.host}\r\n"
    with way.open() as c:
        c.send((one + "Content-Length: 3\r\n\r\nabc").encode() + (one + "Transfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n").encode()
               + way.fill(G + b"\r\n"))
        assert [c.response().body for _ in range(3)] == [b"abc", b"def", b"answer"]


def test_a_pipeline_behind_a_slow_answer_waits_its_turn(way):
    gate = way.origin.gate()
    way.origin.on("/slow", lambda req: (gate.wait(), Reply(body=b"slow"))[1])
    with way.open() as c:
        c.get(way.target(), host=way.host)
        c.send(f"GET {way.target('/slow')} HTTP/1.1\r\nHost: {way.host}\r\n\r\n".encode() + way.fill(G + b"\r\n"))
        gate.await_waiting()
        gate.open()
        assert [c.response().body for _ in range(2)] == [b"slow", b"answer"]


def test_connection_close_is_honoured_and_said(way):
    with way.open() as c:
        r = c.get(way.target(), [("Connection", "close")], host=way.host)
        assert r.body == b"answer" and r.closing and c.ended()


def test_http_1_0_gets_an_answer_it_understands(way):
    way.origin.on("/chunked", lambda req: Reply(body=[b"a", b"b"], framing="chunked"))
    with way.open() as c:
        c.request("GET", way.target("/chunked"), [("Host", way.host)], version="HTTP/1.0")
        r = c.response()
        assert r.body == b"ab" and "Transfer-Encoding" not in r.headers and c.ended()


def test_http_1_0_with_keep_alive_is_kept(way):
    with way.open() as c:
        for _ in range(2):
            c.request("GET", way.target(), [("Host", way.host), ("Connection", "keep-alive")], version="HTTP/1.0")
            assert c.response().body == b"answer"


def test_an_empty_line_before_a_request_is_skipped(way):
    with way.open() as c:
        c.send(b"\r\n" + way.fill(G + b"\r\n"))
        assert c.response().body == b"answer"


def test_a_request_in_single_bytes(way):
    with way.open() as c:
        for byte in way.fill(G + b"X-A: b\r\n\r\n"):
            c.send(bytes([byte]))
        assert c.response().body == b"answer"


def test_a_client_that_half_closes_still_gets_its_answer(way):
    gate = way.origin.gate()
    way.origin.on("/slow", lambda req: (gate.wait(), Reply(body=blob(500_000)))[1])
    with way.open() as c:
        c.request("GET", way.target("/slow"), host=way.host)
        c.half_close()
        gate.await_waiting()
        gate.open()
        assert c.response().body == blob(500_000)


# -- bodies both ways


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("size", [0, 1, 65536, 1_000_001])
def test_answers_of_every_framing_and_size(way, framing, size):
    body = blob(size)
    way.origin.on("/b", lambda req: Reply(body=body if framing != "chunked" else [body[:size // 2], body[size // 2:]],
                                          framing=framing))
    with way.open() as c:
        assert c.get(way.target("/b"), host=way.host).body == body


def test_chunked_uploads_reach_the_origin_byte_for_byte(way):
    way.origin.on("/echo", lambda req: Reply(body=req.body))
    with way.open() as c:
        body = b"1;ext=x\r\na\r\n" + b"%X\r\n" % 70000 + blob(70000) + b"\r\n000a\r\n0123456789\r\n00\r\n\r\n"
        r = c.ask("POST", way.target("/echo"), [("Transfer-Encoding", "chunked")], body, host=way.host)
        assert r.body == b"a" + blob(70000) + b"0123456789"
        assert c.get(way.target(), host=way.host).body == b"answer"


def test_trailers_of_an_upload_reach_the_origin_or_are_dropped_whole(way):
    way.origin.on("/echo", lambda req: Reply(body=req.body))
    with way.open() as c:
        r = c.ask("POST", way.target("/echo"), [("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")],
                  b"3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n", host=way.host)
        assert r.body == b"abc"
        assert c.get(way.target(), host=way.host).body == b"answer"
    assert list(way.origin.last("/echo").trailers) in ([("X-Sum", "42")], [])


def test_trailers_of_an_answer_do_not_become_headers(way):
    way.origin.on("/t", lambda req: Reply(body=[b"abc"], framing="chunked", trailers=[("X-Sum", "42"), ("Set-Cookie", "a")]))
    with way.open() as c:
        r = c.get(way.target("/t"), [("TE", "trailers"), ("Connection", "TE")], host=way.host)
        assert r.body == b"abc" and "X-Sum" not in r.headers and "Set-Cookie" not in r.headers
        assert r.trailers.get("X-Sum") in ("42", None)
        assert c.get(way.target(), host=way.host).body == b"answer"


def test_head_gives_the_head_alone(way):
    with way.open() as c:
        r = c.ask("HEAD", way.target(), host=way.host)
        assert r.status == 200 and r.headers.get("Content-Length") == "6"
        assert c.get(way.target(), host=way.host).body == b"answer"


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body(way, status):
    way.origin.on("/n", Reply(status, [("ETag", '"1"')], reason="None"))
    with way.open() as c:
        assert c.get(way.target("/n"), [("If-None-Match", '"1"')], host=way.host).status == status
        assert c.get(way.target(), host=way.host).body == b"answer"


def test_a_reason_phrase_and_8_bit_field_values_pass(way):
    way.origin.raw("/r", lambda conn, req: conn.send(
        b"HTTP/1.1 299 Quite \xe4 Phrase\r\nX-A: \xfcber\r\nContent-Length: 0\r\n\r\n") or True)
    with way.open() as c:
        r = c.get(way.target("/r"), host=way.host)
        assert r.status == 299 and r.headers.get("X-A") == "\xfcber"
        assert STATUS_LINE.match(r.raw_head)


# -- interim answers, Expect, Upgrade


def test_interim_answers_are_relayed(way):
    way.origin.raw("/i", lambda conn, req: conn.send(
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") or True)
    with way.open() as c:
        r = c.get(way.target("/i"), host=way.host)
        assert r.body == b"ok" and [i.status for i in r.interim] == [103, 102]
        assert r.interim[0].headers.get("Link") == "</x>"


def test_interim_answers_are_not_sent_to_http_1_0(way):
    way.origin.raw("/i", lambda conn, req: conn.send(
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") or True)
    with way.open() as c:
        c.request("GET", way.target("/i"), [("Host", way.host)], version="HTTP/1.0")
        r = c.response()
        assert r.body == b"ok" and r.interim == []


def test_endless_interim_answers_end_as_a_502(way):
    def answer(conn, req):
        for _ in range(10_000):
            conn.send(b"HTTP/1.1 103 Early Hints\r\nLink: </aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa>\r\n\r\n" * 100)
    way.origin.raw("/i", answer)
    with way.open() as c:
        c.request("GET", way.target("/i"), host=way.host)
        r = c.response()
        assert r.status == 502


def test_expect_100_continue_is_answered_before_the_body_is_sent(way):
    way.origin.on("/echo", lambda req: Reply(body=req.body))
    with way.open() as c:
        c.request("POST", way.target("/echo"), [("Expect", "100-continue"), ("Content-Length", "3")], host=way.host)
        r = c.response(stop_at_interim=True)
        assert r.status == 100, r
        c.send(b"abc")
        assert c.response().body == b"abc"
        assert c.get(way.target(), host=way.host).body == b"answer"


def test_an_origin_that_refuses_an_expected_body_is_heard(way):
    way.origin.raw("/no", lambda conn, req: conn.send(
        b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"))
    with way.open() as c:
        c.request("POST", way.target("/no"), [("Expect", "100-continue"), ("Content-Length", "1000000")], host=way.host)
        r = c.response()
        assert r.status == 413 and r.body == b"no"


def test_a_websocket_upgrade_becomes_a_tunnel_both_ways(way):
    def serve(conn, req):
        assert req.headers.get("Upgrade") == "websocket" and "upgrade" in req.headers.tokens("Connection")
        assert req.headers.get("Sec-WebSocket-Key") == "x"
        conn.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
        while data := conn.recv():
            conn.send(data[::-1])
    way.origin.raw("/ws", serve)
    with way.open() as c:
        c.request("GET", way.target("/ws"), [("Connection", "Upgrade"), ("Upgrade", "websocket"),
                                             ("Sec-WebSocket-Key", "x")], host=way.host)
        r = c.response()
        assert r.status == 101 and r.headers.get("Upgrade") == "websocket"
        assert c.read(5) == b"hello"
        for n in range(3):
            c.send(b"\x00abc%d" % n)
            assert c.read(5) == b"%dcba\x00" % n


def test_an_upgrade_that_the_origin_ignores_is_an_ordinary_answer(way):
    with way.open() as c:
        r = c.get(way.target(), [("Connection", "Upgrade"), ("Upgrade", "websocket")], host=way.host)
        assert r.body == b"answer"
        assert c.get(way.target(), host=way.host).body == b"answer"


# -- what is passed on


def test_hop_by_hop_fields_of_a_request_stay_here(way):
    way.origin.on("/h", Reply())
    with way.open() as c:
        c.get(way.target("/h"), [
            ("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5"), ("TE", "trailers"),
            ("Proxy-Connection", "keep-alive"), ("Proxy-Authorization", "Basic c2VjcmV0"), ("X-Stays", "2"),
            ("Upgrade", "h2c")], host=way.host)
    seen = way.origin.last("/h").headers
    for name in ("X-Hop", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Upgrade"):
        assert name not in seen, name
    assert seen.get("X-Stays") == "2" and "x-hop" not in seen.tokens("Connection")


def test_fields_that_matter_cannot_be_removed_by_connection(way):
    way.origin.on("/h", lambda req: Reply(body=req.body))
    with way.open() as c:
        r = c.ask("POST", way.target("/h"), [("Connection", "Host, Content-Length, Authorization"),
                                             ("Authorization", "A")], b"abc", host=way.host)
        assert r.status == 200 and r.body == b"abc"
    seen = way.origin.last("/h").headers
    assert seen.get("Host") == way.host and seen.get("Authorization") == "A"


def test_hop_by_hop_fields_of_an_answer_stay_here_on_miss_and_hit(way):
    way.origin.raw("/h", lambda conn, req: conn.send(
        b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n"
        b"Cache-Control: max-age=60\r\nX-Stays: 2\r\nContent-Length: 2\r\n\r\nok") or True)
    for _ in range(2):
        with way.open() as c:
            r = c.get(way.target("/h"), host=way.host)
            for name in ("X-Hop", "Proxy-Authenticate"):
                assert name not in r.headers, name
            assert "x-hop" not in r.headers.tokens("Connection") and r.headers.get("X-Stays") == "2"


def test_the_origin_sees_origin_form_and_its_own_host(way):
    with way.open() as c:
        c.get(way.target("/o?a=b"), host=way.host)
    seen = way.origin.last("/o")
    assert seen.target == "/o?a=b" and seen.version == "HTTP/1.1" and seen.headers.all("Host") == [way.host]


def test_the_target_wins_over_a_host_that_differs_in_absolute_form(edge, plain):
    plain.on("/o", Reply(body=b"x", headers=STORED))
    with edge.connect() as c:
        r = c.get(plain.url("/o"), host="evil.test")
        assert r.status in (200, 400, 421)
    assert all(q.headers.get("Host") == plain.authority for q in plain.requests("/o"))


@pytest.mark.parametrize("host", ["evil.test", "other.test:{port}", "origin.test:1", "origin.test.evil.test:{port}"])
def test_a_host_that_does_not_fit_the_connect_is_refused(edge, origin, host):
    origin.on("/o", Reply(body=b"x"))
    with edge.bumped(origin) as c:
        assert c.get("/o", host=host.format(port=origin.port)).status == 421
        assert c.ended()
    assert origin.count() == 0


def test_absolute_form_inside_the_bump_must_fit_the_connect(edge, origin):
    origin.on("/o", Reply(body=b"x"))
    with edge.bumped(origin) as c:
        assert c.get(origin.url("/o"), host=origin.authority).body == b"x"
    with edge.bumped(origin) as c:
        assert c.get("https://evil.test/o", host="evil.test").status in (400, 421)
    with edge.bumped(origin) as c:
        assert c.get(f"http://{origin.authority}/o", host=origin.authority).status in (400, 421)
    assert origin.count() == 1


def test_the_host_may_be_in_another_case(edge, origin):
    origin.on("/o", Reply(body=b"x"))
    with edge.bumped(origin) as c:
        assert c.get("/o", host=origin.authority.upper()).body == b"x"


def test_connect_inside_a_bumped_tunnel_is_refused(edge, origin):
    with edge.bumped(origin) as c:
        c.request("CONNECT", origin.authority, host=origin.authority)
        assert c.response("GET").status in (400, 403, 405, 421, 501)


@pytest.mark.parametrize("target", ["origin.test", "origin.test:", "origin.test:0", "origin.test:65536", "origin.test:x",
                                    ":443", "a b:443", "user@origin.test:443", "http://origin.test:443", "[::1:443", "/"])
def test_a_malformed_connect_is_refused(edge, target):
    with edge.connect() as c:
        c.send(f"CONNECT {target} HTTP/1.1\r\nHost: origin.test:443\r\n\r\n")
        assert c.response("GET").status in (400, 403)
        assert c.ended()


def test_a_body_behind_connect_is_not_taken_for_a_request(edge, origin):
    with edge.connect() as c:
        c.send(f"CONNECT {origin.authority} HTTP/1.1\r\nHost: {origin.authority}\r\nContent-Length: 5\r\n\r\n12345")
        r = c.head()
        assert r.status in (200, 400)


# -- streaming


def test_a_50_mb_upload_streams_in_bounded_memory(edge, make):
    o = make.origin()
    gate = o.gate()
    got = []
    def take(req, pieces):
        gate.wait()
        got.append(sum(map(len, pieces())))
        return Reply(body=b"%d" % got[0])
    o.stream("/up", take)
    size = 50_000_000
    with edge.bumped(o) as c:
        before = edge.rss_bytes()
        c.request("POST", "/up", [("Content-Length", str(size))])
        sender = threading.Thread(target=lambda: [c.send(blob(1_000_000)) for _ in range(50)])
        sender.start()
        gate.await_waiting()
        steady("the upload, held by the origin", lambda: edge.unread_bytes(edge.bump_port))
        while_stuck = edge.rss_bytes()
        gate.open()
        r = c.response()
        sender.join(10)
        assert r.body == b"%d" % size
    if edge.may_measure_memory():
        assert while_stuck - before < 12_000_000, f"{while_stuck - before} bytes held for a stalled origin"
        assert edge.rss_bytes() - before < 12_000_000


def test_a_chunked_upload_streams_before_it_is_complete(way):
    first = threading.Event()
    def take(req, pieces):
        out = b""
        for p in pieces():
            out += p
            first.set()
        return Reply(body=out)
    way.origin.stream("/up", take)
    with way.open() as c:
        c.request("POST", way.target("/up"), [("Transfer-Encoding", "chunked")], b"3\r\nabc\r\n", host=way.host)
        assert first.wait(10), "the first chunk must reach the origin while the upload goes on"
        c.send(b"3\r\ndef\r\n0\r\n\r\n")
        assert c.response().body == b"abcdef"


def test_an_answer_streams_before_it_is_complete(way):
    gate = way.origin.gate()
    way.origin.on("/s", lambda req: Reply(body=[b"first", gate, b"last"], framing="chunked"))
    with way.open() as c:
        c.request("GET", way.target("/s"), host=way.host)
        c.head()
        assert c.read_until(b"first")
        gate.open()
        assert c.read_until(b"0\r\n\r\n")


def test_a_client_that_does_not_read_holds_little_memory(edge, make):
    o = make.origin()
    body = blob(20_000_000)
    pieces = [body[n:n + 500_000] for n in range(0, len(body), 500_000)]
    o.on("/big", Reply(body=pieces, length=len(body), headers=[("Cache-Control", "no-store")]))
    with edge.bumped(o) as c:
        before = edge.rss_bytes()
        c.request("GET", "/big")
        o.await_requests(1, "/big")
        steady("the fetch", lambda: o.bytes_sent)
        held = edge.rss_bytes() - before
        r = c.response()
        assert (r.cut, len(r.body)) == (False, len(body)) and r.body == body
    if edge.may_measure_memory():
        assert held < 8_000_000, f"{held} bytes held for a client that does not read"


def test_a_client_that_goes_away_in_a_download_harms_nobody(way):
    way.origin.on("/big", Reply(body=blob(5_000_000), headers=[("Cache-Control", "no-store")]))
    for how in ("close", "reset"):
        c = way.open()
        c.request("GET", way.target("/big"), host=way.host)
        c.read(100_000)
        getattr(c, how)()
    with way.open() as c:
        assert c.get(way.target(), host=way.host).body == b"answer"


def test_an_idle_client_that_never_asks_does_not_disturb_others(edge, way):
    idle = [edge.connect() for _ in range(20)]
    half = edge.connect()
    half.send(b"GET http://")
    with way.open() as c:
        assert c.get(way.target(), host=way.host).body == b"answer"
    for c in [*idle, half]:
        c.close()
