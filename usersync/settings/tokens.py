"""Read a token from an environment variable, a file or a command."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from usersync.errors import SettingsError

#: Seconds that a command may take to print a token.
_COMMAND_TIMEOUT: Final = 60
_QUOTES: Final = "\"'`"


@dataclass(frozen=True, slots=True)
class TokenSource:
    """The place of a token; exactly one of `env`, `file` and `command` is given."""

    env: str | None
    file: Path | None
    command: str | None

    def read(self, header: str) -> SecretStr:
        """Read the token that is sent in `header`. Raises SettingsError if it cannot be read or used."""
        try:
            token = self._fetch().strip()
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            reason = str(error)
            if isinstance(error, UnicodeDecodeError):
                reason = f"{self._place()} is not UTF-8; write it in that encoding"
            elif isinstance(error, OSError):
                reason = f"{error.filename}: {error.strerror}"
            elif isinstance(error, subprocess.CalledProcessError):
                reason = f"the command ended with {error.returncode}"
            raise SettingsError("platform", (f"the token could not be read: {reason}",)) from None
        if problem := _problem(token, header):
            raise SettingsError("platform", (problem.format(place=self._place()),))
        return SecretStr(token)

    def _place(self) -> str:
        if self.env:
            return f"the environment variable {self.env}"
        return str(self.file) if self.file else "the output of the token command"

    def _fetch(self) -> str:
        if self.env:
            return os.environ.get(self.env, "")
        if self.file:
            return self.file.read_text("utf-8-sig")
        words = shlex.split(self.command or "")
        return subprocess.run(words, capture_output=True, check=True, text=True, timeout=_COMMAND_TIMEOUT).stdout


def _problem(token: str, header: str) -> str:
    """Return what is wrong with a token, without showing it, or an empty text; `{place}` stands for its place."""
    if not token:
        return "there is no token in {place}; set it and run again"
    if token[0] in _QUOTES or token[-1] in _QUOTES:
        return "the token in {place} is in quotes; remove the quotes"
    if header.lower() == "authorization":
        return (
            "" if token.isascii() and token.isprintable() else "the token in {place} holds characters that no token has"
        )
    if token.lower().startswith("bearer "):
        return "the token in {place} begins with `Bearer`; give the token alone"
    if not token.isascii() or not token.isprintable() or " " in token:
        return "the token in {place} holds blanks or characters that no token has; give the token alone, on one line"
    return ""
