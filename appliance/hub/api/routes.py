"""All of the API below /hub/api, in the order in which the patterns are tried."""

from __future__ import annotations

from typing import Final

from appliance.hub.api import (
    accounts,
    authorizations,
    class_joining,
    class_live,
    class_materials,
    class_roster,
    classes,
    disk,
    groups,
    health,
    info,
    keeping,
    limits,
    mail,
    messages,
    metrics,
    oauth2,
    openapi,
    proofs,
    proxy,
    servers,
    services,
    share_codes,
    shares,
    shutdown,
    tokens,
    users,
    visits,
)
from appliance.web.parts import Pattern

handlers: Final[list[Pattern]] = [
    *info.handlers,
    *openapi.handlers,
    *users.handlers,
    *tokens.handlers,
    *groups.handlers,
    *servers.handlers,
    *keeping.handlers,
    *services.handlers,
    *shares.handlers,
    *share_codes.handlers,
    *proxy.handlers,
    *shutdown.handlers,
    *authorizations.handlers,
    *metrics.handlers,
    *accounts.handlers,
    *limits.handlers,
    *proofs.handlers,
    *health.handlers,
    *disk.handlers,
    *mail.handlers,
    *classes.handlers,
    *class_materials.handlers,
    *class_roster.handlers,
    *messages.handlers,
    *visits.handlers,
    *class_live.handlers,
    *class_joining.handlers,
    *oauth2.handlers,
]
last_handlers: Final = info.last_handlers
