"""A stand-in for systemctl on PATH: units are files in a folder, and every call is written down."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

_TEXT = """\
#!/bin/sh
cd {folder} || exit 1
echo "$@" >>calls
verb=$1; shift
for unit; do
  case "$unit" in -*) continue;; esac
  case "$verb" in
    is-active) [ -e "active-$unit" ] || exit 3;;
    is-enabled) [ -e "enabled-$unit" ] || exit 1;;
    enable) touch "enabled-$unit";;
    start|restart|reload-or-restart)
      [ -e "broken-$unit" ] && {{ echo "Job for $unit failed." >&2; exit 1; }}
      touch "active-$unit";;
    stop) rm -f "active-$unit";;
    show) cat "show-$unit" 2>/dev/null;;
  esac
done
exit 0
"""


@dataclass
class FakeSystemctl:
    """What was asked, and what is active."""

    folder: Path

    @classmethod
    def install(cls, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Self:
        """Put it first on PATH; journalctl says what the file `journal` has."""
        state, programs = folder / "systemd", folder / "programs"
        state.mkdir()
        programs.mkdir()
        for name, text in (
            ("systemctl", _TEXT.format(folder=state)),
            ("journalctl", f"#!/bin/sh\ncat {state}/journal 2>/dev/null\n"),
        ):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        return cls(state)

    def calls(self) -> list[str]:
        """What changed something, since the last look."""
        path = self.folder / "calls"
        found = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [call for call in found if not call.startswith(("is-", "show "))]

    def describe(self, unit: str, **properties: str) -> None:
        """What `show` prints of a unit."""
        lines = [f"{name}={value}\n" for name, value in properties.items()]
        (self.folder / f"show-{unit}").write_text("".join(lines))

    def break_unit(self, unit: str) -> None:
        (self.folder / f"broken-{unit}").touch()

    def kill(self, unit: str) -> None:
        (self.folder / f"active-{unit}").unlink()
