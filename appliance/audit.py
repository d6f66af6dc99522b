"""The audit log: who did what to whom, one JSON object a line, in files that are only added to.

Two programs write it, each into a directory of its own: the hub into its state directory, root's
command line into one that only root may enter. So root never writes where the hub could have put
a symbolic link, and a hub that was taken over may forge its own lines but not root's.

What is noted belongs to the request under way, not to the class that does it, so `note` finds who
asks in a context variable, which the handlers' `prepare` sets. Outside of a request (a chore of the
hub, a unit test) nobody asks, and nothing is noted.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import pwd
import stat
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from appliance.clock import Clock, stamp

log = logging.getLogger(__name__)

LARGEST_FILE: Final = 10 * 1024 * 1024
FILES: Final = 10
_TARGETS: Final = 100
"""Most targets in one line; longer lists become several lines."""
_TEXT: Final = 200
# pam_loginuid(8): what a process has that no log-in began, such as a timer's.
_NOBODY_LOGGED_IN: Final = 2**32 - 1
# Strangers can fail as often as they like; that mustn't push everything else out of the files.
_STRANGERS_AT_ONCE: Final = 100
_STRANGERS_A_MINUTE: Final = 10


class Action(StrEnum):
    """What is noted; docs/operating.md explains each, and a test compares the two."""

    LOG_IN = "auth.log-in"
    LOG_OUT = "auth.log-out"
    CHANGE_PASSWORD = "auth.change-password"  # noqa: S105 - the name of an action
    CHANGE_EMAIL = "auth.change-email"
    ADD_FACTOR = "auth.add-factor"
    REMOVE_FACTOR = "auth.remove-factor"
    END_SESSION = "auth.end-session"
    SIGN_UP = "user.sign-up"
    CREATE_USER = "user.create"
    APPROVE_USER = "user.approve"
    REJECT_USER = "user.reject"
    LOCK_USER = "user.lock"
    UNLOCK_USER = "user.unlock"
    REMOVE_USER = "user.remove"
    RENAME_USER = "user.rename"
    MAKE_ADMIN = "user.make-admin"
    UNMAKE_ADMIN = "user.unmake-admin"
    SET_PASSWORD = "user.set-password"  # noqa: S105 - the name of an action
    MAKE_LINK = "user.make-link"
    USE_LINK = "user.use-link"
    RESET_FACTORS = "user.reset-factors"
    ALLOW_TRIES = "user.allow-tries"
    CREATE_TOKEN = "token.create"  # noqa: S105 - the name of an action
    REVOKE_TOKEN = "token.revoke"  # noqa: S105 - the name of an action
    CREATE_GROUP = "group.create"
    REMOVE_GROUP = "group.remove"
    ADD_TO_GROUP = "group.add-users"
    TAKE_FROM_GROUP = "group.remove-users"
    CHANGE_GROUP = "group.set-properties"
    CREATE_CLASS = "class.create"
    CHANGE_CLASS = "class.change"
    ADD_TEACHER = "class.add-teacher"
    REMOVE_TEACHER = "class.remove-teacher"
    MAKE_INVITE = "class.make-code"
    REVOKE_INVITE = "class.revoke-code"
    JOIN_CLASS = "class.join"
    UPLOAD_MATERIAL = "class.upload"
    HAND_OUT = "class.hand-out"
    FORGET_HANDOUT = "class.forget-hand-out"
    COLLECT = "class.collect"
    ARCHIVE_CLASS = "class.archive"
    REMOVE_CLASS = "class.remove"
    REMOVE_ARCHIVE = "class.remove-archive"
    SEND_MESSAGE = "message.send"
    ASK_VISIT = "visit.ask"
    ALLOW_VISIT = "visit.allow"
    REFUSE_VISIT = "visit.refuse"
    END_VISIT = "visit.end"
    START_SERVER = "server.start"
    STOP_SERVER = "server.stop"
    OPEN_SERVER = "server.open"
    REMOVE_SERVER = "server.remove"
    KEEP_SERVER = "server.keep"
    SET_EXAM = "class.set-exam"
    SET_LIMITS = "limits.set"
    SHARE_SERVER = "share.grant"
    UNSHARE_SERVER = "share.revoke"
    ACCEPT_SHARE = "share.accept"
    MAKE_SHARE_CODE = "share.make-code"
    REMOVE_SHARE_CODE = "share.remove-code"
    CREATE_SERVICE = "service.create"
    REMOVE_SERVICE = "service.remove"
    SHUT_DOWN = "hub.shut-down"
    RESTORE_BACKUP = "backup.restore"
    UNDO_RESTORE = "backup.undo-restore"
    CHANGE_CONFIG = "config.change"
    RELOAD_CONFIG = "config.reload"
    CHANGE_PACKAGES = "environment.change"


class Outcome(StrEnum):
    """How it went."""

    DONE = "done"
    REFUSED = "refused"
    THROTTLED = "throttled"
    """Refused unseen: there were too many attempts before it."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: a user, a service, root, or a visitor whom nobody knows."""

    kind: str
    name: str = ""
    token: str = ""
    """The id of the API token by which they came, as the API shows it."""
    unix_user: str = ""
    """Of root: whose account on this machine it was before sudo."""

    @property
    def is_stranger(self) -> bool:
        return self.kind == VISITOR.kind


VISITOR: Final = Actor("visitor")


def at_the_terminal() -> Actor:
    """Root, by a command on this machine: sudo says who it was before, else the log-in does."""
    name = os.environ.get("SUDO_USER", "")
    if not name:
        try:
            uid = int(Path("/proc/self/loginuid").read_text())
        except (OSError, ValueError):
            uid = _NOBODY_LOGGED_IN
        uid = os.getuid() if uid == _NOBODY_LOGGED_IN else uid
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = str(uid)
    return Actor("root", "root", unix_user="" if name == "root" else name)


