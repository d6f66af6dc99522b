"""Sealing what the hub must be able to read again, with a key that isn't in the database.

A copy of the database alone (a backup, say) thus holds no secret of an authenticator app, and of
recovery codes nothing that could be guessed at.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.fernet import Fernet


class Sealed(ValueError):
    """What was sealed can't be opened: by another key, for somebody else, or damaged."""


class Sealer:
    """Seals texts for one user each, and makes keyed hashes."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, text: str, *, of: int) -> str:
        """The text, sealed; it opens for the same user alone."""
        return self._box().encrypt(f"{of}:{text}".encode()).decode()

    def open(self, sealed: str, *, of: int) -> str:
        """The text; raises Sealed."""
        from cryptography.fernet import InvalidToken

        try:
            text = self._box().decrypt(sealed.encode()).decode()
        except InvalidToken as err:
            raise Sealed("sealed with another key, or damaged") from err
        owner, _, found = text.partition(":")
        if owner != str(of):
            raise Sealed("sealed for another user")
        return found

    def hash(self, purpose: str, text: str) -> str:
        """A hash that nobody can make, or try guesses against, without the key."""
        return self.digest(purpose, text).hex()

    def digest(self, purpose: str, text: str) -> bytes:
        return hmac.new(self._key, f"{purpose}\0{text}".encode(), hashlib.sha256).digest()

    def _box(self) -> Fernet:
        # Imported when it is used: it takes 10 MB, and most hubs never need it.
        from cryptography.fernet import Fernet

        return Fernet(base64.urlsafe_b64encode(self.digest("sealing", "")))
