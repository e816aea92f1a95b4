"""The CA and the leaves: made once, good for clients, like the origin's where asked, warm after a restart.

run-tests: not for threads
"""

import datetime
import ipaddress
import re
import ssl
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from lab import Reply, TlsWire, eventually
from lab.wire import client_context


def leaf(client):
    return x509.load_der_x509_certificate(client.wire.peer_der)


def sans(cert):
    names = cert.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    return set(names.get_values_for_type(x509.DNSName)) | set(map(str, names.get_values_for_type(x509.IPAddress)))


def ca(e):
    return x509.load_pem_x509_certificate((e.state / "ca.crt").read_bytes())


def test_the_ca_of_the_first_run_is_fit_for_its_purpose(edge):
    cert = ca(edge)
    basic = cert.extensions.get_extension_for_oid(ExtensionOID.BASIC_CONSTRAINTS)
    assert basic.critical and basic.value.ca and basic.value.path_length == 0
    usage = cert.extensions.get_extension_for_oid(ExtensionOID.KEY_USAGE).value
    assert usage.key_cert_sign and not usage.key_encipherment
    assert isinstance(cert.public_key().curve, ec.SECP256R1)
    assert "edge1" in cert.subject.rfc4514_string()
    assert cert.not_valid_before < datetime.datetime.utcnow() < cert.not_valid_after


def test_name_and_life_of_the_ca_are_configurable(make):
    e = make.edge({"bump": {"ca": {"name": "Our Own CA", "life": "100d"}}})
    cert = ca(e)
    assert cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "Our Own CA"
    assert 99 <= (cert.not_valid_after - datetime.datetime.utcnow()).days <= 101


def test_openssl_verifies_a_leaf_for_its_name_and_purpose(edge, origin, tmp_path):
    with edge.bumped(origin) as c:
        (tmp_path / "leaf.der").write_bytes(c.wire.peer_der)
    subprocess.run(["openssl", "x509", "-inform", "DER", "-in", tmp_path / "leaf.der", "-out", tmp_path / "leaf.pem"],
                   check=True)
    done = subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "origin.test",
                           "-CAfile", edge.ca_file, tmp_path / "leaf.pem"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_leaf_has_what_strict_clients_want(edge, make):
    o = make.origin(name="www.wild.test")
    with edge.bumped(o) as c:
        cert = leaf(c)
    assert "www.wild.test" in sans(cert)
    assert isinstance(cert.public_key(), ec.EllipticCurvePublicKey) and isinstance(cert.public_key().curve, ec.SECP256R1)
    assert cert.public_key().public_numbers() != ca(edge).public_key().public_numbers(), "never the CA's own key"
    assert ExtendedKeyUsageOID.SERVER_AUTH in cert.extensions.get_extension_for_oid(
        ExtensionOID.EXTENDED_KEY_USAGE).value
    assert not cert.extensions.get_extension_for_oid(ExtensionOID.BASIC_CONSTRAINTS).value.ca
    aki = cert.extensions.get_extension_for_oid(ExtensionOID.AUTHORITY_KEY_IDENTIFIER).value.key_identifier
    ski = ca(edge).extensions.get_extension_for_oid(ExtensionOID.SUBJECT_KEY_IDENTIFIER).value.digest
    assert aki == ski
    now = datetime.datetime.utcnow()
    assert cert.not_valid_before <= now - datetime.timedelta(hours=20)
    assert (cert.not_valid_after - cert.not_valid_before).days <= 398
    assert cert.not_valid_after <= ca(edge).not_valid_after
    assert cert.serial_number > 0


def test_leaves_of_different_names_have_different_serials(edge, make):
    serials = set()
    for name in ("origin.test", "other.test", "files.test"):
        with edge.bumped(make.origin(name=name)) as c:
            serials.add(leaf(c).serial_number)
    assert len(serials) == 3


