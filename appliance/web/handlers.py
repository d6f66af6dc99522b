"""Base handlers: who may go on, how bodies are read, and how answers and failures look.

`PageHandler` knows people by their log-in cookie, `ApiHandler` by token or cookie; both know root
by the admin socket (`asker.py`). What is raised is translated by `failures.py`, never by a handler.
"""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any, ClassVar, Final, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError
from tornado.web import HTTPError

from appliance import __version__, audit
from appliance.access.principal import Kind, Principal
from appliance.audit import Action
from appliance.db.errors import DatabaseError, StorageError
from appliance.errors import ApplianceError, BadRequest
from appliance.names import Username
from appliance.texts import say
from appliance.web import languages, notes, xsrf
from appliance.web.access_log import shown_path
from appliance.web.asker import FETCHES, LOGIN_COOKIE, AskedRequest
from appliance.web.failures import Failure, LoginNeeded, TooLarge, XsrfRefused, failure_of
from appliance.web.guards import MARK, must_add_factor, must_change_password
from appliance.web.next_url import safe_next
from appliance.web.parts import CountsWaiting

log = logging.getLogger(__name__)

SESSION_COOKIE: Final = "jupyterhub-session-id"
# Clients read this header and compare; our own version is in the other one.
JUPYTERHUB_VERSION: Final = "6.1.1"
FORM_BYTES: Final = 64 * 1024
_DEEPEST: Final = 100
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

M = TypeVar("M", bound=BaseModel)


