"""Certificates that people bring: what is refused, with which words, and what is put right."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from appliance.config.schema import Config
from appliance.places import Places
from appliance.proxy.certificates import CertificateError, covers, make_pair, read_pair
from appliance.proxy.served import forget_served, served_certificate
from tests.fakes.certificates import Authority, Made, write_pair

HOST = "hub.school.test"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def between(authority: Authority) -> Authority:
    return Authority("Between", authority)


def read(folder: Path, made: Made, *above: Authority, names: tuple[str, ...] = (HOST,)) -> object:
    return read_pair(*write_pair(folder, made, *above), names)


def test_chain_is_put_in_order_and_the_authority_left_out(
    tmp_path: Path, authority: Authority, between: Authority
) -> None:
    made = between.issue([HOST])
    pair = read_pair(*write_pair(tmp_path, made, between, authority), [HOST])
    assert pair.chain == (made.certificate, between.made.certificate)
    assert pair.notes == ()
    certificate, key = write_pair(tmp_path, made)
    certificate.write_text(authority.pem + between.pem + Authority("Stranger").pem + made.pem)
    mixed = read_pair(certificate, key, [HOST])
    assert mixed.chain == pair.chain
    assert any("put into their order" in note for note in mixed.notes)


def test_missing_intermediate_works_and_is_said(tmp_path: Path, between: Authority) -> None:
    pair = read_pair(*write_pair(tmp_path, between.issue([HOST])), [HOST])
    assert "CN=Between, which signed hub.school.test, is not in" in pair.notes[0]


def test_certificate_that_does_not_belong_is_left_out(
    tmp_path: Path, authority: Authority, between: Authority
) -> None:
    other = Authority("Other", Authority("Elsewhere"))
    pair = read_pair(*write_pair(tmp_path, authority.issue([HOST]), authority, other), [HOST])
    assert len(pair.chain) == 1
    assert any("don't belong to the chain" in note for note in pair.notes)


def test_newest_of_several_for_one_key_is_meant(tmp_path: Path, authority: Authority) -> None:
    old = authority.issue([HOST], days=10)
    new = authority.issue([HOST], days=99, key=old.key)
    certificate, key = write_pair(tmp_path, old)
    certificate.write_text(old.pem + new.pem)
    assert read_pair(certificate, key, [HOST]).leaf == new.certificate


@pytest.mark.parametrize(
    ("names", "begins", "said"),
    [
        ([HOST], timedelta(days=-99), "the certificate ended on"),
        ([HOST], timedelta(days=2), "the certificate begins on"),
        (["other.test"], timedelta(days=-1), "is for other.test, not for hub.school.test"),
        (["*.test"], timedelta(days=-1), "not for hub.school.test"),
        ([], timedelta(days=-1), "has no names in it"),
    ],
)
def test_certificate_that_browsers_would_refuse_is_refused(
    tmp_path: Path, authority: Authority, names: list[str], begins: timedelta, said: str
) -> None:
    with pytest.raises(CertificateError, match=said) as caught:
        read(tmp_path, authority.issue(names, begins=begins))
    assert caught.value.mend


def test_star_stands_for_one_label(tmp_path: Path, authority: Authority) -> None:
    read(tmp_path, authority.issue(["*.school.test"]))
    assert covers(["*.school.test"], "a.school.test")
    assert not covers(["*.school.test"], "a.b.school.test")
    assert not covers(["*.school.test"], "school.test")
    assert covers(["2001:db8::1"], "2001:db8::1")


def test_keys_that_browsers_do_not_take_are_refused(tmp_path: Path, authority: Authority) -> None:
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505
    with pytest.raises(CertificateError, match="its key has 1024 bits"):
        read(tmp_path, authority.issue([HOST], key=short))
    with pytest.raises(CertificateError, match="of a kind that browsers don't take"):
        read(tmp_path, authority.issue([HOST], key=ed25519.Ed25519PrivateKey.generate()))


def test_key_of_another_certificate_is_refused(tmp_path: Path, authority: Authority) -> None:
    certificate, key = write_pair(tmp_path, authority.issue([HOST]))
    key.write_text(authority.issue([HOST]).key_pem())
    with pytest.raises(CertificateError, match="is not that of the certificate for"):
        read_pair(certificate, key, [])


def test_key_with_a_password_is_refused_with_the_command(
    tmp_path: Path, authority: Authority
) -> None:
    made = authority.issue([HOST])
    certificate, key = write_pair(tmp_path, made)
    old = made.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.BestAvailableEncryption(b"x"),
    ).decode()
    for text in (made.key_pem("secret"), old):
        key.write_text(text)
        with pytest.raises(CertificateError, match="the key has a password") as caught:
            read_pair(certificate, key, [])
        assert caught.value.mend.startswith("openssl pkey -in")


def test_files_the_wrong_way_round_are_told(tmp_path: Path, authority: Authority) -> None:
    certificate, key = write_pair(tmp_path, authority.issue([HOST]))
    with pytest.raises(CertificateError) as caught:
        read_pair(key, certificate, [])
    assert "wrong way round" in caught.value.mend


@pytest.mark.parametrize(
    ("name", "data", "why", "mend"),
    [
        ("hub.crt", b"\x30\x82abc", "it is not PEM", "openssl x509 -inform der"),
        ("hub.p12", b"\x30\x82abc", "it is not PEM", "openssl pkcs12"),
        ("hub.crt", b"", "it is not PEM", "PEM"),
        (
            "hub.crt",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "damaged",
            "",
        ),
        ("hub.crt", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n", "no certificate", ""),
        ("hub.crt", b"x" * 1_000_001, "too large", ""),
    ],
)
def test_file_that_is_no_certificate_is_told(
    tmp_path: Path, authority: Authority, name: str, data: bytes, why: str, mend: str
) -> None:
    _, key = write_pair(tmp_path, authority.issue([HOST]))
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CertificateError) as caught:
        read_pair(tmp_path / name, key, [])
    assert why in caught.value.why
    assert mend in caught.value.mend
    with pytest.raises(CertificateError, match="no such file or directory"):
        read_pair(tmp_path / "absent", key, [])


def test_key_after_the_parameters_of_its_curve_is_read(
    tmp_path: Path, authority: Authority
) -> None:
    made = authority.issue([HOST])
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    text = parameters + made.key_pem()
    assert make_pair(made.pem.encode(), text.encode(), certificate="c", key="k").names == [HOST]


def _config(folder: Path, *names: str) -> Config:
    https = {
        "mode": "files",
        "certificate": str(folder / "hub.crt"),
        "key": str(folder / "hub.key"),
        "names": list(names),
    }
    return Config.model_validate({"https": https})


def test_last_good_certificate_is_kept_for_the_same_settings_alone(
    tmp_path: Path, authority: Authority
) -> None:
    places = Places.of_trial(tmp_path / "trial")
    https = _config(tmp_path, HOST).https
    write_pair(tmp_path, authority.issue([HOST, "new.test"]))
    served = served_certificate(https, places)
    assert served is not None
    assert served.stat().st_mode & 0o777 == 0o640
    (tmp_path / "hub.crt").write_text("nonsense")
    assert served_certificate(https, places) == served
    with pytest.raises(CertificateError):
        served_certificate(_config(tmp_path, HOST, "new.test").https, places)
    assert served_certificate(Config().https, places) is None


def test_old_copies_are_forgotten_but_for_the_newest_and_the_one_in_use(
    tmp_path: Path, authority: Authority
) -> None:
    places = Places.of_trial(tmp_path / "trial")
    https = _config(tmp_path, HOST).https
    made = []
    for number in range(6):
        write_pair(tmp_path, authority.issue([HOST]))
        path = served_certificate(https, places)
        assert path is not None
        os.utime(path, (number, number))
        made.append(path)
    forget_served(places, in_use=f'ssl_certificate "{made[0]}";')
    assert [path.exists() for path in made] == [True, False, False, True, True, True]
