"""An origin on loopback that does what a test tells it to, well or badly, and remembers all that it was asked.

    origin.on("/a", Reply(body=b"x", headers=[("Cache-Control", "max-age=60")]))
    origin.on("/b", lambda req: Reply(...))         # a function of the request; None: it has answered by itself
    origin.raw("/c", lambda conn, req: conn.send(b"HTTP/1.1 200 OK\\r\\n..."))   # exact bytes; closes after it
    origin.on_accept = lambda sock: ...             # before TLS and HTTP: the whole connection is the function's

Threads, one per connection; gates instead of sleeps."""

import email.utils
import re
import socket
import ssl
import struct
import threading

from .wait import DEADLINE, eventually
from .wire import Headers


class Gate:
    """Something that a reply waits for. Opened for good when the origin ends, so that no thread stays."""

    def __init__(self):
        self._event = threading.Event()
        self.waiting = 0
        self._lock = threading.Lock()

    def wait(self):
        with self._lock:
            self.waiting += 1
        try:
            self._event.wait(DEADLINE * 6)
        finally:
            with self._lock:
                self.waiting -= 1

    def open(self):
        self._event.set()

    def close(self):
        self._event.clear()

    def await_waiting(self, n=1):
        eventually(lambda: f"{n} waiting at the gate, there are {self.waiting}", lambda: self.waiting >= n)


class Reply:
    """framing: length, chunked, close (body to the end of the connection), none (no framing fields at all).
    body: bytes, or an iterable of bytes and Gates (sent piece by piece; a Gate is waited for)."""

    def __init__(self, status=200, headers=(), body=b"", framing="length", trailers=(), reason="OK", date=True,
                 close=False, version="HTTP/1.1", length=None):
        self.status, self.headers, self.body, self.framing = status, list(headers), body, framing
        self.trailers, self.reason, self.date, self.close = list(trailers), reason, date, close
        self.version, self.length = version, length


class Request:
    def __init__(self, method, target, version, headers, raw_head, conn):
        self.method, self.target, self.version, self.headers = method, target, version, headers
        self.raw_head, self.conn, self.conn_id, self.sni = raw_head, conn, conn.id, conn.sni
        self.path = target.partition("?")[0]
        self.query = target.partition("?")[2]
        self.body = b""
        self.trailers = Headers()
        self.complete = False  # the body came to its end in good order

    def __repr__(self):
        return f"<{self.method} {self.target} on {self.conn_id}>"


class Conn:
    """One accepted connection, for raw handlers."""

    def __init__(self, sock, number, sni):
        self.sock, self.id, self.sni = sock, number, sni
        self.buffer = b""
        self.sent = 0

    def send(self, data):
        self.sock.sendall(data)
        self.sent += len(data)

    def recv(self):
        """The next bytes, b"" at the end."""
        if self.buffer:
            out, self.buffer = self.buffer, b""
            return out
        return self.sock.recv(65536)

    def read(self, n):
        while len(self.buffer) < n:
            got = self.sock.recv(65536)
            if not got:
                break
            self.buffer += got
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def read_until(self, mark, limit=1 << 20):
        while mark not in self.buffer:
            got = self.sock.recv(65536)
            if not got or len(self.buffer) > limit:
                raise EOFError
            self.buffer += got
        at = self.buffer.index(mark) + len(mark)
        out, self.buffer = self.buffer[:at], self.buffer[at:]
        return out

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        raw = self.sock
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()


