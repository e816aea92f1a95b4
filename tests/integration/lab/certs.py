"""Certificates of every kind that an origin may show, made once per test session.

certs.good(...) and certs.kind(word) give a Pair: a PEM file with the leaf and whatever chain the origin sends, and one
with its key. The test root is what the edge under test is told to trust (upstream.ca_file)."""

import datetime
import ipaddress
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# All names that the tests use for origins; the edge's hosts file sends them to loopback.
NAMES = [
    "origin.test", "other.test", "registry.test", "files.test", "index.test", "gems.test", "www.wild.test",
    "a.b.wild.test", "wild.test", "moved.test", "pinned.test", "plain.test", "expired.test", "early.test",
    "wrongname.test", "selfsigned.test", "unknown.test", "weak.test", "sha1.test", "mimic.test", "six.test",
    "both.test", "proxy.test", "direct.test", "allowed.test", "refused.test",
]

KINDS = ["expired", "not_yet", "wrong_name", "self_signed", "unknown_root", "missing_intermediate", "rsa_1024", "sha1"]


class Pair:
    def __init__(self, cert_file, key_file, cert):
        self.cert_file, self.key_file, self.cert = str(cert_file), str(key_file), cert


def _name(cn, org=None):
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, cn)]
    if org:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, org))
    return x509.Name(parts)


def _san(names):
    out = []
    for n in names:
        try:
            out.append(x509.IPAddress(ipaddress.ip_address(n)))
        except ValueError:
            out.append(x509.DNSName(n))
    return x509.SubjectAlternativeName(out)


class Certs:
    def __init__(self, folder):
        self.folder = folder
        self._lock = threading.Lock()
        self._made = {}
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self.root_key = ec.generate_private_key(ec.SECP256R1())
        self.root = self._sign("pmcache test root", self.root_key.public_key(), None, self.root_key, ca=True)
        self.root_file = str(folder / "test-root.pem")
        self._pem(self.root_file, [self.root])
        self.stranger_key = ec.generate_private_key(ec.SECP256R1())
        self.stranger = self._sign("a root nobody knows", self.stranger_key.public_key(), None, self.stranger_key,
                                   ca=True)
        self.mid_key = ec.generate_private_key(ec.SECP256R1())
        self.mid = self._sign("pmcache test intermediate", self.mid_key.public_key(), self.root, self.root_key,
                              ca=True)

    @staticmethod
    def _pem(path, certs):
        with open(path, "wb") as f:
            for c in certs:
                f.write(c.public_bytes(serialization.Encoding.PEM))

    @staticmethod
    def _sign(cn, public, issuer, signer, names=(), ca=False, start=-1, days=90, digest=None, org=None):
        now = datetime.datetime.utcnow().replace(microsecond=0)
        subject = _name(cn, org)
        b = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.subject if issuer else subject)
             .public_key(public).serial_number(x509.random_serial_number())
             .not_valid_before(now + datetime.timedelta(days=start))
             .not_valid_after(now + datetime.timedelta(days=start + days))
             .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
        b = b.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        if issuer:
            b = b.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
                                critical=False)
        if ca:
            b = b.add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False),
                                critical=True)
        else:
            b = b.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        if names:
            b = b.add_extension(_san(names), critical=False)
        return b.sign(signer, digest or hashes.SHA256())

    def _store(self, label, chain, key):
        cert_file, key_file = self.folder / f"{label}.pem", self.folder / f"{label}.key"
        self._pem(cert_file, chain)
        key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                               serialization.NoEncryption()))
        return Pair(cert_file, key_file, chain[0])

    def good(self, names=None, cn=None, org=None, start=-1, days=90):
        """A certificate that holds for these names (default: all of NAMES and the loopback addresses)."""
        names = tuple(names) if names else tuple(NAMES + ["localhost", "127.0.0.1", "::1"])
        tag = ("good", names, cn, org, start, days)
        with self._lock:
            if tag not in self._made:
                leaf = self._sign(cn or names[0], self._leaf_key.public_key(), self.mid, self.mid_key, names,
                                  org=org, start=start, days=days)
                self._made[tag] = self._store(f"good{len(self._made)}", [leaf, self.mid], self._leaf_key)
            return self._made[tag]

    def kind(self, word, name="origin.test"):
        """A certificate with one fault, named by KINDS."""
        tag = (word, name)
        with self._lock:
            if tag not in self._made:
                self._made[tag] = self._make(word, name)
            return self._made[tag]

    def _make(self, word, name):
        key, names, chain = self._leaf_key, [name], [self.mid]
        signer, issuer, more = self.mid_key, self.mid, {}
        if word == "expired":
            more = {"start": -40, "days": 30}
        elif word == "not_yet":
            more = {"start": 10}
        elif word == "wrong_name":
            names = ["somebody-else.test"]
        elif word == "self_signed":
            signer, issuer, chain = key, None, []
        elif word == "unknown_root":
            signer, issuer, chain = self.stranger_key, self.stranger, []
        elif word == "missing_intermediate":
            chain = []
        elif word == "rsa_1024":
            key = rsa.generate_private_key(65537, 1024)
        elif word == "sha1":
            more = {"digest": hashes.SHA1()}
        elif word == "cn_only":
            names = []
        else:
            raise ValueError(word)
        leaf = self._sign(name, key.public_key(), issuer, signer, names, **more)
        return self._store(f"{word}-{len(self._made)}", [leaf] + chain, key)

    def client(self):
        """A client certificate that origins who demand one accept."""
        return self.good(names=["client.test"])
