"""What both hubs are asked, in this order: reads by everybody, writes good and bad, and pages.

`{name}` in a path, header or body stands for what an earlier step kept under that name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.component.differential.hubs import SERVICE_TOKENS

ANYBODY: Final = ("engineer", "culler", "physicist", "nobody", "ada", "bob", "reader", "wrong", "")
PAGED: Final = {"Accept": "application/jupyterhub-pagination+json"}


@dataclass(frozen=True, slots=True)
class Step:
    """One request; `who` is whose token it carries, "" for none."""

    who: str
    method: str
    path: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    keep: dict[str, str] = field(default_factory=dict)
    """Names under which fields of the answer are kept for later steps."""

    @property
    def name(self) -> str:
        body = "" if self.body is None else f" {shown(self.body)}"
        paged = " paged" if self.headers == PAGED else ""
        return f"{self.who or 'nobody known'}: {self.method} {self.path}{body}{paged}"

    def encoded(self) -> bytes:
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def shown(body: Any) -> str:
    """A body in a step's name."""
    text = body.decode("latin-1") if isinstance(body, bytes) else json.dumps(body)
    return text if len(text) <= 100 else f"{text[:60]}… ({len(text)} characters)"


def api(who: str, method: str, path: str, body: Any = None, **more: Any) -> Step:
    return Step(who, method, f"/hub/api{path}", body, **more)


def all_steps() -> Iterator[Step]:
    yield from _people()
    yield from _reads()
    yield from _lists()
    yield from _bad_users()
    yield from _users()
    yield from _tokens()
    yield from _groups()
    yield from _servers()
    yield from _named_servers()
    yield from _activity()
    yield from _shares()
    yield from _services()
    yield from _hub()
    yield from _pages()


def _people() -> Iterator[Step]:
    """The users, groups and tokens that the rest is about."""
    yield api("engineer", "POST", "/proxy")
    yield api("engineer", "POST", "/users", {"usernames": ["ada"], "admin": True})
    yield api("engineer", "POST", "/users", {"usernames": ["bob", "carol", "dave"]})
    yield api("engineer", "POST", "/groups/physics", {"users": ["bob", "carol"]})
    yield api("engineer", "POST", "/groups/chemistry", {"users": ["dave"]})
    for name in ("ada", "bob", "carol"):
        yield api(
            "engineer", "POST", f"/users/{name}/tokens", {"note": f"of {name}"},
            keep={name: "token", f"{name}_id": "id"},
        )  # fmt: skip
    yield api(
        "engineer", "POST", "/users/bob/tokens",
        {"note": "narrow", "scopes": ["read:users!user=bob"], "expires_in": 3600},
        keep={"reader": "token"},
    )  # fmt: skip


def _reads() -> Iterator[Step]:
    paths = (
        "", "/", "/info", "/user", "/users", "/users/bob", "/users/ada", "/users/ghost",
        "/users/bob/tokens", "/users/bob/tokens/{bob_id}", "/users/ghost/tokens",
        "/users/bob/tokens/a99999",
        "/users/bob/server", "/users/bob/servers/lab", "/users/bob/server/progress",
        "/users/bob/shared", "/users/ghost/shared",
        "/groups", "/groups/physics", "/groups/chemistry", "/groups/ghosts",
        "/groups/physics/shared",
        "/services", "/services/culler", "/services/web", "/services/ghost",
        "/proxy", "/shares/bob", "/shares/bob/", "/share-codes/bob/", "/no/such/thing",
        "/authorizations/token/nonsense", "/metrics", "/health",
    )  # fmt: skip
    for path in paths:
        for who in ANYBODY:
            yield api(who, "GET", path)
    for path in ("/users", "/user", "/groups", "/info", "/no/such/thing"):
        yield api("engineer", "OPTIONS", path)
        yield api("engineer", "HEAD", path)
        yield api("engineer", "DELETE", path)
    yield Step("", "GET", "/hub/api/user", headers={"Authorization": f"Bearer {_ENGINEER}"})
    yield Step("", "GET", "/hub/api/user", headers={"Authorization": f"TOKEN {_ENGINEER}"})
    yield Step("", "GET", "/hub/api/user", headers={"Authorization": _ENGINEER})
    yield Step("", "GET", "/hub/api/user", headers={"Authorization": "Basic YWRhOmFkYQ=="})
    yield Step("", "GET", f"/hub/api/user?token={_ENGINEER}")


