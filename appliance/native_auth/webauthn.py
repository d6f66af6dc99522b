"""WebAuthn's two ceremonies, in our words; the library fido2 does the work.

The library takes 20 MB, so it is imported when somebody uses a passkey. What browsers send is
checked for its shape first: the library raises whatever comes along for what has another.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
import json
import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.errors import NotAllowed

if TYPE_CHECKING:
    from fido2.server import Fido2Server
    from fido2.webauthn import AttestedCredentialData

log = logging.getLogger(__name__)

SITE_NAME: Final = "Hub Appliance"
# What browsers call secure although it is http.
_LOCAL: Final = ("localhost",)
# Longest we store: models.Passkey.
_CREDENTIAL_MAX: Final = 1400
_PUBLIC_MAX: Final = 4000
# The label of a key's algorithm (RFC 9052, 7.1).
_ALGORITHM: Final = 3


@dataclass(frozen=True, slots=True)
class Site:
    """Where a browser sees us: what passkeys are bound to."""

    origin: str

    @property
    def host(self) -> str:
        return urlsplit(self.origin).hostname or ""

    @property
    def has_passkeys(self) -> bool:
        """Whether browsers make and use passkeys there: over https, and not for bare addresses."""
        parts = urlsplit(self.origin)
        is_local = self.host in _LOCAL or self.host.endswith(".localhost")
        return (parts.scheme == "https" or is_local) and not _is_address(self.host)


@dataclass(frozen=True, slots=True)
class Ceremony:
    """What was asked of a browser: the library's own note about the challenge."""

    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """A passkey's public half, as it is stored."""

    credential: str
    public: str


@dataclass(frozen=True, slots=True)
class NewKey:
    """A passkey that a browser has just made."""

    credential: str
    public: str
    sign_count: int


_Base64 = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*$", max_length=16_000)]


class _Response(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    client_data: _Base64 = Field(alias="clientDataJSON")


class _NewResponse(_Response):
    attestation_object: _Base64 = Field(alias="attestationObject")


class _KnownResponse(_Response):
    authenticator_data: _Base64 = Field(alias="authenticatorData")
    signature: _Base64
    user_handle: _Base64 | None = Field(None, alias="userHandle")


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    id: _Base64
    raw_id: _Base64 = Field(alias="rawId")
    type: str = Field(pattern="^public-key$")


class _NewAnswer(_Answer):
    response: _NewResponse


class _KnownAnswer(_Answer):
    response: _KnownResponse


class WebAuthn:
    """Asks browsers of one site for passkeys, and checks what they answer."""

    def __init__(self, site: Site) -> None:
        if not site.has_passkeys:
            raise NotAllowed(
                "cannot use passkeys here",
                why="browsers allow them on addresses with https alone",
                mend="log in with your password",
            )
        self._site = site

    def ask_for_new(
        self, *, handle: bytes, name: str, known: list[Known]
    ) -> tuple[dict[str, Any], Ceremony]:
        """Options for `navigator.credentials.create`."""
        from fido2.webauthn import (
            PublicKeyCredentialUserEntity,
            ResidentKeyRequirement,
            UserVerificationRequirement,
        )

        options, state = self._server().register_begin(
            PublicKeyCredentialUserEntity(id=handle, name=name, display_name=name),
            [_stored(one) for one in known],
            resident_key_requirement=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return dict(options.public_key), Ceremony(state)

    def check_new(self, ceremony: Ceremony, answer: object) -> NewKey:
        """The passkey that was made; raises NotAllowed."""
        sent = _read(_NewAnswer, answer)
        with _refusing():
            data = self._server().register_complete(ceremony.state, sent)
            made = data.credential_data
            if (
                made is None
                or made.public_key.get(_ALGORITHM) not in made.public_key.supported_algorithms()
            ):
                raise ValueError("no key that we can check")
            credential, public = _encode(made.credential_id), _encode(bytes(made))
            if len(credential) > _CREDENTIAL_MAX or len(public) > _PUBLIC_MAX:
                raise ValueError("the key is too long")
        return NewKey(credential, public, data.counter)

    def ask_for_known(self, known: list[Known], *, alone: bool) -> tuple[dict[str, Any], Ceremony]:
        """Options for `navigator.credentials.get`; `alone` asks for one that is both factors."""
        from fido2.webauthn import UserVerificationRequirement

        wanted = UserVerificationRequirement
        options, state = self._server().authenticate_begin(
            None if alone else [_stored(one) for one in known],
            user_verification=wanted.REQUIRED if alone else wanted.PREFERRED,
        )
        return dict(options.public_key), Ceremony(state)

    def credential_of(self, answer: object) -> str:
        """The id of the passkey that was used, which proves nothing yet."""
        return str(_read(_KnownAnswer, answer)["rawId"]).rstrip("=")

    def check_known(
        self, ceremony: Ceremony, answer: object, known: Known, *, handle: bytes
    ) -> int:
        """Its counter, if the answer is right; raises NotAllowed."""
        from fido2.webauthn import AuthenticatorData

        sent = _read(_KnownAnswer, answer)
        response = sent["response"]
        with _refusing():
            said = response.get("userHandle")
            if said and not hmac.compare_digest(_decode(said), handle):
                raise ValueError("it is another user's")
            self._server().authenticate_complete(ceremony.state, [_stored(known)], sent)
            return AuthenticatorData(_decode(response["authenticatorData"])).counter

    def _server(self) -> Fido2Server:
        from fido2.server import Fido2Server
        from fido2.webauthn import PublicKeyCredentialRpEntity

        return Fido2Server(
            PublicKeyCredentialRpEntity(id=self._site.host, name=SITE_NAME),
            # The library's own check takes sub-domains and, on localhost, every port.
            verify_origin=lambda origin: origin == self._site.origin,
        )


def _read(shape: type[BaseModel], answer: object) -> dict[str, Any]:
    """What a browser sent, if it has the right shape; raises NotAllowed."""
    try:
        sent = shape.model_validate(answer).model_dump(by_alias=True, exclude_none=True)
        in_frame = json.loads(_decode(sent["response"]["clientDataJSON"])).get("crossOrigin")
    except (ValidationError, ValueError, AttributeError, RecursionError) as err:
        raise _refused(err) from err
    if in_frame:
        raise _refused(ValueError("asked for by a frame of another site"))
    return sent


@contextmanager
def _refusing() -> Iterator[None]:
    """Whatever the library says of an answer, it is refused."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        yield
    except (
        ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError,
        NotImplementedError, RecursionError, struct.error, UnsupportedAlgorithm,
    ) as err:  # fmt: skip
        raise _refused(err) from err


def _refused(error: Exception) -> NotAllowed:
    log.info("passkey refused: %s", str(error)[:200])
    return NotAllowed("cannot use this passkey", why="its answer isn't right", mend="try again")


def _stored(known: Known) -> AttestedCredentialData:
    from fido2.webauthn import AttestedCredentialData

    return AttestedCredentialData(_decode(known.public))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
