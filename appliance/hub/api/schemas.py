"""The shapes of what the API answers, as JSON Schema for the API's description.

What can be left out, because a caller's scopes don't reach it, is not required; what isn't here
may not be answered. A test holds the running hub to it.
"""

from __future__ import annotations

from typing import Any, Final

from appliance.findings import Severity
from appliance.limits import NAMES as LIMITS

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
FLAG: Final[Schema] = {"type": "boolean"}
WHOLE: Final[Schema] = {"type": "integer"}
NUMBER: Final[Schema] = {"type": "number"}
OBJECT: Final[Schema] = {"type": "object"}
MOMENT: Final[Schema] = {"type": "string", "format": "date-time"}
NAME: Final[Schema] = {"type": "object", "required": ["name"], "properties": {"name": TEXT}}


def ref(name: str) -> Schema:
    """A schema of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def maybe(schema: Schema) -> Schema:
    """Or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def many(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def by_name(schema: Schema) -> Schema:
    """An object with arbitrary names."""
    return {"type": "object", "additionalProperties": schema}


def always(**properties: Schema) -> Schema:
    """An object with just these properties, each time."""
    return {**sometimes(**properties), "required": list(properties)}


def sometimes(**properties: Schema) -> Schema:
    """An object with some of these properties, and no others."""
    return {"type": "object", "properties": properties, "additionalProperties": False}


def enveloped(items: Schema) -> Schema:
    """A part of a list, with the way to the next."""
    following = always(offset=WHOLE, limit=WHOLE, url=TEXT)
    pagination = always(offset=WHOLE, limit=WHOLE, total=WHOLE, next=maybe(following))
    return always(items=items, _pagination=pagination)


def in_parts(items: Schema) -> Schema:
    """A bare list, or its envelope if the Accept header asks for it."""
    return {"anyOf": [items, enveloped(items)]}


def _with(schema: Schema, **more: Schema) -> Schema:
    properties = {**schema["properties"], **more}
    return {**schema, "properties": properties, "required": [*schema.get("required", ()), *more]}


_PENDING: Final = maybe({"enum": ["spawn", "stop", "check", "rename"]})
_SERVER_STATE: Final[Schema] = {"enum": ["stopped", "starting", "ready", "stopping", "failed"]}

_DISK: Final = always(
    bytes=WHOLE, limit_bytes=maybe(WHOLE), files=WHOLE, files_limit=maybe(WHOLE),
    percent=maybe(WHOLE), enforced=FLAG, complete=FLAG, measured=MOMENT,
)  # fmt: skip

_USER: Final = sometimes(
    kind={"const": "user"}, name=TEXT, user_info=maybe(OBJECT), admin=FLAG, roles=many(TEXT),
    groups=many(TEXT), server=maybe(TEXT), pending=_PENDING, created=MOMENT,
    last_activity=maybe(MOMENT), servers=by_name(ref("Server")), auth_state=maybe(OBJECT),
    appliance=always(
        state={"enum": ["waiting", "active", "locked"]}, has_password=FLAG,
        full_name=TEXT, email=TEXT, language=TEXT, disk=maybe(_DISK),
    ),
)  # fmt: skip

_SERVER: Final = _with(
    sometimes(state=maybe(OBJECT)),
    name=TEXT, display_name=TEXT, full_name=TEXT, last_activity=maybe(MOMENT),
    started=maybe(MOMENT), pending=_PENDING, ready=FLAG, stopped=FLAG, url=TEXT,
    user_options=OBJECT, progress_url=TEXT, full_url=maybe(TEXT), full_progress_url=maybe(TEXT),
    appliance=always(
        state=_SERVER_STATE, queue_position=maybe(WHOLE),
        failure=maybe(always(what=TEXT, why=TEXT, mend=TEXT)),
    ),
)  # fmt: skip

_SERVICE: Final = sometimes(
    kind={"const": "service"}, name=TEXT, roles=many(TEXT), admin=FLAG, url=TEXT, prefix=TEXT,
    command=many(TEXT), pid=WHOLE, info=OBJECT, display=FLAG,
)  # fmt: skip

_TOKEN: Final = _with(
    # Whose it is: one of the two.
    sometimes(user=TEXT, service=TEXT),
    id=TEXT, kind={"const": "api_token"}, roles=many(TEXT), scopes=many(TEXT), created=MOMENT,
    last_activity=maybe(MOMENT), expires_at=maybe(MOMENT), note=TEXT, session_id=maybe(TEXT),
    oauth_client=TEXT,
)  # fmt: skip

_SHARED_SERVER: Final = always(user=NAME, name=TEXT, url=TEXT, full_url=maybe(TEXT), ready=FLAG)
_SHARE: Final = always(
    server=_SHARED_SERVER, scopes=many(TEXT), user=maybe(NAME), group=maybe(NAME),
    kind={"enum": ["user", "group"]}, created_at=MOMENT,
)  # fmt: skip
_SHARE_CODE: Final = always(
    server=_SHARED_SERVER, scopes=many(TEXT), id=TEXT, created_at=MOMENT, expires_at=MOMENT,
    exchange_count=WHOLE, last_exchanged_at=maybe(MOMENT),
)  # fmt: skip

_HANDOUT: Final = always(
    id=WHOLE, folder=TEXT, rule={"enum": ["keep", "replace", "beside"]}, created=MOMENT,
    created_by=TEXT, latecomers=FLAG, done=WHOLE, waiting=WHOLE, failed=WHOLE,
)  # fmt: skip
_COLLECTION: Final = always(
    id=WHOLE, folder=TEXT, place=TEXT, created=MOMENT, created_by=TEXT, note=TEXT,
    collected=WHOLE, waiting=WHOLE, failed=WHOLE,
)  # fmt: skip
# What is known of somebody besides depends on how it went.
_HOW_IT_WENT: Final[Schema] = by_name(
    {"type": "object", "required": ["state"], "properties": {"state": TEXT}}
)

_ABOUT_CALLER: Final = {
    "token_id": maybe(TEXT), "session_id": maybe(TEXT), "scopes": many(TEXT),
}  # fmt: skip
_ROOT: Final = always(kind={"const": "root"}, name=TEXT, admin=FLAG)
_OF_CLASS: Final = {"class": TEXT, "version": TEXT}

_CARD: Final = always(
    key=TEXT, kind={"enum": ["message", "notice", "question", "visit"]}, title=TEXT, text=TEXT,
    moment=MOMENT, when=TEXT, hide=TEXT,
    buttons=many(always(label=TEXT, path=TEXT, body=OBJECT, main=FLAG)),
)  # fmt: skip
_KEPT: Final = {
    "kept_until": maybe(MOMENT), "kept_by": maybe(TEXT), "kept_for_class": maybe(TEXT)
}  # fmt: skip
_LIVE_STUDENT: Final = always(
    name=TEXT, full_name=TEXT, account={"enum": ["waiting", "active", "locked"]}, here=FLAG,
    state=_SERVER_STATE, queue_position=maybe(WHOLE), idle_minutes=maybe(WHOLE),
    memory_mb=maybe(WHOLE), memory_limit_mb=maybe(WHOLE), memory_percent=maybe(WHOLE),
    cores=maybe(NUMBER), cpu_percent=maybe(WHOLE), near={"enum": ["", "memory", "cpu"]},
    disk_mb=maybe(WHOLE), disk_limit_mb=maybe(WHOLE), disk_percent=maybe(WHOLE),
    memory_kills=WHOLE, stops=maybe(MOMENT),
    visit=maybe(always(state={"enum": ["asked", "granted"]}, until=MOMENT)),
)  # fmt: skip

_LIMIT: Final = always(
    value=maybe(NUMBER), source={"enum": ["user", "group", "default", "machine"]},
    name=maybe(TEXT), on_page=FLAG,
)  # fmt: skip
_GIVEN: Final = sometimes(memory=WHOLE, cpu=NUMBER, tasks=WHOLE)

_CLASS: Final = always(
    name=TEXT, title=TEXT, created=MOMENT, frozen=FLAG, must_approve=FLAG, has_nbgrader=FLAG,
    teachers=many(TEXT), students=WHOLE, waiting=WHOLE,
    archiving=maybe(always(done=WHOLE, of=WHOLE)),
)  # fmt: skip
_ARCHIVE: Final = always(
    id=WHOLE, name=TEXT, title=TEXT, created=MOMENT, created_by=TEXT,
    state={"enum": ["making", "packed", "ready", "failed"]}, place=TEXT, bytes=WHOLE,
    students=WHOLE, done=WHOLE, failure=maybe(always(what=TEXT, why=TEXT, mend=TEXT)),
)  # fmt: skip
_ARCHIVED_PERSON: Final = always(
    name=TEXT, full_name=TEXT, email=TEXT, language=TEXT, teacher=FLAG, leaves=FLAG
)

_MADE_CARD: Final = always(name=TEXT, full_name=TEXT, password=TEXT)
_ROSTER_ROW: Final = always(
    line=WHOLE, state={"enum": ["new", "join", "here", "wrong", "left_out"]}, name=TEXT, typed=TEXT,
    full_name=TEXT, email=TEXT, language=TEXT, class_name=TEXT, new_class=FLAG, why=TEXT, mend=TEXT,
    note=TEXT,
)  # fmt: skip

SCHEMAS: Final[dict[str, Schema]] = {
    "Error": {
        **sometimes(status=WHOLE, message=maybe(TEXT), code=TEXT, mend=TEXT),
        "required": ["status", "message"],
    },
    "OAuthError": {
        **sometimes(error=TEXT, error_description=TEXT, error_uri=TEXT, state=TEXT),
        "required": ["error"],
    },
    "Version": always(version=TEXT, appliance=TEXT),
    "Info": always(
        version=TEXT, appliance=TEXT, python=TEXT, sys_executable=TEXT,
        spawner=always(**_OF_CLASS), authenticator=always(**_OF_CLASS),
    ),
    "User": _USER,
    "Service": _SERVICE,
    "Server": _SERVER,
    "Owner": {"anyOf": [_USER, _SERVICE]},
    "Self": {"anyOf": [_with(kind, **_ABOUT_CALLER) for kind in (_USER, _SERVICE, _ROOT)]},
    "Group": sometimes(
        kind={"const": "group"}, name=TEXT, users=many(TEXT), roles=many(TEXT), properties=OBJECT
    ),
    "Token": _TOKEN,
    "NewToken": _with(_TOKEN, token=TEXT),
    "Tokens": always(api_tokens=many(ref("Token"))),
    "Share": _SHARE,
    "ShareLeft": {"anyOf": [_SHARE, always()]},
    "ShareCode": _SHARE_CODE,
    "NewShareCode": _with(
        _SHARE_CODE, code=TEXT, accept_url=TEXT, full_accept_url=maybe(TEXT)
    ),
    "Routes": by_name(always(routespec=TEXT, target=TEXT, data=OBJECT)),
    "ShuttingDown": always(message=TEXT),
    "Granted": always(
        access_token=TEXT, token_type={"const": "Bearer"}, expires_in=WHOLE, scope=TEXT
    ),
    "MadeAccounts": always(
        created=many(always(name=TEXT, password=maybe(TEXT))),
        skipped=many(always(name=TEXT, why=TEXT)),
    ),
    "RosterPreview": always(columns=many(TEXT), counts=by_name(WHOLE), rows=many(_ROSTER_ROW)),
    "MadeCards": always(created=many(_MADE_CARD), skipped=many(always(name=TEXT, why=TEXT))),
    "MadeRoster": always(
        created=many(_MADE_CARD), skipped=many(always(name=TEXT, why=TEXT)), joined=many(TEXT),
        here=many(TEXT), wrong=many(_ROSTER_ROW),
    ),
    "Class": _CLASS,
    "MadeClass": always(
        **{"class": ref("Class")}, created=many(always(name=TEXT, password=maybe(TEXT)))
    ),
    "LeftClass": always(taken_out=many(TEXT)),
    "ArchiveBegun": always(archive=WHOLE, name=TEXT),
    "Archive": _ARCHIVE,
    "ArchiveWithPeople": _with(_ARCHIVE, members=many(_ARCHIVED_PERSON)),
    "Invite": always(
        **{"class": maybe(TEXT)}, id=WHOLE, code=maybe(TEXT), note=TEXT, created=MOMENT,
        created_by=TEXT, expires_at=maybe(MOMENT), uses=WHOLE, most_uses=maybe(WHOLE), works=FLAG,
    ),
    "Waiter": always(name=TEXT, full_name=TEXT, signed_up=MOMENT, taken_for=maybe(TEXT)),
    "Decided": always(done=many(TEXT), failed=many(TEXT)),
    "Joined": always(**{"class": TEXT}, title=TEXT, already=FLAG),
    "Password": always(password=maybe(TEXT)),
    "SetupLink": always(path=TEXT, expires_at=MOMENT),
    "Factors": always(app=FLAG, passkeys=WHOLE, recovery_codes=WHOLE, required=FLAG),
    "Wait": always(wait_seconds=WHOLE),
    "Session": always(
        id=TEXT, device=TEXT, address=TEXT, created=MOMENT, last_seen=MOMENT, current=FLAG
    ),
    "EndedSessions": always(ended=WHOLE),
    "MailState": always(set_up=FLAG, failure=maybe(always(at=MOMENT, why=TEXT))),
    # One server-sent event; its data is JSON with progress and message.
    "Progress": {
        "type": "object",
        "required": ["data"],
        "properties": {"data": {**TEXT, "contentMediaType": "application/json"}},
    },
    "Events": {
        "type": "object",
        "required": ["data"],
        "properties": {"id": TEXT, "data": {**TEXT, "contentMediaType": "application/json"}},
    },
    "Inbox": always(title=TEXT, words=by_name(TEXT), cards=many(_CARD)),
    "SentMessage": always(
        id=WHOLE, sender=TEXT, user=maybe(TEXT), text=TEXT, created=MOMENT, expires_at=MOMENT,
        seen=WHOLE, of=WHOLE,
    ),
    "Visit": always(
        id=WHOLE, visitor=TEXT, user=TEXT, server=TEXT, asked=MOMENT, until=MOMENT,
        state={"enum": ["asked", "granted", "refused", "ended"]},
    ),
    "LiveClass": always(
        counts=always(students=WHOLE, here=WHOLE, running=WHOLE, near=WHOLE), frozen=FLAG,
        students=many(_LIVE_STUDENT),
    ),
    "DoneWithServers": always(done=many(TEXT), failed=many(always(name=TEXT, why=TEXT))),
    "Kept": always(**_KEPT),
    "Exam": always(
        begins=maybe(MOMENT), ends=maybe(MOMENT), set_by=maybe(TEXT), is_now=FLAG,
        waits_for=many(TEXT),
    ),
    "Outlook": always(stops=maybe(MOMENT), cause=maybe({"enum": ["idle", "calendar"]}), **_KEPT),
    "Limits": always(
        limits={
            "type": "object",
            "properties": dict.fromkeys(LIMITS, _LIMIT),
            "required": list(LIMITS),
            "additionalProperties": False,
        },
        given=_GIVEN, most=_GIVEN,
    ),
    "Log": always(lines=many(TEXT)),
    "Usage": {
        "allOf": [
            {**_SERVER, "additionalProperties": True},
            {
                "type": "object",
                "required": ["user", "server", "memory_bytes", "cpu_seconds", "tasks"],
            },
        ]
    },
    "Status": {
        "type": "object",
        "required": ["version", "users", "servers", "signup_mode", "started", "database"],
    },
    "Health": always(
        version=TEXT, started=MOMENT, severity={"enum": [str(one) for one in Severity]},
        findings=many(
            always(
                topic=TEXT, severity={"enum": [str(one) for one in Severity]}, summary=TEXT,
                why=TEXT, mend=TEXT, checked=TEXT, details={"type": "object"},
            )
        ),
    ),
    "Disk": always(
        measured=maybe(MOMENT), warn_percent=WHOLE,
        file_systems=many(
            always(
                place=TEXT, kind=TEXT, size=WHOLE, free=WHOLE, percent=WHOLE, files_percent=WHOLE,
                quota=TEXT, holds=many(TEXT),
            )
        ),
        homes=always(measured=WHOLE, bytes=WHOLE, near=WHOLE, full=WHOLE),
        classes=by_name(_DISK),
    ),
    "CheckUser": always(name=TEXT, password=TEXT),
    "Handout": _HANDOUT,
    "HandoutInFull": _with(_HANDOUT, people=_HOW_IT_WENT),
    "Collection": _COLLECTION,
    "CollectionInFull": _with(_COLLECTION, people=_HOW_IT_WENT),
    "Materials": always(
        folder=TEXT, handouts=many(ref("Handout")), collections=many(ref("Collection"))
    ),
    "Entry": always(
        name=TEXT, kind={"enum": ["file", "folder", "other"]}, size=WHOLE, modified=MOMENT
    ),
    "Stored": always(path=TEXT, size=WHOLE),
    "Nbgrader": always(on=FLAG, version=TEXT, course=TEXT),
    "Nothing": always(),
}  # fmt: skip
