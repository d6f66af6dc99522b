"""What settings are made of: groups, markers for who reloads, and the types that people write.

The settings themselves are in schema.py and access_schema.py.
"""

from __future__ import annotations

import ipaddress
import re
from enum import Enum, Flag, auto
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError


class Reload(Flag):
    """What must hear of a changed setting; markers on the fields below."""

    HUB = auto()
    """Restart the hub: pages wait a second, servers don't notice."""
    PROXY = auto()
    """Reload nginx: open connections go on."""
    LIMITS = auto()
    """Put new limits on running servers, at once."""
    NEXT_START = auto()
    """Servers started from now on have it."""
    PRELOAD = auto()
    """Restart what servers and kernels are forked from; those that run don't notice."""
    UPKEEP = auto()
    """Nobody need be told: root's regular work reads it when it is due."""


class Example:
    """A value for the reference page and the commented example file."""

    def __init__(self, value: object) -> None:
        self.value = value


class Means:
    """What a text must be, as it follows "must be" in a message, where type and bounds don't say
    it."""

    def __init__(self, text: str) -> None:
        self.text = text


class Unit(Enum):
    """In what people write a number that is more than a number."""

    SIZE = auto()
    DURATION = auto()


class Typed(Enum):
    """How people type a list as one word of a command line; else each word is an item."""

    SEPARATED = auto()
    """Commas or blanks stand between the items, which have none themselves."""
    COMMAND = auto()
    """As a shell reads it."""


class Section(BaseModel):
    """A group of settings: closed, immutable, strict, described by the strings under its fields.

    `sentences.py` reads the strings, for they are in the source alone.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        defer_build=True,
        validate_default=True,
        hide_input_in_errors=True,
    )


SIZE_UNITS: Final = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
DURATION_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DAY: Final = DURATION_UNITS["d"]


def parse_size(value: Any) -> Any:
    """Turn "512M" or "1.5G" (systemd's units, 1024 each) into bytes; leave all else to the type
    check."""
    match = isinstance(value, str) and re.fullmatch(
        r"([0-9]{1,18}(?:\.[0-9]{1,6})?)\s*([KMGT]?)i?B?", value.strip(), re.IGNORECASE | re.ASCII
    )
    return int(float(match[1]) * SIZE_UNITS[match[2].upper()]) if match else value


def parse_duration(value: Any) -> Any:
    """Turn "90s", "10m", "1h" or "2d" into seconds; leave all else to the type check."""
    match = isinstance(value, str) and re.fullmatch(r"([0-9]{1,12})\s*([smhd])", value.strip())
    return int(match[1]) * DURATION_UNITS[match[2]] if match else value


def check_address(value: str) -> str:
    """Refuse what isn't an IP address; empty is allowed and means all of them."""
    if value and ("%" in value or not _is_network(value) or "/" in value):
        raise PydanticCustomError("not_an_address", "not an address")
    return value


def check_network(value: str) -> str:
    """Refuse what isn't an IP address or network; bits beyond the mask have their own sentence."""
    if "%" in value or not _is_network(value):
        raise PydanticCustomError("not_a_network", "not a network")
    network = ipaddress.ip_network(value, strict=False)
    if "/" in value and network.network_address != ipaddress.ip_address(value.split("/")[0]):
        raise ValueError(f'must be a whole network: write "{network}", found "{value}"')
    return value


def check_base_url(value: str) -> str:
    """Refuse dot segments, which browsers take out of addresses."""
    if any(part in {".", ".."} for part in value.split("/")):
        raise PydanticCustomError("dot_segment", "dot segment")
    return value


def _is_network(value: str) -> bool:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return True


Size = Annotated[int, BeforeValidator(parse_size), Unit.SIZE]
"""Bytes; written as 512M or 2G."""

Duration = Annotated[int, BeforeValidator(parse_duration), Unit.DURATION]
"""Seconds; written as 90s, 10m, 1h or 2d."""

Address = Annotated[
    str,
    AfterValidator(check_address),
    Means('an IP address of this machine such as "192.0.2.10", or "" for every address'),
]

Network = Annotated[
    str,
    AfterValidator(check_network),
    Means('an IP address or network such as "192.0.2.10" or "10.0.0.0/8"'),
]

Switch = Annotated[bool, Means("true or false")]
"""A value of a map that is switched on or off."""

_MODULE: Final = r"[A-Za-z_][A-Za-z0-9_]{0,99}(\.[A-Za-z_][A-Za-z0-9_]{0,99}){0,5}"

ModuleName = Annotated[
    str,
    Field(pattern=rf"^{_MODULE}$"),
    Means('a module\'s name as after "import", such as "numpy"'),
]

ExtensionName = Annotated[
    str,
    Field(pattern=rf"^{_MODULE}$"),
    Means('the name of a server extension such as "jupyter_lsp"'),
]

LabExtensionName = Annotated[
    str,
    Field(pattern=r"^(@[a-z0-9._~-]{1,80}/)?[a-z0-9._~-]{1,100}(:[A-Za-z0-9._~-]{1,80})?$"),
    Means('the name of an extension of JupyterLab such as "@jupyterlab/git"'),
]

Extensions = Annotated[
    dict[ExtensionName, Switch],
    Means("a group of extensions' names, each with true or false, such as {jupyter_lsp: true}"),
]

BaseUrl = Annotated[
    str,
    Field(pattern=r"^/([A-Za-z0-9._~-]+/)*$", max_length=200),
    AfterValidator(check_base_url),
    Means(
        'a path that begins and ends with a slash, such as "/" or "/jupyter/", '
        "of letters, digits and . _ ~ -"
    ),
]
