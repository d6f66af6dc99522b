"""The composition root: the only place that names every part of the hub and joins them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tornado.routing import URLSpec
from tornado.web import Application, StaticFileHandler

from appliance.access.configured import configured_roles
from appliance.access.roles import Roles
from appliance.audit import AuditLog
from appliance.clock import Clock
from appliance.config.rendered import HUB_FILE
from appliance.config.schema import Config, FrontEnd, ProxyProgram, ServerProgram
from appliance.db.reserve import Reserve
from appliance.db.session import Database
from appliance.hub.activity import Activity
from appliance.hub.api import routes as api
from appliance.hub.api.openapi import make_document
from appliance.hub.arrival import Arrivals
from appliance.hub.check_user import CheckUser
from appliance.hub.chp_routes import make_routes
from appliance.hub.classroom.parts import Classroom, Ground, make_classroom
from appliance.hub.culler import Culler
from appliance.hub.culling.rules import Rules
from appliance.hub.ending import Ending
from appliance.hub.front_end import FrontEndFiles, SharedFileHandler
from appliance.hub.groups import Groups
from appliance.hub.health import Health
from appliance.hub.housekeeping import Housekeeping
from appliance.hub.identity import Identity
from appliance.hub.limits.server_limits import ServerLimits
from appliance.hub.links import Links
from appliance.hub.metrics import Metrics
from appliance.hub.oauth import OAuthProvider
from appliance.hub.pages import outside
from appliance.hub.pages import routes as pages
from appliance.hub.pages.admin_actions import Actions
from appliance.hub.pages.errors import NoSuchPageHandler
from appliance.hub.pages.shown_once import ShownOnce
from appliance.hub.reconcile import Reconciler
from appliance.hub.required_factor import RequiredFactor
from appliance.hub.root_gate import RootGate
from appliance.hub.routes import Routes
from appliance.hub.secrets import ensure_secret, has_secrets
from appliance.hub.server_rows import ServerRows
from appliance.hub.servers import Servers
from appliance.hub.service_keeper import ServiceKeeper
from appliance.hub.service_relay import ServiceRelays
from appliance.hub.services import Services
from appliance.hub.sessions import Sessions
from appliance.hub.share_codes import ShareCodes
from appliance.hub.shares import Shares
from appliance.hub.start_queue import StartQueue
from appliance.hub.supervisor import Supervisor
from appliance.hub.tokens import Tokens
from appliance.hub.usage import UsageMeter
from appliance.hub.users import Users
from appliance.interfaces import ServiceRunner, Spawner
from appliance.native_auth.authenticator import NativeAuthenticator, known_cost
from appliance.native_auth.hashing import Hasher
from appliance.native_auth.throttle import Throttle
from appliance.places import Places
from appliance.web.parts import Pattern, RootConnections, Web
from appliance.web.renderer import STATIC, Renderer
from appliance.web.xsrf import Xsrf


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
    metrics: Metrics
    routes: Routes
    keeper: ServiceKeeper
    relays: ServiceRelays
    ending: Ending
    classroom: Classroom


@dataclass(frozen=True, slots=True)
class _Core:
    """What every other part stands on."""

    config: Config
    places: Places
    clock: Clock
    db: Database
    roles: Roles
    groups: Groups
    spawner: Spawner
    supervisor: Supervisor
    activity: Activity
    metrics: Metrics
    hub_url: str
    services: Services
    limits: ServerLimits


def make_hub(
    config: Config,
    places: Places,
    spawner: Spawner,
    *,
    clock: Clock | None = None,
    reserve: Reserve | None = None,
    service_runner: ServiceRunner | None = None,
) -> Hub:
    """Open the database and join all parts; nothing runs yet."""
    clock = clock or Clock()
    core = _open(config, places, spawner, clock, reserve)
    db = core.db
    keeper = ServiceKeeper(services=core.services, runner=service_runner, clock=clock)
    relays = ServiceRelays(places.service_sockets, services=core.services)
    authenticator, throttle = _authenticator(core)
    rows = ServerRows(db=core.db, clock=core.clock, roles=core.roles, base_url=config.base_url)
    servers, reconciler = _servers(core, rows, config.servers.named_limit)
    ending = Ending(servers=servers, supervisor=core.supervisor)
    routes = make_routes(config, places, rows=rows, clock=clock, services=core.services.addresses)
    sessions = Sessions(db=db, clock=clock)
    codes = ShareCodes(db=db, clock=clock)
    links = Links(db=db, clock=clock, authenticator=authenticator, hub_url=core.hub_url)
    users = Users(db=db, clock=clock, authenticator=authenticator, servers=servers, spawner=spawner)
    check_user = CheckUser(db=db, clock=clock, authenticator=authenticator, users=users)
    usage = UsageMeter(spawner=spawner, clock=clock)
    classroom = make_classroom(
        Ground(
            config=config, places=places, clock=clock, db=db, roles=core.roles, groups=core.groups,
            users=users, servers=servers, sessions=sessions, authenticator=authenticator,
            throttle=throttle, links=links, spawner=spawner, supervisor=core.supervisor,
            hub_url=core.hub_url, usage=usage, activity=core.activity,
            on_end=core.metrics.on_end, limits=core.limits,
            on_memory_kill=core.metrics.on_memory_kill,
        )
    )  # fmt: skip
    application = Application(log_function=core.metrics.on_request)
    gate = RootGate(application)
    parts: dict[str, Any] = {
        **classroom.parts,
        "web": _web(core, sessions, gate),
        **_core_parts(core),
        "authenticator": authenticator,
        "throttle": throttle,
        "users": users,
        "check_user": check_user,
        "health": Health(places, clock=clock),
        "usage": usage,
        "sessions": sessions,
        "share_codes": codes,
        "links": links,
        "servers": servers,
        "routes": routes,
        "ending": ending,
        "arrivals": _arrivals(core, servers),
        "keeper": keeper,
        "relays": relays,
        "actions": Actions(users=users, servers=servers, authenticator=authenticator, links=links,
                           approvals=classroom.parts["approvals"]),
    }  # fmt: skip
    parts["oauth"].follow(classroom.parts["visits"].opened)
    application.add_handlers(".*", _rules(config.base_url, parts))  # type: ignore[arg-type]
    return Hub(
        application=application, gate=gate, db=db, authenticator=authenticator, users=users,
        servers=servers, sessions=sessions, links=links, reconciler=reconciler,
        culler=parts["culler"], housekeeping=_housekeeping(parts, reserve),
        supervisor=core.supervisor, metrics=core.metrics, routes=routes, keeper=keeper,
        relays=relays, ending=ending, classroom=classroom,
    )  # fmt: skip


def _housekeeping(parts: Mapping[str, Any], reserve: Reserve | None) -> Housekeeping:
    return Housekeeping(
        sessions=parts["sessions"], throttle=parts["throttle"], users=parts["users"],
        codes=parts["share_codes"], invites=parts["invites"], check_user=parts["check_user"],
        disk_use=parts["disk_use"], reserve=reserve,
    )  # fmt: skip


def _core_parts(core: _Core) -> dict[str, Any]:
    """What pages and API handlers find of the core, and what stands on nothing else."""
    return {
        "config": core.config,
        "software": core.places.software,
        "clock": core.clock,
        "metrics": core.metrics,
        "started": core.clock.now(),
        "db": core.db,
        "roles": core.roles,
        "groups": core.groups,
        "tokens": _tokens(core),
        "shares": Shares(db=core.db, clock=core.clock),
        "spawner": core.spawner,
        "services": core.services,
        "describe_api": lambda: make_document(api.handlers, hub_url=core.hub_url),
        "oauth": OAuthProvider(
            db=core.db, clock=core.clock, roles=core.roles, groups_of=core.groups.of
        ),
        "shown_once": ShownOnce(clock=core.clock),
    }


def _open(
    config: Config, places: Places, spawner: Spawner, clock: Clock, reserve: Reserve | None
) -> _Core:
    """Open the database, and bring services in line with the configuration."""
    db = Database.at(places.database, reserve=reserve)
    db.open(may_be_new=not has_secrets(places.hub_state))
    services = Services(db=db, clock=clock, base_url=config.base_url, configured=config.services)
    services.settle()
    groups = Groups(db=db)
    limits = ServerLimits(
        db=db, clock=clock, groups=groups, spawner=spawner, config=config,
        rendered=places.rendered / HUB_FILE,
    )  # fmt: skip
    return _Core(
        config=config, places=places, clock=clock, db=db, groups=groups, limits=limits,
        roles=configured_roles(config), spawner=spawner, supervisor=Supervisor(),
        activity=Activity(clock=clock), metrics=Metrics(clock=clock),
        hub_url=f"{config.base_url}hub/", services=services,
    )  # fmt: skip


def _authenticator(core: _Core) -> tuple[NativeAuthenticator, Throttle]:
    throttle = Throttle(db=core.db, clock=core.clock)
    authenticator = NativeAuthenticator(
        db=core.db, clock=core.clock, hasher=Hasher(cost=known_cost(core.db)), throttle=throttle,
        signup=core.config.signup, rules=core.config.passwords,
    )  # fmt: skip
    return authenticator, throttle


def _tokens(core: _Core) -> Tokens:
    return Tokens(
        db=core.db, clock=core.clock, roles=core.roles, groups_of=core.groups.of,
        max_age_seconds=core.config.tokens.max_age,
    )  # fmt: skip


def _servers(core: _Core, rows: ServerRows, named_limit: int) -> tuple[Servers, Reconciler]:
    config = core.config
    rows.follow(core.metrics.on_state)
    servers = Servers(
        rows=rows, spawner=core.spawner, clock=core.clock, activity=core.activity,
        queue=StartQueue(at_once=config.servers.concurrent_starts), supervisor=core.supervisor,
        on_start=core.metrics.on_started, on_end=core.metrics.on_end, told=core.limits.told,
        start_timeout_seconds=config.servers.start_timeout, named_limit=named_limit,
    )  # fmt: skip
    rules = Rules(config.culling, config.group_culling)
    reconciler = Reconciler(
        rows=rows, servers=servers, spawner=core.spawner, clock=core.clock,
        start_timeout_seconds=config.servers.start_timeout,
        believed_idle=lambda user: rules.believed_idle(user, core.groups.of(user)),
    )  # fmt: skip
    return servers, reconciler


def _arrivals(core: _Core, servers: Servers) -> Arrivals:
    return Arrivals(
        servers=servers, groups_of=core.groups.of, base_url=core.config.base_url,
        starts_servers=core.config.servers.start_at_login,
    )  # fmt: skip


def _web(core: _Core, sessions: Sessions, gate: RootConnections) -> Web:
    identity = Identity(
        db=core.db, clock=core.clock, roles=core.roles, groups_of=core.groups.of,
        service_is_admin=core.services.admin_of,
        required=RequiredFactor(
            db=core.db, roles=core.roles, wanted=core.config.passwords.second_factor_roles
        ),
    )  # fmt: skip
    return Web(
        base_url=core.config.base_url,
        identify=identity,
        sessions=sessions,
        root_connections=gate,
        xsrf=Xsrf(ensure_secret(core.places.hub_state / "xsrf.secret")),
        render=Renderer(
            core.config.base_url,
            now=core.clock.now,
            folder=_folder(core.config),
            needed_next=_needed_next(core),
        ),
        groups_of=core.groups.of,
        audit=AuditLog(core.places.hub_audit, clock=core.clock),
        language=core.config.pages.language or "",
        content_host=core.config.http.content_host,
    )


def _needed_next(core: _Core) -> Callable[[], Sequence[str]]:
    """What pages say that the browser needs next, where all servers' pages ask for the same."""
    config = core.config
    # On another host name, browsers don't find what they fetched for this one.
    is_shared = config.proxy.program is ProxyProgram.NGINX and not config.http.content_host
    if not is_shared or config.servers.program is not ServerProgram.APPLIANCE:
        return tuple
    return FrontEndFiles(core.places.software, config.servers.front_end).first


