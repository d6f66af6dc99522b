"""A support bundle has no secret of any kind, wherever one was planted."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import stat
import subprocess
import tarfile
import time
import zlib
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import pytest

from appliance.config.load import load
from appliance.doctor.bundle import Made, make_bundle
from appliance.doctor.redact import Redactor
from appliance.doctor.system import System
from appliance.errors import ApplianceError
from appliance.places import Places
from appliance.proxy.machine import nginx_text
from appliance.rollout.render import render_all, write_rendered

KEY_BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"
SECRETS = {
    "mail password": 'zebra pass: "quoted" ü',
    "join code of the settings": "blue-tree-4711",
    "service token": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "service environment": "hunter2hunter2",
    "api token": "4d3c2b1a00112233445566778899aabbccddeeff00112233445566778899aabb",
    "cookie": "2|1:0|10:1700000000|23:jupyterhub-hub-login|secretcookie",
    "bearer": "abcdefgh12345678",
    "bcrypt hash": "$2b$12$abcdefghijklmnopqrstuuJ8Q5Pq7P4uE7wYkZr1lX9yQ0b6QzG2a",
    "shadow hash": "$y$j9T$saltsalt$hashhashhashhashhashhashhashhash",
    "private key": KEY_BODY,
    "setup link": "SetUpLinkToken_abc-123",
    "forgot link": "ForgottenToken.xyz",
    "class code": "berry-fox-k3m9p",
    "password in a url": "sw0rdf1sh",
    "xsrf": "0123456789abcdef-0123456789",
    "yaml password": "open sesame",
    "json password": 'open\\"sesame2',
    "random": "Zk9fQ2xhc3NfQ29kZV9IZXJlXzEyMzQ1Njc4OTA",
    "hub secret": "4d6f7265207365637265742074686172e9",
    "github": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "chosen passphrase": "our goats eat thistles",
    "generated passphrase": "abcde-fghjk-mnpqr-stuvw-xyz23",
    "age key": "qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgp",
    "TOTP key": "JBSWY3DPEHPK3PXP",
    "HMAC of the account": "zWNDZM6eQ",
    "webhook": "T0ABCDEF/B0ABCDEF/xxxxxxxxxxxx",
    "hook of a chat": "abcdefghijklmnopqrstuvwxyz",
    "password with an @": "rd@proxy.example",
    "password with a slash": "pa/ssw",
    "password alone in a url": "pypi-only-a-token",
    "answer of SMTP": "AHVzZXIAcGFzc3dv",
    "upper hex": "ABCDEF0123456789ABCDEF0123456789",
    "base64": "q83v+jRW/JCrze8SNFZ4kKv",
    "lab key": "a1b2c3d4e5f6",
}
LINES = [
    f"Authorization: token {SECRETS['api token']}",
    f"authorization=bearer {SECRETS['bearer']}",
    f'Cookie: jupyterhub-hub-login="{SECRETS["cookie"]}"; x=1',
    f"hash {SECRETS['bcrypt hash']} of ada",
    f"root:{SECRETS['shadow hash']}:19000:0:99999",
    f"-----BEGIN PRIVATE KEY-----\n{KEY_BODY}\n-----END PRIVATE KEY-----",
    f"GET /hub/setup?token={SECRETS['setup link']} 200",
    f"GET /hub/forgot/{SECRETS['forgot link']} 200",
    f"join with {SECRETS['class code']} or {SECRETS['join code of the settings']}",
    f"proxy http://user:{SECRETS['password in a url']}@proxy:3128",
    f"POST /hub/login?_xsrf={SECRETS['xsrf']}&next=/hub/",
    f"smtp_password: {SECRETS['yaml password']}",
    json.dumps({"password": SECRETS["json password"]}),
    f"a cell printed {SECRETS['random']} by mistake",
    f"pushed with {SECRETS['github']}",
    f"mail refused {SECRETS['mail password']}",
    f"TOKEN={SECRETS['service token']} SERVICE={SECRETS['service environment']}",
    f"in a url: {quote(SECRETS['mail password'], safe='')}",
    f"in base64: {b64encode(SECRETS['mail password'].encode()).decode()}",
    f"xsrf secret {SECRETS['hub secret']}",
    f"cannot open it with {SECRETS['chosen passphrase']}",
    f"made {SECRETS['generated passphrase']}",
    f"age-secret-key-1{SECRETS['age key']}",
    f"the key {SECRETS['TOTP key']} was shown",
    f"  eab_hmac: {SECRETS['HMAC of the account']}",
    f"POST https://hooks.chat.example/services/{SECRETS['webhook']} failed",
    f"POST https://chat.example/hooks/{SECRETS['hook of a chat']}: 500",
    f"http_proxy=http://user:wo{SECRETS['password with an @']}@proxy:3128",
    f"https_proxy=http://user:{SECRETS['password with a slash']}@proxy:3128",
    f"index https://{SECRETS['password alone in a url']}@pypi.example/simple",
    f"535 AUTH PLAIN {SECRETS['answer of SMTP']}",
    f"key {SECRETS['upper hex']}",
    f"sent {SECRETS['base64']}=",
    f'"GET /hub/api/appliance/messages/stream?lab_key={SECRETS["lab key"]} HTTP/1.1"',
]
SETTINGS = f"""
signup:
  mode: code
  code: {SECRETS["join code of the settings"]}
