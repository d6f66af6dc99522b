"""The page behind a share code's link: who opens it is asked, and then may use the server.

Opening it changes nothing, because mail programs and messengers open links by themselves; only
sending the form does.
"""

from __future__ import annotations

from appliance.access.words import in_words
from appliance.config.schema import Config
from appliance.errors import BadRequest, NotAllowed, NotFound
from appliance.hub.share_codes import ShareCodes
from appliance.hub.shares import bound
from appliance.web.guards import login_needed
from appliance.web.handlers import PageHandler
from appliance.web.parts import Pattern


class AcceptShareHandler(PageHandler):
    """Takes what a share code gives."""

    config: Config
    share_codes: ShareCodes

    @login_needed
    async def get(self) -> None:
        code = self._code()
        share = self.share_codes.find(code)
        if share.server.user == self.user:
            raise NotAllowed(
                "cannot use this link", why="the server is your own",
                mend="send the link to whom you want to share it with",
            )  # fmt: skip
        custom = {name: one.description for name, one in self.config.custom_scopes.items()}
        self.render_page(
            "accept_share.html",
            code=code,
            owner=share.server.user,
            server_name=share.server.name,
            ready=share.ready,
            gains=in_words(bound(share.scopes, share.server), reader=self.user, custom=custom),
            next_url=self.next_path() or "",
        )

    @login_needed
    async def post(self) -> None:
        try:
            share = self.share_codes.exchange(self._code(), self.user)
        except NotFound as unknown:
            raise BadRequest(unknown.what, why=unknown.why, mend=unknown.mend) from unknown
        self.redirect(self.next_path() or share.server.url_path(self.web.base_url))

    def _code(self) -> str:
        code = self.get_argument("code", "")
        if not code:
            raise BadRequest(
                "cannot find this share", why="the link has no code in it",
                mend="open the whole link that you were sent",
            )  # fmt: skip
        return code


handlers = [Pattern(r"/accept-share", AcceptShareHandler)]