_ENGINEER: Final = SERVICE_TOKENS["engineer"]


def _lists() -> Iterator[Step]:
    queries = (
        "?limit=2", "?limit=2&offset=1", "?offset=50", "?limit=0", "?limit=-2", "?limit=many",
        "?offset=x",
        "?limit=1000", "?state=active", "?state=ready", "?state=inactive", "?state=odd",
        "?sort=name",
        "?sort=-name", "?sort=id", "?sort=-last_activity", "?sort=age", "?name_filter=A",
        "?name_filter=%25",
        "?include_stopped_servers", "?state=inactive&limit=2",
    )  # fmt: skip
    for query in queries:
        yield api("engineer", "GET", f"/users{query}")
        yield api("engineer", "GET", f"/users{query}", headers=PAGED)
    for query in ("", "?limit=1", "?limit=1&offset=1", "?limit=x"):
        yield api("engineer", "GET", f"/groups{query}", headers=PAGED)
        yield api("physicist", "GET", f"/groups{query}", headers=PAGED)
        yield api("physicist", "GET", f"/users{query}", headers=PAGED)
        yield api("engineer", "GET", f"/proxy{query}", headers=PAGED)


_BROKEN: Final = (
    b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"{}", b'{"a": NaN}', b'{"unknown": 1}',
    b"[" * 3000, b"7",
)  # fmt: skip


def _bad_users() -> Iterator[Step]:
    for body in _BROKEN:
        yield api("engineer", "POST", "/users", body)
        yield api("engineer", "PATCH", "/users/bob", body)
    for names in ([], "bob", [1], ["a/b"], [""], [".."], ["bob"], ["ok1", "bad/one"], None):
        yield api("engineer", "POST", "/users", {"usernames": names})
    yield api("engineer", "POST", "/users", {"usernames": ["ok2"], "admin": "yes"})
    yield api("engineer", "POST", "/users", {"usernames": ["ok3"], "colour": "red"})
    for who in ANYBODY:
        yield api(who, "POST", "/users", {"usernames": ["nope"]} if who != "engineer" else {})
        yield api(who, "PATCH", "/users/carol", {"admin": True} if who != "engineer" else {})
        yield api(who, "DELETE", "/users/ghost")
        yield api(who, "POST", "/users/carol/tokens", {"expires_in": "soon"})
        yield api(who, "POST", "/users/carol/server", b"{")


def _users() -> Iterator[Step]:
    yield api("engineer", "POST", "/users/erin")
    yield api("engineer", "POST", "/users/erin")
    yield api("engineer", "POST", "/users/frank", {"admin": True})
    yield api("engineer", "POST", "/users/Grace")
    yield api("engineer", "POST", "/users/we%20ird")
    yield api("engineer", "GET", "/users/grace")
    yield api("engineer", "PATCH", "/users/erin", {"admin": True})
    yield api("engineer", "PATCH", "/users/erin", {"admin": False})
    yield api("engineer", "PATCH", "/users/erin", {"name": "erika"})
    yield api("engineer", "GET", "/users/erin")
    yield api("engineer", "GET", "/users/erika")
    yield api("engineer", "PATCH", "/users/erika", {"name": "bob"})
    yield api("engineer", "PATCH", "/users/erika", {"name": "a/b"})
    yield api("engineer", "PATCH", "/users/erika", {"name": 7})
    yield api("engineer", "PATCH", "/users/ghost", {"name": "spirit"})
    yield api("engineer", "POST", "/users", {"usernames": ["henry", "bob"]})
    yield api("ada", "DELETE", "/users/ada")
    yield api("bob", "DELETE", "/users/erika")
    yield api("ada", "DELETE", "/users/henry")
    yield api("engineer", "DELETE", "/users/erika")
    yield api("engineer", "DELETE", "/users/erika")
    yield api("engineer", "DELETE", "/users/frank")
    yield api("engineer", "DELETE", "/users/grace")


