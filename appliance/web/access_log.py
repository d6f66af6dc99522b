"""One line for each request: never its query, which may hold tokens."""

from __future__ import annotations

import logging

from tornado.web import RequestHandler

log = logging.getLogger("appliance.access")


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
        request.path[:200],
        request.remote_ip or "-",
        milliseconds,
    )
