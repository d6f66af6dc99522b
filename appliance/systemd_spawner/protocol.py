"""The daemon's requests and replies: one JSON object a line, every field checked, none unknown.

Whoever speaks here decides about users and servers *by name* and about nothing else: no command,
path or unit property is ever taken from a request. The only numbers are limits that were set on a
page, and those are held to what root's own configuration allows (`appliance/limits.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Final

from appliance.errors import (
    ApplianceError,
    BadRequest,
    NotFound,
    SpawnRefused,
    SpawnTimeout,
)
from appliance.interfaces import Area, Rule
from appliance.limits import Told, parse_told
from appliance.names import (
    ServerId,
    ServerName,
    Username,
    parse_archive,
    parse_folder,
    parse_group_name,
    parse_home_folder,
    parse_server_name,
    parse_service_name,
    parse_username,
)

# Of a class with as many people as may be, with room to spare.
LINE_MAX: Final = 512 * 1024
PEOPLE_MAX: Final = 5000
LOG_LINES_MAX: Final = 1000
GROUPS_MAX: Final = 500

_NOBODY: Final = Username("")
_DEFAULT_SERVER: Final = ServerName("")
_TOKEN: Final = re.compile(r"[0-9a-f]{64}")
_GIVEN_TOKEN: Final = re.compile(r"[!-~]{8,64}")
_CLASS_FIELDS: Final[dict[str, frozenset[str]]] = {
    "set_class": frozenset({"class", "members", "teachers", "nbgrader"}),
    "list_folder": frozenset({"class", "user", "area", "folder"}),
    "put_file": frozenset({"class", "user", "folder"}),
    "hand_out": frozenset({"class", "user", "folder", "rule"}),
    "collect": frozenset({"class", "user", "teacher", "folder", "place"}),
    "begin_archive": frozenset({"class", "archive"}),
    "archive_home": frozenset({"class", "archive", "user"}),
    "archive_folder": frozenset({"class", "archive"}),
    "finish_archive": frozenset({"class", "archive"}),
    "delete_archive": frozenset({"archive"}),
    "forget_class": frozenset({"class"}),
}
CLASS_VERBS: Final = frozenset(_CLASS_FIELDS)
_FIELDS: Final[dict[str, frozenset[str]]] = {
    "start": frozenset({"user", "server", "token"}),
    "set_limits": frozenset({"people"}),
    "stop": frozenset({"user", "server"}),
    "log": frozenset({"user", "server", "lines"}),
    "forget_user": frozenset({"user"}),
    "rename_user": frozenset({"user", "new"}),
    **_CLASS_FIELDS,
    "start_service": frozenset({"service", "token"}),
    "stop_service": frozenset({"service"}),
    "list_services": frozenset(),
    "list": frozenset(),
    "watch": frozenset(),
    "apply_limits": frozenset(),
    "set_offline": frozenset({"users"}),
    "ping": frozenset(),
}

_OPTIONAL: Final[dict[str, frozenset[str]]] = {"start": frozenset({"told"})}


@dataclass(frozen=True, slots=True)
class Request:
    """A checked request; fields that its verb doesn't have are empty."""

    verb: str
    user: Username = _NOBODY
    server: ServerName = _DEFAULT_SERVER
    new: Username = _NOBODY
    """The user's new name."""
    service: str = ""
    token: str = ""
    lines: int = 0
    users: tuple[Username, ...] = ()
    """Those who have no network."""
    told: Told | None = None
    """What the hub knows of the user's limits."""
    people: Mapping[Username, Told] = field(default_factory=dict)
    """The same of several users."""
    school_class: str = ""
    members: tuple[Username, ...] = ()
    teacher: Username = _NOBODY
    teachers: tuple[Username, ...] = ()
    nbgrader: bool = False
    area: str = ""
    folder: str = ""
    """Below the area or the home that the verb is about; put_file's is the file's path."""
    place: str = ""
    rule: str = ""
    archive: str = ""

    @property
    def server_id(self) -> ServerId:
        return ServerId(self.user, self.server)


