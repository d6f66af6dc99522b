"""Make a configuration take effect and see that the appliance answers, or go back to the old.

The order is: check everything that can be checked (the text, the port, nginx's own check) while
nothing is changed; keep what is in force; write; tell the programs; wait for health. Any failure
after the writing, Ctrl-C and a closed terminal included, puts back the old files, tells the
programs again and waits for health again. A crash leaves the marker of transaction.py and the next
command heals.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Final

from appliance import audit
from appliance.audit import Action, AuditLog
from appliance.config.edit import keep_version, write_config
from appliance.config.files import locked
from appliance.config.kinds import Reload
from appliance.config.load import check_text, read_text
from appliance.config.rendered import HUB_FILE, read_rendered
from appliance.config.rules import find_hints
from appliance.config.schema import Config
from appliance.errors import ApplianceError, ConfigError
from appliance.places import Places
from appliance.proxy.machine import nginx_text
from appliance.rollout.changes import Change, find_changes
from appliance.rollout.front import MOVES_NGINX, check_front, has_front
from appliance.rollout.health import (
    Deadline,
    check_address,
    check_port,
    health_url,
    ports,
    wait_for_health,
)
from appliance.rollout.render import (
    PROXY_FILE,
    NginxText,
    Rendered,
    check_nginx,
    render_all,
    write_rendered,
    write_rendered_file,
)
from appliance.rollout.services import Services, SystemdServices, TrialServices
from appliance.rollout.transaction import Marker, lock_file
from appliance.systemd_spawner.programs import check_program

APPLY_SECONDS: Final = 16.0
"""For the new configuration; with the next, under the 30 seconds that people were promised."""
ROLLBACK_SECONDS: Final = 12.0

Handler = Callable[[int, FrameType | None], object] | signal.Handlers

EVERYTHING: Final = ~Reload(0)


class ApplyFailed(ApplianceError):
    """The new configuration didn't work; what is in force again is told in `why`."""


class Interrupted(BaseException):
    """A signal asked the command to end; no Exception, as KeyboardInterrupt: nothing eats it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What applying did."""

    changes: list[Change]
    reload: Reload
    url: str
    healed: str = ""
    stopped: bool = False
    """The appliance doesn't run: it will have this when it is started."""
    notes: list[str] = field(default_factory=list)


