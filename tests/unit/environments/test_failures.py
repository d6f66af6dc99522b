"""What uv says, in plain words."""

from __future__ import annotations

import pytest

from appliance.environments.failures import explain

NONE = "Because {} was not found in the package registry and you require {}, we can conclude that"
SAID = {
    "no package": (
        "x No solution found when resolving dependencies:\n" + NONE.format("pandsa", "pandsa"),
        "there is no package 'pandsa'",
    ),
    "no package, from a folder": (
        "Because pandsa was not found in the provided package locations and you require pandsa",
        "there is no package 'pandsa'",
    ),
    "no wheel": (
        "Because numpy==1.20.0 has no usable wheels and you require numpy==1.20, we can conclude\n"
        "hint: Wheels are required for `numpy` because building from source is disabled",
        "'numpy' is not ready-made",
    ),
    "no version": (
        "Because there is no version of pandas==99 and you require pandas==99, we can conclude",
        "there is no such version of 'pandas'",
    ),
    "disk": ("error: Failed to write: No space left on device (os error 28)", "the disk is full"),
    "network": (
        "error: Failed to fetch: `https://index.example/simple/numpy/`\n dns error",
        "can't be reached (https://index.example)",
    ),
    "proxy": (
        "error: Failed to fetch: https://index.example/simple/numpy/\n"
        "cause: tunnel error: proxy authorization required",
        "the proxy on the way to the package index (https://index.example) wants another name",
    ),
    "authority": (
        "error: Failed to fetch: https://index.example/simple/numpy/\n"
        "cause: invalid peer certificate: UnknownIssuer",
        "doesn't trust the authority of the package index's certificate (https://index.example)",
    ),
    "pinned": (
        "Because oldweb depends on tornado<6 and you require tornado==6.5, we can conclude that\n"
        "your requirements are unsatisfiable.",
        "what the appliance itself needs (tornado 6.5)",
    ),
    "conflict": (
        "Because a depends on b<2 and c depends on b>2, we can conclude that your requirements\n"
        "are unsatisfiable.",
        "the packages don't go together: Because a depends on b<2",
    ),
    "unknown": ("error: the moon is full", "the moon is full"),
}


@pytest.mark.parametrize("name", SAID)
def test_every_kind_of_failure_has_its_reason_and_remedy(name: str) -> None:
    said, why = SAID[name]
    error = explain("cannot install x", said, pinned={"tornado": "6.5"}, asked=("oldweb",), name="")
    assert why in error.why
    assert error.mend
