"""One fetch, many waiters."""

import threading

import pytest

from lab import Reply, blob, eventually

STORED = [("Cache-Control", "max-age=60")]


def together(n, action):
    """Runs action(i) in n threads at once; returns what they gave, raises what they raised."""
    out, faults = [None] * n, []

    def one(i):
        try:
            out[i] = action(i)
        except BaseException as e:
            faults.append(e)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    if faults:
        raise faults[0]
    return out


def ask_all(edge, origin, path, n, headers=lambda i: []):
    """n connections of their own, the request sent on each, nothing read yet."""
    clients = []
    for i in range(n):
        c, target = edge.session(origin.url(path))
        c.request("GET", target, headers(i))
        clients.append(c)
    return clients


def test_100_clients_of_one_uncached_object_make_one_fetch_and_stream_while_it_fills(edge, make):
    o = make.origin()
    gate = o.gate()
    body = blob(2_000_000)
    o.on("/big", lambda req: Reply(body=[body[:1_000_000], gate, body[1_000_000:]], framing="close", headers=STORED))
    clients = ask_all(edge, o, "/big", 100)

    def first_half(i):
        c = clients[i]
        r = c.head()
        assert r.status == 200
        r.body = c.read(500_000) if "Transfer-Encoding" not in r.headers else None
        return r
    heads = together(100, first_half)  # everyone has bytes while the origin holds the rest back
    assert gate.waiting == 1
    gate.open()

    def rest(i):
        c, r = clients[i], heads[i]
        if r.body is not None:
            got = r.body + (c.read(int(r.headers.get("Content-Length")) - 500_000)
                            if "Content-Length" in r.headers else c.read_all())
        else:
            c.body(r)
            got = r.body
        c.close()
        return got == body
    assert all(together(100, rest))
    assert o.count("/big") == 1
    assert edge.get(o.url("/big")).x_cache == "HIT"


def test_a_flight_of_small_objects(edge, plain):
    gate = plain.gate()
    plain.on("/o", lambda req: (gate.wait(), Reply(body=b"small", headers=STORED))[1])
    clients = ask_all(edge, plain, "/o", 50)
    edge.await_read(edge.bump_port)
    gate.open()
    answers = [c.response() for c in clients]
    assert all(r.body == b"small" for r in answers)
    assert plain.count("/o") == 1
    assert sum("collapsed" in r.cache_status for r in answers) >= 40
    for c in clients:
        c.close()


def test_revalidations_fly_together_too(edge, plain):
    plain.on("/o", Reply(body=b"x", headers=[("Cache-Control", "no-cache"), ("ETag", '"1"')]))
    edge.get(plain.url("/o"))
    gate = plain.gate()
    plain.on("/o", lambda req: (gate.wait(), Reply(304, [("ETag", '"1"'), ("Cache-Control", "max-age=60")]))[1])
    clients = ask_all(edge, plain, "/o", 20)
    edge.await_read(edge.bump_port)
    gate.open()
    assert all(c.response().body == b"x" for c in clients)
    assert plain.count("/o") <= 3, "one question for all, or very few"
    for c in clients:
        c.close()


@pytest.mark.parametrize("cache_control", ["private", "no-store"])
def test_an_answer_that_may_not_be_shared_releases_the_waiters_at_once(edge, make, cache_control):
    o = make.origin(tls=False, name="plain.test")
    gate, second = o.gate(), o.gate()
    n, lock = [0], threading.Lock()

    def answer(req):
        with lock:
            n[0] += 1
            mine = n[0]
        (gate if mine == 1 else second).wait()
        return Reply(body=b"for %d" % mine, headers=[("Cache-Control", cache_control)])
    o.on("/o", answer)
    clients = ask_all(edge, o, "/o", 20)
    edge.await_read(edge.bump_port)
    gate.open()
    second.await_waiting(10)  # many at once, not one behind the other
    second.open()
    bodies = [c.response().body for c in clients]
    assert len(set(bodies)) == 20, "each must get an answer of its own"
    for c in clients:
        c.close()


def test_after_an_unshareable_answer_the_next_ones_do_not_queue(edge, make):
    o = make.origin(tls=False, name="plain.test")
    o.on("/o", Reply(body=b"x", headers=[("Cache-Control", "no-store")]))
    edge.get(o.url("/o"))
    gate = o.gate()
    o.on("/o", lambda req: (gate.wait(), Reply(body=b"x", headers=[("Cache-Control", "no-store")]))[1])
    clients = ask_all(edge, o, "/o", 5)
    gate.await_waiting(5)
    gate.open()
    assert all(c.response().body == b"x" for c in clients)


