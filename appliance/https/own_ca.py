"""An authority of our own, for networks that no public one can look into.

It may sign for the names that it was made for and names below them, and nothing else: whoever
steals its key can't pretend to be a bank to those who trust it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.config.https_schema import HttpsMode, is_ip_address
from appliance.errors import ApplianceError, Conflict
from appliance.https.store import Store, key_text

AUTHORITY_LIFE: Final = timedelta(days=3650)
SERVER_LIFE: Final = timedelta(days=365)
# Clocks of the machines in a room differ.
_BEFORE: Final = timedelta(hours=25)
# Names of the kind that isn't signed for must be constrained too: RFC 5280 allows all of a kind
# that isn't mentioned. Nothing is ever below this one (RFC 6761).
_NO_NAME: Final = "invalid"


def issue(store: Store, names: Sequence[str], now: datetime, *, anew: bool = False) -> bool:
    """Make and keep a certificate for the names; says whether there is a new authority.

    `anew` makes a new authority even where the old one could sign.
    """
    made = anew or not store.authority_file.exists()
    if made:
        _make_authority(store, names, now)
    authority = read_authority(store)
    if not made and not _may_sign(authority, names):
        raise Conflict(
            "cannot sign a certificate for these names",
            why="the authority that people have in their browsers may sign for "
            f"{', '.join(signs_for(authority))} only",
            mend="make a new one, which everybody must install again: "
            f"sudo appliance https own-ca --new {' '.join(f'--name {one}' for one in names)}",
        )
    store.keep_pair(HttpsMode.OWN_CA, _sign(store, authority, names, now))
    return made


def read_authority(store: Store) -> x509.Certificate:
    """Our authority's certificate; ApplianceError if there is none."""
    try:
        return x509.load_pem_x509_certificate(store.authority_file.read_bytes())
    except (OSError, ValueError) as error:
        raise ApplianceError(
            "cannot read the certificate of the appliance's own authority",
            why=f"{store.authority_file}: {getattr(error, 'strerror', None) or 'damaged'}",
            mend="make one: sudo appliance https own-ca --name NAME",
        ) from error


def signs_for(authority: x509.Certificate) -> list[str]:
    """The names that it is constrained to."""
    found = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    names = []
    for one in found.permitted_subtrees or ():
        if isinstance(one, x509.DNSName) and one.value != _NO_NAME:
            names.append(one.value)
        if isinstance(one, x509.IPAddress):
            names.append(str(one.value).partition("/")[0])
    return names


def _may_sign(authority: x509.Certificate, names: Sequence[str]) -> bool:
    allowed = signs_for(authority)
    return all(
        any(name == one or (not is_ip_address(one) and name.endswith(f".{one}")) for one in allowed)
        for name in names
    )


def _make_authority(store: Store, names: Sequence[str], now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    called = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"Hub appliance {names[0]}"[:64]),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{names[0]} authority {now:%Y-%m-%d}"[-64:]),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(called)
        .issuer_name(called)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(_constraints(names), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    store.keep_authority(_pem(certificate), key_text(key))


def _constraints(names: Sequence[str]) -> x509.NameConstraints:
    hosts = [x509.DNSName(name) for name in names if not is_ip_address(name)]
    addresses = [x509.IPAddress(ipaddress.ip_network(one)) for one in names if is_ip_address(one)]
    every = [x509.IPAddress(ipaddress.ip_network(text)) for text in ("0.0.0.0/0", "::/0")]
    return x509.NameConstraints(
        permitted_subtrees=[*(hosts or [x509.DNSName(_NO_NAME)]), *addresses],
        excluded_subtrees=None if addresses else every,
    )


def _sign(store: Store, authority: x509.Certificate, names: Sequence[str], now: datetime) -> str:
    signer = serialization.load_pem_private_key(
        store.authority_key_file.read_bytes(), password=None
    )
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise ApplianceError(
            "cannot sign a certificate",
            why=f"{store.authority_key_file} isn't the key that the appliance made",
            mend="put it back from a backup, or make a new authority: "
            "sudo appliance https own-ca --new",
        )
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        # Without a common name, in which some would look for a host name.
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Hub appliance")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now - _BEFORE, authority.not_valid_before_utc))
        .not_valid_after(min(now + SERVER_LIFE, authority.not_valid_after_utc))
        .add_extension(x509.SubjectAlternativeName([_general(one) for one in names]), False)  # noqa: FBT003
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )
    return key_text(key) + _pem(certificate)


def _general(name: str) -> x509.GeneralName:
    if is_ip_address(name):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
