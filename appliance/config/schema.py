"""Every setting of the appliance, once: name, type, bounds, default, who reloads, and a sentence.

Everything else about settings is derived from these classes: checks (load.py), edits (edit.py),
the reference page, the JSON Schema and the commented example (reference.py), and what
`appliance config set` reloads (apply.py).
"""

from __future__ import annotations

import re
from enum import Flag, StrEnum, auto
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator


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


class Section(BaseModel):
    """A group of settings: closed, immutable, strict, described by the strings under its fields."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, validate_default=True
    )


SIZE_UNITS: Final = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
DURATION_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_size(value: Any) -> Any:
    """Turn "512M" or "1.5G" (systemd's units, 1024 each) into bytes; leave all else for the type check."""
    match = isinstance(value, str) and re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", value.strip(), re.I)
    return int(float(match[1]) * SIZE_UNITS[match[2].upper()]) if match else value


def parse_duration(value: Any) -> Any:
    """Turn "90s", "10m", "1h" or "2d" into seconds; leave all else for the type check."""
    match = isinstance(value, str) and re.fullmatch(r"(\d+)\s*([smhd])", value.strip())
    return int(match[1]) * DURATION_UNITS[match[2]] if match else value


Size = Annotated[int, BeforeValidator(parse_size)]
"""Bytes; written as 512M or 2G."""

Duration = Annotated[int, BeforeValidator(parse_duration)]
"""Seconds; written as 90s, 10m, 1h or 2d."""


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

    address: Annotated[str, Reload.PROXY, Example("192.0.2.10")] = ""
    """Address to listen on; empty means every address, IPv4 and IPv6."""

    port: Annotated[int, Field(ge=1, le=65535), Reload.PROXY, Example(8080)] = 80
    """Port to listen on."""

    trusted_proxies: Annotated[list[str], Reload.PROXY, Example(["10.0.0.0/8"])] = []
    """Addresses or networks of web servers in front, whose X-Forwarded-For and -Proto are believed."""


class Signup(Section):
    """Who may make an account."""

    mode: Annotated[SignupMode, Field(strict=False), Reload.HUB, Example("code")] = SignupMode.APPROVAL
    """open: anybody; approval: an admin lets each in; code: whoever knows the join code; closed: nobody."""

    code: Annotated[SecretStr | None, Reload.HUB, Example("blue-tree-42")] = None
    """The join code for the mode `code`, at least 6 characters; capitals don't matter."""

    @model_validator(mode="after")
    def _code_is_there_when_needed(self) -> Signup:
        code = self.code.get_secret_value() if self.code else ""
        if self.mode is SignupMode.CODE and len(code.strip()) < 6:
            raise ValueError("signup.mode is 'code', so signup.code must have at least 6 characters")
        return self


class Passwords(Section):
    """Rules for passwords that users choose."""

    min_length: Annotated[int, Field(ge=1, le=72), Reload.HUB, Example(12)] = 8
    """Fewest characters of a password."""

    refuse_common: Annotated[bool, Reload.HUB, Example(False)] = True
    """Refuse passwords from the list of the most common ones, and those that contain the user's name."""


class Limits(Section):
    """What one single-user server may use."""

    memory: Annotated[Size | None, Field(ge=64 * 2**20), Reload.LIMITS, Example("2G")] = 2**30
    """Most memory; what goes past it is killed by the kernel. Null means no limit of its own."""

    cpu: Annotated[float | None, Field(gt=0, le=1024, strict=False), Reload.LIMITS, Example(1.5)] = None
    """Most CPU, in cores; null means no limit, and busy servers share fairly."""

    tasks: Annotated[int | None, Field(ge=32, le=100_000), Reload.LIMITS, Example(1024)] = 512
    """Most processes and threads; null means systemd's own limit."""


class Servers(Section):
    """How single-user servers start."""

    front_end: Annotated[FrontEnd, Field(strict=False), Reload.NEXT_START, Example("notebook")] = FrontEnd.LAB
    """Where a server opens: lab (JupyterLab) or notebook (Notebook); the other stays at /lab or /tree."""

    start_timeout: Annotated[Duration, Field(ge=5, le=3600), Reload.HUB, Example("2m")] = 60
    """Longest time a server may take to start before it is stopped and the user told why."""


class Culling(Section):
    """Stopping servers that nobody uses."""

    enabled: Annotated[bool, Reload.HUB, Example(False)] = True
    """Stop idle servers."""

    timeout: Annotated[Duration, Field(ge=10), Reload.HUB | Reload.NEXT_START, Example("2h")] = 3600
    """A server without activity for this long is idle."""

    interval: Annotated[Duration, Field(ge=5), Reload.HUB, Example("5m")] = 300
    """Time between two looks for idle servers."""

    busy_kernels: Annotated[bool, Reload.NEXT_START, Example(True)] = False
    """Count a running cell as no activity, so that long computations are stopped too."""


class Config(Section):
    """The whole configuration."""

    base_url: Annotated[
        str, Field(pattern=r"^/([A-Za-z0-9._~-]+/)*$"), Reload.HUB | Reload.PROXY | Reload.NEXT_START, Example("/jupyter/")
    ] = "/"
    """Path below which everything lives, with a slash at both ends."""

    http: Http = Http()
    signup: Signup = Signup()
    passwords: Passwords = Passwords()
    limits: Limits = Limits()
    servers: Servers = Servers()
    culling: Culling = Culling()
