"""Taking secrets out of text that leaves the machine.

Two ways at once. Every value that is known to be secret, because it stands in the settings where a
secret belongs or in a file of secrets, is taken out wherever it is seen, in its encodings too. And
everything that looks like a secret is taken out, known or not. Better a word too much than one.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from pydantic import BaseModel, SecretStr

_SHORTEST: Final = 4
_REMOVED: Final = "[{kind} removed]"

# The names of what is secret, in settings, environments and headers.
_KEY: Final = (
    r"(?<![a-z0-9_.-])[a-z0-9_.-]{0,40}?(?:password|passwd|passphrase|secret|token|api[_-]?key|"
    r"private[_-]?key|credential|authorization|cookie|join[_-]?code|encryption[_-]?key|webhook|"
    r"hmac)"
    r"[a-z0-9_.-]{0,40}"
)
_VALUE: Final = r"""(?:"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[^\s,}\]\[{#"'][^\n,}\]#]*)"""
_PEM: Final = r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)"
_HEADERS: Final = r"(?:proxy-)?authorization|(?:set-)?cookie|x-xsrftoken"
_BETWEEN: Final = r"[ \t]*[:=][ \t]*"
_MIXED: Final = r"(?=[A-Za-z_-]*\d)(?=[A-Z0-9_-]*[a-z])(?=[a-z0-9_-]*[A-Z])"
_QUERY: Final = r"token|code|state|key|ticket|_xsrf|next|code_verifier|code_challenge"
_FIVE: Final = "[a-km-z2-9]{5}"
_SCHEME: Final = r"\b[a-z][a-z0-9+.-]{0,20}://"
# A port with a path behind it is no password, even if a user's name in the path has an @.
_NO_PORT: Final = r"(?!\d{1,5}(?:[/?#]|$))"
# Bounded, because users write what is read here: else a line of them could take minutes.
_HIDDEN: Final = r"[^\s\"'<>]{1,1000}"
_HOOK: Final = r"(?:api/)?(?:hooks?|services|webhooks?|workflows)/[^\s\"'<>]+"
_PREFIXES: Final = r"gh[pousr]_|github_pat_|glpat-|xox[abpors]-|sk-|AKIA|eyJ"
_RULES: Final[tuple[tuple[str, str], ...]] = (
    ("private key", rf"(?s){_PEM}"),
    ("private key", r"(?i)AGE-SECRET-KEY-1[0-9A-Z]+"),
    ("passphrase", rf"(?<![\w-]){_FIVE}(?:-{_FIVE}){{4}}(?![\w-])"),
    ("password hash", r"\$2[abxy]?\$\d\d\$[./A-Za-z0-9]{53}"),
    ("password hash", r"\$(?:argon2[a-z]*|scrypt|y|6|5|1)\$[^\s:'\"]{8,}"),
    ("header", rf"(?im)\b(?P<keep>{_HEADERS})(?P<sep>[ \t]*[:=][ \t]*)[^\r\n]+"),
    ("token", r"(?i)\b(?P<keep>token|bearer|basic)(?P<sep>[ \t]+)[A-Za-z0-9._~+/=-]{8,}"),
    ("link", rf"(?i)(?P<keep>[?&](?:[a-z_]{{1,30}}_)?(?:{_QUERY})=)(?P<sep>)[^&\s\"'<>]+"),
    ("link", r"(?i)(?P<keep>/hub/(?:setup|join|accept-share|forgot)/)(?P<sep>)[^\s\"'<>?]+"),
    ("link", r"(?i)(?P<keep>\bhttps?://[^\s/\"'<>]{1,255}/)(?P<sep>)" + _HOOK),
    ("password", rf"(?P<keep>{_SCHEME}[^\s:/@\"'<>]{{0,80}}:)(?P<sep>){_NO_PORT}{_HIDDEN}(?=@)"),
    ("password", rf"(?P<keep>{_SCHEME})(?P<sep>)[^\s:/@\"'<>]{{8,}}(?=@)"),
    ("password", r"(?i)(?P<keep>\bAUTH (?:PLAIN|LOGIN) )(?P<sep>)[A-Za-z0-9+/=]{4,}"),
    ("value of a secret name", rf"(?im)(?P<keep>[\"']?{_KEY}[\"']?)(?P<sep>{_BETWEEN}){_VALUE}"),
    ("token", rf"\b(?:{_PREFIXES})[A-Za-z0-9_.-]{{12,}}"),
    ("random text", r"(?<![0-9A-Za-z/_.-])(?:[0-9a-f]{32,128}|[0-9A-F]{32,128})(?![0-9A-Za-z_.-])"),
    ("random text", r"(?<![0-9A-Za-z])(?=[A-Z]*[2-7])[A-Z2-7]{16,128}(?![0-9A-Za-z])"),
    ("random text", r"(?<![0-9A-Za-z+/])[A-Za-z0-9+/]{22,2048}={1,2}(?![0-9A-Za-z=])"),
    ("random text", rf"(?<![0-9A-Za-z/_.-]){_MIXED}[A-Za-z0-9_-]{{32,128}}(?![0-9A-Za-z_.-])"),
)  # fmt: skip
_SECRET_KEY: Final = re.compile(rf"(?i){_KEY}")
_PATTERNS: Final = tuple((kind, re.compile(pattern)) for kind, pattern in _RULES)
_HARMLESS: Final = re.compile(
    r"(?i)^[\"']?(?:null|none|true|false|~|\"\"|''|\[.* removed\]|)[\"']?$"
)