def _folder(config: Config) -> Path | None:
    """Where the configuration's own templates are."""
    return Path(config.pages.templates) if config.pages.templates else None


def _rules(base_url: str, parts: dict[str, Any]) -> Iterable[URLSpec]:
    """Every address, in the order in which they are tried."""
    hub = f"{base_url}hub"
    below: list[Pattern] = [
        *api.handlers,
        *api.last_handlers,
        *pages.handlers,
    ]
    yield URLSpec(hub, outside.OutsideHandler, parts)
    folder = _folder(parts["config"])
    if folder:
        own = {"path": str(folder / "static")}
        yield URLSpec(rf"{hub}/static/custom/(.*)", StaticFileHandler, own)
    for front_end in FrontEnd:
        own = {"software": parts["software"], "front_end": front_end}
        yield URLSpec(rf"{hub}/static/{front_end}/([^/]+)", SharedFileHandler, own)
    yield URLSpec(rf"{hub}/static/(.*)", StaticFileHandler, {"path": str(STATIC)})
    for pattern in below:
        yield URLSpec(f"{hub}{pattern.path}", pattern.handler, parts)
    yield URLSpec(rf"{hub}/.*", NoSuchPageHandler, parts)
    yield URLSpec(rf"{base_url}services/([^/]+)/.*", outside.ServiceDownHandler, parts)
    yield URLSpec(r".*", outside.OutsideHandler, parts)
