"""Parse the body of a response, which is not trusted, and quote from it safely.

What a platform or a proxy sends may be nested without end, hold control characters that a terminal obeys, or quote
the user with its access token.
"""

from __future__ import annotations

import json
import math
import re
from typing import NoReturn

from usersync.masking import is_token
from usersync.models import MASK, Json

#: Levels of nesting that are read; a user has three.
MAX_DEPTH = 64
#: Bytes that mean themselves in JSON text.
_PLAIN = bytes(set(range(0x20, 0x7F)) - {ord("\\")})
#: Characters of a reason that are quoted.
_QUOTED = 200
#: Control characters but white space: data may hold tabs and line ends.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SURROGATES = re.compile("[\ud800-\udfff]")
#: A token in text, as JSON, Ruby or a query write it; whatever comes after may belong to it.
_TOKEN = re.compile(r"""(token[\\"']*\s*(?:=>|[:=])).*""", re.IGNORECASE | re.DOTALL)
#: What follows the word in prose, and there a word that belongs to prose.
_AFTER_TOKEN = re.compile(r"(?<=token)\s.*", re.IGNORECASE | re.DOTALL)
_PROSE = re.compile(r"\W*(?:[A-Za-z]?[a-z_'-]{0,15}|\d{1,5})\W*|\*\*\*", re.ASCII)


class BodyError(ValueError):
    """A body cannot be used; the message completes "answered with ..."."""


class NoJsonError(BodyError):
    """A body is not JSON, so it did not come from the API."""


def parse_body(raw: bytes) -> Json:
    """Parse JSON, without control characters and half characters in its text. Raises BodyError."""
    try:
        text = raw.decode("utf-8-sig")
        value = _decode(text)
    except RecursionError:
        raise BodyError(f"JSON nested deeper than {MAX_DEPTH} levels") from None
    except BodyError:
        raise
    except ValueError:
        raise NoJsonError("something that is not JSON") from None
    return value if is_plain(raw) else _cleaned(value, MAX_DEPTH)


def is_plain(raw: bytes) -> bool:
    """Return whether a body needs no cleaning: no control characters and shallow nesting, as in most bodies."""
    others = raw.translate(None, _PLAIN)
    printable = not others or (b"\\" not in others and others.decode().isprintable())
    return printable and raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH


def quotable(value: Json, secrets: tuple[str, ...] = ()) -> str:
    """Return a value of a body as one short line for a message, tokens and `secrets` masked."""
    escaped = tuple(json.dumps(secret, ensure_ascii=plain)[1:-1] for secret in secrets for plain in (True, False))
    value = _masked(value, (*secrets, *escaped))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(_harmless(text).split())[:_QUOTED]


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _not_finite(text)


def _not_finite(_: str) -> NoReturn:
    raise BodyError("a number that is not finite")


_decode = json.JSONDecoder(parse_float=_finite, parse_constant=_not_finite).decode


def _cleaned(value: Json, depth: int) -> Json:
    if isinstance(value, str):
        return value if value.isprintable() else _harmless(value)
    if not isinstance(value, dict | list):
        return value
    if not depth:
        raise BodyError(f"JSON nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, list):
        return [_cleaned(item, depth - 1) for item in value]
    return {_cleaned(name, depth - 1): _cleaned(item, depth - 1) for name, item in value.items()}


def _harmless(text: str) -> str:
    return _SURROGATES.sub("?", _CONTROL.sub("", text))


def _masked_words(after_token: re.Match[str]) -> str:
    """Mask the words after `token` that look like one: `access_token SECRET`, but not `access_token is invalid`."""
    return re.sub(r"\S+", lambda word: word[0] if _PROSE.fullmatch(word[0]) else MASK, after_token[0])


def _masked(value: Json, secrets: tuple[str, ...]) -> Json:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
        return _AFTER_TOKEN.sub(_masked_words, _TOKEN.sub(rf"\1 {MASK}", value))
    if isinstance(value, list):
        return [_masked(item, secrets) for item in value]
    if isinstance(value, dict):
        return {
            _masked(name, secrets): MASK if is_token(name) else _masked(item, secrets) for name, item in value.items()
        }
    return value
