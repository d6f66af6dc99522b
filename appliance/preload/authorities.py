"""Whom a template trusts: TLS contexts that packages have made when they were imported.

OpenSSL reads the variables when a context is made. One that a child finds made already has the
daemon's authorities, so with others set the child must start cold.
"""

from __future__ import annotations

import gc
import ssl
from typing import Final

_VARIABLES: Final = frozenset({"SSL_CERT_DIR", "SSL_CERT_FILE"})


def variables_read() -> frozenset[str]:
    """In a template, before its objects are frozen: the variables that have been read for good."""
    if any(isinstance(one, ssl.SSLContext) for one in gc.get_objects()):
        return _VARIABLES
    return frozenset()
