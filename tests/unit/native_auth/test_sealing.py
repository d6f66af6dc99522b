"""Sealed secrets open with the same key and for the same user, and for nothing else."""

from __future__ import annotations

import pytest

from appliance.native_auth.sealing import Sealed, Sealer

KEY = b"k" * 32


def test_what_is_sealed_opens_for_its_user() -> None:
    sealed = Sealer(KEY).seal("JBSWY3DPEHPK3PXP", of=7)
    assert "JBSWY3DPEHPK3PXP" not in sealed
    assert len(sealed) <= 255  # one_time_codes.sealed
    assert Sealer(KEY).open(sealed, of=7) == "JBSWY3DPEHPK3PXP"


@pytest.mark.parametrize(("key", "of"), [(KEY, 8), (KEY, 77), (b"x" * 32, 7)])
def test_another_user_or_key_opens_nothing(key: bytes, of: int) -> None:
    sealed = Sealer(KEY).seal("7:secret", of=7)
    with pytest.raises(Sealed):
        Sealer(key).open(sealed, of=of)


@pytest.mark.parametrize("text", ["", "x", "gAAAAA", "é"])
def test_what_is_damaged_opens_nothing(text: str) -> None:
    with pytest.raises(Sealed):
        Sealer(KEY).open(text, of=7)


def test_hashes_differ_by_key_and_purpose() -> None:
    sealer = Sealer(KEY)
    found = {
        sealer.hash("recovery", "x"),
        sealer.hash("passkey", "x"),
        sealer.hash("recovery", "y"),
        Sealer(b"x" * 32).hash("recovery", "x"),
    }
    assert len(found) == 4
