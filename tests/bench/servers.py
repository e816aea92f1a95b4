"""The servers that `make bench` sets against each other, each in a folder of its own below one temporary folder, on loopback."""

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

HOST = "bench.test"
FIRST = "h%d.first.bench.test"
FIRST_NAMES = 4000
BODIES = {"1k": 1024, "10k": 10240, "100k": 102400, "1m": 1 << 20, "10m": 10 << 20}
CACHE_BYTES = "2GB"
MANY, MANY_FILES = "/many", 2000  # files of 10 KB with the same bytes
SHARED = "/sumdb/bench/lookup"  # what lies below it never changes (proto/pathclass.h), so that siblings may share it


class Trouble(Exception):
    """Something needed for a measurement is missing or failed; the text is for people."""


def free_ports(n):
    """Ports that were free a moment ago. All are held until all are found, so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


def run(*argv):
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if r.returncode:
        raise Trouble(f"{' '.join(argv)}: {r.stdout.strip()}")
    return r.stdout


def get(url):
    """The body of what a node's own port answers."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as r:
        return r.read().decode()


class Lab:
    """The common ground: folder, CA, certificate, bodies and names."""

    def __init__(self, folder, load):
        self.folder = folder
        self.load = load
        os.chmod(folder, 0o755)
        self._certificates()
        self.files = os.path.join(folder, "files")
        os.mkdir(self.files)
        for name, size in BODIES.items():
            run(load, "--make", os.path.join(self.files, name), "--name", name, "--size", str(size))
        os.mkdir(self.files + MANY)
        for i in range(MANY_FILES):
            shutil.copy(os.path.join(self.files, "10k"), f"{self.files}{MANY}/{i}")
        self.hosts = os.path.join(folder, "hosts")
        with open(self.hosts, "w") as f:
            f.write(f"127.0.0.1 {HOST}\n")
            for i in range(FIRST_NAMES):
                f.write(f"127.0.0.1 {FIRST % i}\n")

    def path(self, name):
        return os.path.join(self.folder, name)

    def subfolder(self, name):
        path = self.path(name)
        os.mkdir(path)
        return path

    def _certificates(self):
        p = self.path
        for name in ("ca", "site"):
            run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", p(name + ".key"))
        run("openssl", "req", "-new", "-x509", "-key", p("ca.key"), "-subj", "/CN=bench CA", "-days", "400", "-out", p("ca.crt"),
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        run("openssl", "req", "-new", "-key", p("site.key"), "-subj", "/CN=" + HOST, "-out", p("site.csr"))
        with open(p("site.ext"), "w") as f:
            f.write(f"subjectAltName=DNS:{HOST},DNS:*.first.{HOST}\nbasicConstraints=CA:FALSE\n"
                    "keyUsage=digitalSignature\nextendedKeyUsage=serverAuth\n")
        run("openssl", "x509", "-req", "-in", p("site.csr"), "-CA", p("ca.crt"), "-CAkey", p("ca.key"), "-CAcreateserial",
            "-days", "20", "-extfile", p("site.ext"), "-out", p("site.crt"))


class Server:
    """A running process and its children."""

    label = ""
    host = "127.0.0.1"
    contacts = 0  # names of FIRST asked for so far

    def __init__(self, lab, name):
        self.lab = lab
        self.name = name
        self.folder = lab.subfolder(name)
        self.process = None
        self.ports = []

    def start(self, argv):
        self.argv = argv
        self.out = os.path.join(self.folder, "out")
        with open(self.out, "wb") as f:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.STDOUT,
                                            cwd=self.folder, start_new_session=True)
        end = time.monotonic() + 20
        for port in self.ports:
            while True:
                if self.process.poll() is not None:
                    raise Trouble(f"{self.name} ended at start ({self.process.returncode}): {self.last_words()}")
                try:
                    socket.create_connection((self.host, port), 1).close()
                    break
                except OSError:
                    if time.monotonic() > end:
                        self.stop()
                        raise Trouble(f"{self.name} does not listen: {self.last_words()}") from None
                    time.sleep(0.05)
        time.sleep(0.2)

    def last_words(self):
        with open(self.out, errors="replace") as f:
            return " | ".join(f.read().strip().splitlines()[-5:])

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def pids(self):
        """The process and all below it."""
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children") as f:
                        todo += [int(x) for x in f.read().split()]
            except OSError:
                continue
        return found

    def pin(self, cpus):
        """Confines every thread to these CPUs; None: all that this program has."""
        for pid in self.pids():
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    os.sched_setaffinity(int(task), cpus or os.sched_getaffinity(0))
            except OSError:
                continue

    def cpu_ns(self):
        """CPU time of every living thread so far: user and system, by the scheduler's clock in nanoseconds."""
        total = 0
        for pid in self.pids():
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                        total += int(f.read().split()[0])
            except OSError:
                continue
        return total

    def rss_bytes(self):
        """Of the process itself and its children; shared pages count in each."""
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/status") as f:
                for line in f:
                    if line.startswith("VmRSS:"):
                        total += int(line.split()[1]) * 1024
        return total

    def alive(self):
        return self.process.poll() is None

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text)
        return path


