"""What the `user` commands do: they ask the hub, which decides."""

from __future__ import annotations

import csv
import getpass
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

from appliance.cli.errors import UsageError
from appliance.cli.output import Output, age, count, stamp
from appliance.client.hub import HubClient, HubUnreachable
from appliance.config.rendered import read_rendered
from appliance.errors import ApplianceError, ConfigError
from appliance.names import Username, parse_username
from appliance.places import Places
from appliance.rollout.addresses import root_urls
from appliance.rollout.render import SPAWNER_FILE

# Passwords are hashed as they are made, slowly by design: small parts keep each answer short.
_PART: Final = 20
_SECONDS: Final = 120.0
_STATES: Final = {"waiting": "waits for approval", "locked": "locked"}


def list_users(places: Places, output: Output, *, waiting: bool, admins: bool) -> None:
    chosen = [
        _user(model)
        for model in HubClient.of(places).users()
        if (not waiting or _is_waiting(model)) and (not admins or model["admin"])
    ]
    rows = [
        [
            user["name"],
            ", ".join(user["roles"]),
            _STATES.get(user["state"], ""),
            "" if user["has_password"] else "no password",
            ", ".join(name or "running" for name in user["servers"]),
            age(user["last_activity"]),
        ]
        for user in chosen
    ]
    output.table(chosen, ["name", "role", "state", "password", "servers", "last seen"], rows)


def add(
    places: Places,
    output: Output,
    names: Sequence[str],
    *,
    admin: bool,
    generate: bool,
    file: Path | None,
) -> None:
    hub = HubClient.of(places, timeout=_SECONDS)
    wanted = list(_read_names(names))
    created: list[dict[str, Any]] = []
    skipped: list[dict[str, Any]] = []
    with _password_file(file) as passwords:
        for start in range(0, len(wanted), _PART):
            part = hub.add_users(wanted[start : start + _PART], admin=admin, generate=generate)
            created += part["created"]
            skipped += part["skipped"]
            if passwords:
                csv.writer(passwords).writerows(
                    [user["name"], user["password"]] for user in part["created"]
                )
                passwords.flush()
            if len(wanted) > _PART:
                output.say(f"{min(start + _PART, len(wanted))} of {len(wanted)}")
    if file:
        created = [{**user, "password": None} for user in created]
    said = {"created": created, "skipped": skipped, "file": str(file) if file else None}
    # Generated passwords are never held back: nobody can ask for them again.
    tell = output.data if generate and not file else output.done
    tell(said, _added(created, file, generate=generate))
    if skipped:
        raise ApplianceError(
            f"cannot add {count(len(skipped), 'user')}",
            why="; ".join(f"'{user['name']}' {user['why']}" for user in skipped),
            mend="add them under other names" if created else "",
        )


def remove(places: Places, output: Output, names: Sequence[str], *, yes: bool) -> None:
    users = [parse_username(name) for name in names]
    if not yes:
        confirm(f"Remove {', '.join(users)}? Servers stop; files stay.")
    hub = HubClient.of(places)
    _each(output, users, hub.remove_user, "removed")


def rename(places: Places, output: Output, name: str, new: str) -> None:
    user, wanted = parse_username(name), parse_username(new)
    renamed = HubClient.of(places).rename_user(user, wanted)
    output.done({"name": renamed}, f"{user}: is called {renamed} now")
    for role in _roles_naming(places, user) if renamed != user else ():
        output.say(
            f"note: roles.{role}.users still names {user}; to mend: "
            f"appliance config add roles.{role}.users {renamed}; "
            f"appliance config remove roles.{role}.users {user}"
        )


def approve(places: Places, output: Output, names: Sequence[str]) -> None:
    hub = HubClient.of(places)
    users = [parse_username(name) for name in names] or [
        Username(model["name"]) for model in hub.users() if _is_waiting(model)
    ]
    _each(output, users, hub.approve, "approved")


def set_admin(places: Places, output: Output, names: Sequence[str], *, admin: bool) -> None:
    hub = HubClient.of(places)

    def change(user: Username) -> None:
        hub.set_admin(user, admin=admin)

    said = "is an admin" if admin else "is no admin any more"
    _each(output, [parse_username(name) for name in names], change, said)


def lock(places: Places, output: Output, names: Sequence[str]) -> None:
    hub = HubClient.of(places)
    _each(output, [parse_username(name) for name in names], hub.lock, "locked")


def unlock(places: Places, output: Output, names: Sequence[str]) -> None:
    hub = HubClient.of(places)
    _each(output, [parse_username(name) for name in names], hub.unlock, "may log in again")


