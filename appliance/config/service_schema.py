"""Services: programs beside the hub, which use its API, its log-in, or both."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from appliance.config.access_schema import ScopeText
from appliance.config.kinds import Example, Means, Reload, Section, Size, Typed

SECRET_MIN: Final = 8
SECRET_MAX: Final = 64

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
_PATH = r"(?:/[A-Za-z0-9._~!*'(),;:@&=+/%-]*)?"
_URL: Final = re.compile(rf"https?://{_HOST}(?::([0-9]{{1,5}}))?{_PATH}")
_UNIX_URL: Final = re.compile(r"http\+unix://%2[Ff][A-Za-z0-9._~%-]{1,300}/?")
_REDIRECT: Final = re.compile(rf"(?:https?://{_HOST}(?::[0-9]{{1,5}})?)?/[!-~]*")
_INTEGER_MAX: Final = 2**53


def check_url(value: str) -> str:
    """Refuse what the proxy can't send requests to; the text goes into its configuration."""
    match = _URL.fullmatch(value)
    if len(value) > 500 or not (match or _UNIX_URL.fullmatch(value)):
        raise PydanticCustomError("not_a_url", "not a URL")
    if match and match[1] and not 1 <= int(match[1]) <= 65535:
        raise ValueError(f'must have a port from 1 to 65535, found "{match[1]}"')
    return value


def check_redirect(value: str) -> str:
    """Refuse what no browser can be sent back to."""
    elsewhere = value.startswith(("//", "/\\"))  # which browsers take for another host
    if len(value) > 2000 or not _REDIRECT.fullmatch(value) or "#" in value or elsewhere:
        raise PydanticCustomError("not_a_redirect", "not a redirect")
    return value


def check_secret(value: SecretStr) -> SecretStr:
    """Refuse secrets that are guessed, or that can't stand in a header."""
    text = value.get_secret_value()
    if not (SECRET_MIN <= len(text) <= SECRET_MAX and re.fullmatch(r"[!-~]*", text)):
        raise PydanticCustomError("not_a_secret", "not a secret")
    return value


def check_no_nul(value: str) -> str:
    """Refuse what no program can be given."""
    if "\0" in value:
        raise ValueError("must not have the character U+0000")
    return value


def check_json(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse numbers that JSON doesn't have."""
    _check_numbers(value)
    return value


def _check_numbers(value: object) -> None:
    if isinstance(value, dict):
        for inner in value.values():
            _check_numbers(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_numbers(inner)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be of values that JSON has; infinity and NaN are none")
    elif isinstance(value, int) and abs(value) > _INTEGER_MAX:
        raise ValueError("must be of values that JSON has; write so large a number in quotes")


Url = Annotated[
    str,
    AfterValidator(check_url),
    Means(
        'a URL such as "http://127.0.0.1:9001" (http, https or http+unix), '
        "without a name, password or query in it"
    ),
]

Redirect = Annotated[
    str,
    AfterValidator(check_redirect),
    Means(
        'a URL such as "https://grades.example.org/oauth_callback", or a path on this machine '
        'such as "/services/grades/oauth_callback"'
    ),
]

ClientId = Annotated[
    str,
    Field(pattern=r"^service-[A-Za-z0-9._~-]{1,240}$"),
    Means('"service-" and then letters, digits and . _ ~ -, such as "service-grades"'),
]

ApiSecret = Annotated[
    SecretStr,
    AfterValidator(check_secret),
    Means(
        f"{SECRET_MIN} to {SECRET_MAX} characters of ASCII without blanks, such as "
        "openssl rand -hex 32 prints"
    ),
]

Word = Annotated[str, Field(max_length=4096), AfterValidator(check_no_nul), Means("text")]

VariableName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$"),
    Means("a variable's name: letters, digits and _, no digit first"),
]

Environment = Annotated[
    dict[VariableName, Word],
    Means("a group of variables, each with its value, such as {TZ: UTC}"),
]

Info = Annotated[
    dict[str, Any], AfterValidator(check_json), Means("a group of anything, such as {room: 12}")
]


class Service(Section):
    """A program beside the hub, such as one that stops idle servers, or one with pages of its
    own."""

    url: Annotated[Url | None, Reload.HUB | Reload.PROXY, Example("http://127.0.0.1:9001")] = None
    """Where the service listens; the proxy sends /services/NAME/ there. Null: it has no pages."""

    command: Annotated[
        list[Word], Typed.COMMAND, Reload.HUB, Example(["python3", "-m", "jupyterhub_idle_culler"])
    ] = []
    """The program and its arguments; the appliance starts it, and again when it ends. Empty: it is
    started by somebody else."""

    environment: Annotated[Environment, Reload.HUB, Example({"TZ": "UTC"})] = {}
    """Environment variables of the command, besides those that the appliance sets."""

    api_token: Annotated[ApiSecret | None, Reload.HUB, Example("0123456789abcdef")] = None
    """The token with which the service calls the API. Null: the appliance makes one for a service
    that it starts."""

    admin: Annotated[bool, Reload.HUB, Example(True)] = False  # noqa: FBT003
    """Give the service the role `admin`. A role with just the scopes it needs is safer."""

    display: Annotated[bool, Reload.HUB, Example(False)] = True  # noqa: FBT003
    """Show a link to the service in the pages, if it has a URL."""

    info: Annotated[Info, Reload.HUB, Example({"contact": "ada@example.org"})] = {}
    """Anything that whoever lists the services should know; the appliance only passes it on."""

    oauth_client_id: Annotated[ClientId | None, Reload.HUB, Example("service-grades")] = None
    """The name under which the service asks users to log in. Null: service-NAME."""

    oauth_redirect_uri: Annotated[
        Redirect | None, Reload.HUB, Example("https://grades.example.org/oauth_callback")
    ] = None
    """Where browsers go back to after the log-in. Null: /services/NAME/oauth_callback."""

    oauth_no_confirm: Annotated[bool, Reload.HUB, Example(True)] = False  # noqa: FBT003
    """Don't ask users whether the service may know who they are."""

    oauth_client_allowed_scopes: Annotated[
        list[ScopeText], Reload.HUB, Example(["read:users:groups!user"])
    ] = []
    """What the service may ask for in the name of its users, besides who they are and the right to
    open it."""

    memory: Annotated[Size | None, Field(ge=2**24, le=2**50), Reload.HUB, Example("1G")] = 2**29
    """Most memory of the command; null means no limit of its own."""