class Nginx(Server):
    """Static files over TLS by one worker; the same as the origin of misses."""

    label = "nginx"
    mode = "direct"

    def __init__(self, lab, name="nginx", cold=None):
        """cold: where /cold/ lies."""
        super().__init__(lab, name)
        self.ports = free_ports(2)
        self.port, self.plain_port = self.ports
        self.log = os.path.join(self.folder, "big.log")
        rewrites = "".join(f"location {top}/{n}/ {{ rewrite ^ /{n} break; }}\n" for top in ("", SHARED) for n in BODIES)
        user = "user root;" if os.geteuid() == 0 else ""
        conf = self.write("nginx.conf", f"""
{user}
worker_processes 1; worker_rlimit_nofile 20000; daemon off;
pid {self.folder}/pid; error_log {self.folder}/error.log;
events {{ worker_connections 10000; }}
http {{
client_body_temp_path {self.folder}/t1; proxy_temp_path {self.folder}/t2; fastcgi_temp_path {self.folder}/t3;
uwsgi_temp_path {self.folder}/t4; scgi_temp_path {self.folder}/t5;
access_log off; sendfile on; tcp_nodelay on; keepalive_timeout 600; keepalive_requests 1000000000;
default_type application/octet-stream;
ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {lab.folder}/site.crt; ssl_certificate_key {lab.folder}/site.key;
server {{
listen 127.0.0.1:{self.port} ssl backlog=4096; listen 127.0.0.1:{self.plain_port} backlog=4096;
root {lab.files}; add_header Cache-Control "public, max-age=3600";
{rewrites}
location /big/ {{ access_log {self.log}; rewrite ^ /10m break; }}
location /unstored/10m/ {{ add_header Cache-Control "no-store"; rewrite ^ /10m break; }}
location /cold/ {{ root {cold or lab.files}; }}
location {SHARED}/big/ {{ access_log {self.log}; rewrite ^ /10m break; }}
}} }}
""")
        self.start(["nginx", "-c", conf, "-e", os.path.join(self.folder, "error.log")])

    @staticmethod
    def version():
        return run("nginx", "-v").strip().split("/")[-1]

    def aim(self, _origin):
        return ["--to", f"127.0.0.1:{self.port}", "--mode", "direct", "--port", str(self.port)]


class Proxy(Server):
    bump = plain = 0

    def aim(self, origin):
        return ["--to", f"{self.host}:{self.bump}", "--mode", "connect", "--port", str(origin.port)]

    def aim_plain(self, origin):
        return ["--to", f"{self.host}:{self.plain}", "--mode", "plain", "--port", str(origin.plain_port)]


