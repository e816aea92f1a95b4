"""The edge under test: pmcached started with a configuration of the test's own, and pmcachectl beside it.

Where the binaries are: PMC_BUILD (a folder; default `build` below the project root). PMC_WRAP puts words before the
daemon (valgrind, strace). Everything an edge writes is below its own folder."""

import json
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from .wait import DEADLINE, SLOWER, eventually
from .wire import TlsWire, client_context, connect

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("PMC_BUILD", "build"))
if not BUILD.is_absolute():
    BUILD = ROOT / BUILD
PMCACHED, PMCACHECTL = BUILD / "pmcached", BUILD / "pmcachectl"
WRAP = shlex.split(os.environ.get("PMC_WRAP", ""))

SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|MemorySanitizer")


class EdgeFailed(Exception):
    """The daemon ended where it should have started: .code and .stderr say how."""

    def __init__(self, code, stderr):
        super().__init__(f"pmcached ended with {code}:\n{stderr}")
        self.code, self.stderr = code, stderr


GIVEN_PORTS = set()  # in this run: who got one may not have bound it yet


def free_ports(n):
    """Ports that nobody has at this moment, outside the range from which outgoing connections take theirs. None is given twice."""
    found = []
    rng = random.Random(os.getpid() * 1000003 + time.monotonic_ns())
    while len(found) < n:
        port = rng.randrange(11000, 32000)
        if port in GIVEN_PORTS:
            continue
        try:
            for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")):
                with socket.socket(family, socket.SOCK_STREAM) as s:
                    s.bind((host, port))
        except OSError:
            continue
        GIVEN_PORTS.add(port)
        found.append(port)
    return found


def yaml(value, indent=0):
    """Block YAML of nested dicts; lists, and dicts in them, in flow form; strings quoted where they need it."""
    if isinstance(value, dict):
        out = []
        for k, v in value.items():
            if isinstance(v, dict) and v:
                out.append(f"{' ' * indent}{k}:\n{yaml(v, indent + 2)}")
            else:
                out.append(f"{' ' * indent}{k}: {yaml(v)}\n")
        return "".join(out) if out else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow(v) if isinstance(v, dict) else yaml(v) for v in value) + "]"
    if value is True or value is False:
        return "on" if value else "off"
    if isinstance(value, (int, float)):
        return str(value)
    text = str(value)
    return text if re.fullmatch(r"[A-Za-z0-9_./%][A-Za-z0-9_./%-]*", text) else json.dumps(text)


def flow(value):
    return "{" + ", ".join(f"{k}: {yaml(v)}" for k, v in value.items()) + "}"


def merge(base, more):
    out = dict(base)
    for k, v in more.items():
        out[k] = merge(out[k], v) if isinstance(v, dict) and isinstance(out.get(k), dict) else v
    return out


LOG_LINE = re.compile(
    r"(?P<time>\d{10}\.\d{3}) +(?P<elapsed>\d+) (?P<client>[0-9a-fA-F.:]+) (?P<result>[A-Z_]+)/(?P<status>\d{3}) "
    r"(?P<bytes>\d+) (?P<method>[!-~]+) (?P<url>[!-~]+) (?P<user>[!-~]+) (?P<hier>[A-Z_]+)/(?P<peer>[!-~]+) "
    r"(?P<type>[!-~]+)(?: \[(?P<request>.*)\] \[(?P<reply>.*)\])?")


class LogLine:
    def __init__(self, text):
        m = LOG_LINE.fullmatch(text)
        assert m, f"not a line of Squid's native format: {text!r}"
        self.text = text
        self.__dict__.update(m.groupdict())
        self.status, self.bytes, self.elapsed = int(self.status), int(self.bytes), int(self.elapsed)

    def __repr__(self):
        return self.text


