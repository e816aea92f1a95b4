"""A node of a cluster made in Python, from proto/PROTOCOL.md alone: for what no daemon would do.

    evil = cluster.fake("edge3")                  # has its certificate and the cluster's secrets, and its port
    evil.has(key or None, ...)                    # says HIT
    evil.serve = lambda conn, req: conn.send(...) # what comes over TCP

It also seals, forges and records datagrams, and comes to the doors of other nodes with any certificate."""

import hashlib
import hmac
import os
import random
import socket
import ssl
import struct
import threading

from .wait import DEADLINE, eventually
from .wire import Client, Headers, TcpWire, TlsWire

HELLO, QUERY, HINT, PING, INVALIDATE, BYE, ERR = 1, 2, 3, 4, 6, 7, 8
BACK = 0x40
REPLY, PONG = QUERY | BACK, PING | BACK
MISS, HIT, PENDING = 0, 1, 2


# -- msgpack, as much as is needed

def pack(v):
    if isinstance(v, bool):
        return b"\xc3" if v else b"\xc2"
    if isinstance(v, int):
        if v < 0:
            return struct.pack(">Bi", 0xd2, v)
        if v < 0x80:
            return bytes([v])
        for mark, fmt, top in ((0xcc, "B", 1 << 8), (0xcd, "H", 1 << 16), (0xce, "I", 1 << 32), (0xcf, "Q", 1 << 64)):
            if v < top:
                return struct.pack(">B" + fmt, mark, v)
    if isinstance(v, (bytes, bytearray)):
        return (bytes([0xc4, len(v)]) if len(v) < 256 else struct.pack(">BH", 0xc5, len(v))) + bytes(v)
    if isinstance(v, str):
        return (bytes([0xa0 | len(v)]) if len(v) < 32 else bytes([0xd9, len(v)])) + v.encode()
    if isinstance(v, (list, tuple)):
        return (bytes([0x90 | len(v)]) if len(v) < 16 else struct.pack(">BH", 0xdc, len(v))) + b"".join(map(pack, v))
    if isinstance(v, dict):
        return bytes([0x80 | len(v)]) + b"".join(pack(k) + pack(x) for k, x in v.items())
    raise TypeError(v)


def unpack(b, at=0):
    """(value, where it ends)"""
    def number(fmt):
        return struct.unpack_from(">" + fmt, b, at + 1)[0], at + 1 + struct.calcsize(fmt)

    def several(n, at):
        out = []
        for _ in range(n):
            v, at = unpack(b, at)
            out.append(v)
        return out, at

    m = b[at]
    if m < 0x80:
        return m, at + 1
    if m < 0x90:
        flat, at = several(2 * (m & 15), at + 1)
        return dict(zip(flat[::2], flat[1::2])), at
    if m < 0xa0:
        return several(m & 15, at + 1)
    if m < 0xc0:
        return b[at + 1:at + 1 + (m & 31)].decode(), at + 1 + (m & 31)
    if m in (0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3):
        return number({0xcc: "B", 0xcd: "H", 0xce: "I", 0xcf: "Q", 0xd0: "b", 0xd1: "h", 0xd2: "i", 0xd3: "q"}[m])
    if m in (0xc4, 0xd9):
        n = b[at + 1]
        v = b[at + 2:at + 2 + n]
        return (v if m == 0xc4 else v.decode()), at + 2 + n
    if m == 0xc5:
        n = struct.unpack_from(">H", b, at + 1)[0]
        return b[at + 3:at + 3 + n], at + 3 + n
    if m == 0xdc:
        return several(struct.unpack_from(">H", b, at + 1)[0], at + 3)
    raise ValueError(f"{m:#x}")


def node_id(name):
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") or 1


def seal(secret, kind, body, src, dst, boot, seq, kid=1, version=1):
    """body: a dict, or bytes as they are."""
    head = struct.pack(">BBBBBBIBIBQBQ", 0x99, version, kind, 0xcc, kid, 0xce, src, 0xce, dst, 0xcf, boot, 0xcf, seq)
    text = head + (body if isinstance(body, bytes) else pack(body)) + b"\xc4\x10"
    return text + hmac.new(secret, text, hashlib.sha256).digest()[:16]


