"""The appliance's own authority: what it signs, what it can't, and who trusts it."""

from __future__ import annotations

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from appliance.config.schema import Config
from appliance.errors import ApplianceError, Conflict
from appliance.https.own_ca import issue, read_authority, signs_for
from appliance.https.store import Store, now_utc
from appliance.places import Places
from appliance.proxy.served import read_original
from tests.fakes.certificates import Made, _sign

NAMES = ["hub.school.lan", "192.0.2.10"]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places.of_trial(tmp_path)


@pytest.fixture
def store(places: Places) -> Store:
    return Store(places)


def _verify(folder: Path, authority: Path, certificate: str, *words: str) -> str:
    """What OpenSSL says of a certificate, "" if it trusts it."""
    openssl = shutil.which("openssl")
    assert openssl
    file = folder / "leaf.pem"
    file.write_text(certificate)
    done = subprocess.run(
        [openssl, "verify", "-CAfile", authority, *words, file],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stderr if done.returncode else ""


@pytest.mark.parametrize("names", [NAMES, ["hub"], ["192.0.2.10", "2001:db8::1"]])
def test_certificate_is_good_for_its_names(
    places: Places, store: Store, tmp_path: Path, names: list[str]
) -> None:
    assert issue(store, names, now_utc())
    assert signs_for(read_authority(store)) == sorted(names, key=lambda one: names.index(one))
    config = Config.model_validate({"https": {"mode": "own-ca", "names": names}})
    pair = read_original(config.https, places)
    assert pair.names == names
    text = store.pair_file(config.https.mode).read_text()
    leaf = text[text.index("-----BEGIN CERTIFICATE") :]
    assert not _verify(
        tmp_path, store.authority_file, leaf, "-x509_strict", "-purpose", "sslserver"
    )


@pytest.mark.parametrize("name", ["bank.example", "192.0.2.11", "school.lan"])
@pytest.mark.parametrize("names", [["hub.school.lan"], ["192.0.2.10"], NAMES])
def test_stolen_authority_is_trusted_for_no_other_name(
    store: Store, tmp_path: Path, names: list[str], name: str
) -> None:
    issue(store, names, now_utc())
    key = serialization.load_pem_private_key(store.authority_key_file.read_bytes(), None)
    thief = _sign("x", key, Made(read_authority(store), key), names=[name])
    said = _verify(
        tmp_path, store.authority_file,
        thief.public_bytes(serialization.Encoding.PEM).decode(),
    )  # fmt: skip
    assert "permitted subtree violation" in said or "excluded subtree violation" in said


def test_authority_stays_until_a_new_one_is_asked_for(store: Store) -> None:
    assert issue(store, NAMES, now_utc())
    first = read_authority(store)
    assert not issue(store, ["users.hub.school.lan"], now_utc())
    assert read_authority(store) == first
    with pytest.raises(
        Conflict, match=r"may sign for hub\.school\.lan, 192\.0\.2\.10 only"
    ) as caught:
        issue(store, ["other.lan"], now_utc())
    assert "own-ca --new --name other.lan" in caught.value.mend
    assert issue(store, ["other.lan"], now_utc(), anew=True)
    assert read_authority(store) != first


def test_server_certificate_does_not_outlive_the_authority(store: Store, places: Places) -> None:
    issue(store, NAMES, now_utc())
    issue(store, NAMES, now_utc() + timedelta(days=3600))
    text = (places.certificates / "own-ca/pair.pem").read_bytes()
    leaf = x509.load_pem_x509_certificate(text)
    assert leaf.not_valid_after_utc == read_authority(store).not_valid_after_utc


def test_files_are_for_root_alone_but_for_the_certificate(store: Store, places: Places) -> None:
    issue(store, NAMES, now_utc())
    folder = places.certificates / "own-ca"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    store.authority_file.write_text("nonsense")
    with pytest.raises(ApplianceError, match="damaged"):
        read_authority(store)
