"""The settings: whether what the programs read is whole, and is what config.yaml says."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator

from appliance.config.files import locked
from appliance.config.load import check_text, load, read_text
from appliance.config.rendered import HUB_FILE, read_in_force
from appliance.config.schema import Config
from appliance.doctor.report import Check, Fix, fail, fine, warn
from appliance.doctor.system import System
from appliance.errors import ApplianceError, ConfigError
from appliance.places import Places
from appliance.proxy.machine import nginx_text
from appliance.rollout.apply import make_applier
from appliance.rollout.changes import find_changes
from appliance.rollout.render import (
    PROXY_FILE,
    SOURCE_FILE,
    check_nginx,
    render_all,
    write_rendered,
)
from appliance.rollout.services import HUB_UNIT, PROXY_UNIT
from appliance.rollout.transaction import Marker, lock_file

NAME = "settings"
MEND = "sudo appliance config reload --force"


def best_known(places: Places) -> Config:
    """The settings in force, or where those can't be read what they were made from.

    Raises ConfigError with the reason why there are none at all.
    """
    try:
        return read_in_force(places)
    except ConfigError as error:
        for path in (places.rendered / SOURCE_FILE, places.config_file):
            try:
                return check_text(read_text(path), name=str(path))
            except ApplianceError:
                continue
        raise error from error


def render_again(places: Places) -> None:
    """Write what the programs read once more, from the text that is in force.

    Edits of config.yaml that nobody made take effect are not taken over by this.
    """
    with locked(lock_file(places)):
        source = read_text(places.rendered / SOURCE_FILE)
        config = check_text(source, name=str(places.config_file))
        files = render_all(config, places, nginx_text=nginx_text)
        check_nginx(files[places.rendered / PROXY_FILE].text, places)
        write_rendered(files, places, source=source)


def rendering_fix(places: Places, system: System, wrong: Collection[str]) -> Fix:
    """Programs that run may have been started with the damaged files; others aren't started."""

    def write_and_tell() -> None:
        render_again(places)
        if PROXY_FILE in wrong and not places.trial:
            system.run("systemctl", "try-reload-or-restart", PROXY_UNIT, seconds=30)
        if HUB_FILE in wrong and not places.trial:
            system.run("systemctl", "try-restart", HUB_UNIT, seconds=60)

    return Fix("write the settings in force once more", write_and_tell)


def damaged(places: Places) -> list[str]:
    """The files in the place of settings that aren't as they would be written now."""
    try:
        source = read_text(places.rendered / SOURCE_FILE)
        files = render_all(
            check_text(source, name=str(places.config_file)), places, nginx_text=nginx_text
        )
    except ApplianceError:
        return [SOURCE_FILE]
    return [path.name for path, wanted in files.items() if _text(path) != wanted.text]


def checks(places: Places, system: System) -> Iterator[Check]:
    """Everything about settings that a user's way doesn't show yet."""
    if not places.trial and os.geteuid() != 0:
        yield warn(NAME, "only root may read the settings", mend="sudo appliance doctor")
        return
    if Marker(places).is_left_over:
        healing = Fix("undo the change that was cut off", lambda: _reload(places))
        yield fail(
            NAME, "a change of the settings was cut off before it had proved itself",
            why="by a crash or a power cut", mend="sudo appliance config reload", fix=healing,
        )  # fmt: skip
        return
    wrong = damaged(places)
    if wrong:
        yield fail(
            NAME, f"what the programs read is damaged: {', '.join(wrong)}",
            why=f"in {places.rendered}; somebody edited it, or a newer version writes it otherwise",
            mend=MEND, fix=rendering_fix(places, system, wrong),
        )  # fmt: skip
        return
    yield _compare(places)


def _compare(places: Places) -> Check:
    try:
        wanted = load(places.config_file)
        changes = find_changes(read_in_force(places), wanted)
    except ConfigError as error:
        first = str(error.problems[0]) if error.problems else error.why
        return warn(
            NAME, f"{places.config_file} has problems and is not in force",
            why=first, mend="sudo appliance config check",
        )  # fmt: skip
    if changes:
        keys = ", ".join(change.key for change in changes)
        return warn(
            NAME, f"{places.config_file} differs from what is in force: {keys}",
            mend="sudo appliance config reload",
        )  # fmt: skip
    return fine(NAME, f"{places.config_file} is in force")


def _reload(places: Places) -> None:
    make_applier(places).reload()


def _text(path: os.PathLike[str]) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - any path
            return file.read()
    except OSError:
        return ""


def environment_python(places: Places) -> str:
    """The Python of everybody's environment."""
    return str(places.software / "user" / "bin" / "python")


def has_room(places: Places) -> bool:
    """Whether anything can be written where the appliance keeps its state."""
    try:
        return shutil.disk_usage(places.state).free > 0
    except OSError:
        return False
