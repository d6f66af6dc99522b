"""One line for each request: never its query, nor what else of its address may be a secret."""

from __future__ import annotations

import logging
from typing import Final

from tornado.web import RequestHandler

log = logging.getLogger("appliance.access")

# Old clients ask whose a token is by putting it into the path; links have join codes there.
_SECRETS_BELOW: Final = ("/hub/api/authorizations/", "/hub/join/")


def log_request(handler: RequestHandler) -> None:
    """Failures as warnings (bugs have a traceback besides), refusals as information."""
    status = handler.get_status()
    level = logging.DEBUG
    if status >= 500:
        level = logging.WARNING
    elif status >= 400 and status not in {404, 424}:
        level = logging.INFO
    if not log.isEnabledFor(level):
        return
    request = handler.request
    milliseconds = 1000 * request.request_time()
    log.log(
        level,
        "%d %s %r %s %.1f ms",
        status,
        request.method,
        shown_path(request.path),
        request.remote_ip or "-",
        milliseconds,
    )


def shown_path(path: str) -> str:
    """A path as logs may show it."""
    for secrets in _SECRETS_BELOW:
        before, mark, _ = path.partition(secrets)
        if mark:
            return f"{before}{mark}…"
    return path[:200]
