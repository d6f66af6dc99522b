"""A teacher acts on another class, on its students and teachers, and on admins: by every page and
by every request of the API. All of it is refused, and nothing changes.

Each pattern is in the table below. A new one that isn't makes the test fail, so that whoever adds a
page or a request says whose it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import select

from appliance.db.models import Table
from appliance.hub.api import routes as api
from appliance.hub.pages import routes as pages
from appliance.names import ServerId, Username
from appliance.web.guards import MARK
from appliance.web.parts import Pattern
from tests.fakes.class_people import ClassPeople, class_people
from tests.fakes.hub_machine import Browser, Machine

VERBS: Final = ("get", "post", "put", "patch", "delete")
REFUSED: Final = frozenset({403, 404})

# Whose each address is; the names of patterns are those of their groups, as in {user}.
# public: anybody's, or it looks by itself who asks and shows what is theirs.
# own: the asker's own things; an address that names somebody is in the other lists.
# class: of one class. user: of one user. admin: of the whole appliance.
TABLE: Final[dict[str, str]] = {}
for _kind, _patterns in {
    "public": """
        /api/? /api/user /(?:api/)?health /api/openapi\\.json /(?:api/)?metrics
        /api/authorizations/token /api/authorizations/token/{token}
        /api/authorizations/cookie/{cookie}/{value} /api/oauth2/token
        /login /logout /login/second /login/passkey /login/passkey/finish /forgot /signup
        /signup/waiting /signup/waiting/stage /join /join/{code} /setup /language
        /error/{status}
    """,
    "own": """
        /api/oauth2/authorize /api/appliance/messages /api/appliance/messages/stream
        /api/appliance/messages/{message}/seen /api/appliance/messages/{message}/act
        /api/appliance/visits
        /api/appliance/visits/{visit} /api/appliance/join /api/appliance/servers
        /api/appliance/classes /api/users/? /api/groups/? /api/services/?
        /? /user-redirect(?:/{path})? /password /password/judge /account
        /account/email /account/second-factor
        /account/passkeys /account/passkeys/begin /account/passkeys/finish /home /home/stop
        /home/servers /home/keep /home/forget /messages /token /token/revoke /accept-share /classes
        /cards/{key} /cards/{key}/csv
    """,
    "class": """
        /api/groups/{group} /api/groups/{group}/users /api/groups/{group}/properties
        /api/groups/{group}/shared /api/groups/{group}/shared/{owner}/{of}
        /api/appliance/classes/{group} /api/appliance/classes/{group}/teachers/{teacher}
        /api/appliance/classes/{group}/members /api/appliance/classes/{group}/archive
        /api/appliance/classes/{group}/materials /api/appliance/classes/{group}/files
        /api/appliance/classes/{group}/files/{path} /api/appliance/classes/{group}/handouts
        /api/appliance/classes/{group}/handouts/{number}
        /api/appliance/classes/{group}/handouts/{number}/again
        /api/appliance/classes/{group}/collections
        /api/appliance/classes/{group}/collections/{number}
        /api/appliance/classes/{group}/nbgrader /api/appliance/classes/{group}/messages
        /api/appliance/classes/{group}/live /api/appliance/classes/{group}/live/stream
        /api/appliance/classes/{group}/servers /api/appliance/classes/{group}/keep
        /api/appliance/classes/{group}/exam
        /api/appliance/classes/{group}/invites
        /api/appliance/classes/{group}/invites/{invite} /api/appliance/classes/{group}/waiting
        /api/appliance/classes/{group}/waiting/approve
        /api/appliance/classes/{group}/waiting/reject
        /api/appliance/classes/{group}/roster /api/appliance/classes/{group}/roster/passwords
        /api/appliance/classes/{group}/roster/preview
        /api/appliance/groups/{group}/limits /classes/{group}/limits
        /classes/{group} /classes/{group}/do /classes/{group}/settings /classes/{group}/end
        /classes/{name}/joining /classes/{name}/joining/codes
        /classes/{name}/joining/codes/{number}/revoke /classes/{name}/joining/codes/{number}/show
        /classes/{name}/joining/codes/{number}/count /classes/{name}/joining/waiting
        /classes/{name}/joining/reject /classes/{name}/joining/rules
        /classes/{group}/roster /classes/{group}/roster/add /classes/{group}/roster/passwords
        /classes/{group}/roster/take-out /classes/{group}/roster/export
        /classes/{group}/roster/jobs/{key} /classes/{group}/roster/lists
        /classes/{group}/roster/lists/{key} /classes/{group}/roster/lists/{key}/to-mend
        /classes/{name}/materials /classes/{name}/materials/links
        /classes/{name}/materials/hand-outs/{number} /classes/{name}/materials/collections/{number}
        /classes/{name}/materials/upload
    """,
    "user": """
        /api/users/{user} /api/users/{user}/tokens /api/users/{user}/tokens/{token}
        /api/users/{user}/server{server} /api/users/{user}/servers/{server}
        /api/users/{user}/server{server}/progress /api/users/{user}/servers/{server}/progress
        /api/users/{user}/admin-access /api/users/{user}/activity
        /api/users/{user}/shared /api/users/{user}/shared/{owner}/{of}
        /api/shares/{user} /api/shares/{user}/{server} /api/share-codes/{user}
        /api/share-codes/{user}/{server} /api/appliance/users/{user}/server{server}/log
        /api/appliance/users/{user}/server{server}/keep
        /api/appliance/users/{user}/limits /api/appliance/users/{user}/out-of-memory
        /api/appliance/users/{user}/servers/{server}/keep
        /api/appliance/users/{user}/servers/{server}/log /api/appliance/users/{user}/approve
        /api/appliance/users/{user}/password /api/appliance/users/{user}/setup-link
        /api/appliance/users/{user}/factors /api/appliance/users/{user}/throttle
        /api/appliance/users/{user}/sessions /api/appliance/users/{user}/sessions/{session}
        /api/appliance/users/{user}/lock /api/appliance/users/{user}/messages
        /api/appliance/users/{user}/visits
        /users/{user}/access /spawn(?:/{user}(?:/{name})?)?/? /spawn-pending/{user}(?:/{name})?/?
        /user/{user}{path}?
    """,
    "admin": """
        /api/info /api/appliance/status /api/appliance/health /api/appliance/check-user
        /api/appliance/disk
        /admin/users/{name}/limits /api/appliance/limits
        /admin/status /api/services/{service} /api/proxy /api/shutdown
        /api/appliance/users /api/appliance/apply-limits /api/appliance/mail
        /api/appliance/mail/test /api/appliance/archives /api/appliance/archives/{number}
        /api/appliance/archives/{number}/restore /api/appliance/invites
        /api/appliance/invites/{invite} /api/appliance/waiting /api/appliance/waiting/approve
        /api/appliance/waiting/reject
        /api/appliance/roster /api/appliance/roster/preview
        /admin /admin/actions /admin/users/{name} /admin/users/{name}/log /admin/remove /admin/add
        /admin/add/jobs/{key} /admin/add/lists/{key} /admin/add/lists/{key}/to-mend /admin/export
        /admin/joining /admin/joining/codes /admin/joining/codes/{number}/revoke
        /admin/joining/codes/{number}/show /admin/joining/codes/{number}/count
        /admin/joining/waiting /admin/joining/reject /new-class /archives /archives/{number}
        /archives/{number}/people\\.csv
    """,
}.items():
    TABLE.update(dict.fromkeys(_patterns.split(), _kind))

# Lists of which everybody gets their own part; making something new there is an admin's.
LISTS: Final = {
    "/api/users/?", "/api/groups/?", "/api/services/?", "/api/appliance/classes",
    "/api/appliance/messages",
}  # fmt: skip
# What gives power over an account: off limits with teachers and admins of one's own class, too.
POWER: Final = (
    ("PUT", "password"), ("POST", "setup-link"), ("DELETE", "factors"), ("DELETE", "throttle"),
    ("PUT", "lock"), ("DELETE", "lock"), ("POST", "approve"),
)  # fmt: skip
# The state of sessions and log-ins goes on while people ask.
NOT_COMPARED: Final = frozenset({"login_sessions", "throttles", "facts", "alembic_version"})
PASSING: Final = frozenset({"last_activity", "last_seen", "expires"})


def key(pattern: Pattern) -> str:
    """A pattern as the table has it."""
    return re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)", r"{\1}", pattern.path)


def everything() -> Iterator[tuple[str, str, str]]:
    """Each address of the hub with each method that it has: the key, the kind, the verb."""
    for pattern in (*api.handlers, *pages.handlers):
        for verb in VERBS:
            if hasattr(getattr(pattern.handler, verb, None), MARK):
                yield key(pattern), TABLE.get(key(pattern), ""), verb.upper()


def fill(pattern: str, **names: str) -> str:
    """An address of a pattern; what isn't named gets something that could be there."""
    found = re.sub(r"\(\?:([^()]*(?:\([^()]*\)\??)?[^()]*)\)\?", r"\1", pattern)
    found = re.sub(r"\(\?:([^()]*)\)\?", r"\1", found).replace("\\.", ".")
    found = found.replace("}?", "}").removesuffix("/?") or "/"
    usual = {
        "server": "", "path": "", "name": names.get("group", ""), "number": "1", "session": "1",
        "teacher": "kurt", "owner": "kurt", "of": "", "token": "a1", "key": "abc", "invite": "1",
        "service": "x", "message": "1", "visit": "1", "code": "abc", "cookie": "c", "value": "v",
        "status": "404",
    }  # fmt: skip
    return re.sub(r"\{(\w+)\}", lambda match: names.get(match[1], usual.get(match[1], "x")), found)


