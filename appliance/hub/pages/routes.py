"""All pages below /hub/, in the order in which their patterns are tried."""

from __future__ import annotations

from typing import Final

from appliance.hub.pages import (
    admin,
    errors,
    home,
    join,
    language,
    messages,
    not_running,
    root,
    setup,
    shares,
    spawn,
    tokens,
)
from appliance.hub.pages.classroom import list as classes
from appliance.hub.pages.classroom import materials, upload
from appliance.hub.pages.classroom import live as class_live
from appliance.native_auth import handlers as native_auth
from appliance.web.parts import Pattern

handlers: Final[list[Pattern]] = [
    *root.handlers,
    *native_auth.handlers,
    *join.handlers,
    *setup.handlers,
    *home.handlers,
    *messages.handlers,
    *language.handlers,
    *tokens.handlers,
    *spawn.handlers,
    *not_running.handlers,
    *shares.handlers,
    *admin.handlers,
    *classes.handlers,
    *materials.handlers,
    *upload.handlers,
    *class_live.handlers,
    *errors.handlers,
]
