"""All of the API below /hub/api, in the order in which the patterns are tried."""

from __future__ import annotations

from typing import Final

from appliance.hub.api import (
    accounts,
    authorizations,
    groups,
    info,
    metrics,
    oauth2,
    openapi,
    proxy,
    servers,
    services,
    share_codes,
    shares,
    shutdown,
    tokens,
    users,
)
from appliance.web.parts import Pattern

handlers: Final[list[Pattern]] = [
    *info.handlers,
    *openapi.handlers,
    *users.handlers,
    *tokens.handlers,
    *groups.handlers,
    *servers.handlers,
    *services.handlers,
    *shares.handlers,
    *share_codes.handlers,
    *proxy.handlers,
    *shutdown.handlers,
    *authorizations.handlers,
    *metrics.handlers,
    *accounts.handlers,
    *oauth2.handlers,
]
last_handlers: Final = info.last_handlers
