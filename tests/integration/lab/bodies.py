"""Bodies whose every byte can be checked."""

import functools
import hashlib


@functools.lru_cache(maxsize=64)
def blob(n, seed="x"):
    """n bytes that look random, always the same for the same n and seed, and are no known file type."""
    out = bytearray(b"BLOB")
    block = hashlib.sha256(str(seed).encode()).digest()
    while len(out) < min(n, 1 << 20):
        block = hashlib.sha256(block).digest()
        out += block
    whole = bytes(out[:1 << 20])
    return (whole * (n // len(whole) + 1))[:n]
