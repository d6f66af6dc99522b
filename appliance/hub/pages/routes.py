"""All pages below /hub/, in the order in which their patterns are tried."""

from __future__ import annotations

from typing import Final

from appliance.hub.pages import (
    admin,
    errors,
    home,
    language,
    not_running,
    root,
    setup,
    shares,
    spawn,
    tokens,
)
from appliance.hub.pages.classroom import list as classes
from appliance.native_auth import handlers as native_auth
from appliance.web.parts import Pattern

handlers: Final[list[Pattern]] = [
    *root.handlers,
    *native_auth.handlers,
    *setup.handlers,
    *home.handlers,
    *language.handlers,
    *tokens.handlers,
    *spawn.handlers,
    *not_running.handlers,
    *shares.handlers,
    *admin.handlers,
    *classes.handlers,
    *errors.handlers,
]