class Edge:
    host = "127.0.0.1"  # where its clients reach it
    wrap = ()  # words before the daemon, of this edge alone

    def __init__(self, folder, certs, names, conf=None, conf_text=None, start=True, state=None, drop=()):
        self.folder = Path(folder)
        self.state = Path(state) if state else self.folder / "state"
        self.certs = certs
        self.process = None
        self.stderr_text = ""
        self.hosts_file = self.folder / "hosts"
        if not self.hosts_file.exists():
            self.hosts_file.write_text("".join(f"127.0.0.1 {n}\n" for n in names if n not in ("six.test", "both.test"))
                                       + "::1 six.test\n127.0.0.1 both.test\n::1 both.test\n")
        self.overrides, self.drop, self.conf_text = conf or {}, drop, conf_text
        self.config_file = self.folder / "pmcache.yaml"
        self.access_log = self.folder / "access.log"
        self._pick_ports()
        self.write_config()
        if start:
            self.start()

    # -- configuration

    def _pick_ports(self):
        self.proxy_port, self.bump_port, self.admin_port = free_ports(3)

    def base(self):
        return {
            "node": "edge1",
            "loops": 2,
            "state": str(self.state),
            "listen": {
                "proxy": [f"127.0.0.1:{self.proxy_port}", f"[::1]:{self.proxy_port}"],
                "bump": [f"127.0.0.1:{self.bump_port}", f"[::1]:{self.bump_port}"],
                "admin": f"127.0.0.1:{self.admin_port}",
            },
            "upstream": {"ca_file": self.certs.root_file, "hosts_file": str(self.hosts_file)},
            "cache": {"memory": {"size": "256MB"}},
            "access": {"deny_to": [], "connect_ports": ["1-65535"], "safe_ports": ["1-65535"],
                       "purge": ["127.0.0.0/8", "::1"]},
            "log": {"access": {"path": str(self.access_log), "query": True}},
        }

    def effective(self):
        conf = merge(self.base(), self.overrides)
        for path in self.drop:
            d = conf
            *way, leaf = path.split(".")
            for w in way:
                d = d[w]
            d.pop(leaf)
        return conf

    def write_config(self, text=None):
        self.config_file.write_text(text or self.conf_text or yaml(self.effective()))

    # -- life

    def launch(self, *args):
        """Starts the daemon and does not wait."""
        env = dict(os.environ)
        for k in list(env):
            if k.lower().endswith("_proxy"):
                del env[k]
        self.stderr_text = ""
        self.process = subprocess.Popen([*self.wrap, *WRAP, str(PMCACHED), "-c", str(self.config_file), *args],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        env=env, cwd=self.folder)
        self._reader = threading.Thread(target=self._read_stderr, args=(self.process.stderr,), daemon=True)
        self._reader.start()

    def _read_stderr(self, pipe):
        for line in pipe:
            self.stderr_text += line.decode("utf-8", "replace")

    def start(self):
        for attempt in range(3):
            self.launch()
            try:
                self._await_ready()
                return self
            except EdgeFailed as e:
                # Somebody took a port between our looking and the daemon's binding: look again.
                if attempt == 2 or self.conf_text or not re.search("in use|taken", e.stderr):
                    raise
                self._pick_ports()
                self.write_config()

    def _await_ready(self):
        end = time.monotonic() + DEADLINE
        doors = [self.bump_port, self.proxy_port]
        pause = 0.002
        while doors:
            if self.process.poll() is not None:
                self._reader.join(2)
                code, self.process = self.process.returncode, None
                raise EdgeFailed(code, self.stderr_text)
            try:
                socket.create_connection((self.host, doors[0]), timeout=1).close()
                doors.pop(0)
            except OSError:
                if time.monotonic() > end:
                    self.kill()
                    raise AssertionError(f"pmcached was not ready within {DEADLINE} s:\n{self.stderr_text}") from None
                time.sleep(pause)
                pause = min(pause * 2, 0.05)

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def alive(self):
        """It still answers (a request without Host, with 400)."""
        try:
            with self.connect("proxy") as c:
                c.send(b"GET / HTTP/1.1\r\n\r\n")
                return c.response().status == 400
        except (OSError, EOFError, AssertionError):
            return False

    def signal(self, number):
        self.process.send_signal(number)

    def stand_still(self):
        """SIGSTOP; all its threads have stopped when this returns. signal(SIGCONT) ends it."""
        self.signal(signal.SIGSTOP)
        for state in list(Path(f"/proc/{self.pid}/task").glob("*/stat")):
            eventually(f"{self.name} stands still", lambda: state.read_text().rpartition(")")[2].split()[0] == "T")

    def stop(self, deadline=DEADLINE):
        """SIGTERM; the daemon drains, ends with 0 in time, and no sanitizer has spoken."""
        if self.process is None:
            return
        if self.running:
            self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"pmcached did not end within {deadline} s of SIGTERM:\n{self.stderr_text}") from None
        self._reader.join(2)
        self.process = None
        assert not SANITIZER.search(self.stderr_text), self.stderr_text
        assert code == 0, f"pmcached ended with {code}:\n{self.stderr_text}"

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def reload(self):
        """SIGHUP. Whether it took effect is for the caller to see."""
        self.signal(signal.SIGHUP)

    def said(self, pattern, deadline=DEADLINE):
        """Waits for a line on stderr."""
        return eventually(lambda: f"{pattern!r} on stderr:\n{self.stderr_text}",
                          lambda: re.search(pattern, self.stderr_text, re.I), deadline)

    @staticmethod
    def may_measure_memory():
        """Not with a sanitizer, which holds freed memory back."""
        program = PMCACHED.read_bytes()
        return b"__asan_init" not in program and b"__tsan_init" not in program and not WRAP

    def rss_bytes(self):
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def unread_bytes(self, port):
        """Bytes that clients sent to this port and the daemon has not read yet."""
        total = 0
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            f = line.split()
            if int(f[1].split(":")[1], 16) == port and f[3] == "01":
                total += int(f[4].split(":")[1], 16)
        return total

    def await_read(self, port):
        eventually("the edge has read what was sent to it", lambda: self.unread_bytes(port) == 0)

    # -- clients

    @property
    def ca_file(self):
        return str(self.state / "ca.crt")

    def port(self, door):
        return {"bump": self.bump_port, "proxy": self.proxy_port, "admin": self.admin_port}[door]

    def connect(self, door="bump", host=None):
        return connect(host or self.host, self.port(door))

    def connect_tls(self, host=None, name="localhost", alpn=None):
        """TLS to the proxy itself, verified with its CA."""
        c = self.connect("bump", host)
        c.wire = TlsWire(c.wire, client_context(self.ca_file, alpn), name)
        return c

    def tunnel(self, authority, door="bump", version="HTTP/1.1", over=None, host=None, headers=None):
        """CONNECT, answered 200; what follows is the caller's."""
        c = over or self.connect(door, host)
        if headers is None:
            headers = [] if version == "HTTP/1.0" else [("Host", authority)]
        c.request("CONNECT", authority, headers, version=version, host=False)
        r = c.head()
        assert r.status == 200, f"CONNECT was answered {r}"
        assert "Content-Length" not in r.headers and "Transfer-Encoding" not in r.headers, r
        assert not c.buffer or door == "proxy", f"bytes after the answer to CONNECT: {c.buffer!r}"
        return c

    def bumped(self, origin, name=None, context=None, session=None, sni=None, **more):
        """A client inside a bumped CONNECT to this origin (an Origin or "host:port"), the leaf verified with our CA."""
        authority = origin if isinstance(origin, str) else f"{bracket(name or origin.name)}:{origin.port}"
        c = self.tunnel(authority, **more)
        c.authority = authority
        server_name = sni or authority.rpartition(":")[0].strip("[]")
        c.wire = TlsWire(c.wire, context or client_context(self.ca_file), server_name, session)
        return c

    def session(self, url, door="bump", **more):
        """(client, target) ready to send requests for the origin of this URL, by absolute-form or bumped."""
        u = urlsplit(url)
        if u.scheme == "http":
            c = self.connect(door, more.get("host"))
            return c, url
        authority = u.netloc if u.port else f"{u.netloc}:443"
        return self.bumped(authority, **more), (u.path or "/") + (f"?{u.query}" if u.query else "")

    def ask(self, method, url, headers=(), body=b"", **more):
        c, target = self.session(url, **more)
        with c:
            return c.ask(method, target, headers, body)

    def get(self, url, headers=(), **more):
        return self.ask("GET", url, headers, **more)

    # -- the log

    def log_texts(self):
        try:
            return self.access_log.read_text().splitlines()
        except FileNotFoundError:
            return []

    def log(self, match, n=1, deadline=DEADLINE):
        """Waits until n lines about requests hold the text `match`; returns them parsed."""
        lines = eventually(lambda: f"{n} access log lines with {match!r}; the log:\n" + "\n".join(self.log_texts()),
                           lambda: (lambda found: found if len(found) >= n else None)(
                               [t for t in self.log_texts() if match in t and " ICP_QUERY " not in t]), deadline)
        return [LogLine(t) for t in lines]

    def asked_log(self):
        """The lines so far about what other nodes asked, parsed."""
        return [LogLine(t) for t in self.log_texts() if " ICP_QUERY " in t]

    # -- pmcachectl

    def ctl(self, *args, check=True, env=None, input=None):
        """Runs pmcachectl against this edge. Its answer has .returncode, .stdout and .stderr (text)."""
        env = dict(os.environ if env is None else env)
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"  # by design it gives nothing back (ctl.h)
        done = subprocess.run([str(PMCACHECTL), "-c", str(self.config_file), *args], capture_output=True, text=True,
                              timeout=30 * SLOWER, env=env, input=input, cwd=self.folder)
        assert not SANITIZER.search(done.stderr), done.stderr
        if check:
            assert done.returncode == 0, f"pmcachectl {' '.join(args)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def env(self):
        """What `pmcachectl env` says, as a shell understands it."""
        return parse_env(self.ctl("env").stdout)


