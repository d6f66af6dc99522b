"""jupyter_server's application, set up for life behind the hub."""

from __future__ import annotations

import asyncio
import datetime
import functools
import logging
import os
import re
import signal
import socket
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, Final

from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import JupyterServerAuthWarning
from traitlets.config import Config

from .activity import ActivityReporter, LastUse
from .control_group import ControlGroup, Usage
from .full_home import NOTARY
from .hub import Hub
from .identity import HubIdentityProvider
from .listening import notify
from .memory_watch import MemoryWatch
from .messages import lab_key
from .own_quota import own_quota
from .saving import explain_full_disk
from .settings import EXTENSIONS, Settings

# A kernel's sockets are DIRECTORY/kernel-<36 characters>-ipc-<number>, of at most 107 bytes.
RUNTIME_PATH_MAX: Final = 107 - len("/kernel--ipc-00000") - 36

# Settings of users' own configuration files that are dropped: they would break log-in or ipc.
NOT_FOR_USERS: Final = {
    "ServerApp": ("token", "password", "login_handler_class", "logout_handler_class"),
    "KernelManager": ("ip",),
}


# What the server answers beside jupyter_server's own.
SERVICES: Final = ("appliance.singleuser.shortcuts", "appliance.singleuser.usage")

SECRETS_IN_ADDRESSES: Final = re.compile(r"([?&](?:token|code|state|_xsrf)=)[^&\s]+")


def without_secrets(record: logging.LogRecord) -> bool:
    """Blot out what addresses carry; tornado logs them whole when a request fails."""
    message = record.getMessage()
    if "=" in message:
        record.msg, record.args = SECRETS_IN_ADDRESSES.sub(r"\1[secret]", message), ()
    return True


def defaults(settings: Settings) -> Config:
    """What a user's own configuration may change."""
    config = Config()
    config.ServerApp.root_dir = os.path.expanduser("~")  # noqa: PTH111
    config.ServerApp.default_url = "/tree" if settings.front_end == "notebook" else "/lab"
    config.ServerApp.quit_button = False
    config.LabApp.extension_manager = "readonly"
    config.LabApp.news_url = None
    config.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
    config.FileContentsManager.delete_to_trash = False
    if "APPLIANCE_KERNEL_SOCKET" in os.environ:
        config.KernelProvisionerFactory.default_provisioner_name = "appliance-preload"
    if NOTARY in os.environ:
        config.NotebookNotary.data_dir = os.environ[NOTARY]
    return config


def enforced(settings: Settings) -> Config:
    """What log-in, routing and isolation stand on; wins over every configuration file."""
    config = Config()
    app = config.ServerApp
    app.base_url = settings.prefix
    app.identity_provider_class = HubIdentityProvider
    app.cookie_secret = settings.cookie_secret
    app.allow_unauthenticated_access = False
    app.disable_check_xsrf = False
    # Only the proxy reaches a unix socket, and it passes on the host name that was asked for.
    app.allow_remote_access = True
    app.trust_xheaders = True
    app.open_browser = False
    # Whose account it is, the spawner decides.
    app.allow_root = True
    app.certfile = app.keyfile = app.client_ca = app.sock = ""
    # Over TCP every local user could talk to a kernel.
    config.KernelManager.transport = "ipc"
    config.TerminalsExtensionApp.terminal_manager_class = (
        "appliance.singleuser.terminals.UnguessableTerminals"
    )
    return config


