"""`appliance env kernel …`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from appliance.cli.output import Output
from appliance.environments.kernels import add_kernel, kernels, remove_kernel
from appliance.places import Places


def show(places: Places, output: Output) -> None:
    found = kernels(places)
    rows = [
        [one.name, one.title, one.language, one.origin, "" if one.works else "its program is gone"]
        for one in found
    ]
    output.table([asdict(one) for one in found], ["kernel", "title", "language", "from", ""], rows)


def add(
    places: Places, output: Output, name: str, command: Sequence[str], *, title: str, language: str
) -> None:
    add_kernel(places, name, command, title=title, language=language)
    output.done({"added": name}, f"added the kernel '{name}'; pages that are open: reload them")


def remove(places: Places, output: Output, name: str) -> None:
    remove_kernel(places, name)
    output.done({"removed": name}, f"removed the kernel '{name}'")
