"""Every setting of the appliance, once: name, type, bounds, default, who reloads, and a sentence.

Everything else about settings is derived from these classes: checks (load.py), edits (edit.py),
the reference page, the JSON Schema and the commented example (reference.py), and what
`appliance config set` reloads (appliance/rollout/apply.py).

A validator that has its own sentence raises ValueError with it, beginning "must be"; for all other
refusals load.py makes the sentence from the type, the bounds and the `Means` marker.
"""

from __future__ import annotations

import ipaddress
import re
from enum import Enum, Flag, StrEnum, auto
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)
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


class Section(BaseModel):
    """A group of settings: closed, immutable, strict, described by the strings under its fields."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        use_attribute_docstrings=True,
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

BaseUrl = Annotated[
    str,
    Field(pattern=r"^/([A-Za-z0-9._~-]+/)*$", max_length=200),
    AfterValidator(check_base_url),
    Means(
        'a path that begins and ends with a slash, such as "/" or "/jupyter/", '
        "of letters, digits and . _ ~ -"
    ),
]

JOIN_CODE_MIN: Final = 6
"""Shorter codes are guessed within the throttle's patience."""

MEMORY_MIN: Final = 128 * 2**20
"""A server alone needs about 100 MB: below this none would ever start."""


class SignupMode(StrEnum):
    """Who may make an account on the sign-up page."""

    OPEN = "open"
    APPROVAL = "approval"
    CODE = "code"
    CLOSED = "closed"


class FrontEnd(StrEnum):
    """Where a user's server opens."""

    LAB = "lab"
    NOTEBOOK = "notebook"


class Http(Section):
    """Where the appliance listens."""

    address: Annotated[Address, Reload.PROXY, Example("192.0.2.10")] = ""
    """Address to listen on; empty means every address, IPv4 and IPv6."""

    port: Annotated[int, Field(ge=1, le=65535), Reload.PROXY | Reload.NEXT_START, Example(8080)] = (
        80
    )
    """Port to listen on."""

    trusted_proxies: Annotated[list[Network], Reload.PROXY, Example(["10.0.0.0/8"])] = []
    """Addresses or networks of web servers in front, whose X-Forwarded-For and -Proto are
    believed."""


class Signup(Section):
    """Who may make an account."""

    mode: Annotated[SignupMode, Field(strict=False), Reload.HUB, Example("code")] = (
        SignupMode.APPROVAL
    )
    """open: anybody; approval: an admin lets each in; code: whoever knows the join code; closed:
    nobody."""

    code: Annotated[SecretStr | None, Reload.HUB, Example("blue-tree-42")] = None
    """The join code for the mode `code`, at least 6 characters; capitals don't matter."""

    @model_validator(mode="after")
    def _code_is_there_when_needed(self) -> Signup:
        if self.code is None and self.mode is SignupMode.CODE:
            raise PydanticCustomError(
                "rule",
                "signup.mode: can't be code while there is no signup.code; set signup.code first",
            )
        if self.code is not None and len(self.code.get_secret_value().strip()) < JOIN_CODE_MIN:
            raise PydanticCustomError(
                "rule",
                "signup.code: must have at least {least} characters",
                {"least": JOIN_CODE_MIN},
            )
        return self


class Passwords(Section):
    """Rules for passwords that users choose."""

    min_length: Annotated[int, Field(ge=1, le=72), Reload.HUB, Example(12)] = 8
    """Fewest characters of a password."""

    refuse_common: Annotated[bool, Reload.HUB, Example(False)] = True  # noqa: FBT003
    """Refuse passwords from the list of the most common ones, and those that contain the user's
    name."""


class Limits(Section):
    """What one single-user server may use."""

    memory: Annotated[Size | None, Field(ge=MEMORY_MIN, le=2**50), Reload.LIMITS, Example("2G")] = (
        2**30
    )
    """Most memory; what goes past it is killed by the kernel. Null means no limit of its own."""

    cpu: Annotated[float | None, Field(gt=0, le=1024), Reload.LIMITS, Example(1.5)] = None
    """Most CPU, in cores; null means no limit, and busy servers share fairly."""

    tasks: Annotated[int | None, Field(ge=32, le=100_000), Reload.LIMITS, Example(1024)] = 512
    """Most processes and threads; null means systemd's own limit."""


class Servers(Section):
    """How single-user servers start."""

    front_end: Annotated[FrontEnd, Field(strict=False), Reload.NEXT_START, Example("notebook")] = (
        FrontEnd.LAB
    )
    """Where a server opens: lab (JupyterLab) or notebook (Notebook); the other stays at /lab or
    /tree."""

    start_timeout: Annotated[Duration, Field(ge=5, le=3600), Reload.HUB, Example("2m")] = 60
    """Longest time a server may take to start before it is stopped and the user told why."""


class Culling(Section):
    """Stopping servers that nobody uses."""

    enabled: Annotated[bool, Reload.HUB, Example(False)] = True  # noqa: FBT003
    """Stop idle servers."""

    timeout: Annotated[
        Duration, Field(ge=10, le=365 * DAY), Reload.HUB | Reload.NEXT_START, Example("2h")
    ] = 3600
    """A server without activity for this long is idle."""

    interval: Annotated[Duration, Field(ge=5, le=DAY), Reload.HUB, Example("10m")] = 300
    """Time between two looks for idle servers."""

    busy_kernels: Annotated[bool, Reload.NEXT_START, Example(True)] = False  # noqa: FBT003
    """Count a running cell as no activity, so that long computations are stopped too."""


class Config(Section):
    """The whole configuration."""

    base_url: Annotated[
        BaseUrl, Reload.HUB | Reload.PROXY | Reload.NEXT_START, Example("/jupyter/")
    ] = "/"
    """Path below which everything lives, with a slash at both ends."""

    http: Http = Http()
    signup: Signup = Signup()
    passwords: Passwords = Passwords()
    limits: Limits = Limits()
    servers: Servers = Servers()
    culling: Culling = Culling()
