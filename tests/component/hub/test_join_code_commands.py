"""`appliance class invite` and its like, against a hub."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from appliance.cli import __main__
from appliance.cli.classes import Expires
from appliance.config.rendered import dump_json
from appliance.hub.classroom.invites import Expiry
from appliance.places import TRIAL_VARIABLE
from appliance.rollout.render import SPAWNER_FILE
from tests.component.hub.joining_class import joining_class
from tests.fakes.hub_machine import Machine

Run = Callable[[str], Awaitable[tuple[int, str, str]]]


@pytest.fixture
async def run(
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    monkeypatch.setenv(TRIAL_VARIABLE, str(tmp_path))
    machine.places.rendered.mkdir(parents=True, exist_ok=True)
    (machine.places.rendered / SPAWNER_FILE).write_text(dump_json(machine.config, secrets=False))
    await joining_class(machine)

    def command(line: str) -> int:
        monkeypatch.setattr(sys, "argv", ["appliance", *shlex.split(line)])
        try:
            __main__.main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    async def run_command(line: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(command, line)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


def test_the_choices_are_the_hubs() -> None:
    assert list(Expires) == list(Expiry)


async def test_a_code_is_made_listed_used_and_taken_back(machine: Machine, run: Run) -> None:
    code, out, err = await run("class invite bio --expires term --uses 30 --note Monday --json")
    assert code == 0, err
    made = json.loads(out)
    assert made["url"].endswith(f"/hub/join/{made['code']}")
    assert "Join Biology" in (await machine.browser().get(f"/hub/join/{made['code']}")).body
    code, out, err = await run("class invites bio")
    assert code == 0
    assert made["code"] in out
    assert "0 of 30" in out
    code, out, err = await run(f"class uninvite bio {made['id']}")
    assert code == 0
    code, out, err = await run("class invites bio --json")
    assert json.loads(out) == []


@pytest.mark.parametrize(
    "line",
    [
        "class invite chemistry", "class invites chemistry", "class uninvite bio 99",
        "class invite bio --expires tomorrow", "class invite bio --uses 0",
        f"class invite bio --note {'x' * 300}",
    ],
)  # fmt: skip
async def test_mistakes_are_told(run: Run, line: str) -> None:
    code, _, err = await run(line)
    assert code != 0
    assert "Traceback" not in err
    assert err.strip()