def actions(*, of_classes: bool = False) -> list[str]:
    """Every value of a button `do` in the templates and in the programs behind them."""
    folder = Path(pages.__file__).parents[2]
    found: set[str] = set()
    templates, programs = ["*"], "**/*"
    if of_classes:
        templates, programs = ["class*", "roster*", "joining*", "limits*"], "classroom/*"
    files = [file for name in templates for file in folder.glob(f"web/templates/{name}.html")]
    for file in [*files, *folder.glob(f"hub/pages/{programs}.py")]:
        text = file.read_text()
        found |= set(re.findall(r'name="do" value="([a-z-]+)', text))
        found |= set(re.findall(r'verb == "([a-z-]+)"', text))
    return sorted(found)


def state(machine: Machine) -> dict[str, list[str]]:
    """All that the hub knows, but for what passes by itself, and all that runs."""
    found: dict[str, list[str]] = {}
    with machine.hub.db.reading() as connection:
        for table in Table.metadata.sorted_tables:
            if table.name in NOT_COMPARED:
                continue
            columns = [column for column in table.columns if column.name not in PASSING]
            found[table.name] = sorted(map(repr, connection.execute(select(*columns))))
    found["running"] = sorted(map(str, machine.spawner.servers))
    return found


@pytest.fixture
async def people(machine: Machine) -> ClassPeople:
    """lovelace teaches algebra, and noether logic; root-ada is an admin who is in logic."""
    found = await class_people(machine)
    await machine.root("POST", "appliance/users", {"usernames": ["root-ada"], "admin": True})
    await machine.root("POST", "groups/logic/users", {"users": ["root-ada"]})
    await machine.root("POST", "users/kurt/server")
    invited = await machine.root("POST", "appliance/classes/logic/invites", {})
    assert invited.status in {200, 201}, invited.body
    return found


