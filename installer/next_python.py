"""Fetch the packages for the system's next Python in advance, into uv's cache.

An upgrade of the system from one Debian to the next brings another Python, with which none of the
environments runs. rebuild.py builds them anew at the next boot; with what is fetched here it needs
no network for that.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from appliance.config.rendered import read_in_force
from appliance.errors import ApplianceError, InstallError
from appliance.network import outgoing_environment
from appliance.places import Places
from installer.cache import trusted_cache
from installer.commands import run
from installer.environment_steps import own_requirements
from installer.environments import Environment, without_hashes
from installer.events import Reporter
from installer.files import digest_of, write_file
from installer.rebuild import online_environment
from installer.uv import uv_environment, uv_program

NEXT: Final = {(3, 11): "3.13", (3, 12): "3.14"}
"""Debian 12 becomes 13, Ubuntu 24.04 becomes 26.04. What follows Debian 13 isn't settled."""
_RECORD: Final = "wheels/next-python.json"


def fetch(places: Places, version: str, reporter: Reporter) -> None:
    """Nothing is installed: uv fills its cache as if it were."""
    software = places.software
    wanted = own_requirements(places, None)
    environments = [Environment.named("hub"), Environment.named("user", wanted=wanted)]
    digest = digest_of(version, *(one.pinned + one.wanted for one in environments))
    record = software / _RECORD
    if record.exists() and record.read_text("utf-8") == _text(version, digest):
        return
    with (
        trusted_cache(software / "wheels/cache") as cache,
        tempfile.TemporaryDirectory(dir=software / "wheels", prefix=".next-") as name,
    ):
        for environment in environments:
            _fetch(environment, Path(name), version, cache, uv_program(software), reporter)
    write_file(record, _text(version, digest).encode())


def _fetch(
    environment: Environment, folder: Path, version: str, cache: Path, uv: Path, reporter: Reporter
) -> None:
    pins = folder / f"{environment.name}.txt"
    pins.write_text(environment.pinned, "utf-8")
    command: list[str | Path] = [
        uv, "pip", "install", "--python", sys.executable, "--python-version", version,
        "--only-binary", ":all:", "--target", folder / environment.name,
    ]  # fmt: skip
    variables = uv_environment(os.environ, cache=cache)
    run(
        [*command, "--no-deps", "--require-hashes", "-r", pins],
        failure=f"cannot fetch the packages for Python {version}",
        reporter=reporter,
        environment=variables,
    )
    if environment.wanted:
        own = folder / "own.txt"
        own.write_text(environment.wanted, "utf-8")
        pins.write_text(without_hashes(environment.pinned), "utf-8")
        run(
            [*command, "-r", own, "--constraint", pins],
            failure=f"cannot fetch your own requirements for Python {version}",
            reporter=reporter,
            environment=variables,
        )


def _text(version: str, digest: str) -> str:
    return json.dumps({"python": version, "digest": digest}) + "\n"


def main() -> int:
    """What appliance-next-python.service runs, in the hub's environment.

    Without a network, or with a package that isn't there yet, it is tried again the next day: the
    machine has no fault.
    """
    os.umask(0o022)
    places, reporter = Places.installed(), Reporter(as_json=False)
    version = NEXT.get(sys.version_info[:2])
    if version is None:
        return 0
    try:
        config = read_in_force(places)
        os.environ.update(online_environment(places) | outgoing_environment(config, places))
        fetch(places, version, reporter)
    except (ApplianceError, InstallError) as err:
        reporter.failed(err)
        return os.EX_TEMPFAIL
    return 0


if __name__ == "__main__":
    sys.exit(main())
