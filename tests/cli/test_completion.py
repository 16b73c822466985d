"""Test completion in real shells, and the nearest word for a wrong one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from usersync.sandbox import Sandbox

PROGRAM = Path(sys.executable).parent / "usersync"
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="the command `usersync` is not installed")


def completed(folder: Path, *words: str) -> list[str]:
    """Ask as bash does: the last of `words` is being typed."""
    env = {
        **os.environ, "_USERSYNC_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(("usersync", *words)),
        "COMP_CWORD": str(len(words)),
    }  # fmt: skip
    done = subprocess.run([PROGRAM], env=env, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_prints_a_script_that_the_shell_itself_takes(shell: str, tmp_path: Path) -> None:
    env = {**os.environ, "_USERSYNC_COMPLETE": f"{shell}_source"}
    script = subprocess.run([PROGRAM], env=env, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "_USERSYNC_COMPLETE" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n", "-c", script], timeout=60, check=True)


def test_bash_completes_a_command() -> None:
    typed = "COMP_WORDS=(usersync re); COMP_CWORD=1; _usersync_completion usersync re; echo ${COMPREPLY[@]}"
    line = f'eval "$(_USERSYNC_COMPLETE=bash_source usersync)"; {typed}'
    env = {**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", line], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("resume\n", "")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        pytest.param(("run", "--compare-with", ""), ["plain,remote", "plain,last-run", "plain,nothing"], id="values"),
        pytest.param(("run", "--compare-with", "yes"), ["file,yes"], id="a file's path"),
        pytest.param(("run", "ch"), ["file,ch"], id="files"),
        pytest.param(("undo", "2"), [], id="runs without settings"),
    ],
)
def test_completes_what_a_command_takes(tmp_path: Path, words: tuple[str, ...], offered: list[str]) -> None:
    assert completed(tmp_path, *words) == offered


def test_completes_the_runs_of_the_ledger(desk: Callable[..., Any]) -> None:
    with desk(Sandbox(users=5, limit=None)) as (_, at):
        at.write("changes.csv", "id,name\n1,Ann\n")
        run = at.run("run", "changes.csv", "--yes", "--json").summary["run"]
        for command in ("resume", "undo", "show"):
            assert completed(at.folder, command, "2") == [f"plain,{run}"]
        assert completed(at.folder, "show", "3") == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(("rnu", "x.xlsx"), "Did you mean 'run'?", id="a command"),
        pytest.param(("run", "--compare-wiht", "x"), "Did you mean '--compare-with'?", id="an option"),
        pytest.param(("run", "changse.csv", "--yes"), "did you mean changes.csv?", id="a file"),
        pytest.param(("inspect", "sub/Mai.csv"), "did you mean sub/May.csv?", id="a file in another folder"),
        pytest.param(("inspect", "other.csv"), "other.csv: there is no such file\n", id="nothing is near"),
    ],
)
def test_a_wrong_word_is_answered_with_the_nearest(desk: Callable[..., Any], words: tuple[str, ...], says: str) -> None:
    with desk() as (_, at):
        at.write("changes.csv", "id,name\n1,Ann\n")
        (at.folder / "sub").mkdir()
        at.write("sub/May.csv", "id,name\n1,Ann\n")
        ran = at.run(*words)
        assert (ran.code, says in ran.err) == (2, True), ran.err
