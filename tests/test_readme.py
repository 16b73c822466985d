"""Run the commands that README.md shows; `python tests/test_readme.py` writes their answers anew."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
import yaml
from openpyxl import Workbook

from usersync.cli import cli
from usersync.settings import make_settings

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TEXT = README.read_text("utf-8")
CONSOLE = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.M | re.S)
TYPED = re.compile(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", re.M)
COMMAND = re.compile(r"`(?:[^`\n]*\| )?usersync ([^`\n]+)`")
LINK = re.compile(r"""(?:\]\(|src="|[` ](?=(?:usersync|tests|config|samples|[.]ci)/))(?!https?:|#)([^)"#`\s]+)""")
END = b"-- answered --\n"
PORT = "8400"
RUN = re.compile(r"\d{8}T\d{6}-[0-9a-f]{4,8}|\b(?:xdg-)?open\b")
"""What differs from day to day, or from system to system."""


@contextmanager
def terminal(folder: Path) -> Iterator[Callable[[str], str]]:
    """Open a shell in a folder like a clone after the first line; yields a function that types a command."""
    for name in ("config", "samples"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    settings = folder / "config" / "sandbox.yaml"
    settings.write_text(settings.read_text("utf-8").replace(PORT, port), "utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith("USERSYNC_")}
    shell = subprocess.Popen(
        ["bash"], cwd=folder, env={**env, "COLUMNS": "100"}, start_new_session=True, bufsize=0,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    late = Timer(120, os.killpg, (shell.pid, signal.SIGKILL))
    late.start()

    def answer(command: str) -> str:
        shell.stdin.write(f"{{ {command.replace(PORT, port)}\n}} </dev/null\n".encode())
        said = [shell.stdout.readline()] if command.endswith("&") else []  # it is at work once it says so
        shell.stdin.write(b"echo '%s'\n" % END.strip())
        while (line := shell.stdout.readline()) != END:
            assert line, f"no answer to {command}: {said}"
            said.append(line)
        return b"".join(said).decode().replace(port, PORT)

    with shell:
        try:
            yield answer
        finally:
            late.cancel()
            os.killpg(shell.pid, signal.SIGKILL)


def as_shown(shown: str, said: str) -> bool:
    """Tell whether an answer is the one shown, in which `...` stands for any lines."""
    lines = RUN.sub("*", shown).strip("\n").split("\n")
    pattern = "".join("(?:.*\n)*" if line == "..." else re.escape(line) + "\n" for line in lines)
    return bool(re.fullmatch(pattern, RUN.sub("*", said).strip("\n") + "\n"))


def answered() -> str:
    """Return the README with current answers; those that are as shown stay."""
    with tempfile.TemporaryDirectory() as folder, terminal(Path(folder)) as answer:

        def typed(match: re.Match[str]) -> str:
            said = answer(match[1])
            return match[0] if as_shown(match[2], said) else f"$ {match[1]}\n{said.rstrip()}\n\n"

        return CONSOLE.sub(lambda found: TYPED.sub(typed, found[0]).rstrip("\n") + "\n", TEXT)


@pytest.mark.skipif(not Path(sys.prefix, "bin", "activate").exists(), reason="types in a POSIX shell, in a venv")
def test_every_command_answers_as_shown() -> None:
    assert answered() == TEXT, "if intended, run python tests/test_readme.py"


@pytest.mark.parametrize("words", sorted(set(COMMAND.findall(TEXT))))
def test_every_command_and_its_options_exist(words: str) -> None:
    name, *args = shlex.split(words)
    cli.commands[name].make_context(name, args)


def test_the_python_example_runs_and_its_settings_are_known(desk: Callable[..., Any]) -> None:
    (example, settings) = re.findall(r"^```(?:python|yaml)\n(.*?)^```$", TEXT, re.M | re.S)[::-1]
    assert make_settings(yaml.safe_load(settings))
    book = Workbook()
    for row in (["id", "name"], ["1", "Ann"], ["999", "Nobody"]):
        book.active.append(row)
    with desk() as (_, at):
        book.save(at.folder / "changes.xlsx")
        words = [sys.executable, "-c", f"{example}\nprint(list(rest['status']))"]
        done = subprocess.run(
            words, cwd=at.folder, env=at.prepare(), capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == ["0 updated", "1 {'updated': 1, 'failed': 1, 'rows': 2}", "['failed']"]


def test_every_link_names_an_existing_file() -> None:
    assert [path for path in LINK.findall(TEXT) if not (ROOT / path).exists()] == []


if __name__ == "__main__":
    README.write_text(answered(), "utf-8")