class Applier:
    """Changes the configuration of one appliance, one change at a time."""

    def __init__(
        self,
        *,
        places: Places,
        services: Services,
        nginx_text: NginxText,
        apply_seconds: float = APPLY_SECONDS,
        rollback_seconds: float = ROLLBACK_SECONDS,
    ) -> None:
        self._places = places
        self._services = services
        self._nginx_text = nginx_text
        self._apply_seconds = apply_seconds
        self._rollback_seconds = rollback_seconds
        self._marker = Marker(places)

    def change(self, edit: Callable[[str], str], *, roll_back: bool = True) -> Outcome:
        """Edit the file's text and make it take effect; the file is as before if that fails."""
        with locked(lock_file(self._places)):
            healed = self._heal()
            path = self._places.config_file
            old = read_text(path)
            new = edit(old)
            return self._apply(old, new, healed=healed, roll_back=roll_back, everything=False)

    def reload(self, *, everything: bool = False, roll_back: bool = True) -> Outcome:
        """Make the file as it is take effect; `everything`: even where nothing differs."""
        with locked(lock_file(self._places)):
            healed = self._heal()
            text = read_text(self._places.config_file)
            return self._apply(
                text, text, healed=healed, roll_back=roll_back, everything=everything
            )

    def render(self) -> None:
        """Write what the programs read, and tell nobody: for before they are started."""
        with locked(lock_file(self._places)):
            text = read_text(self._places.config_file)
            config = check_text(text, name=str(self._places.config_file))
            files = render_all(config, self._places, nginx_text=self._nginx_text)
            check_nginx(files[self._places.rendered / PROXY_FILE].text, self._places)
            write_rendered(files, self._places, source=text)
            self._marker.remove()

    def refresh_proxy(self) -> bool:
        """Give the proxy what isn't in the settings, such as a new certificate, with the settings
        in force; says whether there was anything new.

        A configuration file that was edited meanwhile is left alone. There is nothing to heal after
        a crash: the old text and the new are good for the same settings.
        """
        with locked(lock_file(self._places)):
            self._heal()
            config = self.in_force()
            path = self._places.rendered / PROXY_FILE
            if config is None or not path.exists():
                return False
            old, new = path.read_text("utf-8"), self._nginx_text(config, self._places)
            if old == new:
                return False
            check_nginx(new, self._places)
            write_rendered_file(path, new)
            if self._services.is_stopped():
                return True
            deadline = Deadline.after(self._apply_seconds)
            try:
                self._services.carry_out(Reload.PROXY, deadline, restart_proxy=False)
                wait_for_health(config, deadline)
            except BaseException:
                write_rendered_file(path, old)
                back = Deadline.after(self._rollback_seconds)
                self._services.carry_out(Reload.PROXY, back, restart_proxy=False)
                raise
            return True

    def in_force(self) -> Config | None:
        """The configuration that the programs have, or None before the first."""
        path = self._places.rendered / HUB_FILE
        try:
            return read_rendered(path) if path.exists() else None
        except ConfigError:
            return None

    def _apply(
        self, old: str, new: str, *, healed: str, roll_back: bool, everything: bool
    ) -> Outcome:
        config = check_text(new, name=str(self._places.config_file))
        before = self.in_force()
        files = render_all(config, self._places, nginx_text=self._nginx_text)
        changes = find_changes(before, config) if before else []
        reload = self._effect(changes, config, files, everything=everything or before is None)
        outcome = Outcome(changes, reload, health_url(config), healed, notes=_notes(before, config))
        if not reload:
            if new != old:
                self._write(old, new, files)
                self._note(changes)
            return outcome
        self._check_first(config, before, files)
        if self._services.is_stopped():
            self._write(old, new, files)
            self._note(changes)
            return replace(outcome, stopped=True)
        self._marker.place()
        deadline = Deadline.after(self._apply_seconds)
        moved = before is not None and _address_moved(before, config)
        try:
            with _signals_raise():
                self._write(old, new, files)
                remarks = self._services.carry_out(reload, deadline, restart_proxy=moved)
                wait_for_health(config, deadline)
        except BaseException as error:
            self._note(changes, audit.Outcome.FAILED)
            if not roll_back or before is None:
                self._marker.remove()
                raise
            raise self._back(error, (old, new), reload, before, moved=moved) from error
        self._marker.remove()
        self._note(changes)
        return replace(outcome, notes=[*outcome.notes, *remarks])

    def _note(self, changes: list[Change], outcome: audit.Outcome = audit.Outcome.DONE) -> None:
        """Into the audit log: which settings, never their values, some of which are secrets."""
        action = Action.CHANGE_CONFIG if changes else Action.RELOAD_CONFIG
        keys = [change.key for change in changes]
        log = AuditLog(self._places.root_audit)
        log.add(audit.at_the_terminal(), action, keys, outcome=outcome)

    def _effect(
        self,
        changes: list[Change],
        config: Config,
        files: dict[Path, Rendered],
        *,
        everything: bool,
    ) -> Reload:
        """Who must hear of it; nginx also when a new version writes its file otherwise."""
        if everything:
            return EVERYTHING
        reload = Reload(0)
        for change in changes:
            reload |= change.reload
        if has_front(config) and any(change.key in MOVES_NGINX for change in changes):
            # The hub tells the program in front where nginx is.
            reload |= Reload.HUB
        path = self._places.rendered / PROXY_FILE
        if not path.exists() or path.read_text("utf-8") != files[path].text:
            reload |= Reload.PROXY
        return reload

    def _check_first(
        self, config: Config, before: Config | None, files: dict[Path, Rendered]
    ) -> None:
        if before is None or (before.http, before.https) != (config.http, config.https):
            check_address(config)
            if before is not None:
                check_port(config, held=before)
        if config.pages.templates and (before is None or before.pages != config.pages):
            check_templates(config.pages.templates)
        if before is not None and before.proxy != config.proxy:
            check_front(config)
        if before is not None and before.servers.program is not config.servers.program:
            check_program(config.servers.program, self._places.user_environment)
        check_nginx(files[self._places.rendered / PROXY_FILE].text, self._places)

    def _write(self, old: str, new: str, files: dict[Path, Rendered]) -> None:
        if new != old:
            keep_version(self._places, old)
            write_config(self._places, new)
        write_rendered(files, self._places, source=new)

    def _back(
        self,
        error: BaseException,
        texts: tuple[str, str],
        reload: Reload,
        before: Config,
        *,
        moved: bool,
    ) -> ApplyFailed:
        """Go back to what was in force, and the error that tells of it."""
        old, new = texts
        with _signals_wait():
            kept = keep_version(self._places, new, refused=True)
            health = self._go_back(old, reload, before, moved=moved)
        why, log = _reason(error)
        again = health or "the configuration before it is in force again"
        return ApplyFailed(
            "cannot keep this configuration",
            why=f"{why.rstrip('.')}; {again}",
            mend=f"look at the reason, then try again; what was refused is kept in {kept}",
            log=log,
        )

    def _go_back(self, old: str, reload: Reload, before: Config, *, moved: bool) -> str:
        """Restore, tell, wait; returns "" or what is still wrong.

        The text that what was in force was made from wins over the file's last one, `old`, which
        somebody may have edited without making it take effect.
        """
        deadline = Deadline.after(self._rollback_seconds)
        source = self._marker.restore()
        write_config(self._places, old if source is None else source)
        try:
            if self._services.is_stopped():
                return ""
            if Reload.HUB in reload:
                self._services.make_ready(deadline)
            self._services.carry_out(reload, deadline, restart_proxy=moved)
            wait_for_health(before, deadline)
        except ApplianceError as error:
            return (
                "the configuration before it was put back, and the appliance does not answer "
                f"with that either: {error.what}: {error.why}"
            )
        finally:
            self._marker.remove()
        return ""

    def _heal(self) -> str:
        """With the lock held: undo a change that was cut off, if there is one."""
        if not self._marker.exists:
            return ""
        text = read_text(self._places.config_file) if self._places.config_file.exists() else ""
        self._marker.restore()
        before = self.in_force()
        if before is None:
            self._marker.remove()
            return ""
        with _signals_wait():
            kept = keep_version(self._places, text, refused=True)
            health = self._go_back(text, EVERYTHING, before, moved=True)
        said = "a change of the configuration was cut off before it had proved itself; "
        return said + (health or f"the one before is in force again, the change is kept in {kept}")


