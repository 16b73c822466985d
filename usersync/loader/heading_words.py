"""List the words that headings are recognized by, and find the nearest one."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from usersync.loader.spelling import is_misspelling
from usersync.masking import PASSWORDS
from usersync.models import NEW_EMAIL
from usersync.values import normalize_text

#: Headings that are taken without a mapping, in the form that `squash` gives them.
_ENGLISH: Final = {
    "id": ("id", "userid", "agentid", "chatwootid", "chatwootuserid", "platformid", "platformuserid"),
    "name": ("name", "fullname"),
    "display_name": ("displayname",),
    "email": ("email", "mail", "emailaddress", "mailaddress", "useremail"),
    NEW_EMAIL: ("newemail", "newmail", "newemailaddress", "newmailaddress"),
    "password": ("password",),
    "custom_attributes": ("customattributes",),
}
#: Those of other languages.
_TRANSLATED: Final = {
    "id": ("benutzerid", "nutzerid", "agentenid", "plattformid"),
    "name": ("vollständigername",),
    "display_name": ("anzeigename",),
    "email": ("emailadresse", "mailadresse", "correo", "correoelectrónico", "adresseemail", "courriel"),
    NEW_EMAIL: (
        *("neueemail", "neuemail", "neueemailadresse"),
        *("nuevocorreo", "nuevocorreoelectrónico", "nouvelleadresseemail", "nouveaucourriel"),
    ),
    "password": ("passwort", "kennwort"),
}
_FIELD_OF: Final = {
    word: field for words_of in (_ENGLISH, _TRANSLATED) for field, words in words_of.items() for word in words
}
#: Those of which misspellings are found: not the ids, because other numbers of a user have similar names, and not the
#: words of other languages: `passport` is not `passwort`.
_SPELLED: Final = tuple(word for field, words in _ENGLISH.items() if field != "id" for word in words)
#: How headings end that may mean the password, in the form that `squash` gives them: none is ignored without a word.
_PASSWORDS: Final = (*PASSWORDS, "passcode", "contraseña", "motdepasse")
#: Headings of the parts of a name, in the form that `squash` gives them.
FIRST_NAMES: Final = (
    *("firstname", "firstnames", "fname", "givenname", "givennames", "forename", "forenames"),
    *("vorname", "vornamen", "vorname(n)", "rufname", "prénom", "prenom", "prénoms", "nombre", "nombres"),
)
LAST_NAMES: Final = ("lastname", "lname", "surname", "familyname", "nachname", "familienname", "apellido", "apellidos")
#: Endings of headings that may number users, in the form that `squash` gives them.
NUMBERING: Final = ("id", "no", "nr", "number", "nummer", "#", "key")
#: Cells that are remembered, while one row after another is looked at as a header, and each in several ways.
_REMEMBERED: Final = 1 << 15


def normalize(heading: str) -> str:
    """Fold case, width, blanks and invisible characters."""
    return " ".join(normalize_text(heading).split()).casefold()


@lru_cache(_REMEMBERED)
def squash(heading: str) -> str:
    """Fold what makes no difference between two headings."""
    return re.sub(r"[\s_\-*:\u2010-\u2015]+", "", normalize(heading))


def field_of(heading: str) -> str | None:
    """Return the field that a heading is a known word for."""
    return _FIELD_OF.get(squash(heading))


@lru_cache(_REMEMBERED)
def nearest_field(heading: str) -> str | None:
    """Return the field that a heading is nearly a word for, or may be the password."""
    letters = re.sub(r"[^a-z0-9]", "", normalize(heading))
    if letters in _FIELD_OF:
        return _FIELD_OF[letters]
    meant = next((_FIELD_OF[word] for word in _SPELLED if is_misspelling(letters, word)), None)
    return meant or ("password" if squash(heading).endswith(_PASSWORDS) else None)