def test_one_leaf_serves_a_name_on_all_loops(edge, make):
    o = make.origin(name="index.test")
    o.on("/x", Reply(body=b"x"))
    edge.get(o.url("/x"))  # from here on what the origin's certificate said is known
    seen = set()
    for _ in range(8):
        with edge.bumped(o) as c:
            seen.add(c.wire.peer_der)
    assert len(seen) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_gets_an_ip_san(edge, make, host):
    o = make.origin(host=host, name=host)
    with edge.bumped(o) as c:
        assert str(ipaddress.ip_address(host)) in sans(leaf(c))


def test_a_client_without_server_name_gets_a_leaf_for_the_connect_name(edge, origin):
    c = edge.tunnel(origin.authority)
    ctx = client_context(edge.ca_file)
    ctx.check_hostname = False
    c.wire = TlsWire(c.wire, ctx, None)
    assert "origin.test" in sans(leaf(c))
    c.close()


def test_a_server_name_that_differs_from_connect_is_minted_but_the_host_must_fit_connect(edge, origin):
    origin.on("/x", Reply(body=b"x"))
    with edge.bumped(origin, sni="other.test") as c:
        assert "other.test" in sans(leaf(c))
        assert c.get("/x", host=f"other.test:{origin.port}").status == 421
    with edge.bumped(origin, sni="other.test") as c:
        assert c.get("/x", host=origin.authority).body == b"x"


@pytest.mark.parametrize("name", ["a" * 64 + ".test", "-.test", "a..test", "*.test", "a_b.test", "xn--caf-dma.test"])
def test_odd_names_give_a_good_leaf_or_a_clean_refusal(edge, name):
    with edge.connect() as c:
        c.request("CONNECT", f"{name}:443", host=f"{name}:443")
        r = c.head()
        if r.status != 200:
            assert r.status in (400, 403, 502), r
            return
        ctx = client_context(edge.ca_file)
        ctx.check_hostname = False
        try:
            c.wire = TlsWire(c.wire, ctx, None)
        except (ssl.SSLError, ConnectionResetError, EOFError):
            return
        assert c.get("/", host=f"{name}:443").status in (400, 502, 504)


def test_ca_and_leaves_survive_a_restart(make, origin):
    origin.on("/x", Reply(body=b"x"))
    e = make.edge()
    before = ca(e)
    e.get(origin.url("/x"))
    e.stop()
    e.start()
    assert ca(e) == before
    assert e.get(origin.url("/x")).body == b"x"


def test_a_changed_ca_is_in_force_after_sighup_and_connections_go_on(make, origin):
    origin.on("/x", Reply(body=b"x", headers=[("Cache-Control", "max-age=600")]))
    e = make.edge()
    with e.bumped(origin) as old:
        assert old.get("/x").body == b"x"
        before, issuer = ca(e), leaf(old).issuer
        e.ctl("ca", "init", "--force", "--name", "the next CA")
        with e.bumped(origin, context=client_context(None)) as c:
            assert leaf(c).issuer == issuer, "before the signal nothing changes"
        e.reload()
        e.said("ca.crt has changed")
        with e.bumped(origin) as c:
            assert leaf(c).issuer == ca(e).subject != before.subject
            assert c.get("/x").headers.get("X-Cache").startswith("HIT")
        assert old.get("/x").body == b"x"
    with e.connect("admin") as c:
        eventually("the admin port shows the new CA",
                   lambda: c.get("/ca.crt", headers=[("Host", "localhost")]).text == open(e.ca_file).read())
    assert x509.load_pem_x509_certificate(e.ctl("ca", "export").stdout.encode()) == ca(e)


