"""What `appliance restore` does."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance import audit
from appliance.audit import Action, AuditLog
from appliance.backup.machine import SystemdMachine
from appliance.backup.manifest import KEY_FILE
from appliance.backup.one_user import Request, restore_user
from appliance.backup.place import Backup
from appliance.backup.plan import Files, Plan, make_plan
from appliance.backup.restore import Restorer, undo_last
from appliance.backup.sealing import open_key, stored_passphrase
from appliance.backup.tame import make_roots
from appliance.backup.unpack import unpack
from appliance.cli.backup_work import identities_for, shown, the_place
from appliance.cli.errors import UsageError
from appliance.cli.output import Output, count, stamp
from appliance.cli.people import confirm
from appliance.config.load import check_text, read_text
from appliance.errors import ApplianceError, NotFound
from appliance.names import parse_username
from appliance.places import Places
from appliance.rollout.apply import make_applier


@dataclass(frozen=True)
class Wanted:
    """The command line."""

    name: str
    where: Path | None
    user: str
    file: str
    only_settings: bool
    files: Files
    dry_run: bool
    yes: bool
    identity: Path | None
    passphrase_stdin: bool


def restore(places: Places, output: Output, wanted: Wanted) -> None:
    backup = the_place(places, wanted.where).find(wanted.name)
    word = sys.stdin.readline().rstrip("\n") if wanted.passphrase_stdin else ""
    identities = _identities(places, backup, wanted, word)
    if wanted.user:
        _restore_user(places, output, backup, wanted, identities)
    elif wanted.only_settings:
        _restore_settings(places, output, backup, wanted, identities)
    else:
        _restore_all(places, output, backup, wanted, identities, word)


def _identities(places: Places, backup: Backup, wanted: Wanted, word: str) -> tuple[Any, ...]:
    if word and (backup.folder / KEY_FILE).is_file():
        return (open_key((backup.folder / KEY_FILE).read_bytes(), word),)
    return identities_for(places, backup, identity=wanted.identity, stdin=False, ask=True)


def _restore_user(
    places: Places, output: Output, backup: Backup, wanted: Wanted, identities: tuple[Any, ...]
) -> None:
    request = Request(parse_username(wanted.user), wanted.file)
    what = f"{wanted.file or 'all files'} of {request.user} of {stamp(backup.manifest.created)}"
    if wanted.dry_run:
        value: dict[str, Any] = {"user": request.user, "folder": None}
        output.data(value, f"would bring back {what}, into a new folder of the home")
        return
    folder = restore_user(places, backup, request, identities=identities)
    value = {"user": request.user, "folder": str(folder)}
    output.done(value, f"brought back {what}: they are in ~/{folder.name}")


def _restore_settings(
    places: Places, output: Output, backup: Backup, wanted: Wanted, identities: tuple[Any, ...]
) -> None:
    part = backup.manifest.find("settings")
    if part is None:
        raise NotFound("cannot restore the settings", why="the backup has none")
    with tempfile.TemporaryDirectory(prefix="appliance-restore-", dir=places.state) as scratch:
        unpack(backup, part, Path(scratch), identities=identities, keep_owners=False)
        make_roots(Path(scratch), part.name)
        text = read_text(Path(scratch) / places.config_file.name)
    check_text(text, name=f"{places.config_file} of {backup.manifest.name}")
    if wanted.dry_run:
        output.data({"settings": True}, "the settings of the backup are right for this version")
        return
    if not wanted.yes:
        confirm(f"Make the settings those of {stamp(backup.manifest.created)}?")
    outcome = make_applier(places).change(lambda _old: text)
    log = AuditLog(places.root_audit)
    log.add(audit.at_the_terminal(), Action.RESTORE_BACKUP, [backup.manifest.name, "settings"])
    keys = [change.key for change in outcome.changes]
    changed = ", ".join(keys) or "nothing differed"
    output.done({"changes": keys}, f"the settings are those of the backup: {changed}")


def _restore_all(
    places: Places,
    output: Output,
    backup: Backup,
    wanted: Wanted,
    identities: tuple[Any, ...],
    word: str,
) -> None:
    if places.trial:
        raise UsageError(
            "cannot restore all of a trial",
            why="a trial has no accounts and programs of systemd's",
            mend="restore files of a user (--user NAME), or install the appliance",
        )
    machine = SystemdMachine(places)
    plan = make_plan(backup, places, machine, identities=identities, files=wanted.files)
    if wanted.dry_run:
        output.data(_value(backup, plan, []), _told(backup, plan))
        return
    if not wanted.yes:
        output.say(_told(backup, plan))
        confirm("Go on?")
    kept = word or (stored_passphrase(places) if backup.manifest.is_encrypted else "")
    with shown(output) as progress:
        restorer = Restorer(places, backup, machine, identities, kept, progress)
        notes = restorer.carry_out(plan)
    notes += _repair_packages(places, output)
    lines = [
        f"restored {backup.manifest.name}; the appliance answers",
        *(f"  {note}" for note in notes),
        "  what was there before is kept: sudo appliance restore --undo",
    ]
    output.done(_value(backup, plan, notes), "\n".join(lines))


def _repair_packages(places: Places, output: Output) -> list[str]:
    """Build the environments that the backup's settings ask for, where this machine has others."""
    from appliance.cli.env_work import Work

    try:
        Work(places, Output(quiet=True)).repair("")
    except ApplianceError as err:
        output.say(f"packages could not be built: {err.what}: {err.why}")
        return ["packages are yet to be built: sudo appliance env repair"]
    return []


def undo(places: Places, output: Output, *, yes: bool) -> None:
    machine = SystemdMachine(places)
    if not yes:
        running = count(len(machine.running_servers()), "running server")
        confirm(f"Go back to what was before the last restore? {running} will be stopped.")
    name = undo_last(places, machine)
    AuditLog(places.root_audit).add(audit.at_the_terminal(), Action.UNDO_RESTORE, [name])
    output.done({"undone": name}, f"the restore of {name} is undone; the appliance answers")


def _value(backup: Backup, plan: Plan, notes: list[str]) -> dict[str, Any]:
    return {
        "name": backup.manifest.name, "created": backup.manifest.created,
        "accounts": len(plan.merged.current_accounts),
        "brought_back": [wish.part.name for wish in (*plan.state, *plan.files)],
        "staying": plan.staying, "stopped_servers": len(plan.servers),
        "conflicts": plan.conflicts, "notes": notes or plan.notes,
    }  # fmt: skip


def _told(backup: Backup, plan: Plan) -> str:
    manifest = backup.manifest
    source = f"from {manifest.host}, version {manifest.appliance}"
    accounts = count(len(plan.merged.current_accounts), "Unix account")
    files = f"{count(len(plan.files), 'folder')} brought back, {len(plan.staying)} that are there"
    lines = [
        f"{manifest.name}: of {stamp(manifest.created)}, {source}",
        f"  log-ins, rights, secrets and settings become those of the backup ({accounts})",
        f"  files: {files} stay (--files all replaces them)",
        f"  {count(len(plan.servers), 'running server')} will be stopped",
        *(f"  {note}" for note in plan.notes),
        *(f"  in the way: {conflict}" for conflict in plan.conflicts),
    ]
    return "\n".join(lines)
