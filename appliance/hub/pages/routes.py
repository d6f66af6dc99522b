"""All pages below /hub/, in the order in which their patterns are tried."""

from __future__ import annotations

from typing import Final

from appliance.hub.pages import (
    access,
    account,
    account_factors,
    admin,
    admin_list,
    admin_user,
    cards,
    errors,
    forgotten,
    home,
    join,
    language,
    limits,
    messages,
    not_running,
    root,
    setup,
    shares,
    spawn,
    status,
    tokens,
)
from appliance.hub.pages.classroom import archives as class_archives
from appliance.hub.pages.classroom import joining as class_joining
from appliance.hub.pages.classroom import list as classes
from appliance.hub.pages.classroom import live as class_live
from appliance.hub.pages.classroom import materials, roster, roster_lists, upload
from appliance.hub.pages.classroom import settings as class_settings
from appliance.native_auth import handlers as native_auth
from appliance.native_auth import judging, second_step
from appliance.web.parts import Pattern

handlers: Final[list[Pattern]] = [
    *root.handlers,
    *native_auth.handlers,
    *second_step.handlers,
    *judging.handlers,
    *forgotten.handlers,
    *access.handlers,
    *account.handlers,
    *account_factors.handlers,
    *join.handlers,
    *setup.handlers,
    *home.handlers,
    *messages.handlers,
    *language.handlers,
    *tokens.handlers,
    *spawn.handlers,
    *not_running.handlers,
    *shares.handlers,
    *admin_list.handlers,
    *status.handlers,
    *limits.handlers,
    *admin_user.handlers,
    *admin.handlers,
    *cards.handlers,
    *classes.handlers,
    *class_settings.handlers,
    *class_archives.handlers,
    *class_joining.handlers,
    *roster.handlers,
    *roster_lists.handlers,
    *materials.handlers,
    *upload.handlers,
    *class_live.handlers,
    *errors.handlers,
]