def _reason(error: BaseException) -> tuple[str, tuple[str, ...]]:
    if isinstance(error, ApplianceError):
        return f"{error.what}: {error.why}" if error.why else error.what, error.log
    if isinstance(error, (KeyboardInterrupt, Interrupted)):
        return "the command was interrupted", ()
    return f"{type(error).__name__}: {error}", ()


def check_templates(folder: str) -> None:
    """Refuse a folder that isn't there: its templates would be missed without a word."""
    if not Path(folder).is_dir():
        raise ApplianceError(
            "cannot use this folder of templates",
            why=f"pages.templates: there is no folder {folder}",
            mend=f"sudo mkdir -p {folder}",
        )


def _address_moved(old: Config, new: Config) -> bool:
    return old.http.address != new.http.address and bool(ports(old) & ports(new))


def _address(config: Config) -> tuple[object, ...]:
    """What people's addresses are made of."""
    http, https = config.http, config.https
    return (http.address, http.port, config.base_url, https.is_on and (https.port, https.names))


def _notes(old: Config | None, new: Config) -> list[str]:
    """What people must know although nothing is wrong."""
    if old is None:
        return []
    notes = [] if (old.roles, old.services) == (new.roles, new.services) else find_hints(new)
    if _address(old) != _address(new):
        notes.append("the appliance has a new address; open browser pages lead to the old one")
    if has_front(new) and not new.http.trusted_proxies:
        notes.append(
            "everybody seems to come from configurable-http-proxy's address, until "
            "http.trusted_proxies has it"
        )
    if _address_moved(old, new):
        notes.append("the proxy was started anew, which cut open connections; pages reconnect")
    if old.base_url != new.base_url:
        notes.append("servers that run now must be stopped and started to be reached again")
    return notes


@contextmanager
def _signals_raise() -> Iterator[None]:
    """SIGTERM and a closed terminal end the command as Ctrl-C does, through the way back."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        raise Interrupted(signal.Signals(number).name)

    with _handlers({signal.SIGTERM: on_signal, signal.SIGHUP: on_signal}):
        yield


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Nothing interrupts the way back: it has a deadline of its own."""
    waiting = dict.fromkeys((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), signal.SIG_IGN)
    with _handlers(waiting):
        yield


@contextmanager
def _handlers(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    try:
        old = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    except ValueError:
        # Not the main thread, which alone gets signals: there is nothing to guard.
        yield
        return
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def make_applier(places: Places) -> Applier:
    """The applier of the appliance at those places, with the real programs."""
    services: Services = TrialServices(places) if places.trial else SystemdServices(places)
    return Applier(places=places, services=services, nginx_text=nginx_text)