def parse_request(line: bytes) -> Request:
    """Read a line; raise BadRequest saying what is wrong, without repeating what may be a token."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as err:
        raise _bad("it is not JSON") from err
    if not isinstance(content, dict):
        raise _bad("it is not an object")
    verb = content.pop("verb", None)
    if not isinstance(verb, str) or verb not in _FIELDS:
        raise _bad(f"its verb is none of {', '.join(_FIELDS)}")
    if content.keys() - _OPTIONAL.get(verb, frozenset()) != _FIELDS[verb]:
        wanted = ", ".join(sorted(_FIELDS[verb])) or "none"
        raise _bad(f"{verb} has exactly these fields: {wanted}")
    return Request(
        verb,
        user=_user(content["user"]) if "user" in content else _NOBODY,
        new=_user(content["new"]) if "new" in content else _NOBODY,
        server=_server(content["server"]) if "server" in content else _DEFAULT_SERVER,
        service=_service(content["service"]) if "service" in content else "",
        token=_token(content["token"], given="service" in content) if "token" in content else "",
        lines=_lines(content["lines"]) if "lines" in content else 0,
        users=_people("users", content["users"]) if "users" in content else (),
        told=_told(content["told"]) if "told" in content else None,
        people=_people_told(content["people"]) if "people" in content else {},
        **_class_fields(verb, content),
    )


def _class_fields(verb: str, content: dict[str, Any]) -> dict[str, Any]:
    """The fields of verbs on classes, as far as they are there."""
    folder = parse_home_folder if verb in ("hand_out", "collect") else parse_folder
    if verb == "list_folder":
        folder = partial(parse_folder, may_be_empty=True)
    parsers: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "class": ("school_class", partial(_canonical, "class", parse_group_name)),
        "members": ("members", partial(_people, "members")),
        "teachers": ("teachers", partial(_people, "teachers")),
        "teacher": ("teacher", _user),
        "nbgrader": ("nbgrader", partial(_flag, "nbgrader")),
        "area": ("area", partial(_choice, "area", Area)),
        "rule": ("rule", partial(_choice, "rule", Rule)),
        "folder": ("folder", partial(_canonical, "folder", folder)),
        "place": ("place", partial(_canonical, "place", parse_folder)),
        "archive": ("archive", partial(_canonical, "archive", parse_archive)),
    }
    return {
        field: parse(content[name]) for name, (field, parse) in parsers.items() if name in content
    }


def encode(message: dict[str, Any]) -> bytes:
    """One line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def failure_reply(error: ApplianceError) -> dict[str, Any]:
    """What went wrong, for the hub to raise again on its side."""
    reply: dict[str, Any] = {
        "ok": False,
        "code": _code(error),
        "what": error.what,
        "why": error.why,
        "mend": error.mend,
    }
    if error.log:
        reply["log"] = list(error.log)
    return reply


def _code(error: ApplianceError) -> str:
    match error:
        case BadRequest():
            return "bad_request"
        case NotFound():
            return "not_found"
        case SpawnRefused():
            return "refused"
        case SpawnTimeout():
            return "timeout"
    return "failed"


def _user(value: object) -> Username:
    # Only the canonical form: two spellings of a user would be two accounts.
    if not isinstance(value, str) or parse_username(value) != value:
        raise _bad("its user is no canonical user name")
    return Username(value)


def _people(name: str, value: object) -> tuple[Username, ...]:
    if not isinstance(value, list) or len(value) > PEOPLE_MAX:
        raise _bad(f"its {name} are no list of at most {PEOPLE_MAX} names")
    return tuple(_user(one) for one in value)


def _canonical(name: str, parse: Callable[[str], str], value: object) -> str:
    if not isinstance(value, str) or parse(value) != value:
        raise _bad(f"its {name} is not what it should look like")
    return value


def _choice(name: str, choices: type[StrEnum], value: object) -> str:
    if not isinstance(value, str) or value not in [str(one) for one in choices]:
        raise _bad(f"its {name} is none of {', '.join(choices)}")
    return value


def _people_told(value: object) -> dict[Username, Told]:
    if not isinstance(value, dict) or len(value) > PEOPLE_MAX:
        raise _bad(f"its people are no object of at most {PEOPLE_MAX} names")
    return {_user(name): _told(one) for name, one in value.items()}


def _told(value: object) -> Told:
    try:
        told = parse_told(value)
    except (TypeError, ValueError) as err:
        raise _bad("what it tells of a user's limits is not what it should look like") from err
    if len(told.groups) > GROUPS_MAX:
        raise _bad(f"it tells of more than {GROUPS_MAX} groups of one user")
    for name in told.groups:
        _canonical("group", parse_group_name, name)
    return told


def _server(value: object) -> ServerName:
    if not isinstance(value, str):
        raise _bad("its server is no text")
    return parse_server_name(value)


def _service(value: object) -> str:
    if not isinstance(value, str):
        raise _bad("its service is no text")
    return parse_service_name(value)


def _token(value: object, *, given: bool) -> str:
    """A token that the hub made, or one that the configuration gives to a service."""
    pattern = _GIVEN_TOKEN if given else _TOKEN
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _bad("its token is not what a token looks like")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _bad(f"its {name} is neither true nor false")
    return value


def _lines(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LOG_LINES_MAX:
        raise _bad(f"its lines is not a whole number from 1 to {LOG_LINES_MAX}")
    return value


def _bad(why: str) -> BadRequest:
    return BadRequest("cannot understand the request", why=why)
