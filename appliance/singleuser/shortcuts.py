"""Answers that need no work, for requests that every page of JupyterLab sends.

jupyter_server loads this module's `default_handlers` before its own.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.services.nbconvert.handlers import NbconvertRootHandler
from tornado import web

# The formats that notebooks can be exported to, once they are known. They follow from the
# environment's packages, so servers that are forked may share them.
_formats: list[str] = []


class FormatsHandler(NbconvertRootHandler):  # type: ignore[misc]
    """`api/nbconvert`: jupyter_server makes an exporter of each kind for each answer."""

    @web.authenticated
    @authorized  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        # A configured exporter may be a disabled one.
        own = any("Exporter" in section or "NbConvert" in section for section in self.config)
        if _formats and not own:
            self.finish(_formats[0])
            return
        await super().get()
        if not own and self.get_status() == 200:
            _formats[:] = [self._answer]

    def finish(self, *chunks: Any, **options: Any) -> Any:
        if chunks and isinstance(chunks[0], str):
            self._answer = chunks[0]
        return super().finish(*chunks, **options)


class NoLanguageServersHandler(APIHandler):  # type: ignore[misc]
    """`lsp/status` where jupyter_lsp is off; where it is on, its own handler comes first."""

    @web.authenticated
    async def get(self) -> None:
        self.set_status(404)
        self.finish({"message": "language servers are turned off", "reason": None})


default_handlers = [
    (r"/api/nbconvert", FormatsHandler),
    (r"/lsp/status", NoLanguageServersHandler),
]
