"""HTTPS: where the certificate comes from, for which names, and how strictly it is asked for."""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from appliance.config.kinds import DAY, Duration, Example, Means, Reload, Section, Typed
from appliance.config.mail_schema import MailAddress

LETS_ENCRYPT: Final = "https://acme-v02.api.letsencrypt.org/directory"
LETS_ENCRYPT_STAGING: Final = "https://acme-staging-v02.api.letsencrypt.org/directory"

NAMES_MAX: Final = 100
"""More than this no certificate of Let's Encrypt has."""

_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NAME_MAX: Final = 253


class HttpsMode(StrEnum):
    """Where the certificate comes from."""

    OFF = "off"
    LETSENCRYPT = "letsencrypt"
    FILES = "files"
    OWN_CA = "own-ca"


def is_ip_address(text: str) -> bool:
    """Whether it is an IP address, without a zone."""
    try:
        return "%" not in text and bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def check_name(value: str) -> str:
    """A host name in small letters, or an IP address in its usual spelling."""
    if is_ip_address(value):
        return str(ipaddress.ip_address(value))
    if value.startswith("*."):
        raise ValueError(
            f'must be whole names such as "hub.{value[2:200]}", found "{value[:200]}"; a '
            "certificate of your own may have a star"
        )
    if not value.isascii():
        raise ValueError(f'must be written in ASCII{_in_ascii(value)}, found "{value[:200]}"')
    name = value.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > _NAME_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise PydanticCustomError("not_a_name", "not a name")
    if labels[-1].isdigit():
        raise PydanticCustomError("not_a_name", "not a name")
    return name


def ascii_name(name: str) -> str:
    """A name with letters such as ü as name servers write it; ValueError if there is no way to."""
    return name if name.isascii() else name.encode("idna").decode("ascii")


def _in_ascii(name: str) -> str:
    try:
        return f', "{ascii_name(name)}"'
    except ValueError:
        return ""


CertificateName = Annotated[
    str,
    AfterValidator(check_name),
    Means('a host name such as "hub.school.example", without http:// and port, or an IP address'),
]


def check_host_name(value: str) -> str:
    """A host name in small letters and no address; empty is allowed and means none."""
    if is_ip_address(value):
        raise PydanticCustomError("not_a_name", "not a name")
    return check_name(value) if value else ""


HostName = Annotated[
    str,
    AfterValidator(check_host_name),
    Means('a host name such as "hub.school.example", without http:// and port'),
]

FilePath = Annotated[
    str,
    Field(pattern=r"^/[^\x00-\x1f]*$", max_length=1000),
    Means('the full path of a file, such as "/etc/ssl/private/hub.pem"'),
]

Directory = Annotated[
    str,
    Field(pattern=r"^https://[A-Za-z0-9.\[\]:_-]{1,255}(/[!-~]*)?$", max_length=1000),
    Means(f'the https address of an ACME directory, such as "{LETS_ENCRYPT}"'),
]


class Https(Section):
    """Encrypted connections. The commands below `appliance https` set all of this and check it."""

    mode: Annotated[HttpsMode, Field(strict=False), Reload.PROXY, Example("own-ca")] = HttpsMode.OFF
    """Plain HTTP (off); certificates of Let's Encrypt, renewed by themselves (letsencrypt); one
    that you bring (files); one that the appliance signs, for networks of your own (own-ca)."""

    port: Annotated[int, Field(ge=1, le=65535), Reload.PROXY, Example(8443)] = 443
    """Port for HTTPS."""

    names: Annotated[
        list[CertificateName],
        Field(max_length=NAMES_MAX),
        Typed.SEPARATED,
        Reload.PROXY,
        Example(["hub.school.example"]),
    ] = []
    """Host names that people type, the usual one first. They must be in the certificate; plain HTTP
    leads to the first of them. For own-ca they may be IP addresses."""

    email: Annotated[MailAddress, Reload.UPKEEP, Example("admin@school.example")] = ""
    """Whom Let's Encrypt may write to."""

    certificate: Annotated[FilePath | None, Reload.PROXY, Example("/etc/ssl/hub.crt")] = None
    """For files: the certificate and those that lead to its authority, as PEM. The appliance serves
    a copy that it has checked, and looks for a new one each hour."""

    key: Annotated[FilePath | None, Reload.PROXY, Example("/etc/ssl/private/hub.key")] = None
    """For files: the private key, as PEM without a password."""

    redirect: Annotated[bool, Reload.PROXY, Example(False)] = True  # noqa: FBT003
    """Lead plain HTTP to HTTPS."""

    hsts: Annotated[Duration | None, Field(ge=1, le=730 * DAY), Reload.PROXY, Example("180d")] = (
        None
    )
    """For how long browsers may insist on HTTPS (HSTS); null: they don't. It can't be taken back:
    without a good certificate nobody gets in for that long. Begin with 5m."""

    directory: Annotated[
        Directory | None, Reload.UPKEEP, Example("https://ca.school.example/acme/directory")
    ] = None
    """For letsencrypt: another ACME server's directory; null means Let's Encrypt."""

    directory_ca: Annotated[FilePath | None, Reload.UPKEEP, Example("/etc/ssl/school-ca.crt")] = (
        None
    )
    """The authority that this ACME server's own certificate is from, as PEM; null means those that
    the system trusts."""

    @property
    def is_on(self) -> bool:
        return self.mode is not HttpsMode.OFF

    @property
    def directory_url(self) -> str:
        """The ACME directory that is meant."""
        return self.directory or LETS_ENCRYPT

    @model_validator(mode="after")
    def _has_what_its_mode_needs(self) -> Https:
        needed = {
            HttpsMode.LETSENCRYPT: ("names", "email"),
            HttpsMode.FILES: ("certificate", "key"),
            HttpsMode.OWN_CA: ("names",),
        }
        for name in needed.get(self.mode, ()):
            if not getattr(self, name):
                raise PydanticCustomError(
                    "rule",
                    "https.mode: can't be {mode} while there is no https.{name}; "
                    "use: sudo appliance https {mode}",
                    {"mode": self.mode.value, "name": name},
                )
        if self.mode is HttpsMode.LETSENCRYPT:
            self._check_public_names()
        return self

    def _check_public_names(self) -> None:
        for name in self.names:
            if is_ip_address(name):
                raise PydanticCustomError(
                    "rule",
                    "https.names: must be host names for letsencrypt, found the address {name}; "
                    "for addresses use: sudo appliance https own-ca",
                    {"name": name},
                )
            if self.directory is None and "." not in name:
                raise PydanticCustomError(
                    "rule",
                    "https.names: must be public names for letsencrypt, such as "
                    "hub.school.example, found {name}; "
                    "for names of your own network use: sudo appliance https own-ca",
                    {"name": name},
                )
