"""pmcachectl top, in a terminal of our own: what it shows, and that it gives the terminal back.

run-tests: not for threads
"""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading

import pytest

from lab import Reply, eventually
from lab.edge import PMCACHECTL

STORED = [("Cache-Control", "max-age=60")]
LEFT = "\x1b[?1049l"


class Terminal:
    def __init__(self, edge, *args, rows=40, columns=100, **env):
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.bytes = b""
        self.process = subprocess.Popen([str(PMCACHECTL), "-c", str(edge.config_file), "top", *args], stdin=self.slave,
                                        stdout=self.slave, stderr=subprocess.PIPE, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                                        env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **env})
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            try:
                self.bytes += os.read(self.master, 65536)
            except OSError:
                return

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def text(self):
        return self.bytes.decode("utf-8", "replace")

    def picture(self):
        """The lines of the last whole picture, without colours."""
        whole = self.text.split("\x1b[J")
        last = whole[-2].split("\x1b[H")[-1] if len(whole) > 1 else ""
        return [re.sub(r"\x1b\[[0-9;]*[mK]", "", line).rstrip("\r") for line in last.split("\n")]

    def shows(self, pattern):
        eventually(lambda: f"{pattern} in {self.picture()}", lambda: re.search(pattern, "\n".join(self.picture())))

    def type(self, keys):
        os.write(self.master, keys)

    def end(self):
        """Waits until it has ended by itself; its exit code."""
        code = self.process.wait(10)
        assert termios.tcgetattr(self.slave) == self.before, "the terminal is as it was"
        eventually("the first screen", lambda: self.text.endswith(LEFT))
        assert self.text.rfind("\x1b[?25h") > self.text.rfind("\x1b[?25l"), "the cursor is there again"
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        os.close(self.slave)
        os.close(self.master)


@pytest.fixture
def terminal(request):
    made = []

    def make(*args, **more):
        made.append(Terminal(*args, **more))
        return made[-1]
    yield make
    for t in made:
        t.close()


def test_it_shows_what_happens_and_ends_with_q(make, plain, terminal):
    e = make.edge()
    t = terminal(e)
    t.shows("edge1  pmcached")
    t.shows("nobody has asked")
    plain.on("/o", Reply(body=b"x" * 1000, headers=STORED))
    for _ in range(4):
        e.get(plain.url("/o"))
    e.get("http://nowhere.test/lost")
    t.shows(r"memory +3 ")
    t.shows(r"origin +1 ")
    t.shows("hit ratio 75 %")
    t.shows(rf"HOST +REQUESTS +PER S +HIT%.*\nplain\.test:{plain.port} +4 +\d+\.\d +75 % +0 ")
    t.shows(r"LATELY WRONG.*\n.*1x .*http://nowhere.test/lost")
    assert "\x1b[32m" in t.text, "colours"
    t.type(b"q")
    assert t.end() == 0


@pytest.mark.parametrize("how", ["ctrl-c", "SIGTERM"])
def test_the_terminal_is_given_back_however_it_ends(edge, terminal, how):
    t = terminal(edge)
    t.shows("edge1")
    if how == "ctrl-c":
        t.type(b"\x03")
    else:
        t.process.send_signal(signal.SIGTERM)
    assert t.end() == 0


def test_it_fits_into_any_size_and_follows_a_change(edge, terminal):
    t = terminal(edge, rows=5, columns=30)
    t.shows("edge1")
    assert len(t.picture()) == 5 and max(map(len, t.picture())) <= 30
    t.resize(40, 120)
    t.shows("ANSWERS FROM")
    assert len(t.picture()) > 5
    t.resize(1, 1)
    eventually("one character", lambda: t.picture() == ["e"])
    t.type(b"q")
    assert t.end() == 0


def test_it_stops_and_goes_on_as_the_shell_wants(edge, terminal):
    t = terminal(edge)
    t.shows("edge1")
    t.process.send_signal(signal.SIGTSTP)
    eventually("it to be stopped", lambda: open(f"/proc/{t.process.pid}/stat").read().split(")")[1].split()[0] == "T")
    assert termios.tcgetattr(t.slave) == t.before
    eventually("the first screen", lambda: t.text.endswith(LEFT))
    t.process.send_signal(signal.SIGCONT)
    eventually("the other screen", lambda: not t.text.endswith(LEFT))
    t.shows("edge1")
    t.type(b"q")
    assert t.end() == 0


def test_it_outlives_the_daemon(make, terminal):
    e = make.edge()
    t = terminal(e)
    t.shows("edge1")
    e.stop()
    t.shows("no daemon answers")
    e.start()
    t.shows("edge1  pmcached")
    t.type(b"q")
    assert t.end() == 0


def test_no_color_is_honoured(edge, terminal):
    t = terminal(edge, NO_COLOR="1")
    t.shows("edge1")
    assert not re.search(r"\x1b\[[1-9][0-9]*m", t.text)
    t.type(b"q")
    assert t.end() == 0


def test_over_a_pipe_it_is_one_picture_and_json_is_json(edge):
    done = edge.ctl("top")
    assert done.stdout.startswith("edge1") and "ANSWERS FROM" in done.stdout and "\x1b" not in done.stdout
    said = json.loads(edge.ctl("top", "--json").stdout)
    assert said["stats"]["node"] == "edge1" and said["peers"] is None and said["recent"]["urls"] is True


def test_without_a_daemon_it_says_so(make):
    e = make.edge(start=False)
    assert e.ctl("top", check=False).returncode == 3
    assert e.ctl("top", "extra", check=False).returncode == 2
