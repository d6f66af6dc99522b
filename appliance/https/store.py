"""What is kept for getting certificates: pairs, the account's key, and how the last try ended."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.config.files import write_atomically
from appliance.config.https_schema import HttpsMode
from appliance.places import Places
from appliance.proxy.served import certificate_folder, write_for_proxy

CHALLENGES: Final = "challenges"
_FIRST_PAUSE: Final = timedelta(hours=1)
_LONGEST_PAUSE: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Tries:
    """How the tries to get a certificate went since the last that worked."""

    failed: int = 0
    last: str = ""
    """When, in ISO 8601 UTC; so the next."""
    after: str = ""
    """Not before this; empty: at any time."""
    why: str = ""

    def may_try(self, now: datetime) -> bool:
        """Whether it is time; a clock that was set back must not hold it up for ever."""
        if not self.after:
            return True
        after = datetime.fromisoformat(self.after)
        return now >= after or now < datetime.fromisoformat(self.last)

    def with_failure(self, why: str, now: datetime, *, not_before: datetime | None) -> Tries:
        """One more failure: the pause doubles, give or take a quarter, so that machines that
        failed together don't come back together."""
        pause = min(_FIRST_PAUSE * 2**self.failed, _LONGEST_PAUSE)
        pause *= 0.75 + secrets.randbelow(500) / 1000
        after = max(now + pause, not_before or now)
        return replace(
            self,
            failed=self.failed + 1,
            last=now.isoformat(timespec="seconds"),
            after=after.isoformat(timespec="seconds"),
            why=why,
        )


class Store:
    """The folders below `Places.certificates`; all but challenges are for root alone."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def pair_file(self, mode: HttpsMode) -> Path:
        """Key and certificates that were got in that mode."""
        return self._places.certificates / mode.value / "pair.pem"

    def keep_pair(self, mode: HttpsMode, text: str) -> None:
        certificate_folder(self._places, mode.value, mode=0o700)
        write_atomically(self.pair_file(mode), text, mode=0o600)

    @property
    def authority_file(self) -> Path:
        """Our own authority's certificate, which everybody may have."""
        return self._places.certificates / "ca.crt"

    @property
    def authority_key_file(self) -> Path:
        return self._places.certificates / HttpsMode.OWN_CA.value / "ca.key"

    def keep_authority(self, certificate: str, key: str) -> None:
        """The key first: a certificate whose key was lost with the power is worth nothing."""
        certificate_folder(self._places, HttpsMode.OWN_CA.value, mode=0o700)
        write_atomically(self.authority_key_file, key, mode=0o600)
        write_for_proxy(self.authority_file, certificate, self._places)

    def account_key(self, *, staging: bool) -> ec.EllipticCurvePrivateKey:
        """The key by which the ACME server knows us; made at the first use."""
        folder = certificate_folder(self._places, HttpsMode.LETSENCRYPT.value, mode=0o700)
        path = folder / ("staging-account.key" if staging else "account.key")
        if path.exists():
            found = serialization.load_pem_private_key(path.read_bytes(), password=None)
            if isinstance(found, ec.EllipticCurvePrivateKey):
                return found
        made = ec.generate_private_key(ec.SECP256R1())
        write_atomically(path, key_text(made), mode=0o600)
        return made

    @contextmanager
    def answered(self, token: str, text: str) -> Iterator[None]:
        """nginx answers a challenge with this text until the block ends."""
        certificate_folder(self._places, CHALLENGES, mode=0o750)
        path = self._places.certificates / CHALLENGES / token
        write_for_proxy(path, text, self._places)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)

    def tries(self) -> Tries:
        try:
            return Tries(**json.loads(self._tries_file.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return Tries()

    def keep_tries(self, tries: Tries) -> None:
        certificate_folder(self._places, HttpsMode.LETSENCRYPT.value, mode=0o700)
        write_atomically(self._tries_file, json.dumps(asdict(tries), indent=1) + "\n", mode=0o600)

    @property
    def _tries_file(self) -> Path:
        return self._places.certificates / HttpsMode.LETSENCRYPT.value / "tries.json"


def key_text(key: ec.EllipticCurvePrivateKey) -> str:
    """A private key as PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode("ascii")


def now_utc() -> datetime:
    return datetime.now(UTC)