def _tokens() -> Iterator[Step]:
    for body in (
        {}, None, {"note": "x" * 200}, {"note": 5}, {"expires_in": 60}, {"expires_in": 0},
        {"expires_in": -5},
        {"expires_in": 1.5}, {"expires_in": None}, {"scopes": []}, {"scopes": ["no:such"]},
        {"scopes": "self"},
        {"scopes": ["admin:users"]}, {"scopes": ["read:users!user=ada"]},
        {"scopes": ["read:users!odd=1"]},
        {"roles": ["user"]}, {"roles": ["no-role"]}, {"roles": ["token"]},
        {"roles": ["user"], "scopes": ["self"]},
        {"colour": "red"}, {"auth": {"username": "bob", "password": "wrong"}},
    ):  # fmt: skip
        yield api("bob", "POST", "/users/bob/tokens", body)
    for body in _BROKEN:
        yield api("bob", "POST", "/users/bob/tokens", body)
    for who in ANYBODY:
        yield api(who, "POST", "/users/carol/tokens", {"note": "for another"})
    yield api("engineer", "POST", "/users/ghost/tokens", {})
    yield api("ada", "POST", "/users/bob/tokens", {"scopes": ["read:users!user=bob"]})
    yield api(
        "bob",
        "POST",
        "/users/bob/tokens",
        {"note": "brief"},
        keep={"brief": "id", "brief_token": "token"},
    )
    yield api("bob", "GET", "/users/bob/tokens/{brief}")
    yield Step(
        "",
        "GET",
        "/hub/api/authorizations/token/{brief_token}",
        headers={"Authorization": f"token {_ENGINEER}"},
    )
    yield api("carol", "GET", "/users/bob/tokens/{brief}")
    yield api("carol", "DELETE", "/users/bob/tokens/{brief}")
    yield api("bob", "DELETE", "/users/bob/tokens/{brief}")
    yield api("bob", "DELETE", "/users/bob/tokens/{brief}")
    yield api("bob", "DELETE", "/users/bob/tokens/nonsense")
    yield Step("", "GET", "/hub/api/user", headers={"Authorization": "token {brief_token}"})
    yield api("engineer", "POST", "/authorizations/token", {})
    yield api("engineer", "GET", "/authorizations/cookie/a/b")


def _groups() -> Iterator[Step]:
    yield api("engineer", "POST", "/groups", {"groups": ["maths", "art"], "users": ["bob"]})
    yield api("engineer", "POST", "/groups", {"groups": ["maths", "music"]})
    yield api("engineer", "POST", "/groups", {"groups": "maths"})
    yield api("engineer", "POST", "/groups/maths", {})
    yield api("engineer", "POST", "/groups/drama", {"users": ["ghost"]})
    yield api("engineer", "GET", "/groups/drama")
    for body in _BROKEN:
        yield api("engineer", "POST", "/groups", body)
        yield api("engineer", "POST", "/groups/maths/users", body)
        yield api("engineer", "PUT", "/groups/maths/properties", body)
    yield api("engineer", "POST", "/groups/maths/users", {"users": ["carol", "dave"]})
    yield api("engineer", "POST", "/groups/maths/users", {"users": ["carol"]})
    yield api("engineer", "POST", "/groups/maths/users", {"users": ["ghost"]})
    yield api("engineer", "POST", "/groups/ghosts/users", {"users": ["bob"]})
    yield api("engineer", "DELETE", "/groups/maths/users", {"users": ["carol"]})
    yield api("engineer", "DELETE", "/groups/maths/users", {"users": ["ghost"]})
    yield api("engineer", "DELETE", "/groups/maths/users")
    yield api("engineer", "PUT", "/groups/maths/properties", {"room": 7, "deep": {"a": [1]}})
    yield api("engineer", "GET", "/groups/maths")
    yield api("engineer", "GET", "/users/bob")
    for who in ANYBODY:
        yield api(who, "POST", "/groups/physics/users", {"users": []})
        yield api(who, "POST", "/groups/new-one", {"users": 5})
        yield api(who, "PUT", "/groups/chemistry/properties", {})
        yield api(who, "DELETE", "/groups/ghosts")
    yield api("engineer", "DELETE", "/groups/maths")
    yield api("engineer", "DELETE", "/groups/maths")
    yield api("engineer", "DELETE", "/groups/art")


