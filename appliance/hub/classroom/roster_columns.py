"""What the columns of a list mean: by their headings in four languages, or by what is in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from appliance.hub.classroom.made_names import fold
from appliance.hub.classroom.roster_tables import Record, Table, tidy
from appliance.names import USERNAME_PATTERN

ADDRESS: Final = r"[^@\s<>,;:\"()]+@[^@\s<>,;:\"()]+\.[^@\s<>,;:\"().]+"
_TITLE_LINES: Final = 10
_SORTED_FROM: Final = 4


class Meaning(StrEnum):
    """What a column holds."""

    IGNORE = ""
    NAME = "name"
    FIRST = "first"
    LAST = "last"
    USERNAME = "username"
    EMAIL = "email"
    CLASS = "class"
    LANGUAGE = "language"


# As `_key` leaves them: plain small letters, no blanks.
# fmt: off
_HEADINGS: Final = {
    Meaning.NAME: (
        "name fullname completename studentname student students pupil learner participant "
        "displayname namefull lastnamefirstname firstnamelastname surnamefirstname nameofstudent "
        "schueler schuelerin schuelername schuelerinnen teilnehmer teilnehmerin teilnehmername "
        "vollstaendigername ganzername vornamename vornamenachname namevorname nachnamevorname "
        "lernende anzeigename nomcomplet nometprenom nomprenom prenometnom prenomnom eleve eleves "
        "nomdeleleve etudiant participante nombrecompleto nombreyapellidos nombreyapellido "
        "apellidosynombre apellidosnombre apellidosynombres alumno alumna alumnado estudiante"
    ),
    Meaning.FIRST: (
        "first firstname firstnames givenname givennames forename forenames preferredname vorname "
        "vornamen rufname prenom prenoms prenomusuel nombre nombres nombredepila"
    ),
    Meaning.LAST: (
        "last lastname lastnames surname surnames familyname nachname nachnamen familienname "
        "zuname nom nomdefamille nomusuel apellido apellidos primerapellido"
    ),
    Meaning.USERNAME: (
        "username user userid uid login loginname loginid logon account accountname samaccountname "
        "benutzername benutzer benutzerkennung anmeldename kennung nutzername kontoname konto "
        "identifiant nomdutilisateur utilisateur compte usuario nombredeusuario cuenta"
    ),
    Meaning.EMAIL: (
        "email emails mail emailaddress emailadress mailaddress schoolemail userprincipalname "
        "emailadresse mailadresse schulemail courriel adressemail adresseemail adressecourriel "
        "adresseelectronique adressedecourriel correo correoelectronico direcciondecorreo "
        "emaildirection direcciondecorreoelectronico"
    ),
    Meaning.CLASS: (
        "class classes classname group groups groupname course section homeroom form klasse "
        "klassen gruppe gruppen kurs lerngruppe classe groupe cours division clase grupo curso "
        "seccion"
    ),
    Meaning.LANGUAGE: (
        "language lang locale preferredlanguage sprache sprachen langue langues idioma lengua"
    ),
}
# Of what is in a list beside people's names, so that a line of these is known to be headings.
_OTHERS: Final = (
    "no nr nummer number num lfdnr id state status lastseen zustand geburtsdatum birthdate born "
    "dateofbirth geburtstag datedenaissance fechadenacimiento geschlecht gender sex sexe sexo "
    "telefon phone telephone telefono adresse address bemerkung bemerkungen remarks comment "
    "comments note notes studentid matrikelnummer grade jahrgang stufe jahrgangsstufe"
)
# fmt: on
_MEANING_OF: Final = {word: one for one, words in _HEADINGS.items() for word in words.split()}
_KNOWN: Final = frozenset(_MEANING_OF) | frozenset(_OTHERS.split())
_NAMING: Final = frozenset(
    (Meaning.NAME, Meaning.FIRST, Meaning.LAST, Meaning.USERNAME, Meaning.EMAIL)
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table is read: where its headings are, and what each column means."""

    heading: int
    """The index of the record with headings, before which only titles stand; -1 for none."""
    meanings: tuple[Meaning, ...]

    def with_meanings(self, meanings: Sequence[Meaning]) -> Layout:
        return replace(self, meanings=tuple(meanings))

    def has(self, *meanings: Meaning) -> bool:
        return any(one in self.meanings for one in meanings)


def guess_layout(table: Table) -> Layout:
    """The layout that a table most likely has; people can change it afterwards."""
    for index, record in enumerate(table.records[:_TITLE_LINES]):
        if _is_heading(record):
            meanings = [_meaning(cell) for cell in record.cells]
            meanings += [Meaning.IGNORE] * (table.width - len(meanings))
            return Layout(index, _settled(meanings))
    return Layout(-1, _by_content(table))


