"""Run every command of README.md, and compare the output that it shows.

`python tests/test_readme.py` rewrites output that has changed.
"""

import os
import re
import shlex
import shutil
import signal
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

from tests.conftest import PATIENCE, free_port
from usersync.cli import cli
from usersync.settings import make_settings

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TEXT = README.read_text("utf-8")
CONSOLE = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.M | re.S)
#: A command, and the output below it.
COMMAND_AND_OUTPUT = re.compile(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", re.M)
INLINE_COMMAND = re.compile(r"`(?:[^`\n]*\| )?usersync ([^`\n]+)`")
LINK = re.compile(r"""(?:\]\(|src="|[` ](?=(?:usersync|tests|config|samples|[.]ci)/))(?!https?:|#)([^)"#`\s]+)""")
#: Printed after each command, so that its output has an end.
END = b"-- end of output --\n"
PORT = "8400"
#: What differs from day to day, or from system to system.
VARIABLE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z|\d{8}T\d{6}-[0-9a-f]{4,8}|\b(?:xdg-)?open\b")


@contextmanager
def terminal(folder: Path) -> Iterator[Callable[[str], str]]:
    """Open a shell in a folder like a clone after the first line; yields a function from a command to its output."""
    for name in ("config", "samples"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    port = str(free_port())
    settings = folder / "config" / "sandbox.yaml"
    settings.write_text(settings.read_text("utf-8").replace(PORT, port), "utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith("USERSYNC_")}
    shell = subprocess.Popen(
        ["bash"], cwd=folder, env={**env, "COLUMNS": "100"}, start_new_session=True, bufsize=0,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    timer = Timer(5 * PATIENCE, os.killpg, (shell.pid, signal.SIGKILL))
    timer.start()

    def run(command: str) -> str:
        shell.stdin.write(f"{{ {command.replace(PORT, port)}\n}} </dev/null\n".encode())
        # a command in the background is ready once it prints something
        lines = [shell.stdout.readline()] if command.endswith("&") else []
        shell.stdin.write(b"echo '%s'\n" % END.strip())
        while (line := shell.stdout.readline()) != END:
            assert line, f"the shell ended during {command}: {lines}"
            lines.append(line)
        return b"".join(lines).decode().replace(port, PORT)

    with shell:
        try:
            yield run
        finally:
            timer.cancel()
            os.killpg(shell.pid, signal.SIGKILL)


def matches(shown: str, output: str) -> bool:
    """Whether output is as shown, where `...` stands for any lines."""
    lines = VARIABLE.sub("*", shown).strip("\n").split("\n")
    pattern = "".join("(?:.*\n)*" if line == "..." else re.escape(line) + "\n" for line in lines)
    return bool(re.fullmatch(pattern, VARIABLE.sub("*", output).strip("\n") + "\n"))


def with_current_output() -> str:
    """Return the README with the current output of each command; output that is as shown stays."""
    with tempfile.TemporaryDirectory() as folder, terminal(Path(folder)) as run:

        def current(match: re.Match[str]) -> str:
            output = run(match[1])
            return match[0] if matches(match[2], output) else f"$ {match[1]}\n{output.rstrip()}\n\n"

        return CONSOLE.sub(lambda block: COMMAND_AND_OUTPUT.sub(current, block[0]).rstrip("\n") + "\n", TEXT)


@pytest.mark.skipif(not Path(sys.prefix, "bin", "activate").exists(), reason="needs a POSIX shell and a venv")
def test_every_command_of_the_tour_prints_what_is_shown() -> None:
    assert with_current_output() == TEXT, "if the change is intended: python tests/test_readme.py"


@pytest.mark.parametrize("words", sorted(set(INLINE_COMMAND.findall(TEXT))))
def test_every_command_and_its_options_exist(words: str) -> None:
    name, *args = shlex.split(words)
    cli.commands[name].make_context(name, args)


def test_the_python_example_runs_and_the_settings_are_valid(desk: Callable[..., Any]) -> None:
    (example, settings) = re.findall(r"^```(?:python|yaml)\n(.*?)^```$", TEXT, re.M | re.S)[::-1]
    assert make_settings(yaml.safe_load(settings))
    book = Workbook()
    for row in (["id", "name"], ["1", "Ann"], ["2b", "Bo"]):
        book.active.append(row)
    with desk() as (_, at):
        book.save(at.folder / "changes.xlsx")
        words = [sys.executable, "-c", f"{example}\nprint(list(rest['status']))"]
        done = subprocess.run(words, cwd=at.folder, env=at.prepare(), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["1 2 {'name': 1}", "1 {'updated': 1, 'rejected': 1, 'rows': 2}", "['rejected']"]


def test_every_linked_file_exists() -> None:
    assert [path for path in LINK.findall(TEXT) if not (ROOT / path).exists()] == []


if __name__ == "__main__":
    README.write_text(with_current_output(), "utf-8")
