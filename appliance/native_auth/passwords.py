"""Which passwords are good enough, and how generated ones look.

The list of common passwords is zxcvbn's (version 4.5.0, MIT licence, Copyright 2012-2016 Dan
Wheeler and Dropbox, Inc.; Python port by Daniel Wolf): the first 6,000, and the longer ones of all
30,000.
"""

from __future__ import annotations

import gzip
import re
import secrets
import unicodedata
from functools import cache
from pathlib import Path
from typing import Final

from appliance.config.schema import Passwords
from appliance.errors import BadRequest
from appliance.names import Username

# bcrypt reads no more; a longer password would be cut off without a word.
MAX_BYTES: Final = 72
# Generated ones are copied from paper, often on a phone: so they can be spoken, have small letters
# alone, and none that looks like another (l) or has another place on keyboards of other countries.
_CONSONANTS: Final = "bdfghjkmnprstvw"
_VOWELS: Final = "aeiou"
_GROUPS: Final = 4
# What nobody wants to find on a child's card.
_UNFIT: Final = (
    "babi boba fika fiki fuki fuku gaga gago homo joda jodo kaka kake kaki kona kono kuso majo "
    "mija moro neka niga nige nigu pede pedi pedo pena pene peni peta pipi popo puka puta pute "
    "puti puto rape seka seko siki suka teta tete titi tito tusi vaka vaki"
)
_LIST: Final = Path(__file__).with_name("common_passwords.txt.gz")


def normalise(password: str) -> bytes:
    """The bytes that are hashed, the same however the keyboard composed an accent.

    Raises BadRequest for what bcrypt can't take whole.
    """
    try:
        data = unicodedata.normalize("NFC", password).encode()
    except UnicodeEncodeError as err:
        raise _refuse("it has characters that can't be written") from err
    if len(data) > MAX_BYTES:
        raise _refuse(f"it has {len(data)} bytes, and {MAX_BYTES} is the most")
    if b"\0" in data:
        raise _refuse("it has a zero byte in it")
    return data


def check_new(password: str, user: Username, rules: Passwords) -> bytes:
    """The bytes to hash of a new password; raises BadRequest saying what is wrong with it."""
    data = normalise(password)
    count = len(unicodedata.normalize("NFC", password))
    if count < rules.min_length:
        raise _refuse(
            f"it has {count} characters, and {rules.min_length} is the least",
            mend="choose a longer one; three or four words make a good password",
        )
    if not rules.refuse_common:
        return data
    if contains_name(password, user):
        raise _refuse(
            "the user name is in it", mend="choose one that nobody can guess from the name"
        )
    if is_common(password):
        raise _refuse(
            "it is one of the most common passwords",
            mend="choose another one; three or four words make a good password",
        )
    return data


def contains_name(password: str, user: Username) -> bool:
    """Whether the user name is in it; names of one or two letters are in everything."""
    return len(user) >= 3 and user in password.lower()


def is_common(password: str) -> bool:
    """Whether it, or it without digits and signs at its ends, is one of the most common."""
    lower = password.lower()
    core = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", lower)
    known = _common_passwords()
    return any(f"\n{text}\n" in known for text in {lower, core} if len(text) >= 4)


def generate() -> str:
    """A password such as `kemo-ruda-nifa-besu`: 49 random bits, easy to read and to type."""
    return "-".join(_group() for _ in range(_GROUPS))


def _group() -> str:
    while True:
        group = "".join(secrets.choice(letters) for letters in (_CONSONANTS, _VOWELS) * 2)
        if group not in _UNFIT:
            return group


def as_generated(text: str) -> str:
    """What was typed for a generated password, as that is written: phones begin with a capital,
    and not everybody types the hyphens."""
    letters = re.sub(r"[\s-]", "", text.lower())
    if not re.fullmatch(rf"(?:[{_CONSONANTS}][{_VOWELS}]){{{2 * _GROUPS}}}", letters):
        return text
    return "-".join(letters[at : at + 4] for at in range(0, len(letters), 4))


@cache
def _common_passwords() -> str:
    # One text of 150 KB; a set of its words would take ten times the memory.
    return gzip.decompress(_LIST.read_bytes()).decode()


def _refuse(why: str, *, mend: str = "choose another one") -> BadRequest:
    return BadRequest("cannot use this password", why=why, mend=mend)
