"""The file for somebody who helps: how everything is and what it said last, without secrets."""

from __future__ import annotations

import gzip
import io
import json
import os
import platform
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from appliance import __version__
from appliance.client.hub import HubClient
from appliance.config.load import check_text, read_text
from appliance.config.schema import Config
from appliance.doctor import advisories, machine, settings
from appliance.doctor.examine import examine
from appliance.doctor.redact import Redactor, secrets_of, without_secrets
from appliance.doctor.system import System
from appliance.errors import ApplianceError, ConfigError
from appliance.findings import read_findings
from appliance.native_auth.code_words import WORDS
from appliance.places import Places
from appliance.rollout.render import PROXY_FILE, SOURCE_FILE

_MOST_BYTES: Final = 4 * 1024 * 1024
"""Of one member; of a longer one the end is kept, where the trouble is."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Made:
    """A bundle, and what isn't in it."""

    path: Path
    removed: dict[str, int]
    members: list[str]


def make_bundle(
    places: Places,
    path: Path | None,
    *,
    lines: int,
    anonymous: bool,
    tell: Tell = lambda _: None,
    system: System | None = None,
) -> Made:
    """Write it, for root alone; raises ApplianceError if it can't be written."""
    system = system or System()
    config = _config(places)
    people = _people(places) if anonymous else ()
    redactor = Redactor(known_secrets(places, config), people=people, code_words=WORDS)
    target = path or Path.cwd() / f"appliance-support-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz"
    members: list[str] = []
    beside = target.with_name(f".{target.name}.new")
    try:
        # Somebody else's file of that name, as in /tmp, would stay theirs.
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with (
            os.fdopen(descriptor, "wb") as file,
            gzip.GzipFile(filename="", fileobj=file, mode="wb") as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            os.fchmod(file.fileno(), 0o600)
            for name, content in _contents(places, system, config, lines=lines, tell=tell):
                tell(name)
                _add(archive, name, _cleaned(redactor, content))
                members.append(name)
            _add(archive, "removed.json", json.dumps(dict(redactor.removed), indent=1) + "\n")
            members.append("removed.json")
        beside.replace(target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ApplianceError(
            f"cannot write {target}", why=(error.strerror or str(error)).lower(),
            mend="name a file where there is room: appliance support-bundle /run/support.tar.gz",
        ) from error  # fmt: skip
    return Made(target.resolve(), dict(redactor.removed), members)


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode("utf-8", errors="replace")
    member = tarfile.TarInfo(f"appliance-support/{name}")
    member.size, member.mode, member.mtime = len(data), 0o600, int(time.time())
    archive.addfile(member, io.BytesIO(data))


def _cleaned(redactor: Redactor, content: Any) -> str:
    if isinstance(content, str):
        return redactor.clean(content[-_MOST_BYTES:])
    return json.dumps(redactor.clean_value(content), indent=1, default=str) + "\n"


def _contents(
    places: Places, system: System, config: Config | None, *, lines: int, tell: Tell
) -> Iterator[tuple[str, Any]]:
    """Every member with its text, or with what becomes JSON; what can't be had says why."""
    yield "about.json", _about(places)
    report = _or_why(lambda: examine(places, tell=tell, system=system).as_json())
    yield "doctor.json", report
    yield "findings.json", [_plain(one) for one in read_findings(places.health)]
    yield "hub-status.json", _or_why(lambda: HubClient.of(places, timeout=5).status())
    yield "servers.json", _or_why(lambda: HubClient.of(places, timeout=5).servers())
    yield "config.json", without_secrets(config)
    yield "config.yaml", _settings_text(places.config_file)
    yield "rendered/config.yaml", _settings_text(places.rendered / SOURCE_FILE)
    yield "rendered/nginx.conf", _file(places.rendered / PROXY_FILE)
    yield "damaged.json", _or_why(lambda: settings.damaged(places))
    yield "packages/hub.json", advisories.installed(places.software / "hub")
    yield "packages/user.json", advisories.installed((places.software / "user").resolve())
    for name, command in _COMMANDS.items():
        done = system.run(*command, seconds=15)
        yield f"machine/{name}.txt", done.out or f"{done.said}\n"
    if places.trial:
        for path in sorted(places.logs.glob("*.log")):
            yield f"logs/{path.name}", "\n".join(_file(path).splitlines()[-lines:]) + "\n"
        return
    for unit in (*machine.OUR_UNITS, "appliance-upkeep.service", "appliance-backup.service"):
        yield f"journal/{unit}.log", _journal(system, lines, "-u", unit)
    yield "journal/users.log", _journal(system, lines, "-u", "appliance-user-*")
    yield "journal/kernel.log", _journal(system, lines, "-k", "-p", "warning")


_COMMANDS: Final = {
    "units": ("systemctl", "list-units", "--all", "--no-pager", "--plain", "appliance*"),
    "unit-states": ("systemctl", "status", "--no-pager", "--lines=0", "appliance*"),
    "failed": ("systemctl", "--failed", "--no-pager", "--plain"),
    "df": ("df", "-hT"),
    "inodes": ("df", "-i"),
    "mounts": ("findmnt", "--noheadings", "--list"),
    "memory": ("free", "-m"),
    "processes": ("ps", "-eo", "user:20,pid,ppid,pcpu,rss,etime,comm", "--sort=-rss"),
    "sockets": ("ss", "-lntux"),
    "addresses": ("ip", "-brief", "address"),
    "time": ("timedatectl",),
    "kernel": ("uname", "-a"),
    "system": ("cat", "/etc/os-release"),
    "packages": ("dpkg-query", "-W", "nginx*", "systemd*", "python3*", "openssl"),
    "runtime": ("find", "/run/appliance", "-ls"),
    "state": ("find", "/var/lib/appliance", "-maxdepth", "2", "-ls"),
}


def _journal(system: System, lines: int, *which: str) -> str:
    done = system.run(
        "journalctl", "-q", "--no-pager", "-o", "short-iso", "-n", str(lines), *which, seconds=20
    )
    return done.out or f"{done.err or 'nothing'}\n"


def _about(places: Places) -> dict[str, Any]:
    return {
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "version": __version__,
        "mode": "trial" if places.trial else "installed",
        "python": platform.python_version(),
        "machine": platform.platform(),
    }


def known_secrets(places: Places, config: Config | None) -> dict[str, list[str]]:
    """What is secret here by its place."""
    found: dict[str, list[str]] = {"secret of the settings": list(secrets_of(config))}
    for path in (places.config_file, places.rendered / SOURCE_FILE):
        try:
            found["secret of the settings"] += secrets_of(
                check_text(read_text(path), name=str(path))
            )
        except ApplianceError:
            continue
    found["secret of the hub"] = []
    files = [*places.hub_state.glob("*.secret"), *places.state.glob("*/*.secret")]
    for path in (*files, *places.settings.glob("*.passphrase")):
        try:
            data = path.read_bytes()
        except OSError:
            continue
        found["secret of the hub"] += [data.hex(), data.decode("latin-1").strip()]
    return found


def _people(places: Places) -> list[str]:
    """Names that lead to people: users', their full names', and those of their Unix accounts."""
    names: list[str] = []
    try:
        for user in HubClient.of(places, timeout=10).users():
            names += [user["name"], str(user.get("full_name") or "")]
    except ApplianceError:
        # The accounts that were ever made are noted by the daemon, too.
        pass
    try:
        rows = json.loads((places.spawner_state / "accounts.json").read_bytes())["accounts"]
    except (OSError, ValueError, KeyError):
        rows = []
    for row in rows:
        names += [str(row["user"]), str(row["name"])]
    return [name.lower() for name in names if len(name) > 1] or ["nobody-at-all"]


def _config(places: Places) -> Config | None:
    try:
        return settings.best_known(places)
    except ApplianceError:
        return None


def _or_why(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except (ApplianceError, OSError, ValueError) as error:
        return {"error": str(error)}


def _plain(finding: Any) -> dict[str, Any]:
    return dict(json.loads(finding.to_json()))


def _settings_text(path: Path) -> str:
    """The settings as they are written; without them if nobody knows which of them are secrets."""
    try:
        text = read_text(path)
        check_text(text, name=str(path))
    except ConfigError as error:
        return "\n".join(
            ["it has problems, so it is left out:", *(p.place for p in error.problems), ""]
        )
    return text


def _file(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError as error:
        return f"{path}: {error.strerror or error}\n"
