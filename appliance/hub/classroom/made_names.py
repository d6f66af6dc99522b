"""User names made from people's names: `Müller, Änne` becomes `aenne.mueller`.

First name, dot, family name, in plain small letters: that is what schools' mail addresses look
like, it can be typed on every keyboard, and a teacher who knows the student can guess it. Umlauts
become two letters, as Germans write them where there are none; other accents are left off.
Of several first names the first is taken, of a family name all of it, for `Silva` alone would be
a dozen people. Cyrillic and Greek are put into Latin letters; from other scripts no name is made.
"""

# ruff: noqa: RUF001 - letters of other alphabets are what this is about

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Final

from appliance.errors import BadRequest
from appliance.names import Username, parse_username

# Room for the numbers that tell people of one name apart, and short enough to be typed.
_LONGEST: Final = 32
# fmt: off
_LETTERS: Final = str.maketrans({
    "ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "œ": "oe", "ø": "oe", "å": "aa",
    "ð": "d", "đ": "d", "þ": "th", "ł": "l", "ı": "i", "ŋ": "ng", "ħ": "h", "ə": "e",
    "а": "a", "б": "b", "в": "v", "г": "g", "ґ": "g", "д": "d", "е": "e", "є": "ye", "ё": "yo",
    "ж": "zh", "з": "z", "и": "i", "і": "i", "ї": "yi", "й": "y", "к": "k", "л": "l", "м": "m",
    "н": "n", "о": "o", "п": "p", "р": "r", "с": "s", "т": "t", "у": "u", "ў": "u", "ф": "f",
    "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "", "ы": "y", "ь": "", "э": "e",
    "ю": "yu", "я": "ya", "ђ": "dj", "ј": "j", "љ": "lj", "њ": "nj", "ћ": "c", "џ": "dz",
    "α": "a", "β": "v", "γ": "g", "δ": "d", "ε": "e", "ζ": "z", "η": "i", "θ": "th", "ι": "i",
    "κ": "k", "λ": "l", "μ": "m", "ν": "n", "ξ": "x", "ο": "o", "π": "p", "ρ": "r", "σ": "s",
    "ς": "s", "τ": "t", "υ": "y", "φ": "f", "χ": "ch", "ψ": "ps", "ω": "o",
})
_PARTICLES: Final = frozenset((
    "af", "al", "av", "bin", "da", "das", "de", "del", "della", "den", "der", "di", "dos", "du",
    "el", "la", "las", "le", "los", "of", "ten", "ter", "van", "vom", "von", "zu", "zum", "zur",
    "y", "e",
))
# fmt: on


def split_name(full: str) -> tuple[str, str]:
    """First names and family name of a name as people write it, with or without a comma."""
    last, comma, first = full.partition(",")
    if comma and first.strip():
        return first.strip(), last.strip()
    words = last.split()
    cut = max(len(words) - 1, 0)
    while cut > 1 and words[cut - 1].lower().rstrip(".") in _PARTICLES:
        cut -= 1
    return " ".join(words[:cut]), " ".join(words[cut:])


def joined(first: str, last: str) -> str:
    """A name as it is said."""
    return f"{first} {last}".strip()


def make_name(first: str, last: str) -> str:
    """A user name from a person's name; "" if none can be made of these letters."""
    given = fold(first.split()[0]) if first.split() else ""
    family = "".join(fold(word) for word in last.split())
    return _cut(".".join(part for part in (given, family) if part))


def name_of_address(address: str) -> str:
    """A user name from what stands before the @; "" if none can be made."""
    local = address.partition("@")[0].partition("+")[0]
    return _cut(re.sub(r"[^a-z0-9._-]", "", fold(local, keep="._-")))


def fold(text: str, *, keep: str = "-") -> str:
    """Plain small letters and digits, with a few signs kept between them."""
    composed = unicodedata.normalize("NFKC", text).lower()
    spelled = unicodedata.normalize("NFC", composed).translate(_LETTERS)
    # Accents apart from their letters, once those that have a spelling of their own have it.
    bare = unicodedata.normalize("NFKD", spelled).translate(_LETTERS)
    kept = re.sub(rf"[^a-z0-9{re.escape(keep)}]", "", bare)
    return kept.strip("-._")


def _cut(name: str) -> str:
    return name[:_LONGEST].rstrip("-._")


def free_name(wanted: str, is_taken: Callable[[str], bool]) -> Username:
    """The name, or the first of name2, name3, … that nobody has and that isn't reserved."""
    number = 1
    while True:
        name = wanted if number == 1 else f"{wanted}{number}"
        if not is_taken(name):
            try:
                return parse_username(name)
            except BadRequest:
                pass  # a reserved one, such as "root": that with a number isn't
        number += 1
