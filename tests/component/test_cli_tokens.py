"""`appliance token …` against a real hub."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from appliance.cli import __main__
from appliance.places import TRIAL_VARIABLE
from tests.fakes.hub_machine import Machine

Run = Callable[[str], Awaitable[tuple[int, str, str]]]


@pytest.fixture
async def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Machine]:
    monkeypatch.setenv(TRIAL_VARIABLE, str(tmp_path))
    async with Machine(tmp_path) as machine:
        await machine.root("POST", "users", {"usernames": ["ada"]})
        yield machine


@pytest.fixture
def run(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    def command(line: str) -> int:
        monkeypatch.setattr(sys, "argv", ["appliance", *line.split()])
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        try:
            __main__.main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    async def run_command(line: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(command, line)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run_command


async def test_a_token_is_printed_once_works_and_can_be_revoked(machine: Machine, run: Run) -> None:
    code, out, err = await run("token add ada --note grading --expires 30d")
    assert (code, err) == (0, "")
    token = out.strip()
    assert (await machine.token_call(token, "GET", "user")).json["name"] == "ada"
    code, out, _ = await run("token list ada --json")
    (listed,) = [one for one in json.loads(out) if one["note"] == "grading"]
    assert token not in out
    assert listed["expires_at"]
    assert (await run("token list ada"))[1].splitlines()[0].split() == [
        "id", "note", "made", "used", "expires",
    ]  # fmt: skip
    code, out, _ = await run(f"token revoke ada {listed['id']}")
    assert (code, out) == (0, f"{listed['id']}: revoked\n")
    assert (await machine.token_call(token, "GET", "user")).status == 403


async def test_a_narrow_token(machine: Machine, run: Run) -> None:
    _, out, _ = await run("token add ada --scope read:users!user=ada --json")
    token = json.loads(out)["token"]
    assert (await machine.token_call(token, "GET", "users/ada")).status == 200
    assert (await machine.token_call(token, "POST", "users/ada/tokens", {})).status == 403


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("token add ghost", 1, "no such user"),
        ("token add ada --expires soon", 2, "90s, 10m, 12h or 30d"),
        ("token add ada --scope no:such", 1, "no:such"),
        ("token add ada --scope admin:users", 1, "admin:users"),
        ("token revoke ada a999", 1, "a999"),
        ("token revoke ada nonsense", 1, "nonsense"),
    ],
)
async def test_refusals_are_told(run: Run, line: str, code: int, told: str) -> None:
    found, out, err = await run(line)
    assert (found, out) == (code, "")
    assert told in err
