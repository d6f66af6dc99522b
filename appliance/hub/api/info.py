"""What the hub is, whether it is up, and who one is."""

from __future__ import annotations

import platform
import sys
from dataclasses import asdict
from datetime import datetime
from typing import Any

from appliance import __version__
from appliance.access.principal import Kind, Principal
from appliance.access.roles import IDENTIFY
from appliance.access.scopes import Bearer, Scopes
from appliance.clock import stamp
from appliance.config.schema import Config
from appliance.db.session import Database
from appliance.errors import NotFound
from appliance.hub.api.handler import HubApiHandler
from appliance.hub.api.models import UserModels
from appliance.hub.api.services import service_model
from appliance.hub.disk_use import DiskUse
from appliance.hub.metrics import Metrics
from appliance.hub.routes import Routes
from appliance.hub.service_keeper import ServiceKeeper
from appliance.hub.services import Services
from appliance.hub.states import ServerState
from appliance.interfaces import Spawner
from appliance.native_auth.authenticator import NativeAuthenticator
from appliance.web.guards import needs_scope, public
from appliance.web.handlers import JUPYTERHUB_VERSION
from appliance.web.parts import Pattern


class RootHandler(HubApiHandler):
    """The version that clients check: JupyterHub's, whose protocol this is."""

    @public
    async def get(self) -> None:
        self.set_header("Access-Control-Allow-Origin", "*")
        self.reply({"version": JUPYTERHUB_VERSION, "appliance": __version__})


class InfoHandler(HubApiHandler):
    """What the hub is made of."""

    authenticator: NativeAuthenticator
    spawner: Spawner

    @needs_scope("read:hub")
    async def get(self) -> None:
        self.reply(
            {
                "version": JUPYTERHUB_VERSION,
                "appliance": __version__,
                "python": platform.python_version(),
                "sys_executable": sys.executable,
                "spawner": _of_class(self.spawner),
                "authenticator": _of_class(self.authenticator),
            }
        )


class OwnModel(HubApiHandler):
    """Whoever it is that a cookie or token stands for, as a model."""

    services: Services
    disk_use: DiskUse

    def own_model(self, who: Principal, *, scopes: Scopes) -> dict[str, Any]:
        """As far as the scopes allow, and at least the name: that is what everybody may know."""
        if who.kind is Kind.ROOT:
            return {"kind": who.kind, "name": who.name, "admin": who.admin}
        if who.kind is Kind.SERVICE:
            service = self.services.get(who.name)
            return service_model(
                service,
                scopes=scopes.union(Scopes.expand(IDENTIFY, Bearer(service=service.name))),
                roles=self.roles.of_service(service.name, admin=service.admin),
                base_url=self.web.base_url,
            )
        person = self.person(who.name)
        own = scopes.union(Scopes.expand(IDENTIFY, Bearer(user=person.name)))
        models = UserModels(own, hub_url=self.web.hub_url, disk_of=self.disk_use.of_user)
        return models.of(
            person,
            self.servers.of_user(person.name),
            groups=self.web.groups_of(person.name),
            roles=self.roles.of_user(person.name, admin=person.admin, teaches=person.teaches),
        )


class SelfHandler(OwnModel):
    """Who the caller is; single-user servers decide by this whom they let in."""

    @public
    async def get(self) -> None:
        who = self.identified()
        about = {
            "token_id": f"a{who.token_id}" if who.token_id else None,
            "session_id": who.session_id,
            "scopes": who.scopes.listed(),
        }
        self.reply({**self.own_model(who, scopes=who.scopes), **about})


class StatusHandler(HubApiHandler):
    """How the appliance is doing, for its command line and its health checks."""

    authenticator: NativeAuthenticator
    started: datetime
    db: Database
    keeper: ServiceKeeper
    config: Config
    routes: Routes
    metrics: Metrics

    @needs_scope("read:hub")
    async def get(self) -> None:
        counts = self.users.counts()
        active = self.servers.active()
        self.reply(
            {
                "version": __version__,
                "users": {
                    "total": counts.total,
                    "waiting": counts.waiting,
                    "admins": counts.admins,
                },
                "servers": {
                    "running": sum(view.ready for view in active),
                    "starting": sum(view.state is ServerState.STARTING for view in active),
                },
                "starts": self.metrics.starts_so_far(),
                "proxy": {
                    "program": self.config.proxy.program,
                    "fault": await self.routes.fault(),
                },
                "services": [asdict(one) for one in await self.keeper.states()],
                "signup_mode": self.authenticator.mode,
                "started": stamp(self.started),
                "database": {
                    "kind": self.db.url.get_backend_name(),
                    "bytes": self.db.size(),
                },
            }
        )


class HealthHandler(HubApiHandler):
    """Says that the hub answers; asks nobody who they are."""

    async def prepare(self) -> None:
        self.check_body_size()

    @public
    async def get(self) -> None:
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_header("Cache-Control", "no-store")
        self.finish()

    @public
    async def head(self) -> None:
        await self.get()


class NoSuchResourceHandler(HubApiHandler):
    """Everything below /hub/api that no other pattern knows."""

    async def prepare(self) -> None:
        raise NotFound("cannot find this resource", why="the API has no such path")


def _of_class(part: object) -> dict[str, str]:
    kind = type(part)
    return {"class": f"{kind.__module__}.{kind.__name__}", "version": __version__}


handlers = [
    Pattern(r"/api/?", RootHandler),
    Pattern(r"/api/info", InfoHandler),
    Pattern(r"/api/user", SelfHandler),
    Pattern(r"/api/appliance/status", StatusHandler),
    Pattern(r"/(?:api/)?health", HealthHandler),
]
last_handlers = [Pattern(r"/api/.*", NoSuchResourceHandler)]
