"""What nbgrader is told: which courses a user has, as the class folders in the home say.

Each class with nbgrader is a course of the same name. nbgrader knows one exchange with a folder for
each course, so every user has a folder of links for it, to the exchanges of the classes they are
in. Who may do what there, the kernel decides: the links give nothing.

nbgrader reads its settings with each request of its pages, in the server, and with each of its
commands. So a class that is new, or has nbgrader from now on, is there at once.
"""

from __future__ import annotations

import logging
import os
import pwd
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

log = logging.getLogger(__name__)

SETTINGS: Final = """\
# Written by the appliance, anew with each installation. Settings of your own go into
# ~/.jupyter/nbgrader_config.py, or into nbgrader_config.py in the course's folder.
from appliance.singleuser.nbgrader import configure

configure(get_config())  # noqa: F821
"""
_COURSE_SETTINGS: Final = """\
# The course's own settings; nbgrader's documentation says which there are.
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = {slug!r}
c.CourseDirectory.student_id = "*"
"""
_COURSE: Final = "nbgrader"
_ACTIONS: Final = {
    "release_assignment": "Release",
    "fetch_assignment": "Fetch",
    "submit": "Submit",
    "collect": "Collect",
}


@dataclass(frozen=True, slots=True)
class Course:
    """A class with nbgrader that the user is in."""

    slug: str
    exchange: Path
    root: Path
    """The folder that the teachers of the class have in common."""

    @property
    def is_taught(self) -> bool:
        return os.access(self.root, os.W_OK | os.X_OK)


def configure(config: Any) -> None:
    """Set what follows from the user's classes; called by nbgrader's settings file."""
    home = Path.home()
    courses = list(courses_in(home))
    exchange = home / ".local/share/jupyter/nbgrader_exchange"
    try:
        _link_exchanges(exchange, courses)
        for course in courses:
            if course.is_taught:
                _prepare(home, course)
    except OSError as err:
        log.warning("cannot prepare nbgrader's folders: %s", err)
    config.Exchange.root = str(exchange)
    config.Exchange.path_includes_course = True
    # Several teachers have one course, and it isn't a folder's owner who says what is real.
    config.CourseDirectory.groupshared = True
    config.CourseDirectory.student_id = (
        os.environ.get("JUPYTERHUB_USER") or pwd.getpwuid(os.getuid()).pw_name
    )
    for action, name in _ACTIONS.items():
        config.ExchangeFactory[action] = f"appliance.singleuser.nbgrader_exchange.{name}"


def courses_in(home: Path) -> Iterator[Course]:
    """The user's courses by name: classes whose exchange they may enter."""
    for shared in sorted(home.glob("*/shared")):
        slug = shared.parent.name
        with suppress(OSError):
            top = shared.readlink().parent
            exchange = top / "exchange"
            if top.name == slug and os.access(exchange, os.R_OK | os.X_OK):
                yield Course(slug, exchange, top / _COURSE)


def _link_exchanges(folder: Path, courses: list[Course]) -> None:
    """Have a link for each course, and none for those that are over."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {course.slug: str(course.exchange) for course in courses}
    for entry in folder.iterdir():
        if entry.is_symlink() and wanted.get(entry.name) != str(entry.readlink()):
            entry.unlink()
    for slug, target in wanted.items():
        with suppress(FileExistsError):
            (folder / slug).symlink_to(target)


def _prepare(home: Path, course: Course) -> None:
    """What a teacher needs: the course's folder in the home, its settings, and its gradebook."""
    link = home / course.slug / _COURSE
    with suppress(FileExistsError):
        link.symlink_to(course.root)
    for name, content in (
        ("nbgrader_config.py", _COURSE_SETTINGS.format(slug=course.slug)),
        # SQLite would make it its maker's alone.
        ("gradebook.db", ""),
    ):
        with suppress(FileExistsError):
            descriptor = os.open(course.root / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o660)
            with os.fdopen(descriptor, "w") as file:
                file.write(content)
    for name in ("source", "release", "submitted", "autograded", "feedback"):
        (course.root / name).mkdir(mode=0o770, exist_ok=True)
