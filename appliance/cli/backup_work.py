"""What `appliance backup …` does."""

from __future__ import annotations

import getpass
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from appliance.backup.create import Wanted
from appliance.backup.errors import BackupError, WrongKey
from appliance.backup.job import back_up
from appliance.backup.manifest import KEY_FILE
from appliance.backup.place import Backup, Place, only_one, place_of
from appliance.backup.sealing import (
    PASSPHRASE_MIN,
    new_passphrase,
    open_key,
    passphrase_file,
    read_identities,
    stored_passphrase,
)
from appliance.backup.verify import verify
from appliance.cli.errors import UsageError
from appliance.cli.output import Output, age, count, size
from appliance.cli.people import confirm
from appliance.config.files import write_atomically
from appliance.config.rendered import read_in_force
from appliance.config.schema import Config
from appliance.errors import ConfigError
from appliance.places import Places

_NOTES_SHOWN: Final = 20


def settings_in_force(places: Places) -> Config:
    """What the programs have; defaults on a machine that has nothing yet, or something broken."""
    try:
        return read_in_force(places)
    except ConfigError:
        return Config()


def the_place(places: Places, where: Path | None) -> Place:
    if where is not None:
        return Place(where.absolute())
    return place_of(settings_in_force(places).backup.folder, places)


def create(
    places: Places, output: Output, *, to: Path | None, homes: bool, encrypted: bool | None
) -> None:
    config = settings_in_force(places)
    wanted = replace(
        Wanted.by_settings(config.backup, the_place(places, to)),
        homes=homes, encrypted=encrypted,
        must_be_mount=config.backup.must_be_mount and to is None,
    )  # fmt: skip
    with shown(output) as progress:
        made = back_up(config, places, wanted, progress)
    manifest = made.backup.manifest
    left_out = [asdict(one) for one in made.left_out]
    value = {
        **_row(made.backup), "verified": True, "notes": _notes(made.backup), "left_out": left_out,
    }  # fmt: skip
    how = "encrypted, " if manifest.is_encrypted else ""
    parts = count(len(manifest.parts), "part")
    lines = [
        f"made {made.backup.folder}",
        f"  {size(manifest.size)}, {how}{parts}; read back and compared",
    ]
    if made.changed:
        files = count(made.changed, "file")
        lines.append(f"  {files} could not be read or changed meanwhile: see backup.json in it")
    for part in made.left_out:
        lines += [f"  {part.part}: {note}" for note in part.notes[:_NOTES_SHOWN]]
        more = part.count - _NOTES_SHOWN
        if more > 0:
            lines.append(f"  {part.part}: and {more} more")
    output.done(value, "\n".join(lines))


def list_backups(places: Places, output: Output, where: Path | None) -> None:
    place = the_place(places, where)
    found = place.all()
    rows = [
        [
            one.manifest.name, age(one.manifest.created), size(one.manifest.size),
            "scheduled" if one.manifest.scheduled else "by hand",
            "yes" if one.manifest.has_homes else "no",
            "yes" if one.manifest.is_encrypted else "no", one.manifest.appliance,
        ]
        for one in found
    ]  # fmt: skip
    columns = ["name", "made", "size", "how", "homes", "encrypted", "version"]
    output.table([_row(one) for one in found], columns, rows)
    for name in place.unreadable():
        output.say(f"{name} can't be read: its backup.json is missing or damaged")
    if not found and not output.as_json:
        output.say(f"there is none in {place.folder}; `appliance backup create` makes one")


def verify_backup(
    places: Places,
    output: Output,
    name: str,
    where: Path | None,
    *,
    by_restoring: bool,
    identity: Path | None,
    passphrase_stdin: bool,
) -> None:
    backup = the_place(places, where).find(name)
    identities = identities_for(
        places, backup, identity=identity, stdin=passphrase_stdin, ask=by_restoring
    )
    with shown(output) as progress:
        if by_restoring:
            with (
                only_one(places),
                tempfile.TemporaryDirectory(
                    prefix="appliance-verify-", dir=places.state
                ) as scratch,
            ):
                found = verify(
                    backup, identities=identities, progress=progress,
                    scratch=Path(scratch), places=places,
                )  # fmt: skip
        else:
            found = verify(backup, identities=identities, progress=progress)
    value = {
        "name": backup.manifest.name, "sound": True, "bytes": found.size, "files": found.files,
        "opened": found.opened, "restored": found.restored,
    }  # fmt: skip
    text = f"{backup.manifest.name} is sound: {size(found.size)} read and compared"
    if not found.opened:
        text += "; not opened, because there is no key for it"
    elif found.restored:
        text += f", {count(found.files, 'file')} unpacked for a test"
    else:
        text += f", {count(found.files, 'file')} gone through"
    output.done(value, text)


