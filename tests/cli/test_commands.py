"""The list of commands in `usersync --help`, which is written without importing them."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from usersync.cli import cli


@pytest.mark.parametrize("name", cli.commands)
def test_the_list_says_of_a_command_what_its_own_help_says_first(name: str) -> None:
    formatter = click.HelpFormatter(width=200)
    cli.format_commands(click.Context(cli), formatter)
    listed = dict(line.split(maxsplit=1) for line in formatter.getvalue().splitlines()[1:])
    own = " ".join((cli.commands[name].help or "").split())
    assert own.startswith(listed[name].removesuffix("."))


@pytest.mark.parametrize("name", [name for name in cli.commands if name not in ("run", "sandbox", "demo")])
def test_only_run_takes_several_settings_files(name: str) -> None:
    command = cli.commands[name]
    words = ["1" for parameter in command.params if isinstance(parameter, click.Argument)]
    with pytest.raises(click.UsageError, match="only `run` takes several settings files"):
        command.main([*words, "-c", "a.yaml", "-c", "b.yaml"], standalone_mode=False)


def test_the_help_imports_no_command() -> None:
    code = "import sys; from usersync.cli import cli; cli.main(['--help'], standalone_mode=False); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    modules = shown.splitlines()[-1].split()
    assert [name for name in modules if name.startswith("usersync.cli.")] == ["usersync.cli.output"]
    assert not {"asyncio", "logging", "importlib.metadata"}.intersection(modules)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sandbox", "--limit", "auto"], "--limit auto: write a rate like"),
        (["sandbox", "--limit", "fast"], "--limit: write a rate like"),
        (["sandbox", "--latency", "-1"], "-1.0 is not in the range"),
        (["runs", "--prune", "99999999999d"], "--prune 99999999999d: longer than 36,500 days"),
    ],
)
def test_a_number_that_a_command_cannot_use_is_wrong_use(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "usersync.yaml").write_text("platform: {url: http://x, token_env: T}")
    with pytest.raises(click.UsageError, match=message):
        cli.main(words, standalone_mode=False)
