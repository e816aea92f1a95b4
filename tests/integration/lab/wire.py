"""A client that says exactly what a test tells it to, and a strict reader of what comes back.

A Wire moves bytes: TcpWire over a socket, TlsWire over any other Wire (so TLS in TLS is a TlsWire on a TlsWire). A
Client puts a buffer and the HTTP/1.1 reader on top."""

import re
import select
import socket
import ssl
import struct

from .wait import DEADLINE


class TcpWire:
    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(DEADLINE)

    def send(self, data):
        self.sock.sendall(data)

    def recv(self, n=65536):
        try:
            return self.sock.recv(n)
        except ConnectionResetError:
            raise ConnectionResetError("connection reset by peer") from None
        except socket.timeout:
            raise AssertionError(f"nothing came within {DEADLINE} s") from None

    def shutdown_write(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    def readable(self, seconds):
        return bool(select.select([self.sock], [], [], seconds)[0])


class TlsWire:
    """TLS by memory BIOs over `lower`. After the handshake .alpn, .version, .resumed, .peer_der tell how it went."""

    def __init__(self, lower, context, server_name, session=None):
        self.lower = lower
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=server_name, session=session)
        try:
            self._run(self.tls.do_handshake)
        except ssl.SSLError:
            self._flush()  # the alert
            raise
        self.alpn = self.tls.selected_alpn_protocol()
        self.version = self.tls.version()
        self.resumed = self.tls.session_reused
        self.peer_der = self.tls.getpeercert(binary_form=True)

    @property
    def session(self):
        return self.tls.session

    def _flush(self):
        out = self.outgoing.read()
        if out:
            self.lower.send(out)

    def _run(self, step, *args):
        while True:
            try:
                value = step(*args)
                self._flush()
                return value
            except ssl.SSLWantReadError:
                self._flush()
                got = self.lower.recv()
                if got:
                    self.incoming.write(got)
                else:
                    self.incoming.write_eof()

    def send(self, data):
        view = memoryview(data)
        while view:
            view = view[self._run(self.tls.write, view[:262144]):]

    def recv(self, n=65536):
        try:
            return self._run(self.tls.read, n)
        except ssl.SSLZeroReturnError:
            return b""
        except ssl.SSLEOFError:
            raise ConnectionResetError("TLS ended without close_notify") from None

    def shutdown_write(self):
        """Sends close_notify: the half-close of TLS 1.3."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self._flush()

    def reset(self):
        self.lower.reset()

    def close(self):
        self.lower.close()

    def readable(self, seconds):
        return bool(self.tls.pending()) or bool(self.incoming.pending) or self.lower.readable(seconds)


class Drip:
    """A wire that sends byte by byte, each in a segment of its own."""

    def __init__(self, lower):
        self.lower = lower

    def send(self, data):
        for i in range(len(data)):
            self.lower.send(data[i:i + 1])

    def __getattr__(self, name):
        return getattr(self.lower, name)


class Eager:
    """A wire that sends the CONNECT and the first bytes of the tunnel together."""

    def __init__(self, client, authority):
        self.client, self.first, self.answered = client, True, False
        self.connect_head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()

    def send(self, data):
        self.client.send(self.connect_head + data if self.first else data)
        self.first = False

    def recv(self, n=65536):
        if not self.answered:
            assert self.client.head().status == 200
            self.answered = True
        if self.client.buffer:
            out, self.client.buffer = self.client.buffer, b""
            return out
        return self.client.wire.recv(n)

    def close(self):
        self.client.close()


class Headers(list):
    """Fields in their order, [(name, value)]; get() looks in any case."""

    def get(self, name, default=None):
        found = self.all(name)
        return found[0] if found else default

    def all(self, name):
        return [v for n, v in self if n.lower() == name.lower()]

    def __contains__(self, name):
        return bool(self.all(name))

    def tokens(self, name):
        return [t.strip().lower() for v in self.all(name) for t in v.split(",") if t.strip()]


class Response:
    def __init__(self, version, status, reason, headers, raw_head):
        self.version, self.status, self.reason, self.headers, self.raw_head = version, status, reason, headers, raw_head
        self.body = b""
        self.trailers = Headers()
        self.interim = []
        self.cut = False  # the body ended before its framing said so

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.headers} {self.body[:300]!r}>"

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def x_cache(self):
        return (self.headers.get("X-Cache") or "").split(" ")[0]

    @property
    def cache_status(self):
        return self.headers.get("Cache-Status") or ""

    @property
    def age(self):
        value = self.headers.get("Age")
        return None if value is None else int(value)

    @property
    def closing(self):
        """What the head says about the connection."""
        return "close" in self.headers.tokens("Connection") or (
            self.version == "HTTP/1.0" and "keep-alive" not in self.headers.tokens("Connection"))


STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([1-5][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)\r\n")
FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*\r\n")


class Client:
    def __init__(self, wire):
        self.wire = wire
        self.buffer = b""
        self.eof = False

    # -- bytes out

    def send(self, data):
        self.wire.send(data if isinstance(data, bytes) else data.encode("latin-1"))

    def request(self, method, target, headers=(), body=b"", version="HTTP/1.1", host=None, framing=True):
        """Writes a request. Host and Content-Length are put in unless given (host=False: none)."""
        names = {n.lower() for n, _ in headers}
        lines = [f"{method} {target} {version}"]
        if "host" not in names and host is not False:
            lines.append(f"Host: {host or getattr(self, 'authority', None) or authority_of(target)}")
        lines += [f"{n}: {v}" for n, v in headers]
        if framing and body and not names & {"content-length", "transfer-encoding"}:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def ask(self, method, target, headers=(), body=b"", **more):
        self.request(method, target, headers, body, **more)
        return self.response(method)

    def get(self, target, headers=(), **more):
        return self.ask("GET", target, headers, **more)

    # -- bytes in

    def _more(self):
        """The next bytes of the wire, b"" at the end."""
        got = b"" if self.eof else self.wire.recv()
        self.eof = not got
        return got

    def _fill(self):
        got = self._more()
        self.buffer += got
        return bool(got)

    def _gather(self, n):
        """Up to n bytes (None: all there are). When the wire breaks, what came before stays in the buffer."""
        parts, have = [self.buffer], len(self.buffer)
        self.buffer = b""
        try:
            while n is None or have < n:
                got = self._more()
                if not got:
                    break
                parts.append(got)
                have += len(got)
        except ConnectionResetError:
            self.buffer = b"".join(parts)
            raise
        whole = b"".join(parts)
        if n is not None:
            whole, self.buffer = whole[:n], whole[n:]
        return whole

    def read(self, n):
        """Exactly n bytes, or fewer at the end of the connection."""
        return self._gather(n)

    def read_until(self, mark):
        while mark not in self.buffer:
            if not self._fill():
                raise EOFError(f"ended before {mark!r}: {self.buffer!r}")
        at = self.buffer.index(mark) + len(mark)
        out, self.buffer = self.buffer[:at], self.buffer[at:]
        return out

    def read_all(self):
        return self._gather(None)

    def _fields(self, data):
        headers, at = Headers(), 0
        while at < len(data):
            m = FIELD_LINE.match(data, at)
            assert m, f"not a field line: {data[at:at + 200]!r}"
            headers.append((m.group(1).decode("latin-1"), m.group(2).decode("latin-1")))
            at = m.end()
        return headers

    def head(self):
        """Reads one response head, strictly."""
        data = self.read_until(b"\r\n\r\n")
        m = STATUS_LINE.match(data)
        assert m, f"not a status line: {data[:200]!r}"
        headers = self._fields(data[m.end():-2])
        assert len(headers.all("Content-Length")) <= 1, headers
        assert not ("Content-Length" in headers and "Transfer-Encoding" in headers), headers
        return Response(m.group(1).decode(), int(m.group(2)), m.group(3).decode("latin-1"), headers, data)

    def response(self, method="GET", stop_at_interim=False):
        """Reads one whole response; interim ones are collected in .interim."""
        interim = []
        while True:
            r = self.head()
            if r.status >= 200 or r.status == 101 or stop_at_interim:
                break
            interim.append(r)
        r.interim = interim
        if r.status < 200:
            return r
        self.body(r, method)
        return r

    def body(self, r, method="GET"):
        if method == "HEAD" or r.status in (204, 304) or (method == "CONNECT" and r.status // 100 == 2):
            return
        if "Transfer-Encoding" in r.headers:
            assert r.headers.get("Transfer-Encoding") == "chunked", r
            assert r.version == "HTTP/1.1", r
            self._chunked(r)
        elif "Content-Length" in r.headers:
            n = int(r.headers.get("Content-Length"))
            try:
                r.body = self.read(n)
            except ConnectionResetError:
                r.body = self.buffer
            r.cut = len(r.body) < n
        else:
            assert r.closing or r.version == "HTTP/1.0", f"body to the end of a kept connection: {r}"
            try:
                r.body = self.read_all()
            except ConnectionResetError:
                r.body, r.cut = self.buffer, True

    def _chunked(self, r):
        parts = []
        try:
            while True:
                line = self.read_until(b"\r\n")
                m = re.fullmatch(rb"([0-9A-Fa-f]+)(;[^\r\n]*)?\r\n", line)
                assert m, f"bad chunk line {line!r}"
                n = int(m.group(1), 16)
                if n == 0:
                    break
                data = self.read(n + 2)
                parts.append(data[:n])
                if len(data) < n + 2:
                    raise EOFError
                assert data[n:] == b"\r\n", "chunk without its CRLF"
            data = b""
            while not data.endswith(b"\r\n\r\n") and data != b"\r\n":
                data += self.read_until(b"\r\n")
            r.trailers = self._fields(data[:-2])
        except (EOFError, ConnectionResetError):
            r.cut = True
        r.body = b"".join(parts)

    def ended(self):
        """True when the other side closes (in order or by a reset) and says nothing more."""
        try:
            return self.read_all() == b""
        except ConnectionResetError:
            return self.buffer == b""

    # -- end

    def half_close(self):
        self.wire.shutdown_write()

    def reset(self):
        self.wire.reset()

    def close(self):
        self.wire.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def authority_of(target):
    m = re.match(r"[a-z]+://([^/?#]+)", target)
    return m.group(1) if m else target


def connect(host, port, timeout=DEADLINE):
    sock = socket.create_connection((host, port), timeout=timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Client(TcpWire(sock))


def client_context(ca_file, alpn=None, maximum=None, minimum=None):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file:
        ctx.load_verify_locations(ca_file)
    else:
        ctx.check_hostname = False
        ctx.verify_mode = ssl.CERT_NONE
    if alpn:
        ctx.set_alpn_protocols(alpn)
    if maximum:
        ctx.maximum_version = maximum
    if minimum:
        ctx.minimum_version = minimum
    return ctx
