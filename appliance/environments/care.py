"""The daily look at environments: is each one whole, and its Python still there?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from appliance.config.schema import Config
from appliance.environments.changes import half_made
from appliance.environments.kinds import is_python_there
from appliance.environments.records import EVERYBODY, Records
from appliance.errors import ApplianceError
from appliance.findings import Finding, Severity, write_finding
from appliance.places import Places
from installer.environments import COMPLETE

TOPIC: Final = "environment"
_DAY: Final = 86400
EVERY_SECONDS: Final = _DAY - 900


def look(config: Config, places: Places) -> None:
    """Write what is found."""
    del config
    problems = list(_problems(places))
    if problems:
        worst = next((one for one in problems if one.severity is Severity.FAILED), problems[0])
        write_finding(places.health, worst)
        return
    write_finding(places.health, Finding(TOPIC, Severity.OK, "all environments are whole"))


def _problems(places: Places) -> Iterator[Finding]:
    if not (places.user_environment / COMPLETE).exists():
        yield _finding(EVERYBODY, "is not complete", "run the installer again")
    elif not is_python_there(places.user_environment):
        yield _finding(EVERYBODY, "has lost its Python", "run the installer again")
    for name in Records(places).names():
        directory = (places.jupyter / "environments" / name).resolve()
        mend = f"sudo appliance env repair --env {name}"
        try:
            if not (directory / COMPLETE).exists():
                yield _finding(name, "is not complete", mend)
            elif not is_python_there(directory):
                yield _finding(name, "has lost its Python", mend)
        except ApplianceError as error:
            yield _finding(name, f"can't be used: {error.why}", mend)

    if half_made(places.software):
        yield Finding(
            TOPIC,
            Severity.WARNING,
            "a change of packages was cut off, and its files take room",
            "the command was killed, or the machine went down",
            "the next change deletes them: sudo appliance env repair",
        )


def _finding(name: str, what: str, mend: str) -> Finding:
    whose = f"the environment '{name}'" if name else "the environment of notebooks"
    severity = Severity.WARNING if name else Severity.FAILED
    why = (
        "an upgrade of the system may have brought another Python"
        if "Python" in what
        else "something was deleted, or a change was cut off"
    )
    return Finding(TOPIC, severity, f"{whose} {what}", why, mend, details={"environment": name})
