"""The laboratory of the integration tests: certificates, origins, registries, the edge under test, and a client that
says exactly the bytes that a test gives it. Standard library only, but for the making of certificates."""

from .bodies import blob
from .certs import Certs
from .edge import Edge, EdgeFailed
from .origin import Gate, Origin, Reply
from .wait import DEADLINE, eventually, steady
from .wire import Client, Response, TcpWire, TlsWire

__all__ = [
    "Certs", "Client", "DEADLINE", "Edge", "EdgeFailed", "Gate", "Origin", "Reply", "Response", "TcpWire", "TlsWire", "blob",
    "eventually", "steady",
]
