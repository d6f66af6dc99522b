"""Sending mail: plain text, from a thread, with bounds on how many wait and how long each takes.

A failure must not keep anybody from anything: it is tried again twice, logged, and told to admins
with its reason. Nothing that comes from people gets into a header but an address whose form was
checked, and the library refuses line breaks there.
"""

from __future__ import annotations

import asyncio
import logging
import smtplib
import socket
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import Final

from appliance.clock import Clock
from appliance.config.mail_schema import Mail, MailSecurity, is_mail_address
from appliance.errors import BadRequest, MailError
from appliance.texts import say

log = logging.getLogger(__name__)

SENDER_NAME: Final = "Hub Appliance"
_PORTS: Final = {MailSecurity.STARTTLS: 587, MailSecurity.TLS: 465, MailSecurity.NONE: 25}
_TIMEOUT_SECONDS: Final = 20.0
_MOST_WAITING: Final = 500
_AT_ONCE: Final = 2
_PAUSES: Final = (30.0, 300.0)


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail to one person."""

    to: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class MailFailure:
    """The latest mail that could not be sent, and why."""

    at: datetime
    why: str


class Mailer:
    """Sends letters by the mail server of the configuration."""

    def __init__(
        self,
        settings: Mail,
        *,
        clock: Clock,
        run: Callable[[str, Coroutine[None, None, None]], object],
    ) -> None:
        """`run` begins a task that nobody waits for."""
        self.settings = settings
        self._clock = clock
        self._run = run
        self._waiting = 0
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self.failure: MailFailure | None = None
        """Why the latest mail wasn't sent; None once one is sent again."""

    @property
    def is_set_up(self) -> bool:
        return bool(self.settings.host)

    def post(self, letter: Letter) -> bool:
        """Have it sent, as soon as it may be; False if too many wait, or no mail is sent at all."""
        if not self.is_set_up or not is_mail_address(letter.to):
            return False
        if self._waiting >= _MOST_WAITING:
            self._note("too many mails wait to be sent")
            return False
        self._waiting += 1
        self._run("mail", self._deliver(letter))
        return True

    async def send(self, letter: Letter) -> None:
        """Send it now; raises MailError, or BadRequest if mail isn't set up."""
        if not self.is_set_up:
            raise BadRequest(
                "cannot send mail",
                why="no mail server is set",
                mend="appliance config set mail.host NAME",
            )
        if not is_mail_address(letter.to):
            raise BadRequest(
                "cannot send mail",
                why=say("{address!r} is no mail address", address=letter.to[:100]),
            )
        async with self._slots:
            try:
                await asyncio.to_thread(self._send, letter)
            except MailError as err:
                self._note(err.why)
                raise
        self.failure = None

    async def _deliver(self, letter: Letter) -> None:
        try:
            for pause in (*_PAUSES, None):
                try:
                    await self.send(letter)
                except MailError as err:
                    log.warning("%s", err)
                    if pause is None or not _is_temporary(err):
                        return
                    await asyncio.sleep(pause)
                else:
                    return
        finally:
            self._waiting -= 1

    def _note(self, why: str) -> None:
        self.failure = MailFailure(self._clock.now(), why)

    def _send(self, letter: Letter) -> None:
        """In a thread: all of it may block."""
        settings = self.settings
        try:
            with self._connect() as server:
                if settings.user:
                    password = settings.password.get_secret_value() if settings.password else ""
                    server.login(settings.user, password)
                server.send_message(self._message(letter))
        except (OSError, smtplib.SMTPException) as err:
            where = f"{settings.host}:{self._port}"
            raise MailError(
                say("cannot send mail by {server}", server=where),
                why=_why(err),
                mend="look at the settings of mail, then try `appliance mail test`",
            ) from err

    @property
    def _port(self) -> int:
        return self.settings.port or _PORTS[self.settings.security]

    def _connect(self) -> smtplib.SMTP:
        settings = self.settings
        if settings.security is MailSecurity.TLS:
            return smtplib.SMTP_SSL(
                settings.host, self._port, timeout=_TIMEOUT_SECONDS,
                context=ssl.create_default_context(),
            )  # fmt: skip
        server = smtplib.SMTP(settings.host, self._port, timeout=_TIMEOUT_SECONDS)
        if settings.security is MailSecurity.STARTTLS:
            try:
                server.starttls(context=ssl.create_default_context())
            except (OSError, smtplib.SMTPException):
                server.close()
                raise
        return server

    def _message(self, letter: Letter) -> EmailMessage:
        settings = self.settings
        message = EmailMessage(policy=SMTP)
        message["From"] = Address(SENDER_NAME, addr_spec=settings.sender)
        message["To"] = Address(addr_spec=letter.to)
        message["Subject"] = letter.subject
        if settings.reply_to:
            message["Reply-To"] = Address(addr_spec=settings.reply_to)
        message["Date"] = format_datetime(self._clock.now())
        message["Message-ID"] = make_msgid(domain=settings.sender.partition("@")[2])
        # No holiday notes in answer (RFC 3834).
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text)
        return message


def _is_temporary(error: MailError) -> bool:
    """Whether the same mail may go through later."""
    cause = error.__cause__
    if isinstance(cause, smtplib.SMTPResponseException):
        return 400 <= cause.smtp_code < 500
    if isinstance(cause, smtplib.SMTPRecipientsRefused):
        return all(400 <= code < 500 for code, _ in cause.recipients.values())
    return not isinstance(cause, ssl.SSLCertVerificationError | smtplib.SMTPNotSupportedError)


def _why(error: Exception) -> str:
    """The reason in words that lead to what has to be changed."""
    match error:
        case smtplib.SMTPAuthenticationError():
            return say("it refuses the user name or the password: {said}", said=_said(error))
        case smtplib.SMTPNotSupportedError():
            return say("it can't do what the settings ask for: {said}", said=str(error)[:200])
        case smtplib.SMTPRecipientsRefused():
            code, text = next(iter(error.recipients.values()))
            return say("it refuses the receiver: {said}", said=_clean(code, text))
        case smtplib.SMTPSenderRefused():
            return say("it refuses the sender: {said}", said=_said(error))
        case smtplib.SMTPResponseException():
            return say("it answered: {said}", said=_said(error))
        case ssl.SSLCertVerificationError():
            return say("its certificate isn't trusted: {said}", said=error.verify_message)
        case ssl.SSLError():
            return say("it doesn't speak TLS there: {said}", said=str(error.reason))
        case socket.gaierror():
            return "its name isn't known"
        case TimeoutError():
            return "it doesn't answer"
        case ConnectionRefusedError():
            return "nothing listens at that port"
        case _:
            return say("the connection broke: {said}", said=str(error)[:200])


def _said(error: smtplib.SMTPResponseException) -> str:
    return _clean(error.smtp_code, error.smtp_error)


def _clean(code: int, text: bytes | str) -> str:
    """What a mail server said, on one line and not too long."""
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(words.split())}"[:200]