def test_every_address_is_in_the_table() -> None:
    missing = sorted({pattern for pattern, kind, _ in everything() if not kind})
    assert not missing, f"say in TABLE whose they are: {missing}"
    known = {pattern for pattern, _, _ in everything()}
    assert not sorted(set(TABLE) - known), "these are gone"


async def ask(browser: Browser, verb: str, path: str, fields: dict[str, str]) -> int:
    """The status that a page or a request of the API answers with."""
    if path.startswith("/api"):
        answer = await browser.api(verb, path.removeprefix("/api/"), {} if verb != "GET" else None)
    elif verb == "GET":
        answer = await browser.get(f"/hub{path}")
        if answer.status == 302:
            # An address of a form, opened as a page: it leads to the page with the form.
            answer = await browser.get(answer.location)
    else:
        answer = await browser.post(f"/hub{path}", fields)
    return answer.status


async def test_another_class_is_out_of_reach(machine: Machine, people: ClassPeople) -> None:
    before = state(machine)
    for pattern, kind, verb in everything():
        if kind == "class":
            path = fill(pattern, group="logic")
            status = await ask(people.lovelace, verb, path, {"do": "save", "user": "kurt"})
            assert status in REFUSED, (verb, path, status)
            assert state(machine) == before, (verb, path)


@pytest.mark.parametrize("user", ["kurt", "noether", "root-ada"])
async def test_people_of_other_classes_are_out_of_reach(
    machine: Machine, people: ClassPeople, user: str
) -> None:
    before = state(machine)
    for pattern, kind, verb in everything():
        if kind == "user":
            path = fill(pattern, user=user, name="")
            status = await ask(people.lovelace, verb, path, {"do": "start"})
            assert status in REFUSED, (verb, path, status)
            assert state(machine) == before, (verb, path)


async def test_what_is_the_admins_is_out_of_reach(machine: Machine, people: ClassPeople) -> None:
    before = state(machine)
    for pattern, kind, verb in everything():
        if kind == "admin" or (pattern in LISTS and verb != "GET"):
            path = fill(pattern, name="kurt")
            status = await ask(people.lovelace, verb, path, {"do": "approve", "user": "kurt"})
            assert status in REFUSED, (verb, path, status)
            assert state(machine) == before, (verb, path)


async def test_no_button_of_any_page_reaches_another_class(
    machine: Machine, people: ClassPeople
) -> None:
    before = state(machine)
    asked = 0
    assert len(actions()) > 20
    for pattern, kind, verb in everything():
        if verb != "POST" or pattern.startswith("/api") or kind not in {"class", "admin"}:
            continue
        path = fill(pattern, group="logic", name="logic" if kind == "class" else "kurt")
        for action in actions():
            for value in (action, f"{action} kurt"):
                fields = {"do": value, "user": "kurt", "users": "kurt", "into": "algebra"}
                status = await ask(people.lovelace, "POST", path, fields)
                assert status in REFUSED, (path, value, status)
                asked += 1
        assert state(machine) == before, path
    assert asked > 500


