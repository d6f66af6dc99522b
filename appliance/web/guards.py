"""Decorators that say who may call a handler's method; a test asserts that every method has one.

A scope that doesn't exist is refused when the module is imported, not when somebody asks.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar, cast
from urllib.parse import quote

from appliance.access.principal import Kind, Principal
from appliance.access.scopes import HIERARCHY, Target
from appliance.errors import NotAllowed, NotFound
from appliance.web.failures import LoginNeeded
from appliance.web.parts import Web

MARK: Final = "guard"
"""The attribute that guarded methods carry."""

Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])


class Guarded(Protocol):
    """What a guard needs of a handler."""

    web: Web
    principal: Principal | None


class GuardedPage(Guarded, Protocol):
    """What a page's guard needs besides."""

    may_keep_password: bool
    may_lack_factor: bool

    @property
    def is_read(self) -> bool: ...

    @property
    def own_uri(self) -> str: ...

    def redirect(self, url: str, /) -> None: ...


def needs_scope(*scopes: str, rows: bool = False) -> Callable[[Method], Method]:
    """Let pass who holds any of the scopes on the target that the path names.

    With `rows` the method lists many targets: a filter on users or groups passes, and the method
    itself keeps to `principal.scopes.filters(…)`.
    """
    unknown = [scope for scope in scopes if scope not in HIERARCHY]
    if unknown or not scopes:
        raise ValueError(f"no such scopes: {unknown}")

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        async def guarded(self: Guarded, *args: str, **kwargs: str) -> None:
            if self.principal is None:
                raise LoginNeeded
            check_access(self.principal, scopes, _target(self.web, kwargs), rows=rows)
            await method(self, *args, **kwargs)

        setattr(guarded, MARK, scopes)
        return cast(Method, guarded)

    return decorate


def check_access(
    principal: Principal, scopes: tuple[str, ...], target: Target, *, rows: bool = False
) -> None:
    """Raise NotAllowed without any of the scopes; NotFound with one, but not for this target.

    Clients tell the two apart: 404 means that the rest of their rights is fine.
    """
    held = [scope for scope in scopes if principal.scopes.has(scope)]
    if any(principal.scopes.allows(scope, target) for scope in held):
        return
    if rows:
        if any(_can_apply(scope, principal) for scope in held):
            return
    elif held and target != Target():
        raise NotFound("No access to resources or resources not found")
    needed = ", ".join(scopes)
    raise NotAllowed(
        "Action is not authorized with current scopes", why=f"requires any of [{needed}]"
    )


def _can_apply(scope: str, principal: Principal) -> bool:
    """Whether a scope's filters can be of some rows of what it lists."""
    kinds = {"service"} if scope == "list:services" else {"user", "group"}
    return any(one.kind in kinds for one in principal.scopes.filters(scope) or ())


def public(method: Method) -> Method:
    """Anybody may call this method, or it decides by itself."""
    setattr(method, MARK, ())
    return method


def login_needed(method: Method) -> Method:
    """Pages for people who are logged in: others go to the log-in page and come back.

    Who has a password that somebody else knows too is sent to change it first, and who lacks a
    second factor that a role demands, to set one up.
    """

    @functools.wraps(method)
    async def guarded(self: GuardedPage, *args: str, **kwargs: str) -> None:
        who = self.principal
        if who is None or who.kind is not Kind.USER:
            if not self.is_read:
                raise LoginNeeded
            self.redirect(_detour(self, "login"))
        elif who.must_change_password and not self.may_keep_password:
            if not self.is_read:
                raise must_change_password()
            self.redirect(_detour(self, "password"))
        elif who.must_add_factor and not self.may_lack_factor:
            if not self.is_read:
                raise must_add_factor()
            self.redirect(_detour(self, "account/second-factor"))
        else:
            await method(self, *args, **kwargs)

    setattr(guarded, MARK, ("login",))
    return cast(Method, guarded)


def must_change_password() -> NotAllowed:
    """Why nothing is done for somebody whose password somebody else knows too."""
    return NotAllowed(
        "cannot do this yet",
        why="your password was made by somebody else",
        mend="choose a password of your own first",
    )


def must_add_factor() -> NotAllowed:
    """Why nothing is done for somebody who must prove more than a password."""
    return NotAllowed(
        "cannot do this yet",
        why="your role needs a second factor besides the password",
        mend="open the hub's pages in a browser and set one up",
    )


def _detour(page: GuardedPage, name: str) -> str:
    return f"{page.web.hub_url}{name}?next={quote(page.own_uri, safe='')}"


def _target(web: Web, names: dict[str, Any]) -> Target:
    user = names.get("user") or ""
    return Target(
        user=user,
        server=names.get("server"),
        group=names.get("group") or "",
        service=names.get("service") or "",
        groups=web.groups_of(user) if user else frozenset(),
    )
