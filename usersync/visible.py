"""Text in, without what the eye does not see: safe for ids, headings and e-mails, never for names."""

from __future__ import annotations

import re
import unicodedata

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")


def visible(text: str) -> str:
    """Take out invisible characters, blanks around, and full-width forms."""
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).strip()
