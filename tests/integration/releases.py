"""Releases that don't exist: this checkout under another version, whole or broken on purpose."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from installer.wheel import build_wheel
from tests.integration.installed import CHECKOUT

Change = Callable[[Path], None]

_PARTS: Final = ("appliance", "installer", "units", "bootstrap.py", "pyproject.toml")


def release(version: str, folder: Path, *changes: Change) -> Path:
    """The wheel of this checkout with another version and a few changes."""
    with tempfile.TemporaryDirectory(prefix="tree-") as name:
        tree = Path(name)
        for part in _PARTS:
            if (CHECKOUT / part).is_dir():
                shutil.copytree(
                    CHECKOUT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__")
                )
            else:
                shutil.copy(CHECKOUT / part, tree)
        replace_in(
            tree / "appliance/__init__.py", r'__version__ = "[^"]*"', f'__version__ = "{version}"'
        )
        replace_in(tree / "bootstrap.py", r'(?m)^VERSION = "[^"]*"', f'VERSION = "{version}"')
        for change in changes:
            change(tree)
        return build_wheel(tree, folder)


def replace_in(path: Path, pattern: str, text: str) -> None:
    before = path.read_text()
    after = re.sub(pattern, text, before, count=1, flags=re.DOTALL)
    assert after != before, f"{pattern} isn't in {path}"
    path.write_text(after)


def with_a_migration(tree: Path) -> None:
    """The database gets one table more."""
    folder = tree / "appliance/db/migrations"
    last = max(path.name[:4] for path in (folder / "versions").glob("0*.py"))
    new = f"{int(last) + 1:04d}"
    (folder / f"versions/{new}_one_table_more.py").write_text(
        f'from alembic import op\n\nrevision = "{new}"\ndown_revision = "{last}"\n\n\n'
        f'def upgrade() -> None:\n    op.execute("CREATE TABLE more_{new} (number INTEGER)")\n'
    )
    replace_in(folder / "__init__.py", rf'"{last}"', f'"{last}", "{new}"')


def whose_hub_ends_after_migrating(tree: Path) -> None:
    """In the hub alone: the rehearsal doesn't see it."""
    replace_in(
        tree / "appliance/db/session.py",
        r"        upgrade\(self\._engine\)\n",
        "        upgrade(self._engine)\n"
        "        import sys\n"
        '        if "appliance.hub.program" in sys.modules:\n'
        '            raise SystemExit("ends after migrating")\n',
    )


def whose_hub_does_not_answer(tree: Path) -> None:
    """It runs, and tells systemd that it is ready."""
    replace_in(
        tree / "appliance/hub/api/info.py",
        r'"no-store"\)\n        self\.finish\(\)',
        '"no-store")\n        self.set_status(500)\n        self.finish()',
    )


def whose_migration_fails(tree: Path) -> None:
    with_a_migration(tree)
    last = max((tree / "appliance/db/migrations/versions").glob("0*.py"))
    replace_in(last, r"CREATE TABLE", "CREATE NONSENSE")