class Datagram:
    def __init__(self, data, sender):
        self.data, self.sender = data, sender
        (_, self.version, self.kind, _, self.kid, _, self.src, _, self.dst, _, self.boot, _, self.seq) = struct.unpack_from(
            ">BBBBBBIBIBQBQ", data)
        self.body = unpack(data, 33)[0]

    def __repr__(self):
        return f"<{self.kind} {self.src:x}->{self.dst:x} boot {self.boot:x} seq {self.seq} {self.body}>"


def context(files, server, alpn, cert=None, ca=None):
    """Mutual TLS 1.3 with this node's files; cert: (cert, key) of somebody else, False: none."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    ctx.minimum_version = ssl.TLSVersion.TLSv1_3
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_REQUIRED
    ctx.load_verify_locations(ca or files / "cluster-ca.crt")
    if cert is not False:
        ctx.load_cert_chain(*(cert or (files / "node.crt", files / "node.key")))
    if alpn:
        ctx.set_alpn_protocols([alpn])
    return ctx


def visit(cluster, to, as_node, alpn="pmc-peer/1", cert=None, ca=None):
    """A client at a node's door. With TLS 1.3 a refusal of our certificate shows in the first read."""
    sock = socket.create_connection(("127.0.0.1", cluster.ports[to]), timeout=DEADLINE)
    c = Client(TlsWire(TcpWire(sock), context(cluster.files(as_node), False, alpn, cert, ca), to))
    c.authority = to
    return c


