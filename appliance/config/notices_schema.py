"""Notices: who hears when something is wrong, without having asked."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from appliance.config.kinds import Example, Means, Reload, Section, Typed
from appliance.config.mail_schema import is_mail_address


def check_receiver(value: str) -> str:
    """Refuse what is no mail address; unlike a setting that may be empty, an item may not."""
    if not is_mail_address(value):
        raise PydanticCustomError("not_a_mail_address", "not a mail address")
    return value


Receiver = Annotated[
    str,
    AfterValidator(check_receiver),
    Means('a mail address such as "admin@example.org"'),
]

WebhookUrl = Annotated[
    SecretStr,
    Field(max_length=2000),
    Means('an address such as "https://chat.example.org/hooks/secret"'),
]


def check_webhook(value: SecretStr | None) -> SecretStr | None:
    """Only http and https, without blanks; raised without the value, which is a secret."""
    if value is not None:
        text = value.get_secret_value()
        is_url = text.startswith(("https://", "http://")) and len(text.partition("://")[2]) > 0
        if not is_url or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("must be an address that begins with https:// or http://")
    return value


class Least(StrEnum):
    """From how bad on people are told."""

    WARNING = "warning"
    FAILED = "failed"


class Notices(Section):
    """Who hears when something is wrong, and when it is mended."""

    mail: Annotated[
        list[Receiver],
        Field(max_length=50),
        Typed.SEPARATED,
        Reload.UPKEEP,
        Example(["admin@example.org"]),
    ] = []
    """Mail addresses. Empty means the admins who have one. Mail needs mail.host."""

    webhook: Annotated[
        WebhookUrl | None,
        AfterValidator(check_webhook),
        Reload.UPKEEP,
        Example("https://chat.example.org/hooks/secret"),
    ] = None
    """An address that gets each notice as JSON, with its words under text as Slack, Mattermost and
    others want it."""

    least: Annotated[Least, Field(strict=False), Reload.UPKEEP, Example("failed")] = Least.WARNING
    """How bad it must be: what works and won't for ever (warning), or only what doesn't work
    (failed)."""

    waiting: Annotated[bool, Reload.UPKEEP, Example(False)] = True  # noqa: FBT003
    """Tell of people who signed up and wait, when the first comes and then once a day."""
