"""`appliance/usage`: what this server uses, for its own pages."""

from __future__ import annotations

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from .control_group import Usage


class UsageHandler(APIHandler):  # type: ignore[misc]
    """Pages ask for it while somebody looks at them, which is no use."""

    auth_resource = "server"
    _track_activity = False

    @web.authenticated
    @authorized  # type: ignore[untyped-decorator]
    def get(self) -> None:
        usage: Usage = self.settings["appliance_usage"]
        self.finish({"items": [item.model() for item in usage.items()]})


default_handlers = [(r"/appliance/usage", UsageHandler)]
