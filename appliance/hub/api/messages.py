"""Messages: sending them, and the stream by which browsers hear of them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import suppress
from typing import Any, Final

from pydantic import Field
from tornado.iostream import StreamClosedError

from appliance.access.principal import Kind, Principal
from appliance.access.scopes import Bearer, Scopes, Target
from appliance.clock import stamp
from appliance.errors import BadRequest, NotAllowed
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.classroom.classes import Classes
from appliance.hub.classroom.inbox import Card, Inbox
from appliance.hub.classroom.lab_keys import ARGUMENT, HEADER, LabKeys
from appliance.hub.classroom.messages import HOURS, Messages, Sent
from appliance.hub.classroom.streams import Stream, Streams
from appliance.names import Username
from appliance.texts import say
from appliance.web.formats import until
from appliance.web.guards import needs_scope, public
from appliance.web.languages import localized, use
from appliance.web.parts import Pattern

_HEARTBEAT_SECONDS: Final = 20.0
# How long browsers wait before they connect again.
_RETRY_MS: Final = 5000


# What JupyterLab's pages say of the server's use.
_WORDS: Final = {
    "usage": say("What the server uses"),
    "memory": say("Memory"),
    "cpu": say("Processor"),
    "disk": say("Files"),
    "memory_near": say("Little memory is left: stop kernels that you don't need"),
    "memory_full": say("Memory is nearly full: Linux stops the kernel that wants more"),
    "disk_near": say("Little room is left: delete files that you don't need"),
    "disk_full": say("Your home is nearly full: delete files, or saving fails"),
}


class NewMessage(Body):
    """A message to one user, or to everybody."""

    text: str
    hours: int = HOURS


class NewClassMessage(NewMessage):
    """A message to a class, or to some of it."""

    users: list[str] = Field(default_factory=list, max_length=1000)


class OwnInbox(HubApiHandler):
    """What a user is to see, for the user alone: by cookie, or a token that may use the servers.

    Pages of other servers on this host could ask with the cookie, too. So even reading takes the
    hub's XSRF token, or the key that a page of one's own server has.
    """

    inbox: Inbox
    lab_keys: LabKeys
    streams: Streams

    async def prepare(self) -> None:
        await super().prepare()
        if self.principal is None and self.web.content_host:
            # Pages of servers are on that host, and no cookie of ours comes along.
            owner = self.lab_keys.owner(self._lab_key)
            if owner:
                name, login_id = owner
                bound = Scopes.expand(["servers!user"], Bearer(name))
                self.principal = Principal(Kind.USER, name, bound, login_id=login_id)

    @property
    def _lab_key(self) -> str:
        return self.request.headers.get(HEADER) or self.get_query_argument(ARGUMENT, "")

    def _needs_xsrf(self) -> bool:
        return True

    def check_xsrf(self, principal: Principal | None) -> None:
        if principal and self.lab_keys.fits(principal.name, self._lab_key):
            return
        super().check_xsrf(principal)

    def reader(self) -> Username:
        """Who asks; raises NotAllowed for what isn't a user's full word."""
        who = self.identified()
        if who.kind is not Kind.USER or not who.scopes.allows("servers", Target(user=who.name)):
            raise NotAllowed(
                "Action is not authorized with current scopes", why="requires servers!user"
            )
        # People see it in JupyterLab just as it comes.
        use(self.language)
        return who.username

    def inbox_model(self, user: str) -> dict[str, Any]:
        return {
            "title": localized("Messages"),
            "words": {name: localized(word) for name, word in _WORDS.items()},
            "cards": [card_model(one) for one in self.inbox.cards(user)],
        }


class MessageListHandler(OwnInbox):
    """One's own messages; and, for admins, sending one to everybody."""

    messages: Messages

    @public
    async def get(self) -> None:
        self.reply(self.inbox_model(self.reader()))

    @needs_scope("admin:users")
    async def post(self) -> None:
        body = self.parse_body(NewMessage)
        send_as(self.messages, self.identified(), body.text, hours=body.hours)
        self.reply_nothing()

    def check_xsrf(self, principal: Principal | None) -> None:
        """To everybody speaks a page of the hub, not one of somebody's server."""
        if self.is_read:
            super().check_xsrf(principal)
        else:
            HubApiHandler.check_xsrf(self, principal)


class SeenHandler(OwnInbox):
    """Marks a message as read."""

    @public
    async def post(self, message: str) -> None:
        self.inbox.do(self.reader(), "seen", int(message))
        self.reply_nothing()


class ActHandler(OwnInbox):
    """Does what the button of a notice offers."""

    @public
    async def post(self, message: str) -> None:
        self.inbox.do(self.reader(), "act", int(message))
        self.reply_nothing()


