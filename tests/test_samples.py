"""Samples get the answers that samples/README.md shows; `python tests/test_samples.py` writes those anew."""

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
    """Each heading of the README that names a sample, and what stands below it."""
    return SECTION.findall(README.read_text("utf-8"))


def test_each_sample_has_its_block_and_each_block_its_sample() -> None:
    files = sorted(path.name for path in SAMPLES.glob("[!.]*") if path.suffix not in (".md", ".png"))
    assert sorted(name for name, _ in sections()) == files
    for name, text in sections():
        assert f"$ usersync inspect {name}\n" in "".join(BLOCK.findall(text)), f"{name} is not inspected"


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in sections()])
def test_answers_a_sample_as_its_block_says(text: str) -> None:
    (block,) = BLOCK.findall(text)
    assert answered(block) == block, "is it meant? then: python tests/test_samples.py"


def test_answers_in_a_process_of_its_own_as_in_ours() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "usersync", "inspect", "damaged-ids.xlsx"],
        cwd=SAMPLES, env=environment(), capture_output=True, encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip
    assert f"{done.stdout}{done.stderr}exit {done.returncode}\n" == answer("inspect damaged-ids.xlsx")


def answered(block: str) -> str:
    """Give a block's commands, each with the answer of today."""
    return "\n".join(f"$ usersync {words}\n{answer(words)}" for words in COMMAND.findall(block))


def answer(words: str) -> str:
    """Type a command in the samples' folder: what it writes to stdout, to stderr, and its exit code.

    In this process, since thirty starts of Python would be slow; through `main`, since it makes the sentences.
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
    """Ours, without the settings of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("USERSYNC_")}


def written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode().replace("\r\n", "\n")


def refresh() -> None:
    """Write the answers of today into the README; its headings, sentences and commands stay."""
    text = README.read_text("utf-8")
    README.write_text(BLOCK.sub(lambda block: answered(block[0]), text), "utf-8")


if __name__ == "__main__":
    refresh()
