"""Names under way: of users who are being removed or renamed, which the spawner must hear of."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from appliance.db.models import Departure, Rename, User
from appliance.errors import Conflict
from appliance.names import CHECK_USERS


def check_settled(session: Session, user: str) -> None:
    """Raise Conflict while the spawner knows a user by an old name."""
    if session.scalar(select(Rename.old).where(Rename.new == user)) is not None:
        raise Conflict(
            f"cannot do this for the user {user!r} yet",
            why="the user's new name isn't known everywhere",
            mend="try again in a minute",
        )


def taken(session: Session, names: Iterable[str]) -> dict[str, str]:
    """Which names can't be given to a user now, and why."""
    wanted = list(names)
    found: dict[str, str] = {}
    for query, why in (
        (
            select(Departure.name).where(Departure.name.in_(wanted)),
            "the user is still being removed",
        ),
        (
            select(Rename.old).where(Rename.old.in_(wanted)),
            "the user of that name is still being renamed",
        ),
        (select(User.name).where(User.name.in_(wanted)), "there is such a user already"),
    ):
        found |= dict.fromkeys(session.scalars(query), why)
    own = CHECK_USERS.intersection(wanted)
    return found | dict.fromkeys(own, "the name is the appliance's own")
