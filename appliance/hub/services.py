"""The services that use the hub: those of the configuration, and those made through the API.

A service proves itself by an API token, which is also the secret of its OAuth client. Those of the
configuration are brought in line at every start of the hub: what is configured no more has no token
and no client any more, and with the client go the tokens that it got for people.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from appliance import audit
from appliance.access.roles import service_scope
from appliance.access.tokens import hash_secret, new_secret
from appliance.audit import Action
from appliance.clock import Clock
from appliance.config.service_schema import Service
from appliance.db.errors import StorageError
from appliance.db.models import ApiService, ApiToken, OAuthClient
from appliance.db.session import Database
from appliance.errors import Conflict, NotAllowed, NotFound

log = logging.getLogger(__name__)

# What is written on tokens that the hub made itself for a service that it runs.
_MADE: Final = "Made for the running service"
_GIVEN: Final = "Given to the service"
# No secret has this hash: the client of a service that nobody gave a token.
_NO_SECRET: Final = ""


@dataclass(frozen=True, slots=True)
class HubService:
    """A service as the hub knows it."""

    name: str
    url: str = ""
    command: tuple[str, ...] = ()
    admin: bool = False
    display: bool = True
    info: Mapping[str, Any] = field(default_factory=dict)
    client_id: str = ""
    redirect_uri: str = ""
    confirm: bool = True
    allowed_scopes: tuple[str, ...] = ()
    by_api: bool = False
    """Made through the API, so that the API may also remove it."""
    token: str | None = field(default=None, repr=False)
    """The API token that the configuration gives it."""

    @property
    def managed(self) -> bool:
        """Whether the appliance runs it."""
        return bool(self.command)

    @property
    def has_client(self) -> bool:
        """Whether it can log people in."""
        return bool(self.url or self.redirect_uri)

    @property
    def public_id(self) -> str:
        """What its OAuth client is called."""
        return self.client_id or f"service-{self.name}"

    def prefix(self, base_url: str) -> str:
        """Where people find it, if the proxy leads there."""
        return f"{base_url}services/{self.name}/" if self.url else ""


def configured_service(name: str, settings: Service) -> HubService:
    """A service of the configuration."""
    secret = settings.api_token
    return HubService(
        name=name,
        url=settings.url or "",
        command=tuple(settings.command),
        admin=settings.admin,
        display=settings.display,
        info=dict(settings.info),
        client_id=settings.oauth_client_id or "",
        redirect_uri=settings.oauth_redirect_uri or "",
        confirm=not settings.oauth_no_confirm,
        allowed_scopes=tuple(settings.oauth_client_allowed_scopes),
        token=secret.get_secret_value() if secret else None,
    )


class Services:
    """All services, and what lets them prove themselves."""

    def __init__(
        self, *, db: Database, clock: Clock, base_url: str, configured: Mapping[str, Service]
    ) -> None:
        self._db = db
        self._clock = clock
        self._base_url = base_url
        self._configured = {
            name: configured_service(name, settings) for name, settings in configured.items()
        }
        self.settled = False
        """Whether the database agrees with the configuration."""

    # Looking

    def admin_of(self, name: str) -> bool | None:
        """Whether a service is an admin; None if there is no such service."""
        found = self.find(name)
        return found.admin if found else None

    def all(self) -> dict[str, HubService]:
        """Every service by its name, in the order of names."""
        with self._db.session() as session:
            made = [_made_service(row) for row in session.scalars(select(ApiService))]
        found = {one.name: one for one in made} | self._configured
        return dict(sorted(found.items()))

    def managed(self) -> dict[str, HubService]:
        """The services that the appliance itself runs; only the configuration has any."""
        return {name: one for name, one in self._configured.items() if one.managed}

    def find(self, name: str) -> HubService | None:
        if name in self._configured:
            return self._configured[name]
        with self._db.session() as session:
            row = session.get(ApiService, name)
            return _made_service(row) if row else None

    def get(self, name: str) -> HubService:
        """The service of that name; raises NotFound."""
        found = self.find(name)
        if found is None:
            raise NotFound(f"cannot find the service {name[:100]!r}", why="no such service")
        return found

    def addresses(self) -> dict[str, str]:
        """Where services listen that have pages, by name."""
        return {name: one.url for name, one in self.all().items() if one.url}

    # Those of the API

    def create(self, service: HubService) -> None:
        """Keep a service made through the API; raises Conflict."""
        what = f"cannot make the service {service.name!r}"
        if self.find(service.name):
            raise Conflict(what, why="there is one of that name")
        spec = {
            "url": service.url,
            "admin": service.admin,
            "display": service.display,
            "info": dict(service.info),
            "oauth_client_id": service.client_id,
            "oauth_redirect_uri": service.redirect_uri,
            "oauth_no_confirm": not service.confirm,
            "oauth_client_allowed_scopes": list(service.allowed_scopes),
        }
        with self._db.session() as session:
            if service.has_client and self._is_client(session, service.public_id):
                raise Conflict(what, why=f"{service.public_id!r} is the oauth_client_id of another")
            session.add(ApiService(name=service.name, spec=spec, created=self._clock.now()))
            if not self._settle_given(session, service):
                raise Conflict(what, why="its token is somebody else's already")
        audit.note(Action.CREATE_SERVICE, service.name, admin=service.admin)

    def remove(self, name: str) -> None:
        """Forget a service made through the API; raises NotFound, or NotAllowed."""
        if name in self._configured:
            raise NotAllowed(
                f"cannot remove the service {name!r}",
                why="it is in the configuration",
                mend=f"sudo appliance config unset services.{name}",
            )
        self.get(name)
        with self._db.session() as session:
            session.execute(delete(ApiService).where(ApiService.name == name))
            session.execute(delete(ApiToken).where(ApiToken.service == name))
            session.execute(delete(OAuthClient).where(OAuthClient.service == name))
        audit.note(Action.REMOVE_SERVICE, name)

    # Tokens and clients

    def settle(self) -> None:
        """Bring tokens and clients in line with the configuration; if the disk fails, later."""
        try:
            with self._db.session() as session:
                self._forget_all_but(session, self._known(session))
                for service in self._configured.values():
                    if service.managed and service.token is None:
                        self._settle_made(session, service)
                    elif not self._settle_given(session, service):
                        log.error(
                            "the service %s gets no token: its api_token is somebody else's",
                            service.name,
                        )
        except StorageError as err:
            log.warning("services have the tokens of the last configuration: %s", err)
            return
        self.settled = True

    def new_token(self, name: str) -> str:
        """The token for a managed service that is about to be started; earlier ones end."""
        service = self._configured[name]
        if service.token is not None:
            return service.token
        token = new_secret()
        hashed = hash_secret(token)
        with self._db.session() as session:
            session.execute(delete(ApiToken).where(ApiToken.service == name))
            session.add(self._token_row(name, hashed, note=_MADE))
            self._settle_client(session, service, hashed)
        return token

    def knows_token(self, name: str, hashed: str) -> bool:
        """Whether a token, given by its hash, is that of the service now."""
        query = select(ApiToken.id).where(ApiToken.service == name, ApiToken.hash == hashed)
        with self._db.session() as session:
            return session.scalar(query) is not None

    def _known(self, session: Session) -> set[str]:
        """All names; a service of the API gives way to one of the configuration."""
        session.execute(delete(ApiService).where(ApiService.name.in_(self._configured)))
        return {*self._configured, *session.scalars(select(ApiService.name))}

    @staticmethod
    def _forget_all_but(session: Session, known: Iterable[str]) -> None:
        names = list(known)
        session.execute(
            delete(ApiToken).where(ApiToken.service.is_not(None), ApiToken.service.not_in(names))
        )
        session.execute(
            delete(OAuthClient).where(
                OAuthClient.service.is_not(None), OAuthClient.service.not_in(names)
            )
        )

    def _settle_made(self, session: Session, service: HubService) -> None:
        """Keep the token of the service that runs, and none that was once configured."""
        own = ApiToken.service == service.name
        session.execute(delete(ApiToken).where(own, ApiToken.note != _MADE))
        hashed = session.scalar(select(ApiToken.hash).where(own))
        self._settle_client(session, service, hashed or _NO_SECRET)

    def _settle_given(self, session: Session, service: HubService) -> bool:
        """Let the service have just the token it was given; False if that is another's."""
        hashed = hash_secret(service.token) if service.token else _NO_SECRET
        own = ApiToken.service == service.name
        session.execute(delete(ApiToken).where(own, ApiToken.hash != hashed))
        if hashed:
            row = session.scalar(select(ApiToken).where(ApiToken.hash == hashed))
            if row is None:
                session.add(self._token_row(service.name, hashed, note=_GIVEN))
            elif row.service != service.name:
                return False
            else:
                row.note = _GIVEN
        self._settle_client(session, service, hashed)
        return True

    def _settle_client(self, session: Session, service: HubService, hashed: str) -> None:
        """Its OAuth client, kept while it is the same one: with it go people's tokens."""
        row = session.scalar(select(OAuthClient).where(OAuthClient.service == service.name))
        if not service.has_client:
            if row is not None:
                session.delete(row)
            return
        if row is None:
            row = OAuthClient(service=service.name)
            session.add(row)
        row.name = service.public_id
        row.secret_hash = hashed
        row.redirect_uri = service.redirect_uri or f"{service.prefix(self._base_url)}oauth_callback"
        row.description = f"JupyterHub service {service.name}"
        row.allowed_scopes = [service_scope(service.name), *service.allowed_scopes]
        row.confirm = service.confirm

    @staticmethod
    def _is_client(session: Session, name: str) -> bool:
        """Whether there is an OAuth client of that name: people couldn't tell two apart."""
        return session.scalar(select(OAuthClient.id).where(OAuthClient.name == name)) is not None

    def _token_row(self, name: str, hashed: str, *, note: str) -> ApiToken:
        return ApiToken(
            hash=hashed, service=name, scopes=["inherit"], note=note, created=self._clock.now()
        )


def _made_service(row: ApiService) -> HubService:
    spec = row.spec
    return HubService(
        name=row.name,
        url=spec.get("url") or "",
        admin=bool(spec.get("admin")),
        display=bool(spec.get("display", True)),
        info=spec.get("info") or {},
        client_id=spec.get("oauth_client_id") or "",
        redirect_uri=spec.get("oauth_redirect_uri") or "",
        confirm=not spec.get("oauth_no_confirm"),
        allowed_scopes=tuple(spec.get("oauth_client_allowed_scopes") or ()),
        by_api=True,
    )
