"""The hub behind the proxy, and the log-in."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Final

from appliance import __version__
from appliance.client.hub import HubUnreachable
from appliance.config.rendered import HUB_FILE, read_rendered
from appliance.db import migrations
from appliance.db.errors import DatabaseGoneError
from appliance.doctor.browser import Answer
from appliance.doctor.front import OF_THE_PROXY
from appliance.doctor.layer import Walk, check_socket, check_unit, log_command, starting
from appliance.doctor.report import Broken, Fix
from appliance.doctor.settings import MEND, damaged, render_again
from appliance.doctor.system import as_account
from appliance.errors import ApplianceError, ConfigError
from appliance.names import CHECK_USER, CHECK_USERS
from appliance.places import Places
from appliance.rollout.health import VERSION_HEADER
from appliance.rollout.services import HUB_UNIT

_SOCKETS: Final = ("appliance-hub.socket", "appliance-hub-admin.socket", HUB_UNIT)
_ACCOUNT: Final = "appliance-hub"


def hub(walk: Walk) -> str:
    """The hub answers root directly and people through the proxy, and its database is sound."""
    places = walk.places
    check_unit(walk, "hub", explain=lambda: _why_not_started(walk))
    check_socket(walk, places.admin_socket, *_SOCKETS)
    check_socket(walk, places.hub_socket, *_SOCKETS)
    try:
        status = walk.hub.status()
    except HubUnreachable as error:
        raise Broken(
            "the hub runs and does not answer",
            why=error.why, mend=f"sudo systemctl restart {HUB_UNIT}; {log_command(walk, 'hub')}",
            log=() if places.trial else walk.system.journal(HUB_UNIT),
            fix=None if places.trial else starting(walk.system, HUB_UNIT),
        ) from error  # fmt: skip
    why = database_fault(walk)
    if why:
        raise Broken("the database is damaged", why=why, mend=_restore())
    _check_through_proxy(walk)
    fault = status.get("proxy", {}).get("fault", "")
    if fault:
        raise Broken(
            "the program in front of nginx can't be used", why=str(fault),
            mend="sudo appliance config get proxy", layer="proxy",
        )  # fmt: skip
    users = status["users"]["total"]
    if not users and (known := _people_with_accounts(places)):
        raise Broken(
            "the database knows nobody",
            why=f"accounts of people on this machine: {known}; the database is another one, or "
            "was removed and made anew",
            mend=_restore(),
        )
    return f"version {status['version']} answers; users in the database: {users}"


def _people_with_accounts(places: Places) -> int:
    """How many the daemon has in its list; another check tells of a list that can't be read."""
    try:
        rows = json.loads(account_files(places).read_bytes())["accounts"]
        ready = [row for row in rows if row["state"] == "ready"]
        return len({row["user"] for row in ready} - CHECK_USERS)
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _check_through_proxy(walk: Walk) -> None:
    answer = walk.browser.get(walk.path("hub/login"))
    if answer.status in OF_THE_PROXY:
        # The hub's own socket was fine a moment ago.
        raise Broken(
            "the proxy can't reach the hub, which answers",
            why=f"nginx says {answer.status}; mode or owner of {walk.places.hub_socket} are wrong",
            mend=f"sudo systemctl restart {' '.join(_SOCKETS)}",
            fix=None if walk.places.trial else starting(walk.system, *_SOCKETS),
            layer="proxy",
        )
    if answer.status != 200:
        raise Broken(
            "the hub can't show the log-in page",
            why=f"{answer.status}: {answer.said}",
            mend=log_command(walk, "hub"),
        )
    version = answer.headers.get(VERSION_HEADER, "")
    if version != __version__:
        walk.warnings.append(
            f"the hub that runs is version {version}, installed is {__version__}: "
            f"sudo systemctl restart {HUB_UNIT}"
        )


