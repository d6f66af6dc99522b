"""Files of requirements: what is asked for, and what can't be followed and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.environments.requirements import (
    asked_in,
    merged,
    parse_file,
    parse_words,
    removed,
)
from appliance.errors import ApplianceError
from tests.fakes.wheels import make_wheel


def test_a_file_as_people_write_them(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("requests\n")
    file = tmp_path / "requirements.txt"
    file.write_text(
        "# the course\nnumpy>=1.26  # arrays\npandas[excel]==2.* ; python_version > '3'\n\n"
        "-r more.txt\nscipy \\\n  --hash=sha256:00\n"
    )
    asked = parse_file(file)
    assert asked.lines == [
        "numpy>=1.26", 'pandas[excel]==2.*; python_version > "3"', "requests", "scipy",
    ]  # fmt: skip
    assert asked.refused == []
    assert asked.notes == ["requirements.txt:6: scipy: its hashes are not used"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("-e ./mine", "could be changed by others"),
        ("--index-url https://index.example/simple", "/etc/pip.conf"),
        ("--extra-index-url=https://index.example/simple", "/etc/pip.conf"),
        ("git+https://example.org/x.git", "source code, which would run as root"),
        ("mine @ git+https://example.org/x.git", "source code, which would run as root"),
        ("--no-binary :all:", "not known"),
        ("-c limits.txt", "constraints are not read"),
        ("./mine-1.0-py3-none-any.whl", "there is no file"),
        ("what is this", "names no package"),
    ],
)
def test_lines_that_cannot_be_followed(line: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(f"numpy\n{line}\n")
    asked = parse_file(file)
    assert asked.lines == ["numpy"]
    assert len(asked.refused) == 1
    assert asked.refused[0].startswith("requirements.txt:2: ")
    assert why in asked.refused[0]


def test_files_that_include_themselves_end(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("numpy\n-r requirements.txt\n")
    asked = parse_file(file)
    assert "too deep" in asked.refused[0]


def test_a_wheel_by_its_path_is_its_package(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "tiny", "1.0")
    assert parse_words([str(wheel)]).lines == [f"tiny @ {wheel.as_uri()}"]


def test_a_word_that_is_no_package_is_refused() -> None:
    with pytest.raises(ApplianceError, match="cannot install '--pre'"):
        parse_words(["numpy", "--pre"])


def test_a_new_requirement_replaces_the_old_one_and_the_rest_stays() -> None:
    text = "# kept\nnumpy<2\npandas  # tables\n"
    assert merged(text, ["NumPy>=2", "scipy"]) == "# kept\npandas  # tables\nNumPy>=2\nscipy\n"
    assert removed(text, {"pandas"}) == "# kept\nnumpy<2\n"
    assert asked_in(text) == {"numpy": "numpy<2", "pandas": "pandas"}
