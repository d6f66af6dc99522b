"""YAML → Config, or a ConfigError with every problem: place, name, what is expected and found.

Only root's command line reads the YAML. The hub, the spawner daemon and nginx read what was
rendered from it (rendered.py), so that a half-edited file harms nothing.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from appliance.config.problems import Reading, problem_of, rule_problem
from appliance.config.rules import find_faults
from appliance.config.schema import Config
from appliance.config.yaml_text import SIZE_MAX, read_yaml, refuse
from appliance.errors import ConfigError, Problem


def load(path: Path) -> Config:
    """Read and check a configuration file; in an empty one every setting has its default."""
    return check_text(read_text(path), name=str(path))


def read_text(path: Path) -> str:
    """The file's text; ConfigError when there is none, it can't be read, or it isn't text."""
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_MAX * 4 + 1)
    except FileNotFoundError as error:
        raise ConfigError(
            [Problem(str(path), "there is no such file")],
            mend=f"put an earlier version back from {path.parent / 'history'}, "
            f"or begin anew with an empty file: touch {path}",
        ) from error
    except PermissionError as error:
        raise ConfigError(
            [Problem(str(path), "may not be read by you")], mend="run this as root, with sudo"
        ) from error
    except OSError as error:
        raise refuse(str(path), f"can't be read: {error.strerror}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        raise refuse(
            f"{path}:{line}:{column}",
            f"isn't UTF-8 text: the byte 0x{data[error.start]:02x}; save the file as UTF-8",
        ) from error


def check_text(text: str, *, name: str) -> Config:
    """Check YAML text; `name` is the file's, for the places."""
    document = read_yaml(text, name=name)
    reading = Reading(document)
    problems = [*document.problems]
    values = reading.section(document.root, Config, ())
    config: Config | None = None
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        problems += [problem_of(document, detail) for detail in error.errors(include_url=False)]
    problems += reading.problems
    if config is not None:
        problems += [rule_problem(document, one.path, one.text) for one in find_faults(config)]
    if problems or config is None:
        raise ConfigError(sorted(problems, key=_line_and_column))
    return config


def _line_and_column(problem: Problem) -> tuple[int, ...]:
    return tuple(int(part) for part in problem.place.split(":")[-2:] if part.isdigit())
