"""What pages of JupyterLab need for the hub's messages: a key that no other server's pages have.

Pages of other servers on the same host come with the same cookie of the hub's, and may not read
what is meant for its owner. The key follows from the server's token, which the hub knows, too.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

# The same in appliance/hub/classroom/lab_keys.py.
_PURPOSE: Final = b"messages in JupyterLab"


def lab_key(token: str) -> str:
    """The key of the server with this token."""
    known_to_hub = hashlib.sha256(token.encode()).hexdigest()
    return hmac.new(known_to_hub.encode(), _PURPOSE, hashlib.sha256).hexdigest()
