"""Scopes: single permissions, their hierarchy, and filters that bind them to users and servers.

The names and the containment are JupyterHub's, so that its clients and its documentation hold here.
A scope is written `name` or `name!kind=value`; `name!kind` alone means the bearer's own.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple, Self

from appliance.scope_names import FILTER_KINDS, SELF

# Whoever asks about scopes finds their names here, too.
from appliance.scope_names import HIERARCHY as HIERARCHY


class Filter(NamedTuple):
    """What a scope is bound to; a server's value is `owner/name`, the default server's `owner/`."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Target:
    """What a request acts upon; `groups` are those its user is in."""

    user: str = ""
    server: str | None = None
    group: str = ""
    service: str = ""
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whose scopes they are: binds `self`, `!user`, `!server` and `!service`."""

    user: str = ""
    server: str | None = None
    service: str = ""


# None stands for "without a filter": the scope on everything.
Filters = frozenset[Filter] | None
GroupsOf = Callable[[str], frozenset[str]]


def no_groups(_user: str) -> frozenset[str]:
    """Nobody is in any group."""
    return frozenset()


@dataclass(frozen=True, slots=True)
class Scopes:
    """An expanded set of scopes: every contained scope is named, filters are bound."""

    granted: Mapping[str, Filters]

    @classmethod
    def everything(cls) -> Self:
        """All scopes on all targets: root on the machine."""
        return cls(dict.fromkeys((s for s in HIERARCHY if s not in {"self", "inherit"}), None))

    @classmethod
    def expand(
        cls,
        scopes: Iterable[str],
        bearer: Bearer,
        *,
        custom: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    ) -> Self:
        """Expand scopes as written; unknown ones and filters that can't be bound grant nothing.

        `custom` are the scopes of the configuration, each with those it contains.
        """
        contained = ChainMap(dict(custom), dict(HIERARCHY)) if custom else HIERARCHY
        granted: dict[str, Filters] = {}
        for text in scopes:
            name, bound = _parse(text, bearer)
            if name == "self":
                if bearer.user:
                    for part in SELF:
                        _grant(granted, part, Filter("user", bearer.user), contained)
            elif name in contained and name != "inherit" and bound is not _UNBOUND:
                _grant(granted, name, bound, contained)
        return cls(granted)

    def has(self, scope: str) -> bool:
        """Whether the scope is held for any target at all."""
        return scope in self.granted

    def allows(self, scope: str, target: Target) -> bool:
        """Whether the scope is held for this target."""
        if scope not in self.granted:
            return False
        filters = self.granted[scope]
        return filters is None or any(_matches(one, target) for one in filters)

    def filters(self, scope: str) -> Filters:
        """The filters of a scope that is held; None means all targets."""
        return self.granted.get(scope, frozenset())

    def __and__(self, other: Scopes) -> Scopes:
        return self.intersect(other)

    def intersect(self, other: Scopes, groups_of: GroupsOf = no_groups) -> Scopes:
        """What both hold, so a token is never stronger than its owner is now."""
        both: dict[str, Filters] = {}
        for scope in self.granted.keys() & other.granted.keys():
            common = _common(self.granted[scope], other.granted[scope], groups_of)
            if common is None or common:
                both[scope] = common
        return Scopes(both)

    def union(self, other: Scopes) -> Scopes:
        """What either holds."""
        both = dict(self.granted)
        for scope, filters in other.granted.items():
            before = both.get(scope, frozenset())
            both[scope] = None if before is None or filters is None else before | filters
        return Scopes(both)

    def listed(self) -> list[str]:
        """As text, sorted: `name` or one `name!kind=value` for each filter."""
        lines: list[str] = []
        for scope, filters in self.granted.items():
            if filters is None:
                lines.append(scope)
            else:
                lines.extend(f"{scope}!{one.kind}={one.value}" for one in filters)
        return sorted(lines)


_UNBOUND: Final = Filter("", "")


def _parse(text: str, bearer: Bearer) -> tuple[str, Filter | None]:
    name, mark, bound = text.partition("!")
    if not mark:
        return name, None
    kind, equals, value = bound.partition("=")
    if kind not in FILTER_KINDS:
        return name, _UNBOUND
    if equals:
        return name, Filter(kind, value)
    own = {"user": bearer.user or None, "server": bearer.server, "service": bearer.service or None}
    found = own.get(kind)
    return name, _UNBOUND if found is None else Filter(kind, found)


def _grant(
    granted: dict[str, Filters],
    scope: str,
    bound: Filter | None,
    contained: Mapping[str, tuple[str, ...]],
) -> None:
    """Grant a scope and what it contains; an unfiltered grant swallows the filtered ones."""
    before = granted.get(scope, frozenset())
    if before is not None:
        granted[scope] = None if bound is None else before | {bound}
    for part in contained[scope]:
        # Holding a server says nothing about its owner's account.
        if bound and bound.kind == "server" and part.startswith("read:user"):
            continue
        _grant(granted, part, bound, contained)


def _matches(one: Filter, target: Target) -> bool:
    if one.kind == "user":
        return bool(target.user) and one.value == target.user
    if one.kind == "server":
        return target.server is not None and one.value == f"{target.user}/{target.server}"
    if one.kind == "group":
        return one.value in target.groups or (bool(target.group) and one.value == target.group)
    return bool(target.service) and one.value == target.service


def _common(left: Filters, right: Filters, groups_of: GroupsOf) -> Filters:
    if left is None:
        return right
    if right is None:
        return left
    found = {
        narrow
        for one in left
        for two in right
        if (narrow := _narrower(one, two, groups_of) or _narrower(two, one, groups_of))
    }
    return frozenset(found)


def _narrower(wide: Filter, narrow: Filter, groups_of: GroupsOf) -> Filter | None:
    """`narrow`, if `wide` contains it."""
    if wide == narrow:
        return narrow
    if wide.kind == "user" and narrow.kind == "server":
        return narrow if narrow.value.partition("/")[0] == wide.value else None
    if wide.kind == "group" and narrow.kind in {"user", "server"}:
        owner = narrow.value.partition("/")[0]
        return narrow if wide.value in groups_of(owner) else None
    return None
