"""A disk and a clock that can be broken while a daemon runs."""

import errno
import mmap
import os
import struct
import subprocess
from pathlib import Path

from .wait import eventually

FIELDS = ("write_errno", "read_errno", "writes_stuck", "reads_stuck", "cold", "writes_waiting", "reads_waiting",
          "reads_to_fail")
STEP_AT = 32  # of wall_step_s, see faults.c


class Faults:
    """Goes around an edge that has not been started yet. Attributes are those of struct faults; what is set works at once."""

    def __init__(self, edge):
        self.__dict__["edge"] = edge
        library, page = edge.folder / "faults.so", edge.folder / "faults"
        subprocess.run([os.environ.get("CC", "cc").split()[-1], "-shared", "-fPIC", "-O1", "-o", library,
                        Path(__file__).with_name("faults.c"), "-ldl"], check=True)
        page.write_bytes(bytes(mmap.PAGESIZE))
        with open(page, "r+b") as f:
            self.__dict__["page"] = mmap.mmap(f.fileno(), mmap.PAGESIZE)
        asan = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        edge.wrap = ("env", f"LD_PRELOAD={library}", f"PMC_FAULTS={page}", f"ASAN_OPTIONS={asan}")

    def __getattr__(self, name):
        return struct.unpack_from("i", self.page, 4 * FIELDS.index(name))[0]

    def __setattr__(self, name, value):
        if name == "wall_step_s":
            struct.pack_into("q", self.page, STEP_AT, value)
        else:
            struct.pack_into("i", self.page, 4 * FIELDS.index(name), getattr(errno, value) if isinstance(value, str) else value)

    def await_stuck(self, which):
        eventually(f"a {which} that is stuck", lambda: getattr(self, f"{which}_waiting"))

    def end(self):
        """Whole again, so that the daemon can end."""
        for name in FIELDS[:5]:
            setattr(self, name, 0)
