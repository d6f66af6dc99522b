"""Backups of one release on another: brought up to date by a later one, refused by an earlier."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Final

from tests.integration.faults.table import Fault, Tally
from tests.integration.faults.watching import as_if_limits_bite, seconds_until_healthy
from tests.integration.preloaded import Preloaded
from tests.integration.releases import release, with_a_migration

_PLACE: Final = "/root/other-release"
# The test machine's disk is a layer, whose lower folders can't be moved.
_READY: Final = """\
cd /var/lib/appliance
for folder in $PWD/hub $PWD/spawner $PWD/certificates /etc/appliance; do
  cp -a $folder $folder.copy && rm -rf $folder && mv $folder.copy $folder
done
systemctl restart appliance-hub appliance-spawner
"""


def backups_of_other_releases(room: Preloaded, tries: int, tally: Tally) -> None:
    """An upgrade, a backup of before brought back; then back, and a backup of after refused."""
    machine = room.machine
    machine.execute(_READY, timeout=90)
    seconds_until_healthy(machine)
    for number in range(1, tries + 1):
        old = machine.execute("appliance version").strip()
        room.add(f"old{number}")
        machine.execute(f"appliance backup create --without-homes --to {_PLACE}", timeout=120)
        room.add(f"new{number}")
        with tempfile.TemporaryDirectory() as folder:
            wheel = release(f"9.{number}.0", Path(folder), with_a_migration)
            machine.write_file(f"/root/{wheel.name}", wheel.read_bytes())
        with as_if_limits_bite(machine):
            machine.execute(f"appliance upgrade --yes --source /root/{wheel.name}", timeout=300)
        problems = _restored(room, f"{_PLACE}/*", has=f"old{number}", lacks=f"new{number}")
        machine.execute(f"appliance backup create --without-homes --to {_PLACE}.new", timeout=120)
        machine.execute("appliance upgrade --rollback --yes", timeout=300)
        if machine.execute("appliance version").strip() != old:
            problems.append("the old release isn't back")
        before = _names(room)
        refused = machine.attempt(f"appliance restore {_PLACE}.new/* --yes", timeout=120)
        if refused.code == 0 or "knows schemas up to" not in refused.stderr:
            problems.append(f"a later release's backup: {refused.stderr.strip()[-200:]}")
        seconds_until_healthy(machine)
        lost = len(before - _names(room))
        machine.execute(f"rm -r {_PLACE} {_PLACE}.new")
        tally.count(problems, lost=lost)


def _restored(room: Preloaded, place: str, *, has: str, lacks: str) -> list[str]:
    done = room.machine.attempt(f"appliance restore {place} --yes", timeout=300)
    if done.code:
        return [f"the old backup: {done.stderr.strip()[-200:]}"]
    names = _names(room)
    problems = [] if has in names else [f"{has} isn't there"]
    return problems + ([f"{lacks} is still there"] if lacks in names else [])


def _names(room: Preloaded) -> set[str]:
    said = room.machine.execute("appliance user list --json")
    return {user["name"] for user in json.loads(said)}


ROWS: Final = (
    Fault("old backup on a newer release, newer on an older", "brought up to date; refused in"
          " words", 2, 0, backups_of_other_releases),
)  # fmt: skip