class Origin:
    used_ports = set()  # of all origins of this run

    def __init__(self, pair=None, name="origin.test", host="127.0.0.1", port=0, client_ca=None, tls_max=None,
                 alpn=None):
        self.name, self.host, self.pair = name, host, pair
        self.client_ca, self.tls_max, self.alpn = client_ca, tls_max, alpn
        self._routes, self._raw, self._stream = {}, {}, set()
        self.default = Reply(404, reason="Not Found", body=b"no such thing here\n")
        self.on_accept = None
        self.abrupt = False  # ends TLS without close_notify
        self.says_continue = True  # answers Expect: 100-continue with an interim response
        self.requests_seen = []
        self._changed = threading.Condition()
        self.accepted = 0  # connections ever
        self.handshakes = 0  # full or resumed TLS handshakes that ended well
        self.resumed = 0
        self.failed_handshakes = []
        self.bytes_sent = 0
        self.errors = []
        self._gates, self._socks, self._ids = [], {}, 0
        self._context = self._make_context() if pair else None
        self.port = port
        self._listener = None
        self.restart()

    # -- life

    def _make_context(self):
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.set_ciphers("DEFAULT:@SECLEVEL=0")
        if self.tls_max:
            ctx.minimum_version = ssl.TLSVersion.TLSv1
            ctx.maximum_version = self.tls_max
        if self.client_ca:
            ctx.verify_mode = ssl.CERT_REQUIRED
            ctx.load_verify_locations(self.client_ca)
        if self.alpn:
            ctx.set_alpn_protocols(self.alpn)
        ctx.load_cert_chain(self.pair.cert_file, self.pair.key_file)

        def on_sni(sslsock, name, _ctx):
            sslsock.lab_sni = name
        ctx.sni_callback = on_sni
        return ctx

    def use(self, pair):
        """Shows another certificate from the next connection on."""
        self.pair = pair
        self._context = self._make_context()

    def _bound(self):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        s = socket.socket(family, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((self.host, self.port))
        return s

    def restart(self):
        # An edge that several tests share still has what an earlier origin said under its port: no two origins have one.
        s = self._bound()
        while not self.port and s.getsockname()[1] in Origin.used_ports:
            s.close()
            s = self._bound()
        Origin.used_ports.add(s.getsockname()[1])
        s.listen(256)
        self.port = s.getsockname()[1]
        self._listener = s
        threading.Thread(target=self._accept, args=(s,), daemon=True).start()

    def shutdown(self):
        """Nobody listens any more and every connection is cut."""
        listener, self._listener = self._listener, None
        if listener:
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()
        self.drop_connections()

    def drop_connections(self):
        """Closes every connection (at once, in order: FIN), as an origin does with idle ones."""
        with self._changed:
            socks = list(self._socks.values())
        for s in socks:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        for g in self._gates:
            g.open()
        self.shutdown()

    def gate(self):
        g = Gate()
        self._gates.append(g)
        return g

    # -- what it answers

    def on(self, path, reply):
        self._routes[path] = reply
        return self

    def stream(self, path, function):
        """function(req, pieces) -> Reply, called before the body is read; pieces() yields it as it comes."""
        self._routes[path] = function
        self._stream.add(path)

    def raw(self, path, function):
        self._raw[path] = function

    def url(self, path="/", name=None):
        host = name or self.name
        if ":" in host:
            host = f"[{host}]"
        return f"{'https' if self.pair else 'http'}://{host}:{self.port}{path}"

    @property
    def authority(self):
        return f"{self.name}:{self.port}"

    # -- what it saw

    def requests(self, path=None, method=None):
        with self._changed:
            return [r for r in self.requests_seen if (path is None or r.path == path)
                    and (method is None or r.method == method)]

    def count(self, path=None, method=None):
        return len(self.requests(path, method))

    def last(self, path=None):
        found = self.requests(path)
        assert found, f"the origin was never asked for {path}"
        return found[-1]

    def await_requests(self, n, path=None):
        eventually(lambda: f"{n} requests for {path}, there were {self.count(path)}", lambda: self.count(path) >= n)
        return self.requests(path)

    @property
    def open_connections(self):
        with self._changed:
            return len(self._socks)

    # -- at work

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with self._changed:
                self.accepted += 1
                self._ids += 1
                number = self._ids
                self._socks[number] = sock
            threading.Thread(target=self._connection, args=(sock, number), daemon=True).start()

    def _connection(self, sock, number):
        try:
            sock.settimeout(DEADLINE * 6)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.on_accept:
                self.on_accept(sock)
                return
            sni = None
            if self._context:
                try:
                    sock = self._context.wrap_socket(sock, server_side=True)
                except (OSError, ssl.SSLError) as e:
                    self.failed_handshakes.append(str(e))
                    return
                with self._changed:
                    self.handshakes += 1
                    self.resumed += bool(sock.session_reused)
                    self._socks[number] = sock
                sni = getattr(sock, "lab_sni", None)
            conn = Conn(sock, number, sni)
            while self._request(conn):
                pass
        except (OSError, EOFError, ssl.SSLError):
            pass  # the other side went away
        except Exception as e:  # a fault of the test itself: shown at the end of the test
            self.errors.append(e)
        finally:
            with self._changed:
                self._socks.pop(number, None)
            try:
                if isinstance(sock, ssl.SSLSocket) and not self.abrupt:
                    sock.setblocking(False)
                    sock.unwrap()  # close_notify; the other side's is not waited for
            except (OSError, ValueError):
                pass
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def _request(self, conn):
        head = conn.read_until(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        m = re.fullmatch(rb"(\S+) (\S+) (HTTP/1\.[01])", first)
        if not m:
            self.errors.append(AssertionError(f"the origin got a bad request line: {first!r}"))
            return False
        headers = Headers()
        for line in lines:
            n, _, v = line.partition(b":")
            headers.append((n.decode("latin-1"), v.strip(b" \t").decode("latin-1")))
        req = Request(*(g.decode("latin-1") for g in m.groups()), headers, head, conn)
        path = req.path
        raw = self._raw.get(path)
        streamed = path in self._stream
        if not raw and self.says_continue and "100-continue" in req.headers.tokens("Expect"):
            conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not raw and not streamed:
            req.body = b"".join(self._body(conn, req))
        with self._changed:
            self.requests_seen.append(req)
            self._changed.notify_all()
        if raw:
            return raw(conn, req) is True
        reply = self._routes.get(path, self.default)
        if streamed:
            reply = reply(req, lambda: self._body(conn, req))
        elif callable(reply):
            reply = reply(req)
        if reply is None:
            return True
        return self._answer(conn, req, reply)

    def _body(self, conn, req):
        if "chunked" in req.headers.tokens("Transfer-Encoding"):
            while True:
                n = int(conn.read_until(b"\r\n").split(b";")[0], 16)
                if n == 0:
                    break
                data = conn.read(n + 2)
                if len(data) < n + 2:
                    return
                yield data[:n]
            while True:
                line = conn.read_until(b"\r\n")
                if line == b"\r\n":
                    break
                k, _, v = line[:-2].partition(b":")
                req.trailers.append((k.decode(), v.strip().decode()))
        else:
            left = int(req.headers.get("Content-Length", "0"))
            while left:
                data = conn.recv()
                if not data:
                    return
                if len(data) > left:
                    conn.buffer = data[left:] + conn.buffer
                    data = data[:left]
                left -= len(data)
                yield data
        req.complete = True

    def _answer(self, conn, req, reply):
        headers = list(reply.headers)
        names = {n.lower() for n, _ in headers}
        if reply.date and "date" not in names:
            headers.append(("Date", email.utils.formatdate(usegmt=True)))
        pieces = [reply.body] if isinstance(reply.body, bytes) else reply.body
        framing = reply.framing
        no_body = req.method == "HEAD" or reply.status in (204, 304)
        if framing == "length" and reply.status != 204:
            if reply.length is not None:
                headers.append(("Content-Length", str(reply.length)))
            elif isinstance(reply.body, bytes):
                if reply.status != 304:
                    headers.append(("Content-Length", str(len(reply.body))))
            else:
                framing = "chunked"
        if framing == "chunked":
            headers.append(("Transfer-Encoding", "chunked"))
        close = reply.close or framing == "close" or "close" in req.headers.tokens("Connection")
        if close and "connection" not in names:
            headers.append(("Connection", "close"))
        head = f"{reply.version} {reply.status} {reply.reason}\r\n".encode()
        head += b"".join(f"{n}: {v}\r\n".encode("latin-1") for n, v in headers) + b"\r\n"
        if isinstance(reply.body, bytes) and framing != "chunked" and not no_body:
            self._send(conn, head + reply.body)
            return not close
        self._send(conn, head)
        if no_body:
            return not close
        for piece in pieces:
            if isinstance(piece, Gate):
                piece.wait()
            elif framing == "chunked":
                if piece:
                    self._send(conn, b"%x\r\n" % len(piece) + piece + b"\r\n")
            else:
                self._send(conn, piece)
        if framing == "chunked":
            self._send(conn, b"0\r\n" + b"".join(f"{n}: {v}\r\n".encode() for n, v in reply.trailers) + b"\r\n")
        return not close

    def _send(self, conn, data):
        conn.send(data)
        with self._changed:
            self.bytes_sent += len(data)


def httpdate(offset=0):
    import time
    return email.utils.formatdate(time.time() + offset, usegmt=True)


def silent(origin):
    """An on_accept that never says a word and holds the connection until the origin ends."""
    gate = origin.gate()
    return lambda sock: gate.wait()
