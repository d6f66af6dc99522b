"""The life of single-user servers: starting, stopping, and what the spawner tells of them.

The state is in the database (`server_rows.py`); here are the operations under way. An operation
holds its server's lock from beginning to end, and what comes meanwhile joins it or is refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from appliance import audit
from appliance.access.tokens import new_secret
from appliance.audit import Action
from appliance.clock import Clock
from appliance.errors import (
    ApplianceError,
    BadRequest,
    Conflict,
    NotFound,
    SpawnError,
    SpawnFailed,
    SpawnRefused,
    SpawnTimeout,
)
from appliance.hub.activity import Activity
from appliance.hub.progress import Event, Progress, failed_event, only_event, ready_event
from appliance.hub.server_rows import FailureNote, ServerRows, ServerView
from appliance.hub.start_queue import StartQueue, who_asks
from appliance.hub.states import ServerState
from appliance.hub.supervisor import Supervisor
from appliance.interfaces import Exited, Running, Spawner, Started, StartRequest
from appliance.limits import Told
from appliance.names import ServerId, ServerName, Username

log = logging.getLogger(__name__)

# The spawner keeps the time of a start itself; this is for a spawner that doesn't answer.
_GRACE_SECONDS: Final = 150
_LOG_LINES: Final = 40
_SPAWN_ERRORS: Final = {kind.__name__: kind for kind in (SpawnRefused, SpawnTimeout, SpawnFailed)}


@dataclass(slots=True)
class _Live:
    """What is under way for a server in this process."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    launch: asyncio.Task[None] | None = None
    halt: asyncio.Task[None] | None = None
    progress: Progress | None = None
    settled: float = 0.0
    """When the last operation ended, in monotonic seconds."""
    to_forget: bool = False
    """Whether the server is to be forgotten when it has stopped."""
    unexplained: bool = False
    """Whether it was found gone before the spawner said why."""

    @property
    def busy(self) -> bool:
        tasks = (self.launch, self.halt)
        return self.lock.locked() or any(task and not task.done() for task in tasks)