def test_different_credentials_never_share_a_flight(edge, origin):
    gate = origin.gate()

    def answer(req):
        who = req.headers.get("Authorization")
        gate.wait()
        if who == "bad":
            return Reply(401, [], b"no")
        return Reply(body=f"for {who}".encode(), headers=[("Cache-Control", "public, max-age=60"), ("ETag", '"1"')])
    origin.on("/o", answer)
    who = ["A", "bad", "A", "bad", "B"]
    clients = ask_all(edge, origin, "/o", 5, lambda i: [("Authorization", who[i])])
    gate.await_waiting(3)
    gate.open()
    got = [c.response() for c in clients]
    assert got[0].body == got[2].body == b"for A"
    assert got[1].status == got[3].status == 401 and got[4].body == b"for B"
    for c in clients:
        c.close()


def test_waiters_that_vary_regroup_by_variant(edge, make):
    o = make.origin(tls=False, name="plain.test")
    gate = o.gate()

    def answer(req):
        gate.wait()
        coding = req.headers.get("Accept-Encoding")
        return Reply(body=coding.encode(), headers=[*STORED, ("Vary", "Accept-Encoding")])
    o.on("/o", answer)
    kinds = ["gzip", "br", "zstd"]
    clients = ask_all(edge, o, "/o", 30, lambda i: [("Accept-Encoding", kinds[i % 3])])
    edge.await_read(edge.bump_port)
    gate.open()
    assert [c.response().body for c in clients] == [kinds[i % 3].encode() for i in range(30)]
    assert o.count("/o") <= 6
    for c in clients:
        c.close()


def test_a_fill_outlives_its_only_client(edge, make):
    """quick_abort's default: what is nearly complete is finished."""
    o = make.origin()
    gate = o.gate()
    body = blob(1_000_000)
    o.raw("/o", lambda conn, req: (
        conn.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1000000\r\n\r\n" + body[:-8000]),
        gate.wait(), conn.send(body[-8000:])))
    c, target = edge.session(o.url("/o"))
    c.request("GET", target)
    c.head()
    c.read(900_000)
    gate.await_waiting()
    c.reset()
    edge.log(o.url("/o"))
    gate.open()
    assert edge.get(o.url("/o")).body == body and o.count("/o") == 1


def test_an_immutable_fill_is_finished_without_its_client(edge, make):
    from lab.registries import make_tgz
    o = make.origin()
    gate = o.gate()
    tgz = make_tgz("quit-test", "1.0.0", index="// " + "x" * 100 + "\n" + "".join(f"// {n}\n" for n in range(200_000)))
    path = "/quit-test/-/quit-test-1.0.0.tgz"
    half = len(tgz) // 2
    o.raw(path, lambda conn, req: (conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(tgz) + tgz[:half]),
                                   gate.wait(), conn.send(tgz[half:])))
    c, target = edge.session(o.url(path))
    c.request("GET", target)
    c.head()
    c.read(1000)
    c.close()
    gate.await_waiting()
    gate.open()
    r = edge.get(o.url(path))
    assert r.body == tgz and o.count(path) == 1


def test_a_fill_that_has_far_to_go_is_given_up_with_its_last_client(edge, make):
    o = make.origin()
    stopped = threading.Event()

    def answer(conn, req):
        try:
            conn.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 900000000\r\n\r\n")
            while True:
                conn.send(blob(100_000))
        finally:
            stopped.set()
    o.raw("/o", answer)
    c, target = edge.session(o.url("/o"))
    c.request("GET", target)
    c.head()
    c.read(100_000)
    c.close()
    assert stopped.wait(10), "the origin goes on sending for nobody"


def test_one_client_that_leaves_does_not_end_the_flight_of_the_others(edge, make):
    o = make.origin()
    gate = o.gate()
    body = blob(1_000_000)
    o.on("/o", lambda req: Reply(body=[body[:500_000], gate, body[500_000:]], headers=STORED, framing="chunked"))
    clients = ask_all(edge, o, "/o", 6)
    for c in clients:
        c.head()
        c.read(100)
    for c in clients[:3]:  # among them the one that began it
        c.close()
    gate.await_waiting()
    gate.open()
    late = edge.get(o.url("/o"))
    assert late.body == body and o.count("/o") == 1
    for c in clients[3:]:
        assert c.read_until(b"\r\n0\r\n\r\n") or True
        c.close()


