"""How root's programs write sizes."""

from __future__ import annotations

import pytest

from appliance.sizes import short_size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "0.977K"),
        (312 * 2**20, "312M"),
        (1.5 * 2**30, "1.5G"),
        (20 * 2**40, "20T"),
    ],
)
def test_sizes_have_three_digits(size: float, text: str) -> None:
    assert short_size(size) == text
