"""A service with JupyterHub's own handlers: a page behind the log-in, and an API behind a token."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubAuthenticated, HubOAuthCallbackHandler, HubOAuthenticated
from jupyterhub.utils import url_path_join
from tornado.ioloop import IOLoop
from tornado.web import Application, RequestHandler, authenticated
from tornado.websocket import WebSocketHandler


class Page(HubOAuthenticated, RequestHandler):
    """For browsers: who is there."""

    @authenticated
    def get(self) -> None:
        self.write({"by": "log-in", **self.get_current_user()})


class Api(HubAuthenticated, RequestHandler):
    """For programs: whose token it is."""

    @authenticated
    def get(self) -> None:
        self.write({"by": "token", **self.get_current_user()})


class Echo(WebSocketHandler):
    """For anybody."""

    def on_message(self, message: str | bytes) -> None:
        self.write_message(message)


def main() -> None:
    prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
    address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    application = Application(
        [
            (prefix, Page),
            (url_path_join(prefix, "oauth_callback"), HubOAuthCallbackHandler),
            (url_path_join(prefix, "api"), Api),
            (url_path_join(prefix, "echo"), Echo),
        ],
        cookie_secret=os.urandom(32),
    )
    application.listen(address.port, address.hostname)
    IOLoop.current().start()


if __name__ == "__main__":
    main()
