"""A handler for servers under test: what the server is made of, as far as one can look.

A user's jupyter_server_config.py names it among the server's services. It runs in the server.
"""

from __future__ import annotations

import contextlib
import gc
import json
import locale
import logging
import os
import platform
import random
import signal
import site
import socket
import ssl
import sys
import sysconfig
import tempfile
import threading
import time
import urllib.request
import uuid
import warnings
from pathlib import Path
from typing import Any

import httpx
import jupyter_core.paths
import requests
import tornado.netutil
from jupyter_client.session import Session
from jupyter_server.base.handlers import JupyterHandler
from jupyterlab.extensions import get_pypi_manager
from prometheus_client import REGISTRY
from tornado import web
from traitlets import HasTraits

# Of the application's settings: when it started, and what is in no order.
NOT_COMPARED = dict.fromkeys(
    ("started", "version_hash", "api_last_activity", "static_immutable_cache"), ""
)
# What has to be another in every process.
ONCE_ONLY = ("random", "uuid", "secrets", "pid")


class ProbeHandler(JupyterHandler):  # type: ignore[misc]
    """`…/probe`: everything as JSON."""

    @web.authenticated
    async def get(self) -> None:
        self.finish(json.dumps(_everything(self.serverapp), default=repr))


def _everything(app: Any) -> dict[str, Any]:
    return {
        "app": _traits(app, depth=2),
        "config": app.config,
        "enabled": {
            name: package.enabled for name, package in app.extension_manager.extensions.items()
        },
        "extensions": {
            name: _traits(one.app, depth=1)
            for package in app.extension_manager.extensions.values()
            for name, one in package.extension_points.items()
            if one.app is not None
        },
        "web": {name: str(value) for name, value in app.web_app.settings.items()} | NOT_COMPARED,
        "routes": [rule.matcher.regex.pattern for rule in app.web_app.wildcard_router.rules],
        "process": _process(),
        "python": _python(),
        "libraries": _libraries(),
        "network": _network(),
        "metrics": _metrics(),
        "once": {
            "random": random.random(),  # noqa: S311 - that one is meant
            "uuid": str(uuid.uuid4()),
            "secrets": os.urandom(8).hex(),
            "pid": os.getpid(),
        },
    }


def _traits(thing: HasTraits, *, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in sorted(thing.trait_names()):
        with contextlib.suppress(Exception):
            value = getattr(thing, name)
            if isinstance(value, HasTraits) and name != "parent":
                found[name] = type(value).__name__, _traits(value, depth=depth - 1) if depth else ""
            elif name == "settings":
                found[name] = value | NOT_COMPARED
            elif not isinstance(value, HasTraits):
                found[name] = value
    return found


def _process() -> dict[str, Any]:
    umask = os.umask(0o22)
    os.umask(umask)
    descriptors = {}
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            descriptors[int(path.name)] = str(path.readlink()).partition(":")[0]
    return {
        "environ": dict(os.environ),
        "cwd": str(Path.cwd()),
        "umask": umask,
        "standard": [descriptors[number] for number in range(3)],
        "descriptors": sorted(descriptors.values()),
        "threads": sorted(type(one).__name__ for one in threading.enumerate()),
        "signals": {
            number: repr(signal.getsignal(number)).partition(" at ")[0].partition(" of ")[0]
            for number in signal.valid_signals()
        },
        "children": Path(f"/proc/self/task/{os.getpid()}/children").read_text(),
    }


def _python() -> dict[str, Any]:
    return {
        "path": sys.path,
        "argv": sys.argv[1:],
        "prefix": [sys.prefix, sys.base_prefix, sys.executable],
        "encodings": [sys.getfilesystemencoding(), sys.stdout.encoding, sys.stderr.encoding],
        "buffered": [sys.stdout.line_buffering, sys.stderr.line_buffering],
        "gc": [gc.isenabled(), gc.get_threshold()],
        "switch": sys.getswitchinterval(),
        "recursion": sys.getrecursionlimit(),
        "warnings": sorted(repr(one) for one in warnings.filters),
        "locale": [locale.getlocale(), locale.setlocale(locale.LC_CTYPE)],
        "time": [time.tzname, time.timezone],
    }


def _libraries() -> dict[str, Any]:
    send2trash = sys.modules.get("send2trash.plat_other")
    translation = sys.modules["jupyterlab_server.translation_utils"]
    return {
        "session": [Session().username, Session.username.default_value],
        "trash": [getattr(send2trash, "HOMETRASH", ""), getattr(send2trash, "uid", "")],
        "config path": jupyter_core.paths.jupyter_config_path(),
        "data path": jupyter_core.paths.jupyter_path(),
        "runtime": jupyter_core.paths.jupyter_runtime_dir(),
        "temporary": tempfile.gettempdir(),
        "host": [platform.node(), socket.gethostname()],
        "user": [site.getuserbase(), sysconfig.get_config_var("userbase")],
        "language": [translation.SYS_LOCALE, translation.translator._LOCALE],
        "loggers": {
            name.rstrip("0123456789"): [
                [type(handler).__name__ for handler in one.handlers],
                one.level,
                one.propagate,
                one.parent and one.parent.name,
            ]
            for name, one in sorted(logging.Logger.manager.loggerDict.items())
            if isinstance(one, logging.Logger) and (one.handlers or one.level or not one.propagate)
        },
        "log handlers": [type(one).__name__ for one in logging.root.handlers],
    }


def _network() -> dict[str, Any]:
    """By which proxy libraries go out, and whom they trust."""
    url = "https://pypi.test/"
    with requests.Session() as session:
        settings = session.merge_environment_settings(url, {}, None, None, None)
    manager = get_pypi_manager()
    return {
        "urllib": [urllib.request.getproxies(), urllib.request.proxy_bypass("pypi.test")],
        "urllib's opener": repr(urllib.request._opener),
        "ssl": [ssl.get_default_verify_paths(), _trusted(ssl.create_default_context())],
        "requests": [settings["proxies"], settings["verify"]],
        "httpx": _transports(httpx.Client()),
        "tornado": _trusted(tornado.netutil._client_ssl_defaults()),
        "extensions": _transports(manager._httpx_client),
        "extensions by XML": repr(getattr(manager._rpc_client("transport"), "proxy", None)),
    }


def _trusted(context: ssl.SSLContext) -> list[str]:
    """The last four; the system's come first, if they are read at all."""
    return [str(one["subject"]) for one in context.get_ca_certs()[-4:]]


def _transports(client: Any) -> dict[str, Any]:
    pools = {pattern.pattern: one and one._pool for pattern, one in client._mounts.items()}
    pools["everything"] = client._transport._pool
    return {
        name: pool and [repr(getattr(pool, "_proxy_url", "")), _trusted(pool._ssl_context)]
        for name, pool in pools.items()
    }


def _metrics() -> dict[str, float]:
    """Whatever was counted; how long it took is in buckets, and never the same."""
    return {
        f"{sample.name} {sorted(sample.labels.items())}": sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name.endswith(("_total", "_count", "_info", "_total_count"))
        and not sample.name.startswith(("python_gc", "process_"))
    }


default_handlers = [(r"/probe", ProbeHandler)]
