"""A word that is no command gets the one that was probably meant."""

from __future__ import annotations

import pytest

from appliance.cli.app import app
from appliance.cli.errors import UsageError


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("user delete bob", "appliance user remove"),
        ("user ls", "appliance user list"),
        ("user create bob", "appliance user add"),
        ("user pasword bob", "appliance user passwd"),
        ("token rm 3", "appliance token revoke"),
        ("backup restore latest", "appliance restore"),
        ("stauts", "appliance status"),
        ("ssl", "appliance https"),
        ("letsencrypt", "appliance https letsencrypt"),
        ("passwd bob", "appliance user passwd"),
        ("install numpy", "appliance env install"),
        ("restart", "appliance config reload"),
    ],
)
def test_what_was_meant_is_named_first(line: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        app(line.split(), prog_name="appliance")
    assert caught.value.why.startswith(f"there is none; did you mean {meant}")
    assert caught.value.mend == f"{meant} --help"


def test_what_nobody_can_guess_gets_the_list() -> None:
    with pytest.raises(UsageError) as caught:
        app(["user", "xyzzy"], prog_name="appliance")
    assert caught.value.what == "cannot find the command 'appliance user xyzzy'"
    assert caught.value.mend == "appliance user --help"


def test_an_option_that_is_none_is_told_by_its_own_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        app(["user", "--jsno"], prog_name="appliance")
    assert caught.value.code == 2
    assert "No such option: --jsno" in capsys.readouterr().err