def test_a_faulty_ca_changes_nothing_at_sighup(make, origin):
    origin.on("/x", Reply(body=b"x"))
    e = make.edge()
    issuer = ca(e).subject
    good = (e.state / "ca.crt").read_bytes()
    (e.state / "ca.crt").write_bytes(good[: len(good) // 2])
    e.reload()
    e.said("the old configuration stays in force")
    with e.bumped(origin, context=client_context(None)) as c:
        assert leaf(c).issuer == issuer
        assert c.get("/x").body == b"x"


# -- certificate: origin


@pytest.fixture
def special(make, certs):
    """An origin whose certificate can be told from others."""
    pair = certs.good(names=["mimic.test", "*.mimic.test", "also.mimic.example"], cn="mimic.test", org="Mimicked & Sons",
                      start=-20, days=60)
    o = make.origin(pair=pair, name="mimic.test")
    o.on("/x", Reply(body=b"x", headers=[("Cache-Control", "max-age=60")]))
    return o


def test_mode_origin_mimics_subject_names_and_dates_on_first_contact(make, special):
    e = make.edge({"bump": {"certificate": "origin"}})
    with e.bumped(special) as c:
        cert = leaf(c)
        assert c.get("/x").body == b"x"
    assert cert.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "Mimicked & Sons"
    assert cert.subject == special.pair.cert.subject
    assert {"mimic.test", "*.mimic.test", "also.mimic.example"} <= sans(cert)
    assert (cert.not_valid_before, cert.not_valid_after) == (special.pair.cert.not_valid_before,
                                                             special.pair.cert.not_valid_after)
    assert cert.issuer == ca(e).subject
    assert special.accepted == 1, "the link of the first contact is used for the request"


def test_mode_origin_contacts_the_origin_once_and_hits_never(make, special):
    e = make.edge({"bump": {"certificate": "origin"}})
    e.get(special.url("/x"))
    accepted = special.accepted
    special.shutdown()
    r = e.get(special.url("/x"))
    assert r.x_cache == "HIT" and special.accepted == accepted


def test_mode_origin_remembers_over_a_restart_without_contact(make, special):
    e = make.edge({"bump": {"certificate": "origin"}})
    e.get(special.url("/x"))
    special.shutdown()
    accepted = special.accepted
    e.stop()
    e.start()
    with e.bumped(special) as c:
        assert leaf(c).subject == special.pair.cert.subject
        assert c.get("/x").status == 502  # the body is gone with the memory, the name is not
    assert special.accepted == accepted


def test_mode_origin_with_an_unreachable_origin_still_answers_inside_the_bump(make):
    e = make.edge({"bump": {"certificate": "origin"}, "upstream": {"connect_timeout": "1s"}})
    o = make.origin(name="mimic.test")
    o.shutdown()
    with e.bumped(o) as c:
        r = c.get("/x")
        assert r.status == 502 and "mimic.test" in r.text


@pytest.mark.parametrize("kind", ["expired", "self_signed", "wrong_name", "unknown_root"])
def test_mode_origin_never_passes_a_bad_certificate_off_as_good(make, certs, kind):
    e = make.edge({"bump": {"certificate": "origin"}})
    o = make.origin(pair=certs.kind(kind))
    with e.bumped(o) as c:
        assert c.get("/x").status == 502
    assert o.count() == 0


def test_mode_origin_first_contact_of_many_clients_is_one_contact(make, special):
    import threading
    e = make.edge({"bump": {"certificate": "origin"}})
    got = []

    def one():
        with e.bumped(special) as c:
            got.append((leaf(c).subject, c.get("/x").body))
    threads = [threading.Thread(target=one) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(20)
    assert got == [(special.pair.cert.subject, b"x")] * 16
    assert special.accepted <= 4, "one contact, or one a loop and its link"


def test_mode_sni_does_not_wait_for_the_origin(edge, make):
    o = make.origin(name="early.test")
    o.shutdown()
    with edge.bumped(o) as c:
        assert "early.test" in sans(leaf(c))


# -- tickets


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_resume_across_loops(edge, origin, version):
    origin.on("/x", Reply(body=b"x"))
    ctx = client_context(edge.ca_file, minimum=version, maximum=version)
    with edge.bumped(origin, context=ctx) as c:
        c.get("/x")
        session = c.wire.session
    assert session is not None and session.has_ticket
    resumed = 0
    for _ in range(12):
        with edge.bumped(origin, context=ctx, session=session) as c:
            assert c.get("/x").body == b"x"
            resumed += c.wire.resumed
            session = c.wire.session or session
    assert resumed == 12


def test_no_session_crosses_names(edge, make):
    a, b = make.origin(name="origin.test"), make.origin(name="other.test")
    for o in (a, b):
        o.on("/x", Reply(body=b"x"))
    ctx = client_context(edge.ca_file)
    with edge.bumped(a, context=ctx) as c:
        c.get("/x")
        session = c.wire.session
    with edge.bumped(b, context=ctx, session=session) as c:
        assert not c.wire.resumed and "other.test" in sans(leaf(c))
        assert c.get("/x").body == b"x"


def test_a_ticket_of_another_daemon_is_a_full_handshake(make, edge, origin):
    origin.on("/x", Reply(body=b"x"))
    ctx = client_context(None)
    with edge.bumped(origin, context=ctx) as c:
        c.get("/x")
        session = c.wire.session
    other = make.edge()
    with other.bumped(origin, context=ctx, session=session) as c:
        assert not c.wire.resumed and c.get("/x").body == b"x"


# -- clients that do not trust us


def test_a_client_that_does_not_know_the_ca_is_logged_with_the_fix_and_counted(make, origin, certs):
    e = make.edge()

    def rejected():
        with e.connect("admin") as c:
            text = c.get("/metrics", host="localhost").text
        m = re.search(r"^\S*tls_client_rejected_total(?:\{[^}]*\})? (\d+)", text, re.M)
        return int(m.group(1)) if m else 0
    assert rejected() == 0
    with pytest.raises(ssl.SSLError):
        e.bumped(origin, context=client_context(certs.root_file))
    eventually("counted", lambda: rejected() == 1)
    e.said(r"pmcachectl env|ca\.crt|pmcachectl ca")
    eventually("the log names the host", lambda: re.search("origin.test", e.stderr_text))


# -- CAs of the operator


def test_a_ca_with_its_chain_is_served_whole(make, certs, origin, tmp_path):
    """An intermediate per edge: clients trust the organisation's root alone."""
    from cryptography.hazmat.primitives import serialization
    state = tmp_path / "own-state"
    state.mkdir(mode=0o700)
    own_key = ec.generate_private_key(ec.SECP256R1())
    own = certs._sign("edge intermediate", own_key.public_key(), certs.root, certs.root_key, ca=True)
    certs._pem(state / "ca.crt", [own, certs.root])
    (state / "ca.key").write_bytes(own_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    (state / "ca.key").chmod(0o600)
    origin.on("/x", Reply(body=b"x"))
    e = make.edge(state=state)
    with e.bumped(origin, context=client_context(certs.root_file)) as c:
        assert c.get("/x").body == b"x"
        assert leaf(c).issuer == own.subject


def test_a_key_that_others_can_read_stops_the_start(make):
    from lab import EdgeFailed
    e = make.edge()
    e.stop()
    (e.state / "ca.key").chmod(0o644)
    with pytest.raises(EdgeFailed) as failed:
        e.start()
    assert "ca.key" in failed.value.stderr


def test_a_key_that_does_not_fit_stops_the_start(make):
    from lab import EdgeFailed
    e, other = make.edge(), make.edge()
    e.stop()
    (e.state / "ca.key").write_bytes((other.state / "ca.key").read_bytes())
    with pytest.raises(EdgeFailed) as failed:
        e.start()
    assert "ca.key" in failed.value.stderr


def test_name_constraints_limit_what_is_bumped(make):
    e = make.edge({"bump": {"ca": {"permit_dns": ["origin.test"]}}})
    constraints = ca(e).extensions.get_extension_for_oid(ExtensionOID.NAME_CONSTRAINTS)
    assert constraints.critical and [n.value for n in constraints.value.permitted_subtrees
                                     if isinstance(n, x509.DNSName)] == ["origin.test"]
    inside, outside = make.origin(name="origin.test"), make.origin(name="other.test")
    for o in (inside, outside):
        o.on("/x", Reply(body=b"x"))
    with e.bumped(inside) as c:
        assert c.get("/x").body == b"x"
    # What the CA may not sign for is tunnelled or refused, never shown under a leaf that no client would take.
    with e.connect() as c:
        c.request("CONNECT", outside.authority, host=outside.authority)
        r = c.head()
        if r.status == 200:
            c.wire = TlsWire(c.wire, client_context(make.certs.root_file), "other.test")
            assert c.get("/x", host=outside.authority).body == b"x"
        else:
            assert r.status == 403