class Asker(Protocol):
    """A request under way."""

    @property
    def actor(self) -> Actor: ...

    @property
    def address(self) -> str: ...

    @property
    def audit(self) -> AuditLog: ...


_asker: ContextVar[Asker | None] = ContextVar("asker", default=None)


def asked_by(asker: Asker) -> None:
    """From here to the end of this task, what is noted was asked by this request."""
    _asker.set(asker)


def who_asks() -> Actor | None:
    """Who asks by the request under way; None outside of one."""
    asker = _asker.get()
    return asker.actor if asker is not None else None


def note(
    action: Action,
    *targets: str,
    outcome: Outcome = Outcome.DONE,
    user: str = "",
    **details: object,
) -> None:
    """Note what the request under way has done; call it when it is done, not before.

    `user` is for requests of visitors who have just proved who they are.
    """
    asker = _asker.get()
    if asker is not None:
        actor = Actor("user", user) if user else asker.actor
        asker.audit.add(
            actor, action, targets, address=asker.address, outcome=outcome, details=details
        )


def note_unless_own(action: Action, owner: str, target: str) -> None:
    """Note what was done with somebody else's thing; with one's own it is everyday life."""
    actor = who_asks()
    if actor is not None and (actor.kind, actor.name) != ("user", owner):
        note(action, target)


class AuditLog:
    """The files of one writer."""

    def __init__(self, folder: Path, *, clock: Clock | None = None) -> None:
        self.folder = folder
        self._clock = clock or Clock()
        self._is_broken = False
        self._strangers = float(_STRANGERS_AT_ONCE)
        self._refilled = self._clock.monotonic()
        self._left_out = 0
        self.counts: Counter[tuple[Action, Outcome]] = Counter()
        """How often each happened since this program began, lines left out included."""

    def add(
        self,
        actor: Actor,
        action: Action,
        targets: Sequence[str] = (),
        *,
        address: str = "",
        outcome: Outcome = Outcome.DONE,
        details: dict[str, object] | None = None,
    ) -> None:
        """Add one line, or several for a long list; never raises, and waits for no disk."""
        self.counts[action, outcome] += 1
        details = dict(details or {})
        if actor.is_stranger and outcome is not Outcome.DONE:
            if not self._has_room_for_stranger():
                self._left_out += 1
                return
            if self._left_out:
                details["left_out_before"], self._left_out = self._left_out, 0
        now = stamp(self._clock.now())
        who = {name: text for name, text in asdict(actor).items() if text}
        lines = []
        for part in range(0, max(1, len(targets)), _TARGETS):
            record = {
                "time": now,
                "actor": who,
                "address": address[:64],
                "action": action,
                "targets": [target[:_TEXT] for target in targets[part : part + _TARGETS]],
                "outcome": outcome,
                "details": {name: _short(value) for name, value in details.items()},
            }
            lines.append(json.dumps(record, separators=(",", ":")) + "\n")
        self._write("".join(lines).encode())

    def _has_room_for_stranger(self) -> bool:
        now = self._clock.monotonic()
        grown = self._strangers + (now - self._refilled) * _STRANGERS_A_MINUTE / 60
        self._refilled = now
        self._strangers = min(float(_STRANGERS_AT_ONCE), grown)
        if self._strangers < 1:
            return False
        self._strangers -= 1
        return True

    def _write(self, data: bytes) -> None:
        try:
            folder = self._open_folder()
            try:
                _append(folder, data)
            finally:
                os.close(folder)
        except OSError as err:
            if not self._is_broken:
                # A full disk must not keep anybody from working, nor the admin from mending it.
                log.warning("cannot write the audit log %s: %s", self.folder, err.strerror or err)
            self._is_broken = True
        else:
            if self._is_broken:
                log.warning("the audit log %s is written again; lines are missing", self.folder)
            self._is_broken = False

    def _open_folder(self) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(self.folder, flags)
        except FileNotFoundError:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self.folder, flags)


def file_name(number: int) -> str:
    """The name of the newest file, 0, or of an older one."""
    return f"audit.{number}.jsonl" if number else "audit.jsonl"


def _append(folder: int, data: bytes) -> None:
    """One write(2) to a file opened for appending: lines of several programs don't mix."""
    descriptor = _open(folder)
    try:
        size = os.fstat(descriptor).st_size
        if size and size + len(data) > LARGEST_FILE:
            os.close(descriptor)
            descriptor = -1
            _rotate(folder, len(data))
            descriptor = _open(folder)
            size = os.fstat(descriptor).st_size
        # What a full disk cut off must not swallow the next line.
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            data = b"\n" + data
        if os.write(descriptor, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _open(folder: int) -> int:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(file_name(0), flags, 0o600, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"{file_name(0)} is no regular file")
    return descriptor


def _rotate(folder: int, more: int) -> None:
    """Each file becomes an older one, and the oldest goes; unless another program just did it."""
    fcntl.flock(folder, fcntl.LOCK_EX)
    with suppress(FileNotFoundError):
        if os.stat(file_name(0), dir_fd=folder).st_size + more <= LARGEST_FILE:
            return
    for number in range(FILES - 2, -1, -1):
        with suppress(FileNotFoundError):
            os.rename(
                file_name(number), file_name(number + 1), src_dir_fd=folder, dst_dir_fd=folder
            )


def _short(value: object) -> object:
    """A detail that can't make a line long."""
    if isinstance(value, str):
        return value[:_TEXT]
    if isinstance(value, list | tuple | set | frozenset):
        return [_short(one) for one in list(value)[:_TARGETS]]
    return value if isinstance(value, int | float | bool | None) else str(value)[:_TEXT]
