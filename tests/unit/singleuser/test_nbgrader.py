"""What nbgrader is told of a user's courses, without nbgrader."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.singleuser.nbgrader import configure, courses_in


class Part(SimpleNamespace):
    """A section of traitlets' configuration."""

    def __setitem__(self, name: str, value: object) -> None:
        setattr(self, name, value)


def config() -> SimpleNamespace:
    return SimpleNamespace(Exchange=Part(), CourseDirectory=Part(), ExchangeFactory=Part())


def school(tmp_path: Path, slug: str, *, nbgrader: bool = True, teacher: bool = False) -> None:
    """A class, and the user's folder of it in the home."""
    top = tmp_path / "classes" / slug
    (top / "shared").mkdir(parents=True)
    if nbgrader:
        (top / "exchange").mkdir()
    if teacher:
        (top / "nbgrader").mkdir()
    own = tmp_path / "home" / slug
    own.mkdir(parents=True)
    (own / "shared").symlink_to(top / "shared")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JUPYTERHUB_USER", "amy")
    return tmp_path / "home"


def test_courses_are_the_classes_with_an_exchange(tmp_path: Path, home: Path) -> None:
    school(tmp_path, "bio")
    school(tmp_path, "chem", nbgrader=False)
    (home / "mine").mkdir()
    (home / "mine/shared").symlink_to(tmp_path / "classes/bio/shared")
    (home / "plain/shared").mkdir(parents=True)
    assert [course.slug for course in courses_in(home)] == ["bio"]


def test_the_exchange_has_the_users_courses_and_no_others(tmp_path: Path, home: Path) -> None:
    school(tmp_path, "bio")
    school(tmp_path, "chem")
    told = config()
    configure(told)
    exchange = Path(told.Exchange.root)
    assert sorted(one.name for one in exchange.iterdir()) == ["bio", "chem"]
    assert (exchange / "bio").resolve() == tmp_path / "classes/bio/exchange"
    assert told.CourseDirectory.student_id == "amy"
    (tmp_path / "classes/chem/exchange").rmdir()
    configure(config())
    assert [one.name for one in exchange.iterdir()] == ["bio"]
    assert home in exchange.parents


def test_a_teacher_gets_the_course_and_a_student_does_not(tmp_path: Path, home: Path) -> None:
    school(tmp_path, "bio", teacher=True)
    school(tmp_path, "chem")
    for _ in range(2):
        configure(config())
    assert "course_id = 'bio'" in (home / "bio/nbgrader/nbgrader_config.py").read_text()
    assert (home / "bio/nbgrader/gradebook.db").stat().st_size == 0
    assert not (home / "chem/nbgrader").is_symlink()


def test_what_a_teacher_changed_in_the_course_stays(tmp_path: Path, home: Path) -> None:
    school(tmp_path, "bio", teacher=True)
    (tmp_path / "classes/bio/nbgrader/nbgrader_config.py").write_text("# mine")
    configure(config())
    assert (home / "bio/nbgrader/nbgrader_config.py").read_text() == "# mine"