class SingleUserApp(ServerApp):  # type: ignore[misc]
    """A ServerApp that listens on a given socket and knows its hub."""

    runtime_dir: Any  # a trait
    extra_services: Any  # a trait

    def __init__(
        self,
        *,
        appliance: Settings,
        listening: socket.socket,
        hub: Hub | None = None,
        **options: Any,
    ) -> None:
        self.appliance = appliance
        self.listening = listening
        self.hub = hub or Hub(appliance)
        # The name under which Lab and Notebook look for it.
        self.server_name = appliance.server
        self._tasks: set[asyncio.Task[None]] = set()
        self._group = ControlGroup.own()
        self._short_runtime: tempfile.TemporaryDirectory[str] | None = None
        super().__init__(**options)
        self.no_browser_open_file = True

    def load_config_file(self, suppress_errors: bool = True) -> None:  # noqa: FBT001, FBT002
        self.update_config(defaults(self.appliance))
        super().load_config_file(suppress_errors=suppress_errors)
        for section, names in NOT_FOR_USERS.items():
            for name in names:
                self.config[section].pop(name, None)
        self.update_config(enforced(self.appliance))
        self.extra_services = [*SERVICES, *self.extra_services]
        self._shorten_runtime_dir()

    def _shorten_runtime_dir(self) -> None:
        """Keep kernels on ipc where the given directory's path is too long for a socket."""
        given = str(self.runtime_dir)
        if len(os.fsencode(given)) <= RUNTIME_PATH_MAX:
            return
        self._short_runtime = tempfile.TemporaryDirectory(prefix="jr-", dir="/tmp")
        self.log.info("kernels' sockets are in %s: %s is too long", self._short_runtime.name, given)
        self.runtime_dir = self._short_runtime.name

    def init_logging(self) -> None:
        super().init_logging()
        for handler in self.log.handlers:
            handler.addFilter(without_secrets)
        # A remark for the authors of extensions, which would be in every user's log.
        warnings.filterwarnings("ignore", category=JupyterServerAuthWarning)

    def find_server_extensions(self) -> None:
        super().find_server_extensions()
        by_user = _chosen_by_user(Path(self.config_dir))
        chosen = {**EXTENSIONS, **self.appliance.extensions, **by_user}
        front_end = "notebook" if self.appliance.front_end == "notebook" else "jupyterlab"
        chosen[front_end] = True
        self.jpserver_extensions.update(chosen)

    def init_configurables(self) -> None:
        super().init_configurables()
        explain_full_disk(self.contents_manager)

    def init_webapp(self) -> None:
        settings = self.tornado_settings
        # No page of another server, and none of the hub, may frame this one.
        headers = settings.setdefault("headers", {})
        headers.setdefault("Content-Security-Policy", "frame-ancestors 'none'")
        headers.setdefault("Referrer-Policy", "same-origin")
        settings["page_config_hook"] = self._page_config
        settings["hub_prefix"] = self.appliance.hub_prefix
        settings["hub_host"] = self.appliance.hub_host
        settings["user"] = self.appliance.user
        settings["appliance_usage"] = usage = Usage(self._group)
        usage.sources.append(own_quota)
        super().init_webapp()

    def _page_config(self, handler: Any, page_config: dict[str, Any]) -> dict[str, Any]:
        """Give Lab and Notebook what their hub menu needs, and never a token."""
        page_config.update(
            hubUser=handler.current_user.username if handler.current_user else "",
            hubServerUser=self.appliance.user,
            hubServerName=self.appliance.server,
            hubPrefix=self.appliance.hub_prefix,
            hubHost=self.appliance.hub_host,
            shareUrl=f"{self.appliance.hub_prefix}user-redirect",
            applianceLabKey=self._lab_key(handler),
            token="",
            # Nobody can rebuild JupyterLab here, so pages need not ask whether it should be.
            buildAvailable=False,
            buildCheck=False,
            fullStaticUrl=self._shared_static(handler, str(page_config.get("fullStaticUrl", ""))),
        )
        off = [*page_config.get("disabledExtensions", ()), *self.appliance.lab_extensions_off]
        if self.appliance.lab_extensions_off:
            page_config["disabledExtensions"] = list(dict.fromkeys(off))
        return page_config

    def _lab_key(self, handler: Any) -> str:
        """For the owner's pages alone: a visitor's browser has messages of its own."""
        user = handler.current_user
        is_owner = user is not None and user.username == self.appliance.user
        return lab_key(self.appliance.token) if is_owner else ""

    def _shared_static(self, handler: Any, url: str) -> str:
        """The address that all servers' pages have in common, if the files are the environment's.

        A browser then has them from the log-in page on, and keeps them for every user.
        """
        own, shared = f"{self.appliance.prefix}static/", self.appliance.static_url
        if not shared or not url.startswith(own):
            return url
        environment = Path(sys.prefix).resolve()
        is_ours = all(
            Path(path).resolve().is_relative_to(environment) for path in handler.static_path
        )
        return shared + url.removeprefix(own) if is_ours else url

    def init_signal(self) -> None:
        super().init_signal()
        # jupyter_server asks a question on SIGINT; nobody is there to answer.
        signal.signal(signal.SIGINT, self._signal_stop)

    def _find_http_port(self) -> None:
        """There is no port."""

    def _bind_http_server(self) -> None:
        self.http_server.add_socket(self.listening)
        how = f" ({self.appliance.how_started})" if self.appliance.how_started else ""
        notify(f"READY=1\nSTATUS=Serving {self.appliance.prefix}{how}\nMAINPID={os.getpid()}")
        self._spawn(self._reporter().run())
        if self._group:
            watch = MemoryWatch(
                self.hub, self._group, kernels=self.kernel_manager, sessions=self.session_manager
            )
            self._spawn(watch.run())
        self._spawn(self._watch_sessions())

    def _reporter(self) -> ActivityReporter:
        last_use = LastUse(
            count_busy=self.appliance.count_busy, count_terminals=self.appliance.count_terminals
        )

        def last_used() -> datetime.datetime:
            return last_use.of(self.web_app, now=datetime.datetime.now(datetime.UTC))

        return ActivityReporter(self.hub, self.appliance, last_used=last_used)

    async def _watch_sessions(self) -> None:
        while True:
            await self.identity_provider.wait_before_check()
            await self.identity_provider.close_revoked_websockets()

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            self.log.error("a background task ended", exc_info=task.exception())

    @property
    def display_url(self) -> str:
        return f"{self.appliance.hub_host}{self.appliance.prefix} (behind the hub)"

    async def _cleanup(self) -> None:
        notify("STOPPING=1")
        for task in self._tasks:
            task.cancel()
        await super()._cleanup()
        if self._short_runtime:
            self._short_runtime.cleanup()


@functools.cache
def _chosen_by_user(config_dir: Path) -> dict[str, bool]:
    """Extensions that the user turned on or off, where `jupyter server extension` writes it."""
    from jupyter_server.extension.config import ExtensionConfigManager

    manager = ExtensionConfigManager(read_config_path=[str(config_dir)])
    return {str(name): bool(on) for name, on in manager.get_jpserver_extensions().items()}
