"""`python -m installer.lock [--upgrade]` in a checkout: pin what is installed, with hashes.

Writes installer/requirements/*.txt from the extras in pyproject.toml, and the lines about uv in
bootstrap.py. Needs `uv` and a package index; what is written names neither index nor host.
"""

from __future__ import annotations

import re
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


def compile_extra(extra: str, *options: str) -> None:
    """Pin one extra; versions already pinned stay unless they must move, or --upgrade is given."""
    target = ROOT / "installer/requirements" / f"{extra}.txt"
    command = ["uv", "pip", "compile", *_OPTIONS, *options, "--extra", extra, "-o", str(target)]
    subprocess.run([*command, "pyproject.toml"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def compile_uv(*options: str) -> str:
    """uv's own pin with all its hashes, one requirement of a file for pip."""
    text = (ROOT / "bootstrap.py").read_text("utf-8")
    pinned = re.search(r"^uv==(\S+)", text, re.MULTILINE)
    wanted = "uv" if "--upgrade" in options or not pinned else f"uv=={pinned[1]}"
    command = ["uv", "pip", "compile", *_OPTIONS, "-"]
    done = subprocess.run(
        command, cwd=ROOT, check=True, input=wanted, capture_output=True, text=True
    )
    return done.stdout.replace(" \\\n    ", "\n  ").strip()


def write_uv(pin: str) -> None:
    """Put the pin between the quotes of bootstrap.py's constant UV."""
    path = ROOT / "bootstrap.py"
    text = path.read_text("utf-8")
    path.write_text(
        re.sub(r'UV = """\\\n.*?"""', lambda _: f'UV = """\\\n{pin}\n"""', text, flags=re.DOTALL),
        "utf-8",
    )


def main() -> None:
    options = sys.argv[1:]
    for extra in EXTRAS:
        compile_extra(extra, *options)
    write_uv(compile_uv(*options))


if __name__ == "__main__":
    main()