class Handler(AskedRequest):
    """What pages and API have in common."""

    largest_body: ClassVar[int] = FORM_BYTES

    def initialize(self, **parts: Any) -> None:
        """Keep the parts that `hub/app.py` gives; subclasses annotate those they need."""
        for name, part in parts.items():
            setattr(self, name, part)

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("X-JupyterHub-Version", JUPYTERHUB_VERSION)
        self.set_header("X-Appliance-Version", __version__)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "same-origin")
        # A page of a student's server that opens ours in a window may not look into it.
        self.set_header("Cross-Origin-Opener-Policy", "same-origin")
        self.set_header("Access-Control-Allow-Headers", "accept, content-type, authorization")
        self.set_header("Content-Security-Policy", "frame-ancestors 'none'")

    @property
    def is_read(self) -> bool:
        return self.request.method in _READS

    @property
    def own_uri(self) -> str:
        """Path and query of this request."""
        return self.request.uri or self.web.hub_url

    @property
    def user(self) -> Username:
        """The name of the user who asks; raises LoginNeeded if it isn't a user."""
        if self.principal is None or self.principal.kind is not Kind.USER:
            raise LoginNeeded
        return self.principal.username

    def identified(self) -> Principal:
        """Who asks; raises LoginNeeded if nobody is identified."""
        if self.principal is None:
            raise LoginNeeded
        return self.principal

    @property
    def language(self) -> str:
        """The language of who asks: the user's, this browser's choice, the school's, or what the
        browser says that its user reads."""
        own = self.principal.language if self.principal else ""
        cookie = self._cookie_values(languages.COOKIE)[:1]
        accepted = self.request.headers.get("Accept-Language", "")
        return languages.negotiate([own, *cookie, self.web.language], accepted)

    def check_body_size(self) -> None:
        if len(self.request.body) > self.largest_body:
            raise TooLarge(
                "cannot read the request",
                why=f"its body is larger than {self.largest_body} bytes",
            )

    # Answers

    def reply(self, value: object, *, status: int = 200) -> None:
        """Finish with JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(value))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """One line for what we foresaw, a traceback for bugs; never the query string."""
        where = f"{self.request.method} {shown_path(self.request.path)!r}"
        if isinstance(value, ApplianceError | HTTPError):
            failure = failure_of(value)
            level = logging.WARNING if failure.status >= 500 else logging.DEBUG
            level = logging.ERROR if isinstance(value, DatabaseError) else level
            log.log(level, "%s: %s", where, value)
        else:
            self._failure = failure_of(value)
            log.error("%s: bug %s", where, self._failure.bug, exc_info=(typ, value, tb))

    def failure(self, status: int, info: dict[str, Any]) -> Failure:
        """What went wrong, with its status and headers set on the answer."""
        failure: Failure | None = getattr(self, "_failure", None)
        if failure is None:
            exc_info = info.get("exc_info")
            failure = failure_of(exc_info[1] if exc_info else None, status=status)
        self.set_status(failure.status)
        for name, value in failure.headers.items():
            self.set_header(name, value)
        if failure.status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.set_header("Allow", ", ".join(self._verbs()))
        return failure

    def _verbs(self) -> list[str]:
        """What can be asked of this address: that which a guard stands before."""
        return [
            verb for verb in self.SUPPORTED_METHODS if hasattr(getattr(self, verb.lower()), MARK)
        ]

    def _request_summary(self) -> str:
        return f"{self.request.method} {shown_path(self.request.path)!r}"


class PageHandler(Handler):
    """A page: identified by cookie, writes by form with an `_xsrf` field."""

    approvals: CountsWaiting
    may_keep_password: ClassVar[bool] = False
    """Whether the page is open to people who must change their password first."""
    may_lack_factor: ClassVar[bool] = False
    """Whether it is open to people who must set up a second factor first."""

    def initialize(self, **parts: Any) -> None:
        super().initialize(**parts)
        self.set_content_policy()

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_content_policy()
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    def set_content_policy(self, *, forms_lead_to: str = "") -> None:
        """Allow the page nothing from elsewhere; its forms may lead on to one other origin, and to
        users' servers where those have a host name of their own."""
        # tornado asks for default headers once before `initialize`.
        host = self.web.content_host if hasattr(self, "web") else ""
        servers = f"{host}:*" if host else ""
        forms = " ".join(part for part in ("'self'", servers, forms_lead_to) if part)
        self.set_header(
            "Content-Security-Policy",
            "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; "
            f"form-action {forms}; base-uri 'none'; object-src 'none'",
        )

    async def prepare(self) -> None:
        audit.asked_by(self)
        self.principal = self.identify_root() or self.identify_cookie()
        languages.use(self.language)
        # Not before it is known who asks: a refusal as to a stranger would change their cookie.
        self.check_body_size()
        if self.is_read:
            # A script of a student's own page may not read ours, and the token in it.
            if self.principal and self._fetch_mode in FETCHES:
                self.check_xsrf(self.principal)
            return
        if self.principal and self.principal.kind is Kind.ROOT:
            return
        try:
            self.check_origin_of_write()
            self.check_xsrf(self.principal)
        except XsrfRefused as refusal:
            await self.on_xsrf_refused(refusal)
            if not self._finished:
                raise

    async def on_xsrf_refused(self, refusal: XsrfRefused) -> None:
        """Pages may show their form again (and finish); otherwise the error page comes."""

    async def head(self, *args: Any, **kwargs: Any) -> None:
        await self.get(*args, **kwargs)

    async def get(self, *args: Any, **kwargs: Any) -> None:
        raise HTTPError(405)

    @property
    def comes_from_elsewhere(self) -> bool:
        """Whether another site sent the browser here, or an image or frame that hides the address.

        For the few reads that do something because JupyterHub's clients expect it.
        """
        headers = self.request.headers
        site = headers.get("Sec-Fetch-Site")
        if site is not None:
            destination = headers.get("Sec-Fetch-Dest", "document")
            return site not in {"none", "same-origin"} or destination != "document"
        referer = headers.get("Referer")
        return referer is not None and urlsplit(referer).netloc.lower() != self.request.host.lower()

    def render_page(self, template: str, *, status: int = 200, **values: Any) -> None:
        """Finish with a page made from a template."""
        self.set_status(status)
        languages.use(self.language)
        values = {
            "principal": self.principal,
            "xsrf_token": self.xsrf_value,
            "path": self.request.path,
            "own_uri": self.own_uri if self.is_read else self.hub_path("login"),
            "notes": self._take_notes(),
            **values,
        }
        if "waits" not in values:
            values["waits"] = self.approvals.count(self.principal) if self.principal else None
        self.finish(self.web.render(template, values))

    def leave_note(self, kind: str, text: str) -> None:
        """Tell something on the next page, after the redirect; kinds are good, warn and bad."""
        languages.use(self.language)
        note = notes.pack(
            notes.Note(kind, languages.localized(text)),
            xsrf=self.web.xsrf,
            bound_to=self._bound_to(self.principal),
        )
        self.set_cookie(
            notes.COOKIE, note, path=self.web.hub_url, max_age=notes.SECONDS,
            httponly=True, secure=self.is_https, samesite="Lax",
        )  # fmt: skip

    def _take_notes(self) -> list[notes.Note]:
        sent = self._cookie_values(notes.COOKIE)
        if sent:
            self.clear_cookie(notes.COOKIE, path=self.web.hub_url)
        bound = self._bound_to(self.principal)
        found = [notes.unpack(one, xsrf=self.web.xsrf, bound_to=bound) for one in sent]
        return [one for one in found if one]

    def hub_path(self, path: str) -> str:
        """A path of ours, given below /hub/."""
        return f"{self.web.hub_url}{path.lstrip('/')}"

    def next_path(self) -> str | None:
        """The argument `next` if it is surely a path of ours."""
        origin = f"{self.request.protocol}://{self.request.host}"
        value = self.get_argument("next", "")
        return safe_next(value, base_url=self.web.base_url, origin=origin) if value else None

    def log_in(self, user: Username) -> None:
        """Begin a session for a user who has just proved who they are."""
        if self.principal and self.principal.login_id is not None:
            # Before the new one begins: the database may give it the old one's number.
            self.web.sessions.close(self.principal.login_id)
        new = self.web.sessions.open(user, address=self.address, user_agent=self.user_agent)
        self.set_cookie(
            LOGIN_COOKIE, new.secret, path=self.web.hub_url, expires=new.expires,
            httponly=True, secure=self.is_https, samesite="Lax",
        )  # fmt: skip
        self.set_cookie(
            SESSION_COOKIE, new.session_id, path=self.web.base_url,
            httponly=True, secure=self.is_https, samesite="Lax",
        )  # fmt: skip
        self.principal = self.web.identify.by_cookie(new.secret)
        languages.use(self.language)
        self._set_xsrf_cookie(self._bound_to(self.principal))
        audit.note(Action.LOG_IN, user)

    def enter(self, user: Username, note: str, goal: str) -> None:
        """Log in who has just got an account or a password, and go on.

        What the user got is stored, so a disk that is full at just this moment must not end in a
        page that says that nothing was changed.
        """
        try:
            self.log_in(user)
        except StorageError as error:
            log.warning("cannot log in %s yet: %s", user, error.why)
            advice = languages.localized(say("Log in with your password."))
            note, goal = f"{languages.localized(note)} {advice}", self.hub_path("login")
        self.leave_note("good", note)
        self.redirect(goal)

    def log_out(self) -> None:
        """End the session with its tokens, and clear the cookies."""
        if self.principal and self.principal.login_id is not None:
            self.web.sessions.close(self.principal.login_id)
            audit.note(Action.LOG_OUT, self.principal.name)
        self.principal = None
        for name, path in [
            (LOGIN_COOKIE, self.web.hub_url),
            (SESSION_COOKIE, self.web.base_url),
            (xsrf.COOKIE, self.web.hub_url),
        ]:
            self.clear_cookie(name, path=path)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        failure = self.failure(status_code, kwargs)
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.render_page(
            "error.html",
            status=failure.status,
            failure=failure,
            waits=None,  # the database may be what failed
        )