class Squid(Proxy):
    """By default with both ports; whoever derives from it says in `conf` what else it is to be."""

    label = "squid"

    def __init__(self, lab, name="squid", cache="2 GB"):
        super().__init__(lab, name)
        self.ports = free_ports(2)
        self.plain, self.bump = self.ports
        self.launch(self.bumping() + f"""
access_log none
cache_mem {cache}
maximum_object_size_in_memory 16 MB
visible_hostname bench
""")

    def bumping(self):
        """Configuration of the port that bumps."""
        helper = "/usr/lib/squid/security_file_certgen"
        db = os.path.join(self.folder, "ssl_db")
        run(helper, "-c", "-s", db, "-M", "64MB")
        with open(self.lab.path("ca.crt")) as c, open(self.lab.path("ca.key")) as k:
            pem = self.write("ca.pem", c.read() + k.read())
        return f"""
http_port 127.0.0.1:{self.bump} ssl-bump generate-host-certificates=on dynamic_cert_mem_cache_size=64MB tls-cert={pem}
sslcrtd_program {helper} -s {db} -M 64MB
sslcrtd_children 2 startup=2 idle=1
tls_outgoing_options cafile={self.lab.path("ca.crt")}
ssl_bump bump all
"""

    def launch(self, conf, before=()):
        """conf: besides what all of them have. before: run with the finished configuration as the last words, then the server."""
        path = self.write("squid.conf", f"""
http_port {self.host}:{self.plain}
http_access allow all
workers 1
maximum_object_size 16 MB
cache_store_log none
cache_log {self.folder}/cache.log
pid_filename none
coredump_dir {self.folder}
hosts_file {self.lab.hosts}
shutdown_lifetime 0 seconds
client_idle_pconn_timeout 10 minutes
max_filedescriptors 20000
pinger_enable off
{conf}""")
        self.hand_over(self.folder)
        self.service = f"bench{os.getpid()}{self.name.replace('-', '')}"
        argv = ["squid", "-N", "-n", self.service, "-f", path]
        for words in before:
            run(*argv, *words)
        self.start(argv)

    @staticmethod
    def hand_over(folder):
        """Started by root, squid runs as another user."""
        if os.geteuid() == 0:
            proxy = pwd.getpwnam("proxy")
            for top, folders, files in os.walk(folder):
                for n in [top] + [os.path.join(top, f) for f in folders + files]:
                    os.chown(n, proxy.pw_uid, proxy.pw_gid)

    def stop(self):
        super().stop()
        for path in glob.glob(f"/dev/shm/{self.service}-*"):
            os.unlink(path)

    @staticmethod
    def version():
        return run("squid", "-v").splitlines()[0].split()[-1]


class Pmcached(Proxy):
    label = "pmcache"
    binary = ""

    def __init__(self, lab, name="pmcached", loops=1, cache=CACHE_BYTES, log=False):
        super().__init__(lab, name)
        self.ports = free_ports(2)
        self.plain, self.bump = self.ports
        self.launch(f"""
node: bench
loops: {loops}
listen: {{proxy: ["127.0.0.1:{self.plain}"], bump: ["127.0.0.1:{self.bump}"], admin: []}}
cache: {{memory: {{size: {cache}, max_object: 16MB}}}}
log: {{access: {{path: "{self.access_log if log else 'off'}"}}, level: warning}}
""")

    @property
    def access_log(self):
        return os.path.join(self.folder, "access.log")

    @property
    def state(self):
        return os.path.join(self.folder, "state")

    def launch(self, conf):
        """conf: besides what all of them have."""
        os.mkdir(self.state, 0o700)
        for f in ("ca.crt", "ca.key"):
            copy_private(self.lab.path(f), os.path.join(self.state, f))
        path = self.write("pmcache.yaml", f"""
state: {self.state}
upstream: {{ca_file: {self.lab.path("ca.crt")}, hosts_file: {self.lab.hosts}}}
access: {{safe_ports: ["1-65535"], connect_ports: ["1-65535"], deny_to: []}}
{conf}""")
        self.start([self.binary, "-c", path])

    @classmethod
    def version(cls):
        return (run(cls.binary, "--version").split() or ["(says nothing)"])[-1]


def copy_private(source, target):
    """A copy that only its owner can read."""
    with open(source) as src, open(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600), "w") as dst:
        dst.write(src.read())