class Peer:
    def __init__(self, cluster, name):
        self.cluster, self.name, self.id = cluster, name, node_id(name)
        self.role = 1
        self.boot, self.seq = random.getrandbits(63) | 1, 0
        self.answers = True  # HELLO and PING
        self.heard = []  # Datagrams
        self.errors = []
        self.visits = []  # requests that came over TCP, as (method, target, Headers)
        self.say = lambda key, n: [n, MISS]
        self.serve = None  # function(conn, target, headers)
        self.cert = None
        self._lock = threading.Lock()
        self.port = cluster.ports[name]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.tcp = None
        self.listen()
        self._socks = []
        threading.Thread(target=self._datagrams, daemon=True).start()

    # -- datagrams

    @property
    def secret(self):
        return self.cluster.secret()

    def send(self, to, kind, body, **other):
        """Sealed as this node would; anything may be another: src, dst, boot, seq, kid, secret, version."""
        data = self.sealed(to, kind, body, **other)
        self.throw(to, data)
        return data

    def sealed(self, to, kind, body, **other):
        with self._lock:
            self.seq += 1
            seq = self.seq
        what = dict(secret=self.secret, src=self.id, dst=node_id(to), boot=self.boot, seq=seq) | other
        return seal(what.pop("secret"), kind, body, **what)

    def throw(self, to, data):
        self.udp.sendto(data, ("127.0.0.1", self.cluster.ports[to]))

    def hello(self, nonce, echo=None):
        body = {1: nonce, 3: [1, 1], 4: self.role, 5: 0, 6: self.port, 7: self.name, 8: 0, 9: 1200, 10: 0}
        return body | ({2: echo} if echo else {})

    def pong(self, ping):
        return {1: ping.get(1, 0), 2: ping.get(2, 0), 3: 0, 4: 0, 6: 1, 8: 0, 10: 1, 11: 0}

    def reboot(self):
        self.boot, self.seq = random.getrandbits(63) | 1, 0

    def got(self, kind, since=0):
        return [d for d in list(self.heard)[since:] if d.kind == kind]

    def _name_of(self, ident):
        return next((n for n in self.cluster.names if node_id(n) == ident), None)

    def _datagrams(self):
        while True:
            try:
                data, sender = self.udp.recvfrom(2048)
            except OSError:
                return
            if not data:
                continue
            try:
                d = Datagram(data, sender)
            except (struct.error, ValueError, IndexError):
                continue  # noise of a test's own
            self.heard.append(d)
            to = self._name_of(d.src)
            if to is None or not self.answers:
                continue
            if d.kind == HELLO:
                self.send(to, HELLO | BACK, self.hello(d.body.get(1, 0)))
            elif d.kind == PING:
                self.send(to, PONG, self.pong(d.body))
            elif d.kind == QUERY:
                recs = [self.say(r[0], i) for i, r in enumerate(d.body.get(2, []))]
                recs = [r for r in recs if r]
                if recs:
                    self.send(to, REPLY, {1: d.body[1], 2: recs, 3: 0, 4: 1, 6: 0})
            elif d.kind == ERR and d.body.get(2) == 2:
                self.send(to, HELLO, self.hello(random.getrandbits(60), d.body.get(3)))

    # -- links

    def listen(self):
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind(("127.0.0.1", self.port))
        self.tcp.listen(64)
        threading.Thread(target=self._accept, args=(self.tcp,), daemon=True).start()

    def stop_listening(self):
        try:
            self.tcp.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.tcp.close()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._link, args=(sock,), daemon=True).start()

    def _link(self, sock):
        self._socks.append(sock)
        try:
            sock.settimeout(DEADLINE * 6)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ctx = context(self.cluster.files(self.name), True, "pmc-peer/1", self.cert)
            sock = ctx.wrap_socket(sock, server_side=True)
            self._socks.append(sock)
            conn = Link(sock)
            while True:
                method, target, headers = conn.request()
                self.visits.append((method, target, headers))
                if self.serve is None:
                    conn.send(b"HTTP/1.1 404 Not Found\r\nPmc-Why: gone\r\nContent-Length: 0\r\n\r\n")
                elif self.serve(conn, target, headers) is not True:
                    return
        except (OSError, EOFError, ssl.SSLError):
            pass
        finally:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    # -- what it says it has

    def has(self, size, digest=None):
        """Whatever it is asked for: HIT."""
        self.say = lambda key, n: [n, HIT, size, (digest or b"\0" * 32)[:8], 86400, 1]

    def await_visits(self, n=1):
        eventually(lambda: f"{n} visits, there were {self.visits}", lambda: len(self.visits) >= n)

    def close(self):
        self.udp.close()
        self.stop_listening()
        for s in self._socks:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Link:
    def __init__(self, sock):
        self.sock, self.buffer, self.gone = sock, b"", threading.Event()

    def request(self):
        while b"\r\n\r\n" not in self.buffer:
            got = self.sock.recv(65536)
            if not got:
                raise EOFError
            self.buffer += got
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        return method, target, Headers(tuple(p.strip() for p in line.split(":", 1)) for line in lines)

    def send(self, data):
        self.sock.sendall(data)

    def await_end(self):
        """Until the other side has had enough."""
        try:
            while self.sock.recv(65536):
                pass
        except OSError:
            pass


def object_head(length=None, digest=None, order=0, begin=0, more=(), status="200 OK"):
    lines = [f"HTTP/1.1 {status}", "Date: Thu, 01 Jan 2026 00:00:00 GMT", f"Pmc-Order: {order}", f"Pmc-From: {begin}",
             "Transfer-Encoding: chunked"]
    if length is not None:
        lines.append(f"Pmc-Length: {length}")
    if digest is not None:
        lines.append(f"Pmc-Digest: {digest.hex()}")
    lines += [f"{n}: {v}" for n, v in more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def chunk(data):
    return b"%x\r\n" % len(data) + data + b"\r\n"


def an_object(body, **more):
    """A whole answer, in good order unless `more` says otherwise (object_head)."""
    more = dict(length=len(body), digest=hashlib.sha256(body).digest()) | more
    return object_head(**more) + (chunk(body) if body else b"") + b"0\r\n\r\n"


def noise(n):
    return os.urandom(n)
