"""conda's files: what PyPI has under the same or another name, and what is said of the rest."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from appliance.environments.conda import parse_conda
from appliance.environments.requirements import Asked
from appliance.errors import ApplianceError

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"


def _parse(tmp_path: Path, *dependencies: str) -> Asked:
    file = tmp_path / "environment.yml"
    lines = "".join(f"  - {one}\n" for one in dependencies)
    file.write_text(f"name: course\nchannels: [conda-forge]\ndependencies:\n{lines}")
    return parse_conda(file)


@pytest.mark.parametrize(
    ("line", "requirement"),
    [
        ("numpy", "numpy"),
        ("numpy=1.26", "numpy==1.26.*"),
        ("numpy==1.26.4", "numpy==1.26.4"),
        ("numpy>=1.26,<2", "numpy<2,>=1.26"),
        ("numpy >=1.26", "numpy>=1.26"),
        ("scipy=1.11.4=py311h64a7726_0", "scipy==1.11.4"),
        ("conda-forge::pandas", "pandas"),
        ("pytorch", "torch"),
        ("matplotlib-base 3.8.*", "matplotlib==3.8.*"),
        ("numpy[version='>=1.26']", "numpy>=1.26"),
    ],
)
def test_packages_that_pypi_has(line: str, requirement: str, tmp_path: Path) -> None:
    asked = _parse(tmp_path, f'"{line}"')
    assert asked.lines == [requirement]
    assert asked.refused == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("r-ggplot2", "sudo apt-get install r-cran-ggplot2"),
        ("r-base", "sudo apt-get install r-base-core"),
        ("ffmpeg", "sudo apt-get install ffmpeg"),
        ("python=3.2", f"the Python here is {HERE}"),
    ],
)
def test_what_cannot_be_had_is_said(line: str, why: str, tmp_path: Path) -> None:
    asked = _parse(tmp_path, line, "numpy")
    assert asked.lines == ["numpy"]
    assert why in asked.refused[0]


def test_what_nobody_needs_is_left_out_and_said(tmp_path: Path) -> None:
    asked = _parse(tmp_path, f"python={HERE}", "mkl", "libblas=3.9", "numpy")
    assert (asked.lines, asked.refused) == (["numpy"], [])
    assert len(asked.notes) == 2


def test_its_pip_section_is_read_and_its_name_is_the_title(tmp_path: Path) -> None:
    asked = _parse(tmp_path, "pip", "pip:\n    - requests>=2\n    - -e .")
    assert asked.lines == ["requests>=2"]
    assert asked.refused[0].startswith("-e .: ")
    assert asked.title == "course"


@pytest.mark.parametrize("text", ["[1, 2", "name: x\n", "- numpy\n", "dependencies: numpy\n"])
def test_what_is_none_of_its_files(text: str, tmp_path: Path) -> None:
    file = tmp_path / "environment.yml"
    file.write_text(text)
    with pytest.raises(ApplianceError, match="cannot read"):
        parse_conda(file)