def parse_env(text):
    """What the variables are after a shell has read this text."""
    done = subprocess.run(["env", "-i", "/bin/sh", "-c", 'set -e\neval "$1"\n/usr/bin/env -0', "sh", text],
                          capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, f"a shell does not understand this: {done.stderr}\n{text}"
    pairs = (item.split("=", 1) for item in done.stdout.split("\0") if "=" in item)
    return {k: v for k, v in pairs if k not in ("PWD", "SHLVL", "_", "OLDPWD")}


def flatten(text):
    """{"cache.memory.size": "1GB", ...} from block YAML as --dump-config writes it; flow maps of one level, too."""
    out, way = {}, []
    for line in text.splitlines():
        line = re.sub(r"\s+#.*", "", line)
        m = re.fullmatch(r"( *)([A-Za-z0-9_]+):\s*(.*)", line)
        if not m or line.lstrip().startswith("#"):
            continue
        depth = len(m.group(1))
        way = [w for w in way if w[0] < depth] + [(depth, m.group(2))]
        key, value = ".".join(w[1] for w in way), m.group(3)
        if value.startswith("{"):
            for part in value.strip("{}").split(","):
                k, _, v = part.partition(":")
                out[f"{key}.{k.strip()}"] = v.strip().strip('"')
        elif value:
            out[key] = value.strip('"')
    return out


def size_bytes(text):
    """64KB, 4 MB, 1GB or plain bytes."""
    m = re.fullmatch(r"(\d+) ?([KMGT]?)B?", text)
    assert m, text
    return int(m.group(1)) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[m.group(2)]


def bracket(host):
    return f"[{host}]" if ":" in host else host


def run_pmcached(*args, timeout=20, cwd=None, env=None):
    return subprocess.run([str(PMCACHED), *map(str, args)], capture_output=True, text=True, timeout=timeout * SLOWER,
                          cwd=cwd or tempfile.gettempdir(), env=env)
