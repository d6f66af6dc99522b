"""A real JupyterHub whose servers and proxy are objects in its own process; run by `peer.py`."""

# mypy: ignore-errors
# ruff: noqa: F821

from __future__ import annotations

import os
from pathlib import Path

from jupyterhub.proxy import Proxy
from jupyterhub.spawner import Spawner
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler


class Always(RequestHandler):
    """A server that answers everything."""

    def get(self):
        self.write({"version": "2.0.0"})


class InProcessSpawner(Spawner):
    """Its servers are listening sockets of the hub."""

    listener = None

    async def start(self):
        sockets = bind_sockets(0, "127.0.0.1")
        self.listener = HTTPServer(Application([(".*", Always)]))
        self.listener.add_sockets(sockets)
        return "127.0.0.1", sockets[0].getsockname()[1]

    async def poll(self):
        return 0 if self.listener is None else None

    async def stop(self, now=False):
        if self.listener is not None:
            self.listener.stop()
            self.listener = None


class NoProxy(Proxy):
    """Its routes are entries in a dict."""

    should_start = False
    routes: dict = {}  # noqa: RUF012 - one for the one proxy

    async def add_route(self, routespec, target, data):
        self.routes[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec):
        self.routes.pop(routespec, None)

    async def get_all_routes(self):
        return dict(self.routes)


folder = Path(os.environ["DIFFERENTIAL_FOLDER"])
c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:18000"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{os.environ['DIFFERENTIAL_PORT']}/hub/"
c.JupyterHub.db_url = f"sqlite:///{folder / 'hub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(folder / "cookie_secret")
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.spawner_class = InProcessSpawner
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = "an open secret"
c.Authenticator.allow_all = True
c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = 3
c.JupyterHub.log_level = "WARN"

import json  # noqa: E402 - the part that both hubs are told

wanted = json.loads((folder / "wanted.json").read_text())
c.JupyterHub.load_roles = [{"name": name, **role} for name, role in wanted["roles"].items()]
c.JupyterHub.services = [{"name": name, **spec} for name, spec in wanted["services"].items()]
