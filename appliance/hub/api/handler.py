"""What the API's handlers share: the parts of the hub, and lookups that answer 404."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from appliance.access.principal import Principal
from appliance.access.roles import Roles
from appliance.access.scopes import Filters, Target
from appliance.errors import NotAllowed, NotFound
from appliance.hub.classroom.rights import Rights
from appliance.hub.groups import Groups
from appliance.hub.servers import Servers
from appliance.hub.users import Person, Users
from appliance.names import ServerId, parse_server_name
from appliance.web.handlers import ApiHandler


class Body(BaseModel):
    """A request's body: fields it doesn't know are refused, and nothing is converted."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True, defer_build=True)


class HubApiHandler(ApiHandler):
    """An API handler with users and servers at hand."""

    users: Users
    servers: Servers
    groups: Groups
    roles: Roles
    rights: Rights

    def person(self, user: str) -> Person:
        """The user named in the path; raises NotFound."""
        return self.users.get(user)

    def server_id(self, user: str, server: str | None) -> ServerId:
        """The server named in the path; raises NotFound or BadRequest."""
        return ServerId(self.person(user).name, parse_server_name(server or ""))

    def known_server(self, user: str, server: str | None) -> ServerId:
        """The server named in the path; raises NotFound for a named one that there never was."""
        found = self.server_id(user, server)
        if not self.servers.known(found):
            raise NotFound(f"cannot find the server {found}", why="no such server")
        return found

    def target(self, user: str, server: str | None = None) -> Target:
        return Target(user=user, server=server, groups=self.web.groups_of(user))

    def reply_nothing(self) -> None:
        """Finish with 204: it is done, and there is nothing to say."""
        self.set_status(204)
        self.clear_header("Content-Type")
        self.finish()

    def reply_empty(self) -> None:
        """Finish with 200 and no body, as clients of JupyterHub expect it of some requests."""
        self.set_header("Content-Type", "text/plain")
        self.finish()

    def row_filters(self, scope: str, kinds: set[str]) -> Filters:
        """What rows of a list the caller may see by a scope; None means all of them.

        Raises NotAllowed for filters of other kinds, which say nothing about such rows.
        """
        filters = self.identified().scopes.filters(scope)
        if filters is not None and not {one.kind for one in filters} <= kinds:
            raise NotAllowed(
                "Action is not authorized with current scopes",
                why=f"{scope} has a filter that this list can't apply",
            )
        return filters

    def check_may_change(self, person: Person) -> Principal:
        """Raise NotAllowed for an account by which the caller would hold more than now."""
        who = self.identified()
        self.rights.check_not_above(who, person, self.groups.of(person.name))
        return who
