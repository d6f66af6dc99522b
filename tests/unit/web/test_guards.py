"""Guards refuse unknown scopes when they are written, and every handler has one."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from tornado.web import RequestHandler

import appliance.hub
from appliance.native_auth import handlers as _native_auth_handlers
from appliance.web.guards import MARK, needs_scope

METHODS = ("get", "post", "put", "patch", "delete")


def _handlers() -> list[type[RequestHandler]]:
    for module in pkgutil.walk_packages(appliance.hub.__path__, "appliance.hub."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: list[type[RequestHandler]] = [RequestHandler]
    for kind in found:
        found.extend(sub for sub in kind.__subclasses__() if sub not in found)
    return [kind for kind in found if kind.__module__.startswith("appliance.")]


def test_an_unknown_scope_is_refused_at_import() -> None:
    with pytest.raises(ValueError, match="read:everything"):
        needs_scope("read:everything")


def test_every_method_of_every_handler_says_who_may_call_it() -> None:
    assert _native_auth_handlers.handlers
    unguarded = [
        f"{kind.__qualname__}.{method}"
        for kind in _handlers()
        for method in METHODS
        if method in vars(kind) and not hasattr(vars(kind)[method], MARK)
    ]
    # The default answer of pages without a get method.
    assert unguarded == ["PageHandler.get"]