def _servers() -> Iterator[Step]:
    yield api("bob", "GET", "/users/bob/server")
    yield api("bob", "DELETE", "/users/bob/server")
    yield api("bob", "POST", "/users/bob/server", {"colour": "blue"})
    yield api("bob", "POST", "/users/bob/server")
    yield api("bob", "GET", "/users/bob/server")
    yield api("bob", "GET", "/users/bob/server/progress")
    yield api("bob", "GET", "/users/bob")
    yield api("culler", "GET", "/users?state=ready")
    yield api("engineer", "GET", "/users/bob")
    yield api("physicist", "GET", "/users/bob")
    yield api("reader", "GET", "/users/bob")
    yield api("carol", "GET", "/users/bob")
    yield api("engineer", "GET", "/proxy")
    yield api("carol", "DELETE", "/users/bob/server")
    yield api("reader", "DELETE", "/users/bob/server")
    yield api("physicist", "DELETE", "/users/dave/server")
    yield api("bob", "DELETE", "/users/bob/server", {"remove": True})
    yield api("bob", "DELETE", "/users/bob/server", b"{")
    yield api("culler", "DELETE", "/users/bob/server")
    yield api("culler", "DELETE", "/users/bob/server")
    yield api("engineer", "GET", "/users/bob/server")
    yield api("engineer", "GET", "/users/bob?include_stopped_servers")
    yield api("culler", "POST", "/users/bob/server")
    yield api("engineer", "POST", "/users/ghost/server")
    yield api("engineer", "DELETE", "/users/ghost/server")
    yield api(
        "bob", "POST", "/users/bob/server", {"user_options": {"size": 2}, "display_name": "Big"}
    )
    yield api("bob", "GET", "/users/bob/server")
    yield api("bob", "DELETE", "/users/bob/server")
    for body in _BROKEN:
        yield api("bob", "POST", "/users/bob/server", body)
        yield api("bob", "DELETE", "/users/bob/server")


def _named_servers() -> Iterator[Step]:
    yield api("bob", "PUT", "/users/bob/servers/lab", {"display_name": "The Lab"})
    yield api("bob", "PUT", "/users/bob/servers/lab", {})
    yield api("bob", "GET", "/users/bob/servers/lab")
    yield api("bob", "GET", "/users/bob/servers/lab/progress")
    yield api("bob", "PATCH", "/users/bob/servers/lab", {"display_name": "Another"})
    yield api("bob", "PATCH", "/users/bob/servers/lab", {"name": "den"})
    yield api("bob", "GET", "/users/bob/servers/lab")
    yield api("bob", "POST", "/users/bob/servers/den", {"user_options": {"a": 1}})
    yield api("bob", "PATCH", "/users/bob/servers/den", {"name": "lair"})
    yield api("bob", "PATCH", "/users/bob/servers/den", {})
    yield api("bob", "GET", "/users/bob/servers/den")
    yield api("bob", "POST", "/users/bob/servers/den")
    yield api("engineer", "GET", "/users/bob")
    for name in ("UPPER", "a_b", "-a", "a-", "a--b", "1a", "x" * 31, "a%20b", "%C3%BC"):
        yield api("bob", "POST", f"/users/bob/servers/{name}")
    yield api("bob", "POST", "/users/bob/servers/two")
    yield api("bob", "POST", "/users/bob/servers/three")
    yield api("bob", "POST", "/users/bob/servers/four")
    yield api("bob", "PUT", "/users/bob/servers/five", {})
    for name in ("", " edge", "two  blanks", "x" * 256, "tab\there", 5):
        yield api("bob", "PATCH", "/users/bob/servers/den", {"display_name": name})
    yield api("bob", "DELETE", "/users/bob/servers/den", {"remove": True})
    yield api("bob", "DELETE", "/users/bob/servers/den")
    yield api("bob", "DELETE", "/users/bob/servers/two")
    yield api("bob", "GET", "/users/bob/servers/two")
    yield api("bob", "GET", "/users/bob?include_stopped_servers")
    yield api("bob", "DELETE", "/users/bob/servers/two", {"remove": True})
    yield api("bob", "DELETE", "/users/bob/servers/three", {"remove": "yes"})
    yield api("bob", "DELETE", "/users/bob/servers/never")
    yield api("bob", "POST", "/users/bob/servers/")
    yield api("bob", "DELETE", "/users/bob/servers/")