class StreamHandler(OwnInbox):
    """One's own messages as they come: all that is to be seen, each time that it changes.

    It begins with all of it, so a browser that comes again misses nothing; one that says by
    Last-Event-ID that it has just that is told only of what is new.
    """

    _stream: Stream | None = None

    @public
    async def get(self) -> None:
        user, login = self.reader(), self.identified().login_id
        if login is None:
            raise BadRequest("cannot open the stream", why="it is for browsers that are logged in")
        stream = self._stream = self.streams.open(user, login)
        try:
            self.set_header("Content-Type", "text/event-stream")
            self.set_header("Cache-Control", "no-cache")
            # nginx would hold events back until a buffer is full.
            self.set_header("X-Accel-Buffering", "no")
            await self._send(f"retry: {_RETRY_MS}\n\n")
            await self._follow(stream, user)
        except StreamClosedError:
            return
        finally:
            self.streams.close(stream)

    def on_connection_close(self) -> None:
        if self._stream:
            self._stream.end()

    async def _follow(self, stream: Stream, user: str) -> None:
        known = self.request.headers.get("Last-Event-ID", "")
        while not stream.is_over:
            stream.news.clear()
            data = json.dumps(self.inbox_model(user))
            version = hashlib.sha256(data.encode()).hexdigest()[:16]
            if version != known:
                known = version
                await self._send(f"id: {version}\ndata: {data}\n\n")
            with suppress(TimeoutError):
                async with asyncio.timeout(_HEARTBEAT_SECONDS):
                    await stream.news.wait()
            if not stream.news.is_set():
                await self._send(": still here\n\n")

    async def _send(self, text: str) -> None:
        self.write(text)
        await self.flush()


class UserMessagesHandler(HubApiHandler):
    """Sends a message to one user."""

    messages: Messages

    @needs_scope("admin:users", "classroom")
    async def post(self, user: str) -> None:
        body = self.parse_body(NewMessage)
        name = self.person(user).name
        send_as(self.messages, self.identified(), body.text, users=[name], hours=body.hours)
        self.reply_nothing()


class ClassMessagesHandler(HubApiHandler):
    """What is said to a class."""

    messages: Messages
    classes: Classes

    @needs_scope("classroom")
    async def get(self, group: str) -> None:
        name = self.classes.get(group).name
        self.reply([sent_model(one) for one in self.messages.sent_to_class(name, limit=50)])

    @needs_scope("classroom")
    async def post(self, group: str) -> None:
        body = self.parse_body(NewClassMessage)
        name = self.classes.get(group).name
        check_members(self.classes, name, body.users)
        send_as(
            self.messages, self.identified(), body.text, group=name, users=body.users,
            hours=body.hours,
        )  # fmt: skip
        self.reply_nothing()


def send_as(
    messages: Messages,
    who: Principal,
    text: str,
    *,
    group: str = "",
    users: list[str] | None = None,
    hours: int = HOURS,
) -> None:
    """Send in the name of who asks; root is on the machine and needs no pace."""
    messages.send(
        text, sender=who.name, group=group, users=users or [], hours=hours,
        unlimited=who.kind is Kind.ROOT,
    )  # fmt: skip


def check_members(classes: Classes, group: str, users: list[str]) -> None:
    """Raise BadRequest if one of them isn't in the class."""
    strangers = set(users) - set(classes.members(group))
    if strangers:
        raise BadRequest(
            "cannot do this for all of them",
            why=say("{name!r} isn't in the class", name=min(strangers)[:60]),
        )


def card_model(card: Card) -> dict[str, Any]:
    """A card in the reader's language, with all that a browser needs to show it."""
    return {
        "key": card.key,
        "kind": card.kind,
        "title": localized(card.title),
        "text": card.text if card.kind == "message" else localized(card.text),
        "moment": stamp(card.moment),
        "when": _when(card),
        "hide": localized("Hide") if card.can_hide else "",
        "buttons": [
            {
                "label": localized(one.label),
                "path": one.path,
                "body": one.body,
                "main": one.is_main,
                "page": one.page,
            }
            for one in card.buttons
        ],
    }


def _when(card: Card) -> str:
    moment = until(card.moment)
    if card.kind == "question":
        return localized(say("Answer by {moment}", moment=moment))
    if card.kind == "visit":
        return localized(say("Until {moment}", moment=moment))
    return moment


def sent_model(one: Sent) -> dict[str, Any]:
    return {
        "id": one.id, "sender": one.sender, "user": one.user or None, "text": one.text,
        "created": stamp(one.created), "expires_at": stamp(one.expires),
        "seen": one.seen, "of": one.of,
    }  # fmt: skip


handlers = [
    Pattern(r"/api/appliance/messages", MessageListHandler),
    Pattern(r"/api/appliance/messages/stream", StreamHandler),
    Pattern(r"/api/appliance/messages/(?P<message>\d{1,15})/seen", SeenHandler),
    Pattern(r"/api/appliance/messages/(?P<message>\d{1,15})/act", ActHandler),
    Pattern(r"/api/appliance/users/(?P<user>[^/]+)/messages", UserMessagesHandler),
    Pattern(r"/api/appliance/classes/(?P<group>[^/]+)/messages", ClassMessagesHandler),
]