def test_an_origin_that_dies_midway_is_a_visible_cut_for_every_waiter_and_nothing_is_stored(edge, make):
    o = make.origin()
    gate = o.gate()
    body = blob(400_000)
    o.raw("/o", lambda conn, req: (conn.send(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 400000\r\n\r\n" + body[:200_000]),
        gate.wait(), conn.reset()))
    clients = ask_all(edge, o, "/o", 10)
    heads = [c.head() for c in clients]
    gate.await_waiting()
    gate.open()
    for c, r in zip(clients, heads):
        c.body(r)
        assert r.cut and r.body == body[:len(r.body)]
        c.close()
    o._raw.clear()
    o.on("/o", Reply(body=body, headers=STORED))
    r = edge.get(o.url("/o"))
    assert (r.body, r.x_cache) == (body, "MISS")


def test_an_origin_that_fails_before_its_head_gives_every_waiter_a_502(edge, make):
    o = make.origin(tls=False, name="plain.test")
    gate = o.gate()
    o.raw("/o", lambda conn, req: (gate.wait(), conn.reset()))
    clients = ask_all(edge, o, "/o", 10)
    gate.await_waiting()
    edge.await_read(edge.bump_port)
    gate.open()
    assert {c.response().status for c in clients} == {502}


def test_a_slow_reader_does_not_hold_back_a_stored_fill(edge, make):
    o = make.origin()
    body = blob(3_000_000)
    o.on("/o", Reply(body=body, headers=STORED))
    c, target = edge.session(o.url("/o"))
    c.request("GET", target)
    c.head()  # and reads no more
    r = edge.get(o.url("/o"))
    assert r.body == body and o.count("/o") == 1
    assert c.read(3_000_000) == body
    c.close()


def test_a_purge_during_a_fill_serves_its_readers_and_keeps_nothing(edge, make):
    o = make.origin(tls=False, name="plain.test")
    gate = o.gate()
    o.on("/o", lambda req: Reply(body=[b"old", gate, b"rest"], headers=STORED, framing="chunked"))
    c, target = edge.session(o.url("/o"))
    c.request("GET", target)
    c.head()
    gate.await_waiting()
    edge.ask("PURGE", o.url("/o"))
    gate.open()
    assert b"rest" in c.read_until(b"0\r\n\r\n")
    o.on("/o", Reply(body=b"new", headers=STORED))
    assert edge.get(o.url("/o")).body == b"new"


def test_many_clients_many_objects_every_byte_right(edge, make):
    o = make.origin()
    for n in range(40):
        o.on(f"/{n}", Reply(body=blob(1000 * n * n, n), headers=STORED if n % 4 else []))

    def work(i):
        for k in range(40):
            n = (k * 7 + i * 13) % 40
            assert edge.get(o.url(f"/{n}")).body == blob(1000 * n * n, n)
        return True
    assert all(together(8, work))


def test_a_range_within_what_has_arrived_does_not_wait_for_the_rest(edge, make):
    o = make.origin()
    gate = o.gate()
    body = blob(1_000_000)
    asked = []

    def answer(conn, req):
        asked.append(req.headers.get("Range"))
        if req.headers.get("Range"):
            conn.send(b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1000-1999/1000000\r\nETag: \"1\"\r\n"
                      b"Content-Length: 1000\r\n\r\n" + body[1000:2000])
            return True
        conn.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"1\"\r\nContent-Length: 1000000\r\n\r\n"
                  + body[:500_000])
        gate.wait()
        conn.send(body[500_000:])
        return True
    o.raw("/o", answer)
    first, target = edge.session(o.url("/o"))
    first.request("GET", target)
    r = first.head()
    r.body = first.read(400_000)
    second = edge.get(o.url("/o"), [("Range", "bytes=1000-1999")])
    assert second.status == 206 and second.body == body[1000:2000]
    gate.open()
    assert r.body + first.read(600_000) == body
    first.close()
    assert asked[0] is None and len(asked) <= 2


def test_several_readers_of_a_body_too_large_to_keep_all_get_it_whole(edge, make):
    o = make.origin()
    body = blob(12_000_000)
    o.on("/big", Reply(body=body, headers=STORED))

    def one(i):
        return edge.get(o.url("/big")).body == body
    assert all(together(6, one))
    assert o.count("/big") <= 6


def test_one_stalled_reader_of_a_body_too_large_to_keep_does_not_stop_those_who_come_later(edge, make):
    o = make.origin()
    body = blob(30_000_000)
    o.on("/big", Reply(body=body, headers=STORED))
    stalled, target = edge.session(o.url("/big"))
    stalled.request("GET", target)
    stalled.head()
    assert edge.get(o.url("/big")).body == body
    stalled.close()