def of_others(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """What a state says of the people of logic and of admins, whose ids are known by then."""
    names = ("kurt", "noether", "root-ada", "logic")
    return {
        table: [row for row in rows if any(f"'{name}'" in row for name in names)]
        for table, rows in found.items()
    } | {table: found[table] for table in ("passwords", "teachings", "one_time_links")}


async def test_students_of_others_are_not_reached_from_ones_own_class(
    machine: Machine, people: ClassPeople
) -> None:
    """The class in the path is hers, the user in the form isn't."""
    before, asked = of_others(state(machine)), 0
    running = dict(machine.spawner.servers)
    known = actions(of_classes=True)
    for pattern, kind, verb in everything():
        own = kind == "class" and verb == "POST" and not pattern.startswith("/api")
        if not own or pattern.endswith(("/end", "/upload")):
            continue
        for user in ("kurt", "noether", "root-ada"):
            for action in known:
                for value in (action, f"{action} {user}"):
                    fields = {"do": value, "user": user, "users": user, "name": user, "to": user}
                    path = fill(pattern, group="algebra", name="algebra")
                    await people.lovelace.post(f"/hub{path}", fields)
                    asked += 1
        now = of_others(state(machine))
        assert now == before, pattern
        assert members(machine, "algebra") == ["emmy", "sophie"], pattern
        assert ServerId(Username("kurt")) in machine.spawner.servers, pattern
    assert running.keys() <= machine.spawner.servers.keys()
    assert asked > 500


async def test_bodies_that_name_students_of_others(machine: Machine, people: ClassPeople) -> None:
    before = state(machine)
    base = "appliance/classes/algebra"
    calls: list[tuple[str, str, Any]] = [
        ("POST", f"{base}/members", {"users": [{"name": "kurt"}], "generate": False}),
        ("DELETE", f"{base}/members", {"users": ["kurt"]}),
        ("POST", f"{base}/servers", {"do": "stop", "users": ["kurt"]}),
        ("POST", f"{base}/waiting/approve", {"users": ["kurt"]}),
        ("POST", f"{base}/waiting/reject", {"users": ["kurt"]}),
        ("PUT", f"{base}/teachers/emmy", {}),
        ("DELETE", f"{base}/teachers/lovelace", None),
        ("DELETE", base, None),
        ("POST", "groups/algebra/users", {"users": ["kurt"]}),
    ]
    for verb, path, body in calls:
        answer = await people.lovelace.api(verb, path, body)
        assert answer.status < 500, (verb, path, answer.body)
        assert state(machine) == before, (verb, path, answer.body)


async def test_nobody_has_power_over_a_colleague(machine: Machine, people: ClassPeople) -> None:
    """Another teacher and an admin are members of her class; still she is not above them."""
    added = await machine.root("POST", "groups/algebra/users", {"users": ["noether", "root-ada"]})
    assert added.status == 200
    before = state(machine)
    for user in ("noether", "root-ada"):
        assert (await people.lovelace.api("GET", f"users/{user}")).status == 200
        for verb, what in POWER:
            answer = await people.lovelace.api(verb, f"appliance/users/{user}/{what}", {})
            assert answer.status == 403, (verb, what, answer.body)
            assert state(machine) == before, (verb, what)


async def test_her_own_students_are_hers(machine: Machine, people: ClassPeople) -> None:
    """The same requests, so that the refusals above are not just mistakes in them."""
    lovelace = people.lovelace
    made = await lovelace.api("PUT", "appliance/users/emmy/password", {"generate": True})
    assert made.status == 200
    assert made.json["password"]
    assert (await lovelace.api("PUT", "appliance/users/emmy/lock", {})).status == 200
    assert (await lovelace.api("DELETE", "appliance/users/emmy/lock")).status == 200
    assert (await lovelace.api("POST", "users/emmy/server", {})).status in {201, 202}
    assert (await lovelace.get("/hub/classes/algebra/settings")).status == 200
    renamed = await lovelace.api("PATCH", "appliance/classes/algebra", {"title": "Algebra I"})
    assert renamed.json["title"] == "Algebra I"
    for verb, path in (("PATCH", "users/emmy"), ("DELETE", "users/emmy")):
        assert (await lovelace.api(verb, path, {"name": "other"})).status == 403


def members(machine: Machine, group: str) -> list[str]:
    found: list[str] = machine.hub.classroom.parts["classes"].members(group)
    return found
