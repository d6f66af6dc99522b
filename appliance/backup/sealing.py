"""Encryption, in the format of age (age-encryption.org), so that its own tools open it, too.

With a passphrase, the files are encrypted for a key of the backup's own, and that key with the
passphrase: it is slow to try out by design, and needn't be done for each file. The header of the
key's file is made here, for the library takes a gigabyte of memory for its own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from appliance.backup.errors import WrongKey
from appliance.places import Places

if TYPE_CHECKING:
    from collections.abc import Sequence

# 64 MB of memory and a tenth of a second for each try.
_WORK: Final = 16
_VERSION: Final = b"age-encryption.org/v1\n"
PASSPHRASE_MIN: Final = 12


@dataclass(frozen=True)
class Sealing:
    """What a new backup is encrypted for."""

    recipients: tuple[str, ...]
    key_file: bytes = b""
    """The backup's own key, under the passphrase."""
    identities: tuple[Any, ...] = field(default=(), repr=False)
    """What can open it again, to verify it."""

    @property
    def is_on(self) -> bool:
        return bool(self.recipients)

    def receivers(self) -> list[Any]:
        """As the library wants them; besides, whoever verifies it in this very run."""
        import pyrage

        known = [pyrage.x25519.Recipient.from_str(one) for one in self.recipients]
        mine = [one.to_public() for one in self.identities]
        return [*known, *(one for one in mine if str(one) not in self.recipients)]


NOT_SEALED: Final = Sealing(())


def passphrase_file(places: Places) -> Path:
    """For root alone, beside the settings, where the hub can't look."""
    return places.settings / "backup.passphrase"


def stored_passphrase(places: Places) -> str:
    """The one that was set on this machine, or nothing."""
    try:
        return passphrase_file(places).read_text("utf-8").strip("\n")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as err:
        raise WrongKey("cannot read the passphrase of backups", why=str(err)) from err


def make_sealing(
    recipients: Sequence[str], passphrase: str, *, earlier_key: bytes = b""
) -> Sealing:
    """For these public keys, or this passphrase, or both.

    The key of the backup before is used again if the passphrase opens it: then what hasn't changed
    since needn't be stored twice.
    """
    if not recipients and not passphrase:
        return NOT_SEALED
    import pyrage

    if not passphrase:
        mine = pyrage.x25519.Identity.generate()
        return Sealing(tuple(sorted(recipients)), identities=(mine,))
    identity, key_file = None, earlier_key
    if earlier_key:
        try:
            identity = open_key(earlier_key, passphrase)
        except WrongKey:
            identity = None
    if identity is None:
        identity = pyrage.x25519.Identity.generate()
        key_file = _seal_key(str(identity).encode(), passphrase)
    public = str(identity.to_public())
    return Sealing((public, *sorted(recipients)), key_file, (identity,))


def open_key(key_file: bytes, passphrase: str) -> Any:
    """The backup's own key; raises WrongKey."""
    import pyrage

    try:
        text = pyrage.passphrase.decrypt(key_file, passphrase).decode().strip()
        return pyrage.x25519.Identity.from_str(text)
    except (pyrage.DecryptError, pyrage.IdentityError, OSError, ValueError) as err:
        raise WrongKey(
            "cannot open the backup",
            why="the passphrase is another one, or the backup's key.age is damaged",
            mend="give the passphrase that was set when the backup was made",
        ) from err


def read_identities(path: Path) -> tuple[Any, ...]:
    """Secret keys of age from a file; raises WrongKey."""
    import pyrage

    try:
        lines = path.read_text("utf-8").splitlines()
        words = [line.strip() for line in lines if line.strip().startswith("AGE-SECRET-KEY-")]
        found = tuple(pyrage.x25519.Identity.from_str(word) for word in words)
    except (OSError, ValueError, pyrage.IdentityError) as err:
        raise WrongKey(f"cannot read the key in {path}", why=str(err)) from err
    if not found:
        raise WrongKey(f"cannot read the key in {path}", why="no line begins with AGE-SECRET-KEY-1")
    return found


def _seal_key(content: bytes, passphrase: str) -> bytes:
    """A small file of age with one scrypt stanza; age-encryption.org/v1 says how."""
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    salt, file_key, nonce = os.urandom(16), os.urandom(16), os.urandom(16)
    wrapping = hashlib.scrypt(
        passphrase.encode(), salt=b"age-encryption.org/v1/scrypt" + salt,
        n=2**_WORK, r=8, p=1, dklen=32, maxmem=2**27,
    )  # fmt: skip
    wrapped = ChaCha20Poly1305(wrapping).encrypt(bytes(12), file_key, None)
    header = b"%s-> scrypt %s %d\n%s\n---" % (_VERSION, _b64(salt), _WORK, _b64(wrapped))
    mac = hmac.new(_derive(file_key, b"", b"header"), header, hashlib.sha256).digest()
    payload_key = _derive(file_key, nonce, b"payload")
    # The one chunk is the last one.
    payload = ChaCha20Poly1305(payload_key).encrypt(bytes(11) + b"\1", content, None)
    return b"%s %s\n%s%s" % (header, _b64(mac), nonce, payload)


def _derive(key: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256, of 32 bytes."""
    extracted = hmac.new(salt or bytes(32), key, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\1", hashlib.sha256).digest()


def _b64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def new_passphrase() -> str:
    """Of 125 bits, in groups that can be read out."""
    letters = "abcdefghijkmnopqrstuvwxyz23456789"[:32]
    return "-".join("".join(secrets.choice(letters) for _ in range(5)) for _ in range(5))
