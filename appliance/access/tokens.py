"""Random secrets, and the form in which they are stored.

256 random bits need no slow hash: SHA-256 can't be guessed backwards.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

# What is longer was never issued by us, and isn't worth hashing.
MAX_LENGTH: Final = 64


def new_secret() -> str:
    """256 random bits as 64 hexadecimal digits."""
    return secrets.token_hex(32)


def hash_secret(secret: str) -> str:
    """How a secret is stored and looked up."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
