"""What the installer tells while it works: JSON for bootstrap.py, plain lines for people."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from appliance.errors import ApplianceError


class Reporter:
    """Tells of stages, details, failures and the result on standard output."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json: Final = as_json
        self._lock: Final = threading.Lock()

    def stage(self, title: str) -> None:
        self._tell({"event": "stage", "title": title}, f"{title} ...")

    def detail(self, text: str) -> None:
        self._tell({"event": "detail", "text": text}, f"  {text}")

    def output(self, line: str) -> None:
        """A line that another program said, for the log."""
        self._write(line if self._as_json else f"  {line}")

    def failed(self, error: ApplianceError) -> None:
        event = {"event": "failed", "what": error.what, "why": error.why, "mend": error.mend}
        self._tell(event, f"failed: {error}")

    def built(self, directory: Path) -> None:
        """Where the environment is that the installer itself is to run in."""
        self._tell({"event": "built", "directory": str(directory)}, f"  {directory}")

    def result(
        self, *, addresses: list[str], links: list[dict[str, str]], notes: list[str]
    ) -> None:
        """Set-up links are secrets: the reader shows them and keeps them out of the log."""
        plain = [*addresses, *(f"{link['name']}: {link['url']}" for link in links), *notes]
        event = {"event": "result", "addresses": addresses, "links": links, "notes": notes}
        self._tell(event, "\n".join(plain))

    def _tell(self, event: Mapping[str, object], plain: str) -> None:
        self._write(json.dumps(event) if self._as_json else plain)

    def _write(self, text: str) -> None:
        with self._lock:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
