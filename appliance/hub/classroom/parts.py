"""The parts of the classroom, joined: each area adds its own here, `hub/app.py` stays short.

Pages and API handlers find a part by its name, as those of the core.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from appliance.access.roles import Roles
from appliance.clock import Clock
from appliance.config.schema import Config
from appliance.db.session import Database
from appliance.disk.report import report_file
from appliance.hub.activity import Activity
from appliance.hub.classroom.approvals import Approvals
from appliance.hub.classroom.archives import Archives
from appliance.hub.classroom.class_care import ClassCare
from appliance.hub.classroom.class_servers import ClassServers
from appliance.hub.classroom.classes import Classes
from appliance.hub.classroom.collecting import Collecting
from appliance.hub.classroom.deliveries import Deliveries
from appliance.hub.classroom.exams import Exams
from appliance.hub.classroom.folders import ClassFolders
from appliance.hub.classroom.inbox import Inbox
from appliance.hub.classroom.invites import Invites
from appliance.hub.classroom.joining import Joining
from appliance.hub.classroom.lab_keys import LabKeys
from appliance.hub.classroom.leaving import Leaving
from appliance.hub.classroom.live import LiveClasses
from appliance.hub.classroom.materials import Materials
from appliance.hub.classroom.messages import Messages
from appliance.hub.classroom.nbgrader import Nbgrader
from appliance.hub.classroom.no_files import NoClassFiles
from appliance.hub.classroom.people import People
from appliance.hub.classroom.rights import Rights
from appliance.hub.classroom.roster_desk import RosterDesk
from appliance.hub.classroom.rosters import Rosters
from appliance.hub.classroom.streams import Streams
from appliance.hub.classroom.terms import Terms
from appliance.hub.classroom.uploads import Uploads
from appliance.hub.classroom.visits import Visits
from appliance.hub.culling.parts import make_culling
from appliance.hub.disk_use import DiskUse
from appliance.hub.groups import Groups
from appliance.hub.limits.parts import make_limits
from appliance.hub.limits.server_limits import ServerLimits
from appliance.hub.links import Links
from appliance.hub.own_accounts import make_own_accounts
from appliance.hub.secrets import ensure_secret
from appliance.hub.servers import Servers
from appliance.hub.sessions import Sessions
from appliance.hub.supervisor import Supervisor
from appliance.hub.usage import UsageMeter
from appliance.hub.users import Users
from appliance.interfaces import ClassFiles, Spawner
from appliance.native_auth.authenticator import NativeAuthenticator
from appliance.native_auth.signup import SignUps
from appliance.native_auth.throttle import Throttle
from appliance.native_auth.waiting import WaitingTickets
from appliance.places import Places


@dataclass(frozen=True, slots=True)
class Ground:
    """What the classroom stands on."""

    config: Config
    places: Places
    clock: Clock
    db: Database
    roles: Roles
    groups: Groups
    users: Users
    servers: Servers
    sessions: Sessions
    authenticator: NativeAuthenticator
    throttle: Throttle
    links: Links
    spawner: Spawner
    supervisor: Supervisor
    hub_url: str
    usage: UsageMeter
    activity: Activity
    limits: ServerLimits
    on_memory_kill: Callable[[], None]
    on_end: Callable[[str], None]
    """Is told why servers end that nobody has asked to end."""


@dataclass(frozen=True, slots=True)
class Classroom:
    """The parts by name, and what runs for ever beside the answers to requests."""

    parts: dict[str, Any]
    loops: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)


def make_classroom(ground: Ground) -> Classroom:
    """Join the parts of the classroom; nothing runs yet."""
    classes = Classes(db=ground.db, clock=ground.clock)
    people = People(classes=classes, servers=ground.servers, supervisor=ground.supervisor)
    ground.users.follow_removals(people.due)
    rights = Rights(roles=ground.roles)
    live = _make_live(ground, people)
    materials = _make_materials(ground, classes, people)
    terms = _make_terms(ground, classes, people, rights, materials.parts["folders"])
    own = _make_own_accounts(ground)
    joining = _make_joining(ground, people, rights)
    joining["sign_ups"].follow(own["news"].waits)
    return Classroom(
        parts={
            "classes": classes,
            "people": people,
            "rights": rights,
            **_make_rosters(ground, classes, people, rights),
            **own,
            **joining,
            **materials.parts,
            **terms.parts,
            **live.parts,
        },
        loops={"classes": people.run, **materials.loops, **terms.loops, **live.loops},
    )


def _make_own_accounts(ground: Ground) -> dict[str, Any]:
    """What people look after themselves: who they are and how they prove it."""
    return make_own_accounts(
        config=ground.config, places=ground.places, clock=ground.clock, db=ground.db,
        roles=ground.roles, throttle=ground.throttle, users=ground.users, links=ground.links,
        hub_url=ground.hub_url, run=ground.supervisor.run,
    )  # fmt: skip


def _files(ground: Ground) -> ClassFiles:
    return ground.spawner if isinstance(ground.spawner, ClassFiles) else NoClassFiles()


def _make_terms(
    ground: Ground, classes: Classes, people: People, rights: Rights, folders: ClassFolders
) -> Classroom:
    """How classes end, and what is kept of them."""
    db, clock, users, files = ground.db, ground.clock, ground.users, _files(ground)
    leaving = Leaving(db=db, clock=clock, groups=ground.groups, rights=rights)
    terms = Terms(
        db=db, clock=clock, classes=classes, people=people, leaving=leaving, users=users,
        servers=ground.servers, files=files, settle=folders.settle, supervisor=ground.supervisor,
    )  # fmt: skip
    return Classroom(
        parts={
            "leaving": leaving,
            "terms": terms,
            "class_care": ClassCare(
                classes=classes, people=people, rights=rights, groups=ground.groups,
                users=users, terms=terms, files=files,
            ),
            "class_files": files,
            "archives": Archives(
                db=db, classes=classes, people=people, groups=ground.groups, users=users,
                files=files,
            ),
        },
        loops={"terms": terms.run},
    )  # fmt: skip


def _make_rosters(
    ground: Ground, classes: Classes, people: People, rights: Rights
) -> dict[str, Any]:
    """Where lists of people are looked at and become accounts."""
    desk = RosterDesk(
        clock=ground.clock, users=ground.users, groups=ground.groups, classes=classes,
        people=people, authenticator=ground.authenticator, supervisor=ground.supervisor,
    )  # fmt: skip
    rosters = Rosters(
        db=ground.db, users=ground.users, groups=ground.groups, classes=classes, rights=rights,
        desk=desk,
    )  # fmt: skip
    return {"desk": desk, "rosters": rosters}


def _make_joining(ground: Ground, people: People, rights: Rights) -> dict[str, Any]:
    """How people come in: by signing up, by codes, by being let in."""
    db, clock, throttle = ground.db, ground.clock, ground.throttle
    settings = ground.config.signup
    secret = ensure_secret(ground.places.hub_state / "invites.secret")
    invites = Invites(db=db, clock=clock, secret=secret)
    sign_ups = SignUps(
        db=db, clock=clock, authenticator=ground.authenticator, throttle=throttle,
        settings=settings, privileged=ground.roles.users,
    )  # fmt: skip
    return {
        "invites": invites,
        "sign_ups": sign_ups,
        "waiting_tickets": WaitingTickets(db=db, clock=clock, secret=secret),
        "joining": Joining(
            db=db, settings=settings, invites=invites, sign_ups=sign_ups, people=people,
            rights=rights, throttle=throttle,
        ),
        "approvals": Approvals(
            db=db, users=ground.users, groups=ground.groups, people=people, rights=rights,
            sign_ups=sign_ups,
        ),
    }  # fmt: skip


def _make_live(ground: Ground, people: People) -> Classroom:
    """What goes on in a class at this moment, and what is said in it."""
    db, clock = ground.db, ground.clock
    streams = Streams(db=db, clock=clock)
    messages = Messages(db=db, clock=clock, streams=streams)
    visits = Visits(db=db, clock=clock, messages=messages, streams=streams)
    exams = Exams(db=db, clock=clock, spawner=ground.spawner, messages=messages)
    people.follow(settle=visits.settle)
    ground.users.follow_ends(lambda _user: streams.end_revoked())
    culling = make_culling(
        config=ground.config, db=db, clock=clock, groups=ground.groups, activity=ground.activity,
        servers=ground.servers, messages=messages, streams=streams, on_end=ground.on_end,
    )  # fmt: skip
    limits = make_limits(
        limits=ground.limits, db=db, clock=clock, servers=ground.servers, messages=messages,
        on_end=ground.on_end, on_memory_kill=ground.on_memory_kill,
    )  # fmt: skip
    disk_use = DiskUse(report_file(ground.places), clock=clock, messages=messages)
    live = LiveClasses(
        db=db, clock=clock, activity=ground.activity, usage=ground.usage, streams=streams,
        outlooks_of=culling.outlooks.of_all, place_of=ground.servers.place,
        disk_of=disk_use.of_user, memory_kills_in=limits.memory_kills.lately_in,
    )  # fmt: skip
    return Classroom(
        parts={
            "streams": streams,
            "messages": messages,
            "disk_use": disk_use,
            "visits": visits,
            "inbox": Inbox(messages=messages, visits=visits),
            "lab_keys": LabKeys(db=db, clock=ground.clock),
            "live": live,
            "exams": exams,
            "class_servers": ClassServers(servers=ground.servers, live=live),
            **culling.parts,
            **limits.parts,
        },
        loops={"streams": streams.run, "visits": visits.run, "exams": exams.run, **culling.loops,
            **limits.loops,
        },
    )  # fmt: skip


def _make_materials(ground: Ground, classes: Classes, people: People) -> Classroom:
    """What a class is given, and what is collected from it."""
    files = _files(ground)
    db, clock, supervisor = ground.db, ground.clock, ground.supervisor
    deliveries = Deliveries(db=db, clock=clock, files=files, supervisor=supervisor)
    folders = ClassFolders(db=db, files=files, classes=classes)
    people.follow(settle=folders.settle, welcome=deliveries.welcome)
    ground.servers.follow(deliveries.on_state)
    collecting = Collecting(db=db, clock=clock, files=files, supervisor=supervisor)
    return Classroom(
        parts={
            "materials": Materials(db=db, clock=clock, files=files, deliveries=deliveries),
            "collecting": collecting,
            "folders": folders,
            "uploads": Uploads(ground.places.hub_state),
            "nbgrader": Nbgrader(
                classes=classes, people=people, user_environment=ground.places.software / "user"
            ),
        },
        loops={"deliveries": deliveries.run, "collecting": collecting.run},
    )
