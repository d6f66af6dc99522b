"""A stand-in for uv: makes an environment that is a folder, and writes down what it was asked."""

from __future__ import annotations

from pathlib import Path

_TEXT = """\
#!/bin/sh
echo "$@" >>{log}
[ -n "$FAKE_UV_FAILS" ] && {{ echo "no such package: banana" >&2; exit 2; }}
if [ "$1" = venv ]; then
  for last; do :; done
  mkdir -p "$last/bin"
  ln -s /bin/true "$last/bin/python"
fi
"""


def write_fake_uv(folder: Path) -> Path:
    """The program; its log lies beside it as `uv.log`."""
    path = folder / "uv"
    path.write_text(_TEXT.format(log=folder / "uv.log"))
    path.chmod(0o755)
    return path
