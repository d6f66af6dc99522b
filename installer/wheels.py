"""The releases' own wheels, which an environment can be built from again without a network.

Each lies in a folder named by its content, so that two of the same version don't meet; the link
`installed.whl` leads to the one in force.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from installer.files import remove_tree


def prune_wheels(software: Path, *, keep: Collection[str] = ()) -> None:
    """Delete the folders that the link doesn't lead into and nobody goes back to."""
    root = software / "wheels"
    current = (root / "installed.whl").resolve().parent
    for wheel in root.glob("*/hub_appliance-*.whl"):
        if wheel.parent != current and wheel.parent.name not in keep:
            remove_tree(wheel.parent)
