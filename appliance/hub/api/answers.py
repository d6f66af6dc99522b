"""What each request of the API is answered with when all goes well, and what its query may say.

Paths, verbs, scopes and bodies are not here: the API's description takes them from the handlers.
What goes wrong is the same nearly everywhere, an `Error`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, get_args

from appliance.hub.api.schemas import (
    FLAG,
    OBJECT,
    TEXT,
    WHOLE,
    Schema,
    always,
    by_name,
    enveloped,
    in_parts,
    many,
    ref,
    sometimes,
)
from appliance.hub.users import ActiveFilter, Sort
from appliance.spreadsheets import Dialect

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
HTML: Final = "text/html"

Query = Mapping[str, Schema]
_PARTS: Final[Query] = {"offset": WHOLE, "limit": WHOLE}
_STOPPED: Final[Query] = {"include_stopped_servers": FLAG}
_AUTHORIZE: Final[Query] = {
    "client_id": TEXT, "redirect_uri": TEXT, "response_type": {"const": "code"}, "state": TEXT,
    "scope": TEXT, "code_challenge": TEXT, "code_challenge_method": {"enum": ["S256", "plain"]},
}  # fmt: skip


@dataclass(frozen=True)
class Answers:
    """The answers to one request when all goes well, by status; None stands for an empty body."""

    good: Mapping[int, Schema | None]
    query: Query = field(default_factory=dict)
    media: str = JSON
    body: Schema | None = None
    """A body that no model of ours describes, or that need not be as the model says."""
    body_media: str = JSON
    error: Schema = field(default_factory=lambda: ref("Error"))
    error_media: str = JSON
    identified: bool = False
    """Nobody gets this answer without a token, whatever its scopes."""


def _ok(
    schema: str | Schema,
    *,
    status: int = 200,
    query: Query | None = None,
    identified: bool = False,
) -> Answers:
    shape = ref(schema) if isinstance(schema, str) else schema
    return Answers({status: shape}, query=query or {}, identified=identified)


def _empty(*statuses: int, query: Query | None = None, body: Schema | None = None) -> Answers:
    return Answers(dict.fromkeys(statuses), query=query or {}, body=body)


_SHARES: Final = _ok(enveloped(many(ref("Share"))), query=_PARTS)
_CODES: Final = _ok(enveloped(many(ref("ShareCode"))), query=_PARTS)
# Old clients send the options alone, so any names will do.
_START: Final = _empty(201, 202, body=OBJECT)
_PROGRESS: Final = Answers({200: ref("Progress")}, media="text/event-stream")
_LOG: Final = _ok("Log", query={"lines": WHOLE})
_EVENTS: Final = Answers({200: ref("Events")}, media="text/event-stream")
_REFUSED: Final = Answers({})
_CSV: Final = Answers(
    {200: TEXT}, query={"for": {"enum": [str(one) for one in Dialect]}}, media="text/csv"
)

ANSWERS: Final[Mapping[str, Answers]] = {
    "GET /": _ok("Version"),
    "GET /openapi.json": _ok(OBJECT),
    "GET /info": _ok("Info"),
    "GET /health": _empty(200),
    "HEAD /health": _empty(200),
    "GET /metrics": Answers({200: TEXT}, media="text/plain"),
    "GET /user": _ok("Self", identified=True),
    "POST /shutdown": _ok("ShuttingDown", status=202),
    # Users
    "GET /users": _ok(
        in_parts(many(ref("User"))),
        query={
            **_PARTS, **_STOPPED, "state": {"enum": list(get_args(ActiveFilter))},
            "sort": {"enum": list(get_args(Sort))}, "name_filter": TEXT,
        },
    ),
    "POST /users": _ok(many(ref("User")), status=201),
    "GET /users/{user}": _ok("User", query=_STOPPED),
    "POST /users/{user}": _ok("User", status=201),
    "PATCH /users/{user}": _ok("User"),
    "DELETE /users/{user}": _empty(204),
    "POST /users/{user}/activity": _empty(200),
    "POST /users/{user}/admin-access": _REFUSED,
    # Tokens
    "GET /users/{user}/tokens": _ok("Tokens"),
    "POST /users/{user}/tokens": _ok("NewToken", status=201),
    "GET /users/{user}/tokens/{token}": _ok("Token"),
    "DELETE /users/{user}/tokens/{token}": _empty(204),
    "POST /authorizations/token": _REFUSED,
    "GET /authorizations/token/{token}": _ok("Owner", identified=True),
    "GET /authorizations/cookie/{cookie}/{value}": _ok("Owner", identified=True),
    # Servers
    "GET /users/{user}/server": _ok("Server"),
    "POST /users/{user}/server": _START,
    "PUT /users/{user}/server": _ok("Server", status=201),
    "PATCH /users/{user}/server": _ok("Server"),
    "DELETE /users/{user}/server": _empty(202, 204),
    "GET /users/{user}/server/progress": _PROGRESS,
    "GET /users/{user}/servers/{server}": _ok("Server"),
    "POST /users/{user}/servers/{server}": _START,
    "PUT /users/{user}/servers/{server}": _ok("Server", status=201),
    "PATCH /users/{user}/servers/{server}": _ok("Server"),
    "DELETE /users/{user}/servers/{server}": _empty(202, 204),
    "GET /users/{user}/servers/{server}/progress": _PROGRESS,
    # Shares
    "GET /users/{user}/shared": _SHARES,
    "GET /users/{user}/shared/{owner}/{of}": _ok("Share"),
    "DELETE /users/{user}/shared/{owner}/{of}": _empty(204),
    "GET /groups/{group}/shared": _SHARES,
    "GET /groups/{group}/shared/{owner}/{of}": _ok("Share"),
    "DELETE /groups/{group}/shared/{owner}/{of}": _empty(204),
    "GET /shares/{user}": _SHARES,
    "GET /shares/{user}/{server}": _SHARES,
    "POST /shares/{user}/{server}": _ok("Share"),
    "PATCH /shares/{user}/{server}": _ok("ShareLeft"),
    "DELETE /shares/{user}/{server}": _empty(204),
    "GET /share-codes/{user}": _CODES,
    "GET /share-codes/{user}/{server}": _CODES,
    "POST /share-codes/{user}/{server}": _ok("NewShareCode"),
    "DELETE /share-codes/{user}/{server}": _empty(204, query={"code": TEXT, "id": TEXT}),
    # Groups
    "GET /groups": _ok(in_parts(many(ref("Group"))), query=_PARTS),
    "POST /groups": _ok(many(ref("Group")), status=201),
    "GET /groups/{group}": _ok("Group"),
    "POST /groups/{group}": _ok("Group", status=201),
    "DELETE /groups/{group}": _empty(204),
    "POST /groups/{group}/users": _ok("Group"),
    "DELETE /groups/{group}/users": _ok("Group"),
    "PUT /groups/{group}/properties": Answers({200: ref("Group")}, body=OBJECT),
    # Services and the proxy
    "GET /services": _ok(by_name(ref("Service"))),
    "GET /services/{service}": _ok("Service"),
    "POST /services/{service}": _ok("Service", status=201),
    "DELETE /services/{service}": _empty(200),
    "GET /proxy": _ok(in_parts(ref("Routes")), query=_PARTS),
    "POST /proxy": _empty(200),
    "PATCH /proxy": _empty(200),
    # OAuth
    "GET /oauth2/authorize": Answers(
        {200: TEXT, 302: None}, query=_AUTHORIZE, media=HTML, error=TEXT, error_media=HTML
    ),
    "POST /oauth2/authorize": Answers(
        {302: None}, query=_AUTHORIZE, media=HTML, error=TEXT, error_media=HTML,
        body=always(_xsrf=TEXT, scopes=many(TEXT)), body_media=FORM,
    ),
    "POST /oauth2/token": Answers(
        {200: ref("Granted")},
        body={
            **sometimes(
                grant_type={"const": "authorization_code"}, client_id=TEXT, client_secret=TEXT,
                code=TEXT, redirect_uri=TEXT, code_verifier=TEXT,
            ),
            "required": ["grant_type", "client_id", "client_secret", "code"],
        },
        body_media=FORM,
        error={"anyOf": [ref("OAuthError"), ref("Error")]},
    ),
    # What JupyterHub has no word for
    "GET /appliance/status": _ok("Status"),
    "GET /appliance/health": _ok("Health"),
    "GET /appliance/disk": _ok("Disk"),
    "POST /appliance/check-user": _ok("CheckUser", status=201),
    "DELETE /appliance/check-user": _empty(204),
    "GET /appliance/servers": _ok(many(ref("Usage"))),
    "POST /appliance/users": _ok("MadeAccounts", status=201),
    "POST /appliance/users/{user}/approve": _ok("User"),
    "PUT /appliance/users/{user}/password": _ok("Password"),
    "POST /appliance/users/{user}/setup-link": _ok("SetupLink", status=201),
    "GET /appliance/users/{user}/factors": _ok("Factors"),
    "DELETE /appliance/users/{user}/factors": _empty(204),
    "GET /appliance/users/{user}/throttle": _ok("Wait"),
    "DELETE /appliance/users/{user}/throttle": _empty(204),
    "GET /appliance/users/{user}/sessions": _ok(many(ref("Session"))),
    "DELETE /appliance/users/{user}/sessions": _ok("EndedSessions"),
    "DELETE /appliance/users/{user}/sessions/{session}": _empty(204),
    "GET /appliance/mail": _ok("MailState"),
    "POST /appliance/mail/test": _ok("Nothing"),
    "PUT /appliance/users/{user}/lock": _ok("User"),
    "DELETE /appliance/users/{user}/lock": _ok("User"),
    "GET /appliance/classes": _ok(many(ref("Class"))),
    "POST /appliance/classes": _ok("MadeClass", status=201),
    "GET /appliance/classes/{group}": _ok("Class"),
    "PATCH /appliance/classes/{group}": _ok("Class"),
    "DELETE /appliance/classes/{group}": _empty(204),
    "PUT /appliance/classes/{group}/teachers/{teacher}": _ok("MadeAccounts"),
    "DELETE /appliance/classes/{group}/teachers/{teacher}": _empty(204),
    "POST /appliance/classes/{group}/members": _ok("MadeAccounts", status=201),
    "DELETE /appliance/classes/{group}/members": _ok("LeftClass"),
    "POST /appliance/classes/{group}/archive": _ok("ArchiveBegun", status=202),
    "GET /appliance/archives": _ok(many(ref("Archive"))),
    "GET /appliance/archives/{number}": _ok("ArchiveWithPeople"),
    "DELETE /appliance/archives/{number}": _empty(204),
    "POST /appliance/archives/{number}/restore": _ok("MadeAccounts", status=201),
    "POST /appliance/apply-limits": _ok("Nothing"),
    "GET /appliance/messages": _ok("Inbox", identified=True),
    "POST /appliance/messages": _empty(204),
    "GET /appliance/messages/stream": replace(_EVENTS, identified=True),
    "POST /appliance/messages/{message}/seen": replace(_empty(204), identified=True),
    "POST /appliance/messages/{message}/act": replace(_empty(204), identified=True),
    "POST /appliance/users/{user}/messages": _empty(204),
    "GET /appliance/classes/{group}/messages": _ok(many(ref("SentMessage"))),
    "POST /appliance/classes/{group}/messages": _empty(204),
    "GET /appliance/visits": _ok(many(ref("Visit")), identified=True),
    "POST /appliance/visits/{visit}": _ok("Visit", identified=True),
    "POST /appliance/users/{user}/visits": _ok("Visit", status=201),
    "GET /appliance/classes/{group}/live": _ok("LiveClass"),
    "GET /appliance/classes/{group}/live/stream": _EVENTS,
    "POST /appliance/classes/{group}/servers": _ok("DoneWithServers"),
    "GET /appliance/classes/{group}/exam": _ok("Exam"),
    "PUT /appliance/classes/{group}/exam": _ok("Exam"),
    "DELETE /appliance/classes/{group}/exam": _empty(204),
    "GET /appliance/classes/{group}/keep": _ok("Kept"),
    "PUT /appliance/classes/{group}/keep": _ok("Kept"),
    "DELETE /appliance/classes/{group}/keep": _empty(204),
    "GET /appliance/users/{user}/server/keep": _ok("Outlook"),
    "PUT /appliance/users/{user}/server/keep": _ok("Kept"),
    "DELETE /appliance/users/{user}/server/keep": _empty(204),
    "GET /appliance/users/{user}/servers/{server}/keep": _ok("Outlook"),
    "PUT /appliance/users/{user}/servers/{server}/keep": _ok("Kept"),
    "DELETE /appliance/users/{user}/servers/{server}/keep": _empty(204),
    "GET /appliance/limits": _ok("Limits"),
    "GET /appliance/users/{user}/limits": _ok("Limits"),
    "PATCH /appliance/users/{user}/limits": _ok("Limits"),
    "GET /appliance/groups/{group}/limits": _ok("Limits"),
    "PATCH /appliance/groups/{group}/limits": _ok("Limits"),
    "POST /appliance/users/{user}/out-of-memory": _empty(204),
    "GET /appliance/users/{user}/server/log": _LOG,
    "GET /appliance/users/{user}/servers/{server}/log": _LOG,
    # Joining
    "GET /appliance/classes/{group}/invites": _ok(many(ref("Invite"))),
    "POST /appliance/classes/{group}/invites": _ok("Invite", status=201),
    "GET /appliance/classes/{group}/invites/{invite}": _ok("Invite"),
    "DELETE /appliance/classes/{group}/invites/{invite}": _empty(204),
    "GET /appliance/classes/{group}/waiting": _ok(many(ref("Waiter"))),
    "POST /appliance/classes/{group}/waiting/approve": _ok("Decided"),
    "POST /appliance/classes/{group}/waiting/reject": _ok("Decided"),
    "GET /appliance/invites": _ok(many(ref("Invite"))),
    "POST /appliance/invites": _ok("Invite", status=201),
    "GET /appliance/invites/{invite}": _ok("Invite"),
    "DELETE /appliance/invites/{invite}": _empty(204),
    "GET /appliance/waiting": _ok(many(ref("Waiter"))),
    "POST /appliance/waiting/approve": _ok("Decided"),
    "POST /appliance/waiting/reject": _ok("Decided"),
    "POST /appliance/join": _ok("Joined", identified=True),
    # Materials of classes
    "GET /appliance/classes/{group}/roster": _CSV,
    "POST /appliance/classes/{group}/roster": _ok("MadeRoster", status=201),
    "POST /appliance/classes/{group}/roster/preview": _ok("RosterPreview"),
    "POST /appliance/classes/{group}/roster/passwords": _ok("MadeCards"),
    "GET /appliance/roster": _CSV,
    "POST /appliance/roster": _ok("MadeRoster", status=201),
    "POST /appliance/roster/preview": _ok("RosterPreview"),
    "GET /appliance/classes/{group}/materials": _ok("Materials"),
    "GET /appliance/classes/{group}/files": _ok(many(ref("Entry")), query={"folder": TEXT}),
    "PUT /appliance/classes/{group}/files/{path}": Answers(
        {201: ref("Stored")}, body={}, body_media="application/octet-stream"
    ),
    "POST /appliance/classes/{group}/handouts": _ok("Handout", status=201),
    "GET /appliance/classes/{group}/handouts/{number}": _ok("HandoutInFull"),
    "DELETE /appliance/classes/{group}/handouts/{number}": _empty(204),
    "POST /appliance/classes/{group}/handouts/{number}/again": _ok("Handout"),
    "POST /appliance/classes/{group}/collections": _ok("Collection", status=201),
    "GET /appliance/classes/{group}/collections/{number}": _ok("CollectionInFull"),
    "GET /appliance/classes/{group}/nbgrader": _ok("Nbgrader"),
    "PUT /appliance/classes/{group}/nbgrader": _ok("Nbgrader"),
}  # fmt: skip
