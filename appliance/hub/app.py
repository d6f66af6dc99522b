"""The composition root: the only place that names every part of the hub and joins them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tornado.routing import URLSpec
from tornado.web import Application, StaticFileHandler

from appliance.access.scopes import no_groups
from appliance.clock import Clock
from appliance.config.schema import Config
from appliance.db.reserve import Reserve
from appliance.db.session import Database
from appliance.hub.activity import Activity
from appliance.hub.api import accounts, info, oauth2, servers, users
from appliance.hub.culler import Culler, believed_idle_seconds
from appliance.hub.housekeeping import Housekeeping
from appliance.hub.identity import Identity
from appliance.hub.links import Links
from appliance.hub.oauth import OAuthProvider
from appliance.hub.pages import outside
from appliance.hub.pages import routes as pages
from appliance.hub.pages.admin_actions import Actions
from appliance.hub.pages.errors import NoSuchPageHandler
from appliance.hub.pages.shown_once import ShownOnce
from appliance.hub.pages.usage import UsageMeter
from appliance.hub.reconcile import Reconciler
from appliance.hub.root_gate import RootGate
from appliance.hub.secrets import ensure_secret
from appliance.hub.server_rows import ServerRows
from appliance.hub.servers import Servers
from appliance.hub.sessions import Sessions
from appliance.hub.start_queue import StartQueue
from appliance.hub.supervisor import Supervisor
from appliance.hub.users import Users
from appliance.interfaces import Spawner
from appliance.native_auth.authenticator import NativeAuthenticator, known_cost
from appliance.native_auth.hashing import Hasher
from appliance.native_auth.throttle import Throttle
from appliance.places import Places
from appliance.web.access_log import log_request
from appliance.web.parts import Pattern, RootConnections, Web
from appliance.web.renderer import STATIC, Renderer
from appliance.web.xsrf import Xsrf

# Most named servers of a user, besides the default one.
NAMED_SERVERS = 0


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub that is put together; `server.py` runs it."""

    application: Application
    gate: RootGate
    db: Database
    authenticator: NativeAuthenticator
    users: Users
    servers: Servers
    sessions: Sessions
    links: Links
    reconciler: Reconciler
    culler: Culler
    housekeeping: Housekeeping
    supervisor: Supervisor


def make_hub(
    config: Config,
    places: Places,
    spawner: Spawner,
    *,
    clock: Clock | None = None,
    named_server_limit: int = NAMED_SERVERS,
    reserve: Reserve | None = None,
) -> Hub:
    """Open the database and join all parts; nothing runs yet."""
    clock = clock or Clock()
    hub_url = f"{config.base_url}hub/"
    db = Database.at(places.database, reserve=reserve)
    db.open()
    throttle = Throttle(db=db, clock=clock)
    authenticator = NativeAuthenticator(
        db=db, clock=clock, hasher=Hasher(cost=known_cost(db)), throttle=throttle,
        signup=config.signup, rules=config.passwords,
    )  # fmt: skip
    sessions = Sessions(db=db, clock=clock)
    links = Links(db=db, clock=clock, authenticator=authenticator, hub_url=hub_url)
    supervisor = Supervisor()
    activity = Activity(clock=clock)
    rows = ServerRows(db=db, clock=clock, base_url=config.base_url)
    all_servers = Servers(
        rows=rows, spawner=spawner, clock=clock, activity=activity, queue=StartQueue(),
        supervisor=supervisor, start_timeout_seconds=config.servers.start_timeout,
    )  # fmt: skip
    all_users = Users(
        db=db, clock=clock, authenticator=authenticator, servers=all_servers, spawner=spawner
    )
    reconciler = Reconciler(
        rows=rows, servers=all_servers, spawner=spawner, clock=clock,
        start_timeout_seconds=config.servers.start_timeout,
        believed_idle_seconds=believed_idle_seconds(config.culling),
    )  # fmt: skip
    application = Application(log_function=log_request)
    gate = RootGate(application)
    parts: dict[str, Any] = {
        "web": _web(config, places, db, clock, sessions, gate),
        "config": config,
        "clock": clock,
        "started": clock.now(),
        "db": db,
        "authenticator": authenticator,
        "users": all_users,
        "sessions": sessions,
        "links": links,
        "servers": all_servers,
        "spawner": spawner,
        "oauth": OAuthProvider(db=db, clock=clock),
        "named_server_limit": named_server_limit,
        "usage": UsageMeter(spawner=spawner, clock=clock, cpu_limit=config.limits.cpu),
        "shown_once": ShownOnce(clock=clock),
        "actions": Actions(
            users=all_users, servers=all_servers, authenticator=authenticator, links=links
        ),
    }
    application.add_handlers(".*", _rules(config.base_url, parts))  # type: ignore[arg-type]
    return Hub(
        application=application, gate=gate, db=db, authenticator=authenticator, users=all_users,
        servers=all_servers, sessions=sessions, links=links, reconciler=reconciler,
        culler=Culler(servers=all_servers, activity=activity, settings=config.culling),
        housekeeping=Housekeeping(
            sessions=sessions, throttle=throttle, users=all_users, reserve=reserve
        ),
        supervisor=supervisor,
    )  # fmt: skip


def _web(
    config: Config,
    places: Places,
    db: Database,
    clock: Clock,
    sessions: Sessions,
    gate: RootConnections,
) -> Web:
    return Web(
        base_url=config.base_url,
        identify=Identity(db=db, clock=clock),
        sessions=sessions,
        root_connections=gate,
        xsrf=Xsrf(ensure_secret(places.hub_state / "xsrf.secret")),
        render=Renderer(config.base_url, now=clock.now),
        groups_of=no_groups,
    )


def _rules(base_url: str, parts: dict[str, Any]) -> Iterable[URLSpec]:
    """Every address, in the order in which they are tried."""
    hub = f"{base_url}hub"
    below: list[Pattern] = [
        *info.handlers,
        *users.handlers,
        *servers.handlers,
        *accounts.handlers,
        *oauth2.handlers,
        *info.last_handlers,
        *pages.handlers,
    ]
    yield URLSpec(hub, outside.OutsideHandler, parts)
    yield URLSpec(rf"{hub}/static/(.*)", StaticFileHandler, {"path": str(STATIC)})
    for pattern in below:
        yield URLSpec(f"{hub}{pattern.path}", pattern.handler, parts)
    yield URLSpec(rf"{hub}/.*", NoSuchPageHandler, parts)
    yield URLSpec(r".*", outside.OutsideHandler, parts)
