"""Life in a home that is full: it must still open, so that its owner can clean up.

What servers and kernels write by themselves goes elsewhere then, for as long as the server runs.
"""

from __future__ import annotations

import errno
import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

_LITTLE: Final = 256 * 1024
"""What a first kernel writes by itself."""
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
NOTARY: Final = "APPLIANCE_NOTARY_FOLDER"
"""The variable that says where the server keeps what it signs notebooks with."""


def has_room(folder: Path, size: int = _LITTLE) -> bool:
    """Whether a little more goes in: asked with a file without a name, of which nothing stays."""
    try:
        descriptor = os.open(folder, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    except OSError as err:
        return err.errno not in FULL
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as err:
        return err.errno not in FULL
    finally:
        os.close(descriptor)
    return True


def make_do(environ: MutableMapping[str, str]) -> None:
    """Let server and kernels keep elsewhere what isn't in a full home yet."""
    home, runtime = environ.get("HOME", ""), environ.get("JUPYTER_RUNTIME_DIR", "")
    if not home or not runtime or has_room(Path(home)):
        return
    elsewhere = Path(runtime, "home-is-full")
    elsewhere.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not Path(home, ".ipython/profile_default").is_dir():
        environ.setdefault("IPYTHONDIR", str(elsewhere / "ipython"))
    data = environ.get("JUPYTER_DATA_DIR") or f"{home}/.local/share/jupyter"
    if not Path(data, "notebook_secret").exists():
        environ[NOTARY] = str(elsewhere)
