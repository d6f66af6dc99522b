"""An appliance's files in a folder, and a machine whose programs and accounts are only noted."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from appliance.backup.merge import Merged
from appliance.db.session import Database
from appliance.errors import ApplianceError
from appliance.places import Places

UID = os.geteuid()


def places_in(folder: Path) -> Places:
    """Like an installed appliance's, below one folder, and everything the user's own."""
    made = Places(
        software=folder / "opt",
        settings=folder / "etc",
        state=folder / "var",
        run=folder / "run",
        homes=folder / "home",
        class_files=folder / "srv",
    )
    for place in (
        made.settings, made.config_history, made.hub_state / "audit", made.spawner_state,
        made.certificates, made.root_audit, made.homes, made.run, made.class_files / "classes",
        made.class_files / "archives",
    ):  # fmt: skip
        place.mkdir(parents=True)
    made.config_file.write_text("limits:\n  memory: 2G\n")
    made.hub_state.chmod(0o700)
    (made.hub_state / "xsrf.secret").write_bytes(b"s" * 32)
    database = Database.at(made.database)
    database.open()
    database.close()
    return made


@dataclass
class FakeMachine:
    """Everything works, unless a test says otherwise."""

    did: list[str] = field(default_factory=list)
    servers: list[str] = field(default_factory=list)
    in_the_way: list[str] = field(default_factory=list)
    fails_at: str = ""
    when: Callable[[str], None] = lambda _verb: None

    def _do(self, verb: str) -> None:
        self.did.append(verb)
        self.when(verb)
        if verb == self.fails_at:
            self.fails_at = ""
            raise ApplianceError(f"cannot {verb}", why="a test says so")

    def running_servers(self) -> list[str]:
        return self.servers

    def stop(self) -> None:
        self._do("stop")

    def start(self) -> None:
        self._do("start")

    def conflicts(self, merged: Merged) -> list[str]:
        del merged
        return self.in_the_way

    def make_accounts(self, merged: Merged) -> None:
        names = ",".join(name for name, _ in merged.current_accounts)
        self._do(f"accounts {names}".strip())

    def system_id(self, account: str) -> tuple[int, int]:
        del account
        return UID, os.getegid()

    def as_system(self, account: str) -> list[str]:
        del account
        return []

    def as_user(self, uid: int) -> list[str]:
        del uid
        return []

    def render(self) -> None:
        self._do("render")

    def wait_until_well(self) -> None:
        self._do("wait")
