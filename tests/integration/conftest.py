"""Fixtures: the certificates once per session; origins and edges end with the test (or module) that made them."""

import shutil
import sys

import pytest

sys.dont_write_bytecode = True

import lab  # noqa: E402
from lab.makers import Makers, shared_edge  # noqa: E402


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    return lab.Certs(tmp_path_factory.mktemp("certs"))


@pytest.fixture
def make(certs, tmp_path):
    m = Makers(certs, tmp_path)
    yield m
    m.end()


@pytest.fixture(scope="module")
def shared(certs, tmp_path_factory):
    """Makers for what the tests of a file share."""
    m = Makers(certs, tmp_path_factory.mktemp("shared"))
    m.by_conf = {}
    yield m
    m.end()


@pytest.fixture
def edge(shared):
    """An edge with the laboratory's defaults, shared by the tests of a file (each has origins of its own)."""
    yield from shared_edge(shared, "default")


@pytest.fixture
def hasty(shared):
    """The same with short deadlines upstream."""
    yield from shared_edge(shared, "hasty", {
        "upstream": {"connect_timeout": "1s", "tls_timeout": "1s", "first_byte_timeout": "1s"}})


@pytest.fixture
def origin(make):
    """An HTTPS origin at origin.test."""
    return make.origin()


@pytest.fixture
def plain(make):
    """An HTTP origin at plain.test."""
    return make.origin(tls=False, name="plain.test")


@pytest.fixture(scope="session")
def have():
    """have("npm") skips the test when the program is not there."""
    def look(*programs):
        for p in programs:
            if not shutil.which(p):
                pytest.skip(f"{p} is not installed (see tests/integration/README.md)")
    return look