def _key(cell: str) -> str:
    return re.sub(r"\(.*?\)", "", fold(cell, keep="()")).strip("()")


def _meaning(cell: str) -> Meaning:
    return _MEANING_OF.get(_key(cell), Meaning.IGNORE)


def _is_heading(record: Record) -> bool:
    """Whether a row has headings and nobody's data; one word alone must be unmistakable."""
    keys = [_key(cell) for cell in record.cells if tidy(cell)]
    known = [key for key in keys if key in _KNOWN]
    naming = [key for key in known if _MEANING_OF.get(key) in _NAMING]
    has_data = any("@" in cell for cell in record.cells)
    return bool(naming) and not has_data and len(known) * 2 >= len(keys)


def _settled(meanings: list[Meaning]) -> tuple[Meaning, ...]:
    """Each meaning once, and words that mean two things by what stands beside them."""
    seen: set[Meaning] = set()
    for index, one in enumerate(meanings):
        if one in seen:
            meanings[index] = Meaning.IGNORE
        seen.add(one)
    if Meaning.FIRST in seen and Meaning.LAST not in seen:
        # "Name; Vorname": the first is the family name. "Nombre" alone: the whole name.
        if Meaning.NAME in seen:
            return _replaced(meanings, Meaning.NAME, Meaning.LAST)
        return _replaced(meanings, Meaning.FIRST, Meaning.NAME)
    if Meaning.LAST in seen and Meaning.FIRST not in seen:
        if Meaning.NAME in seen:
            return _replaced(meanings, Meaning.NAME, Meaning.FIRST)
        return _replaced(meanings, Meaning.LAST, Meaning.NAME)
    return tuple(meanings)


def _replaced(meanings: Sequence[Meaning], old: Meaning, new: Meaning) -> tuple[Meaning, ...]:
    return tuple(new if one is old else one for one in meanings)


def _by_content(table: Table) -> tuple[Meaning, ...]:
    """Without headings: each column by what most of its cells look like."""
    columns = [_column(table, index) for index in range(table.width)]
    meanings = [_looks_like(cells) for cells in columns]
    for wanted in (Meaning.EMAIL, Meaning.USERNAME):
        found = [index for index, one in enumerate(meanings) if one is wanted]
        for index in found[1:]:
            meanings[index] = Meaning.IGNORE
    words = [index for index, one in enumerate(meanings) if one is Meaning.NAME]
    whole = [index for index in words if _are_whole(columns[index])]
    if len(words) >= 2 and whole[:1] != words[:1]:
        first, last = _in_order(table, columns, words[0], words[1])
        meanings[first], meanings[last] = Meaning.FIRST, Meaning.LAST
        rest = words[2:]
    else:
        rest = words[1:]
    for index in rest:
        short = max(map(len, columns[index]), default=0) <= 12
        used = Meaning.CLASS in meanings
        meanings[index] = Meaning.CLASS if short and not used else Meaning.IGNORE
    return tuple(meanings)


def _column(table: Table, index: int) -> list[str]:
    cells = (tidy(one.cells[index]) for one in table.records if index < len(one.cells))
    return [cell for cell in cells if cell]


def _looks_like(cells: list[str]) -> Meaning:
    def most(pattern: str) -> bool:
        fitting = sum(bool(re.fullmatch(pattern, cell)) for cell in cells)
        return fitting * 2 > len(cells)

    if not cells or most(r"[\W\d_]*"):
        return Meaning.IGNORE
    if most(ADDRESS):
        return Meaning.EMAIL
    if most(r"\d{1,2}[ .-]?[A-Za-z]{1,3}"):
        return Meaning.CLASS
    return Meaning.USERNAME if most(USERNAME_PATTERN) else Meaning.NAME


def _are_whole(cells: list[str]) -> bool:
    """Whether a column has first name and family name in one cell."""
    return sum(" " in cell for cell in cells) * 2 > len(cells)


def _in_order(table: Table, columns: list[list[str]], one: int, two: int) -> tuple[int, int]:
    """Which of two columns of names is the first name's.

    `Müller, Anne` with a blank begins with the family name; and so does a list in its order.
    """
    spaced = sum(len(row.cells) > two and row.cells[two].startswith(" ") for row in table.records)
    if table.separator == "," and spaced * 2 > len(table.records):
        return two, one
    if _is_sorted(columns[one]) and not _is_sorted(columns[two]):
        return two, one
    return one, two


def _is_sorted(cells: list[str]) -> bool:
    keys = [fold(cell) for cell in cells]
    return len(keys) >= _SORTED_FROM and keys == sorted(keys)
