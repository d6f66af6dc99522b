"""Pages for what isn't there, and the bodies that the proxy shows when something fails."""

from __future__ import annotations

from http import HTTPStatus

from tornado.web import HTTPError

from appliance.web.failures import Failure
from appliance.web.guards import public
from appliance.web.handlers import PageHandler
from appliance.web.parts import Pattern


class ErrorPageHandler(PageHandler):
    """The body of an error page; the proxy that asks for it sets the answer's status itself."""

    may_keep_password = True

    @public
    async def get(self, status: str) -> None:
        code = int(status)
        known = code in {one.value for one in HTTPStatus} and code >= 400
        failure = Failure(code if known else 500, "proxy", "")
        self.render_page("error.html", failure=failure)


class NoSuchPageHandler(PageHandler):
    """Everything below /hub/ that no other pattern knows."""

    async def prepare(self) -> None:
        self.principal = self.identify_cookie()
        raise HTTPError(404)

    @public
    async def get(self) -> None:
        raise HTTPError(404)


handlers = [Pattern(r"/error/(?P<status>\d{3})", ErrorPageHandler)]