_ADDRESS: Final = re.compile(
    r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b"
    r"|(?<![:.\w])(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{1,4}(?![:.\w])",
    re.IGNORECASE,
)
_MAIL: Final = re.compile(r"\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+\b")
_KEPT_ADDRESSES: Final = frozenset({"127.0.0.1", "0.0.0.0", "::1"})  # noqa: S104 - compared


class Redactor:
    """Cleans text, and counts what it took out."""

    def __init__(
        self,
        known: Mapping[str, Iterable[str]],
        *,
        people: Iterable[str] = (),
        code_words: Iterable[str] = (),
    ) -> None:
        """`known`: secrets by kind; `people`: names to be replaced, each always by the same;
        `code_words`: of which join codes are made."""
        self.removed: Counter[str] = Counter()
        self._known = _spellings(known)
        words = "|".join(code_words)
        if words:
            code = rf"(?i)\b(?:{words})[- ](?:{words})[- ][0-9a-z]{{5}}\b"
            self._known.append(("join code", re.compile(code)))
        self._people = {name: f"user{number}" for number, name in enumerate(sorted(set(people)), 1)}
        self._names = _alternatives(self._people)
        self._addresses: dict[str, str] = {}
        self._anonymous = bool(self._people)

    def clean(self, text: str) -> str:
        for kind, pattern in self._known:
            text, count = pattern.subn(_REMOVED.format(kind=kind), text)
            self.removed[kind] += count
        for kind, pattern in _PATTERNS:
            text = pattern.sub(partial(self._replace, kind), text)
        self.removed = +self.removed
        return self._hide_people(text) if self._anonymous else text

    def clean_value(self, value: Any, *, key: str = "") -> Any:
        """The same for what becomes JSON, which stays JSON by that."""
        match value:
            case str():
                if key and _SECRET_KEY.search(key) and not _HARMLESS.match(value):
                    self.removed["value of a secret name"] += 1
                    return _REMOVED.format(kind="value of a secret name")
                return self.clean(value)
            case dict():
                return {
                    self.clean(str(name)): self.clean_value(one, key=str(name))
                    for name, one in value.items()
                }
            case list() | tuple():
                return [self.clean_value(one, key=key) for one in value]
            case bool() | int() | float() | None:
                return value
            case _:
                return self.clean(str(value))

    def _replace(self, kind: str, match: re.Match[str]) -> str:
        groups = match.groupdict()
        kept = (groups.get("keep") or "") + (groups.get("sep") or "")
        value = match[0][len(kept) :]
        if _HARMLESS.match(value.strip()):
            return match[0]
        self.removed[kind] += 1
        # What was in quotation marks stays so, or JSON would be none any more.
        quote_mark = value[0] if value[0] in "\"'" and value[-1] == value[0] else ""
        return f"{kept}{quote_mark}{_REMOVED.format(kind=kind)}{quote_mark}"

    def _hide_people(self, text: str) -> str:
        text = _MAIL.sub("[address of mail]", text)
        if self._names:
            text = self._names.sub(lambda match: self._people[match[0].lower()], text)
        return _ADDRESS.sub(self._hide_address, text)

    def _hide_address(self, match: re.Match[str]) -> str:
        address = match[0]
        if address in _KEPT_ADDRESSES:
            return address
        return self._addresses.setdefault(address, f"[address {len(self._addresses) + 1}]")


def secrets_of(settings: object) -> Iterable[str]:
    """Every value of the settings whose kind is secret, and the environments of services."""
    match settings:
        case SecretStr():
            yield settings.get_secret_value()
        case BaseModel():
            for name in type(settings).model_fields:
                value = getattr(settings, name)
                if name == "environment" and isinstance(value, dict):
                    yield from (str(one) for one in value.values())
                yield from secrets_of(value)
        case dict():
            for value in settings.values():
                yield from secrets_of(value)
        case list() | tuple() | set() | frozenset():
            for value in settings:
                yield from secrets_of(value)


def without_secrets(settings: Any) -> Any:
    """The settings as plain values, with secrets named as such."""
    match settings:
        case SecretStr():
            return _REMOVED.format(kind="secret")
        case BaseModel():
            return {
                name: (
                    dict.fromkeys(value, _REMOVED.format(kind="secret"))
                    if name == "environment" and isinstance(value, dict)
                    else without_secrets(value)
                )
                for name in type(settings).model_fields
                for value in [getattr(settings, name)]
            }
        case dict():
            return {str(key): without_secrets(value) for key, value in settings.items()}
        case list() | tuple() | set() | frozenset():
            return [without_secrets(value) for value in settings]
        case bool() | int() | float() | str() | None:
            return settings
        case _:
            return str(settings)


def _spellings(known: Mapping[str, Iterable[str]]) -> list[tuple[str, re.Pattern[str]]]:
    """A pattern for each kind: the values as they are, in URLs, in base64 and in JSON."""
    found = []
    for kind, values in known.items():
        spellings = set()
        for value in values:
            if len(value) < _SHORTEST:
                continue
            coded = base64.b64encode(value.encode()).decode().rstrip("=")
            spellings |= {value, quote(value, safe=""), coded, _in_json(value)}
        pattern = _alternatives(spellings, whole=False)
        if pattern:
            found.append((kind, pattern))
    return found


def _in_json(value: str) -> str:
    return json.dumps(value)[1:-1]


def _alternatives(words: Iterable[str], *, whole: bool = True) -> re.Pattern[str] | None:
    """One of the words; the longest first, so that none hides a part of another."""
    parts = [re.escape(word) for word in sorted(words, key=len, reverse=True) if word]
    if not parts:
        return None
    inside = "|".join(parts)
    if not whole:
        return re.compile(inside)
    return re.compile(rf"(?<![A-Za-z0-9])(?:{inside})(?![A-Za-z0-9])", re.IGNORECASE)
