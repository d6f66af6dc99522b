"""What of two answers must be the same: status, headers that clients read, and models.

Messages of errors are each hub's own words, pages its own pages, and the field `appliance` and the
scope `classroom` are ours.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.fakes.hub_machine import Answer

_SECRETS: Final = frozenset({"token", "code", "access_token"})
_SETS: Final = frozenset({"scopes", "roles", "groups", "users"})
_OURS: Final = frozenset({"appliance"})
_OUR_SCOPE: Final = "classroom"
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_ID: Final = re.compile(r"(a|sc_)\d+")
_CODE: Final = re.compile(r"(?<=[?&]code=)[\w-]+")
_VERSIONS: Final = frozenset({"version", "python", "sys_executable", "class"})


def differences(theirs: Answer, ours: Answer) -> list[str]:
    """In what two answers differ, in words: "status 200 → 404" (JupyterHub's first)."""
    if theirs.status != ours.status:
        return [f"status {theirs.status} → {ours.status}"]
    found = [
        f"{name} {left!r} → {right!r}"
        for name in ("content-type", "location")
        if (left := _header(theirs, name)) != (right := _header(ours, name))
    ]
    found += [
        f"no {name}"
        for name in ("x-jupyterhub-version", "access-control-allow-headers")
        if name in theirs.headers and name not in ours.headers
    ]
    if "frame-ancestors 'none'" not in ours.headers.get("content-security-policy", ""):
        found.append("may be framed")
    return found + _bodies(theirs, ours)


def _header(answer: Answer, name: str) -> str:
    # Of what redirects say besides nobody takes notice.
    if name == "content-type" and (300 <= answer.status < 400 or answer.status == 204):
        return ""
    return answer.headers.get(name, "").partition("; charset")[0].lower()


def _bodies(theirs: Answer, ours: Answer) -> list[str]:
    if "json" not in theirs.headers.get("content-type", ""):
        return []
    left, right = json.loads(theirs.body or "null"), json.loads(ours.body or "null")
    if theirs.status >= 400:
        left, right = _shape(left), _shape(right)
    return _compare(plain(left), plain(right), "")


def _shape(error: Any) -> Any:
    """Of an error only that it has a status and a message, or OAuth's word."""
    if not isinstance(error, dict):
        return error
    return {key: error[key] for key in ("status", "error") if key in error} | {
        key: "…" for key in ("message",) if key in error
    }


def plain(value: Any, key: str = "") -> Any:
    """JSON without what can't be the same twice."""
    if isinstance(value, dict):
        return {k: plain(v, k) for k, v in value.items() if k not in _OURS}
    if isinstance(value, list):
        if key == "scopes":
            value = [one for one in value if one.partition("!")[0] != _OUR_SCOPE]
        return sorted(value) if key in _SETS else [plain(one) for one in value]
    if isinstance(value, str):
        if "?code=" in value:
            return _CODE.sub("<code>", value)
        if key == "url" and "?" in value:
            return _with_sorted_query(value)
        if key in _SECRETS or key in _VERSIONS:
            return f"<{key}>"
        if _TIME.fullmatch(value):
            return "<time>"
        return "<id>" if _ID.fullmatch(value) else value
    return value


def _with_sorted_query(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(query=urlencode(sorted(parse_qsl(parts.query)))).geturl()


def _compare(left: Any, right: Any, place: str) -> list[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        found = [f"{place}{key} missing" for key in left.keys() - right.keys()]
        found += [f"{place}{key} added" for key in right.keys() - left.keys()]
        for key in left.keys() & right.keys():
            found += _compare(left[key], right[key], f"{place}{key}.")
        return sorted(found)
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [
            text
            for number, (one, two) in enumerate(zip(left, right, strict=True))
            for text in _compare(one, two, f"{place}{number}.")
        ]
    return [] if left == right else [f"{place.rstrip('.')} {left!r} → {right!r}"]