def _why_not_started(walk: Walk) -> Broken | None:
    """What keeps the hub from starting, where that can be known."""
    path = walk.places.rendered / HUB_FILE
    try:
        read_rendered(path)
    except ConfigError as error:
        reason = str(error.problems[0]) if error.problems else error.why
        is_fixable = HUB_FILE in damaged(walk.places)
        fix = Fix("write hub.json once more and start the hub", partial(_write_and_start, walk))
        return Broken(
            "the hub can't read its settings",
            why=f"{path}: {reason}", mend=MEND, fix=fix if is_fixable else None,
        )  # fmt: skip
    why = database_fault(walk)
    if why:
        gone = DatabaseGoneError(walk.places.database)
        mend = _restore() if walk.places.database.exists() else gone.mend
        return Broken("the hub can't open its database", why=why, mend=mend)
    return None


def _write_and_start(walk: Walk) -> None:
    render_again(walk.places)
    walk.system.start(HUB_UNIT)


def _restore() -> str:
    return "sudo appliance backup list, then sudo appliance restore NAME"


_PROGRAM: Final = """\
import json, sqlite3, sys
path, said = sys.argv[1], {"fault": "", "revision": ""}
try:
    db = sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=5)
    found = [row[0] for row in db.execute("PRAGMA quick_check(3)")]
    if found != ["ok"]:
        said["fault"] = "; ".join(found)
    said["revision"] = db.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    if not said["fault"]:
        db.execute("BEGIN IMMEDIATE")
        db.execute("CREATE TABLE written_by_the_doctor (n)")
        db.execute("ROLLBACK")
except (sqlite3.Error, OSError, TypeError) as error:
    said["fault"] = said["fault"] or str(error)
print(json.dumps(said))
"""


def database_fault(walk: Walk) -> str:
    """What is wrong with the database; it is opened by the hub's account, so that no file of it
    ends up with root."""
    path = walk.places.database
    if not path.exists():
        return f"there is no {path}" if not walk.places.trial else ""
    command = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(path)]
    if not walk.places.trial:
        command = as_account(_ACCOUNT, command)
    done = walk.system.run(*command, seconds=20)
    try:
        said = json.loads(done.out)
    except ValueError:
        return f"it can't be looked at: {done.said}"
    if said["fault"] == "database is locked":
        return ""
    revision = said["revision"]
    if not said["fault"] and revision not in migrations.REVISIONS:
        return f"its schema {revision!r} is newer than this version's {migrations.HEAD!r}"
    return str(said["fault"])


def log_in(walk: Walk) -> str:
    """The check user comes in by the log-in page, as everybody does."""
    if not walk.password:
        walk.password = _open_account(walk)
    login = walk.path("hub/login")
    fields = {"username": CHECK_USER, "password": walk.password, "next": walk.path("hub/home")}
    answer = walk.browser.submit(login, fields)
    if answer.path == login:
        raise _refused(walk, answer)
    home = answer if answer.status != 200 else walk.browser.get(walk.path("hub/home"))
    if home.status != 200 or CHECK_USER not in home.text:
        raise Broken(
            "the log-in was accepted, and the next page is not the user's own",
            why=f"{home.path} answers {home.status}: {home.said}",
            mend=log_command(walk, "hub"),
        )
    return f"{CHECK_USER} logged in by the page, and was known afterwards"


def _open_account(walk: Walk) -> str:
    try:
        return str(walk.hub.request("POST", "/appliance/check-user")["password"])
    except ApplianceError as error:
        mend = error.mend or log_command(walk, "hub")
        raise Broken(error.what, why=error.why, mend=mend, log=error.log) from error


def _refused(walk: Walk, answer: Answer) -> Broken:
    if answer.status == 429:
        return Broken(
            "the hub lets nobody log in just now",
            why="too many log-ins failed: somebody may be trying out passwords",
            mend="sudo appliance audit --action auth.log-in; wait a minute",
        )
    return Broken(
        "the right password was refused",
        why=f"{answer.path} answers {answer.status}: {answer.said}",
        mend=log_command(walk, "hub"),
    )


def account_files(places: Places) -> Path:
    """Where the spawner daemon keeps which Unix account is whose."""
    return places.spawner_state / "accounts.json"
