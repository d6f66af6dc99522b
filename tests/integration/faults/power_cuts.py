"""The power goes at a random moment, and everything that was acknowledged is there afterwards."""

from __future__ import annotations

import json
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.integration.classroom import Classroom, open_classroom
from tests.integration.faults.table import Fault, Tally
from tests.integration.health import Allowed
from tests.integration.images import Debian
from tests.integration.network import NetworkError
from tests.integration.releases import release, with_a_migration
from tests.integration.ssh import CommandError

_UPGRADE_SECONDS: Final = 75
"""About as long as the first takes on User-Mode Linux; later ones are cut within the time that the
one before took."""
_INTEGRITY: Final = (
    'python3 -c "import sqlite3;'
    " db = sqlite3.connect('/var/lib/appliance/hub/hub.sqlite');"
    " print(*db.execute('pragma integrity_check').fetchone())\""
)


@dataclass
class Ground:
    """A classroom whose power is cut again and again."""

    classroom: Classroom
    chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311
    rounds: int = 0

    def cut_while(self, work: Callable[[], None], *, most_seconds: float) -> None:
        """Start something in the background, cut the power at a random moment, boot again."""
        self.rounds += 1
        worker = threading.Thread(target=_quietly, args=(work,))
        worker.start()
        time.sleep(self.chance.uniform(0.2, most_seconds))
        self.classroom.machine.cut_power()
        worker.join()
        self.classroom.machine.boot()

    def problems(self) -> list[str]:
        """What isn't well after a boot."""
        machine = self.classroom.machine
        found = []
        if machine.attempt("curl -fs -m 20 -o /dev/null http://127.0.0.1/hub/health").code:
            found.append("the hub does not answer")
        said = machine.attempt(_INTEGRITY).stdout.strip()
        if said != "ok":
            found.append(f"the database says {said[:200]!r}")
        return found


def _quietly(work: Callable[[], None]) -> None:
    """Until the machine is gone, which is how it ends."""
    try:
        work()
    except (OSError, CommandError, NetworkError, TimeoutError):
        return


@contextmanager
def open_ground(debian: Debian) -> Iterator[Ground]:
    with open_classroom(debian, memory="1500M") as classroom:
        classroom.machine.allowed = Allowed(errors=[""], failed_units=[""], left_units=[""])
        yield Ground(classroom)


def while_people_sign_up(ground: Ground, tries: int, tally: Tally) -> None:
    for _ in range(tries):
        acknowledged: list[str] = []
        prefix = f"s{ground.rounds}-"

        def sign_up(acknowledged: list[str] = acknowledged, prefix: str = prefix) -> None:
            for number in range(1000):
                visitor = ground.classroom.visitor(f"{prefix}{number}")
                if visitor.sign_up(timeout=10).path != "/hub/home":
                    return
                acknowledged.append(visitor.name)

        ground.cut_while(sign_up, most_seconds=6)
        problems = ground.problems()
        users = {user["name"]: user for user in ground.classroom.users()}
        lost = [name for name in acknowledged if name not in users]
        half = [name for name in users if name.startswith(prefix)
                and not users[name]["has_password"]]  # fmt: skip
        problems += [f"{name} has no password" for name in half]
        if acknowledged and not lost:
            last = ground.classroom.visitor(acknowledged[-1]).log_in()
            problems += [] if last.status == 200 else [f"the last can't log in: {last.status}"]
        tally.count(problems, lost=len(lost))
        tally.notes.append(f"{len(acknowledged)} acknowledged")


def while_settings_change(ground: Ground, tries: int, tally: Tally) -> None:
    machine = ground.classroom.machine
    for _ in range(tries):
        first = 1000 + 100 * ground.rounds
        machine.execute(f"appliance config set limits.tasks {first}", timeout=90)
        acknowledged, tried = [first], [first]

        def change(
            acknowledged: list[int] = acknowledged, tried: list[int] = tried, first: int = first
        ) -> None:
            for number in range(first + 1, first + 90):
                tried.append(number)
                machine.execute(f"appliance config set limits.tasks {number}", timeout=20)
                acknowledged.append(number)

        ground.cut_while(change, most_seconds=9)
        problems = ground.problems()
        healed = machine.attempt("appliance config reload", timeout=120)
        if healed.code:
            problems.append(f"can't be healed: {healed.stderr.strip()[-200:]}")
        now = int(machine.execute("appliance config get limits.tasks"))
        rendered = json.loads(machine.read_file("/var/lib/appliance/rendered/hub.json"))
        if rendered["limits"]["tasks"] != now:
            problems.append("what is in force isn't what the file says")
        lost = int(now not in {acknowledged[-1], tried[-1]})
        if lost:
            problems.append(f"it is {now}, and {acknowledged[-1]} was acknowledged")
        tally.count(problems, lost=lost)


