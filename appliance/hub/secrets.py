"""Secrets that the hub makes for itself: files that only its own account may read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

_BYTES: Final = 32


def ensure_secret(path: Path) -> bytes:
    """The secret in the file, made if there is none or if it was cut short."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        found = b""
    return found if len(found) >= _BYTES else _write(path)


def has_secrets(folder: Path) -> bool:
    """Whether a hub has been here: it makes them once its database is open for the first time.

    Where they are, people have accounts. Without the database everybody could take any name, and
    with it the files that are kept for that name.
    """
    return any(folder.glob("*.secret"))


def _write(path: Path) -> bytes:
    secret = secrets.token_bytes(_BYTES)
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    return secret
