"""What the admin pages let people do who are no admins: what their scopes allow, as in the API.

A role may open the pages (`admin-ui`) to who looks after one class; it gives no right by itself.
"""

from __future__ import annotations

from typing import Final

from appliance.access.principal import Principal
from appliance.access.scopes import Target
from appliance.errors import NotAllowed
from appliance.hub.users import Person

LOOK: Final = "look"
_SCOPES: Final = {
    LOOK: "list:users",
    "approve": "admin:users",
    "passwords": "admin:users",
    "link": "admin:users",
    "lock": "admin:users",
    "unlock": "admin:users",
    "remove": "delete:users",
    "start": "start:servers",
    "stop": "delete:servers",
    "forget": "delete:servers",
    "log": "admin:server_state",
    "limits": "admin:users",
}
# What would make somebody master of another's account.
POWER: Final = frozenset({"approve", "passwords", "link", "lock", "unlock", "remove"})


def check_may(
    who: Principal, verb: str, person: Person, *, groups: frozenset[str], server: str = ""
) -> None:
    """Raise NotAllowed unless who asks may do this with a user, or with a server of the user."""
    if who.admin:
        return
    what = f"cannot do this with {person.name!r}"
    scope = _SCOPES.get(verb)
    if scope is None or (person.admin and verb in POWER):
        raise NotAllowed(what, why="only admins may")
    if not who.scopes.allows(scope, Target(user=person.name, server=server, groups=groups)):
        raise NotAllowed(what, why=f"it needs the scope {scope}")