def while_backups_are_made(ground: Ground, tries: int, tally: Tally) -> None:
    machine = ground.classroom.machine
    if "keeper" not in ground.classroom.names():
        ground.classroom.visitor("keeper").sign_up()
        ground.classroom.start("keeper")
        machine.execute(
            "for n in $(seq 300); do head -c 30000 /dev/urandom >/home/nb-keeper/$n; done;"
            " chown -R nb-keeper: /home/nb-keeper"
        )
    machine.execute("appliance backup create", timeout=300)
    for _ in range(tries):
        kept = _backups(ground)
        machine.execute("touch /home/nb-keeper/1")
        finished: list[str] = []

        def back_up(finished: list[str] = finished) -> None:
            while True:
                finished.append(machine.execute("appliance backup create --json", timeout=300))

        ground.cut_while(back_up, most_seconds=15)
        problems = ground.problems()
        kept |= {json.loads(said)["name"] for said in finished}
        found = _backups(ground)
        lost = len(kept - found)
        for name in (min(kept), max(found)):
            checked = machine.attempt(f"appliance backup verify {name}", timeout=300)
            if checked.code:
                problems.append(f"{name}: {checked.stderr.strip()[-200:]}")
        again = machine.attempt("appliance backup create", timeout=300)
        if again.code:
            problems.append(f"the next backup fails: {again.stderr.strip()[-200:]}")
        half = machine.execute("ls -A /var/lib/appliance/backups | grep -c '^[.]' || :").strip()
        if half != "0":
            problems.append(f"{half} half backups are left")
        tally.count(problems, lost=lost)
        machine.execute("appliance backup list --json | python3 -c 'import json, sys;"
                        " print(*[one[\"name\"] for one in json.load(sys.stdin)][2:-1])'"
                        " | xargs -r appliance backup remove --yes", timeout=120)  # fmt: skip


def _backups(ground: Ground) -> set[str]:
    said = ground.classroom.machine.execute("appliance backup list --json")
    return {one["name"] for one in json.loads(said)}


def while_upgrading(ground: Ground, tries: int, tally: Tally) -> None:
    """The machine comes up by itself with the old release or the new; then the upgrade is done."""
    machine = ground.classroom.machine
    ground.classroom.visitor("stays").sign_up()
    seconds: float = _UPGRADE_SECONDS
    for number in range(1, tries + 1):
        old, new = machine.execute("appliance version").strip(), f"8.{number}.0"
        known = set(ground.classroom.names())
        with tempfile.TemporaryDirectory() as folder:
            wheel = release(new, Path(folder), *[with_a_migration] * number)
            place = f"/root/{wheel.name}"
            machine.write_file(place, wheel.read_bytes())
            machine.execute("sync")  # The file is the admin's, and there before all begins.
        line = f"appliance upgrade --yes --source {place}"
        ground.cut_while(lambda line=line: _run(ground, line), most_seconds=seconds)
        machine.attempt(
            "for n in $(seq 240); do curl -fs -m 5 -o /dev/null http://127.0.0.1/hub/health"
            " && exit; sleep 0.5; done", timeout=200,
        )  # fmt: skip
        problems = ground.problems()
        now = machine.execute("appliance version").strip()
        if now not in {old, new}:
            problems.append(f"the version is {now}, and was {old} or {new}")
        if ground.classroom.visitor("stays").log_in().status != 200:
            problems.append("nobody can log in")
        lost = len(known - set(ground.classroom.names()))
        tally.notes.append(f"{old} to {new}: {now} after the cut")
        began = time.monotonic()
        done = machine.attempt(line, timeout=600)
        if now == old:
            seconds = time.monotonic() - began
        if machine.execute("appliance version").strip() != new:
            problems.append(f"it can't be done again: {(done.stdout + done.stderr)[-300:]}")
        problems += ground.problems()
        tally.count(problems, lost=lost)


def _run(ground: Ground, line: str) -> None:
    ground.classroom.machine.execute(line, timeout=600)


ROWS: Final = (
    Fault("power cut while people sign up", "all acknowledged accounts are there, with passwords",
          40, 1, while_people_sign_up),
    Fault("power cut while settings change", "acknowledged or tried value in force, whole",
          40, 1, while_settings_change),
    Fault("power cut while backups are made", "finished ones are whole, the next one works",
          12, 0, while_backups_are_made),
    Fault("power cut while the appliance is upgraded", "old or new release by itself, no account"
          " lost; the upgrade can be done again", 8, 0, while_upgrading),
)  # fmt: skip
