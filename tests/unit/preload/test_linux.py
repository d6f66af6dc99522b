"""Calls of Linux, each made in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# With an inheritable set, as systemd 257 starts root's services.
INHERITABLE = """
import ctypes, os, struct
libc = ctypes.CDLL(None)
def sets():
    with open("/proc/self/status") as file:
        lines = dict(line.rstrip("\\n").split(":\\t", 1) for line in file if line.startswith("Cap"))
    return [lines[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")]
header = struct.pack("Ii", 0x20080522, 0)
held = (ctypes.c_uint32 * 6)()
assert libc.capget(header, held) == 0
held[2] = held[1] & 0xFF
assert libc.capset(header, held) == 0
before = sets()[0]
os.setresuid(65534, 65534, 65534)
kept = sets()[0]
from appliance.preload import linux
linux.drop_all_capabilities()
print(int(before, 16) != 0, int(kept, 16) != 0, [int(value, 16) for value in sets()])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to drop")
def test_no_capability_is_left_for_programs_to_inherit() -> None:
    code = "import appliance.preload.linux\n" + INHERITABLE
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True True [0, 0, 0, 0]\n"
