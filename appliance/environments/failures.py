"""What uv says when it can't do something, in plain words and with what to do about it."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from appliance.errors import ApplianceError

_LINES_MAX: Final = 8
_NOT_FOUND: Final = re.compile(
    r"Because ([A-Za-z0-9._-]+) was not found in the (?:package registry|provided package)"
)
_NO_WHEEL: Final = re.compile(
    r"Wheels are required for `([A-Za-z0-9._-]+)`|"
    r"([A-Za-z][A-Za-z0-9._-]*)(?:==\S+)? (?:has|have) no (?:usable )?wheels"
)
_NO_VERSION: Final = re.compile(r"there (?:is|are) no versions? of ([A-Za-z0-9._\[\]-]+)")
_NETWORK: Final = re.compile(
    r"error sending request|dns error|Failed to fetch|Could not connect|tcp connect|timed out|"
    r"Temporary failure in name resolution|certificate|network connectivity is disabled",
    re.IGNORECASE,
)
_PROXY_LOGIN: Final = re.compile(r"proxy authorization required|\b407\b", re.IGNORECASE)
_UNTRUSTED: Final = re.compile(r"invalid peer certificate|CERTIFICATE_VERIFY_FAILED", re.IGNORECASE)
_FULL: Final = re.compile(r"No space left|os error 28|Disk quota exceeded", re.IGNORECASE)


def explain(
    what: str, said: str, *, pinned: Mapping[str, str], asked: Sequence[str], name: str
) -> ApplianceError:
    """The error to raise for what uv said; nothing was changed by then."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    flat = re.sub(r"\s+", " ", said)
    for find in (_disk, _network, _no_package, _no_wheel, _no_version):
        found = find(flat, name)
        if found:
            return ApplianceError(what, why=found[0], mend=found[1])
    moved = sorted(
        one for one in pinned if re.search(rf"(?<![\w.-]){re.escape(one)}(?![\w-])", flat)
    )
    if "unsatisfiable" in flat and moved:
        needs = ", ".join(f"{one} {pinned[one]}" for one in moved[:4])
        why = f"it conflicts with what the appliance itself needs ({needs}), which can't be moved"
        return ApplianceError(
            what,
            why=f"{why}: {_reason(flat)}",
            mend=f"a kernel of its own may have any version: {_create(asked)}",
        )
    if "unsatisfiable" in flat:
        return ApplianceError(
            what,
            why=f"the packages don't go together: {_reason(flat)}",
            mend="ask for other versions, or put some of them into another environment: "
            + _create(asked),
        )
    return ApplianceError(
        what,
        why="\n".join(lines[-_LINES_MAX:]) or "uv gave no reason",
        mend="see what uv says above; nothing was changed",
        log=tuple(lines),
    )


def _create(asked: Sequence[str]) -> str:
    words = " ".join(f"'{one}'" if re.search(r"[<>=!~ @\[]", one) else one for one in asked[:6])
    return f"sudo appliance env create NAME {words}".rstrip()


def _reason(flat: str) -> str:
    """uv's chain of reasons without its first word and its last sentence."""
    found = re.search(r"(Because .*?)(?:,? we can conclude that your requirements|$)", flat)
    text = found[1] if found else flat
    text = text.replace("you require", "you ask for")
    return text[:600].rstrip(" ,")


def _disk(flat: str, name: str) -> tuple[str, str] | None:
    if not _FULL.search(flat):
        return None
    return "the disk is full", "df -h /opt/appliance; then free some room and try again"


def _network(flat: str, name: str) -> tuple[str, str] | None:
    if not _NETWORK.search(flat):
        return None
    found = re.search(r"https?://[^\s`'\"/]+", flat)
    where = f" ({found[0]})" if found else ""
    if _PROXY_LOGIN.search(flat):
        why = f"the proxy on the way to the package index{where} wants another name and password"
        mend = "sudo appliance config set network.proxy_user NAME; then: "
        return why, mend + "sudo appliance config set network.proxy_password --stdin"
    if _UNTRUSTED.search(flat):
        why = f"this machine doesn't trust the authority of the package index's certificate{where}"
        mend = "where the network opens TLS: sudo appliance config set network.ca_file FILE"
        return why, mend
    return (
        f"the package index can't be reached{where}",
        "try again when the network is back; for a proxy: sudo appliance config set network.proxy",
    )


def _no_package(flat: str, name: str) -> tuple[str, str] | None:
    found = _NOT_FOUND.search(flat)
    if not found:
        return None
    return f"there is no package '{found[1]}'", "look for its name on https://pypi.org"


def _no_wheel(flat: str, name: str) -> tuple[str, str] | None:
    found = _NO_WHEEL.search(flat)
    if not found:
        return None
    package = next((group for group in found.groups() if group), "one of them")
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    why = f"'{package}' is not ready-made for Python {version} on {platform.machine()}; "
    why += "it would have to be built from its source"
    return why, "another version may be ready-made; or build it: --build"


def _no_version(flat: str, name: str) -> tuple[str, str] | None:
    found = _NO_VERSION.search(flat)
    if not found or "only the following versions" in flat:
        return None
    return (
        f"there is no such version of '{found[1].partition('[')[0]}'",
        f"see which there are: https://pypi.org/project/{found[1].partition('[')[0]}/#history",
    )
