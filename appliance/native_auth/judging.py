"""Says while somebody types a new password what would be said of it when it is sent.

Scripts of our pages ask it; what they send is neither kept nor logged.
"""

from __future__ import annotations

import json

from appliance.errors import BadRequest
from appliance.names import Username, parse_username
from appliance.native_auth.authenticator import NativeAuthenticator
from appliance.web.formats import sentence
from appliance.web.guards import public
from appliance.web.handlers import PageHandler
from appliance.web.languages import localized
from appliance.web.parts import Pattern


class JudgeHandler(PageHandler):
    """Why a password would be refused; empty if it wouldn't."""

    authenticator: NativeAuthenticator
    may_keep_password = True
    may_lack_factor = True

    @public
    async def post(self) -> None:
        password, user = self._sent()
        try:
            self.authenticator.check_new_password(password, user)
        except BadRequest as refused:
            self.reply({"refusal": sentence(localized(refused.why))})
        else:
            self.reply({"refusal": ""})

    def _sent(self) -> tuple[str, Username]:
        try:
            sent = json.loads(self.request.body)
            password, name = sent["password"], sent["username"]
        except (ValueError, RecursionError, KeyError, TypeError) as err:
            raise BadRequest("cannot read the request", why="it isn't what our pages send") from err
        if not isinstance(password, str) or not isinstance(name, str):
            raise BadRequest("cannot read the request", why="it isn't what our pages send")
        try:
            return password, parse_username(name)
        except BadRequest:
            return password, Username("")  # a name that is still being typed


handlers = [Pattern(r"/password/judge", JudgeHandler)]