def _activity() -> Iterator[Step]:
    yield api("bob", "POST", "/users/bob/activity", {"last_activity": "2030-01-01T00:00:00Z"})
    for body in (
        {}, {"last_activity": "yesterday"}, {"last_activity": 5}, {"servers": {}}, {"servers": []},
        {"servers": {"ghost": {"last_activity": "2020-01-01T00:00:00Z"}}}, {"servers": {"": {}}},
        {"last_activity": "2020-01-01T00:00:00Z"}, {"last_activity": "2020-01-01T00:00:00+02:00"},
        {"last_activity": None},
    ):  # fmt: skip
        yield api("bob", "POST", "/users/bob/activity", body)
    for who in ANYBODY:
        yield api(who, "POST", "/users/carol/activity", {"last_activity": "2020-01-01T00:00:00Z"})
    yield api(
        "engineer", "POST", "/users/ghost/activity", {"last_activity": "2020-01-01T00:00:00Z"}
    )


def _shares() -> Iterator[Step]:
    yield api("bob", "POST", "/users/bob/server")
    yield api("engineer", "POST", "/shares/bob/", {"user": "carol"})
    yield api("engineer", "GET", "/shares/bob/")
    yield api("engineer", "GET", "/shares/bob")
    yield api("engineer", "GET", "/users/carol/shared")
    yield api("engineer", "GET", "/users/carol/shared/bob/")
    yield api("carol", "GET", "/users/carol/shared")
    yield api("carol", "GET", "/user")
    yield api("engineer", "POST", "/shares/bob/", {"group": "chemistry"})
    yield api("engineer", "GET", "/groups/chemistry/shared")
    yield api("engineer", "GET", "/users/dave/shared")
    for body in (
        {}, {"user": "ghost"}, {"group": "ghosts"}, {"user": "carol", "group": "physics"},
        {"user": 5},
        {"user": "carol", "scopes": "access:servers"}, {"user": "carol", "scopes": ["no:such"]},
        {"user": "carol", "scopes": ["access:servers!server=ada/"]},
        {"user": "carol", "scopes": ["admin:users"]},
        {"user": "carol", "colour": 1}, {"user": "carol", "scopes": ["read:servers"]},
    ):  # fmt: skip
        yield api("engineer", "POST", "/shares/bob/", body)
    yield api("engineer", "POST", "/shares/bob", {"user": "carol"})
    yield api("engineer", "POST", "/shares/bob/nothing", {"user": "carol"})
    yield api("bob", "POST", "/shares/bob/", {"user": "dave"})
    yield api("carol", "POST", "/shares/bob/", {"user": "dave"})
    yield api("engineer", "PATCH", "/shares/bob/", {"user": "carol", "scopes": ["read:servers"]})
    yield api("engineer", "PATCH", "/shares/bob/", {"user": "carol"})
    yield api("engineer", "PATCH", "/shares/bob/", {"user": "carol"})
    yield api("engineer", "PATCH", "/shares/bob/", {})
    yield api("dave", "GET", "/users/dave/shared")
    yield api("engineer", "DELETE", "/groups/chemistry/shared/bob/")
    yield api("engineer", "DELETE", "/groups/chemistry/shared/bob/")
    yield api("engineer", "DELETE", "/shares/bob/")
    yield api("engineer", "GET", "/shares/bob/")
    yield api("engineer", "POST", "/share-codes/bob/", {}, keep={"code": "code", "code_id": "id"})
    yield api("engineer", "GET", "/share-codes/bob/")
    yield api("engineer", "GET", "/share-codes/bob")
    for seconds in (59, 60, 31_536_000, 31_536_001, "long", None):
        yield api("engineer", "POST", "/share-codes/bob/", {"expires_in": seconds})
    yield api("engineer", "POST", "/share-codes/bob/", {"scopes": ["no:such"]})
    yield api("engineer", "POST", "/share-codes/bob", {})
    yield api("engineer", "DELETE", "/share-codes/bob/?id={code_id}")
    yield api("engineer", "DELETE", "/share-codes/bob/?code={code}")
    yield api("engineer", "DELETE", "/share-codes/bob/")
    yield api("engineer", "GET", "/share-codes/bob/")
    yield api("bob", "DELETE", "/users/bob/server")


