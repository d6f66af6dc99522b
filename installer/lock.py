"""`python -m installer.lock [--upgrade]` in a checkout: pin what is installed, with hashes.

Writes installer/requirements/*.txt from the extras in pyproject.toml, and uv's own. Needs `uv` and
a package index; what is written names neither index nor host.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
EXTRAS: Final = ("hub", "user", "trial")
_OPTIONS: Final = (
    "--quiet", "--universal", "--generate-hashes", "--no-header", "--no-annotate",
    "--no-emit-index-url", "--no-emit-find-links", "--python-version", "3.11",
)  # fmt: skip


def compile_pins(name: str, *words: str, wanted: str = "") -> None:
    """Write one list; versions in it stay unless they must move, or --upgrade is given."""
    target = ROOT / "installer/requirements" / f"{name}.txt"
    command = ["uv", "pip", "compile", *_OPTIONS, *words, "-o", str(target)]
    subprocess.run(
        command, cwd=ROOT, check=True, input=wanted, text=True, stdout=subprocess.DEVNULL
    )


def main() -> None:
    options = sys.argv[1:]
    for extra in EXTRAS:
        compile_pins(extra, *options, "--extra", extra, "pyproject.toml")
    compile_pins("uv", *options, "-", wanted="uv")


if __name__ == "__main__":
    main()
