"""A request and who asks: by the admin socket, by cookie, by token, and for the audit log.

Also whether a write really comes from our pages: by a token that belongs to the session, and by
what browsers say of where a request comes from.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from tornado.web import RequestHandler

from appliance.access.principal import Kind, Principal, root
from appliance.audit import VISITOR, Actor, AuditLog
from appliance.web import xsrf
from appliance.web.failures import XsrfRefused
from appliance.web.parts import Web

LOGIN_COOKIE: Final = "jupyterhub-hub-login"
# Sec-Fetch-Mode of what scripts and elements of a page ask for: it isn't shown in a tab.
FETCHES: Final = frozenset({"cors", "no-cors", "same-origin"})
# Sent by our command line; believed of root alone, who could as well say anything else.
UNIX_USER_HEADER: Final = "X-Appliance-Unix-User"
_LOGIN_COOKIES: Final = 10


class AskedRequest(RequestHandler):
    """Knows who asks; an `appliance.audit.Asker`."""

    web: Web
    principal: Principal | None = None
    _xsrf_shown = False
    """Whether this request brought a valid XSRF token."""

    # Who asks

    @property
    def audit(self) -> AuditLog:
        return self.web.audit

    @property
    def address(self) -> str:
        """The client's address as the proxy tells it; empty on the admin socket."""
        if self.principal and self.principal.kind is Kind.ROOT:
            return ""
        return self.request.remote_ip or ""

    @property
    def actor(self) -> Actor:
        who = self.principal
        if who is None:
            return VISITOR
        if who.kind is Kind.ROOT:
            unix_user = self.request.headers.get(UNIX_USER_HEADER, "")[:64]
            return Actor("root", who.name, unix_user=unix_user)
        token = f"a{who.token_id}" if who.token_id is not None else ""
        return Actor(who.kind.value, who.name, token)

    @property
    def user_agent(self) -> str:
        return self.request.headers.get("User-Agent", "")[:200]

    def identify_root(self) -> Principal | None:
        return root() if self.web.root_connections.is_root(self.request.connection) else None

    def identify_cookie(self) -> Principal | None:
        """The first log-in cookie that is valid: pages of other paths may have set more of them.

        Only some of them, for each is looked up, and a request has room for hundreds.
        """
        for value in self._cookie_values(LOGIN_COOKIE)[:_LOGIN_COOKIES]:
            found = self.web.identify.by_cookie(value)
            if found:
                return found
        return None

    def _token(self) -> str | None:
        kind, _, value = self.request.headers.get("Authorization", "").strip().partition(" ")
        return value.strip() if kind.lower() in {"token", "bearer"} else None

    def _cookie_values(self, name: str) -> list[str]:
        pairs = (
            part.strip().partition("=")
            for line in self.request.headers.get_list("Cookie")
            for part in line.split(";")
        )
        return [value.strip('"') for key, _, value in pairs if key == name]

    # Whether a write comes from our pages

    def _bound_to(self, principal: Principal | None) -> str:
        return principal.secret if principal else xsrf.visitor(self.user_agent)

    @property
    def xsrf_token(self) -> bytes:  # tornado's own name and type for it
        return self.xsrf_value.encode()

    @property
    def xsrf_value(self) -> str:
        """The token for forms and scripts of the page being made; sets its cookie if need be.

        Empty in what a script fetches without it, be it an error page: the script may be one of a
        student's page, which reads all that this host answers.
        """
        if self._fetch_mode in FETCHES and not self._xsrf_shown:
            return ""
        known = getattr(self, "_xsrf_made", None)
        if known is None:
            bound = self._bound_to(self.principal)
            sent = [v for v in self._cookie_values(xsrf.COOKIE) if self.web.xsrf.check(v, bound)]
            known = sent[0] if sent else self._set_xsrf_cookie(bound)
            self._xsrf_made = known
        return known

    def _set_xsrf_cookie(self, bound_to: str) -> str:
        token = self.web.xsrf.make(bound_to)
        # Not for scripts: in a frame of anything below our path, any page of this host reads it.
        self.set_cookie(
            xsrf.COOKIE, token, path=self.web.hub_url,
            httponly=True, secure=self.is_https, samesite="Lax",
        )  # fmt: skip
        self._xsrf_made = token
        return token

    @property
    def is_https(self) -> bool:
        return self.request.protocol == "https"

    def check_xsrf(self, principal: Principal | None) -> None:
        """Raise XsrfRefused unless a token was sent that belongs to this session or visitor."""
        verb = self.request.method
        sent = next((v for h in xsrf.HEADERS if (v := self.request.headers.get(h))), None)
        sent = sent or self.get_argument(xsrf.FIELD, "")
        if not sent:
            raise XsrfRefused(f"'_xsrf' argument missing from {verb}")
        cookies = self._cookie_values(xsrf.COOKIE)
        if sent not in cookies or not self.web.xsrf.check(sent, self._bound_to(principal)):
            raise XsrfRefused(f"XSRF cookie does not match {verb} argument")
        self._xsrf_shown = True

    def check_origin_of_write(self) -> None:
        """Refuse writes that a browser says come from elsewhere.

        Sec-Fetch-Site is only sent to trustworthy origins (https, localhost), so Origin counts
        where it is absent; what sends neither is no browser.
        """
        site = self.request.headers.get("Sec-Fetch-Site")
        if site is not None:
            if site != "same-origin" or self._fetch_mode == "no-cors":
                raise XsrfRefused(
                    f"the browser says that it comes from another site ({site[:20]!r})"
                )
            return
        origin = self.request.headers.get("Origin") or self.request.headers.get("Referer")
        if origin is not None and urlsplit(origin).netloc.lower() != self.request.host.lower():
            raise XsrfRefused("the browser says that it comes from another site")

    @property
    def _fetch_mode(self) -> str:
        return self.request.headers.get("Sec-Fetch-Mode", "")