class Servers:
    """All single-user servers."""

    def __init__(
        self,
        *,
        rows: ServerRows,
        spawner: Spawner,
        clock: Clock,
        activity: Activity,
        queue: StartQueue,
        supervisor: Supervisor,
        start_timeout_seconds: int,
        on_start: Callable[[ServerId, Started, float], None] = lambda _server, _how, _seconds: None,
        on_end: Callable[[str], None] = lambda _cause: None,
        told: Callable[[Username], Told] = lambda _user: Told(),
        named_limit: int = 0,
    ) -> None:
        """`named_limit` is the number of named servers that a user may have, `told` what the
        spawner is told of a user's limits."""
        self.named_limit = named_limit
        self._rows = rows
        self._spawner = spawner
        self._clock = clock
        self._activity = activity
        self._queue = queue
        self._supervisor = supervisor
        self._start_timeout = start_timeout_seconds
        self._on_start = on_start
        self._on_end = on_end
        self._told = told
        self._lives: dict[ServerId, _Live] = {}
        self._is_compared = False

    # What is

    def follow(self, follower: Callable[[ServerId, ServerState], None]) -> None:
        """Tell it of every change of a server's state from now on."""
        self._rows.follow(follower)

    def view(self, server: ServerId) -> ServerView:
        return self._with_place(self._rows.view(server))

    def known(self, server: ServerId) -> bool:
        """Whether it was ever started; the default server always counts as known."""
        return not server.name or self._rows.known(server)

    def of_user(self, user: Username) -> list[ServerView]:
        """A user's servers, the default one first."""
        return self.of_users([user])[user]

    def of_users(self, names: Sequence[str]) -> dict[str, list[ServerView]]:
        """The servers of some users, each one's default server first."""
        found = self.used_of_users(names)
        for name in names:
            if name not in found:
                found[name] = [self._rows.never_ran(ServerId(Username(name)))]
        return found

    def used_of_users(self, names: Sequence[str]) -> dict[str, list[ServerView]]:
        """The same in one query; users who never had a server are left out."""
        found = self._rows.of_users(names)
        return {name: [self._with_place(view) for view in views] for name, views in found.items()}

    def active(self) -> list[ServerView]:
        """Every server that runs or is on its way."""
        return [self._with_place(view) for view in self._rows.active()]

    async def usage(self) -> dict[ServerId, Running]:
        """What the servers that run use."""
        return await self._spawner.running()

    async def log(self, server: ServerId, *, lines: int = 100) -> list[str]:
        """The last lines that a server wrote."""
        return await self._spawner.log(server, lines=lines)

    def counts(self) -> dict[ServerState, int]:
        """How many servers there are in each state."""
        return self._rows.counts()

    def place(self, server: ServerId) -> int | None:
        """A server's place in line, from 1; None if it doesn't wait."""
        return self._queue.position(server)

    @property
    def in_line(self) -> int:
        """How many wait in line to be started."""
        return len(self._queue)

    # Starting

    def check_room(self, server: ServerId) -> None:
        """Raise BadRequest for a named server that would be one too many for its user."""
        if self.known(server):
            return
        if not self.named_limit:
            raise BadRequest(f"cannot make the server {server}", why="named servers are turned off")
        named = [view for view in self.of_user(server.user) if view.server.name]
        if len(named) >= self.named_limit:
            raise BadRequest(
                f"cannot make the server {server}",
                why=f"a user may have {self.named_limit} named servers",
                mend="remove one that isn't needed any more",
            )

    def create(
        self, server: ServerId, *, display_name: str = "", options: dict[str, Any] | None = None
    ) -> ServerView:
        """Keep a named server without starting it; raises Conflict if there is one."""
        if server.name:
            self.check_room(server)
        self._rows.create(server, display_name=display_name, options=options)
        return self.view(server)

    def edit(
        self,
        server: ServerId,
        *,
        name: ServerName | None = None,
        display_name: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> ServerView:
        """Change a server that doesn't run; None leaves a thing as it is.

        A default server that gets a name leaves its user another one, which never ran.
        """
        if name is not None and not server.name:
            self.check_room(ServerId(server.user, name))
        self._rows.edit(server, name=name, display_name=display_name, options=options)
        if name is None:
            return self.view(server)
        self._lives.pop(server, None)
        return self.view(ServerId(server.user, name))

    async def start(
        self,
        server: ServerId,
        *,
        options: dict[str, Any] | None = None,
        display_name: str | None = None,
        wait: float = 0.0,
    ) -> ServerView:
        """Begin to start a server and return after at most `wait` seconds; join a start under way.

        Raises BadRequest if it runs or is stopping, SpawnError if it failed within that time.
        """
        self.check_room(server)
        view, live = await self.seen(server, believed=False), self._live(server)
        if view.state is ServerState.READY:
            raise BadRequest(f"cannot start the server {server}", why="it is already running")
        if view.state is ServerState.STOPPING:
            raise BadRequest(
                f"cannot start the server {server}",
                why="it is stopping at this moment",
                mend="try again in a few seconds",
            )
        asker = who_asks(server)
        if view.state is ServerState.STARTING:
            self._queue.move_up(server, asker)
        else:
            token = new_secret()
            self._rows.begin_start(server, token, options=options, display_name=display_name)
            audit.note_unless_own(Action.START_SERVER, server.user, str(server))
            live.to_forget = live.unexplained = False
            live.progress = Progress()
            live.progress.tell(0, "Server requested")
            live.launch = self._supervisor.run(
                f"start of {server}", self._launch(server, live, live.progress, token, asker)
            )
        if wait and live.launch:
            await asyncio.wait({live.launch}, timeout=wait)
        return self._started_view(server)

    def _started_view(self, server: ServerId) -> ServerView:
        view = self.view(server)
        if view.state is ServerState.FAILED and view.failure:
            note = view.failure
            error = _SPAWN_ERRORS.get(note.kind, SpawnError)
            raise error(note.what, why=note.why, mend=note.mend, log=note.log)
        return view

    async def _launch(
        self, server: ServerId, live: _Live, progress: Progress, token: str, asker: str
    ) -> None:
        def told(place: int) -> None:
            progress.tell_place(place)

        async with live.lock:
            try:
                async with self._queue.turn(server, told, asker=asker):
                    progress.tell(10, "Starting the server")
                    await self._ask_to_start(server, token)
            except ApplianceError as err:
                await self._fail(server, progress, err)
            else:
                await self._become_ready(server, progress)
            live.settled = self._clock.monotonic()

    async def _ask_to_start(self, server: ServerId, token: str) -> None:
        begun = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._start_timeout + _GRACE_SECONDS):
                request = StartRequest(token, self._told(server.user))
                started = await self._spawner.start(server, request)
        except TimeoutError as err:
            await self._spawner.stop(server)
            raise SpawnTimeout(
                f"cannot start the server {server}",
                why=f"the spawner gave no answer in {self._start_timeout + _GRACE_SECONDS} s",
                mend="try again; if it stays, an admin should look at `appliance logs spawner`",
            ) from err
        seconds = self._clock.monotonic() - begun
        log.info("server %s started in %.2f s, %s", server, seconds, started)
        self._on_start(server, started, seconds)

    async def _become_ready(self, server: ServerId, progress: Progress) -> None:
        if self._rows.change(server, ServerState.READY):
            self._activity.began(server)
            progress.close(**ready_event(self._rows.view(server)))
        else:  # its user was removed meanwhile
            await self._spawner.stop(server)
            progress.close("The user of this server was removed", failed=True)

    async def _fail(self, server: ServerId, progress: Progress, err: ApplianceError) -> None:
        note = FailureNote(err.what, err.why, err.mend, err.log[-_LOG_LINES:], type(err).__name__)
        log.warning("server %s: %s", server, err)
        self._rows.change(server, ServerState.FAILED, failure=note)
        progress.close(**failed_event(note))

    # Stopping

    async def stop(
        self, server: ServerId, *, wait: float = 60.0, forget: bool = False
    ) -> ServerView:
        """Stop a server, or cancel its start; returns after at most `wait` seconds.

        With `forget` a named server is forgotten once it has stopped.
        """
        view, live = self._rows.view(server), self._live(server)
        if view.active:
            live.to_forget = live.to_forget or forget
            if live.halt is None or live.halt.done():
                self._rows.change(server, ServerState.STOPPING)
                audit.note_unless_own(Action.STOP_SERVER, server.user, str(server))
                live.halt = self._supervisor.run(f"stop of {server}", self._halt(server, live))
            await asyncio.wait({live.halt}, timeout=wait)
        elif forget:
            self.forget(server)
        return self.view(server)

    async def _halt(self, server: ServerId, live: _Live) -> None:
        if live.launch and not live.launch.done():
            live.launch.cancel()
        async with live.lock:
            await self._spawner.stop(server)
            self._activity.ended(server)
            self._rows.change(server, ServerState.STOPPED)
            if live.progress:
                live.progress.close("The server was stopped", failed=True)
                live.progress = None
            live.settled = self._clock.monotonic()
            if live.to_forget:
                self.forget(server)

    async def forget_user(self, user: Username) -> None:
        """Stop all that a removed user left running; there are no rows any more."""
        for server, live in list(self._lives.items()):
            if server.user == user:
                if live.launch and not live.launch.done():
                    live.launch.cancel()
                    await asyncio.wait({live.launch})
                del self._lives[server]
                self._activity.ended(server)
                self._rows.tell(server, ServerState.STOPPED)
        for server in await self._spawner.running():
            if server.user == user:
                await self._spawner.stop(server)

    def forget(self, server: ServerId) -> None:
        """Forget a named server; raises Conflict unless it is stopped."""
        if self._rows.view(server).active:
            raise Conflict(
                f"cannot forget the server {server}", why="it is running", mend="stop it first"
            )
        self._rows.forget(server)
        audit.note_unless_own(Action.REMOVE_SERVER, server.user, str(server))
        self._lives.pop(server, None)

    # What the spawner tells

    async def watch_exits(self) -> None:
        """Follow the ends of servers for as long as the spawner tells of them."""
        async for exited in self._spawner.exits():
            await self.ended(exited)

    async def ended(self, exited: Exited) -> None:
        """A server is said to have ended: believe it only if it doesn't run now.

        News may come late, when the server is long started again.
        """
        server, live = exited.server, self._live(exited.server)
        async with live.lock:
            is_news = self._rows.view(server).active or live.unexplained
            if not is_news or server in await self._spawner.running():
                return
            live.unexplained = False
            note = None
            if exited.failed:
                lines = await self._last_lines(server)
                what = "your server ended by itself"
                note = FailureNote(what, exited.reason, "start it again", lines, ended=True)
            log.info("server %s ended: %s", server, exited.reason)
            self._on_end(exited.cause)
            self.gone(server, note)

    async def _last_lines(self, server: ServerId) -> tuple[str, ...]:
        try:
            return tuple(await self._spawner.log(server, lines=_LOG_LINES))
        except ApplianceError as err:
            return (f"(the log can't be read: {err})",)

    # For reconciling (`reconcile.py`)

    def is_settled(self, server: ServerId, *, since: float) -> bool:
        """Whether no operation is under way, and none has ended since."""
        live = self._lives.get(server)
        return live is None or (not live.busy and live.settled <= since)

    def has_compared(self) -> None:
        """The rows were compared with what runs; until then they tell of an earlier hub's time."""
        self._is_compared = True

    async def seen(
        self, server: ServerId, *, doubted: bool = False, believed: bool = True
    ) -> ServerView:
        """The server as it is: one that is said to run is looked for where the row may be wrong.

        That is until the first comparison after a power cut, and always with `doubted`: somebody
        did not find it there. If the spawner can't be asked, the row is `believed`, or that raised.
        """
        view = self.view(server)
        if not view.ready or (self._is_compared and not doubted):
            return view
        async with self._live(server).lock:
            try:
                running = await self._spawner.running()
            except ApplianceError as err:
                if not believed:
                    raise
                log.warning("cannot see whether the server %s runs: %s", server, err)
                return self.view(server)
            if self._rows.view(server).ready and server not in running:
                self.lost(server)
        return self.view(server)

    def adopt(self, server: ServerId, *, idle_seconds: float) -> None:
        """A server runs that this process did not start: it is ready."""
        self._rows.change(server, ServerState.READY)
        if self._activity.idle_seconds(server) is None:
            self._activity.began(server, idle_seconds=idle_seconds)
        progress = self._live(server).progress
        if progress and not progress.is_closed:
            progress.close(**ready_event(self._rows.view(server)))

    def lost(self, server: ServerId) -> None:
        """A server was looked for and doesn't run any more; why, the spawner may say later."""
        log.info("server %s doesn't run any more", server)
        self.gone(server)
        self._live(server).unexplained = True

    def gone(self, server: ServerId, note: FailureNote | None = None) -> None:
        """A server doesn't run any more, whatever it was."""
        self._activity.ended(server)
        state = self._rows.view(server).state
        if state is ServerState.STARTING:
            note = note or FailureNote(
                "your server did not start", "it was interrupted on its way", "start it again"
            )
        failed = note is not None and state is not ServerState.STOPPING
        self._rows.change(
            server, ServerState.FAILED if failed else ServerState.STOPPED, failure=note
        )
        progress = self._live(server).progress
        if progress and not progress.is_closed:
            progress.close(**failed_event(note or FailureNote("your server was stopped")))

    # Progress and activity

    def progress(self, server: ServerId) -> AsyncIterator[Event]:
        """The events of the start under way, or the one event that says how it ended.

        Raises NotFound or BadRequest at once if there is nothing to tell.
        """
        view, live = self._rows.view(server), self._live(server)
        if view.state is ServerState.STARTING:
            if live.progress is None or live.progress.is_closed:
                live.progress = Progress()
                live.progress.tell(10, "The server is starting")
            return live.progress.events()
        if view.state is ServerState.READY:
            return only_event(ready_event(view))
        if view.state is ServerState.FAILED and view.failure:
            return only_event(failed_event(view.failure))
        if view.state is ServerState.STOPPED and not self._rows.known(server):
            raise NotFound(f"cannot follow the server {server}", why="it was never started")
        raise BadRequest(f"cannot follow the server {server}", why=f"it is {view.state}")

    def note_activity(
        self, user: Username, last: datetime | None, servers: dict[ServerName, datetime]
    ) -> None:
        """Take a report of activity; raises NotFound or BadRequest for what isn't known."""
        unknown = [name for name in servers if not self._rows.known(ServerId(user, name))]
        if unknown:
            raise BadRequest(
                f"cannot note the activity of {user!r}", why=f"no such server: {unknown[0]!r}"
            )
        self._rows.note_activity(user, last, servers)
        for name, moment in servers.items():
            self._activity.reported(ServerId(user, name), moment)

    def _live(self, server: ServerId) -> _Live:
        return self._lives.setdefault(server, _Live())

    def _with_place(self, view: ServerView) -> ServerView:
        if view.state is not ServerState.STARTING:
            return view
        return replace(view, queue_position=self._queue.position(view.server))
