"""A DNS server that knows SRV records and the addresses of their targets, on an address of its own below 127/8, port 53; and how a
daemon comes to ask it. Needs root."""

import os
import shutil
import socket
import struct
import threading

import pytest

SRV, A = 33, 1


def labels(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".") if p) + b"\0"


class SrvServer:
    """records: {name: [(target, port)]}; all targets are 127.0.0.1."""

    def __init__(self, folder, records):
        if os.geteuid() != 0 or not shutil.which("unshare"):
            pytest.skip("a DNS server of one's own needs root and unshare")
        self.records, self.asked = records, []
        self.host = f"127.213.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.sock.bind((self.host, 53))
        except OSError as e:
            pytest.skip(f"no port 53: {e}")
        self.file = folder / "resolv.conf"
        self.file.write_text(f"nameserver {self.host}\noptions timeout:2 attempts:2\n")
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def wrap(self):
        return ("unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', str(self.file))

    def _serve(self):
        while True:
            try:
                q, who = self.sock.recvfrom(2048)
            except OSError:
                return
            at, parts = 12, []
            while q[at]:
                parts.append(q[at + 1:at + 1 + q[at]].decode())
                at += 1 + q[at]
            name, kind = ".".join(parts).lower(), struct.unpack_from(">H", q, at + 1)[0]
            self.asked.append((name, kind))
            answers = []
            if kind == SRV:
                answers = [struct.pack(">HHH", 0, 0, port) + labels(target) for target, port in self.records.get(name, [])]
            targets = {t.lower() for v in self.records.values() for t, _ in v}
            if kind == A and name in targets:
                answers = [bytes([127, 0, 0, 1])]
            known = name in self.records or name in targets
            reply = q[:2] + struct.pack(">HHHHH", 0x8580 | (0 if known else 3), 1, len(answers), 0, 0) + q[12:at + 5]
            for a in answers:
                reply += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(a)) + a
            self.sock.sendto(reply, who)

    def close(self):
        self.sock.close()
