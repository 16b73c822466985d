"""Test that `inspect` prints what samples/README.md shows.

`python tests/test_samples.py` rewrites the blocks of the README.
"""

import io
import os
import re
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest

from usersync.cli import main

SAMPLES = Path(__file__).parent.parent / "samples"
README = SAMPLES / "README.md"
SECTION = re.compile(r"^## (\S+)\n(.*?)(?=^## |\Z)", re.M | re.S)
BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.M | re.S)
COMMAND = re.compile(r"^\$ usersync (.+)$", re.M)


def sections() -> list[tuple[str, str]]:
    """Return each heading of the README that names a sample, and the text below it."""
    return SECTION.findall(README.read_text("utf-8"))


def test_every_sample_has_a_section_and_every_section_a_sample() -> None:
    files = sorted(path.name for path in SAMPLES.glob("[!.]*") if path.suffix not in (".md", ".png"))
    assert sorted(name for name, _ in sections()) == files
    for name, text in sections():
        assert f"$ usersync inspect {name}\n" in "".join(BLOCK.findall(text)), f"{name} is not inspected"


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in sections()])
def test_inspect_prints_what_the_readme_shows(text: str) -> None:
    (block,) = BLOCK.findall(text)
    assert answered(block) == block, "if intended, run python tests/test_samples.py"


def test_a_separate_process_prints_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "usersync", "inspect", "damaged-ids.xlsx"],
        cwd=SAMPLES, env=environment(), capture_output=True, encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip
    assert f"{done.stdout}{done.stderr}exit {done.returncode}\n" == answer("inspect damaged-ids.xlsx")


def answered(block: str) -> str:
    """Return a block's commands, each with its current output."""
    return "\n".join(f"$ usersync {words}\n{answer(words)}" for words in COMMAND.findall(block))


def answer(words: str) -> str:
    """Run a command in the samples' folder; return stdout, stderr and the exit code as text.

    It runs in this process, since thirty interpreter starts would be slow.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
    with (
        chdir(SAMPLES),
        patch.object(sys, "argv", ["usersync", *words.split()]),
        patch.dict(os.environ, environment(), clear=True),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    text = "".join(written(stream) for stream in (out, err))
    return f"{text}exit {ended.value.code}\n"


def environment() -> dict[str, str]:
    """Return the environment without the settings of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("USERSYNC_")}


def written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode().replace("\r\n", "\n")


def refresh() -> None:
    """Write the current output into the README; its headings, sentences and commands stay."""
    text = README.read_text("utf-8")
    README.write_text(BLOCK.sub(lambda block: answered(block[0]), text), "utf-8")


if __name__ == "__main__":
    refresh()
