"""Services: those of the configuration to read, and further ones to make and remove."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import Field
from pydantic_core import PydanticCustomError
from tornado.web import HTTPError

from appliance.access.principal import Principal
from appliance.access.scopes import Bearer, Scopes, Target
from appliance.config.service_schema import check_redirect, check_url
from appliance.errors import BadRequest, ProxyError
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.routes import Routes
from appliance.hub.service_keeper import ServiceKeeper
from appliance.hub.service_relay import ServiceRelays, is_off_limits
from appliance.hub.services import HubService, Services
from appliance.names import parse_service_name
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern

log = logging.getLogger(__name__)

# What each scope on a service adds to the model.
_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "read:services": (
        "kind", "name", "admin", "url", "prefix", "command", "pid", "info", "display",
    ),
    "read:services:name": ("kind", "name", "admin"),
    "read:roles:services": ("kind", "name", "roles", "admin"),
}  # fmt: skip
READ_SERVICE: Final = ("read:services", "read:services:name", "read:roles:services")
_TOKEN: Final = re.compile(r"[\x21-\x7e]{8,64}")


class NewService(Body):
    """What a service made through the API may say of itself."""

    name: str | None = None
    url: str | None = Field(default=None, max_length=1024)
    api_token: str | None = None
    admin: bool = False
    display: bool = True
    info: dict[str, Any] = Field(default_factory=dict)
    oauth_client_id: str | None = Field(default=None, max_length=255)
    oauth_redirect_uri: str | None = Field(default=None, max_length=1024)
    oauth_no_confirm: bool = False
    oauth_client_allowed_scopes: list[str] = Field(default_factory=list, max_length=200)
    command: list[str] | None = None


class ServiceHandler(HubApiHandler):
    """A handler with services at hand."""

    services: Services
    keeper: ServiceKeeper

    def model(self, service: HubService, scopes: Scopes) -> dict[str, Any]:
        """A service, as far as the scopes allow."""
        return service_model(
            service,
            scopes=scopes,
            roles=self.roles.of_service(service.name, admin=service.admin),
            base_url=self.web.base_url,
            pid=self.keeper.pid_of(service.name),
        )


class ServicesHandler(ServiceHandler):
    """All services that the caller may know of."""

    @needs_scope("list:services", rows=True)
    async def get(self) -> None:
        scopes = self.identified().scopes
        self.reply(
            {
                name: self.model(service, scopes)
                for name, service in self.services.all().items()
                if scopes.allows("list:services", Target(service=name))
            }
        )


class OneServiceHandler(ServiceHandler):
    """One service."""

    relays: ServiceRelays
    routes: Routes

    @needs_scope(*READ_SERVICE)
    async def get(self, service: str) -> None:
        self.reply(self.model(self.services.get(service), self.identified().scopes))

    @needs_scope("admin:services")
    async def post(self, service: str) -> None:
        body = self.parse_body(NewService)
        new = self._checked(service, body)
        self.services.create(new)
        try:
            await self.relays.open(new)
            await self.routes.check()
        except (OSError, ProxyError) as err:
            # It is there, and the next look at the routes tries again.
            log.warning("the service %s can't be reached yet: %s", service, err)
        self.reply(self.model(new, self.identified().scopes), status=201)

    @needs_scope("admin:services")
    async def delete(self, service: str) -> None:
        found = self.services.get(service)
        if not found.by_api:
            raise HTTPError(405, "the service is in the configuration, which the API can't change")
        self.services.remove(service)
        await self.relays.close(service)
        with suppress(ProxyError):
            await self.routes.check()
        self.set_status(200)
        self.finish()

    def _checked(self, name: str, body: NewService) -> HubService:
        """The service that the body asks for; raises BadRequest saying what is wrong with it."""
        why = self._why_not(parse_service_name(name), body)
        if why:
            raise BadRequest(f"cannot make the service {name!r}", why=why)
        return HubService(
            name=name,
            url=body.url or "",
            admin=body.admin,
            display=body.display,
            info=body.info,
            client_id=body.oauth_client_id or "",
            redirect_uri=body.oauth_redirect_uri or "",
            confirm=not body.oauth_no_confirm,
            allowed_scopes=tuple(body.oauth_client_allowed_scopes),
            by_api=True,
            token=body.api_token,
        )

    def _why_not(self, name: str, body: NewService) -> str:
        if body.name not in {None, name}:
            return "its name is not the one of the address"
        if body.command:
            return "only services of the configuration are run by the appliance (command)"
        if body.url and not _passes(check_url, body.url):
            return "its url is no http://HOST:PORT"
        if body.url and is_off_limits(urlsplit(body.url).hostname or ""):
            return "its url is an address where no service can be"
        if body.api_token is not None and not _TOKEN.fullmatch(body.api_token):
            return "its api_token has not 8 to 64 characters without blanks"
        if body.oauth_client_id and not body.oauth_client_id.startswith("service-"):
            return "its oauth_client_id does not begin with service-"
        if body.oauth_client_id and not (body.url or body.oauth_redirect_uri):
            return "it has an oauth_client_id, and neither url nor oauth_redirect_uri"
        if body.oauth_redirect_uri and not _passes(check_redirect, body.oauth_redirect_uri):
            return "its oauth_redirect_uri is neither a path nor an http address"
        return self._why_too_much(self.identified(), name, body)

    def _why_too_much(self, who: Principal, name: str, body: NewService) -> str:
        """Nobody gives a service more than they have themselves."""
        wanted = list(body.oauth_client_allowed_scopes)
        unknown = [why for scope in wanted if (why := self.roles.why_unknown(scope))]
        if unknown:
            return unknown[0]
        # `inherit` is all that a visitor may do, who may be an admin.
        if (body.admin or "inherit" in wanted) and not who.admin:
            return "it would hold scopes that you don't have"
        asked = self.roles.expand(wanted, Bearer(user="!", service=name))
        if asked.intersect(who.scopes, self.web.groups_of) != asked:
            return "it would hold scopes that you don't have"
        return ""


def service_model(
    service: HubService, *, scopes: Scopes, roles: list[str], base_url: str, pid: int = 0
) -> dict[str, Any]:
    """A service, as far as the scopes allow."""
    whole: dict[str, Any] = {
        "kind": "service",
        "name": service.name,
        "roles": roles,
        "admin": service.admin,
        "url": service.url,
        "prefix": service.prefix(base_url),
        "command": list(service.command),
        "pid": pid,
        "info": dict(service.info),
        "display": service.display,
    }
    target = Target(service=service.name)
    allowed = {
        name for scope, names in _FIELDS.items() if scopes.allows(scope, target) for name in names
    }
    return {name: value for name, value in whole.items() if name in allowed}


def _passes(check: Callable[[str], str], text: str) -> bool:
    """Whether the configuration would take it, too, and it is no path to a socket."""
    try:
        return not check(text).startswith("http+unix")
    except (ValueError, PydanticCustomError):
        return False


handlers = [
    Pattern(r"/api/services/?", ServicesHandler),
    Pattern(r"/api/services/(?P<service>[^/]+)", OneServiceHandler),
]