def _services() -> Iterator[Step]:
    for body in (*_BROKEN, {"command": ["true"]}, {"url": 5}, {"name": "other"}):
        yield api("engineer", "POST", "/services/fresh", body)
        yield api("engineer", "DELETE", "/services/fresh")
    yield api("engineer", "POST", "/services/fresh", {"api_token": "fresh-token-0123456789abcdef"})
    yield api("engineer", "GET", "/services/fresh")
    yield Step(
        "", "GET", "/hub/api/user", headers={"Authorization": "token fresh-token-0123456789abcdef"}
    )
    yield api("engineer", "POST", "/services/fresh", {})
    yield api("engineer", "POST", "/services/culler", {})
    yield api("engineer", "DELETE", "/services/culler")
    yield api("engineer", "DELETE", "/services/fresh")
    yield api("engineer", "DELETE", "/services/fresh")
    yield api("bob", "POST", "/services/bobs", {})


def _hub() -> Iterator[Step]:
    yield api("engineer", "POST", "/proxy")
    yield api("bob", "POST", "/proxy")
    yield api("engineer", "POST", "/shutdown", {"servers": "yes"})
    yield api("engineer", "POST", "/shutdown", b"{")
    yield api("bob", "POST", "/shutdown", {})
    yield api("", "POST", "/shutdown", {})


def _pages() -> Iterator[Step]:
    for path in (
        "/", "/foo", "/foo?a=b", "/hub", "/hub/", "/hub/login", "/hub/login?next=%2Fhub%2Fhome",
        "/hub/home",
        "/hub/spawn", "/hub/spawn/bob", "/hub/spawn-pending/bob", "/hub/token", "/hub/admin",
        "/hub/user/bob/",
        "/hub/user/bob/api/kernels", "/user/bob/lab", "/user/bob", "/hub/user-redirect/lab",
        "/hub/nothing",
        "/hub/health", "/hub/api/health", "/hub/metrics", "/hub/accept-share?code=x",
        "/hub/error/503", "/hub/error/404",
        "/hub/api/oauth2/authorize", "/hub/logout", "/services/web",
    ):  # fmt: skip
        yield Step("", "GET", path)
    for path in ("/hub/user/bob/", "/hub/user/bob/api/kernels", "/hub/user/ghost/", "/hub/metrics"):
        yield Step("bob", "GET", path)
        yield Step("bob", "POST", path, {})
    for body in (
        "", "grant_type=authorization_code", "grant_type=password&username=a&password=b",
        "grant_type=authorization_code&client_id=service-web&client_secret=wrong&code=x&redirect_uri=/",
        "grant_type=authorization_code&client_id=service-web&client_secret=web-token-0123456789abcdef"
        "&code=x&redirect_uri=/services/web/oauth_callback",
        "grant_type=refresh_token&client_id=service-web&client_secret=web-token-0123456789abcdef",
    ):  # fmt: skip
        yield Step(
            "", "POST", "/hub/api/oauth2/token", body.encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )  # fmt: skip
