"""Files that one program at a time holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.locks import held, is_held, take_lock


def test_who_comes_second_hears_who_was_first(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("process 12345678 of earlier\n")
    assert not is_held(path)
    with held(path, RuntimeError):
        assert is_held(path)
        with pytest.raises(RuntimeError, match=rf"^process {os.getpid()}$"):
            take_lock(path, RuntimeError)
    assert not is_held(path)


def test_a_lock_that_nobody_ever_took_is_free(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "lock")


def test_who_holds_it_may_be_unknown(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path, RuntimeError):
        path.write_text("")
        with pytest.raises(RuntimeError, match="process unknown"):
            take_lock(path, RuntimeError)


def test_a_lock_is_no_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        take_lock(tmp_path / "lock", RuntimeError)
    assert not (tmp_path / "elsewhere").exists()
