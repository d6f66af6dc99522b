"""A device that keeps passkeys, in software: honest unless a test tells it to lie."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import struct
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2 import cbor
from fido2.cose import ES256

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Device:
    """One key for one site."""

    origin: str = "https://hub.test"
    rp: str = "hub.test"
    flags: int = PRESENT | VERIFIED
    count: int = 0
    more: dict[str, Any] = field(default_factory=dict)
    """What else the browser says to the site, such as crossOrigin."""
    credential: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    handle: bytes = b""
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def make(self, options: dict[str, Any]) -> dict[str, Any]:
        """What the browser answers to `navigator.credentials.create`."""
        self.handle = decode(options["user"]["id"])
        public = cbor.encode(dict(ES256.from_cryptography_key(self.key.public_key())))
        attested = bytes(16) + struct.pack(">H", len(self.credential)) + self.credential + public
        data = self._data(self.flags | ATTESTED) + attested
        return self._answer(
            clientDataJSON=encode(self._said("webauthn.create", options)),
            attestationObject=encode(cbor.encode({"fmt": "none", "attStmt": {}, "authData": data})),
        )

    def use(self, options: dict[str, Any]) -> dict[str, Any]:
        """What the browser answers to `navigator.credentials.get`."""
        self.count += 1
        said, data = self._said("webauthn.get", options), self._data(self.flags)
        signed = data + hashlib.sha256(said).digest()
        return self._answer(
            clientDataJSON=encode(said),
            authenticatorData=encode(data),
            signature=encode(self.key.sign(signed, ec.ECDSA(hashes.SHA256()))),
            userHandle=encode(self.handle),
        )

    def _answer(self, **response: str) -> dict[str, Any]:
        name = encode(self.credential)
        return {"id": name, "rawId": name, "type": "public-key", "response": response}

    def _said(self, kind: str, options: dict[str, Any]) -> bytes:
        said = {"type": kind, "challenge": options["challenge"], "origin": self.origin}
        return json.dumps({**said, "crossOrigin": False, **self.more}).encode()

    def _data(self, flags: int) -> bytes:
        site = hashlib.sha256(self.rp.encode()).digest()
        return site + struct.pack(">BI", flags, self.count)