mail:
  host: mail.school.example
  site: http://hub.school.example
  sender: hub@school.example
  user: hub
  password: 'zebra pass: "quoted" ü'
services:
  grader:
    url: http://127.0.0.1:9999
    api_token: {SECRETS["service token"]}
    command: [/usr/bin/true]
    environment:
      PLAIN_NAME: {SECRETS["service environment"]}
"""


def fake(command: Sequence[str], _seconds: float) -> subprocess.CompletedProcess[str]:
    """Every program of the machine says all secrets."""
    return subprocess.CompletedProcess(list(command), 0, "\n".join([*LINES, "ada came"]), "")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    places = Places.of_trial(tmp_path / "trial")
    for folder in (places.hub_state, places.logs, places.rendered, places.settings, places.health):
        folder.mkdir(parents=True, exist_ok=True)
    places.config_file.write_text(SETTINGS)
    config = load(places.config_file)
    files = render_all(config, places, nginx_text=nginx_text)
    write_rendered(files, places, source=SETTINGS)
    (places.hub_state / "xsrf.secret").write_bytes(bytes.fromhex(SECRETS["hub secret"]))
    (places.settings / "backup.passphrase").write_text(f"{SECRETS['chosen passphrase']}\n")
    (places.logs / "hub.log").write_text("\n".join(LINES) + "\nada came from 192.0.2.7\n")
    (places.logs / "proxy.log").write_text("\n".join(LINES))
    (places.rendered / "nginx.conf").write_text("\n".join(f"# {line}" for line in LINES))
    (places.health / "backup.json").write_text(
        json.dumps({"topic": "backup", "severity": "ok", "summary": "; ".join(LINES)})
    )
    return places


def make(places: Places, tmp_path: Path, *, anonymous: bool = False) -> Made:
    return make_bundle(
        places, tmp_path / "bundle.tar.gz", lines=1000, anonymous=anonymous,
        system=System(fake),
    )  # fmt: skip


def everything_in(data: bytes) -> bytes:
    """A file, and what is packed in it, and in that, and so on."""
    found = data
    if data[:2] == b"\x1f\x8b":
        found += everything_in(gzip.decompress(data))
    elif tarfile.is_tarfile(io.BytesIO(data)):
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                found += member.name.encode()
                file = archive.extractfile(member)
                found += everything_in(file.read()) if file else b""
    else:
        with contextlib.suppress(zlib.error):
            found += everything_in(zlib.decompress(data))
    return found


def test_no_planted_secret_is_in_it(places: Places, tmp_path: Path) -> None:
    made = make(places, tmp_path)
    whole = everything_in(made.path.read_bytes()).decode(errors="replace")
    assert "ada came" in whole
    left = {
        kind
        for kind, secret in SECRETS.items()
        for spelling in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1])
        if spelling in whole or b64encode(spelling.encode()).decode().rstrip("=") in whole
    }
    assert left == set()
    assert {"header", "password hash", "private key", "link", "join code"} <= set(made.removed)


def test_what_isnt_packed_would_be_found(places: Places) -> None:
    """The search of the test above finds what is planted where nobody cleans."""
    packed = gzip.compress(gzip.compress("\n".join(LINES).encode()))
    assert SECRETS["random"].encode() in everything_in(packed)


def test_it_is_roots_alone_and_says_what_was_removed(places: Places, tmp_path: Path) -> None:
    made = make(places, tmp_path)
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    with tarfile.open(made.path) as archive:
        names = [one.name.removeprefix("appliance-support/") for one in archive]
        for name in names:
            if name.endswith(".json"):
                file = archive.extractfile(f"appliance-support/{name}")
                assert file
                json.loads(file.read())
    assert names == made.members
    assert {"config.json", "doctor.json", "machine/df.txt", "logs/hub.log"} <= set(names)


def test_names_and_addresses_go_if_asked(places: Places, tmp_path: Path) -> None:
    places.spawner_state.mkdir(parents=True, exist_ok=True)
    rows = [{"user": "ada", "name": "nb-ada", "uid": 20000, "state": "ready"}]
    (places.spawner_state / "accounts.json").write_text(json.dumps({"accounts": rows}))
    whole = everything_in(make(places, tmp_path, anonymous=True).path.read_bytes()).decode(
        errors="replace"
    )
    assert "user1 came from [address 1]" in whole
    assert "192.0.2.7" not in whole
    assert "hub@school.example" not in whole


def test_settings_that_cant_be_read_are_left_out(places: Places, tmp_path: Path) -> None:
    places.config_file.write_text("mail:\n  pasword: new-secret-value\n")
    whole = everything_in(make(places, tmp_path).path.read_bytes()).decode(errors="replace")
    assert "new-secret-value" not in whole
    assert "it is left out" in whole


def test_a_file_that_somebody_put_there_is_not_written_to(places: Places, tmp_path: Path) -> None:
    planted = tmp_path / ".bundle.tar.gz.new"
    planted.write_text("")
    theirs = planted.open("rb")
    with theirs:
        make(places, tmp_path)
        assert theirs.read() == b""


def test_a_place_without_room_is_told_and_nothing_is_left(places: Places, tmp_path: Path) -> None:
    with pytest.raises(ApplianceError, match="cannot write"):
        make_bundle(
            places, tmp_path / "nowhere" / "x.tar.gz", lines=1, anonymous=False, system=System(fake)
        )
    assert not list(tmp_path.glob(".*.new"))


def test_ordinary_lines_stay_as_they_are() -> None:
    text = (
        "appliance-hub.service: Main process exited, code=exited, status=78/CONFIG\n"
        '{"min_length": 10, "passwords": {"refuse_common": true}, "token": null}\n'
        "2026-11-22T10:00:00+0000 hub[7]: user ada gave the right password from 192.0.2.7\n"
        "tokens:\n  max_age: 30d\nStarted appliance-user-ada.service\n"
        '"GET http://127.0.0.1:8000/user/ada@school/lab HTTP/1.1" INTERNATIONALIZATION\n'
        "/services/culler/ answers; /opt/appliance/environments/user-3f9a/share\n"
    )
    assert Redactor({}).clean(text) == text


ODD_PARTS = ("a://b:", "a://", "a-", "1.", "Aa1+", "a+", "a.")


@pytest.mark.parametrize(
    "line",
    [*(part * (240_000 // len(part)) for part in ODD_PARTS), "a" * 400_000 + "-." * 100_000],
    ids=[*ODD_PARTS, "a and -."],
)
def test_lines_that_a_user_wrote_for_that_take_no_time(line: str) -> None:
    began = time.process_time()
    Redactor({}, people=["ada"]).clean(line)
    # By the square of its length it would be minutes.
    assert time.process_time() - began < 20