def passwd(places: Places, output: Output, name: str, *, stdin: bool, generate: bool) -> None:
    user, hub = parse_username(name), HubClient.of(places)
    if generate:
        password = hub.generate_password(user)
        output.data({"name": user, "password": password}, password)
        return
    hub.set_password(user, _read_password(user, stdin=stdin))
    output.done({"name": user, "password": None}, f"{user}: has a new password")


def link(places: Places, output: Output, name: str) -> None:
    user = parse_username(name)
    made = HubClient.of(places).make_link(user)
    # Not hub.json: it has secrets, and this needs none.
    root = root_urls(read_rendered(places.rendered / SPAWNER_FILE), places)[0]
    url = f"{root}{made['path']}"
    output.data({"name": user, "url": url, "expires_at": made["expires_at"]}, url)
    output.say(f"{user} chooses a password there, once, until {stamp(made['expires_at'])}")


def _roles_naming(places: Places, user: Username) -> list[str]:
    """The roles of the configuration that this user has by name."""
    try:
        roles = read_rendered(places.rendered / SPAWNER_FILE).roles
    except ConfigError:
        return []
    return [name for name, role in roles.items() if user in role.users]


def _user(model: dict[str, Any]) -> dict[str, Any]:
    """A user in the shape that docs/cli.md promises, whatever else the hub's model has."""
    ours = model.get("appliance", {})
    return {
        "name": model["name"],
        "admin": model["admin"],
        "roles": [role for role in model.get("roles", ()) if role != "user"],
        "full_name": ours.get("full_name", ""),
        "state": ours.get("state", "active"),
        "has_password": ours.get("has_password", False),
        "servers": sorted(model.get("servers") or {}),
        "created": model.get("created"),
        "last_activity": model.get("last_activity"),
    }


def _is_waiting(model: dict[str, Any]) -> bool:
    return bool(model.get("appliance", {}).get("state") == "waiting")


def _read_names(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if name != "-":
            yield name
            continue
        for line in sys.stdin:
            if line.strip():
                yield line.strip()


def _added(created: list[dict[str, Any]], file: Path | None, *, generate: bool) -> str:
    if not created:
        return ""
    if file:
        return f"{count(len(created), 'user')} added; the passwords are in {file}"
    if generate:
        width = max(len(user["name"]) for user in created)
        return "\n".join(f"{user['name']:<{width}}  {user['password']}" for user in created)
    lines = [f"{user['name']}: added, without a password yet" for user in created]
    return "\n".join(
        [*lines, f"a set-up link to choose one: appliance user link {created[0]['name']}"]
    )


def _each(
    output: Output, users: Iterable[Username], act: Callable[[Username], None], said: str
) -> None:
    """Do it for each user, all of them even if some fail; the failures are told together."""
    done: list[str] = []
    failed: list[tuple[Username, ApplianceError]] = []
    for user in users:
        try:
            act(user)
            done.append(user)
        except ApplianceError as error:
            if isinstance(error, HubUnreachable):
                raise
            failed.append((user, error))
    failures = [{"name": user, "why": error.why or error.what} for user, error in failed]
    result = {"done": done, "failed": failures}
    text = "\n".join(f"{user}: {said}" for user in done)
    output.done(result, text or ("" if failed else "nobody to do it for"))
    if len(failed) == 1:
        raise failed[0][1]
    if failed:
        raise ApplianceError(
            f"cannot do it for {count(len(failed), 'user')}",
            why="; ".join(f"'{user}': {error.why or error.what}" for user, error in failed),
        )


def confirm(question: str) -> None:
    """Go on only if somebody says yes, or said so before."""
    if not sys.stdin.isatty():
        raise UsageError("cannot go on without an answer", why=question, mend="add --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise ApplianceError("nothing was changed", why="the answer was not yes")


def _read_password(user: Username, *, stdin: bool) -> str:
    if stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise UsageError(
            "cannot ask for a password",
            why="this is no terminal",
            mend=f"appliance user passwd {user} --stdin, or --generate",
        )
    first = getpass.getpass(f"new password of {user}: ", stream=sys.stderr)
    if first != getpass.getpass("once more: ", stream=sys.stderr):
        raise ApplianceError(
            "cannot set the password", why="the two inputs differ", mend="try again"
        )
    return first


@contextmanager
def _password_file(path: Path | None) -> Iterator[TextIO | None]:
    """The new file for passwords, opened before any account is made, so that none gets lost."""
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ApplianceError(
            f"cannot write {path}",
            why=error.strerror or str(error),
            mend="choose a new file with --output",
        ) from error
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow(["name", "password"])
        yield file
