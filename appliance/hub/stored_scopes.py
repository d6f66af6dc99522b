"""Scopes of tokens name users and servers: when one gets another name, they follow."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import String, cast, select
from sqlalchemy.orm import Session

from appliance.db.models import ApiToken
from appliance.names import ServerId, Username


def rename_user(session: Session, old: Username, new: Username) -> None:
    """Let all tokens' filters on a user and the user's servers mean the new name."""

    def renamed(bound: str) -> str:
        if bound == f"user={old}":
            return f"user={new}"
        start = f"server={old}/"
        return f"server={new}/{bound.removeprefix(start)}" if bound.startswith(start) else bound

    _rewrite(session, f"={old}", renamed)


def rename_server(session: Session, old: ServerId, new: ServerId) -> None:
    """Let all tokens' filters on a server mean its new name."""
    before, after = (f"server={one.user}/{one.name}" for one in (old, new))
    _rewrite(session, before, lambda bound: after if bound == before else bound)


def _rewrite(session: Session, part: str, change: Callable[[str], str]) -> None:
    """Change the filters of the tokens whose scopes contain a part."""
    rows = session.scalars(
        select(ApiToken).where(cast(ApiToken.scopes, String).contains(part, autoescape=True))
    )
    for row in rows:
        scopes = []
        for scope in row.scopes:
            name, mark, bound = scope.partition("!")
            scopes.append(f"{name}!{change(bound)}" if mark else scope)
        row.scopes = scopes
