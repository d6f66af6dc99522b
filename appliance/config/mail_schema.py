"""Mail: the server that sends it, and what the appliance writes to people."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from appliance.config.kinds import Example, Means, Reload, Section

# What every mail server takes; odder addresses are legal and nobody has one.
_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
ADDRESS_MAX: Final = 254


def is_mail_address(text: str) -> bool:
    """Whether mail can be sent there; nothing that passes can break a header or a command."""
    return len(text) <= ADDRESS_MAX and _ADDRESS.fullmatch(text) is not None


def check_mail_address(value: str) -> str:
    """Refuse what is no mail address; empty is allowed and means none."""
    if value and not is_mail_address(value):
        raise PydanticCustomError("not_a_mail_address", "not a mail address")
    return value


MailAddress = Annotated[
    str,
    AfterValidator(check_mail_address),
    Means('a mail address such as "hub@example.org"'),
]

HostName = Annotated[
    str,
    Field(pattern=r"^([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45})?$"),
    Means('the name or IP address of a mail server such as "mail.example.org"'),
]

Site = Annotated[
    str,
    Field(pattern=r"^(https?://[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?/?)?$"),
    Means('the address that people type, without a path, such as "https://hub.example.org"'),
]


class MailSecurity(StrEnum):
    """How the connection to the mail server is kept secret."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class Mail(Section):
    """Mail that the hub sends: links for forgotten passwords, and news of accounts."""

    host: Annotated[HostName, Reload.HUB, Example("mail.example.org")] = ""
    """The mail server; empty means that no mail is sent."""

    port: Annotated[int | None, Field(ge=1, le=65535), Reload.HUB, Example(2525)] = None
    """Its port; null means 587 for starttls, 465 for tls, 25 for none."""

    security: Annotated[MailSecurity, Field(strict=False), Reload.HUB, Example("tls")] = (
        MailSecurity.STARTTLS
    )
    """starttls or tls, with a certificate that the system trusts; none: everybody on the way can
    read along."""

    user: Annotated[str, Field(max_length=200), Reload.HUB, Example("hub@example.org")] = ""
    """The name to log in to the mail server with; empty means without logging in."""

    password: Annotated[SecretStr | None, Reload.HUB, Example("long-and-secret")] = None
    """The password for that."""

    sender: Annotated[MailAddress, Reload.HUB, Example("hub@example.org")] = ""
    """Whom the mails are from."""

    reply_to: Annotated[MailAddress, Reload.HUB, Example("teacher@example.org")] = ""
    """Who gets the answers; empty means the sender."""

    site: Annotated[Site, Reload.HUB, Example("https://hub.example.org")] = ""
    """The appliance's address in links. It is not taken from requests, which strangers write."""

    tell_sign_ups: Annotated[bool, Reload.HUB, Example(True)] = False  # noqa: FBT003
    """Write to those who may approve when somebody has signed up and waits."""

    @model_validator(mode="after")
    def _has_what_a_mail_needs(self) -> Mail:
        for name in ("sender", "site"):
            if self.host and not getattr(self, name):
                raise PydanticCustomError(
                    "rule",
                    "mail.{name}: must be set when mail.host is; set mail.{name} first",
                    {"name": name},
                )
        if self.user and self.password is None:
            raise PydanticCustomError(
                "rule", "mail.user: needs a password; set mail.password first"
            )
        return self
