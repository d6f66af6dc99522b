"""The two ways of a notice to people: mail by the settings of mail, and JSON to a webhook."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from appliance.client.hub import HubClient
from appliance.clock import Clock
from appliance.config.mail_schema import is_mail_address
from appliance.config.schema import Config
from appliance.errors import ApplianceError, MailError
from appliance.native_auth.mail import Letter, Mailer
from appliance.network import outgoing_environment
from appliance.places import Places

log = logging.getLogger("appliance.upkeep.notices")

_SECONDS: Final = 20
_ANSWER: Final = 4096
_TEXT_MAX: Final = 4000


@dataclass(frozen=True, slots=True)
class Message:
    """What there is to say, of one round."""

    subject: str
    text: str
    items: tuple[dict[str, str], ...] = ()
    """The same for programs."""


class Way(Protocol):
    """By which messages go."""

    name: str

    def send(self, message: Message) -> list[str]:
        """Send it; to whom it went. Raises ApplianceError, without secrets in its words."""
        ...


class ByMail:
    """A mail to each receiver; that one of them can't be reached keeps it from nobody else."""

    name = "mail"

    def __init__(self, config: Config, receivers: Sequence[str]) -> None:
        self._config = config
        self._receivers = receivers

    def send(self, message: Message) -> list[str]:
        sent, failures = [], []
        for receiver in self._receivers:
            try:
                _post(self._config, Letter(receiver, message.subject, message.text))
                sent.append(receiver)
            except MailError as err:
                log.warning("%s", err)
                failures.append(err)
        if not sent:
            raise failures[0] if failures else MailError("cannot send mail", why="to nobody")
        return sent


def _post(config: Config, letter: Letter) -> None:
    def run(_name: str, task: Coroutine[None, None, None]) -> None:
        """Nothing is left for later here."""
        task.close()

    mailer = Mailer(config.mail, clock=Clock(), run=run)
    asyncio.run(mailer.send(letter))


class ByWebhook:
    """A POST of JSON; what is behind it is a chat, or a program."""

    name = "webhook"

    def __init__(self, config: Config, places: Places) -> None:
        self._config = config
        self._places = places

    def send(self, message: Message) -> list[str]:
        secret = self._config.notices.webhook
        url = secret.get_secret_value() if secret else ""
        body = {
            "text": _plain(f"*{message.subject}*\n{message.text}"[:_TEXT_MAX]),
            "appliance": {"host": socket.gethostname(), "items": list(message.items)},
        }
        request = urllib.request.Request(  # noqa: S310 - http and https alone, the schema says
            url,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "User-Agent": "hub-appliance"},
            method="POST",
        )
        try:
            with self._opener(url).open(request, timeout=_SECONDS) as answer:
                answer.read(_ANSWER)
        except (OSError, ValueError) as err:
            raise ApplianceError(
                "cannot send a notice to the webhook",
                why=_why(err),
                mend="appliance config set notices.webhook; then: sudo appliance notices test",
            ) from None  # Errors of the library have the address in them, which is a secret.
        return ["the webhook"]

    def _opener(self, url: str) -> urllib.request.OpenerDirector:
        """By the proxy of the settings, with their authorities; nothing redirects elsewhere."""
        variables = outgoing_environment(self._config, self._places)
        proxies = {
            scheme: variables[f"{scheme}_proxy"]
            for scheme in ("http", "https")
            if f"{scheme}_proxy" in variables
        }
        host = urlsplit(url).hostname or ""
        direct = {"no": variables.get("no_proxy", "")}
        if urllib.request.proxy_bypass_environment(host, direct):  # type: ignore[attr-defined]
            proxies = {}
        context = ssl.create_default_context(cafile=variables.get("SSL_CERT_FILE"))
        return urllib.request.build_opener(
            urllib.request.ProxyHandler(proxies),
            urllib.request.HTTPSHandler(context=context),
            _NoRedirect(),
        )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What is to be said goes nowhere else than the settings say."""

    def redirect_request(self, *_words: Any, **_named: Any) -> None:
        return None


def _plain(text: str) -> str:
    """As chats want what is no command: the name of a class could be a call to a whole channel."""
    for char, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(char, name)
    # Mattermost's calls need no brackets; a joiner of no width is seen by nobody.
    return re.sub(r"@(?=(?:all|channel|here)\b)", "@\u2060", text)


def _why(error: Exception) -> str:
    match error:
        case urllib.error.HTTPError():
            return f"it answered {error.code}"
        case urllib.error.URLError():
            reason = error.reason
            if isinstance(reason, ssl.SSLCertVerificationError):
                return f"its certificate isn't trusted: {reason.verify_message}"
            if isinstance(reason, socket.gaierror):
                return "its name isn't known"
            if isinstance(reason, TimeoutError):
                return "it doesn't answer"
            if isinstance(reason, ConnectionRefusedError):
                return "nothing listens at that port"
            return "it can't be reached"
        case TimeoutError():
            return "it doesn't answer"
        case _:
            return "the connection broke"


def admins_addresses(places: Places) -> list[str]:
    """Of admins who have one; asked of the hub. Raises ApplianceError."""
    found = []
    for user in HubClient.of(places, timeout=_SECONDS).users():
        address = str(user.get("appliance", {}).get("email") or "")
        if user.get("admin") and is_mail_address(address):
            found.append(address)
    return sorted(set(found))