def remove(
    places: Places, output: Output, names: Sequence[str], where: Path | None, *, yes: bool
) -> None:
    place = the_place(places, where)
    found = [place.find(name) for name in names]
    if not yes:
        confirm(f"Remove {', '.join(one.manifest.name for one in found)} for good?")
    with only_one(places):
        for one in found:
            place.remove(one)
    gone = [one.manifest.name for one in found]
    output.done({"removed": gone}, f"removed {', '.join(gone)}")


def set_passphrase(
    places: Places, output: Output, *, stdin: bool, generate: bool, forget: bool
) -> None:
    file = passphrase_file(places)
    if forget:
        file.unlink(missing_ok=True)
        output.done({"set": False}, "backups from now on aren't encrypted with a passphrase")
        return
    word = new_passphrase() if generate else _read_new(stdin=stdin)
    if len(word) < PASSPHRASE_MIN:
        raise BackupError(
            "cannot set the passphrase",
            why=f"it has fewer than {PASSPHRASE_MIN} characters: who has a backup can try many",
            mend="choose a longer one, or --generate",
        )
    write_atomically(file, f"{word}\n", mode=0o600)
    if generate:
        output.data({"set": True, "passphrase": word}, word)
    else:
        output.done({"set": True}, "set")
    output.say(
        "Keep it in another place than this machine: without it nobody can read the backups, and a "
        "new machine doesn't know it."
    )


def _read_new(*, stdin: bool) -> str:
    if stdin:
        return sys.stdin.readline().rstrip("\n")
    if not sys.stdin.isatty():
        raise UsageError(
            "cannot set the passphrase", why="there is no terminal", mend="--stdin or --generate"
        )
    first = getpass.getpass("passphrase of backups: ", stream=sys.stderr)
    if first != getpass.getpass("once more: ", stream=sys.stderr):
        raise BackupError("cannot set the passphrase", why="the two are different")
    return first


def identities_for(
    places: Places, backup: Backup, *, identity: Path | None, stdin: bool, ask: bool
) -> tuple[Any, ...]:
    """What opens a backup; empty for one that isn't encrypted, or without a key if not `ask`."""
    if not backup.manifest.is_encrypted:
        return ()
    if identity is not None:
        return read_identities(identity)
    path = backup.folder / KEY_FILE
    if not path.is_file():
        if ask:
            raise WrongKey(
                "cannot open the backup",
                why="it is encrypted for public keys",
                mend="give the file with a secret key: --identity FILE",
            )
        return ()
    key = path.read_bytes()
    if stdin:
        return (open_key(key, sys.stdin.readline().rstrip("\n")),)
    known = stored_passphrase(places)
    if known:
        try:
            return (open_key(key, known),)
        except WrongKey:
            if not ask or not sys.stdin.isatty():
                raise
    if not ask:
        return ()
    if not sys.stdin.isatty():
        raise WrongKey(
            "cannot open the backup",
            why="it is encrypted, and there is no terminal to ask for the passphrase at",
            mend="--passphrase-stdin",
        )
    return (open_key(key, getpass.getpass("passphrase of the backup: ", stream=sys.stderr)),)


@contextmanager
def shown(output: Output) -> Iterator[Callable[[str, int], None]]:
    """What is being done, on terminals alone."""
    if output.quiet or output.as_json or not sys.stderr.isatty():
        yield lambda _doing, _size: None
        return
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(), TextColumn("{task.description}", markup=False), DownloadColumn(),
        TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def tell(doing: str, number: int) -> None:
            bar.update(task, description=doing[:60], advance=number)

        yield tell


def _row(one: Backup) -> dict[str, Any]:
    manifest = one.manifest
    return {
        "name": manifest.name, "path": str(one.folder), "created": manifest.created,
        "bytes": manifest.size, "scheduled": manifest.scheduled, "homes": manifest.has_homes,
        "encrypted": manifest.is_encrypted, "host": manifest.host, "version": manifest.appliance,
    }  # fmt: skip


def _notes(one: Backup) -> list[dict[str, Any]]:
    return [
        {"part": part.name, "count": part.notes_count, "lines": list(part.notes)}
        for part in one.manifest.parts
        if part.notes_count
    ]
