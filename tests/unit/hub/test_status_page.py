"""Which parts of what mends something are commands."""

from __future__ import annotations

import pytest

from appliance.hub.pages.status import mend_parts


@pytest.mark.parametrize(
    ("mend", "commands"),
    [
        ("sudo appliance doctor", ["sudo appliance doctor"]),
        (
            "see what can go: sudo appliance disk usage; or give the machine a larger disk",
            ["sudo appliance disk usage"],
        ),
        (
            "sudo appliance upgrade --check; or never: appliance config set updates.check false",
            ["sudo appliance upgrade --check", "appliance config set updates.check false"],
        ),
        ("one of the addresses in `ip address`", ["ip address"]),
        ("the appliance needs a larger disk", []),
        ("", []),
    ],
)
def test_commands_are_told_from_words(mend: str, commands: list[str]) -> None:
    parts = list(mend_parts(mend))
    assert [text for is_command, text in parts if is_command] == commands
    assert "".join(text for _, text in parts) == mend.replace("`", "")