class ApiHandler(Handler):
    """A REST resource: identified by token or cookie, JSON in and out."""

    largest_body: ClassVar[int] = 1024 * 1024

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Content-Type", "application/json")
        self.set_header("Content-Security-Policy", "frame-ancestors 'none'; default-src 'none'")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")

    async def prepare(self) -> None:
        self.check_body_size()
        audit.asked_by(self)
        self.principal = self.identify_root()
        if self.principal:
            return
        token = self._token()
        if token is not None:
            self.principal = self.web.identify.by_token(token)
            return
        principal = self.identify_cookie()
        if principal and self._cookie_counts():
            self.principal = principal
            if self._needs_xsrf():
                self._check_write()
            if principal.must_change_password and not self.is_read:
                raise must_change_password()
            if principal.must_add_factor and not self.is_read:
                raise must_add_factor()

    def _check_write(self) -> None:
        if not self.is_read:
            self.check_origin_of_write()
        self.check_xsrf(self.principal)

    def _cookie_counts(self) -> bool:
        """A form can be posted from anywhere, JSON can't: cookies count for JSON alone."""
        content_type = self.request.headers.get("Content-Type", "")
        kind = content_type.partition(";")[0].strip().lower()
        return self.is_read or not kind or kind == "application/json"

    def _needs_xsrf(self) -> bool:
        if not self.is_read:
            return True
        mode = self._fetch_mode
        same_origin = self.request.headers.get("Sec-Fetch-Site") == "same-origin"
        if mode in {"", "navigate", "websocket"}:
            return False
        return not (mode == "no-cors" and same_origin)

    def json_body(self) -> object:
        """The body as JSON; an empty one is {}."""
        if not self.request.body:
            return {}
        try:
            value: object = json.loads(self.request.body.decode(), parse_constant=_no_constant)
            if b"\\u" in self.request.body:
                # Halves of surrogate pairs: Python takes them, and nothing can store or send them.
                json.dumps(value, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as err:
            raise BadRequest("Invalid JSON in body of request") from err
        if _is_deeper(value, _DEEPEST):
            # What could just be read might not be written any more, with a bit around it.
            why = f"it has more than {_DEEPEST} levels"
            raise BadRequest("Invalid JSON in body of request", why=why)
        return value

    def parse_body(self, model: type[M]) -> M:
        """The body as a model; raises BadRequest that names every wrong field."""
        try:
            return model.model_validate(self.json_body())
        except ValidationError as err:
            wrong = "; ".join(
                f"{'.'.join(str(part) for part in one['loc']) or 'body'}: {one['msg']}"
                for one in err.errors(
                    include_url=False, include_input=False, include_context=False
                )[:10]
            )
            raise BadRequest("cannot read the request", why=wrong) from err

    def whole_number(self, name: str, default: int) -> int:
        """A query argument that must be a whole number."""
        text = self.get_query_argument(name, None)
        if text is None:
            return default
        try:
            return int(text[:20])
        except ValueError as err:
            raise BadRequest(
                f"cannot read the query argument {name!r}", why=f"{text[:20]!r} is no whole number"
            ) from err

    async def options(self, *args: str, **kwargs: str) -> None:
        self.set_status(200)
        self.finish()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        failure = self.failure(status_code, kwargs)
        body = {"status": failure.status, "message": failure.message, "code": failure.code}
        if failure.mend:
            body["mend"] = failure.mend
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(body))


def _is_deeper(value: object, levels: int) -> bool:
    """Whether lists and objects are in one another to more than so many levels."""
    inner = [value]
    for _ in range(levels + 1):
        boxes = [one for one in inner if isinstance(one, dict | list)]
        inner = [x for box in boxes for x in (box.values() if isinstance(box, dict) else box)]
        if not inner:
            return False
    return True


def _no_constant(name: str) -> object:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError(name)
