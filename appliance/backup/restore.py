"""Bringing a backup back: everything is unpacked beside what is there, then exchanged at once.

Until the exchange nothing has changed but accounts that were made. It is one rename for each
folder; what was there is kept, and put back by itself if the appliance doesn't answer then, at the
next boot if the power goes, or by `appliance restore --undo`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance import audit
from appliance.audit import Action, AuditLog
from appliance.backup.audit_lines import audit_files, carry_over
from appliance.backup.errors import BackupError
from appliance.backup.ids import give_to_same_names
from appliance.backup.machine import Machine
from appliance.backup.manifest import DATABASE, Part
from appliance.backup.place import Backup, Room, only_one
from appliance.backup.plan import STORES, Plan, Wish
from appliance.backup.sealing import passphrase_file
from appliance.backup.sources import HOME, HUB_ACCOUNT, SERVICE
from appliance.backup.streams import load
from appliance.backup.swap import Item, Swap
from appliance.backup.tame import check_plain, make_roots, take_powers
from appliance.backup.trees import remove
from appliance.backup.unpack import unpack
from appliance.backup.verify import verify
from appliance.config.edit import unset
from appliance.config.load import check_text, read_text
from appliance.errors import ApplianceError, Conflict, NotFound
from appliance.places import Places
from appliance.proxy.served import PROXY_GROUP
from appliance.rollout.health import check_address

_RETIRED = frozenset({"retiring", "retired"})


@dataclass
class Restorer:
    """One restore."""

    places: Places
    backup: Backup
    machine: Machine
    identities: Sequence[Any] = ()
    passphrase: str = ""
    """Kept on this machine, if the backup was opened by one."""
    progress: Callable[[str, int], None] = lambda _doing, _size: None

    def __post_init__(self) -> None:
        self._swap = Swap(self.places)
        self.notes: list[str] = []

    def carry_out(self, plan: Plan) -> list[str]:
        """All of it; what people should know. Raises ApplianceError, and all is as before."""
        if plan.conflicts:
            raise Conflict(
                "cannot restore this backup on this machine",
                why="; ".join(plan.conflicts[:5]),
                mend="restore on a machine on which the appliance was just installed",
            )
        self.notes = list(plan.notes)
        with only_one(self.places):
            heal(self.places, self.machine)
            verify(self.backup, identities=self.identities, progress=self.progress)
            self._check_room(plan)
            self._swap.clear()
            try:
                items = self._stage_all(plan)
            except OSError as err:
                self._swap.clear()
                raise BackupError(
                    "cannot restore", why=f"{err.filename or ''}: {err.strerror or err}"
                ) from err
            self._swap.note(items, self.backup.manifest.name)
            self._exchange()
        log = AuditLog(self.places.root_audit)
        log.add(audit.at_the_terminal(), Action.RESTORE_BACKUP, [self.backup.manifest.name])
        return self.notes

    def _exchange(self) -> None:
        try:
            self.machine.stop()
            carry_over(
                self.places.hub_audit, self._swap.folder / "hub" / "audit",
                owner=self.machine.system_id(HUB_ACCOUNT),
            )  # fmt: skip
            self._swap.forward()
            self.machine.render()
            self._swap.settle()
            self.machine.start()
            self.machine.wait_until_well()
        except BaseException as err:
            undo(self.places, self.machine)
            if not isinstance(err, ApplianceError):
                raise
            raise BackupError(
                "cannot restore this backup",
                why=f"{err.what}: {err.why}; all is as it was before",
                mend=err.mend,
                log=err.log,
            ) from err

    def _check_room(self, plan: Plan) -> None:
        """On each disk, for all that is unpacked there."""
        needed: dict[int, tuple[Path, int]] = {}
        database = self.backup.manifest.find(DATABASE)
        pairs = [(wish.part, wish.live.parent) for wish in (*plan.state, *plan.files)]
        if database is not None:
            pairs.append((database, self.places.state))
        for part, folder in pairs:
            while not folder.exists():
                folder = folder.parent
            device = folder.stat().st_dev
            place, size = needed.get(device, (folder, 0))
            needed[device] = (place, size + part.content_size)
        for place, size in needed.values():
            Room(place, beside_homes=False).check(size)

    # Unpacking, beside what is there.

    def _stage_all(self, plan: Plan) -> list[Item]:
        self.machine.make_accounts(plan.merged)
        items = []
        for wish in plan.state:
            self.progress(f"unpacking {wish.part.name}", 0)
            staged = self._swap.folder / wish.part.name
            if wish.part.name == "settings":
                staged = wish.live.with_name(f".{wish.live.name}.restoring")
            self._stage_state(wish, staged, plan)
            items.append(Item.of(wish.live, staged))
        retired = {
            row["name"] for row in plan.merged.accounts["accounts"] if row["state"] in _RETIRED
        }
        for wish in plan.files:
            self.progress(f"unpacking {wish.part.name}", 0)
            wish.live.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            staged = wish.live.with_name(f".{wish.live.name}.restoring")
            self._stage_files(wish, staged, is_retired=wish.part.account in retired)
            self.progress(f"unpacking {wish.part.name}", wish.part.content_size)
            items.append(Item.of(wish.live, staged))
        self._stage_root_audit()
        return items

    def _stage_state(self, wish: Wish, staged: Path, plan: Plan) -> None:
        match wish.part.name:
            case "hub":
                self._stage_hub(wish.part, staged)
            case "spawner":
                self._fresh(staged, 0o700)
                for name, file in STORES.items():
                    content = getattr(plan.merged, name)
                    _write(staged / file, json.dumps(content, indent=1).encode())
            case "settings":
                self._fresh(staged, 0o755)
                self._unpack(wish.part, staged, keep_owners=True)
                self._left_out(make_roots(staged, wish.part.name))
                self._adapt_settings(staged)
            case _:
                self._fresh(staged, 0o750)
                self._unpack(wish.part, staged, keep_owners=True)
                if os.geteuid() == 0:
                    ids = self.backup.manifest.details.get("system_ids", {})
                    give_to_same_names(staged, ids)
                groups = (self.machine.system_id(PROXY_GROUP)[1],)
                self._left_out(make_roots(staged, wish.part.name, groups=groups))

    def _stage_hub(self, part: Part, staged: Path) -> None:
        uid, gid = self.machine.system_id(HUB_ACCOUNT)
        self._fresh(staged, 0o700, owner=(uid, gid))
        self._unpack(part, staged, prefix=self.machine.as_system(HUB_ACCOUNT))
        staged.chmod(0o700)
        database = self.backup.manifest.find(DATABASE)
        if database is None:
            raise BackupError("cannot restore", why="the backup has no database")
        descriptor = os.open(
            staged / self.places.database.name,
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600,
        )  # fmt: skip
        with os.fdopen(descriptor, "wb") as file:
            os.fchown(descriptor, uid, gid)
            load(
                self.backup.folder, database, file,
                sealed=self.backup.manifest.is_encrypted, identities=self.identities,
            )  # fmt: skip
            file.flush()
            os.fsync(descriptor)

    def _adapt_settings(self, staged: Path) -> None:
        """What was right on the old machine alone."""
        path = staged / self.places.config_file.name
        config = check_text(read_text(path), name=f"{self.places.config_file} of the backup")
        try:
            check_address(config)
        except ApplianceError:
            text = unset(read_text(path), "http.address", name=str(path))
            path.write_text(text, "utf-8")
            self.notes.append(
                f"http.address was {config.http.address}, which this machine doesn't have: it "
                "listens at every address now"
            )
        mine = passphrase_file(self.places)
        word = f"{self.passphrase}\n".encode() if self.passphrase else b""
        if not word and mine.is_file():
            word = mine.read_bytes()
        if word:
            _write(staged / mine.name, word)

    def _stage_files(self, wish: Wish, staged: Path, *, is_retired: bool) -> None:
        part = wish.part
        if part.name.startswith(HOME):
            self._fresh(staged, 0o700, owner=(part.uid, part.uid))
            self._unpack(part, staged, prefix=self.machine.as_user(part.uid))
            if is_retired and os.geteuid() == 0:
                os.chown(staged, 0, 0)
                staged.chmod(0o700)
        elif part.name.startswith(SERVICE):
            owner = self.machine.system_id(part.account)
            self._fresh(staged, 0o700, owner=owner)
            self._unpack(part, staged, prefix=self.machine.as_system(part.account))
        else:
            self._fresh(staged, 0o700)
            self._unpack(part, staged, keep_owners=True)
            take_powers(staged, part.name)
            if os.geteuid() == 0:
                os.chown(staged, 0, 0)

    def _stage_root_audit(self) -> None:
        """Lines of the old machine's log come before this one's."""
        part = self.backup.manifest.find("audit")
        if part is None:
            return
        staged = self._swap.folder / "audit"
        self._fresh(staged, 0o700)
        self._unpack(part, staged)
        check_plain(staged, part.name)
        carry_over(self.places.root_audit, staged, owner=None)
        for file in audit_files(staged):
            file.replace(self.places.root_audit / file.name)

    def _left_out(self, links: list[str]) -> None:
        self.notes += [f"the link {link} leads elsewhere and was left out" for link in links]

    def _fresh(self, folder: Path, mode: int, *, owner: tuple[int, int] | None = None) -> None:
        remove(folder)
        folder.mkdir(mode=mode)
        folder.chmod(mode)
        if owner is not None and os.geteuid() == 0:
            os.chown(folder, *owner)

    def _unpack(
        self, part: Part, folder: Path, *, keep_owners: bool = False, prefix: Sequence[str] = ()
    ) -> None:
        unpack(
            self.backup, part, folder,
            identities=self.identities, keep_owners=keep_owners, prefix=prefix,
        )  # fmt: skip


def undo(places: Places, machine: Machine) -> None:
    """Back to what was there before the last restore."""
    machine.stop()
    Swap(places).back()
    machine.render()
    machine.start()


def undo_last(places: Places, machine: Machine) -> str:
    """What `appliance restore --undo` does; which backup it was."""
    with only_one(places):
        swap = Swap(places)
        if not swap.can_undo:
            raise NotFound(
                "cannot undo a restore",
                why="there was none, or what was before it is no longer kept",
                mend="appliance backup list",
            )
        undo(places, machine)
        machine.wait_until_well()
        return swap.what


def heal(places: Places, machine: Machine) -> bool:
    """Put back what an exchange that was cut off moved; before the programs start."""
    swap = Swap(places)
    if not swap.is_cut_off:
        return False
    swap.back()
    machine.render()
    return True


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
